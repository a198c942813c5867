"""What the services are made of; the server puts it together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from ledger.clock import Clock
from ledger.engine.access import Access
from ledger.engine.administration import Administration
from ledger.engine.registry import LogRegistry
from ledger.engine.requests import AppendResult
from ledger.rpc.admission import Admission
from ledger.rpc.completion import Completions
from ledger.rpc.growth import Growth
from ledger.rpc.limits import CallLimits
from ledger.rpc.publication import Indexed, Published
from ledger.rpc.quotas import FailedLogins, Quotas
from ledger.telemetry.metrics import Metrics

R = TypeVar("R")

READER_THREADS: Final = 8
"""Calls that read at the same time; the rest wait."""

APPEND_THREADS: Final = 4
"""Calls that check what they append at the same time; the rest wait, and never for those that read."""

SLOW_THREADS: Final = 2
"""Administrative calls that wait for their change at the same time; the rest wait."""


class Workers:
    """Threads for what may block: nothing that touches a disk runs on the event loop."""

    def __init__(self) -> None:
        """Make the pools and start their threads: a call must not find that there is no room for another thread."""
        self._readers = _started(READER_THREADS, "reader")
        self._appenders = _started(APPEND_THREADS, "appender")
        self._slow = _started(SLOW_THREADS, "administration")

    async def run(self, work: Callable[[], R], *, is_slow: bool = False, appends: bool = False) -> R:
        """Return what `work` returns, from a thread of its own kind.

        Args:
            work: What may block.
            is_slow: Whether it may wait for long.
            appends: Whether it is part of an append, which must not wait for those that read.
        """
        pool = self._slow if is_slow else self._appenders if appends else self._readers
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def close(self) -> None:
        """Wait for what runs, and drop what has not begun."""
        for pool in (self._readers, self._appenders, self._slow):
            pool.shutdown(cancel_futures=True)


def _started(threads: int, name: str) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    # Each waits for all others, so that there have to be as many.
    together = threading.Barrier(threads)
    for waiting in [pool.submit(together.wait) for _ in range(threads)]:
        waiting.result()
    return pool


@dataclass(frozen=True, slots=True)
class Parts:
    """What all services share.

    Attributes:
        registry: The logs.
        access: Who may do what.
        administration: Changes to logs and credentials.
        published: How far each log is published.
        indexed: How far each log is indexed.
        clock: The clock.
        workers: Threads for what may block.
        growth: Tells that a log has grown.
        completions: Waits for commits.
        metrics: Where calls are counted.
        limits: Bounds of calls.
        admission: Lets calls in.
        quotas: How much each credential may append.
        logins: How many bad credentials each address may present.
    """

    registry: LogRegistry
    access: Access
    administration: Administration
    published: Published
    indexed: Indexed
    clock: Clock
    workers: Workers
    growth: Growth
    completions: Completions[AppendResult]
    metrics: Metrics
    limits: CallLimits
    admission: Admission
    quotas: Quotas
    logins: FailedLogins
