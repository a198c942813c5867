"""The follower that fills the index of one log from its entries.

It reads from its watermark, and writes the rows of a batch with the watermark and the tree head they are of in one
transaction of one file. The rule that must not break: a file goes on only where the log still has the head that it
names; if not, it is made again from the log.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from ledger.engine.files import make_folder
from ledger.errors import CorruptionError, MalformedError, StorageError
from ledger.events.codec import read_facts
from ledger.events.commitments import SALT_SIZE
from ledger.events.leaf import peek_leaf
from ledger.index.segment import (
    REBUILD,
    SEGMENT_SIZE,
    WINDOW_SIZE,
    Row,
    SegmentWriter,
    is_damage,
    remove_segment,
    segment_numbers,
    segment_path,
)
from ledger.index.terms import terms_of
from ledger.merkle.proofs import tree_root
from ledger.storage.api import ReadTransaction, SectionKind, Store


class Indexer:
    """Fills the index of one log. Owned by the process that follows the log."""

    def __init__(self, store: Store, folder: Path, *, segment_size: int = SEGMENT_SIZE) -> None:
        """Keep the parts; the folder is made where it is missing.

        Args:
            store: The log's store, which this closes.
            folder: Where the files are.
            segment_size: Leaf indexes that a file covers.
        """
        self._store = store
        self._segment_size = segment_size
        self._folder = folder
        self._writer: SegmentWriter | None = None
        make_folder(folder)

    def step(self) -> int:
        """Index the next batch of entries; return the watermark: how many entries of the log are indexed.

        Where it stays the same, the index has all entries.

        Raises:
            CorruptionError: The log cannot be read.
            StorageError: The index cannot be written.
        """
        try:
            writer = self._current()
            return self._write_batch(writer)
        except sqlite3.Error as error:
            # A full disk, for example, is waited for; what is damaged is made again.
            self._close()
            if is_damage(error):
                self._remove_from(self._newest())
            raise StorageError(f"the index cannot be written: {error}") from error

    def close(self) -> None:
        """Release the files and the store."""
        self._close()
        self._store.close()

    def _write_batch(self, writer: SegmentWriter) -> int:
        with self._store.read() as snapshot:
            head = snapshot.head()
            if head is None:
                raise CorruptionError("the store has no head record")
            begin: int = writer.watermark
            end = min(head.tree_size, begin - begin % WINDOW_SIZE + WINDOW_SIZE, writer.end)
            if begin == end:
                return begin
            rows = _read_rows(snapshot, begin, end)
            root_hash = tree_root(end, snapshot.hashes)
        writer.write(rows, end, root_hash)
        return end

    def _current(self) -> SegmentWriter:
        """Return the file that the next entry goes to."""
        if (self._folder / REBUILD).exists():
            self._close()
            self._remove_from(0)
            (self._folder / REBUILD).unlink(missing_ok=True)
        writer = self._writer
        if writer is not None and not (writer.is_in_place() and self._has_all_before(writer.number)):
            self._close()
            writer = None
        if writer is None:
            writer = self._open(self._newest_valid())
        if writer.watermark == writer.end:
            self._close()
            writer = self._open(writer.number + 1)
        self._writer = writer
        return writer

    def _open(self, number: int) -> SegmentWriter:
        origin = self._store.meta.origin
        return SegmentWriter(segment_path(self._folder, number), number, origin, size=self._segment_size)

    def _newest_valid(self) -> int:
        """Return the number of the newest file whose head, and all before it, the log has; remove the others."""
        for expected, number in enumerate(segment_numbers(self._folder)):
            if number != expected or not self._is_valid(number):
                self._remove_from(expected)
                break
        return self._newest()

    def _is_valid(self, number: int) -> bool:
        try:
            with contextlib.closing(self._open(number)) as writer, self._store.read() as snapshot:
                head = snapshot.head()
                is_full = writer.watermark == writer.end or number == self._newest()
                return (
                    head is not None
                    and writer.watermark <= head.tree_size
                    and is_full
                    and writer.root_hash == tree_root(writer.watermark, snapshot.hashes)
                )
        except sqlite3.Error as error:
            if is_damage(error):
                return False
            raise

    def _has_all_before(self, number: int) -> bool:
        return segment_numbers(self._folder)[:number] == list(range(number))

    def _newest(self) -> int:
        return max(segment_numbers(self._folder), default=0)

    def _remove_from(self, number: int) -> None:
        for present in segment_numbers(self._folder):
            if present >= number:
                remove_segment(segment_path(self._folder, present))

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _read_rows(snapshot: ReadTransaction, begin: int, end: int) -> list[Row]:
    """Return the rows of the entries [begin, end) whose events are kept."""
    leaves = snapshot.leaves(begin, end)
    if len(leaves) != end - begin:
        raise CorruptionError(f"a leaf of the entries {begin} to {end - 1} is missing from the store")
    indexes = range(begin, end)
    events = snapshot.sections(SectionKind.EVENT, indexes)
    personals = snapshot.sections(SectionKind.PERSONAL, indexes)
    rows = []
    for index, data, event, personal in zip(indexes, leaves, events, personals, strict=True):
        if event is None:
            continue
        try:
            recorded_at, catalogue = peek_leaf(data)
            facts = read_facts(event[SALT_SIZE:], b"" if personal is None else personal[SALT_SIZE:])
        except MalformedError as error:
            raise CorruptionError(f"the entry {index} cannot be read", hint="run `logproof fsck`") from error
        rows.append(Row((index, recorded_at, facts.occurred_at), terms_of(facts, catalogue)))
    return rows
