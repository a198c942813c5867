"""Load for as long as one likes: writers, readers and a verifier, and whether memory, descriptors and latency stay flat.

    pytest -m long -n 0 -s tests/e2e/test_soak.py

`LOGPROOF_LONG_MINUTES` says how long, 10 unless told. Figures are compared within the run alone: the machine's speed is
not judged.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Self

import pytest

from ledger.client import Ledger
from tests.support.long_run import long_folder, long_number, tell
from tests.support.served import Served, run_logproof

_PERIODS = 10
_BATCH = 100
# The first periods fill caches; what is flat is judged after them.
_WARM = 3
# Most that the last periods may have over the first warm ones.
_FLAT = {"memory_kib": 1.15, "descriptors": 1.1, "append_p50_ms": 2.0, "append_p99_ms": 4.0}


@dataclass(frozen=True)
class Period:
    """What one period of the run was like."""

    tree_size: int
    appends: int
    reads: int
    verified: int
    memory_kib: int
    descriptors: int
    append_p50_ms: float
    append_p99_ms: float


class Load:
    """Threads that use a server, each with a client of its own, and what they have counted since it was last asked."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._lock = threading.Lock()  # guards all below
        self._latencies: list[float] = []
        self._counts = {"reads": 0, "verified": 0}
        self._failures: list[BaseException] = []
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,))
            for work in (self._append, self._append, self._append_batch, self._read, self._verify)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def wait(self, seconds: float) -> None:
        """Let the load go on for so long; raise what any thread met."""
        self._ends.wait(seconds)
        with self._lock:
            if self._failures:
                raise self._failures[0]

    def taken(self) -> tuple[list[float], dict[str, int]]:
        """Return latencies in milliseconds and counts since the last call."""
        with self._lock:
            latencies, self._latencies = self._latencies, []
            counts, self._counts = self._counts, dict.fromkeys(self._counts, 0)
        return latencies, counts

    def _repeat(self, work: Callable[[Ledger], None]) -> None:
        try:
            with self._served.client() as client:
                while not self._ends.is_set():
                    work(client)
        except BaseException as error:  # noqa: BLE001 - raised again by `wait`
            with self._lock:
                self._failures.append(error)
            self._ends.set()

    def _append(self, client: Ledger) -> None:
        started = time.perf_counter()
        client.append("user.role.updated", actor="user:u1", target="user:u2")
        with self._lock:
            self._latencies.append((time.perf_counter() - started) * 1000)

    def _append_batch(self, client: Ledger) -> None:
        client.append_batch([{"action": "user.created", "actor_id": f"user_{n}"} for n in range(_BATCH)])

    def _read(self, client: Ledger) -> None:
        size = client.checkpoint().checkpoint.tree_size
        begin = random.randrange(max(1, size - 500))
        count = sum(1 for _ in client.read_entries(begin, min(size, begin + 500)))
        with self._lock:
            self._counts["reads"] += count

    def _verify(self, client: Ledger) -> None:
        size = client.checkpoint().checkpoint.tree_size
        # The client verifies what it returns, and raises where it does not hold.
        client.prove_inclusion(random.randrange(size))
        client.prove_consistency(random.randrange(1, size + 1), size)
        assert client.verify_entry(random.randrange(size)).verdict == "verified"
        with self._lock:
            self._counts["verified"] += 3


def _period(served: Served, load: Load, size: int) -> Period:
    process = Path("/proc", str(served.process.pid))
    memory = next(line for line in (process / "status").read_text().splitlines() if line.startswith("RssAnon"))
    latencies, counts = load.taken()
    return Period(
        tree_size=size,
        appends=len(latencies),
        reads=counts["reads"],
        verified=counts["verified"],
        memory_kib=int(memory.split()[1]),
        descriptors=len(list((process / "fd").iterdir())),
        append_p50_ms=round(median(latencies), 2),
        append_p99_ms=round(quantiles(latencies, n=100)[98], 2),
    )


def _ratios(periods: list[Period]) -> dict[str, float]:
    """Return, for each figure that must stay flat, its median at the end over that of the first warm periods."""
    warm = [asdict(period) for period in periods[_WARM:]]
    half = len(warm) // 2
    return {
        name: round(median(row[name] for row in warm[-half:]) / median(row[name] for row in warm[:half]), 2)
        for name in _FLAT
    }


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.close()


@pytest.mark.long
@pytest.mark.timeout(24 * 3600)
def test_memory_descriptors_and_latency_stay_flat_under_load_with_readers_and_a_verifier(served: Served) -> None:
    minutes = long_number("MINUTES", 10)
    periods: list[Period] = []
    tell(f"\n{minutes:g} minutes in {_PERIODS} periods")
    with served.client() as client, Load(served) as load:
        client.append("user.created", actor="user:u1", target="user:u2")
        for _ in range(_PERIODS):
            load.wait(minutes * 60 / _PERIODS)
            periods.append(_period(served, load, client.checkpoint().checkpoint.tree_size))
            tell(str(periods[-1]))
    ratios = _ratios(periods)
    told = {name: f"{ratio} ({'flat' if ratio <= _FLAT[name] else 'NOT flat'})" for name, ratio in ratios.items()}
    tell(str(told))
    report = {"minutes": minutes, "periods": [asdict(period) for period in periods], "ratios": ratios}
    (long_folder("soak") / "report.json").write_text(json.dumps(report, indent=1))
    assert served.stop() == 0
    checked = run_logproof("fsck", "--data", served.data, timeout_seconds=3600)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert {name: ratio for name, ratio in ratios.items() if ratio > _FLAT[name]} == {}
