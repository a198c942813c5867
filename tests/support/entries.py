"""Batches of entries with true hashes, for tests of stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import EMPTY_ROOT, HASH_SIZE, hash_leaf, split_hashes
from ledger.storage.api import EntryBatch, HeadRecord, ReadTransaction, SectionKind, StoreMeta, TableCounts

META = StoreMeta(origin="logs.example.com/täst", created_at=1_700_000_000_000_000)
GENESIS = HeadRecord(tree_size=0, root_hash=EMPTY_ROOT, frontier=(), last_leaf_hash=b"\x07" * 32, last_recorded_at=0)


def make_batch(after: HeadRecord, count: int, *, label: str = "", filler: int = 0) -> EntryBatch:
    """Return `count` entries to follow on a head; every third has no personal section.

    Args:
        after: The head that the batch follows on.
        count: How many entries, at least 1.
        label: Makes the event ids and contents differ from those of another batch at the same place.
        filler: Bytes to add to each section.
    """
    indexes = range(after.tree_size, after.tree_size + count)
    leaves = [f"leaf {label} {index}".encode() for index in indexes]
    leaf_hashes = [hash_leaf(leaf) for leaf in leaves]
    tree, hashes = CompactRange(after.tree_size, after.frontier).extend(leaf_hashes)
    extra = b"." * filler
    return EntryBatch(
        first_index=after.tree_size,
        leaves=leaves,
        event_sections=[f"event {label} {index}".encode() + extra for index in indexes],
        personal_sections=[f"personal {label} {index}".encode() + extra if index % 3 else b"" for index in indexes],
        event_ids=[f"id-{index:012}-{label}".encode() for index in indexes],
        hashes=b"".join(hashes),
        head=HeadRecord(
            tree_size=tree.tree_size,
            root_hash=tree.root(),
            frontier=tree.hashes,
            last_leaf_hash=leaf_hashes[-1],
            last_recorded_at=after.last_recorded_at + count,
        ),
    )


@dataclass(frozen=True)
class Content:
    """All that a log holds, read through its interface."""

    head: HeadRecord | None
    leaves: list[bytes]
    events: list[bytes | None]
    personal: list[bytes | None]
    indexes: list[int | None]
    hashes: list[bytes]
    records: list[tuple[str, bytes]]
    counts: TableCounts


def read_content(transaction: ReadTransaction, batches: Sequence[EntryBatch]) -> Content:
    """Read everything that these batches, from the first entry on, are said to have stored."""
    size = sum(len(batch.leaves) for batch in batches)
    return Content(
        head=transaction.head(),
        leaves=transaction.leaves(0, size + 1),
        events=transaction.sections(SectionKind.EVENT, range(size)),
        personal=transaction.sections(SectionKind.PERSONAL, range(size)),
        indexes=transaction.indexes_of([event_id for batch in batches for event_id in batch.event_ids]),
        hashes=transaction.hashes(range(sum(len(batch.hashes) for batch in batches) // HASH_SIZE)),
        records=transaction.records(""),
        counts=transaction.counts(),
    )


def content_of(batches: Sequence[EntryBatch], records: dict[str, bytes] | None = None) -> Content:
    """Return what `read_content` must find when these batches and records, and nothing else, are stored."""
    leaves = [leaf for batch in batches for leaf in batch.leaves]
    personal = [section or None for batch in batches for section in batch.personal_sections]
    hashes = split_hashes(b"".join(batch.hashes for batch in batches))
    return Content(
        head=batches[-1].head if batches else GENESIS,
        leaves=leaves,
        events=[section for batch in batches for section in batch.event_sections],
        personal=personal,
        indexes=list(range(len(leaves))),
        hashes=hashes,
        records=sorted((records or {}).items()),
        counts=TableCounts(
            leaves=len(leaves),
            hashes=len(hashes),
            event_sections=len(leaves),
            personal_sections=sum(section is not None for section in personal),
            event_ids=len(leaves),
        ),
    )
