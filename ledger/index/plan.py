"""A filter made ready for one file of the index: for each window, which entries may pass.

The rule that must not break: every part gives at least the entries that pass it; NOT of a part that may give more gives
all, because what is left over cannot be told.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from ledger.index.segment import WINDOW_SIZE
from ledger.index.terms import Meaning, meaning
from ledger.query.nodes import And, Comparison, Node, Not
from ledger.query.operators import Operator
from ledger.query.predicate import CategoryOf, ControlsOf

MAX_TERMS: Final = 2_000
"""Most terms that one comparison may mean and still be answered by them."""

Offsets: TypeAlias = AbstractSet[int]
"""Offsets of entries in a window."""

# The largest number of SQLite; no entry has a time or an index so large.
_LARGEST: Final = 2**63 - 1
# Rows of so many terms are read window by window; of more, all at once.
_FEW_TERMS: Final = 16
_COLUMNS: Final = {"timestamp": "occurred_at", "recorded_at": "recorded_at", "leaf_index": "leaf_index"}
_ORDERINGS: Final = {
    Operator.EQUALS: "=",
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
}


class Plan(Protocol):
    """A part of a filter."""

    @property
    def is_exact(self) -> bool:
        """Whether it gives no entries but those that pass."""

    def windows(self) -> AbstractSet[int] | None:
        """Return the windows that may have an entry; None for all."""

    def offsets(self, window: int) -> Offsets:
        """Return the entries of a window that may pass."""


class Windows:
    """What one file says of its windows."""

    def __init__(self, file: sqlite3.Connection) -> None:
        """Keep the file, open for reading."""
        self.file = file
        self._present: tuple[int, Offsets] = (-1, frozenset())

    def present(self, window: int) -> Offsets:
        """Return the entries of a window whose events are kept."""
        if self._present[0] != window:
            rows = self.file.execute(
                "SELECT leaf_index FROM entry WHERE leaf_index >= ? AND leaf_index < ?", span(window)
            )
            begin = window * WINDOW_SIZE
            self._present = (window, frozenset([index - begin for (index,) in rows]))
        return self._present[1]


def span(window: int) -> tuple[int, int]:
    """Return the first leaf index of a window, and that after the last."""
    return window * WINDOW_SIZE, (window + 1) * WINDOW_SIZE


def unpack(offsets: bytes) -> array[int]:
    """Return the offsets that a posting holds.

    Raises:
        sqlite3.DatabaseError: It is damaged.
    """
    found = array("H")
    try:
        found.frombytes(offsets)
    except (TypeError, ValueError) as error:
        raise sqlite3.DatabaseError("a posting is damaged") from error
    return found


def make_plan(node: Node, windows: Windows, category_of: CategoryOf, controls_of: ControlsOf) -> Plan:
    """Return a filter made ready for a file."""
    if isinstance(node, Comparison):
        if node.field in _COLUMNS and node.operator in _ORDERINGS:
            value = min(int(node.value), _LARGEST) if isinstance(node.value, int) else 0
            return _Times(windows, _COLUMNS[node.field], _ORDERINGS[node.operator], value)
        meant = meaning(node, category_of, controls_of)
        ids = None if meant is None else _term_ids(windows.file, meant)
        return _Unknown(windows) if ids is None else _Terms(windows, ids)
    if isinstance(node, Not):
        operand = make_plan(node.operand, windows, category_of, controls_of)
        return _Negated(windows, operand) if operand.is_exact else _Unknown(windows)
    operands = [make_plan(operand, windows, category_of, controls_of) for operand in node.operands]
    if not operands:
        return _All(windows)
    return _Every(operands) if isinstance(node, And) else _Any(operands)


def _term_ids(file: sqlite3.Connection, meant: Meaning) -> list[int] | None:
    """Return the ids of the terms that are meant; None where they are too many."""
    if meant.before is None:
        rows = file.execute("SELECT text, id FROM term WHERE kind = ? AND text = ?", (meant.kind, meant.first))
    else:
        rows = file.execute(
            "SELECT text, id FROM term WHERE kind = ? AND text >= ? AND text < ?",
            (meant.kind, meant.first, meant.before),
        )
    ids: list[int] = []
    for text, found in rows:
        if meant.accepts is None or meant.accepts(text):
            ids.append(found)
            if len(ids) > MAX_TERMS:
                return None
    return ids


@dataclass(slots=True)
class _Terms:
    """Entries that have one of some terms."""

    in_file: Windows
    ids: Sequence[int]
    is_exact: bool = True
    _rows: dict[int, list[bytes]] | None = None
    _last: tuple[int, Offsets] = (-1, frozenset())

    def windows(self) -> AbstractSet[int] | None:
        if len(self.ids) > _FEW_TERMS:
            return self._all().keys()
        return {
            window
            for found in self.ids
            for (window,) in self.in_file.file.execute("SELECT window FROM posting WHERE term = ?", (found,))
        }

    def offsets(self, window: int) -> Offsets:
        if self._last[0] != window:
            self._last = (window, frozenset().union(*map(unpack, self._packed(window))))
        return self._last[1]

    def _packed(self, window: int) -> list[bytes]:
        if len(self.ids) > _FEW_TERMS:
            return self._all().get(window, [])
        statement = "SELECT offsets FROM posting WHERE term = ? AND window = ?"
        return [
            row[0] for found in self.ids for row in self.in_file.file.execute(statement, (found, window)).fetchall()
        ]

    def _all(self) -> dict[int, list[bytes]]:
        if self._rows is None:
            rows: defaultdict[int, list[bytes]] = defaultdict(list)
            for found in self.ids:
                statement = "SELECT window, offsets FROM posting WHERE term = ?"
                for window, packed in self.in_file.file.execute(statement, (found,)):
                    rows[window].append(packed)
            self._rows = dict(rows)
        return self._rows


@dataclass(slots=True)
class _Times:
    """Entries whose time or index compares so with a value."""

    in_file: Windows
    column: str
    comparison: str
    value: int
    is_exact: bool = True

    def windows(self) -> AbstractSet[int] | None:
        bounds = {"occurred_at": ("first_occurred_at", "last_occurred_at"), "recorded_at": ("first_at", "last_at")}
        if self.column not in bounds:
            return None
        first, last = bounds[self.column]
        # Column names and operators are this module's own.
        conditions = {
            "=": f"{first} <= :value AND {last} >= :value",
            "<": f"{first} < :value",
            "<=": f"{first} <= :value",
            ">": f"{last} > :value",
            ">=": f"{last} >= :value",
        }
        rows = self.in_file.file.execute(
            f"SELECT window FROM span WHERE {conditions[self.comparison]}",  # noqa: S608 - this module's own words
            {"value": self.value},
        )
        return {window for (window,) in rows}

    def offsets(self, window: int) -> Offsets:
        begin, end = span(window)
        rows = self.in_file.file.execute(
            f"SELECT leaf_index FROM entry WHERE leaf_index >= ? AND leaf_index < ? AND {self.column} {self.comparison} ?",  # noqa: S608
            (begin, end, self.value),
        )
        return {index - begin for (index,) in rows}


@dataclass(slots=True)
class _All:
    """All entries whose events are kept."""

    in_file: Windows
    is_exact: bool = True

    def windows(self) -> AbstractSet[int] | None:
        return None

    def offsets(self, window: int) -> Offsets:
        return self.in_file.present(window)


@dataclass(slots=True)
class _Unknown(_All):
    """What terms cannot tell."""

    is_exact: bool = False


@dataclass(slots=True)
class _Negated:
    """Entries that do not pass."""

    in_file: Windows
    operand: Plan
    is_exact: bool = True

    def windows(self) -> AbstractSet[int] | None:
        return None

    def offsets(self, window: int) -> Offsets:
        return self.in_file.present(window) - self.operand.offsets(window)


@dataclass(slots=True)
class _Joined:
    """Parts that are joined."""

    operands: Sequence[Plan]
    is_exact: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_exact = all(operand.is_exact for operand in self.operands)


class _Every(_Joined):
    """Entries that pass all parts."""

    def windows(self) -> AbstractSet[int] | None:
        found: AbstractSet[int] | None = None
        for operand in self.operands:
            of_operand = operand.windows()
            if of_operand is not None:
                found = of_operand if found is None else found & of_operand
        return found

    def offsets(self, window: int) -> Offsets:
        found = self.operands[0].offsets(window)
        for operand in self.operands[1:]:
            if not found:
                break
            found = found & operand.offsets(window)
        return found


class _Any(_Joined):
    """Entries that pass any part."""

    def windows(self) -> AbstractSet[int] | None:
        found: set[int] = set()
        for operand in self.operands:
            of_operand = operand.windows()
            if of_operand is None:
                return None
            found |= of_operand
        return found

    def offsets(self, window: int) -> Offsets:
        return frozenset[int]().union(*(operand.offsets(window) for operand in self.operands))
