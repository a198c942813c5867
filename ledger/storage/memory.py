"""The store in memory: for tests, simulation and throw-away logs; held to the same contract suite as LMDB.

Tables only grow: a snapshot is a tree size, beyond which it does not look. Undoing a transaction cuts them off again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ledger.errors import CorruptionError, LedgerError, StorageError
from ledger.merkle.hashing import split_hashes
from ledger.merkle.ranges import stored_count
from ledger.storage import layout
from ledger.storage.api import (
    EntryBatch,
    HeadRecord,
    ReadTransaction,
    SectionKind,
    StoreMeta,
    StoreUsage,
    TableCounts,
    WriteTransaction,
)


@dataclass(slots=True)
class _Tables:
    # Columns by leaf index; `hashes` by stored position. An empty personal section stands for none.
    leaves: list[bytes] = field(default_factory=list)
    event_sections: list[bytes] = field(default_factory=list)
    personal_sections: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    event_ids: dict[bytes, int] = field(default_factory=dict)

    def cut(self, tree_size: int) -> None:
        """Forget the entries from `tree_size` on."""
        for column in (self.leaves, self.event_sections, self.personal_sections):
            del column[tree_size:]
        del self.hashes[stored_count(tree_size) :]
        while len(self.event_ids) > tree_size:
            self.event_ids.popitem()


@dataclass(frozen=True, slots=True)
class _State:
    head: HeadRecord
    # Never changed in place: each change makes a new one.
    records: Mapping[str, bytes]


class MemoryStore:
    """A `Store` that is gone with the process. Thread-safe."""

    def __init__(self, meta: StoreMeta, genesis: HeadRecord) -> None:
        """Start with no entry; the same as `create`."""
        layout.encode_head(genesis)
        self._meta = meta
        self._tables = _Tables()
        # Replaced as a whole, by the thread that holds the lock; read by any.
        self._state = _State(genesis, {})
        self._write_lock = threading.RLock()
        self._is_writing = False
        self._is_closed = False

    @classmethod
    def create(cls, meta: StoreMeta, genesis: HeadRecord) -> MemoryStore:
        """Return a store of the empty tree with this head."""
        return cls(meta, genesis)

    @property
    def meta(self) -> StoreMeta:
        """Return what the store was made for."""
        return self._meta

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a snapshot.

        Raises:
            StorageError: The store is closed.
        """
        self._check_open()
        yield _MemoryReader(self._tables, self._state)

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """Open the write transaction; waits without limit for that of another thread.

        Raises:
            StorageError: The store is closed.
        """
        with self._write_lock:
            self._check_open()
            if self._is_writing:
                raise ValueError("this thread already has the write transaction open")
            self._is_writing = True
            writer = _MemoryWriter(self._tables, self._state)
            try:
                yield writer
                writer.check_usable()
                self._state = writer.state
            finally:
                self._is_writing = False
                self._tables.cut(self._state.head.tree_size)

    def sync(self) -> None:
        """Do nothing: memory is not kept."""
        self._check_open()

    def room_bytes(self) -> int:
        """Return more than anyone asks for."""
        return 1 << 62

    def usage(self) -> StoreUsage:
        """Return that there is room, and nothing that holds it."""
        self._check_open()
        return StoreUsage(room_bytes=1 << 62, free_bytes=0, reader_lag=0)

    def maintain(self) -> None:
        """Do nothing: memory needs no housekeeping."""
        self._check_open()

    def close(self) -> None:
        """Refuse every further transaction."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError("the store is closed")


class _MemoryReader:
    """A `ReadTransaction`: the tables up to the tree size of one state."""

    def __init__(self, tables: _Tables, state: _State) -> None:
        self._tables = tables
        self.state = state

    def head(self) -> HeadRecord | None:
        return self.state.head

    def leaves(self, begin: int, end: int) -> list[bytes]:
        layout.encode_index(begin)
        return self._tables.leaves[begin : min(end, self._size)]

    def hashes(self, positions: Sequence[int]) -> list[bytes]:
        stored = stored_count(self._size)
        for position in positions:
            layout.encode_index(position)
            if position >= stored:
                raise CorruptionError(f"the hash at position {position} is not stored")
        return [self._tables.hashes[position] for position in positions]

    def position_of_hash(self, value: bytes) -> int | None:
        layout.check_hash(value)
        hashes = self._tables.hashes
        return next((p for p in reversed(range(stored_count(self._size))) if hashes[p] == value), None)

    def sections(self, kind: SectionKind, indexes: Sequence[int]) -> list[bytes | None]:
        tables, size = self._tables, self._size
        column = tables.event_sections if kind is SectionKind.EVENT else tables.personal_sections
        for index in indexes:
            layout.encode_index(index)
        return [column[index] or None if index < size else None for index in indexes]

    def indexes_of(self, event_ids: Sequence[bytes]) -> list[int | None]:
        layout.check_event_ids(event_ids)
        found = [self._tables.event_ids.get(event_id) for event_id in event_ids]
        return [index if index is not None and index < self._size else None for index in found]

    def record(self, name: str) -> bytes | None:
        layout.encode_record_name(name)
        return self.state.records.get(name)

    def records(self, prefix: str) -> list[tuple[str, bytes]]:
        prefix.encode("ascii")
        return sorted(row for row in self.state.records.items() if row[0].startswith(prefix))

    def counts(self) -> TableCounts:
        size = self._size
        return TableCounts(
            leaves=size,
            hashes=stored_count(size),
            event_sections=size,
            personal_sections=sum(map(bool, self._tables.personal_sections[:size])),
            event_ids=size,
        )

    @property
    def _size(self) -> int:
        return self.state.head.tree_size


class _MemoryWriter(_MemoryReader):
    """A `WriteTransaction`; the first append that failed decides how the transaction ends."""

    def __init__(self, tables: _Tables, state: _State) -> None:
        super().__init__(tables, state)
        self._failure: LedgerError | None = None

    def check_usable(self) -> None:
        """Return if no append failed yet; raise what the first one raised otherwise."""
        if self._failure is not None:
            raise self._failure

    def append(self, batch: EntryBatch) -> None:
        layout.check_batch(batch)
        layout.encode_head(batch.head)
        self.check_usable()
        tables, size = self._tables, self._size
        ids = dict(zip(batch.event_ids, range(size, batch.head.tree_size), strict=False))
        if batch.first_index != size:
            self._failure = CorruptionError(f"entries from {batch.first_index} do not follow on tree size {size}")
        elif len(ids) != len(batch.event_ids) or not tables.event_ids.keys().isdisjoint(ids):
            self._failure = CorruptionError("an event id of the batch is there already")
        self.check_usable()
        tables.leaves += batch.leaves
        tables.event_sections += batch.event_sections
        tables.personal_sections += batch.personal_sections
        tables.hashes += split_hashes(batch.hashes)
        tables.event_ids |= ids
        self.state = replace(self.state, head=batch.head)

    def put_record(self, name: str, value: bytes) -> None:
        layout.encode_record_name(name)
        self.check_usable()
        self.state = replace(self.state, records={**self.state.records, name: value})

    def delete_record(self, name: str) -> None:
        layout.encode_record_name(name)
        self.check_usable()
        self.state = replace(self.state, records={k: v for k, v in self.state.records.items() if k != name})
