"""The tables of an index file, and how one is opened.

A file covers a million leaf indexes: rows of a young file stay in the cache while it is filled, however large the log
grows. What entries are found by is a *term*, a kind of field and its text, kept once; a *posting* says that an entry has
a term. Postings are ordered by term and index, so the entries of one term are a range.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

FORMAT: Final = 1
"""Version of the files; one of another version is made again."""

SEGMENT_SIZE: Final = 1_000_000
"""Leaf indexes that a file covers."""

METADATA: Final = MetaData()

STATE: Final = Table(
    "state",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("watermark", BigInteger, nullable=False),
    Column("root_hash", LargeBinary, nullable=False),
)
"""One row: what the file is of, and the tree head it stands for (tree size and root, 32 bytes)."""

ENTRY: Final = Table(
    "entry",
    METADATA,
    Column("leaf_index", Integer, primary_key=True),
    Column("recorded_at", BigInteger, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Index("entry_by_occurred_at", "occurred_at"),
)
"""One row for each entry; times are microseconds since 1970 in UTC. An entry whose event is gone has no row."""

TERM: Final = Table(
    "term",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("kind", "text"),
)
"""What entries are found by; `terms.py` has the kinds and their texts."""

POSTING: Final = Table(
    "posting",
    METADATA,
    Column("term", Integer, primary_key=True),
    Column("leaf_index", Integer, primary_key=True),
    sqlite_with_rowid=False,
)
"""Which entries have a term."""

_CACHE_KIB: Final = 128 * 1024
_READER_CACHE_KIB: Final = 16 * 1024
_BUSY_MS: Final = 5_000


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of the entries from `number` millions on."""
    return folder / f"{number:06}.sqlite"


def segment_numbers(folder: Path) -> list[int]:
    """Return the numbers of the files that are there, ascending."""
    return sorted(int(path.stem) for path in folder.glob("[0-9]*.sqlite"))


def open_writer(path: Path) -> Engine:
    """Open a file for the follower, making it with its tables where there is none."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        _execute(
            connection,
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=NORMAL",
            "PRAGMA secure_delete=ON",
            f"PRAGMA cache_size=-{_CACHE_KIB}",
            f"PRAGMA busy_timeout={_BUSY_MS}",
        )

    METADATA.create_all(engine)
    return engine


def open_reader(path: Path) -> Engine:
    """Open a file for queries; it must be there."""
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        _execute(
            connection,
            "PRAGMA query_only=ON",
            f"PRAGMA cache_size=-{_READER_CACHE_KIB}",
            f"PRAGMA busy_timeout={_BUSY_MS}",
        )

    return engine


def remove_segment(path: Path) -> None:
    """Remove a file with what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _execute(connection: DBAPIConnection, *statements: str) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
