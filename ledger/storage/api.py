"""What the engine needs of a store, and nothing of how it is done.

One `Store` holds one log. Exactly one process opens write transactions; any process may read. Values handed out are
plain `bytes` that stay valid after the transaction. A failed look-up raises; it is never a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class SectionKind(Enum):
    """Which of an entry's two sections."""

    EVENT = "event"
    PERSONAL = "personal"


@dataclass(frozen=True, slots=True)
class StoreMeta:
    """What a store was made for; written once.

    Attributes:
        origin: Origin of the log.
        created_at: Microseconds since 1970 in UTC.
    """

    origin: str
    created_at: int


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """The state of the tree, written in the same transaction as the entries.

    Attributes:
        tree_size: Number of leaves.
        root_hash: Root of the tree, 32 bytes.
        frontier: Roots of the perfect subtrees of the right edge, largest first, 32 bytes each.
        last_leaf_hash: Leaf hash of the last entry, 32 bytes; of the genesis for an empty tree.
        last_recorded_at: recorded_at of the last entry, microseconds UTC; 0 for an empty tree.
    """

    tree_size: int
    root_hash: bytes
    frontier: tuple[bytes, ...]
    last_leaf_hash: bytes
    last_recorded_at: int


@dataclass(frozen=True, slots=True)
class EntryBatch:
    """Entries to append, as columns of equal length.

    Attributes:
        first_index: Index of the first; must equal the stored tree size.
        leaves: Leaf bytes.
        event_sections: Salt (16 bytes) followed by the event section.
        personal_sections: Salt (16 bytes) followed by the personal section; empty bytes for none.
        event_ids: Event ids, ASCII, each new to the store.
        hashes: The stored hashes that the leaves complete, in stored order, 32 bytes each, one after another.
        head: The head after the batch.
    """

    first_index: int
    leaves: Sequence[bytes]
    event_sections: Sequence[bytes]
    personal_sections: Sequence[bytes]
    event_ids: Sequence[bytes]
    hashes: bytes
    head: HeadRecord


@dataclass(frozen=True, slots=True)
class TableCounts:
    """How many rows each table holds; what recovery compares with the head.

    Attributes:
        leaves: Leaves.
        hashes: Stored hashes.
        event_sections: Event sections.
        personal_sections: Personal sections.
        event_ids: Event ids.
    """

    leaves: int
    hashes: int
    event_sections: int
    personal_sections: int
    event_ids: int


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """How a store uses its room; for watching it.

    Attributes:
        room_bytes: How much more it may hold.
        free_bytes: How much of what it holds is free to be used again.
        reader_lag: How many commits the oldest open snapshot is behind; what was freed since cannot be used again.
    """

    room_bytes: int
    free_bytes: int
    reader_lag: int


class ReadTransaction(Protocol):
    """A snapshot of the store. To be held for 5 seconds at most."""

    def head(self) -> HeadRecord | None:
        """Return the head record, or None where it is missing."""

    def leaves(self, begin: int, end: int) -> list[bytes]:
        """Return the leaves of [begin, end) in order, stopping before the first that is missing."""

    def hashes(self, positions: Sequence[int]) -> list[bytes]:
        """Return the stored hashes at these positions, 32 bytes each.

        Raises:
            CorruptionError: A position is not stored.
        """

    def position_of_hash(self, value: bytes) -> int | None:
        """Return the newest position that holds this hash (32 bytes), or None. Scans; for look-ups by people."""

    def sections(self, kind: SectionKind, indexes: Sequence[int]) -> list[bytes | None]:
        """Return salt and bytes of the sections at these leaf indexes, None where there is none."""

    def indexes_of(self, event_ids: Sequence[bytes]) -> list[int | None]:
        """Return the leaf index of each event id, None where it is new."""

    def record(self, name: str) -> bytes | None:
        """Return the record of this name, or None."""

    def records(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the records whose name begins with `prefix`, ordered by name."""

    def counts(self) -> TableCounts:
        """Return how many rows each table holds."""


class WriteTransaction(ReadTransaction, Protocol):
    """A read transaction that also changes the store; it sees its own changes."""

    def append(self, batch: EntryBatch) -> None:
        """Add entries and replace the head.

        Raises:
            CorruptionError: `first_index` is not the stored tree size, or a row that should be new exists.
            StorageFullError: Disk or map full.
        """

    def put_record(self, name: str, value: bytes) -> None:
        """Set a record; names are 1 to 200 bytes of ASCII."""

    def delete_record(self, name: str) -> None:
        """Delete a record if it exists."""


class Store(Protocol):
    """One log's store."""

    @property
    def meta(self) -> StoreMeta:
        """Return what the store was made for."""

    def read(self) -> AbstractContextManager[ReadTransaction]:
        """Open a snapshot. Thread-safe; snapshots do not block appends."""

    def write(self) -> AbstractContextManager[WriteTransaction]:
        """Open the write transaction; one thread at a time.

        Leaving the block commits: when it returns, all changes are on the disk and visible to new snapshots.
        Leaving it by an exception changes nothing.

        Raises:
            StorageFullError: Disk or map full; definitely nothing was changed.
            MemoryError: No memory for a change; definitely nothing was changed.
            OutcomeUnknownError: Any other failure of the commit; reopen the store before going on.
        """

    def sync(self) -> None:
        """Put on the disk whatever is visible; for the owner, before it relies on what it found at opening.

        Raises:
            OutcomeUnknownError: It failed.
        """

    def room_bytes(self) -> int:
        """Return how much more the store may hold, in bytes; the disk may hold less. Thread-safe."""

    def usage(self) -> StoreUsage:
        """Return how the store uses its room. Thread-safe.

        Raises:
            StorageError: The store is closed, or cannot be asked.
        """

    def maintain(self) -> None:
        """Do what must be done every half minute, such as freeing what a dead reader holds. Thread-safe.

        Raises:
            CorruptionError: What is open is no longer what a later opening would find.
        """

    def close(self) -> None:
        """Release the store; open snapshots must have ended."""
