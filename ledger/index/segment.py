"""One file of the index: which of a million entries have which terms.

What entries are found by is a *term*, a kind of field and a text. Which entries have it is kept in *postings*: one row
for a term and a *window* of 4,096 entries, with their offsets in it. So a batch writes a row for each term that occurs
in it, however often, and a query reads a row for each term and window. A file covers 256 windows, so that its
rows stay in the cache while it is filled, however large the log grows. The rule that must not break: a file names the
tree head that its rows are of, and both change in one transaction.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.merkle.hashing import EMPTY_ROOT

FORMAT: Final = 1
"""Version of the files; one of another version is made again."""

WINDOW_SIZE: Final = 4_096
"""Leaf indexes of a window; an offset in it has two bytes."""

SEGMENT_SIZE: Final = 256 * WINDOW_SIZE
"""Leaf indexes that a file covers."""

REBUILD: Final = "REBUILD"
"""Name of the file in the index's folder that asks for it to be made again."""

Term = tuple[int, str]
"""A kind and a text."""

_SCHEMA: Final = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER, origin TEXT, watermark INTEGER, root BLOB);
CREATE TABLE entry (leaf_index INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, occurred_at INTEGER NOT NULL);
CREATE TABLE span (
    window INTEGER PRIMARY KEY, first_at INTEGER, last_at INTEGER, first_occurred_at INTEGER, last_occurred_at INTEGER
);
CREATE TABLE term (kind INTEGER, text TEXT, id INTEGER NOT NULL, PRIMARY KEY (kind, text)) WITHOUT ROWID;
CREATE TABLE posting (
    term INTEGER, window INTEGER, count INTEGER NOT NULL, offsets BLOB NOT NULL, PRIMARY KEY (term, window)
) WITHOUT ROWID;
"""
_ADD_POSTING: Final = """
INSERT INTO posting VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
SET count = count + excluded.count, offsets = CAST(offsets || excluded.offsets AS BLOB)
"""
_ADD_SPAN: Final = """
INSERT INTO span VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    last_at = excluded.last_at,
    first_occurred_at = min(first_occurred_at, excluded.first_occurred_at),
    last_occurred_at = max(last_occurred_at, excluded.last_occurred_at)
"""
_NEXT_TERM: Final = "SELECT coalesce(max(id), 0) + 1 FROM term"
_CACHE_KIB: Final = 128 * 1024
_READER_CACHE_KIB: Final = 16 * 1024
_BUSY_SECONDS: Final = 5.0
# A page that many batches change is copied to the file once.
_CHECKPOINT_PAGES: Final = 16_000
_REMEMBERED_TERMS: Final = 100_000
# What passes by itself or by an operator's hand: no reason to make a file again.
_PASSING_ERRORS: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
    }
)
_PRIMARY_CODE: Final = 0xFF


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of an entry.

    Attributes:
        times: Its leaf index; when it was recorded and when it happened, microseconds since 1970 in UTC.
        terms: What it is found by; some may stand twice.
    """

    times: tuple[int, int, int]
    terms: Iterable[Term]


@dataclass(frozen=True, slots=True)
class State:
    """What a file says of itself.

    Attributes:
        format: Version of the file.
        origin: Origin of the log.
        watermark: How many entries of the log are in it and the files before.
        root_hash: Root of the log's tree of that size, 32 bytes; empty for a file that stands for no head of the log.
    """

    format: int
    origin: str
    watermark: int
    root_hash: bytes


