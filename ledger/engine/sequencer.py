"""The writing step of a log: requests in, one durable commit, one signed head, answers out.

`Sequencer.step` is all that ever writes a log. It knows no thread and no socket: store, guard, clock, random source
and signer are given to it, so a test or a simulation owns them. Its order is the promise of the product and must not
change:

1. one write transaction: look up ids, seal leaves, append; commit, synced;
2. a new snapshot: re-read the group's leaves and derive the root again;
3. the high-water guard, synced;
4. the signature;
5. the answers.

Nothing is answered before 4, nothing is signed that was not read back from the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from ledger.auth.api_keys import credentials_refused
from ledger.auth.roles import Permission
from ledger.clock import Clock
from ledger.engine.admission import AdmittedRequest, Group, SealedEntries
from ledger.engine.clockwatch import ClockWatch
from ledger.engine.kernel import Kernel, installed_kernel
from ledger.engine.records import CLOCK_CONFIRMED, FREEZE, KEY_PREFIX, Credential, fold, read_retirement
from ledger.engine.requests import AdminRequest, AppendRequest, AppendResult, NewEntry, SignedHead
from ledger.errors import (
    BatchConflictError,
    CorruptionError,
    DeadlinePassedError,
    EventIdReusedError,
    InvalidCredentialsError,
    LedgerError,
    LogReadOnlyError,
    LogRetiredError,
    OverloadedError,
    PermissionMissingError,
    StorageError,
    another,
)
from ledger.events.actions import CATALOGUE_VERSION
from ledger.events.codec import encode_sections
from ledger.events.event import Actor, ActorType, Authentication, Event, Outcome, Source
from ledger.events.ids import ID_RANDOM_BYTES, RESERVED_ID_PREFIX, new_event_id
from ledger.merkle.compact import CompactRange
from ledger.merkle.proofs import frontier
from ledger.notes.checkpoint import Checkpoint, sign_checkpoint
from ledger.notes.keys import Signer
from ledger.storage.api import HeadRecord, ReadTransaction, Store, WriteTransaction

SERVER_PRINCIPAL = b"logproof/server\0"
RandomSource = Callable[[int], bytes]
Request = AppendRequest | AdminRequest
Answer = AppendResult | LedgerError


class Guard(Protocol):
    """The high-water mark outside the store."""

    def advance(self, tree_size: int, root_hash: bytes) -> None:
        """Remember the head durably before anyone sees it; refuses to go back."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did.

    Attributes:
        answers: One for each request, in order.
        head: The newest signed head.
        appended: How many entries are new.
        reused_ids: How many event ids came again with other bytes, by the key id of who sent them.
        commit_us: Microseconds from when all was written to when it was durable, read back and signed.
    """

    answers: Sequence[Answer]
    head: SignedHead
    appended: int
    reused_ids: Mapping[str, int] = field(default_factory=dict)
    commit_us: int = 0


class Sequencer:
    """Writes one log. Used by one thread at a time."""

    def __init__(
        self,
        *,
        origin: str,
        store: Store,
        guard: Guard,
        clock: Clock,
        random: RandomSource,
        signer: Signer,
        kernel: Kernel | None = None,
    ) -> None:
        """Keep the parts; nothing is read until the first step. Without a kernel, that of this process is used."""
        self._origin = origin
        # The last part of an origin is the name of its log.
        self._name = origin.rpartition("/")[2]
        self._store = store
        self._guard = guard
        self._clock = clock
        self._watch = ClockWatch(clock)
        self._random = random
        self._signer = signer
        self._kernel = kernel if kernel is not None else installed_kernel()

    def step(self, requests: Sequence[Request]) -> StepResult:
        """Append what the requests ask for in one durable commit, and sign the head that covers it.

        A request that is refused has its error as its answer and leaves no trace; it never aborts the others.

        Raises:
            StorageFullError: Nothing was appended, for certain.
            OverloadedError: There was no memory for it; nothing was appended, for certain.
            OutcomeUnknownError: The commit failed; the store must be reopened before the next step.
            CorruptionError: The store, read back, does not have the root that was committed; nothing was signed.
        """
        with self._store.write() as transaction:
            try:
                before = require_head(transaction)
                decisions, group = self._prepare(transaction, before, requests)
                after, sealed = (
                    group.write(transaction, before, self._kernel)
                    if group
                    else (before, SealedEntries(before.tree_size))
                )
            except MemoryError as error:
                # Raised out of the transaction, it ends it before the commit.
                raise OverloadedError(
                    "the server has no memory left for an append; nothing was appended",
                    hint="retry after a pause with the same bytes and event ids",
                    retry_seconds=1.0,
                ) from error
            written_at = self._clock.boottime_us()
        if group:
            self._read_back(before, after)
        head = self.sign(after)
        committed_at = self._clock.boottime_us()
        return StepResult(
            answers=[
                AppendResult(decision.results(sealed), head, decision.refused)
                if isinstance(decision, AdmittedRequest)
                else decision
                for decision in decisions
            ],
            head=head,
            appended=after.tree_size - before.tree_size,
            reused_ids=_reused_ids(requests, decisions),
            commit_us=committed_at - written_at,
        )

    def sign(self, head: HeadRecord) -> SignedHead:
        """Return the signed head of a committed head record, the guard first."""
        self._guard.advance(head.tree_size, head.root_hash)
        note = sign_checkpoint(Checkpoint(self._origin, head.tree_size, head.root_hash), self._signer)
        return SignedHead(head.tree_size, head.root_hash, note)

    def _prepare(
        self, transaction: WriteTransaction, before: HeadRecord, requests: Sequence[Request]
    ) -> tuple[list[AdmittedRequest | LedgerError], Group | None]:
        """Decide each request; the group holds what is new."""
        reason = transaction.record(FREEZE)
        if reason is not None:
            message = f"the log is frozen: {reason.decode()}"
            hint = "see the operator's page on a frozen log"
            return [LogReadOnlyError(message, hint=hint) for _ in requests], None
        self._confirm_clock(transaction, before, requests)
        try:
            recorded_at = self._watch.recorded_at(before.last_recorded_at)
        except LedgerError as error:
            return [another(error) for _ in requests], None
        group = Group(recorded_at, CATALOGUE_VERSION, self._random)
        answers: list[AdmittedRequest | LedgerError] = []
        known = self._known_ids(transaction, requests)
        retired = self._retired(transaction)
        for request in requests:
            try:
                answers.append(self._decide(transaction, request, group, known, retired))
                if isinstance(request, AdminRequest):
                    # It may have been the retirement.
                    retired = self._retired(transaction)
            except StorageError:
                # A look-up that failed is no answer, and what it leaves undone must not be committed.
                raise
            except LedgerError as error:
                answers.append(error)
        return answers, group if group.size else None

    def _confirm_clock(self, transaction: ReadTransaction, before: HeadRecord, requests: Sequence[Request]) -> None:
        """Trust the clock again where an administrator says so; a refused one is answered with the others."""
        for request in requests:
            if isinstance(request, AdminRequest) and any(event.action == CLOCK_CONFIRMED for event in request.events):
                with suppress(InvalidCredentialsError, PermissionMissingError):
                    self._check_credential(transaction, request, before.last_recorded_at)
                    self._watch.confirm()

    def _decide(
        self,
        transaction: WriteTransaction,
        request: Request,
        group: Group,
        known: dict[bytes, int],
        retired: LogRetiredError | None,
    ) -> AdmittedRequest:
        if request.deadline is not None and self._clock.boottime_us() >= request.deadline:
            raise DeadlinePassedError(
                "the deadline passed before the append was taken; nothing was appended",
                hint="retry with the same bytes, and a longer deadline",
            )
        self._check_credential(transaction, request, group.recorded_at)
        if isinstance(request, AppendRequest):
            if retired is not None:
                return group.admit_known(transaction, request, known, another(retired))
            return group.admit(transaction, request, known)
        if request.precondition is not None:
            request.precondition(transaction)
        events = [self._complete(event, request, group.recorded_at) for event in request.events]
        entries = [NewEntry(event.event_id.encode(), encode_sections(event, None)[0], b"") for event in events]
        admitted = group.admit(transaction, AppendRequest(request.key_id, request.principal, entries), {})
        for event in events:
            for name, value in fold(event, group.recorded_at, transaction.record).items():
                transaction.put_record(name, value)
        return admitted

    def _retired(self, transaction: ReadTransaction) -> LogRetiredError | None:
        """Return why the log takes no events any more; None where it does."""
        retirement = read_retirement(transaction.record, self._name)
        if retirement is None:
            return None
        return LogRetiredError(
            f"the log {self._name} is retired and takes no events any more: {retirement.reason}; nothing was appended",
            hint="append to the log that goes on from it; `logproof log create NEW --continues NOTE` makes one",
            metadata={"log": self._name},
        )

    def _check_credential(self, transaction: ReadTransaction, request: Request, now_us: int) -> None:
        """Look the credential up again, so that no entry of a key follows its revocation."""
        if isinstance(request, AdminRequest) and not request.key_id:
            return
        value = transaction.record(KEY_PREFIX + request.key_id)
        if value is None:
            raise credentials_refused()
        credential = Credential.decode(value)
        if credential.principal != request.principal or not credential.is_live(max(now_us, self._clock.now_us())):
            raise credentials_refused()
        needed = Permission.APPEND if isinstance(request, AppendRequest) else Permission.ADMINISTER
        if not credential.allows(needed):
            raise PermissionMissingError(
                f"the credential lacks the permission '{needed.value}' on this log",
                hint="use a key of this log with a role that allows it; the log's administrator gives roles",
                metadata={"permission": needed.value},
            )

    def _complete(self, event: Event, request: AdminRequest, recorded_at: int) -> Event:
        """Fill in what every entry of the server has: id, time, who acted and where."""
        return replace(
            event,
            event_id=RESERVED_ID_PREFIX + new_event_id(recorded_at // 1000, self._random(ID_RANDOM_BYTES)),
            occurred_at=recorded_at,
            outcome=Outcome.SUCCESS,
            actor=Actor(type=ActorType.API_KEY if request.key_id else ActorType.SYSTEM, id=request.principal.hex()),
            auth=Authentication(credential_id=request.key_id),
            source=Source(service="logproof"),
        )

    @staticmethod
    def _known_ids(transaction: ReadTransaction, requests: Sequence[Request]) -> dict[bytes, int]:
        """Return the leaf index of each event id that the log holds already; one look-up for the whole group."""
        ids = [
            entry.event_id for request in requests if isinstance(request, AppendRequest) for entry in request.entries
        ]
        found = transaction.indexes_of(ids)
        return {event_id: index for event_id, index in zip(ids, found, strict=True) if index is not None}

    def _read_back(self, before: HeadRecord, after: HeadRecord) -> None:
        """Derive the root again from what the store now holds."""
        with self._store.read() as snapshot:
            stored = require_head(snapshot)
            leaves = snapshot.leaves(before.tree_size, after.tree_size)
            start = CompactRange(before.tree_size, frontier(before.tree_size, snapshot.hashes))
        is_whole = len(leaves) == after.tree_size - before.tree_size
        if stored != after or not is_whole or self._kernel.derive_root(leaves, start) != after.root_hash:
            raise CorruptionError(
                f"after the commit of size {after.tree_size} the store does not read back as it was written",
                hint="run `logproof fsck`; the log signs nothing until the cause is found",
                metadata={"treeSize": str(after.tree_size)},
            )


def _reused_ids(requests: Sequence[Request], decisions: Sequence[AdmittedRequest | LedgerError]) -> Counter[str]:
    found: Counter[str] = Counter()
    for request, decision in zip(requests, decisions, strict=True):
        if isinstance(decision, AdmittedRequest):
            refused = [error for error in decision.refused.values() if isinstance(error, EventIdReusedError)]
            if refused:
                found[request.key_id] += len(refused)
        elif isinstance(decision, EventIdReusedError):
            found[request.key_id] += 1
        elif isinstance(decision, BatchConflictError):
            found[request.key_id] += len(decision.problems)
    return found


def require_head(transaction: ReadTransaction) -> HeadRecord:
    """Return the head record.

    Raises:
        CorruptionError: There is none.
    """
    head = transaction.head()
    if head is None:
        raise CorruptionError("the store has no head record", hint="run `logproof fsck`")
    return head
