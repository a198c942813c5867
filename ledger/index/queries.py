"""Answers to queries: pages of entries and counts, from the index and the log together.

The rule that must not break: an answer is that of the log at one tree size. What the index does not have yet is read from
the log; what it cannot decide is decided by the entry itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.clock import Clock
from ledger.engine.reader import EntryRead, LogReader, View
from ledger.errors import IndexBehindError, InvalidEventError, InvalidFilterError
from ledger.events.leaf import decode_leaf
from ledger.events.wire import read_event, read_personal
from ledger.index.counts import Buckets, Counts, count
from ledger.index.search import Index
from ledger.index.segment import State
from ledger.merkle.proofs import tree_root
from ledger.query.nodes import Node, personal_fields
from ledger.query.predicate import QueriedEntry, compile_predicate

MAX_UNINDEXED: Final = 20_000
"""Most entries that are read from the log because the index does not have them yet."""

_CHUNK: Final = 200
# A page that is found only by looking at entries ends after so long, and says where to go on.
_LOOK_US: Final = 1_500_000
# A count cannot be told in parts.
_COUNT_LOOK_US: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries that pass a filter.

    Attributes:
        leaf_indexes: Their indexes, in order.
        cursor: Where the next page begins: the first index to look at, or, descending, the index after it; None where
            nothing is left.
    """

    leaf_indexes: list[int]
    cursor: int | None


class Queries:
    """Queries of one log at one snapshot. For one thread."""

    def __init__(self, reader: LogReader, index: Index, indexed: State, clock: Clock, node: Node) -> None:
        """Make a filter ready.

        Args:
            reader: The log at one snapshot.
            index: Its index.
            indexed: What the index said of itself before the snapshot was opened, so that the log has all of it.
            clock: The clock.
            node: The filter.

        Raises:
            IndexBehindError: The index cannot be used yet.
        """
        self._reader = reader
        self._index = index
        self._clock = clock
        self._node = node
        self._view = View.FULL if personal_fields(node) else View.EVENT
        self._passes = compile_predicate(node, category_of=index.category_of, controls_of=index.controls_of)
        size = indexed.watermark
        committed = reader.snapshot.head()
        if (
            committed is None
            or size > committed.tree_size
            or indexed.root_hash != tree_root(size, reader.snapshot.hashes)
        ):
            raise IndexBehindError("the index is of another log and is made again", hint="retry after a pause")
        # What is committed may be indexed before its head is signed.
        self.indexed_size = min(size, reader.head.tree_size)

    def page(self, tree_size: int, cursor: int, limit: int, *, descending: bool) -> Page:
        """Return the next entries that pass.

        Args:
            tree_size: Size of the tree that is queried, up to that of the reader.
            cursor: Where to begin, as `Page.cursor`.
            limit: Most entries.
            descending: Whether the newest come first.

        Raises:
            IndexBehindError: Too much is not indexed yet.
        """
        begin, end = (0, min(cursor, tree_size)) if descending else (cursor, tree_size)
        gives_up_at = self._clock.boottime_us() + _LOOK_US
        indexes: list[int] = []
        for found, done in self._passing(begin, end, descending=descending):
            indexes += found
            if len(indexes) > limit:
                last = indexes[limit - 1]
                return Page(indexes[:limit], last if descending else last + 1)
            if self._clock.boottime_us() >= gives_up_at:
                return Page(indexes, done)
        return Page(indexes, None)

    def count(self, *, group_by: str, buckets: Buckets | None, at_least: int) -> Counts:
        """Return how many of the entries that are indexed pass, by value and time.

        Args:
            group_by: Field by whose values to count; empty for none.
            buckets: How to count by time; None for not at all.
            at_least: Entries that must be indexed at least.

        Raises:
            InvalidFilterError: Entries are not counted by that field, or too many would have to be looked at.
            IndexBehindError: The index cannot be read, has fewer entries, or is far behind: it may be just made again.
        """
        size = self._reader.head.tree_size
        if self.indexed_size < max(at_least, size - MAX_UNINDEXED):
            raise self._behind(max(at_least, size))
        gives_up_at = self._clock.boottime_us() + _COUNT_LOOK_US

        def verify(indexes: Sequence[int]) -> list[int]:
            if self._clock.boottime_us() >= gives_up_at:
                raise InvalidFilterError(
                    "counting by this filter takes too long, because too many entries have to be looked at one by one",
                    hint="narrow it by time, actor, action or target, or by = instead of another comparison",
                )
            return self._verified(indexes)

        return count(self._index, self._node, self.indexed_size, group_by=group_by, buckets=buckets, verify=verify)

    def _passing(self, begin: int, end: int, *, descending: bool) -> Iterator[tuple[list[int], int]]:
        """Yield entries of [begin, end) that pass, in order, with where to go on after them."""
        between = min(max(self.indexed_size, begin), end)
        if end - between > MAX_UNINDEXED:
            raise self._behind(end)
        parts = [self._indexed(begin, between, descending=descending), self._unindexed(between, end, descending)]
        for part in reversed(parts) if descending else parts:
            yield from part

    def _behind(self, end: int) -> IndexBehindError:
        return IndexBehindError(
            f"the index has {self.indexed_size} entries, and {end} are asked for",
            hint="retry after a pause; `logproof stats` shows how far the index is",
            metadata={"indexedSize": str(self.indexed_size), "treeSize": str(end)},
        )

    def _indexed(self, begin: int, end: int, *, descending: bool) -> Iterator[tuple[list[int], int]]:
        for found in self._index.find(self._node, begin, end, descending=descending):
            indexes = found.leaf_indexes
            if found.is_exact:
                yield indexes, _after(indexes, descending=descending)
                continue
            for start in range(0, len(indexes), _CHUNK):
                chunk = indexes[start : start + _CHUNK]
                yield self._verified(chunk), _after(chunk, descending=descending)

    def _unindexed(self, begin: int, end: int, descending: bool) -> Iterator[tuple[list[int], int]]:  # noqa: FBT001
        starts = range(begin, end, _CHUNK)
        for start in reversed(starts) if descending else starts:
            chunk = list(range(start, min(start + _CHUNK, end)))
            if descending:
                chunk.reverse()
            yield self._verified(chunk), _after(chunk, descending=descending)

    def _verified(self, indexes: Sequence[int]) -> list[int]:
        """Return those whose entries pass, in the order given."""
        ascending = sorted(indexes)
        passing = {
            entry.leaf_index
            for start in range(0, len(ascending), _CHUNK)
            for entry in self._reader.entries(ascending[start : start + _CHUNK], self._view)
            if self._passes(queried(entry))
        }
        return [index for index in indexes if index in passing]


def queried(entry: EntryRead) -> QueriedEntry:
    """Return an entry as a filter looks at it."""
    leaf = decode_leaf(entry.leaf)
    event = personal = None
    try:
        event = read_event(entry.event.content) if entry.event.content else None
        personal = read_personal(entry.personal.content) if entry.personal.content else None
    except InvalidEventError:
        # Of a schema that this version does not know.
        event = None
    return QueriedEntry(entry.leaf_index, leaf.recorded_at, leaf.principal, leaf.catalogue, event, personal)


def _after(indexes: Sequence[int], *, descending: bool) -> int:
    return indexes[-1] if descending else indexes[-1] + 1
