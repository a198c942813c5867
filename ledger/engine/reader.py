"""Entries, checkpoints and proofs of one log at one head.

A reader stands on one snapshot and one signed head; nothing beyond that head is shown, and every entry is hashed
again from its stored bytes before it is handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ledger.engine.requests import SignedHead
from ledger.errors import (
    CorruptionError,
    EntryNotFoundError,
    IndexBeyondTreeError,
    InvalidProofError,
    LogReadOnlyError,
    MalformedError,
)
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.leaf import Leaf, decode_leaf
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.proofs import (
    prove_batch_inclusion,
    prove_consistency,
    prove_inclusion,
    prove_range,
    tree_root,
)
from ledger.merkle.ranges import leaf_of_stored_index, stored_index
from ledger.merkle.verify import verify_consistency
from ledger.notes.checkpoint import Checkpoint, sign_checkpoint
from ledger.notes.keys import Signer
from ledger.storage.api import ReadTransaction, SectionKind


class View(Enum):
    """Which parts of an entry to read."""

    LEAF = 1
    EVENT = 2
    FULL = 3


class SectionState(Enum):
    """What is left of a section."""

    PRESENT = 1
    NONE = 2
    WITHHELD = 3
    ERASED = 4


@dataclass(frozen=True, slots=True)
class SectionRead:
    """A section as a reader may see it.

    Attributes:
        state: What is left of it.
        content: The bytes that the client sent; empty unless present.
        salt: 16 bytes; empty unless present.
    """

    state: SectionState
    content: bytes = b""
    salt: bytes = b""


_WITHHELD = SectionRead(SectionState.WITHHELD)
_NONE = SectionRead(SectionState.NONE)
_ERASED = SectionRead(SectionState.ERASED)


@dataclass(frozen=True, slots=True)
class EntryRead:
    """An entry whose leaf hash is the stored one and whose sections are those committed to."""

    leaf_index: int
    leaf: bytes
    event: SectionRead
    personal: SectionRead


class LogReader:
    """One snapshot of a log, up to one signed head."""

    def __init__(self, snapshot: ReadTransaction, head: SignedHead, origin: str, signer: Signer) -> None:
        """Stand on a snapshot that was opened after `head` was signed."""
        self.snapshot = snapshot
        self._origin = origin
        self._signer = signer
        self.head = head

    # Checkpoints and proofs

    def checkpoint(self, tree_size: int = 0) -> SignedHead:
        """Return the signed head of a size, 0 for the newest.

        An older head is derived from the stored hashes, and signed only when it is proved to be a prefix of the
        newest one: a damaged hash must not become a second root for one size.

        Raises:
            IndexBeyondTreeError: The size is beyond the newest head.
            CorruptionError: The stored hashes do not lead to the newest head.
            LogReadOnlyError: No head of the log may be signed.
        """
        if not self.head.note:
            raise LogReadOnlyError(
                "the log is read-only and no head of it may be signed",
                hint="run `logproof fsck`; see the operator's page on a log that refuses to sign",
            )
        if tree_size in {0, self.head.tree_size}:
            return self.head
        self.check_size(tree_size)
        root = tree_root(tree_size, self.snapshot.hashes)
        proof = prove_consistency(tree_size, self.head.tree_size, self.snapshot.hashes)
        try:
            verify_consistency(tree_size, root, self.head.tree_size, self.head.root_hash, proof)
        except InvalidProofError as error:
            raise CorruptionError(
                f"the stored hashes of size {tree_size} do not lead to the head of size {self.head.tree_size}",
                hint="run `logproof fsck`",
            ) from error
        return SignedHead(tree_size, root, sign_checkpoint(Checkpoint(self._origin, tree_size, root), self._signer))

    def inclusion_proof(self, leaf_index: int, tree_size: int) -> list[bytes]:
        """Return the inclusion proof of a leaf in the tree of a size.

        Raises:
            IndexBeyondTreeError: Index or size is beyond its tree.
        """
        self.check_size(tree_size)
        self._check_index(leaf_index, tree_size)
        return prove_inclusion(leaf_index, tree_size, self.snapshot.hashes)

    def batch_inclusion_proof(self, leaf_indexes: Sequence[int], tree_size: int) -> list[bytes]:
        """Return one proof for several leaves, ascending and distinct, in the tree of a size."""
        self.check_size(tree_size)
        self._check_index(leaf_indexes[-1], tree_size)
        return prove_batch_inclusion(leaf_indexes, tree_size, self.snapshot.hashes)

    def range_proof(self, begin: int, end: int, tree_size: int) -> list[bytes]:
        """Return the proof that the leaves [begin, end) are complete in the tree of a size."""
        self.check_size(tree_size)
        self._check_index(end - 1, tree_size)
        return prove_range(begin, end, tree_size, self.snapshot.hashes)

    def consistency_proof(self, first_size: int, second_size: int) -> list[bytes]:
        """Return the proof that the tree of the first size is a prefix of that of the second."""
        self.check_size(second_size)
        if first_size > second_size:
            raise IndexBeyondTreeError(
                f"the first size {first_size} is above the second size {second_size}",
                hint="give the smaller size first",
                metadata={"firstSize": str(first_size), "secondSize": str(second_size)},
            )
        return prove_consistency(first_size, second_size, self.snapshot.hashes)

    def check_index(self, leaf_index: int) -> None:
        """Return if the index is below the head's tree size.

        Raises:
            IndexBeyondTreeError: It is not.
        """
        self._check_index(leaf_index, self.head.tree_size)

    def check_size(self, tree_size: int) -> None:
        """Return if the tree size is up to that of the head.

        Raises:
            IndexBeyondTreeError: It is beyond.
        """
        if tree_size > self.head.tree_size:
            raise IndexBeyondTreeError(
                f"tree size {tree_size} is beyond the newest head, whose size is {self.head.tree_size}",
                hint="ask for a size up to the newest, or again after the log has grown",
                metadata={"treeSize": str(tree_size), "newestTreeSize": str(self.head.tree_size)},
            )

    # Records

    def record(self, name: str) -> bytes | None:
        """Return an administrative record."""
        return self.snapshot.record(name)

    def records(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the administrative records whose name begins with `prefix`, by name."""
        return self.snapshot.records(prefix)

    # Entries

    def index_of_event(self, event_id: str) -> int:
        """Return the leaf index of an event id.

        Raises:
            EntryNotFoundError: The log has no such event.
        """
        index = self.snapshot.indexes_of([event_id.encode("ascii", "replace")])[0]
        if index is None or index >= self.head.tree_size:
            raise EntryNotFoundError(
                f"no entry has the event id {event_id!r}",
                hint="check the id and the name of the log",
                metadata={"eventId": event_id},
            )
        return index

    def index_of_leaf_hash(self, leaf_hash: bytes) -> int:
        """Return the leaf index of a leaf hash (32 bytes), by a scan of the stored hashes.

        Raises:
            EntryNotFoundError: The log has no such leaf.
        """
        position = self.snapshot.position_of_hash(leaf_hash)
        index = None if position is None else leaf_of_stored_index(position)
        if index is None or index >= self.head.tree_size:
            raise EntryNotFoundError(
                f"no entry has the leaf hash {leaf_hash.hex()}", hint="check the hash and the name of the log"
            )
        return index

    def entry(self, leaf_index: int, view: View) -> EntryRead:
        """Return one entry.

        Raises:
            IndexBeyondTreeError: The index is beyond the head.
            CorruptionError: The stored bytes are not those that were hashed.
        """
        self._check_index(leaf_index, self.head.tree_size)
        return self.entries([leaf_index], view)[0]

    def entries(self, leaf_indexes: Sequence[int], view: View) -> list[EntryRead]:
        """Return entries in the order asked for; indexes must be below the head's size.

        Raises:
            CorruptionError: The stored bytes of an entry are not those that were hashed.
        """
        if not leaf_indexes:
            return []
        leaves = self._leaves(leaf_indexes)
        hashes = self.snapshot.hashes([stored_index(0, index) for index in leaf_indexes])
        absent: list[bytes | None] = [None] * len(leaf_indexes)
        events = absent if view is View.LEAF else self.snapshot.sections(SectionKind.EVENT, leaf_indexes)
        personals = self.snapshot.sections(SectionKind.PERSONAL, leaf_indexes) if view is View.FULL else absent
        result = []
        for index, leaf, leaf_hash, event, personal in zip(
            leaf_indexes, leaves, hashes, events, personals, strict=True
        ):
            if hash_leaf(leaf) != leaf_hash:
                raise _damaged(index, "leaf")
            decoded = self._decode(index, leaf)
            result.append(
                EntryRead(
                    index,
                    leaf,
                    _WITHHELD if view is View.LEAF else _section(index, decoded, SectionKind.EVENT, event),
                    _personal_state(decoded)
                    if view is not View.FULL
                    else _section(index, decoded, SectionKind.PERSONAL, personal),
                )
            )
        return result

    def _leaves(self, leaf_indexes: Sequence[int]) -> list[bytes]:
        begin, end = min(leaf_indexes), max(leaf_indexes) + 1
        if list(leaf_indexes) == list(range(begin, end)):
            leaves = self.snapshot.leaves(begin, end)
        else:
            leaves = [leaf for index in leaf_indexes for leaf in self.snapshot.leaves(index, index + 1)]
        if len(leaves) != len(leaf_indexes):
            raise CorruptionError(
                f"a leaf of the entries {begin} to {end - 1} is missing from the store", hint="run `logproof fsck`"
            )
        return leaves

    @staticmethod
    def _decode(index: int, leaf: bytes) -> Leaf:
        try:
            return decode_leaf(leaf)
        except MalformedError as error:
            raise _damaged(index, "leaf") from error

    @staticmethod
    def _check_index(leaf_index: int, tree_size: int) -> None:
        if leaf_index >= tree_size:
            raise IndexBeyondTreeError(
                f"leaf index {leaf_index} is beyond the tree of size {tree_size}",
                hint="indexes count from 0 and are below the tree size",
                metadata={"leafIndex": str(leaf_index), "treeSize": str(tree_size)},
            )


def _personal_state(leaf: Leaf) -> SectionRead:
    return _NONE if leaf.personal_commitment is None else _WITHHELD


def _section(index: int, leaf: Leaf, kind: SectionKind, stored: bytes | None) -> SectionRead:
    """Return a stored section after comparing it with the leaf's commitment."""
    commitment = leaf.event_commitment if kind is SectionKind.EVENT else leaf.personal_commitment
    if stored is None:
        return _NONE if commitment is None else _ERASED
    salt, content = stored[:SALT_SIZE], stored[SALT_SIZE:]
    commit = commit_event if kind is SectionKind.EVENT else commit_personal
    if commit(salt, content) != commitment:
        raise _damaged(index, f"{kind.value} section")
    return SectionRead(SectionState.PRESENT, content, salt)


def _damaged(index: int, part: str) -> CorruptionError:
    return CorruptionError(
        f"the {part} of entry {index} is not what was hashed",
        hint="run `logproof fsck`; restore from a backup",
        metadata={"leafIndex": str(index), "part": part},
    )
