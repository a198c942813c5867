"""A store and a guard whose calls are numbered, so that a scenario can be repeated with a fault at each of them.

One `Faults` is shared by the store and the guard of a log. `calls` lists what was called; a fault at call N is there
once, or, as a crash, from then on: what a killed process would still have called has no effect any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TypeVar

from ledger.errors import OutcomeUnknownError, StorageError, StorageFullError
from ledger.storage.api import (
    EntryBatch,
    HeadRecord,
    ReadTransaction,
    SectionKind,
    Store,
    StoreMeta,
    StoreUsage,
    TableCounts,
    WriteTransaction,
)
from ledger.storage.guard import HighWaterGuard

T = TypeVar("T")

_COMMIT = "commit"
# What may say that the disk is full, and then has done nothing: the contract of `Store.write`.
_CHANGING = {"begin write", "append", "put_record", "delete_record", _COMMIT}
# What says, when it fails otherwise, that nobody knows what it has done.
_DOUBTFUL = {_COMMIT, "sync", "advance guard"}


class Fault(Enum):
    """What happens at the call that a scenario chose."""

    FULL = "refused for want of room, without effect"
    BEFORE = "failed before its effect"
    AFTER = "failed after its effect"
    CRASH = "never came, and nothing after it"


class Faults:
    """Numbers calls from 1, and makes one of them fail."""

    def __init__(self, at: int = 0, fault: Fault = Fault.BEFORE) -> None:
        """Choose the call; 0 for none."""
        self.calls: list[str] = []
        self.is_down = False
        self._at = at
        self._fault = fault

    @property
    def at(self) -> int:
        """Return the number of the call that fails."""
        return self._at

    def call(self, name: str, act: Callable[[], T]) -> T:
        """Make a call, or fail as chosen."""
        self.before(name)
        result = act()
        self.after(name)
        return result

    def before(self, name: str) -> None:
        """Count a call that is about to have its effect, or fail instead."""
        self.calls.append(name)
        is_chosen = len(self.calls) == self._at
        if self.is_down or (is_chosen and self._fault is Fault.CRASH):
            self.is_down = True
            raise StorageError(f"the process is dead: {name} has no effect")
        if is_chosen and self._fault is Fault.FULL:
            raise StorageFullError(f"no room: {name}")
        if is_chosen and self._fault is Fault.BEFORE:
            raise _io_error(name)

    def after(self, name: str) -> None:
        """Fail, or not, after the effect of the newest call."""
        if len(self.calls) == self._at and self._fault is Fault.AFTER:
            raise _io_error(name)


def possible_faults(name: str) -> list[Fault]:
    """Return how a call of this name can fail; only what changes something can be told that there is no room."""
    return [fault for fault in Fault if fault is not Fault.FULL or name in _CHANGING]


def _io_error(name: str) -> StorageError:
    return OutcomeUnknownError(f"an I/O error: {name}") if name in _DOUBTFUL else StorageError(f"an I/O error: {name}")


class FaultyStore:
    """A store with faults. Closing it leaves the one inside open, as a process that ends leaves the disk."""

    def __init__(self, inner: Store, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def meta(self) -> StoreMeta:
        return self._inner.meta

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        snapshot = self._faults.call("begin read", self._inner.read)
        with snapshot as transaction:
            yield _FaultyReader(transaction, self._faults)

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        opened = self._faults.call("begin write", self._inner.write)
        with opened as transaction:
            writer = _FaultyWriter(transaction, self._faults)
            yield writer
            # As every engine does: the first change that failed decides how the transaction ends.
            if writer.failure is not None:
                raise writer.failure
            self._faults.before(_COMMIT)
        self._faults.after(_COMMIT)

    def sync(self) -> None:
        self._faults.call("sync", self._inner.sync)

    def room_bytes(self) -> int:
        return self._faults.call("room_bytes", self._inner.room_bytes)

    def usage(self) -> StoreUsage:
        return self._inner.usage()

    def maintain(self) -> None:
        self._faults.call("maintain", self._inner.maintain)

    def close(self) -> None:
        """Leave it open."""


class FaultyGuard:
    """A guard with faults."""

    def __init__(self, inner: HighWaterGuard, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def value(self) -> tuple[int, bytes]:
        return self._faults.call("read guard", lambda: self._inner.value)

    def advance(self, tree_size: int, root_hash: bytes) -> None:
        self._faults.call("advance guard", lambda: self._inner.advance(tree_size, root_hash))

    def flush(self) -> None:
        """Have nothing to write: `advance` has written it. The writer thread calls this when it idles, uncounted."""

    def close(self) -> None:
        self._inner.close()


class _FaultyReader:
    def __init__(self, inner: ReadTransaction, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def head(self) -> HeadRecord | None:
        return self._faults.call("head", self._inner.head)

    def leaves(self, begin: int, end: int) -> list[bytes]:
        return self._faults.call("leaves", lambda: self._inner.leaves(begin, end))

    def hashes(self, positions: Sequence[int]) -> list[bytes]:
        return self._faults.call("hashes", lambda: self._inner.hashes(positions))

    def position_of_hash(self, value: bytes) -> int | None:
        return self._faults.call("position_of_hash", lambda: self._inner.position_of_hash(value))

    def sections(self, kind: SectionKind, indexes: Sequence[int]) -> list[bytes | None]:
        return self._faults.call("sections", lambda: self._inner.sections(kind, indexes))

    def indexes_of(self, event_ids: Sequence[bytes]) -> list[int | None]:
        return self._faults.call("indexes_of", lambda: self._inner.indexes_of(event_ids))

    def record(self, name: str) -> bytes | None:
        return self._faults.call("record", lambda: self._inner.record(name))

    def records(self, prefix: str) -> list[tuple[str, bytes]]:
        return self._faults.call("records", lambda: self._inner.records(prefix))

    def counts(self) -> TableCounts:
        return self._faults.call("counts", self._inner.counts)


class _FaultyWriter(_FaultyReader):
    def __init__(self, inner: WriteTransaction, faults: Faults) -> None:
        super().__init__(inner, faults)
        self._writer = inner
        self.failure: StorageError | None = None

    def append(self, batch: EntryBatch) -> None:
        self._change("append", lambda: self._writer.append(batch))

    def put_record(self, name: str, value: bytes) -> None:
        self._change("put_record", lambda: self._writer.put_record(name, value))

    def delete_record(self, name: str) -> None:
        self._change("delete_record", lambda: self._writer.delete_record(name))

    def _change(self, name: str, act: Callable[[], None]) -> None:
        try:
            self._faults.call(name, act)
        except StorageError as error:
            self.failure = error
            raise
