"""The open logs of a server.

A log is opened when it is first used; when too many are open, the least recently used that nobody uses is closed. What
logs there are, `_system` says.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ledger.clock import Clock
from ledger.engine.directory import SYSTEM_LOG, DataDirectory
from ledger.engine.log import Limits, Log, LogParts, OpenGuard, RelaxedGuard
from ledger.engine.records import LOG_PREFIX, LogRecord, check_record
from ledger.engine.room import Room
from ledger.engine.sequencer import RandomSource, StepResult
from ledger.errors import CorruptionError, LedgerError, LogNotFoundError, OverloadedError
from ledger.notes.keys import format_verifier_key

MAX_OPEN_LOGS = 64


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the server wants to be told.

    Attributes:
        stepped: Called after each commit of a log with its name, the result and the microseconds it took.
        unreadable: Called with a log's name and the reason when its store cannot be read any more.
    """

    stepped: Callable[[str, StepResult, int], None] = lambda _log, _result, _microseconds: None
    unreadable: Callable[[str, str], None] = lambda _log, _reason: None


class _Slot:
    """A place for an open log; the lock is held while it is being opened or closed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.log: Log | None = None
        self.users = 0


class LogRegistry:
    """Opens and closes logs. Thread-safe."""

    def __init__(
        self,
        directory: DataDirectory,
        clock: Clock,
        random: RandomSource,
        *,
        limits: Limits | None = None,
        hooks: Hooks | None = None,
        max_open: int = MAX_OPEN_LOGS,
        relaxed_guard: bool = False,
        room: Room | None = None,
    ) -> None:
        """Keep the parts; `_system` is opened by `start`."""
        self.directory = directory
        self.relaxed_guard = relaxed_guard
        self._clock = clock
        self._random = random
        self._limits = limits or Limits()
        self._hooks = hooks or Hooks()
        self._max_open = max_open
        self._room = room or Room(directory.path, clock)
        # Guards the two below; never held during I/O.
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._known: dict[str, LogRecord] = {}
        # Why a log could not be opened when it was last tried.
        self._problems: dict[str, str] = {}

    def start(self) -> None:
        """Read from `_system` which logs there are.

        Raises:
            StorageError: `_system` cannot be read.
        """
        with self.use(SYSTEM_LOG) as system:
            known = {}
            for name, value in system.records(LOG_PREFIX):
                check_record(name, value)
                record = LogRecord.decode(value)
                known[record.name] = record
            named = known.get(SYSTEM_LOG)
            if named is not None and named.verifier_key != system.verifier_key:
                raise CorruptionError(
                    f"the signing key of {SYSTEM_LOG} is not the one that the log was made with",
                    hint=f"put the right key back to {self.directory.key_path(SYSTEM_LOG)}",
                )
        with self._lock:
            self._known = known

    def names(self) -> list[str]:
        """Return the names of all logs but `_system`, sorted."""
        with self._lock:
            return sorted(name for name in self._known if name != SYSTEM_LOG)

    def has(self, name: str) -> bool:
        """Return whether there is such a log."""
        with self._lock:
            return name == SYSTEM_LOG or name in self._known

    def add(self, record: LogRecord) -> None:
        """Make a log known whose entry in `_system` is durable."""
        with self._lock:
            self._known[record.name] = record

    def known(self) -> list[LogRecord]:
        """Return what `_system` says of each log."""
        with self._lock:
            return list(self._known.values())

    def describe(self, name: str) -> LogRecord:
        """Return what a log's files say of it, whether it is known yet or not."""
        signer = self.directory.load_signer(name)
        return LogRecord(name, signer.name, format_verifier_key(signer.verifier))

    def is_open(self, name: str) -> bool:
        """Return whether using the log needs no opening now."""
        with self._lock:
            slot = self._slots.get(name)
            return slot is not None and slot.log is not None

    def problems(self) -> dict[str, str]:
        """Return why logs could not be opened when they were last tried, by name."""
        with self._lock:
            return dict(self._problems)

    def take_appends(self) -> bool:
        """Return whether every log that is open takes appends, and none could not be opened."""
        return not self.problems() and all(not log.read_only_reason for log in self.open_logs())

    def open_logs(self) -> list[Log]:
        """Return the logs that are open now, without keeping them open."""
        with self._lock:
            return [slot.log for slot in self._slots.values() if slot.log is not None]

    @contextmanager
    def use(self, name: str) -> Iterator[Log]:
        """Keep a log open for the block, opening it if needed.

        Raises:
            LogNotFoundError: There is no such log.
            StorageError: It cannot be opened.
        """
        if not self.has(name):
            raise LogNotFoundError(f"there is no log {name[:80]!r}", metadata={"log": name[:80]})
        slot = self._take(name)
        try:
            with slot.lock:
                if slot.log is None:
                    slot.log = self._open_noting(name)
                log = slot.log
            yield log
        finally:
            with self._lock:
                slot.users -= 1

    def close(self) -> None:
        """Finish what is queued in every log, then close them."""
        with self._lock:
            slots = list(self._slots.values())
            self._slots.clear()
        for slot in slots:
            with slot.lock:
                if slot.log is not None:
                    slot.log.close()

    def _take(self, name: str) -> _Slot:
        idle: tuple[str, _Slot] | None = None
        with self._lock:
            slot = self._slots.get(name)
            if slot is None:
                if len(self._slots) >= self._max_open:
                    idle = self._choose_idle()
                    idle[1].users += 1
                slot = self._slots[name] = _Slot()
            slot.users += 1
            self._slots.move_to_end(name)
        if idle is not None:
            self._close_idle(*idle)
        return slot

    def _choose_idle(self) -> tuple[str, _Slot]:
        for name, slot in self._slots.items():
            # A read-only log stays open, so that health and metrics go on to say so.
            if slot.users == 0 and name != SYSTEM_LOG and slot.log is not None and not slot.log.read_only_reason:
                return name, slot
        raise OverloadedError(
            f"{len(self._slots)} logs are open and in use; the limit is {self._max_open}", hint="retry after a pause"
        )

    def _close_idle(self, name: str, slot: _Slot) -> None:
        """Close a log; who wants it meanwhile waits for its slot, because a store is never open twice."""
        with slot.lock:
            if slot.log is not None:
                slot.log.close()
                slot.log = None
        with self._lock:
            slot.users -= 1
            if slot.users == 0 and slot.log is None:
                self._slots.pop(name, None)

    def _open_guard(self, name: str) -> OpenGuard | None:
        guard = self.directory.open_guard(name)
        return RelaxedGuard(guard, self._clock) if guard is not None and self.relaxed_guard else guard

    def _open_noting(self, name: str) -> Log:
        try:
            log = self._open(name)
        except LedgerError as error:
            with self._lock:
                self._problems[name] = error.message
            raise
        with self._lock:
            self._problems.pop(name, None)
        return log

    def _open(self, name: str) -> Log:
        directory = self.directory
        signer = directory.load_signer(name)
        with self._lock:
            named = self._known.get(name)
        verifier_key = format_verifier_key(signer.verifier)
        if named is not None and named.verifier_key != verifier_key:
            raise CorruptionError(
                f"the signing key of {name} is not the one that the log was made with: {verifier_key} against "
                f"{named.verifier_key}",
                hint=f"put the right key back to {directory.key_path(name)}",
            )
        return Log(
            LogParts(
                name=name,
                verifier_key=verifier_key,
                open_store=lambda: directory.open_store(name),
                open_guard=lambda: self._open_guard(name),
                clock=self._clock,
                random=self._random,
                signer=signer,
                limits=self._limits,
                check_room=self._room.check,
                observe=lambda result, microseconds: self._hooks.stepped(name, result, microseconds),
                unreadable=lambda reason: self._hooks.unreadable(name, reason),
            )
        )
