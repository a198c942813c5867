"""What is checked before a log may sign: the states that a crash cannot leave behind, each by its name.

Every commit is atomic, so whatever this finds was done to the data, or to the guard, by something else. A log with a
finding opens read-only. The work is bounded: the head, the right edge of the tree, the records of administration, the
last entries, and all that the guard does not know yet, because that may never have been read back; `fsck` checks
everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ledger.engine.records import check_record
from ledger.errors import CorruptionError, LedgerError, MalformedError
from ledger.events.codec import check_sections
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.leaf import decode_leaf, genesis_hash
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.proofs import frontier, tree_root
from ledger.merkle.ranges import stored_count, stored_index
from ledger.storage.api import HeadRecord, ReadTransaction, SectionKind

RECHECKED_ENTRIES = 1000
_PAGE_ENTRIES = 1000


class Impossible(Enum):
    """A state that no crash leaves behind."""

    HEAD_MISSING = "the store has no head record"
    HEAD_UNREADABLE = "the head record cannot be read"
    LEAVES_MISSING = "the store has fewer leaves than the head says"
    LEAVES_BEYOND_HEAD = "the store has more leaves than the head says"
    HASHES_MISSING = "the store has fewer hashes than the head needs"
    HASHES_BEYOND_HEAD = "the store has more hashes than the head needs"
    EVENT_IDS_DIFFER = "the store does not have one event id for each leaf"
    RIGHT_EDGE_DIFFERS = "the head's right edge is not that of the stored hashes"
    ROOT_DIFFERS = "the head's root is not that of its right edge"
    LEAF_UNREADABLE = "a leaf cannot be read"
    LEAF_HASH_DIFFERS = "a leaf does not hash to its stored hash"
    CHAIN_BROKEN = "a leaf does not name the leaf before it"
    TIME_DECREASES = "a leaf was recorded before the leaf before it"
    LAST_LEAF_DIFFERS = "the head does not name the last leaf"
    SECTION_DIFFERS = "a section is not what its leaf commits to"
    SECTION_MISSING = "a section that its leaf commits to is gone without an entry that says so"
    SECTION_UNEXPECTED = "a section is stored that its leaf does not commit to"
    EVENT_ID_MISSING = "an event's id does not lead to its entry"
    RECORD_UNREADABLE = "a record of administration cannot be read"
    GUARD_MISSING = "the high-water guard is missing"
    GUARD_UNREADABLE = "the high-water guard cannot be read"
    GUARD_AHEAD = "the data is older than the head that the guard remembers"
    GUARD_FORKED = "the guard remembers another root for a size of this log"


@dataclass(frozen=True, slots=True)
class Finding:
    """One impossible state.

    Attributes:
        state: Which.
        leaf_index: The entry it was found at, where it is about one.
        detail: What was compared with what.
    """

    state: Impossible
    detail: str
    leaf_index: int | None = None

    def describe(self) -> str:
        """Return it in words."""
        where = "" if self.leaf_index is None else f" (entry {self.leaf_index})"
        return f"{self.state.value}{where}: {self.detail}"


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
        yield from check_entries(snapshot, page, min(page + _PAGE_ENTRIES, head.tree_size), origin)
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


def check_entries(snapshot: ReadTransaction, begin: int, end: int, origin: str) -> Iterator[Finding]:
    """Yield what is wrong with the entries [begin, end), in order of their index.

    Checks each leaf's form, hash, chain and time, the commitments of its sections, and its event id.
    """
    first = max(0, begin - 1)
    leaves = snapshot.leaves(first, end)
    if len(leaves) < end - first:
        yield Finding(Impossible.LEAVES_MISSING, "it is not stored", first + len(leaves))
        return
    indexes = range(begin, end)
    hashes = snapshot.hashes([stored_index(0, index) for index in indexes])
    events = snapshot.sections(SectionKind.EVENT, indexes)
    personals = snapshot.sections(SectionKind.PERSONAL, indexes)
    previous = hash_leaf(leaves[0]) if begin else genesis_hash(origin)
    last_time = 0
    if begin:
        try:
            last_time = decode_leaf(leaves[0]).recorded_at
        except MalformedError as error:
            yield Finding(Impossible.LEAF_UNREADABLE, error.message, begin - 1)
    for index, leaf_bytes, stored, event, personal in zip(
        indexes, leaves[begin - first :], hashes, events, personals, strict=True
    ):
        leaf_hash = hash_leaf(leaf_bytes)
        if leaf_hash != stored:
            yield Finding(Impossible.LEAF_HASH_DIFFERS, f"{stored.hex()} is stored", index)
        try:
            leaf = decode_leaf(leaf_bytes)
        except MalformedError as error:
            yield Finding(Impossible.LEAF_UNREADABLE, error.message, index)
            previous = leaf_hash
            continue
        if leaf.previous != previous:
            yield Finding(Impossible.CHAIN_BROKEN, f"it names {leaf.previous.hex()}, not {previous.hex()}", index)
        if leaf.recorded_at < last_time:
            yield Finding(Impossible.TIME_DECREASES, f"{leaf.recorded_at} after {last_time}", index)
        previous, last_time = leaf_hash, leaf.recorded_at
        yield from _check_section(index, "event", event, leaf.event_commitment)
        yield from _check_section(index, "personal", personal, leaf.personal_commitment)
        if event is not None:
            yield from _check_content(snapshot, index, event[SALT_SIZE:], (personal or b"")[SALT_SIZE:])


def _check_section(index: int, kind: str, stored: bytes | None, commitment: bytes | None) -> Iterator[Finding]:
    if stored is None:
        if commitment is not None:
            yield Finding(Impossible.SECTION_MISSING, f"the {kind} section", index)
        return
    if commitment is None:
        yield Finding(Impossible.SECTION_UNEXPECTED, f"a {kind} section", index)
        return
    commit = commit_event if kind == "event" else commit_personal
    if commit(stored[:SALT_SIZE], stored[SALT_SIZE:]) != commitment:
        yield Finding(Impossible.SECTION_DIFFERS, f"the {kind} section", index)


def _check_content(snapshot: ReadTransaction, index: int, event: bytes, personal: bytes) -> Iterator[Finding]:
    try:
        event_id = check_sections(event, personal, internal=True)
    except LedgerError as error:
        yield Finding(Impossible.SECTION_DIFFERS, f"it is not strict: {error.message}", index)
        return
    found = snapshot.indexes_of([event_id.encode()])[0]
    if found != index:
        yield Finding(Impossible.EVENT_ID_MISSING, f"{event_id} leads to {found}", index)
