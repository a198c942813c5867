"""What every benchmark works with: sizes, a place on the disk, and the order in which rounds are run.

Rounds are interleaved, each system once in each, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.record import Row


@dataclass(frozen=True)
class Scale:
    """How large a run is.

    Attributes:
        name: Name on the command line.
        rounds: Rounds of each comparison.
        batch_events: Events of one run of a batch benchmark.
        calls: Calls of one run with many callers; a single caller makes a fifth of them.
        growth: Entries to which the own log grows.
        slice_entries: Entries of one point of the growth curve.
        peer_growth: Entries to which peers grow.
        proof_sizes: Tree sizes at which proofs are compared with a peer.
        proofs: Proofs of one run.
        verify_entries: Entries that are verified, audited and checked.
        open_loop_seconds: How long each load of the latency benchmark lasts.
        kills: How often the server is killed under load.
    """

    name: str
    rounds: int
    batch_events: int
    calls: int
    growth: int
    slice_entries: int
    peer_growth: int
    proof_sizes: tuple[int, ...]
    proofs: int
    verify_entries: int
    open_loop_seconds: float
    kills: int


SCALES: Final = {
    scale.name: scale
    for scale in (
        Scale(
            "full", 3, 100_000, 5_000, 10_000_000, 100_000, 1_000_000, (100_000, 1_000_000), 5_000, 100_000, 10.0, 20
        ),
        Scale("short", 3, 20_000, 1_500, 300_000, 20_000, 100_000, (10_000, 100_000), 1_000, 20_000, 3.0, 3),
        Scale("smoke", 1, 2_000, 100, 4_000, 1_000, 2_000, (1_000,), 50, 1_000, 0.5, 1),
    )
}


@dataclass
class Lab:
    """One run.

    Attributes:
        scale: Sizes.
        work: Directory on the disk that is measured; what a benchmark leaves there the next may use.
        seed: Seed of everything that is random.
        say: Told of progress.
    """

    scale: Scale
    work: Path
    seed: int
    say: Callable[[str], None] = print

    def folder(self, name: str) -> Path:
        """Return a new directory below the working directory."""
        path = self.work / name
        path.mkdir(parents=True)
        return path


@dataclass(frozen=True)
class Sample:
    """One run of a case: its figure, and further ones by name."""

    figure: float
    details: dict[str, float] = field(default_factory=dict)


@dataclass
class Case:
    """Work that is measured once in each round.

    Attributes:
        key: Key of the row.
        system: Who does it.
        work: What is done.
        unit: Unit of the figure.
        run: Does it in the round of this number, and returns what it measured.
        missing: Why it cannot be run; then `run` is not called.
    """

    key: str
    system: str
    work: str
    unit: str
    run: Callable[[int], Sample]
    missing: str = ""


def interleave(lab: Lab, cases: Sequence[Case]) -> list[Row]:
    """Run every case once in each round, and return a row for each."""
    rows = [Row(case.key, case.system, case.work, case.unit, missing=case.missing) for case in cases]
    for number in range(lab.scale.rounds):
        for case, row in zip(cases, rows, strict=True):
            if case.missing:
                continue
            begin = time.perf_counter()
            sample = case.run(number)
            row.runs.append(sample.figure)
            for name, value in sample.details.items():
                row.details.setdefault(name, []).append(value)
            lab.say(
                f"  round {number + 1}/{lab.scale.rounds}  {case.system}: {case.work}: {sample.figure:,.1f} {case.unit}"
                f"  ({time.perf_counter() - begin:.1f} s)"
            )
    return rows


def number_of(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def missing_cases(reason: str, described: Iterable[tuple[str, str, str, str]]) -> list[Case]:
    """Return cases of a system that is not here: key, system, work and unit of each."""

    def never(_round: int) -> Sample:
        raise AssertionError(reason)

    return [Case(key, system, work, unit, never, missing=reason) for key, system, work, unit in described]
