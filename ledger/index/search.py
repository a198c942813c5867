"""Finding entries by the index: which entries of a log may pass a filter.

A filter is evaluated window by window, the newest first or the oldest, so that a first page costs the same in a large
log. The rule that must not break: what is found holds every entry that passes; where it may hold more, it says so, and
whoever asked looks at the entries themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import IndexBehindError
from ledger.index.plan import Windows, make_plan, span
from ledger.index.segment import (
    FORMAT,
    REBUILD,
    SEGMENT_SIZE,
    WINDOW_SIZE,
    State,
    is_damage,
    open_reader,
    read_state,
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

    def __init__(
        self, folder: Path, category_of: CategoryOf, controls_of: ControlsOf, *, segment_size: int = SEGMENT_SIZE
    ) -> None:
        """Keep the parts; the folder need not be there yet.

        Args:
            folder: Where its files are.
            category_of: What the catalogue says of an action.
            controls_of: What the catalogue says of an action.
            segment_size: Leaf indexes that a file covers.
        """
        self._folder = folder
        self.segment_size = segment_size
        self.category_of = category_of
        self.controls_of = controls_of

    def head(self) -> State:
        """Return what the index says of itself: the tree head that it stands for, and of which log.

        Raises:
            IndexBehindError: There is no index that can be read.
        """
        numbers = segment_numbers(self._folder)
        if not numbers:
            raise _behind("it was not made yet")
        with self.file(numbers[-1], 0) as file:
            return read_state(file)

    def find(self, node: Node, begin: int, end: int, *, descending: bool) -> Iterator[Found]:
        """Yield the entries of [begin, end) that may pass a filter, a window at a time; windows without are left out.

        Raises:
            IndexBehindError: The index cannot be read.
        """
        parts = list(self.parts(begin, end))
        for number, first, last in reversed(parts) if descending else parts:
            with self.file(number, last) as file:
                yield from self.find_in(file, node, first, last, descending=descending)

    def parts(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield the files that have the entries [begin, end): the number of each, and its part of them."""
        if begin < end:
            for number in range(begin // self.segment_size, (end - 1) // self.segment_size + 1):
                yield number, max(begin, number * self.segment_size), min(end, (number + 1) * self.segment_size)

    def find_in(
        self, file: sqlite3.Connection, node: Node, begin: int, end: int, *, descending: bool
    ) -> Iterator[Found]:
        """Yield those entries [begin, end) of one file that may pass a filter, as `find` does."""
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
    def file(self, number: int, end: int) -> Iterator[sqlite3.Connection]:
        """Open a file for reading, as it is at this moment.

        Args:
            number: Its number.
            end: Index after the last entry that it must have; it may be one that is just made again.

        Raises:
            IndexBehindError: It has less, or cannot be read; where it is damaged, the follower is asked to make it again.
        """
        try:
            with closing(open_reader(segment_path(self._folder, number))) as file:
                file.execute("BEGIN")
                state = read_state(file)
                if state.format != FORMAT:
                    raise _behind("it is of another version")
                if state.watermark < end:
                    raise _behind(f"it is made again, and has {state.watermark} entries of {end}")
                yield file
        except sqlite3.Error as error:
            if is_damage(error):
                with suppress(OSError):
                    (self._folder / REBUILD).touch()
            raise _behind(f"it cannot be read: {error}") from error


def _behind(why: str) -> IndexBehindError:
    return IndexBehindError(
        f"the index of the log is not ready: {why}",
        hint="retry after a pause; `logproof stats` shows how far the index is",
    )
