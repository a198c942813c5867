"""Finding entries by the index: which entries of a log may pass a filter.

A filter is evaluated window by window, the newest first or the oldest, so that a first page costs the same in a large
log. The rule that must not break: what is found holds every entry that passes; where it may hold more, it says so, and
whoever asked looks at the entries themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import IndexBehindError
from ledger.index.plan import Windows, make_plan, span
from ledger.index.segment import (
    FORMAT,
    REBUILD,
    SEGMENT_SIZE,
    WINDOW_SIZE,
    open_reader,
    segment_numbers,
    segment_path,
)
from ledger.query.nodes import Node
from ledger.query.predicate import CategoryOf, ControlsOf


@dataclass(frozen=True, slots=True)
class Found:
    """Entries of one window that may pass.

    Attributes:
        leaf_indexes: Their indexes, in the order asked for.
        is_exact: Whether all of them do pass.
        window: Which window.
    """

    leaf_indexes: list[int]
    is_exact: bool
    window: int


class Index:
    """The index of one log, for reading. Thread-safe; each query opens the files anew."""

    def __init__(self, folder: Path, category_of: CategoryOf, controls_of: ControlsOf) -> None:
        """Keep the parts; the folder need not be there yet."""
        self._folder = folder
        self.category_of = category_of
        self.controls_of = controls_of

    def head(self) -> tuple[int, bytes]:
        """Return the tree head that the index stands for: size and root, 32 bytes.

        Raises:
            IndexBehindError: There is no index that can be read.
        """
        numbers = segment_numbers(self._folder)
        if not numbers:
            raise _behind("it was not made yet")
        with self.file(numbers[-1]) as file:
            watermark, root_hash = file.execute("SELECT watermark, root FROM state").fetchone()
        return watermark, root_hash

    def find(self, node: Node, begin: int, end: int, *, descending: bool) -> Iterator[Found]:
        """Yield the entries of [begin, end) that may pass a filter, a window at a time; windows without are left out.

        Raises:
            IndexBehindError: The index cannot be read.
        """
        numbers = segments(begin, end)
        for number in reversed(numbers) if descending else numbers:
            with self.file(number) as file:
                first, last = max(begin, number * SEGMENT_SIZE), min(end, (number + 1) * SEGMENT_SIZE)
                yield from self._find_in(file, node, first, last, descending=descending)

    def _find_in(
        self, file: sqlite3.Connection, node: Node, begin: int, end: int, *, descending: bool
    ) -> Iterator[Found]:
        plan = make_plan(node, Windows(file), self.category_of, self.controls_of)
        in_range = range(begin // WINDOW_SIZE, (end - 1) // WINDOW_SIZE + 1)
        chosen = plan.windows()
        windows = list(in_range) if chosen is None else sorted(window for window in chosen if window in in_range)
        for window in reversed(windows) if descending else windows:
            first, _ = span(window)
            found = [first + offset for offset in plan.offsets(window) if begin <= first + offset < end]
            if found:
                found.sort(reverse=descending)
                yield Found(found, plan.is_exact, window)

    @contextmanager
    def file(self, number: int) -> Iterator[sqlite3.Connection]:
        """Open a file for reading.

        Raises:
            IndexBehindError: It cannot be read; where it is damaged, the follower is asked to make it again.
        """
        try:
            with closing(open_reader(segment_path(self._folder, number))) as file:
                if file.execute("SELECT format FROM state").fetchone() != (FORMAT,):
                    raise _behind("it is of another version")
                yield file
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                (self._folder / REBUILD).touch()
            raise _behind(f"it cannot be read: {error}") from error


def segments(begin: int, end: int) -> range:
    """Return the numbers of the files of the entries [begin, end)."""
    return range(begin // SEGMENT_SIZE, (end - 1) // SEGMENT_SIZE + 1) if begin < end else range(0)


def _behind(why: str) -> IndexBehindError:
    return IndexBehindError(
        f"the index of the log is not ready: {why}",
        hint="retry after a pause; `logproof stats` shows how far the index is",
    )
