"""One open log: a queue, the one thread that writes, and readers.

The commit in progress is the batching window: while one group is written, the next gathers in the queue. The queue is
bounded in entries and bytes, and a group in entries.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ledger.clock import Clock
from ledger.engine.findings import Impossible
from ledger.engine.reader import LogReader
from ledger.engine.records import FREEZE
from ledger.engine.recovery import check_opening
from ledger.engine.requests import AdminRequest, AppendRequest, AppendResult, SignedHead
from ledger.engine.sequencer import Guard, RandomSource, Request, Sequencer, StepResult, require_head
from ledger.errors import (
    CorruptionError,
    LedgerError,
    LogReadOnlyError,
    OutcomeUnknownError,
    OverloadedError,
    ShuttingDownError,
    StorageError,
    StorageFullError,
    another,
)
from ledger.merkle.proofs import tree_root
from ledger.notes.checkpoint import Checkpoint, sign_checkpoint
from ledger.notes.keys import Signer
from ledger.storage.api import ReadTransaction, Store, StoreUsage
from ledger.storage.guard import HighWaterGuard

_LOGGER = logging.getLogger(__name__)
_READERS_END_SECONDS = 10
_IDLE_SECONDS = 1.0
_MEMORY_WAIT_SECONDS = 0.25
_MEMORY_WAITS = 20
_RESERVED_BYTES = 16 * 1024**2
_MAINTENANCE_US = 30_000_000
_NOT_DURABLE = "what the store holds cannot be made durable"
_GUARD_UNWRITABLE = "the high-water guard cannot be written"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a log's queue and of one commit.

    Attributes:
        queue_entries: Entries waiting.
        queue_bytes: Bytes of sections waiting.
        group_entries: Entries of one commit; a single request may be larger.
    """

    queue_entries: int = 20_000
    queue_bytes: int = 64 * 1024 * 1024
    group_entries: int = 4_000


class OpenGuard(Guard, Protocol):
    """A guard that can also be read, and that is closed with its log."""

    @property
    def value(self) -> tuple[int, bytes]:
        """Return the tree size and root hash that it remembers."""

    def flush(self) -> None:
        """Write what it was told and has not yet written."""

    def close(self) -> None:
        """Write what is not yet written, and release the file."""


class RelaxedGuard:
    """A guard that is written once a second: a crash of the machine may set it back by what came within that second."""

    def __init__(self, guard: HighWaterGuard, clock: Clock) -> None:
        """Wrap a guard."""
        self._guard = guard
        self._clock = clock

    @property
    def value(self) -> tuple[int, bytes]:
        """Return the tree size and root hash that it was told."""
        return self._guard.value

    def advance(self, tree_size: int, root_hash: bytes) -> None:
        """Take note of a newer head; on the disk within a second."""
        self._guard.advance(tree_size, root_hash, sync=False, now_us=self._clock.boottime_us())

    def flush(self) -> None:
        """Write what it was told and has not yet written."""
        self._guard.flush()

    def close(self) -> None:
        """Write what is not yet written, and release the file."""
        self._guard.close()


@dataclass(frozen=True, slots=True)
class LogParts:
    """What a log is made of.

    Attributes:
        name: Name.
        verifier_key: Text of the verifier key.
        open_store: Opens the store; called again after a failed commit.
        open_guard: Opens the guard; raises `CorruptionError` or `StorageFormatError` where it cannot be read, and
            returns None where it is missing.
        clock: The clock.
        random: Returns so many random bytes.
        signer: Signs its heads.
        limits: Bounds.
        check_room: Raises `StorageFullError` where too little disk is left for a client's append.
        observe: Called after each step with its result and the microseconds it took.
        unreadable: Called with the reason when the store cannot even be read any more.
    """

    name: str
    verifier_key: str
    open_store: Callable[[], Store]
    open_guard: Callable[[], OpenGuard | None]
    clock: Clock
    random: RandomSource
    signer: Signer
    limits: Limits = Limits()
    check_room: Callable[[], None] = lambda: None
    observe: Callable[[StepResult, int], None] = lambda _result, _microseconds: None
    unreadable: Callable[[str], None] = lambda _reason: None


