"""A log's engine without threads or sockets, on a clock that the test moves and randomness that repeats itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ledger.auth.roles import Role
from ledger.clock import ManualClock
from ledger.engine.kernel import Kernel
from ledger.engine.records import Credential, key_created
from ledger.engine.requests import AdminRequest, AppendRequest, AppendResult, NewEntry, SignedHead
from ledger.engine.sequencer import SERVER_PRINCIPAL, Answer, Request, Sequencer, StepResult
from ledger.errors import LedgerError, OutcomeUnknownError
from ledger.events.codec import check_sections, encode_sections
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.event import Actor, ActorType, Event, PersonalData, Target
from ledger.events.leaf import decode_leaf, genesis_hash
from ledger.merkle.hashing import EMPTY_ROOT, hash_leaf
from ledger.merkle.proofs import prove_consistency
from ledger.merkle.verify import verify_consistency
from ledger.notes.checkpoint import open_checkpoint
from ledger.notes.keys import Ed25519Signer, Ed25519Verifier
from ledger.storage.api import HeadRecord, ReadTransaction, SectionKind, Store, StoreMeta, StoreUsage, WriteTransaction
from ledger.storage.guard import HighWaterGuard
from ledger.storage.memory import MemoryStore
from tests.support.naive_tree import mth

ORIGIN = "logs.example/lab"
KEY_ID = "writerKey001"
PRINCIPAL = b"principal-writer"
OTHER_KEY_ID = "writerKey002"
OTHER_PRINCIPAL = b"principal-other!"
NOW = 1_800_000_000_000_000


class RepeatableRandom:
    """Bytes that look random and are the same on every run."""

    def __init__(self, seed: bytes = b"lab") -> None:
        self._seed = seed
        self._calls = 0

    def __call__(self, size: int) -> bytes:
        self._calls += 1
        return hashlib.shake_256(self._seed + self._calls.to_bytes(8, "big")).digest(size)


class Altered:
    """A snapshot that reads every leaf otherwise than it was written."""

    def __init__(self, snapshot: ReadTransaction) -> None:
        self._snapshot = snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self._snapshot, name)

    def leaves(self, begin: int, end: int) -> list[bytes]:
        """Return the leaves, the last bit of each flipped."""
        return [leaf[:-1] + bytes([leaf[-1] ^ 1]) for leaf in self._snapshot.leaves(begin, end)]


def make_entry(number: int, *, text: str = "", personal: bool = True) -> NewEntry:
    """Return an event to append; the same number has the same id, another text other bytes."""
    event = Event(
        event_id=f"event-{number:08}",
        action="user.role.updated",
        occurred_at=NOW + number,
        actor=Actor(type=ActorType.USER, id="user_123"),
        targets=(Target("user", f"user_{number}{text}"),),
    )
    sections = encode_sections(event, PersonalData(actor_email=f"user{number}@example.com") if personal else None)
    return NewEntry(check_sections(*sections).encode(), *sections)


def append_request(
    *entries: NewEntry, other: bool = False, deadline: int | None = None, independent: bool = False
) -> AppendRequest:
    """Return the request of the first or the other writer."""
    if other:
        return AppendRequest(OTHER_KEY_ID, OTHER_PRINCIPAL, entries, deadline, independent)
    return AppendRequest(KEY_ID, PRINCIPAL, entries, deadline, independent)


class Lab:
    """One log; after each step the whole log is checked against an independent tree."""

    def __init__(self, folder: Path, store: Store | None = None, kernel: Kernel | None = None) -> None:
        self.kernel = kernel
        genesis = HeadRecord(0, EMPTY_ROOT, (), genesis_hash(ORIGIN), 0)
        self.clock = ManualClock(NOW)
        self.store: Store = store or MemoryStore.create(StoreMeta(ORIGIN, NOW), genesis)
        self.guard = HighWaterGuard.create(folder / "lab.guard", ORIGIN, genesis)
        self.signer = Ed25519Signer(ORIGIN, bytes(range(32)))
        self.heads: list[SignedHead] = []
        self.restart()
        for key_id, principal in ((KEY_ID, PRINCIPAL), (OTHER_KEY_ID, OTHER_PRINCIPAL)):
            credential = Credential(key_id, principal, "", frozenset({Role.WRITER}), False, b"\x01" * 32, "", 0)
            self.step(AdminRequest("", SERVER_PRINCIPAL, [key_created(credential)]))

    def restart(self) -> None:
        """Begin with a new sequencer, as after a crash."""
        self.sequencer = Sequencer(
            origin=ORIGIN,
            store=self.store,
            guard=self.guard,
            clock=self.clock,
            random=RepeatableRandom(len(self.heads).to_bytes(4, "big")),
            signer=self.signer,
            kernel=self.kernel,
        )

    def step(self, *requests: Request) -> StepResult:
        """Run one step and check the log."""
        result = self.sequencer.step(requests)
        self.heads.append(result.head)
        self.check_log()
        return result

    def append(self, *entries: NewEntry, other: bool = False) -> AppendResult:
        """Append in one request; raise its error."""
        return answer_of(self.step(append_request(*entries, other=other)).answers[0])

    @property
    def size(self) -> int:
        """Return the committed tree size."""
        with self.store.read() as snapshot:
            head = snapshot.head()
        assert head is not None
        return head.tree_size

    def check_log(self) -> None:
        """Check every leaf, section, id and shown head of the log against the naive tree."""
        check_whole_log(self.store, self.heads, self.signer.verifier)


def check_whole_log(store: Store, heads: Sequence[SignedHead], verifier: Ed25519Verifier) -> None:
    """Check every leaf, section, id and shown head of a log against the naive tree."""
    with store.read() as snapshot:
        head = snapshot.head()
        assert head is not None
        leaves = snapshot.leaves(0, head.tree_size + 1)
        events = snapshot.sections(SectionKind.EVENT, range(head.tree_size))
        personals = snapshot.sections(SectionKind.PERSONAL, range(head.tree_size))
        assert len(leaves) == head.tree_size
        previous, last_time = genesis_hash(ORIGIN), 0
        for index, (data, event, personal) in enumerate(zip(leaves, events, personals, strict=True)):
            leaf = decode_leaf(data)
            assert leaf.previous == previous
            assert leaf.recorded_at >= last_time
            assert event is not None
            assert commit_event(event[:SALT_SIZE], event[SALT_SIZE:]) == leaf.event_commitment
            if personal is None:
                assert leaf.personal_commitment is None
            else:
                assert commit_personal(personal[:SALT_SIZE], personal[SALT_SIZE:]) == leaf.personal_commitment
            assert snapshot.indexes_of([check_sections(event[SALT_SIZE:], b"", internal=True).encode()]) == [index]
            previous, last_time = hash_leaf(data), leaf.recorded_at
        assert head.last_leaf_hash == previous
        assert head.root_hash == mth([hash_leaf(leaf) for leaf in leaves])
        for shown in heads:
            opened = open_checkpoint(shown.note, verifier).checkpoint
            assert (opened.tree_size, opened.root_hash) == (shown.tree_size, shown.root_hash)
            proof = prove_consistency(shown.tree_size, head.tree_size, snapshot.hashes)
            verify_consistency(shown.tree_size, shown.root_hash, head.tree_size, head.root_hash, proof)


def answer_of(answer: Answer) -> AppendResult:
    """Return an answer's result; raise its error."""
    if isinstance(answer, LedgerError):
        raise answer
    return answer


class DoubtfulStore:
    """A store whose next commit fails; whether it was done is up to the test."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.fail_next: str = ""

    @property
    def meta(self) -> StoreMeta:
        return self._inner.meta

    def read(self) -> AbstractContextManager[ReadTransaction]:
        return self._inner.read()

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        outcome, self.fail_next = self.fail_next, ""
        if outcome == "lost":
            with self._inner.write() as transaction:
                yield transaction
                raise OutcomeUnknownError("the commit failed")
        with self._inner.write() as transaction:
            yield transaction
        if outcome == "kept":
            raise OutcomeUnknownError("the commit failed")

    def maintain(self) -> None:
        self._inner.maintain()

    def sync(self) -> None:
        self._inner.sync()

    def room_bytes(self) -> int:
        return self._inner.room_bytes()

    def usage(self) -> StoreUsage:
        return self._inner.usage()

    def close(self) -> None:
        self._inner.close()
