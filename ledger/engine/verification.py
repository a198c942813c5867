"""Verification of one entry from its stored bytes, for callers that have no verifier of their own.

Nothing is taken from a flag: the commitments, the leaf hash, the chain to both neighbours, the event id and the path
to the signed head are computed again. The answer names each check and the checkpoint it was made against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from ledger.engine.reader import LogReader
from ledger.engine.requests import SignedHead
from ledger.errors import LedgerError, MalformedError
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.leaf import Leaf, decode_leaf, genesis_hash
from ledger.events.wire import read_event, read_personal
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.proofs import prove_inclusion
from ledger.merkle.verify import verify_inclusion
from ledger.notes.checkpoint import open_checkpoint
from ledger.notes.keys import parse_verifier_key
from ledger.storage.api import ReadTransaction, SectionKind


class Verdict(Enum):
    """Result of a verification."""

    VERIFIED = 1
    VERIFIED_CONTENT_GONE = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: Stable name.
        passed: Whether it passed.
        detail: What was compared with what, or why it failed.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class EntryVerification:
    """The outcome for one entry.

    Attributes:
        verdict: All checks together.
        leaf_index: Index of the leaf.
        checks: In the order in which they ran.
        head: The signed head it was checked against.
    """

    verdict: Verdict
    leaf_index: int
    checks: tuple[Check, ...]
    head: SignedHead


def verify_entry(reader: LogReader, leaf_index: int, verifier_key: str, origin: str) -> EntryVerification:
    """Verify a stored entry.

    Args:
        reader: A reader of the log.
        leaf_index: Below the head's tree size.
        verifier_key: The log's verifier key.
        origin: The log's origin.

    Raises:
        IndexBeyondTreeError: The index is beyond the head.
        LogReadOnlyError: The log has no signed head.
    """
    head = reader.checkpoint()
    reader.check_index(leaf_index)
    run = _Checks(reader.snapshot, leaf_index, head, verifier_key, origin)
    checks = tuple(run.all())
    if not all(check.passed for check in checks):
        verdict = Verdict.FAILED
    else:
        verdict = Verdict.VERIFIED_CONTENT_GONE if run.content_gone else Verdict.VERIFIED
    return EntryVerification(verdict, leaf_index, checks, head)


class _Checks:
    def __init__(
        self, snapshot: ReadTransaction, leaf_index: int, head: SignedHead, verifier_key: str, origin: str
    ) -> None:
        self._snapshot = snapshot
        self._index = leaf_index
        self._head = head
        self._verifier_key = verifier_key
        self._origin = origin
        self.content_gone = False

    def all(self) -> Iterator[Check]:
        yield _check("checkpoint signature", self._signature)
        leaves = self._snapshot.leaves(self._index, self._index + 1)
        if not leaves:
            yield Check("leaf", passed=False, detail="it is missing from the store")
            return
        leaf_bytes = leaves[0]
        try:
            leaf = decode_leaf(leaf_bytes)
        except MalformedError as error:
            yield Check("leaf", passed=False, detail=error.message)
            return
        yield Check("leaf", passed=True, detail="its bytes have the one encoding of a leaf")
        yield _check("event section", lambda: self._section(leaf, SectionKind.EVENT))
        yield _check("personal section", lambda: self._section(leaf, SectionKind.PERSONAL))
        yield _check("event id", self._event_id)
        yield _check("chain to the entry before", lambda: self._chain_back(leaf))
        yield _check("chain to the entry after", lambda: self._chain_forward(leaf_bytes))
        yield _check("inclusion", lambda: self._inclusion(leaf_bytes))

    def _signature(self) -> str:
        opened = open_checkpoint(self._head.note, parse_verifier_key(self._verifier_key)).checkpoint
        if (opened.tree_size, opened.root_hash) != (self._head.tree_size, self._head.root_hash):
            raise MalformedError("the signed note states another head")
        return f"the note of tree size {self._head.tree_size} is signed by {self._verifier_key.split('+')[0]}"

    def _section(self, leaf: Leaf, kind: SectionKind) -> str:
        is_event = kind is SectionKind.EVENT
        commitment = leaf.event_commitment if is_event else leaf.personal_commitment
        stored = self._snapshot.sections(kind, [self._index])[0]
        if stored is None and commitment is None:
            return "the entry never had one"
        if stored is None:
            self.content_gone = True
            return "its bytes are gone; the leaf still commits to them"
        if commitment is None:
            raise MalformedError("bytes are stored that the leaf does not commit to")
        salt, content = stored[:SALT_SIZE], stored[SALT_SIZE:]
        if (commit_event if is_event else commit_personal)(salt, content) != commitment:
            raise MalformedError("the stored bytes are not what the leaf commits to")
        if is_event:
            read_event(content)
        else:
            read_personal(content)
        return f"{len(content)} stored bytes are what the leaf commits to"

    def _event_id(self) -> str:
        stored = self._snapshot.sections(SectionKind.EVENT, [self._index])[0]
        if stored is None:
            return "not checked: the event section is gone"
        event_id = read_event(stored[SALT_SIZE:]).event_id
        found = self._snapshot.indexes_of([event_id.encode()])[0]
        if found != self._index:
            raise MalformedError(f"the event id {event_id} leads to {found}")
        return f"{event_id} leads to this entry"

    def _chain_back(self, leaf: Leaf) -> str:
        if self._index == 0:
            previous, name = genesis_hash(self._origin), "the origin"
        else:
            before = self._snapshot.leaves(self._index - 1, self._index)
            if not before:
                raise MalformedError(f"entry {self._index - 1} is missing from the store")
            previous, name = hash_leaf(before[0]), f"entry {self._index - 1}"
        if leaf.previous != previous:
            raise MalformedError(f"it does not name {name}")
        return f"it names {name}"

    def _chain_forward(self, leaf_bytes: bytes) -> str:
        after = self._snapshot.leaves(self._index + 1, self._index + 2)
        if not after:
            return "it is the last entry"
        if decode_leaf(after[0]).previous != hash_leaf(leaf_bytes):
            raise MalformedError(f"entry {self._index + 1} names another leaf")
        return f"entry {self._index + 1} names it"

    def _inclusion(self, leaf_bytes: bytes) -> str:
        size = self._head.tree_size
        proof = prove_inclusion(self._index, size, self._snapshot.hashes)
        verify_inclusion(hash_leaf(leaf_bytes), self._index, size, self._head.root_hash, proof)
        return f"{len(proof)} hashes lead from the leaf to the signed root of tree size {size}"


def _check(name: str, run: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, detail=run())
    except LedgerError as error:
        return Check(name, passed=False, detail=error.message)
