"""Load from this process: so many calls at a time, or calls at the times of a Poisson process.

One helper each for clients that are asynchronous and for those that block, with the same meaning: every system is
driven by one of them.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from benchmarks.lab import Sample
from benchmarks.record import percentile

T = TypeVar("T")


@cache
def _runner() -> asyncio.Runner:
    """Return the one event loop of this process: gRPC's threads keep calling the loop that they first saw."""
    return asyncio.Runner()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result."""
    return _runner().run(work)


@dataclass
class Timing:
    """How long a run took.

    Attributes:
        seconds: From the first call to the last answer.
        latencies: Seconds of each call; in an open loop from the moment the call was due.
        failures: How many calls failed, by reason.
        sent_seconds: In an open loop, from the first call to the last one's sending.
        lateness: In an open loop, seconds of each call from when it was due to when this process began it: a share of
            the latency that is the load generator's, not the server's.
    """

    seconds: float
    latencies: list[float]
    failures: dict[str, int] = field(default_factory=dict)
    sent_seconds: float = 0.0
    lateness: list[float] = field(default_factory=list)

    def sample(self, events: int) -> Sample:
        """Return the rate of so many events, with the latencies of their calls."""
        return Sample(events / self.seconds, self.quantiles())

    def quantiles(self) -> dict[str, float]:
        """Return median and tail, milliseconds."""
        shares = {"p50_ms": 0.5, "p99_ms": 0.99}
        found = {name: percentile(self.latencies, share) * 1e3 for name, share in shares.items()}
        return {**found, "max_ms": max(self.latencies) * 1e3}


async def drive_tasks(call: Callable[[int], Awaitable[object]], count: int, in_flight: int) -> Timing:
    """Make the calls 0 to `count`, so many at a time."""
    numbers = iter(range(count))
    latencies: list[float] = []

    async def worker() -> None:
        for number in numbers:
            begin = time.perf_counter()
            await call(number)
            latencies.append(time.perf_counter() - begin)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return Timing(time.perf_counter() - started, latencies)


def drive_threads(calls: Sequence[Callable[[int], object]], count: int) -> Timing:
    """Make the calls 0 to `count`, each of the given clients in a thread of its own."""
    numbers = iter(range(count))
    taking = threading.Lock()
    latencies: list[float] = []

    def work(call: Callable[[int], object]) -> None:
        while True:
            with taking:
                number = next(numbers, None)
            if number is None:
                return
            begin = time.perf_counter()
            call(number)
            latencies.append(time.perf_counter() - begin)

    with ThreadPoolExecutor(len(calls)) as pool:
        started = time.perf_counter()
        for done in [pool.submit(work, call) for call in calls]:
            done.result()
        return Timing(time.perf_counter() - started, latencies)


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the times of a Poisson process, seconds from the start."""
    chosen = random.Random(seed)
    times: list[float] = []
    now = chosen.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += chosen.expovariate(rate)
    return times


async def open_loop_tasks(
    call: Callable[[int], Awaitable[object]], due: Sequence[float], reason_of: Callable[[Exception], str]
) -> Timing:
    """Make each call when it is due, whether earlier ones were answered or not."""
    latencies: list[float] = []
    failures: dict[str, int] = {}
    lateness: list[float] = []
    started = time.perf_counter()

    async def one(number: int, moment: float) -> None:
        lateness.append(time.perf_counter() - started - moment)
        try:
            await call(number)
        except Exception as error:  # noqa: BLE001 - counted by its reason
            reason = reason_of(error)
            failures[reason] = failures.get(reason, 0) + 1
        else:
            latencies.append(time.perf_counter() - started - moment)

    pending = []
    for number, moment in enumerate(due):
        wait = moment - (time.perf_counter() - started)
        # Even without a wait the loop must run, or nothing would be sent.
        await asyncio.sleep(max(0.0, wait))
        pending.append(asyncio.create_task(one(number, moment)))
    sent_seconds = time.perf_counter() - started
    await asyncio.gather(*pending)
    return Timing(time.perf_counter() - started, latencies, failures, sent_seconds, lateness)


def open_loop_threads(calls: Sequence[Callable[[int], object]], due: Sequence[float]) -> Timing:
    """Make each call when it is due, or as soon after as one of the given clients is free."""
    numbers = iter(range(len(due)))
    taking = threading.Lock()
    latencies: list[float] = []

    def work(call: Callable[[int], object]) -> None:
        while True:
            with taking:
                number = next(numbers, None)
            if number is None:
                return
            time.sleep(max(0.0, due[number] - (time.perf_counter() - started)))
            call(number)
            latencies.append(time.perf_counter() - started - due[number])

    with ThreadPoolExecutor(len(calls)) as pool:
        started = time.perf_counter()
        for done in [pool.submit(work, call) for call in calls]:
            done.result()
        return Timing(time.perf_counter() - started, latencies)
