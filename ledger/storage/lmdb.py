"""The store on LMDB: one environment, one table per kind of row, every commit synced.

The only module that knows LMDB. LMDB keeps what it promised through kills and power cuts as long as these hold, so
they are checked at every opening or built in: sync and metasync on; no writemap, no map_async; no buffers handed out; the map never
resized while open; nothing here opens or deletes `lock.mdb`; no use of an environment inherited by fork.

LMDB's write lock knows no timeout: a write transaction waits for that of another thread for as long as it takes. So
each store has one writer thread, and deadlines are kept at its queue.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import lmdb
from lmdb.verify import VerifyError, verify

from ledger.errors import (
    CorruptionError,
    LedgerError,
    OutcomeUnknownError,
    StorageError,
    StorageFormatError,
    StorageFullError,
)
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
from ledger.storage.files import check_local_filesystem, storage_error, sync_path

if TYPE_CHECKING:
    from lmdb import _Database

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_MAP_SIZE = 256 * 1024**3

_DATA_FILE = "data.mdb"
_MAX_READERS = 1024
# Checked at every opening, and not by `assert`, which an optimised interpreter leaves out.
_FLAGS = (
    ("sync", True, "every commit must be synced"),
    ("metasync", True, "every commit must be synced with its meta page"),
    ("lock", True, "readers must be known to the writer"),
    ("writemap", False, "with writemap a full disk kills the process"),
    ("map_async", False, "every commit must be synced"),
)
# Twice what a snapshot may be held.
_CLOSE_WAIT_SECONDS = 10.0
_META_PAGES = 2
# The most that a sound file may lack at its end.
_UNWRITTEN_PAGES = 64

_SECTION_TABLES = {
    SectionKind.EVENT: layout.EVENT_SECTIONS_TABLE,
    SectionKind.PERSONAL: layout.PERSONAL_SECTIONS_TABLE,
}


def create_store(path: Path, meta: StoreMeta, genesis: HeadRecord, *, map_size: int = DEFAULT_MAP_SIZE) -> None:
    """Create a store that is durable, its directory's name included, when this returns.

    A creation that fails may leave a directory behind: create under a temporary name and rename.

    Args:
        path: The directory to make, mode 0700; must not exist, its parent must.
        meta: What the store is for.
        genesis: Head of the empty tree.
        map_size: Upper limit of the store's size in bytes; costs no disk space.

    Raises:
        StorageFullError: Disk or quota full.
        StorageError: The path exists, cannot be written, or is on a filesystem of another machine.
    """
    rows = (
        (layout.FORMAT_KEY, layout.encode_format()),
        (layout.STORE_KEY, layout.encode_meta(meta)),
        (layout.HEAD_KEY, layout.encode_head(genesis)),
    )
    action = f"cannot create the store {path}"
    try:
        check_local_filesystem(path.parent)
        path.mkdir(mode=0o700)
        path.chmod(0o700)
        environment = _open_environment(path, map_size, read_only=False)
        try:
            with environment.begin(write=True) as transaction:
                tables = {name: environment.open_db(name.encode(), txn=transaction) for name in layout.TABLES}
                for key, value in rows:
                    transaction.put(key, value, db=tables[layout.META_TABLE])
        finally:
            environment.close()
        # LMDB syncs neither the directory nor the first version of the file.
        sync_path(path / _DATA_FILE)
        sync_path(path)
        sync_path(path.parent)
    except OSError as error:
        raise storage_error(action, error) from error
    except lmdb.Error as error:
        raise _definite_error(action, error) from error


@dataclass(frozen=True, slots=True)
class TableUsage:
    """What a table takes.

    Attributes:
        rows: Rows.
        size: Bytes of its pages.
    """

    rows: int
    size: int


def check_structure(path: Path) -> list[str]:
    """Return what is wrong with the pages of a store, in words: links, order of keys, counts, and the list of free pages.

    A walk over the bytes that never hands the file to the engine, so that nothing in it can end the process. For a
    store that nobody writes: a copy, or one whose server is stopped.

    Args:
        path: The store's directory.

    Raises:
        CorruptionError: It is no LMDB file at all.
        StorageError: It cannot be read.
    """
    try:
        return list(verify(str(path)))  # type: ignore[no-untyped-call]
    except VerifyError as error:
        raise CorruptionError(f"{path / _DATA_FILE} is not what LMDB writes: {error}") from error
    except OSError as error:
        raise storage_error(f"cannot read {path / _DATA_FILE}", error) from error


class LmdbStore:
    """A `Store` in a directory.

    Thread-safe. After an `OutcomeUnknownError` it refuses further write transactions: its owner closes it, opens the
    directory again, and checks what is there.
    """

    def __init__(self, path: Path, environment: lmdb.Environment, tables: Mapping[str, _Database]) -> None:
        """Wrap an open environment; use `open`.

        Raises:
            CorruptionError: The description of the store is missing or damaged.
        """
        self._path = path
        self._environment = environment
        self._tables = tables
        self._process = os.getpid()
        self._inode = (path / _DATA_FILE).stat().st_ino
        # _state guards _active and _closed.
        self._state = threading.Condition()
        self._active = 0
        self._closed = False
        # Held for the whole of a write transaction, LMDB's own lock inside it; guards the two below.
        self._write_lock = threading.Lock()
        self._writing_thread: int | None = None
        self._is_doubtful = False
        with environment.begin() as transaction:
            value = transaction.get(layout.STORE_KEY, db=tables[layout.META_TABLE])
        if value is None:
            raise CorruptionError(f"the description of the store {path} is missing")
        self._meta = layout.decode_meta(value)

    @classmethod
    def open(
        cls, path: Path, *, map_size: int = DEFAULT_MAP_SIZE, read_only: bool = False, private: bool = False
    ) -> LmdbStore:
        """Open a store that `create_store` made.

        A process must not open a store twice, nor fork while it is open.

        Args:
            path: The directory.
            map_size: Upper limit of the store's size in bytes; not below what it was filled to.
            read_only: Refuse write transactions; for every process but the owner's.
            private: Keep no lock file; for a copy that only this process knows, opened for reading.

        Raises:
            StorageFormatError: Written by a newer version, or no store of ours.
            CorruptionError: The file is cut short or lacks a table.
            StorageError: Missing, not accessible, on a filesystem of another machine, or open in this process.
        """
        action = f"cannot open the store {path}"
        try:
            is_empty = (path / _DATA_FILE).stat().st_size == 0
        except OSError as error:
            raise storage_error(action, error) from error
        if is_empty:
            # LMDB would take it for a new environment and fill it.
            raise CorruptionError(f"{action}: its file {_DATA_FILE} is empty")
        check_local_filesystem(path)
        try:
            environment = _open_environment(path, map_size, read_only=read_only or private, lock=not private)
        except lmdb.Error as error:
            raise _definite_error(action, error) from error
        try:
            _check_data_size(path, environment)
            store = cls(path, environment, _open_tables(path, environment))
            if not private:
                store.clear_stale_readers()
        except lmdb.Error as error:
            environment.close()
            raise _definite_error(action, error) from error
        except BaseException:
            environment.close()
            raise
        return store

    @property
    def meta(self) -> StoreMeta:
        """Return what the store was made for."""
        return self._meta

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a snapshot, to be used by one thread at a time.

        Raises:
            StorageError: The store is closed or cannot be read.
        """
        self._enter()
        try:
            transaction = self._begin(write=False)
            try:
                yield _LmdbReader(transaction, self._tables)
            finally:
                transaction.abort()
        finally:
            self._leave()

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """Open the write transaction; waits without limit for that of another thread or process.

        Raises:
            StorageFullError: Disk, quota or map full; definitely nothing was changed.
            MemoryError: No memory for a change; definitely nothing was changed.
            OutcomeUnknownError: Any other failure of a change or the commit; reopen the store before going on.
            StorageError: The store is closed, opened for reading, or awaits being reopened; nothing was changed.
        """
        if self._writing_thread == threading.get_ident():
            raise ValueError("this thread already has the write transaction open")
        self._enter()
        try:
            with self._write_lock:
                self._writing_thread = threading.get_ident()
                try:
                    yield from self._write()
                except OutcomeUnknownError:
                    self._is_doubtful = True
                    raise
                finally:
                    self._writing_thread = None
        finally:
            self._leave()

    def close(self) -> None:
        """Release the store; waits a little for open transactions, and lets nobody open new ones.

        Raises:
            StorageError: A transaction was still open after 10 seconds; call again when it has ended.
        """
        self._check_process()
        with self._state:
            self._closed = True
            if not self._state.wait_for(lambda: self._active == 0, timeout=_CLOSE_WAIT_SECONDS):
                raise StorageError(f"{self._active} transactions of the store {self._path} are still open")
            self._environment.close()

    def sync(self) -> None:
        """Put on the disk whatever is visible.

        Raises:
            OutcomeUnknownError: It failed.
            StorageError: The store is closed.
        """
        with self._using():
            try:
                self._environment.sync(True)  # noqa: FBT003 - the binding takes no name
            except lmdb.Error as error:
                raise OutcomeUnknownError(f"the store cannot be synced: {error}") from error

    def room_bytes(self) -> int:
        """Return how much more of the map may be used, in bytes; pages freed since count as used."""
        return self.map_bytes() - self.used_bytes()

    def usage(self) -> StoreUsage:
        """Return how the store uses its room; the list of free pages itself counts as free.

        Raises:
            StorageError: The store is closed, or its reader table cannot be read.
        """
        used = sum(table.size for table in self.table_usage().values())
        with self._using():
            main = self._environment.stat()
        own = (main["branch_pages"] + main["leaf_pages"] + main["overflow_pages"] + _META_PAGES) * main["psize"]
        return StoreUsage(
            room_bytes=self.room_bytes(),
            free_bytes=max(self.used_bytes() - used - own, 0),
            reader_lag=self.oldest_reader_lag(),
        )

    def maintain(self) -> None:
        """Free what readers of dead processes still hold, and see that the open file still has its name.

        Raises:
            CorruptionError: The file was removed or replaced: what is written would be gone at the next opening.
            StorageError: The store is closed or its reader table cannot be read.
        """
        self.clear_stale_readers()
        try:
            found = (self._path / _DATA_FILE).stat().st_ino
        except FileNotFoundError:
            found = None
        if found != self._inode:
            raise CorruptionError(f"the file {self._path / _DATA_FILE} was removed or replaced while it was open")

    def clear_stale_readers(self) -> int:
        """Free what readers of dead processes still hold, and return how many there were.

        A dead reader keeps every page since its snapshot from being used again, until the map is full. `open` does
        so once.

        Raises:
            StorageError: The store is closed or its reader table cannot be read.
        """
        with self._using():
            return self._environment.reader_check()

    def used_bytes(self) -> int:
        """Return how much of the map was ever used, in bytes; pages freed since then are counted in."""
        with self._using():
            return (self._environment.info()["last_pgno"] + 1) * self._environment.stat()["psize"]

    def map_bytes(self) -> int:
        """Return the size of the map in bytes, which `used_bytes` cannot pass."""
        with self._using():
            return self._environment.info()["map_size"]

    def copy_to(self, path: Path) -> None:
        """Copy one consistent snapshot, without the pages that are free, to a new directory; durable when this returns.

        The writer goes on meanwhile. The copy is what a store would be, and never to be made by copying files.

        Args:
            path: The directory to make, mode 0700; must not exist, its parent must.

        Raises:
            StorageFullError: Disk or quota full.
            StorageError: It cannot be made, or the store is closed or cannot be read.
        """
        action = f"cannot copy the store to {path}"
        try:
            path.mkdir(mode=0o700)
            self._enter()
            try:
                self._environment.copy(str(path), compact=True)
            finally:
                self._leave()
            (path / _DATA_FILE).chmod(0o600)
            sync_path(path / _DATA_FILE)
            sync_path(path)
            sync_path(path.parent)
        except OSError as error:
            raise storage_error(action, error) from error
        except lmdb.Error as error:
            raise _definite_error(action, error) from error

    def table_usage(self) -> dict[str, TableUsage]:
        """Return how many rows and bytes of pages each table has, by its name."""
        with self._using(), self._environment.begin() as transaction:
            found = {name: transaction.stat(table) for name, table in self._tables.items()}
        return {
            name: TableUsage(
                stat["entries"], (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
            )
            for name, stat in found.items()
        }

    def oldest_reader_lag(self) -> int:
        """Return how many commits ago the oldest snapshot was opened that some process still holds; 0 for none."""
        with self._using():
            newest = self._environment.info()["last_txnid"]
            # A line for each slot, after a heading: process, thread, and the snapshot's number or a hyphen.
            lines = [line.split() for line in self._environment.readers().splitlines()]
        held = [int(words[2]) for words in lines if len(words) == 3 and words[2].isdigit()]
        return max(0, newest - min(held, default=newest))

    def _write(self) -> Iterator[WriteTransaction]:
        if self._is_doubtful:
            raise StorageError(f"the store {self._path} must be reopened: the outcome of an earlier write is unknown")
        transaction = self._begin(write=True)
        writer = _LmdbWriter(transaction, self._tables)
        try:
            yield writer
            writer.check_usable()
        except BaseException:
            # After a failed change LMDB may refuse the abort as well; the first error is the one to tell.
            with suppress(lmdb.Error):
                transaction.abort()
            raise
        try:
            transaction.commit()
        except lmdb.Error as error:
            raise self._commit_error(error) from error

    def _commit_error(self, error: lmdb.Error) -> StorageError:
        translated = _write_error(error)
        if isinstance(translated, StorageFullError):
            # No room while the meta page itself was written: LMDB cannot tell which of the two it now shows.
            try:
                self._environment.begin().abort()
            except lmdb.Error:
                return OutcomeUnknownError(f"the commit failed half-way: {error}")
        return translated

    def _begin(self, *, write: bool) -> lmdb.Transaction[bytes]:
        try:
            return self._environment.begin(write=write)
        except lmdb.Error as error:
            raise _definite_error(f"cannot use the store {self._path}", error) from error

    @contextmanager
    def _using(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        except lmdb.Error as error:
            raise _read_error(error) from error
        finally:
            self._leave()

    def _enter(self) -> None:
        self._check_process()
        with self._state:
            if self._closed:
                raise StorageError(f"the store {self._path} is closed")
            self._active += 1

    def _leave(self) -> None:
        with self._state:
            self._active -= 1
            if self._active == 0:
                self._state.notify_all()

    def _check_process(self) -> None:
        # LMDB would let a forked child read, and even commit, beside the locks of its parent.
        if os.getpid() != self._process:
            raise ValueError(f"process {os.getpid()} uses the store that process {self._process} opened")


def _mapped(method: Callable[Concatenate[_LmdbReader, P], R]) -> Callable[Concatenate[_LmdbReader, P], R]:
    """Let a look-up raise our errors instead of LMDB's."""

    @functools.wraps(method)
    def mapped(self: _LmdbReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except lmdb.Error as error:
            raise _read_error(error) from error

    return mapped


class _LmdbReader:
    """A `ReadTransaction` on one LMDB transaction."""

    def __init__(self, transaction: lmdb.Transaction[bytes], tables: Mapping[str, _Database]) -> None:
        self._transaction = transaction
        self._tables = tables

    @_mapped
    def head(self) -> HeadRecord | None:
        value = self._transaction.get(layout.HEAD_KEY, db=self._tables[layout.META_TABLE])
        return None if value is None else layout.decode_head(value)

    @_mapped
    def leaves(self, begin: int, end: int) -> list[bytes]:
        first = layout.encode_index(begin)
        with self._cursor(layout.LEAVES_TABLE) as cursor:
            if not cursor.set_key(first):
                return []
            # The range comes first, so that no row beyond it is read.
            rows = [row for _, row in zip(range(begin, end), cursor.iternext(), strict=False)]
        expected = layout.encode_indexes(range(begin, begin + len(rows)))
        found = [key for key, _ in rows]
        if found != expected:
            del rows[next(place for place, key in enumerate(expected) if found[place] != key) :]
        return [leaf for _, leaf in rows]

    @_mapped
    def hashes(self, positions: Sequence[int]) -> list[bytes]:
        if isinstance(positions, range) and positions.step == 1 and positions:
            return self._run_of_hashes(positions.start, positions.stop)
        get, table = self._transaction.get, self._tables[layout.HASHES_TABLE]
        # One chunk at a time: who asks for many positions asks in their order. The copies of a thousand chunks, kept to
        # the end, would be pages that the kernel has to give and take for every call.
        number: int | None = None
        chunk = b""
        hashes = []
        for position in positions:
            needed, slot = divmod(position, layout.HASHES_PER_CHUNK)
            if needed != number:
                number, chunk = needed, get(layout.encode_index(needed), b"", table)
            begin = slot * layout.HASH_SIZE
            value = chunk[begin : begin + layout.HASH_SIZE]
            if len(value) != layout.HASH_SIZE:
                raise CorruptionError(f"the hash at position {position} is not stored")
            hashes.append(value)
        return hashes

    def _run_of_hashes(self, begin: int, end: int) -> list[bytes]:
        """Return the hashes at [begin, end), each chunk cut at once."""
        get, table = self._transaction.get, self._tables[layout.HASHES_TABLE]
        hashes: list[bytes] = []
        while (position := begin + len(hashes)) < end:
            number, slot = divmod(position, layout.HASHES_PER_CHUNK)
            until = min(slot + end - position, layout.HASHES_PER_CHUNK)
            part = get(layout.encode_index(number), b"", db=table)[slot * layout.HASH_SIZE : until * layout.HASH_SIZE]
            if len(part) != (until - slot) * layout.HASH_SIZE:
                raise CorruptionError(f"the hash at position {position + len(part) // layout.HASH_SIZE} is not stored")
            hashes += split_hashes(part)
        return hashes

    @_mapped
    def position_of_hash(self, value: bytes) -> int | None:
        layout.check_hash(value)
        with self._cursor(layout.HASHES_TABLE) as cursor:
            for key, chunk in cursor.iterprev():
                offset = chunk.rfind(value)
                while offset >= 0:
                    if offset % layout.HASH_SIZE == 0:
                        return layout.decode_index(key) * layout.HASHES_PER_CHUNK + offset // layout.HASH_SIZE
                    # Found across two hashes; look for one that starts before it.
                    offset = chunk.rfind(value, 0, offset + layout.HASH_SIZE - 1)
        return None

    @_mapped
    def sections(self, kind: SectionKind, indexes: Sequence[int]) -> list[bytes | None]:
        keys = layout.encode_indexes(indexes)
        with self._cursor(_SECTION_TABLES[kind]) as cursor:
            rows = cursor.getmulti(keys)
        if len(rows) == len(keys):
            # What nearly always is so: each has one, and they come in the order asked for.
            return [section for _, section in rows]
        found = dict(rows)
        return [found.get(key) for key in keys]

    @_mapped
    def indexes_of(self, event_ids: Sequence[bytes]) -> list[int | None]:
        layout.check_event_ids(event_ids)
        keys = layout.encode_event_ids(event_ids)
        with self._cursor(layout.EVENT_IDS_TABLE) as cursor:
            last = cursor.key() if cursor.last() else b""
            # Ids in order of time are above all that are stored, and need no look-up.
            rows = cursor.getmulti([key for key in keys if key <= last])
        if not rows:
            return [None] * len(event_ids)
        found = dict(zip([key for key, _ in rows], layout.decode_indexes([value for _, value in rows]), strict=True))
        return [found.get(key) for key in keys]

    @_mapped
    def record(self, name: str) -> bytes | None:
        return self._transaction.get(layout.encode_record_name(name), db=self._tables[layout.RECORDS_TABLE])

    @_mapped
    def records(self, prefix: str) -> list[tuple[str, bytes]]:
        wanted = prefix.encode("ascii")
        found = []
        with self._cursor(layout.RECORDS_TABLE) as cursor:
            # LMDB takes no empty key.
            if cursor.set_range(wanted) if wanted else cursor.first():
                for key, value in cursor.iternext():
                    if not key.startswith(wanted):
                        break
                    found.append((key.decode("ascii"), value))
        return found

    @_mapped
    def counts(self) -> TableCounts:
        with self._cursor(layout.HASHES_TABLE) as cursor:
            tail = cursor.value() if cursor.last() else b""
        full_chunks = max(self._rows(layout.HASHES_TABLE) - 1, 0)
        return TableCounts(
            leaves=self._rows(layout.LEAVES_TABLE),
            hashes=full_chunks * layout.HASHES_PER_CHUNK + len(tail) // layout.HASH_SIZE,
            event_sections=self._rows(layout.EVENT_SECTIONS_TABLE),
            personal_sections=self._rows(layout.PERSONAL_SECTIONS_TABLE),
            event_ids=self._rows(layout.EVENT_IDS_TABLE),
        )

    def _rows(self, table: str) -> int:
        return self._transaction.stat(self._tables[table])["entries"]

    def _cursor(self, table: str) -> lmdb.Cursor[bytes]:
        return self._transaction.cursor(self._tables[table])


class _LmdbWriter(_LmdbReader):
    """A `WriteTransaction`; the first change that failed decides how the transaction ends."""

    def __init__(self, transaction: lmdb.Transaction[bytes], tables: Mapping[str, _Database]) -> None:
        super().__init__(transaction, tables)
        self._failure: LedgerError | None = None

    def check_usable(self) -> None:
        """Return if no change failed yet; raise what the first one raised otherwise."""
        if self._failure is not None:
            raise self._failure

    def append(self, batch: EntryBatch) -> None:
        layout.check_batch(batch)
        head = layout.encode_head(batch.head)
        with self._changing():
            self._append(batch)
            self._transaction.put(layout.HEAD_KEY, head, db=self._tables[layout.META_TABLE])

    def put_record(self, name: str, value: bytes) -> None:
        key = layout.encode_record_name(name)
        with self._changing():
            self._transaction.put(key, value, db=self._tables[layout.RECORDS_TABLE])

    def delete_record(self, name: str) -> None:
        key = layout.encode_record_name(name)
        with self._changing():
            self._transaction.delete(key, db=self._tables[layout.RECORDS_TABLE])

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.check_usable()
        try:
            yield
        except (MemoryError, lmdb.MemoryError) as error:
            self._failure = StorageError("a change of the transaction failed for want of memory")
            raise MemoryError(str(error)) from error
        except lmdb.Error as error:
            self._failure = _write_error(error)
            raise self._failure from error
        except LedgerError as error:
            self._failure = error
            raise

    def _append(self, batch: EntryBatch) -> None:
        stored = self.head()
        if stored is None:
            raise CorruptionError("the head record is missing")
        if stored.tree_size != batch.first_index:
            raise CorruptionError(f"entries from {batch.first_index} do not follow on tree size {stored.tree_size}")
        keys = layout.encode_indexes(range(batch.first_index, batch.first_index + len(batch.leaves)))
        personal = [row for row in zip(keys, batch.personal_sections, strict=True) if row[1]]
        self._insert(layout.LEAVES_TABLE, list(zip(keys, batch.leaves, strict=True)))
        self._insert(layout.EVENT_SECTIONS_TABLE, list(zip(keys, batch.event_sections, strict=True)))
        self._insert(layout.PERSONAL_SECTIONS_TABLE, personal)
        self._append_hashes(stored_count(batch.first_index), batch.hashes)
        self._insert_event_ids(sorted(zip(layout.encode_event_ids(batch.event_ids), keys, strict=True)))

    def _append_hashes(self, position: int, hashes: bytes) -> None:
        """Add hashes from this position on; only the tail chunk is written anew."""
        number, slot = divmod(position, layout.HASHES_PER_CHUNK)
        with self._cursor(layout.HASHES_TABLE) as cursor:
            key, tail = cursor.item() if cursor.last() else (b"", b"")
            end = layout.decode_index(key) * layout.HASHES_PER_CHUNK + len(tail) // layout.HASH_SIZE if key else 0
            if end != position:
                raise CorruptionError(f"the stored hashes end at position {end} instead of {position}")
            if not slot:
                tail = b""
            data = tail + hashes
            chunks = [data[offset : offset + layout.CHUNK_SIZE] for offset in range(0, len(data), layout.CHUNK_SIZE)]
            if slot:
                cursor.put(key, chunks.pop(0))
                number += 1
        self._insert(
            layout.HASHES_TABLE,
            list(zip(layout.encode_indexes(range(number, number + len(chunks))), chunks, strict=True)),
        )

    def _insert_event_ids(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Add ids in order; those above all stored ones are appended, which leaves no page half empty."""
        with self._cursor(layout.EVENT_IDS_TABLE) as cursor:
            last = cursor.key() if cursor.last() else b""
        first_above = bisect_right(rows, last, key=itemgetter(0))
        self._insert(layout.EVENT_IDS_TABLE, rows[:first_above], append=False)
        self._insert(layout.EVENT_IDS_TABLE, rows[first_above:])

    def _insert(self, table: str, rows: Sequence[tuple[bytes, bytes]], *, append: bool = True) -> None:
        """Add rows that must be new; with `append`, ascending and above all that is stored."""
        with self._cursor(table) as cursor:
            _, added = cursor.putmulti(rows, overwrite=False, append=append)
        if added != len(rows):
            raise CorruptionError(f"{len(rows) - added} of {len(rows)} new rows are in the table {table} already")


def _open_environment(path: Path, map_size: int, *, read_only: bool, lock: bool = True) -> lmdb.Environment:
    if sys.maxsize < 1 << 32:
        raise StorageError("this interpreter has 32 bits, which is too little for a store's map")
    environment = lmdb.open(
        str(path),
        map_size=map_size,
        max_dbs=len(layout.TABLES),
        max_readers=_MAX_READERS,
        mode=0o600,
        create=False,
        readonly=read_only,
        lock=lock,
    )
    flags: dict[str, object] = {**environment.flags()}
    for name, expected, why in _FLAGS:
        if bool(flags[name]) is not (expected and (lock or name != "lock")):
            environment.close()
            raise StorageError(f"the environment {path} has {name}={flags[name]}: {why}")
    return environment


def _open_tables(path: Path, environment: lmdb.Environment) -> dict[str, _Database]:
    """Return the tables by name, having checked the format before all else."""
    try:
        meta = environment.open_db(layout.META_TABLE.encode(), create=False)
    except lmdb.NotFoundError:
        raise StorageFormatError(f"{path} is not a store of this program") from None
    with environment.begin() as transaction:
        value = transaction.get(layout.FORMAT_KEY, db=meta)
    number = 0 if value is None else layout.decode_format(value)
    if number != layout.FORMAT:
        raise StorageFormatError(
            f"the store {path} has format {number}; this version reads format {layout.FORMAT}",
            hint="use the version that wrote it, or a later one" if number > layout.FORMAT else "",
            metadata={"format": str(number), "supportedFormat": str(layout.FORMAT)},
        )
    try:
        return {name: environment.open_db(name.encode(), create=False) for name in layout.TABLES}
    except lmdb.NotFoundError as error:
        raise CorruptionError(f"a table of the store {path} is missing: {error}") from error


def _check_data_size(path: Path, environment: lmdb.Environment) -> None:
    # Reading a mapped page that the file lacks would kill the process.
    page_size = environment.stat()["psize"]
    expected = (environment.info()["last_pgno"] + 1) * page_size
    # Asked for last: another process may be adding to the file.
    data_size = (path / _DATA_FILE).stat().st_size
    # LMDB does not write pages that a transaction took at the end and gave back. So a file that is a little short may be
    # sound: the walk over its pages tells, which takes time and is hardly ever needed.
    if data_size < expected - _UNWRITTEN_PAGES * page_size or (data_size < expected and check_structure(path)):
        raise CorruptionError(
            f"{path / _DATA_FILE} was cut: it has {data_size} bytes and its pages end at {expected}",
            metadata={"size": str(data_size), "expectedSize": str(expected)},
        )


def _write_error(error: lmdb.Error) -> StorageError:
    """Return what a failed change or commit means: no room, or nobody knows."""
    definite = _definite_error("cannot write", error)
    if isinstance(definite, StorageFullError):
        return definite
    return OutcomeUnknownError(f"the write failed: {error}", hint="send it again: what was done is not done twice")


def _definite_error(action: str, error: lmdb.Error) -> StorageError:
    """Return what an error means where nothing can have been changed."""
    if error.code > 0:
        # LMDB hands on the number of the operating system's error.
        return storage_error(action, OSError(error.code, os.strerror(error.code)))
    if isinstance(error, lmdb.MapFullError):
        return StorageFullError(f"{action}: the map is full", hint="open the store with a larger map size")
    kinds = {
        lmdb.InvalidError: StorageFormatError,
        lmdb.VersionMismatchError: StorageFormatError,
        lmdb.CorruptedError: CorruptionError,
        lmdb.PageNotFoundError: CorruptionError,
    }
    return kinds.get(type(error), StorageError)(f"{action}: {error}")


def _read_error(error: lmdb.Error) -> StorageError:
    return _definite_error("cannot read the store", error)
