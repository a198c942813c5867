"""The high-water guard: the newest head that a log may have acknowledged, in a file of its own, best on another volume.

It tells a log that was set back, by accident or on purpose, which the store alone cannot. It never goes back: a value
that it confirmed is there after any crash, or a newer one is.

The file is two slots of 4,096 bytes, written in turn and synced each time, so a write that is cut off can only spoil
the slot with the older value. A slot: magic (8 bytes), sequence (8), tree_size (8), root (32), SHA-256 of the origin
(32), zeros, and in its last 32 bytes the SHA-256 of all before. Integers are big-endian. The valid slot with the higher
sequence counts.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ledger.errors import CorruptionError, OutcomeUnknownError, StorageFormatError
from ledger.storage.files import storage_error, sync_path
from ledger.storage.layout import check_hash

SLOT_SIZE: Final = 4096
_CHECKSUM_SIZE = 32
_MAGIC = b"LPGUARD1"
_FIELDS = struct.Struct(">8sQQ32s32s")
_RELAXED_INTERVAL_US = 1_000_000


class TreeHead(Protocol):
    """A head record, a checkpoint, or whatever else has a size and a root."""

    @property
    def tree_size(self) -> int:
        """Return the number of leaves."""

    @property
    def root_hash(self) -> bytes:
        """Return the root of the tree, 32 bytes."""


@dataclass(frozen=True, slots=True)
class _Slot:
    sequence: int
    tree_size: int
    root_hash: bytes

    @property
    def value(self) -> tuple[int, bytes]:
        return self.tree_size, self.root_hash


class HighWaterGuard:
    """The guard of one log; for one thread of the process that owns the log."""

    def __init__(self, path: Path, origin: str, descriptor: int, newest: _Slot) -> None:
        """Take over an open file; use `create` or `open`."""
        self._path = path
        self._origin = origin
        self._descriptor = descriptor
        # The newest value that is known to be on the disk.
        self._newest = newest
        self._value = newest.value
        self._written_at_us: int | None = None

    @classmethod
    def create(cls, path: Path, origin: str, head: TreeHead) -> HighWaterGuard:
        """Make the guard's file with this value, durable when this returns; nothing is left where it fails.

        Args:
            path: The file, mode 0600; must not exist, its directory must.
            origin: Origin of the log.
            head: The head to start from.

        Raises:
            StorageFullError: Disk or quota full.
            StorageError: The file exists or cannot be written.
        """
        check_hash(head.root_hash)
        # Both slots hold the value, so the file has its full size and one of them is always valid.
        slots = [_Slot(sequence, head.tree_size, head.root_hash) for sequence in (0, 1)]
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
                _write_fully(descriptor, b"".join(_encode_slot(slot, origin) for slot in slots), 0)
                os.fsync(descriptor)
                sync_path(path.parent)
            except BaseException:
                os.close(descriptor)
                path.unlink()
                raise
        except OSError as error:
            raise storage_error(f"cannot create the guard {path}", error) from error
        return cls(path, origin, descriptor, slots[1])

    @classmethod
    def open(cls, path: Path, origin: str) -> HighWaterGuard:
        """Read the guard's file and keep it open.

        Args:
            path: The file.
            origin: Origin that it must have been made for.

        Raises:
            StorageFormatError: Written by another version, or for another origin.
            CorruptionError: Neither slot is valid.
            StorageError: Missing, or cannot be read.
        """
        return cls(path, origin, *_open(path, origin, os.O_RDWR))

    @classmethod
    def peek(cls, path: Path, origin: str) -> tuple[int, bytes]:
        """Return what a guard's file remembers, without opening it for writing.

        Args:
            path: The file.
            origin: Origin that it must have been made for.

        Raises:
            StorageError: As for `open`.
        """
        descriptor, newest = _open(path, origin, os.O_RDONLY)
        os.close(descriptor)
        return newest.value

    @property
    def value(self) -> tuple[int, bytes]:
        """Return the newest tree size and root (32 bytes) that it was told of."""
        return self._value

    def advance(self, tree_size: int, root_hash: bytes, *, sync: bool = True, now_us: int | None = None) -> None:
        """Take note of a newer head, on the disk when this returns; the same head again costs nothing.

        Args:
            tree_size: Not below the guard's.
            root_hash: Root of that tree, 32 bytes; the guard's own where the size is the same.
            sync: False writes at most once a second, and `close` writes the rest: a crash may leave the guard behind
                by what it was told within that second.
            now_us: Microseconds of a clock that never goes back; needed where `sync` is False.

        Raises:
            CorruptionError: The head is behind the guard, or contradicts it. The guard is unchanged.
            OutcomeUnknownError: The write failed. The entries are in the store, so this is no refusal; what the guard
                confirmed before still counts, and the call may be repeated.
        """
        check_hash(root_hash)
        if not sync and now_us is None:
            raise ValueError("without sync the guard needs the time")
        size, root = self._value
        if tree_size < size or (tree_size == size and root_hash != root):
            raise CorruptionError(
                f"the head of tree size {tree_size}, root {root_hash.hex()}, does not follow on the guard's: "
                f"tree size {size}, root {root.hex()}",
                metadata={"treeSize": str(tree_size), "guardTreeSize": str(size)},
            )
        self._value = (tree_size, root_hash)
        if sync or now_us is None:
            self.flush()
        elif self._written_at_us is None or now_us - self._written_at_us >= _RELAXED_INTERVAL_US:
            self.flush()
            self._written_at_us = now_us

    def close(self) -> None:
        """Write what is not yet written, and release the file; doing so again does nothing.

        Raises:
            OutcomeUnknownError: The write failed; the file is released all the same.
        """
        if self._descriptor < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def flush(self) -> None:
        """Write what `advance` was told but did not write; to be called once a second where it does not sync.

        Raises:
            OutcomeUnknownError: The write failed; may be repeated.
        """
        if self._value == self._newest.value:
            return
        slot = _Slot(self._newest.sequence + 1, *self._value)
        try:
            _write_fully(self._descriptor, _encode_slot(slot, self._origin), slot.sequence % 2 * SLOT_SIZE)
            os.fdatasync(self._descriptor)
        except OSError as error:
            # The other slot is untouched, and the next attempt writes this one again, whole.
            raise OutcomeUnknownError(f"cannot write the guard {self._path}: {error.strerror}") from error
        self._newest = slot


def _open(path: Path, origin: str, flags: int) -> tuple[int, _Slot]:
    """Return the descriptor of a guard's file, and its newest slot."""
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise storage_error(f"cannot open the guard {path}", error) from error
    try:
        blocks = [os.pread(descriptor, SLOT_SIZE, number * SLOT_SIZE) for number in (0, 1)]
        return descriptor, _newest_slot(path, blocks, origin)
    except OSError as error:
        os.close(descriptor)
        raise storage_error(f"cannot read the guard {path}", error) from error
    except BaseException:
        os.close(descriptor)
        raise


