"""What a run of the benchmarks leaves: raw figures of every round, with the conditions they were measured under.

The rule that must not break: only raw runs are measured facts; medians, spreads and ratios are computed from them by
whoever shows them, and what was not steady is compared with at its best.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
MAX_SPREAD: Final = 0.25
"""Widest spread of a reference at which its median stands for it; beyond it, its best round does."""

TIMES: Final = frozenset({"us", "ms", "s"})
"""Units of times, of which the smaller is the better."""


@dataclass
class Row:
    """One kind of work by one system.

    Attributes:
        key: Name that ratios and floors refer to, such as `append_batch/logproof/1000/4/both`.
        system: Who did it: `logproof`, a peer, or a limit of the machine.
        work: What was done, in words.
        unit: Unit of the figure.
        runs: The figure of each round.
        details: Further figures of each round, by name with unit.
        missing: Why there is no figure; empty where there is one.
    """

    key: str
    system: str
    work: str
    unit: str
    runs: list[float] = field(default_factory=list)
    details: dict[str, list[float]] = field(default_factory=dict)
    missing: str = ""

    @property
    def median(self) -> float:
        """Return the median of the rounds; 0 where there is none."""
        return statistics.median(self.runs) if self.runs else 0.0

    @property
    def spread(self) -> float:
        """Return the distance of the best and the worst round, as a share of the median."""
        return (max(self.runs) - min(self.runs)) / self.median if self.median else 0.0

    @property
    def is_steady(self) -> bool:
        """Return whether the rounds are close enough for the median to stand for them."""
        return self.spread <= MAX_SPREAD

    @property
    def to_compare(self) -> float:
        """Return the figure that others are compared with: the median, or the best round where they are not steady."""
        if self.is_steady:
            return self.median
        return min(self.runs) if self.unit in TIMES else max(self.runs)

    def detail(self, name: str) -> float | None:
        """Return the median of a further figure; None where there is none."""
        values = self.details.get(name)
        return statistics.median(values) if values else None


@dataclass
class Curve:
    """How a figure changes as something grows.

    Attributes:
        key: Name, also of the plot's file.
        title: What the plot shows.
        x: What grows.
        y: Unit of the figure.
        lines: Points of each system, by its name.
    """

    key: str
    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


@dataclass
class Section:
    """What one benchmark measured.

    Attributes:
        rows: The rows, in the order in which they are shown.
        curves: The curves.
        facts: What else was found, by name, such as counts that a check must see.
        seconds: How long it took.
    """

    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    facts: dict[str, float | str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Record:
    """One run of the table.

    Attributes:
        conditions: Machine, versions, commit, seed, scale: whatever a reader needs to judge the figures.
        sections: The benchmarks that were run, by name.
    """

    conditions: dict[str, str] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)

    def row(self, key: str) -> Row | None:
        """Return the row of this key that has a figure; None where there is none."""
        for section in self.sections.values():
            for row in section.rows:
                if row.key == key:
                    return row if row.runs else None
        return None

    def best(self, prefix: str) -> Row | None:
        """Return the row with the highest figure of those whose key begins so; None where there is none."""
        rows = [row for section in self.sections.values() for row in section.rows if row.key.startswith(prefix)]
        return max((row for row in rows if row.runs), key=lambda row: row.median, default=None)

    def hardest(self, prefix: str) -> Row | None:
        """Return the row, of those whose key begins so, that is the hardest rate to compare with; None for none."""
        rows = [row for section in self.sections.values() for row in section.rows if row.key.startswith(prefix)]
        return max((row for row in rows if row.runs), key=lambda row: row.to_compare, default=None)

    def fact(self, benchmark: str, name: str) -> float | None:
        """Return a fact that is a number; None where it was not found."""
        section = self.sections.get(benchmark)
        value = section.facts.get(name) if section is not None else None
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Ratio:
    """A comparison that is fit to be shown, or the reason why there is none.

    Attributes:
        value: The ratio; None where it is refused.
        refusal: Why it is refused.
        spread: Of the reference's rounds, where that is why the ratio is to the best of them; else 0.
    """

    value: float | None
    refusal: str = ""
    spread: float = 0.0


def ratio(ours: Row | None, reference: Row | None) -> Ratio:
    """Return how much ours is of the reference; where that was not steady, of its best round."""
    if ours is None:
        return Ratio(None, "not measured")
    if reference is None:
        return Ratio(None, "nothing to compare with")
    if len(reference.runs) == 1:
        return Ratio(None, "no ratio: one round says nothing of the spread")
    return Ratio(ours.median / reference.to_compare, spread=0.0 if reference.is_steady else reference.spread)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies; the values need no order."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def save(record: Record, path: Path) -> None:
    """Write the record, whole or not at all, with what can be computed from the runs beside them for readers."""
    document = {"format": FORMAT, **asdict(record)}
    for name, section in record.sections.items():
        for row, written in zip(section.rows, document["sections"][name]["rows"], strict=True):
            written["median"] = row.median
            written["spread"] = round(row.spread, 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(_rounded(document), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def load(path: Path) -> Record:
    """Read a record.

    Raises:
        ValueError: It is of another format.
    """
    document = json.loads(path.read_text("utf-8"))
    if document.get("format") != FORMAT:
        raise ValueError(f"{path} has format {document.get('format')}; this program reads {FORMAT}")
    sections = {
        name: Section(
            rows=[
                Row(**{key: value for key, value in row.items() if key not in {"median", "spread"}})
                for row in section["rows"]
            ],
            curves=[_curve(curve) for curve in section["curves"]],
            facts=section["facts"],
            seconds=section["seconds"],
        )
        for name, section in document["sections"].items()
    }
    return Record(document["conditions"], sections)


def _curve(document: dict[str, Any]) -> Curve:
    lines = {name: [(x, y) for x, y in points] for name, points in document["lines"].items()}
    return Curve(document["key"], document["title"], document["x"], document["y"], lines)


def _rounded(value: object) -> object:
    """Return a document whose numbers carry six digits, which is more than any timing has."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