class Log:
    """An open log. Thread-safe."""

    def __init__(self, parts: LogParts) -> None:
        """Open the store, check it, and start the writer.

        A log whose data is in an impossible state opens read-only and says why.

        Raises:
            StorageError: The store cannot be read at all.
        """
        self.name = parts.name
        self.origin = parts.signer.name
        self.verifier_key = parts.verifier_key
        self._parts = parts
        # Guards all below; never held during I/O.
        self._changed = threading.Condition()
        self._queue: deque[tuple[Request, Future[AppendResult]]] = deque()
        self._queued_entries = 0
        self._queued_bytes = 0
        self._closing = False
        self._readers = 0
        self._reopening = False
        self._failed_before = False
        # Belongs to the writer thread.
        self._maintained_at = parts.clock.boottime_us()
        self._read_only_reason = ""
        self._freeze_to_store = ""
        self._store = parts.open_store()
        self._sequencer: Sequencer | None = None
        self._guard: OpenGuard | None = None
        self._head = self._recover()
        self._writer = threading.Thread(target=self._write, name=f"writer-{self.name}", daemon=True)
        self._writer.start()

    # Requests

    def submit(self, request: Request) -> Future[AppendResult]:
        """Queue a request; the future is done when it is durable, or refused.

        Raises:
            OverloadedError: The queue is full.
            LogReadOnlyError: The log takes no appends.
            ShuttingDownError: The log is being closed.
            StorageFullError: The disk is below its low-water mark; administration still has room.
        """
        if isinstance(request, AppendRequest):
            self._parts.check_room()
        entries, size = _weight(request)
        future: Future[AppendResult] = Future()
        limits = self._parts.limits
        with self._changed:
            if self._closing:
                raise ShuttingDownError("the server is stopping", hint="retry with the same bytes")
            if self._read_only_reason:
                raise self._read_only()
            full = (
                self._queued_entries + entries > limits.queue_entries or self._queued_bytes + size > limits.queue_bytes
            )
            if full and self._queue and isinstance(request, AppendRequest):
                raise OverloadedError(
                    f"the log's queue holds {self._queued_entries} entries of {self._queued_bytes} bytes; the limits "
                    f"are {limits.queue_entries} and {limits.queue_bytes}",
                    hint="retry after a pause with the same bytes",
                )
            self._queue.append((request, future))
            self._queued_entries += entries
            self._queued_bytes += size
            self._changed.notify_all()
        return future

    def administer(self, request: AdminRequest, timeout_seconds: float = 30) -> AppendResult:
        """Queue an administrative change and wait for it. For threads that may block.

        Raises:
            OutcomeUnknownError: It was not answered in time, and may be done later.
            LedgerError: It was refused.
        """
        try:
            return self.submit(request).result(timeout_seconds)
        except TimeoutError as error:
            raise _unknown(error) from error

    @property
    def queued_entries(self) -> int:
        """Return how many entries wait."""
        with self._changed:
            return self._queued_entries

    def usage(self) -> StoreUsage:
        """Return how the store uses its room; all 0 where it cannot be asked just now."""
        with self._changed:
            store = self._store
        try:
            return store.usage()
        except StorageError:
            return StoreUsage(0, 0, 0)

    # Reading

    @contextmanager
    def read(self) -> Iterator[LogReader]:
        """Open a reader on the newest signed head; to be closed within 5 seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reopening)
            self._readers += 1
            head, store = self._head, self._store
        try:
            # The snapshot is opened after the head was signed, so it holds all of it.
            with store.read() as snapshot:
                yield LogReader(snapshot, head, self.origin, self._parts.signer)
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def record(self, name: str) -> bytes | None:
        """Return an administrative record as it is now."""
        with self.read() as reader:
            return reader.record(name)

    def records(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the administrative records whose name begins with `prefix`, by name."""
        with self.read() as reader:
            return reader.records(prefix)

    def signed_head(self) -> SignedHead:
        """Return the newest signed head."""
        with self._changed:
            return self._head

    def wait_for_growth(self, tree_size: int, timeout_seconds: float) -> bool:
        """Wait until the signed head is above a size; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._head.tree_size > tree_size or self._closing, timeout_seconds)

    @property
    def read_only_reason(self) -> str:
        """Return why the log takes no appends; empty where it takes them."""
        with self._changed:
            return self._read_only_reason

    # Life

    def freeze(self, reason: str, *, detail: str = "", durably: bool = False) -> None:
        """Take no more appends and sign no more heads, because something is wrong.

        Args:
            reason: What is wrong; told to who uses the log, so it names no path.
            detail: More of it, for the server's own log.
            durably: Keep it in the store as well, so that the next start stays read-only.
        """
        with self._changed:
            self._read_only_reason = self._read_only_reason or reason
            self._freeze_to_store = reason if durably else self._freeze_to_store
            self._changed.notify_all()
        _LOGGER.error("log is read-only", extra={"log": self.name, "reason": reason, "detail": detail})

    def close(self) -> None:
        """Finish what is queued, then release the store."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join()
        with self._changed:
            self._changed.wait_for(lambda: self._readers == 0)
        self._store.close()
        self._close_guard()

    # The writer thread

    def _write(self) -> None:
        while (batch := self._take()) is not None:
            try:
                if batch:
                    self._step(batch)
                else:
                    self._flush_guard()
                self._keep_freeze()
                self._maintain()
            except Exception as error:
                # Nobody may wait for ever for a writer that is gone.
                _LOGGER.exception("the writer met what nobody foresaw", extra={"log": self.name})
                self.freeze(f"the writer met what nobody foresaw: {type(error).__name__}")
                _fail([waiting for waiting in batch if not waiting[1].done()], _unknown(error))
        self._keep_freeze()

    def _maintain(self) -> None:
        now = self._parts.clock.boottime_us()
        if now - self._maintained_at >= _MAINTENANCE_US:
            self._maintained_at = now
            try:
                self._store.maintain()
            except CorruptionError as error:
                self.freeze("the log's files were removed or replaced", detail=error.message)
            except StorageError:
                _LOGGER.exception("the store's housekeeping failed", extra={"log": self.name})

    def _keep_freeze(self) -> None:
        with self._changed:
            reason, self._freeze_to_store = self._freeze_to_store, ""
        if reason:
            try:
                with self._store.write() as transaction:
                    transaction.put_record(FREEZE, reason.encode())
            except StorageError:
                _LOGGER.exception("the freeze could not be stored", extra={"log": self.name})

    def _flush_guard(self) -> None:
        """Bring a relaxed guard up to date when nothing else does; a strict one has nothing to write."""
        try:
            if self._guard is not None:
                self._guard.flush()
        except StorageError as error:
            self.freeze(_GUARD_UNWRITABLE, detail=error.message)

    def _take(self) -> list[tuple[Request, Future[AppendResult]]] | None:
        """Wait for requests and take a group; None when the log is closing and the queue is empty."""
        batch: list[tuple[Request, Future[AppendResult]]] = []
        entries = 0
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing or self._freeze_to_store, _IDLE_SECONDS)
            if not self._queue:
                return None if self._closing else []
            while self._queue and entries < self._parts.limits.group_entries:
                request, future = self._queue.popleft()
                count, size = _weight(request)
                self._queued_entries -= count
                self._queued_bytes -= size
                # A caller that went away while its request waited has cancelled it.
                if future.set_running_or_notify_cancel():
                    entries += count
                    batch.append((request, future))
        return batch

    def _step(self, batch: Sequence[tuple[Request, Future[AppendResult]]]) -> None:
        started = self._parts.clock.boottime_us()
        sequencer = self._sequencer
        if sequencer is None or self.read_only_reason:
            _fail(batch, self._read_only())
            return
        room = self._store.room_bytes()
        if room < _RESERVED_BYTES:
            # What is left is for administration.
            _fail([waiting for waiting in batch if isinstance(waiting[0], AppendRequest)], _map_full(room))
            batch = [waiting for waiting in batch if isinstance(waiting[0], AdminRequest)]
            if not batch:
                return
        try:
            result = sequencer.step([request for request, _ in batch])
        except (StorageFullError, OverloadedError) as error:
            _fail(batch, error)
            return
        except CorruptionError as error:
            # Kept in the store: what was committed and not read back must not be signed by the next start either.
            self.freeze(error.message, durably=True)
            _fail(batch, _unknown(error))
            return
        except Exception as error:
            _LOGGER.exception("a commit failed", extra={"log": self.name})
            self._reopen()
            _fail(batch, _unknown(error))
            return
        self._failed_before = False
        with self._changed:
            self._head = result.head
            self._changed.notify_all()
        for (_, future), answer in zip(batch, result.answers, strict=True):
            if isinstance(answer, LedgerError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._parts.observe(result, self._parts.clock.boottime_us() - started)

    def _reopen(self) -> None:
        """After a failed commit: close the store, open it again, and check it; a second failure ends appends."""
        with self._changed:
            self._reopening = True
            drained = self._changed.wait_for(lambda: self._readers == 0, _READERS_END_SECONDS)
        try:
            if drained:
                self._open_again()
            else:
                self.freeze("a reader does not end")
        finally:
            with self._changed:
                self._reopening = False
                self._changed.notify_all()

    def _open_again(self) -> None:
        failed_again, self._failed_before = self._failed_before, True
        try:
            for _ in range(_MEMORY_WAITS):
                try:
                    head = self._close_and_recover()
                    break
                except MemoryError:
                    # Calls hold it, and end with their deadline at the latest.
                    _LOGGER.warning("no memory to open the store again; waiting for some", extra={"log": self.name})
                    with self._changed:
                        self._changed.wait_for(lambda: self._closing, _MEMORY_WAIT_SECONDS)
            else:
                self.freeze("there is no memory to open the store again")
                return
        except (LedgerError, OSError) as error:
            self.freeze("the store cannot be opened again", detail=str(error))
            self._parts.unreadable(str(error))
            return
        if failed_again:
            # Open for reading: after a failed write of its meta page the store gives nothing until it is reopened.
            self._sequencer = None
            self.freeze("commits fail one after the other")
        with self._changed:
            self._head = head

    def _close_and_recover(self) -> SignedHead:
        self._store.close()
        self._close_guard()
        self._store = self._parts.open_store()
        return self._recover()

    def _close_guard(self) -> None:
        try:
            if self._guard is not None:
                self._guard.close()
        except StorageError:
            # What it did not take was not acknowledged; recovery compares it with the store.
            _LOGGER.exception("the guard could not be brought up to date", extra={"log": self.name})

    # Opening

    def _recover(self) -> SignedHead:
        """Check the store and its guard; return the head to show, unsigned where none may be signed."""
        self._sequencer = self._guard = None
        guard, guard_value, problem, detail = None, None, "", ""
        try:
            guard = self._guard = self._parts.open_guard()
            guard_value = None if guard is None else guard.value
        except StorageError as error:
            problem, detail = Impossible.GUARD_UNREADABLE.value, error.message
        with self._store.read() as snapshot:
            finding = check_opening(snapshot, self.origin, guard_value)
            frozen = snapshot.record(FREEZE)
            if finding is not None or guard is None or problem or frozen is not None:
                found = finding.describe() if finding else Impossible.GUARD_MISSING.value
                reason = problem or (frozen.decode() if frozen is not None and finding is None else found)
                self.freeze(reason, detail=detail)
                return self._last_shown_head(snapshot, guard_value)
            head = require_head(snapshot)
        sequencer = Sequencer(
            origin=self.origin,
            store=self._store,
            guard=guard,
            clock=self._parts.clock,
            random=self._parts.random,
            signer=self._parts.signer,
        )
        reason = _NOT_DURABLE
        try:
            # What a crash left visible may not be on the disk yet; it must be before a retry is told that it is there.
            self._store.sync()
            reason = _GUARD_UNWRITABLE
            signed = sequencer.sign(head)
        except StorageError as error:
            self.freeze(reason, detail=error.message)
            with self._store.read() as snapshot:
                return self._last_shown_head(snapshot, guard_value)
        self._sequencer = sequencer
        return signed

    def _last_shown_head(self, snapshot: ReadTransaction, guard_value: tuple[int, bytes] | None) -> SignedHead:
        """Return the head that the guard remembers, if the store still leads to it; else an unsigned one."""
        try:
            head = snapshot.head()
            size = 0 if head is None else head.tree_size
            if guard_value is not None and guard_value[0] <= size:
                guarded_size, guarded_root = guard_value
                if tree_root(guarded_size, snapshot.hashes) == guarded_root:
                    checkpoint = Checkpoint(self.origin, guarded_size, guarded_root)
                    return SignedHead(guarded_size, guarded_root, sign_checkpoint(checkpoint, self._parts.signer))
            return SignedHead(size, b"" if head is None else head.root_hash, b"")
        except CorruptionError:
            return SignedHead(0, b"", b"")

    def _read_only(self) -> LogReadOnlyError:
        return LogReadOnlyError(
            f"the log {self.name} is read-only: {self.read_only_reason}",
            hint="run `logproof fsck`; see the operator's page on a log that refuses to sign",
            metadata={"log": self.name},
        )


def _weight(request: Request) -> tuple[int, int]:
    """Return entries and bytes of a request, as the queue counts them."""
    if isinstance(request, AppendRequest):
        return len(request.entries), request.size
    return len(request.events), 0


def _fail(batch: Sequence[tuple[Request, Future[AppendResult]]], error: LedgerError) -> None:
    for _, future in batch:
        future.set_exception(another(error))


def _map_full(room: int) -> StorageFullError:
    return StorageFullError(
        f"the log's store has room for {room} bytes; appends stop below {_RESERVED_BYTES}",
        hint="the log has reached the size limit of a store: go on in a new log",
        metadata={"roomBytes": str(room), "reservedBytes": str(_RESERVED_BYTES)},
    )


def _unknown(cause: Exception) -> OutcomeUnknownError:
    error = OutcomeUnknownError(
        "the commit failed, and whether it was done is not known",
        hint="retry with the same bytes and event ids: what was done is found, what was not is done once",
    )
    error.__cause__ = cause
    return error
