"""A fault at every single call of the store and the guard: what was acknowledged is there, the error says what is known,
and the log goes on or says why not.

The calls of one scenario are counted without a fault; then the scenario is repeated for each call and each way in which
that call can fail. No point is chosen by hand, so none is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ledger.auth.roles import Role
from ledger.clock import ManualClock
from ledger.engine import fsck
from ledger.engine.log import Log, LogParts
from ledger.engine.reader import View
from ledger.engine.records import Credential, key_created, key_revoked
from ledger.engine.requests import AdminRequest, AppendRequest, AppendResult, Outcome
from ledger.engine.sequencer import SERVER_PRINCIPAL
from ledger.errors import (
    EventIdReusedError,
    InvalidCredentialsError,
    LedgerError,
    LogReadOnlyError,
    OutcomeUnknownError,
    StorageError,
    StorageFullError,
)
from ledger.events.leaf import genesis_hash
from ledger.merkle.hashing import EMPTY_ROOT
from ledger.storage.api import HeadRecord, SectionKind, Store, StoreMeta
from ledger.storage.guard import HighWaterGuard
from ledger.storage.lmdb import LmdbStore, create_store
from ledger.storage.memory import MemoryStore
from tests.support.engine_lab import (
    NOW,
    ORIGIN,
    OTHER_KEY_ID,
    Lab,
    RepeatableRandom,
    append_request,
    check_whole_log,
    make_entry,
)
from tests.support.faults import Fault, Faults, FaultyGuard, FaultyStore, possible_faults

_MAP_SIZE = 64 * 1024**2
_GENESIS = HeadRecord(0, EMPTY_ROOT, (), genesis_hash(ORIGIN), 0)
_ROTATED = Credential("writerKey003", b"principal-third!", "", frozenset({Role.WRITER}), False, b"\x01" * 32, "", 0)


class Disk:
    """What outlives a process: a store that can be opened again, as a failed commit demands."""

    def __init__(self, engine: str, folder: Path) -> None:
        self._path = folder / "store" if engine == "lmdb" else None
        if self._path is None:
            self.store: Store = MemoryStore.create(StoreMeta(ORIGIN, NOW), _GENESIS)
        else:
            create_store(self._path, StoreMeta(ORIGIN, NOW), _GENESIS, map_size=_MAP_SIZE)
            self.store = LmdbStore.open(self._path, map_size=_MAP_SIZE)

    def open_again(self) -> Store:
        """Open the store as the next process would."""
        if self._path is not None:
            self.store.close()
            self.store = LmdbStore.open(self._path, map_size=_MAP_SIZE)
        return self.store


_REQUESTS: list[AppendRequest | AdminRequest] = [
    append_request(make_entry(1)),
    append_request(make_entry(2), make_entry(3, personal=False), make_entry(4)),
    append_request(make_entry(2)),
    append_request(make_entry(4, text="x")),
    AdminRequest("", SERVER_PRINCIPAL, [key_revoked(OTHER_KEY_ID)]),
    append_request(make_entry(5), other=True),
    AdminRequest("", SERVER_PRINCIPAL, [key_created(_ROTATED)]),
    AppendRequest(_ROTATED.key_id, _ROTATED.principal, [make_entry(6)]),
]
# What the requests of the scenario are refused with when nothing fails.
_REFUSED: set[type[LedgerError]] = {EventIdReusedError, InvalidCredentialsError}
# Calls after whose failure nothing may be signed or nobody can say what would follow, and words of the reason given.
_MAKES_READ_ONLY = {
    "read guard": "guard cannot be read",
    "sync": "durable",
    "advance guard": "guard cannot be written",
    "room_bytes": "nobody foresaw",
}


class Run:
    """One run of the scenario: what came of it."""

    def __init__(self, disk: Disk, folder: Path, faults: Faults) -> None:
        self.disk = disk
        self.faults = faults
        self._lab = Lab(folder, disk.store)
        self._lab.guard.close()
        self._guard_path = folder / "lab.guard"
        self.heads = list(self._lab.heads)
        self.acknowledged: list[tuple[AppendRequest, AppendResult]] = []
        self.errors: list[LedgerError] = []
        self.opened = False
        # Calls made when the requests were done; the last ones are the reader's.
        self.calls_of_requests = 0
        self.read_only_reason = ""

    @contextmanager
    def log(self, faults: Faults) -> Iterator[Log]:
        """Open the log, and close it again."""
        log = Log(
            LogParts(
                name="lab",
                verifier_key="",
                open_store=lambda: FaultyStore(self.disk.open_again(), faults),
                open_guard=lambda: FaultyGuard(HighWaterGuard.open(self._guard_path, ORIGIN), faults),
                clock=ManualClock(NOW),
                random=RepeatableRandom(b"faults"),
                signer=self._lab.signer,
            )
        )
        try:
            yield log
        finally:
            log.close()

    def everything(self) -> None:
        """Append alone and in batches, twice, with other bytes; change keys; read."""
        try:
            with self.log(self.faults) as log:
                self.opened = True
                for request in _REQUESTS:
                    self._ask(log, request)
                self.calls_of_requests = len(self.faults.calls)
                self._read(log)
                self.read_only_reason = log.read_only_reason
        except StorageError as error:
            assert not self.opened
            self.errors.append(error)

    def _ask(self, log: Log, request: AppendRequest | AdminRequest) -> None:
        try:
            result = log.submit(request).result(30)
        except LedgerError as error:
            self.errors.append(error)
            return
        self.heads.append(result.head)
        if isinstance(request, AppendRequest):
            self.acknowledged.append((request, result))

    def _read(self, log: Log) -> None:
        try:
            with log.read() as reader:
                reader.entry(reader.checkpoint().tree_size - 1, View.EVENT)
        except LedgerError as error:
            self.errors.append(error)

    def check(self) -> None:
        """Check the whole log and each acknowledgement against what is stored, then ask for the same again."""
        guard = HighWaterGuard.open(self._guard_path, ORIGIN)
        report = fsck.check_log(self.disk.store, guard.value)
        assert report.is_clean, (report.findings, report.record_faults)
        with self.disk.store.read() as snapshot:
            for request, result in self.acknowledged:
                assert result.head.tree_size <= guard.value[0]
                for entry, made in zip(request.entries, result.entries, strict=True):
                    index = made.leaf_index
                    event, personal = (snapshot.sections(kind, [index])[0] for kind in SectionKind)
                    assert index < result.head.tree_size
                    assert snapshot.leaves(index, index + 1) == [made.leaf]
                    assert event == made.event_salt + entry.event
                    assert (personal or b"") == made.personal_salt + entry.personal
        guard.close()
        check_whole_log(self.disk.store, self.heads, self._lab.signer.verifier)
        with self.log(Faults()) as log:
            assert log.read_only_reason == ""
            for request, result in self.acknowledged:
                again = log.submit(request).result(30)
                assert [made._replace(outcome=Outcome.DUPLICATE) for made in result.entries] == again.entries
                self.heads.append(again.head)
            self.heads.append(log.submit(append_request(make_entry(7))).result(30).head)
        check_whole_log(self.disk.store, self.heads, self._lab.signer.verifier)


@contextmanager
def _run(engine: str, faults: Faults) -> Iterator[Run]:
    with TemporaryDirectory() as folder:
        disk = Disk(engine, Path(folder))
        run = Run(disk, Path(folder), faults)
        run.everything()
        yield run
        disk.store.close()


def _judge(run: Run, name: str, fault: Fault) -> None:
    """Hold what callers were told against what the fault was."""
    told = [type(error) for error in run.errors if type(error) not in _REFUSED]
    if not run.opened:
        assert fault is not Fault.FULL
        assert told == [StorageError]
        assert run.acknowledged == []
    elif fault is Fault.CRASH:
        assert set(told) <= {OutcomeUnknownError, LogReadOnlyError, StorageError}
        assert told.count(OutcomeUnknownError) <= 1, "one group was in flight"
        assert run.read_only_reason or run.faults.at > run.calls_of_requests
    elif fault is Fault.FULL:
        assert told == [StorageFullError]
        assert run.read_only_reason == ""
    elif run.faults.at > run.calls_of_requests:
        assert told == [StorageError]
        assert run.read_only_reason == ""
    elif name in _MAKES_READ_ONLY and run.read_only_reason:
        assert _MAKES_READ_ONLY[name] in run.read_only_reason
        assert set(told) <= {OutcomeUnknownError, LogReadOnlyError}
    else:
        assert told == [OutcomeUnknownError]
        assert run.read_only_reason == ""


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("engine", ["memory", pytest.param("lmdb", marks=[pytest.mark.ci, pytest.mark.timeout(600)])])
def test_a_fault_at_any_call_loses_nothing_acknowledged_and_is_told_as_what_it_is(engine: str, fault: Fault) -> None:
    with _run(engine, Faults()) as clean:
        calls = clean.faults.calls
        assert {type(error) for error in clean.errors} == _REFUSED
        assert len(clean.acknowledged) == 4
        clean.check()
    chosen = [(at, name) for at, name in enumerate(calls, 1) if fault in possible_faults(name)]
    for at, name in chosen:
        with _run(engine, Faults(at, fault)) as run:
            # A fault that did not come proves nothing.
            assert run.faults.calls[:at] == calls[:at]
            _judge(run, name, fault)
            run.check()
    # Fewer calls than this would mean that the scenario no longer goes through the whole of the writing step.
    assert len(chosen) >= (20 if fault is Fault.FULL else 100)
