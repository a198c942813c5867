"""Load on a server, and what it answered: for `logproof bench`.

Callers are threads, each with one call at a time. In a closed loop a caller sends as soon as it was answered; in an
open loop calls are due at the times of a Poisson process, and a latency counts from then, so that a server that
stalls is not excused by callers that wait for it. The rule that must not break: a run ends after its time or its
number of events, whichever comes first; and a call that failed is counted by its reason, never made again.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from ledger.client.latency import LatencyHistogram
from ledger.client.values import Sections
from ledger.clock import Clock
from ledger.errors import (
    ClockError,
    DeadlinePassedError,
    LedgerError,
    OverloadedError,
    QuotaExceededError,
    RemoteError,
    ServerUnreachableError,
    ShuttingDownError,
)
from ledger.events.codec import encode_sections
from ledger.events.event import Actor, ActorType, Event, MetadataEntry, Outcome, PersonalData, Source, Target
from ledger.events.ids import ID_RANDOM_BYTES, new_event_id

SERVICE: Final = "logproof-bench"
"""The source that events of a load name, by which they are told from others."""

# What a server under load may say; anything else would come again with every call.
_COUNTED: Final = (
    ClockError,
    DeadlinePassedError,
    OverloadedError,
    QuotaExceededError,
    ServerUnreachableError,
    ShuttingDownError,
)
_COUNTED_CODES: Final = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})
_ACTORS: Final = 2_000
_TARGETS: Final = 21_000


@dataclass(frozen=True, slots=True)
class MadeEvent:
    """An event of a load, in every form that a way to append may take.

    Attributes:
        event: The event.
        personal: Its personal data.
        sections: Both as they are sent.
    """

    event: Event
    personal: PersonalData
    sections: Sections


class Sender(Protocol):
    """One way to append; used by several threads at once."""

    def send(self, batch: Sequence[MadeEvent]) -> None:
        """Append events and return when they are acknowledged.

        Raises:
            LedgerError: They were refused, not answered in time, or the answer does not hold.
        """

    def close(self) -> None:
        """Release what it holds."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What load to make.

    Attributes:
        callers: Threads, and so the most calls at a time.
        batch: Events of a call.
        seconds: How long calls are begun.
        max_events: Most events in all.
        calls_per_second: Calls that are due in a second, on average; None for a closed loop.
    """

    callers: int
    batch: int
    seconds: float
    max_events: int
    calls_per_second: float | None = None


@dataclass(slots=True)
class LoadResult:
    """What became of it.

    Attributes:
        seconds: From the first call to the last answer.
        latencies: Of the calls that were acknowledged.
        events: Events that were acknowledged.
        refused: Calls that were not, by reason.
        late: Calls of an open loop for which no caller was free when they were due.
        unsent: Calls of an open loop for which none was free until the run's time was over.
    """

    seconds: float = 0.0
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    late: int = 0
    unsent: int = 0

    def add(self, other: LoadResult) -> None:
        """Take over what one caller has counted."""
        self.latencies.add(other.latencies)
        self.events += other.events
        self.refused += other.refused
        self.late += other.late


def run_load(
    plan: LoadPlan, sender: Sender, clock: Clock, on_progress: Callable[[float], None] = lambda _seconds: None
) -> LoadResult:
    """Make the load, and return what became of it.

    Args:
        plan: What load.
        sender: How to append.
        clock: Gives the events their time.
        on_progress: Told now and then for how many seconds it has run; by any thread.

    Raises:
        LedgerError: The server refuses for a reason that is none of load, or an answer does not hold.
    """
    run = _Run(plan, sender, EventSource(clock))
    total = LoadResult()
    with ThreadPoolExecutor(plan.callers, thread_name_prefix="logproof-bench") as pool:
        try:
            for done in [pool.submit(run.call_until_end, on_progress) for _ in range(plan.callers)]:
                total.add(done.result())
        finally:
            run.stop()
    total.seconds = run.seconds
    total.unsent = run.count_unsent()
    return total


class EventSource:
    """Makes events of about 320 bytes as JSON, with ids in order of time. For several threads."""

    def __init__(self, clock: Clock) -> None:
        """Keep the clock."""
        self._clock = clock
        self._chosen = random.Random(os.urandom(8))  # noqa: S311 - which actor acts is no secret

    def batch(self, count: int) -> list[MadeEvent]:
        """Return so many events, each with an id of its own."""
        now_us = self._clock.now_us()
        return [self._event(now_us) for _ in range(count)]

    def _event(self, now_us: int) -> MadeEvent:
        actor = f"user_{self._chosen.randrange(_ACTORS)}"
        event = Event(
            event_id=new_event_id(now_us // 1000, os.urandom(ID_RANDOM_BYTES)),
            action="benchmark.event.sent",
            occurred_at=now_us,
            actor=Actor(type=ActorType.USER, id=actor),
            targets=(Target("project", f"project_{self._chosen.randrange(_TARGETS)}"),),
            outcome=Outcome.SUCCESS,
            metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
            source=Source(service=SERVICE),
        )
        personal = PersonalData(
            actor_email=f"{actor}@customer.example", ip="203.0.113.42", user_agent="Mozilla/5.0 (X11; Linux x86_64)"
        )
        return MadeEvent(event, personal, Sections(*encode_sections(event, personal)))


class _Run:
    """One run: hands out calls until time, number or an error ends it."""

    def __init__(self, plan: LoadPlan, sender: Sender, source: EventSource) -> None:
        self._plan = plan
        self._sender = sender
        self._source = source
        self._begin = time.perf_counter()
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # guards the three below
        self._left = plan.max_events
        self._unsent = 0
        self._due = self._moments()

    @property
    def seconds(self) -> float:
        """Return for how long it has run."""
        return time.perf_counter() - self._begin

    def stop(self) -> None:
        """Begin no further call."""
        self._stopped.set()

    def count_unsent(self) -> int:
        """Return how many calls were due and not begun, once all callers have ended."""
        most = self._left // self._plan.batch
        return self._unsent + sum(1 for _ in itertools.islice(self._due, max(most - self._unsent, 0)))

    def call_until_end(self, on_progress: Callable[[float], None]) -> LoadResult:
        """Call, one after the other, until there is no call left; return what this caller has counted."""
        result = LoadResult()
        try:
            while (taken := self._take()) is not None:
                count, due = taken
                self._call(self._source.batch(count), due, result)
                on_progress(self.seconds)
        except BaseException:
            self.stop()
            raise
        return result

    def _take(self) -> tuple[int, float | None] | None:
        """Return how many events the next call has and when it is due, or None where there is none."""
        with self._lock:
            count = min(self._plan.batch, self._left)
            due = next(self._due, None)
            if count == 0 or due is None or self._stopped.is_set():
                return None
            if self.seconds >= self._plan.seconds:
                self._unsent += self._plan.calls_per_second is not None
                return None
            self._left -= count
        return count, (due if self._plan.calls_per_second is not None else None)

    def _moments(self) -> Iterator[float]:
        """Yield when calls are due, seconds from the start, as long as the run lasts."""
        rate = self._plan.calls_per_second
        chosen = random.Random(os.urandom(8))  # noqa: S311 - a load, not a secret
        if rate is None:
            while self.seconds < self._plan.seconds:
                yield 0.0
            return
        moment = chosen.expovariate(rate)
        while moment < self._plan.seconds:
            yield moment
            moment += chosen.expovariate(rate)

    def _call(self, batch: Sequence[MadeEvent], due: float | None, result: LoadResult) -> None:
        if due is not None:
            wait = due - self.seconds
            if wait < 0:
                result.late += 1
            elif self._stopped.wait(wait):
                return
        begin = due if due is not None else self.seconds
        try:
            self._sender.send(batch)
        except LedgerError as error:
            result.refused[_reason(error)] += 1
        else:
            result.latencies.record(max(round((self.seconds - begin) * 1e6), 0))
            result.events += len(batch)


def _reason(error: LedgerError) -> str:
    """Return the reason under which a failed call is counted.

    Raises:
        LedgerError: It is not for load that the call failed.
    """
    if isinstance(error, RemoteError) and error.code in _COUNTED_CODES:
        return error.remote_reason or error.code
    if isinstance(error, _COUNTED):
        return error.reason
    raise error
