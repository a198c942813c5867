"""Counting entries by the index: by the value of a field, by time, or both.

The rule that must not break: an entry is counted once for each different value that it has of the field, so that counts
are those of the filter `field = value` on the same tree.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ledger.index.plan import Offsets, span, unpack
from ledger.index.search import Found, Index
from ledger.index.terms import Group, group_of
from ledger.query.nodes import EVERYTHING, Node

Verify: TypeAlias = Callable[[Sequence[int]], Sequence[int]]
"""Returns those of some leaf indexes whose entries pass the filter."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted.

    Attributes:
        groups: How many entries there are, by the beginning of the time (microseconds since 1970 in UTC; 0 where not
            counted by time) and the value (empty where not counted by one).
        total: Entries that pass, whether they have a value or not.
    """

    groups: Mapping[tuple[int, str], int]
    total: int


@dataclass(frozen=True, slots=True)
class Buckets:
    """How time is cut.

    Attributes:
        width: Length of a bucket in microseconds.
        offset: Where one begins, microseconds since 1970; less than the width.
        column: The time that counts: `occurred_at` or `recorded_at`.
    """

    width: int
    offset: int
    column: str

    def begin(self, at: int) -> int:
        """Return the beginning of the bucket of a time."""
        return (at - self.offset) // self.width * self.width + self.offset


def count(
    index: Index, node: Node, size: int, *, group_by: str = "", buckets: Buckets | None = None, verify: Verify
) -> Counts:
    """Return how many of the first `size` entries pass a filter, by value and time.

    Args:
        index: The index; it has at least so many entries.
        node: The filter.
        size: A tree size.
        group_by: The field by whose values to count; empty for none.
        buckets: How to count by time; None for not at all.
        verify: Asked about entries that the index cannot decide.

    Raises:
        InvalidFilterError: The field is none to count by.
        IndexBehindError: The index cannot be read.
    """
    group = group_of(group_by, index.category_of, index.controls_of) if group_by else None
    groups: Counter[tuple[int, str]] = Counter()
    total = 0
    for number, begin, end in index.parts(0, size):
        with index.file(number, end) as file:
            whole = node == EVERYTHING and _is_whole(file, end) and not (group and group.is_shared)
            if whole and buckets is None:
                total += file.execute("SELECT count(*) FROM entry").fetchone()[0]
                _count_whole(file, group, groups)
                continue
            if whole and group is None and buckets is not None:
                total += _count_times(file, buckets, groups)
                continue
            passing = _passing(index.find_in(file, node, begin, end, descending=False), verify)
            total += sum(map(len, passing.values()))
            times = {window: _times(file, window, buckets) for window in passing} if buckets is not None else {}
            _count_passing(file, group, passing, times, groups)
    return Counts(groups, total)


def _is_whole(file: sqlite3.Connection, end: int) -> bool:
    """Return whether the file has no entries beyond those that are counted."""
    return bool(file.execute("SELECT watermark <= ? FROM state", (end,)).fetchone()[0])


def _count_whole(file: sqlite3.Connection, group: Group | None, groups: Counter[tuple[int, str]]) -> None:
    if group is None:
        return
    statement = "SELECT text, sum(count) FROM term JOIN posting ON term = id WHERE kind = ? AND text >= ? AND text < ? GROUP BY id"
    values: Counter[str] = Counter()
    for text, times in file.execute(statement, (group.kind, group.first, group.before)):
        for value in group.values(text):
            values[value] += times
    for value, times in values.items():
        groups[0, value] += times


def _count_times(file: sqlite3.Connection, buckets: Buckets, groups: Counter[tuple[int, str]]) -> int:
    # The column's name is this module's own. A division of SQL cuts towards 0, so nothing negative is divided.
    statement = f"SELECT ({buckets.column} - ? + ?) / ? - 1, count(*) FROM entry GROUP BY 1"  # noqa: S608
    total = 0
    for number, times in file.execute(statement, (buckets.offset, buckets.width, buckets.width)):
        groups[number * buckets.width + buckets.offset, ""] += times
        total += times
    return total


def _passing(windows: Iterable[Found], verify: Verify) -> dict[int, Offsets]:
    """Return the entries that pass, as offsets by window."""
    passing: dict[int, Offsets] = {}
    for found in windows:
        indexes = found.leaf_indexes if found.is_exact else verify(found.leaf_indexes)
        first, _ = span(found.window)
        if indexes:
            passing[found.window] = {position - first for position in indexes}
    return passing


def _times(file: sqlite3.Connection, window: int, buckets: Buckets) -> dict[int, int]:
    """Return the beginning of the bucket of each entry of a window, by its offset."""
    begin, end = span(window)
    statement = f"SELECT leaf_index, {buckets.column} FROM entry WHERE leaf_index >= ? AND leaf_index < ?"  # noqa: S608
    return {position - begin: buckets.begin(at) for position, at in file.execute(statement, (begin, end))}


def _count_passing(
    file: sqlite3.Connection,
    group: Group | None,
    passing: Mapping[int, Offsets],
    times: Mapping[int, Mapping[int, int]],
    groups: Counter[tuple[int, str]],
) -> None:
    if group is None:
        for window, offsets in passing.items():
            of_window = times.get(window)
            groups.update((of_window[offset] if of_window else 0, "") for offset in offsets)
        return
    counted: set[tuple[int, int, str]] = set()
    beginning = ""
    for text, window, packed in _postings(file, group, passing):
        # Terms that share a value begin alike, and come one after the other.
        if beginning != (beginning := text.partition("\0")[0]):
            counted.clear()
        found = passing[window] & set(unpack(packed)) if window in passing else frozenset[int]()
        if not found:
            continue
        of_window = times.get(window)
        for value in group.values(text):
            if group.is_shared:
                # Several terms share a value, and an entry may have several of them.
                new = {offset for offset in found if (window, offset, value) not in counted}
                counted.update((window, offset, value) for offset in new)
            else:
                new = set(found)
            if of_window:
                groups.update((of_window[offset], value) for offset in new)
            elif new:
                groups[0, value] += len(new)


def _postings(
    file: sqlite3.Connection, group: Group, passing: Mapping[int, Offsets]
) -> Iterator[tuple[str, int, bytes]]:
    if not passing:
        return
    yield from file.execute(
        "SELECT text, window, offsets FROM term JOIN posting ON term = id "
        "WHERE kind = ? AND text >= ? AND text < ? AND window BETWEEN ? AND ? ORDER BY text",
        (group.kind, group.first, group.before, min(passing), max(passing)),
    )
