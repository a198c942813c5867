"""What is to be reached: each requirement with its floor and aim, judged by what a record holds.

The rule that must not break: a floor that is missed, and one that could not be judged, says so in the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.record import Record, Row, ratio

MISSED: Final = "**MISSED**"
NOT_JUDGED: Final = "not judged"


@dataclass(frozen=True)
class Verdict:
    """One line of the table.

    Attributes:
        work: What is measured.
        floor: What must be reached.
        aim: What is aimed at.
        measured: What was measured, with its unit.
        share: The measured figure as a share of the floor, above 1 where it is better; None where it is not judged.
        verdict: aim, floor, behind or missed, and whether a peer was not steady; or why it is not judged.
    """

    work: str
    floor: str
    aim: str
    measured: str
    share: float | None
    verdict: str


def verdicts(record: Record) -> list[Verdict]:
    """Return every requirement, judged."""
    return [verdict for judge in _JUDGES for verdict in judge(record)]


def _batches(record: Record) -> Iterator[Verdict]:
    both = record.best("append_batch/logproof/1000/both/")
    event = record.best("append_batch/logproof/1000/event/")
    yield _at_least("`AppendBatch(1000)`, both sections", _median(both), 45_000, 120_000, "events/s")
    yield _at_least("`AppendBatch(1000)`, event only", _median(event), 55_000, 160_000, "events/s")
    for kind, words, floor, aim in (
        ("both", "both sections", 45_000, 120_000),
        ("event", "event only", 55_000, 160_000),
    ):
        row = record.row(f"append_batch/python/1000/{kind}/4")
        if row is not None:
            yield _at_least(f"... {words}, Python kernel", _median(row), floor, aim, "events/s")
    copy = record.row("append_batch/postgres/copy/1000")
    yield _ratio("... both sections against PostgreSQL COPY with chain", both, copy, 1.1, 3.0)
    yield _ratio("... against UmaDB", both, record.hardest("append_batch/umadb/1000/"), 0.5, 1.5)
    yield _ratio("... against PostgreSQL COPY, lean", both, record.row("append_batch/postgres_lean/copy/1000"), None, 1)
    yield _ratio("... against UmaDB, lean", both, record.row("append_batch/umadb_lean/1000/4"), None, 1)


def _sdk(record: Record) -> Iterator[Verdict]:
    sdk = record.row("append_each/sdk/64")
    yield _at_least("SDK `append()`, 64 callers, verified receipts", _median(sdk), 10_000, 25_000, "events/s")
    yield _ratio("... against UmaDB with 64 clients", sdk, record.row("append_each/umadb/64"), None, 1.0)


def _each(record: Record) -> Iterator[Verdict]:
    many = record.row("append_each/logproof/64")
    yield _ratio("`Append`, 64 callers, against the null handler", many, record.row("append_each/null/64"), 0.4, 0.7)
    yield _ratio("... against PostgreSQL, chain in a trigger", many, record.row("append_each/postgres/64"), 2.5, 5.0)
    rows = [record.row(f"append_each/{name}") for name in ("logproof/1", "null/1", "commit")]
    one, null, commit = (row.detail("p50_ms") if row is not None else None for row in rows)
    if one is None or null is None or commit is None:
        yield Verdict("`Append`, one caller, p50", "", "", "", None, f"{NOT_JUDGED}: not measured")
        return
    yield _at_most(
        f"`Append`, one caller, p50 (null handler {null:.2f} ms, durable commit with guard {commit:.2f} ms)",
        one,
        4 * null + 1.5 * commit,
        2 * null + commit,
        "ms",
    )


def _growth(record: Record) -> Iterator[Verdict]:
    last, fresh = record.row("growth/last"), record.row("growth/fresh")
    # Slices of one run are no rounds: their spread is not what a peer's is.
    share = last.median / fresh.median if last is not None and fresh is not None else None
    yield _at_least("growth: last tenth against a fresh log in turns with it", share, 0.9, 0.95, "times")
    yield _at_most("RssAnon of the serving process", _median(record.row("growth/memory")), 200, 120, "MB")
    yield _at_most("start-up until the first verified head", _median(record.row("growth/start")), 1.0, 0.3, "s")
    disk = record.row("growth/overhead")
    yield _at_most("disk beyond the sections as sent", _median(disk), 400, 300, "bytes/entry")


def _proofs(record: Record) -> Iterator[Verdict]:
    for kind in ("inclusion", "consistency"):
        rows = [
            row
            for section in record.sections.values()
            for row in section.rows
            if row.key.startswith(f"proofs/logproof/{kind}/") and row.runs
        ]
        largest = max(rows, key=lambda row: int(row.key.rpartition("/")[2]), default=None)
        size = f", tree of {int(largest.key.rpartition('/')[2]):,}" if largest is not None else ""
        yield _at_most(f"{kind} proof, random leaf{size}, p50", _median(largest), 60, 30, "us")
    yield _at_least(
        "inclusion proofs by the batch call", _median(record.row("proofs/batch")), 15_000, 50_000, "proofs/s"
    )


def _verifying(record: Record) -> Iterator[Verdict]:
    receipts = record.row("verifying/receipts/one_head")
    yield _at_least("receipts verified offline under one head", _median(receipts), 40_000, 100_000, "receipts/s")
    yield _at_least("`fsck`, one core", _median(record.row("verifying/fsck")), 120_000, 250_000, "entries/s")


def _overload(record: Record) -> Iterator[Verdict]:
    lost, killed = record.fact("latency", "overload_lost"), record.fact("durability", "kill_lost")
    yield _at_most("acknowledged and lost, overload at 4 times the capacity", lost, 0, 0, "events")
    yield _at_most("acknowledged and lost, server killed under load", killed, 0, 0, "events")
    half, over = record.row("overload/half"), record.row("overload/over")
    offered = record.fact("latency", "overload_offered_times")
    words = f" (offered {offered:.1f} times)" if offered is not None else ""
    share = over.median / half.median if over is not None and half is not None else None
    yield _at_most(f"overload{words}: p99 of accepted calls against half load", share, 5, 3, "times")
    first = record.fact("latency", "overload_memory_first_mb")
    last = record.fact("latency", "overload_memory_last_mb")
    grown = None if first is None or last is None else last / first
    yield _at_most("overload: memory, last round against the first", grown, 1.1, 1.05, "times")


_JUDGES: Final[tuple[Callable[[Record], Iterator[Verdict]], ...]] = (
    _batches, _sdk, _each, _growth, _proofs, _verifying, _overload,
)  # fmt: skip


def _median(row: Row | None) -> float | None:
    return row.median if row is not None else None


def _at_least(work: str, value: float | None, floor: float, aim: float, unit: str) -> Verdict:
    if value is None:
        return Verdict(work, _words(floor, unit), _words(aim, unit), "", None, f"{NOT_JUDGED}: not measured")
    verdict = "aim" if value >= aim else "floor" if value >= floor else MISSED
    return Verdict(work, _words(floor, unit), _words(aim, unit), _words(value, unit), value / floor, verdict)


def _at_most(work: str, value: float | None, floor: float, aim: float, unit: str) -> Verdict:
    limits = (f"at most {_words(floor, unit)}", f"at most {_words(aim, unit)}")
    if value is None:
        return Verdict(work, *limits, "", None, f"{NOT_JUDGED}: not measured")
    verdict = "aim" if value <= aim else "floor" if value <= floor else MISSED
    return Verdict(work, *limits, _words(value, unit), floor / value if floor and value else None, verdict)


def _ratio(work: str, ours: Row | None, reference: Row | None, floor: float | None, aim: float) -> Verdict:
    found = ratio(ours, reference)
    value = found.value
    limits = (f"{floor:g} times" if floor is not None else "-", f"{aim:g} times")
    if value is None:
        return Verdict(work, *limits, "", None, f"{NOT_JUDGED}: {found.refusal}")
    passed = "floor" if floor is None or value >= floor else MISSED
    if floor is None:
        passed = "behind"
    verdict = "aim" if value >= aim else passed
    return Verdict(
        work,
        *limits,
        f"{value:.2f} times" + (" its best round" if found.spread else ""),
        value / floor if floor is not None else None,
        f"{verdict}; its rounds spread over {found.spread:.0%}" if found.spread else verdict,
    )


def _words(value: float, unit: str) -> str:
    return f"{figure(value)} {unit}"


def figure(value: float) -> str:
    """Return a figure as text: three digits where it is small, whole where it is large."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