def _write_fully(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _encode_slot(slot: _Slot, origin: str) -> bytes:
    origin_hash = hashlib.sha256(origin.encode()).digest()
    fields = _FIELDS.pack(_MAGIC, slot.sequence, slot.tree_size, slot.root_hash, origin_hash)
    content = fields.ljust(SLOT_SIZE - _CHECKSUM_SIZE, b"\0")
    return content + hashlib.sha256(content).digest()


def _newest_slot(path: Path, blocks: Sequence[bytes], origin: str) -> _Slot:
    slots = [slot for block in blocks if (slot := _decode_slot(path, block, origin)) is not None]
    if not slots:
        raise CorruptionError(f"both slots of the guard {path} are damaged", metadata={"path": str(path)})
    return max(slots, key=lambda slot: slot.sequence)


def _decode_slot(path: Path, block: bytes, origin: str) -> _Slot | None:
    """Return the slot, or None where its bytes were not written whole.

    Raises:
        StorageFormatError: It is whole, but of another version or origin.
    """
    content, checksum = block[:-_CHECKSUM_SIZE], block[-_CHECKSUM_SIZE:]
    if len(block) != SLOT_SIZE or hashlib.sha256(content).digest() != checksum:
        return None
    magic, sequence, tree_size, root_hash, origin_hash = _FIELDS.unpack_from(content)
    if magic != _MAGIC:
        raise StorageFormatError(f"the guard {path} is of another version: it begins with {magic!r}")
    if origin_hash != hashlib.sha256(origin.encode()).digest():
        raise StorageFormatError(f"the guard {path} is not that of {origin}", metadata={"origin": origin})
    return _Slot(sequence, tree_size, root_hash)
