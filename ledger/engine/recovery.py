"""What is checked before a log may sign: the states that a crash cannot leave behind, each by its name.

Every commit is atomic, so whatever this finds was done to the data, or to the guard, by something else. A log with a
finding opens read-only. The work is bounded: the head, the right edge of the tree, the records of administration, the
last entries, and all that the guard does not know yet, because that may never have been read back; `fsck` checks
everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.engine.findings import Finding, Impossible
from ledger.engine.page_check import check_page
from ledger.engine.records import check_record
from ledger.errors import CorruptionError
from ledger.events.leaf import genesis_hash
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.proofs import frontier, tree_root
from ledger.merkle.ranges import stored_count
from ledger.storage.api import HeadRecord, ReadTransaction

RECHECKED_ENTRIES = 1000
_PAGE_ENTRIES = 1000


def check_opening(
    snapshot: ReadTransaction, origin: str, guard: tuple[int, bytes] | None, *, rechecked: int = RECHECKED_ENTRIES
) -> Finding | None:
    """Return the first impossible state of a store and its guard, or None.

    Args:
        snapshot: The store.
        origin: Origin of the log.
        guard: Tree size and root hash that the guard remembers; None where it is missing.
        rechecked: How many of the last entries to hash again, and at least those beyond the guard; 0 for none.
    """
    try:
        head = snapshot.head()
    except CorruptionError as error:
        return Finding(Impossible.HEAD_UNREADABLE, error.message)
    if head is None:
        return Finding(Impossible.HEAD_MISSING, "nothing says how large the log is")
    try:
        return next(_findings(snapshot, head, origin, guard, rechecked), None)
    except CorruptionError as error:
        return Finding(Impossible.HASHES_MISSING, error.message)


def _findings(
    snapshot: ReadTransaction, head: HeadRecord, origin: str, guard: tuple[int, bytes] | None, rechecked: int
) -> Iterator[Finding]:
    yield from _check_counts(snapshot, head)
    yield from _check_edge(snapshot, head)
    yield from _check_guard(snapshot, head, guard)
    yield from _check_records(snapshot)
    begin = head.tree_size
    if rechecked:
        begin = max(0, min(head.tree_size - rechecked, head.tree_size if guard is None else guard[0]))
    for page in range(begin, head.tree_size, _PAGE_ENTRIES):
        yield from check_page(snapshot, page, min(page + _PAGE_ENTRIES, head.tree_size), origin).findings
    last = hash_leaf(snapshot.leaves(head.tree_size - 1, head.tree_size)[0]) if head.tree_size else genesis_hash(origin)
    if last != head.last_leaf_hash:
        yield Finding(Impossible.LAST_LEAF_DIFFERS, f"{head.last_leaf_hash.hex()} against {last.hex()}")


def _check_counts(snapshot: ReadTransaction, head: HeadRecord) -> Iterator[Finding]:
    counts, size = snapshot.counts(), head.tree_size
    hashes = stored_count(size)
    if counts.leaves != size:
        state = Impossible.LEAVES_MISSING if counts.leaves < size else Impossible.LEAVES_BEYOND_HEAD
        yield Finding(state, f"{counts.leaves} leaves against a tree size of {size}")
    if counts.hashes != hashes:
        state = Impossible.HASHES_MISSING if counts.hashes < hashes else Impossible.HASHES_BEYOND_HEAD
        yield Finding(state, f"{counts.hashes} hashes against {hashes}")
    if counts.event_ids != size:
        yield Finding(Impossible.EVENT_IDS_DIFFER, f"{counts.event_ids} ids against a tree size of {size}")


def _check_edge(snapshot: ReadTransaction, head: HeadRecord) -> Iterator[Finding]:
    if frontier(head.tree_size, snapshot.hashes) != head.frontier:
        yield Finding(Impossible.RIGHT_EDGE_DIFFERS, f"at tree size {head.tree_size}")
    root = CompactRange(head.tree_size, head.frontier).root()
    if root != head.root_hash:
        yield Finding(Impossible.ROOT_DIFFERS, f"{head.root_hash.hex()} against {root.hex()}")


def _check_guard(snapshot: ReadTransaction, head: HeadRecord, guard: tuple[int, bytes] | None) -> Iterator[Finding]:
    if guard is None:
        yield Finding(Impossible.GUARD_MISSING, "nothing says whether this data is the newest")
        return
    size, root = guard
    if size > head.tree_size:
        yield Finding(Impossible.GUARD_AHEAD, f"the guard remembers size {size}, the data has {head.tree_size}")
    elif tree_root(size, snapshot.hashes) != root:
        yield Finding(Impossible.GUARD_FORKED, f"at tree size {size}")


def _check_records(snapshot: ReadTransaction) -> Iterator[Finding]:
    for name, value in snapshot.records(""):
        try:
            check_record(name, value)
        except CorruptionError as error:
            yield Finding(Impossible.RECORD_UNREADABLE, error.message)