def read_state(file: sqlite3.Connection) -> State:
    """Return what a file says of itself.

    Raises:
        sqlite3.DatabaseError: It cannot be read.
    """
    row = file.execute("SELECT format, origin, watermark, root FROM state").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the file does not say what it stands for")
    return State(*row)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that a file has to be made again; a full disk, for example, is waited for."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is None or code & _PRIMARY_CODE not in _PASSING_ERRORS


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of the entries of a number."""
    return folder / f"{number:06}.sqlite"


def segment_numbers(folder: Path) -> list[int]:
    """Return the numbers of the files that are there, ascending."""
    return sorted(int(path.stem) for path in folder.glob("[0-9]*.sqlite"))


def remove_segment(path: Path) -> None:
    """Remove a file with what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a file for queries.

    Raises:
        sqlite3.DatabaseError: It is not there, or cannot be read.
    """
    # The file may be another process's to write: nothing here may change it.
    file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    file.execute("PRAGMA query_only=ON")
    file.execute(f"PRAGMA cache_size=-{_READER_CACHE_KIB}")
    return file


class SegmentWriter:
    """The one writer of a file.

    Attributes:
        number: Its number, from 0; it covers so many entries for each file before it.
        end: Index after the last entry that belongs to it.
        watermark: How many entries of the log are in it and the files before.
        root_hash: Root of the log's tree of that size, 32 bytes; empty for a file that stands for no head of the log.
    """

    def __init__(self, path: Path, number: int, origin: str, *, size: int = SEGMENT_SIZE) -> None:
        """Open the file, or make it.

        Args:
            path: Where it is.
            number: Its number.
            origin: Origin of the log.
            size: Leaf indexes that it covers; whole windows.

        Raises:
            sqlite3.DatabaseError: It cannot be read or made.
        """
        self.number = number
        self.end = (number + 1) * size
        self._path = path
        self._file = sqlite3.connect(path, timeout=_BUSY_SECONDS)
        try:
            self._prepare(origin, number * size)
        except BaseException:
            self._file.close()
            raise

    def _prepare(self, origin: str, begin: int) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "secure_delete=ON",
            f"cache_size=-{_CACHE_KIB}",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
        ):
            self._file.execute(f"PRAGMA {pragma}")
        if not self._file.execute("SELECT 1 FROM sqlite_schema").fetchone():
            first = (FORMAT, origin, begin, b"" if begin else EMPTY_ROOT)
            self._file.executescript(f"BEGIN;{_SCHEMA}")
            self._file.execute("INSERT INTO state VALUES (1, ?, ?, ?, ?)", first)
            self._file.commit()
        self._inode = self._path.stat().st_ino
        state = read_state(self._file)
        self.watermark = state.watermark
        self.root_hash = state.root_hash if (state.format, state.origin) == (FORMAT, origin) else b""
        self._next_term: int = self._file.execute(_NEXT_TERM).fetchone()[0]
        self._ids: dict[Term, int] = {}

    def write(self, rows: Sequence[Row], end: int, root_hash: bytes) -> None:
        """Add entries of one window, up to `end`, and with them the head that the file then stands for.

        Raises:
            sqlite3.DatabaseError: Nothing of it was written.
        """
        begin = self.watermark
        window = begin // WINDOW_SIZE
        offsets: defaultdict[Term, array[int]] = defaultdict(lambda: array("H"))
        for row in rows:
            offset = row.times[0] % WINDOW_SIZE
            for term in set(row.terms):
                offsets[term].append(offset)
        try:
            self._file.executemany("INSERT INTO entry VALUES (?, ?, ?)", [row.times for row in rows])
            if rows:
                occurred = [row.times[2] for row in rows]
                first_at, last_at = rows[0].times[1], rows[-1].times[1]
                self._file.execute(_ADD_SPAN, (window, first_at, last_at, min(occurred), max(occurred)))
            by_id = [(self._id(term), window, len(found), found.tobytes()) for term, found in offsets.items()]
            # In the order of the table, so that neighbours are written together.
            by_id.sort()
            self._file.executemany(_ADD_POSTING, by_id)
            self._file.execute("UPDATE state SET watermark = ?, root = ?", (end, root_hash))
            self._file.commit()
        except BaseException:
            self._file.rollback()
            self._ids.clear()
            raise
        self.watermark, self.root_hash = end, root_hash

    def is_in_place(self) -> bool:
        """Return whether the file is still the one of its name."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _id(self, term: Term) -> int:
        found = self._ids.get(term)
        if found is None:
            row = self._file.execute("SELECT id FROM term WHERE kind = ? AND text = ?", term).fetchone()
            if row is not None:
                found = int(row[0])
            else:
                # Numbers that a failed batch took are left out.
                found = self._next_term
                self._next_term += 1
                self._file.execute("INSERT INTO term VALUES (?, ?, ?)", (*term, found))
            if len(self._ids) >= _REMEMBERED_TERMS:
                self._ids.clear()
            self._ids[term] = found
        return found
