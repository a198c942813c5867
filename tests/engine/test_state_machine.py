"""The writing step under any order of appends, batches, duplicates, conflicts, key changes, crashes and restarts.

A model of a dictionary says what each request must be answered; after every step the whole log is checked against an
independent tree, and every head ever shown must lead to the newest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.auth.roles import Role
from ledger.engine.records import Credential, key_created, key_revoked
from ledger.engine.recovery import check_opening
from ledger.engine.requests import AdminRequest, AppendRequest, NewEntry, Outcome
from ledger.engine.sequencer import SERVER_PRINCIPAL, Answer, Sequencer
from ledger.errors import (
    BatchConflictError,
    EventIdReusedError,
    InvalidCredentialsError,
    StorageError,
)
from ledger.storage.guard import HighWaterGuard
from tests.support.engine_lab import (
    KEY_ID,
    ORIGIN,
    OTHER_KEY_ID,
    OTHER_PRINCIPAL,
    PRINCIPAL,
    Lab,
    RepeatableRandom,
    answer_of,
    make_entry,
)
from tests.support.faults import Fault, Faults, FaultyGuard, FaultyStore

_EVENTS = st.tuples(st.integers(0, 15), st.sampled_from(["", "x"]), st.booleans())
_BATCHES = st.lists(_EVENTS, min_size=1, max_size=4)
_WRITERS = st.integers(0, 1)


class EngineMachine(RuleBasedStateMachine):
    """One log with two writers, each with one live key."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._lab = Lab(Path(self._folder.name))
        self._principals = [PRINCIPAL, OTHER_PRINCIPAL]
        self._live = [KEY_ID, OTHER_KEY_ID]
        self._dead: list[tuple[str, bytes]] = []
        self._made = 2
        self._size = self._lab.size
        # By event id: its entry, who wrote it, and where it is.
        self._known: dict[bytes, tuple[NewEntry, bytes, int]] = {}

    def teardown(self) -> None:
        self._lab.guard.close()
        self._folder.cleanup()

    def _request(self, writer: int, batch: Sequence[tuple[int, str, bool]]) -> AppendRequest:
        entries = [make_entry(number, text=text, personal=personal) for number, text, personal in batch]
        return AppendRequest(self._live[writer], self._principals[writer], entries)

    def _expect(self, request: AppendRequest, answer: Answer) -> None:
        """Hold an answer against the model, and take over what it appended."""
        batch: dict[bytes, NewEntry] = {}
        fits = True
        for entry in request.entries:
            known = self._known.get(entry.event_id)
            fits &= batch.setdefault(entry.event_id, entry) == entry and (known is None or known[0] == entry)
        if not fits:
            assert isinstance(answer, EventIdReusedError if len(request.entries) == 1 else BatchConflictError)
            return
        for entry, made in zip(request.entries, answer_of(answer).entries, strict=True):
            if entry.event_id not in self._known:
                assert made.outcome is Outcome.APPENDED
                self._known[entry.event_id] = (entry, request.principal, self._size)
                self._size += 1
            else:
                own = self._known[entry.event_id][1] == request.principal
                assert made.outcome is (Outcome.DUPLICATE if own else Outcome.DUPLICATE_OF_OTHER_PRINCIPAL)
                assert bool(made.event_salt) == own
            assert made.leaf_index == self._known[entry.event_id][2]

    @rule(writer=_WRITERS, event=_EVENTS)
    def append(self, writer: int, event: tuple[int, str, bool]) -> None:
        request = self._request(writer, [event])
        self._expect(request, self._lab.step(request).answers[0])

    @rule(groups=st.lists(st.tuples(_WRITERS, _BATCHES), min_size=1, max_size=4))
    def append_group(self, groups: list[tuple[int, list[tuple[int, str, bool]]]]) -> None:
        requests = [self._request(writer, batch) for writer, batch in groups]
        for request, answer in zip(requests, self._lab.step(*requests).answers, strict=True):
            self._expect(request, answer)

    @precondition(lambda self: self._known)
    @rule(data=st.data(), writer=_WRITERS)
    def repeat(self, data: st.DataObject, writer: int) -> None:
        entry = self._known[data.draw(st.sampled_from(sorted(self._known)))][0]
        request = AppendRequest(self._live[writer], self._principals[writer], [entry])
        self._expect(request, self._lab.step(request).answers[0])

    @rule(writer=_WRITERS)
    def replace_key(self, writer: int) -> None:
        principal, old = self._principals[writer], self._live[writer]
        self._made += 1
        new = f"writerKey{self._made:03}"
        credential = Credential(new, principal, "", frozenset({Role.WRITER}), False, b"\x01" * 32, "", 0)
        result = self._lab.step(AdminRequest("", SERVER_PRINCIPAL, [key_created(credential), key_revoked(old)]))
        answer_of(result.answers[0])
        self._dead.append((old, principal))
        self._live[writer] = new
        self._size += 2

    @precondition(lambda self: self._dead)
    @rule(data=st.data(), event=_EVENTS)
    def append_with_a_revoked_key(self, data: st.DataObject, event: tuple[int, str, bool]) -> None:
        key_id, principal = data.draw(st.sampled_from(self._dead))
        request = AppendRequest(key_id, principal, [make_entry(event[0], text=event[1], personal=event[2])])
        assert isinstance(self._lab.step(request).answers[0], InvalidCredentialsError)

    @rule(seconds=st.integers(0, 59))
    def pass_time(self, seconds: int) -> None:
        self._lab.clock.advance(seconds * 1_000_000)

    @rule(at=st.integers(1, 40), writer=_WRITERS, batch=_BATCHES)
    def crash_while_appending(self, at: int, writer: int, batch: list[tuple[int, str, bool]]) -> None:
        """Die at some call of a step; what was in flight is there whole or not at all, and a retry settles it."""
        faults = Faults(at, Fault.CRASH)
        request = self._request(writer, batch)
        dying = Sequencer(
            origin=ORIGIN,
            store=FaultyStore(self._lab.store, faults),
            guard=FaultyGuard(self._lab.guard, faults),
            clock=self._lab.clock,
            random=RepeatableRandom(b"%d" % self._size),
            signer=self._lab.signer,
        )
        try:
            answers = dying.step([request]).answers
        except StorageError:
            answers = None
        self.restart()
        if answers is not None:
            self._expect(request, answers[0])
            return
        ids = sorted({entry.event_id for entry in request.entries} - self._known.keys())
        with self._lab.store.read() as snapshot:
            durable = [index is not None for index in snapshot.indexes_of(ids)]
        assert all(durable) or not any(durable)
        retried = self._lab.step(request).answers[0]
        if not any(durable):
            self._expect(request, retried)
        else:
            # It was committed: the first answer never came, and the retry gets it as a duplicate.
            self._take_over(request)
            self._expect(request, retried)

    def _take_over(self, request: AppendRequest) -> None:
        for entry in request.entries:
            if entry.event_id not in self._known:
                self._known[entry.event_id] = (entry, request.principal, self._size)
                self._size += 1

    @rule()
    def restart(self) -> None:
        """Open again: guard from its file, store as it is, and the checks that come before a log may sign."""
        self._lab.guard.close()
        self._lab.guard = HighWaterGuard.open(Path(self._folder.name) / "lab.guard", ORIGIN)
        with self._lab.store.read() as snapshot:
            assert check_opening(snapshot, ORIGIN, self._lab.guard.value) is None
        self._lab.restart()
        self._lab.step()

    @invariant()
    def the_log_is_as_large_as_the_model_says(self) -> None:
        # That it is whole, each step of the lab has checked.
        assert self._lab.size == self._size
        assert self._lab.guard.value[0] <= self._size

    @invariant()
    def each_event_is_where_it_was_acknowledged(self) -> None:
        with self._lab.store.read() as snapshot:
            assert snapshot.indexes_of(list(self._known)) == [place for _, _, place in self._known.values()]


TestEngine = EngineMachine.TestCase
assert settings.default is not None
# A run is worth many examples of other properties.
TestEngine.settings = settings(max_examples=settings.default.max_examples // 2, stateful_step_count=20)
