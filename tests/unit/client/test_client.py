"""Both clients against a server that tells the truth."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.message import Message

from ledger.client import AsyncLedger, Ledger, StaleHeadWarning, _reading_many
from ledger.client.connection import Connection
from ledger.client.options import MAX_TIMEOUT_SECONDS, Options
from ledger.client.unpinned import connect_unpinned
from ledger.client.values import AppendOutcome, EntryView, HeadKind, Sections, SectionState
from ledger.errors import (
    BatchConflictError,
    BatchInvalidError,
    BatchTooLargeError,
    ContentMismatchError,
    EntryNotFoundError,
    EventIdReusedError,
    IndexBeyondTreeError,
    InvalidEventError,
    InvalidProofError,
    InvalidRequestError,
    LedgerError,
    MalformedError,
    OverloadedError,
    PermissionMissingError,
    ServerUnreachableError,
    StateError,
)
from ledger.events.codec import encode_sections
from ledger.events.event import Event, MetadataEntry, PersonalData
from ledger.evidence import Level, parse_receipt, verify_receipt
from ledger.merkle import hash_leaf, verify_inclusion
from ledger.notes import parse_verifier_key
from ledger.v1 import ledger_pb2
from tests.support.both_clients import Clients
from tests.support.lying_server import API_KEY, ENDS_AT_ONCE, LyingServer, no_leaf

FLAT = {
    "action": "user.role.updated",
    "actor_id": "user_123",
    "actor_email": "admin@company.com",
    "target_type": "user",
    "target_id": "user_456",
    "metadata": {"old_role": "member", "new_role": "admin", "ip": "203.0.113.42"},
    "timestamp": "2026-02-20T14:30:00Z",
}


def test_verifier_key_is_required_and_the_error_says_where_to_get_one(clients: Clients) -> None:
    with pytest.raises(InvalidRequestError, match="verifier_key") as caught:
        clients.new("127.0.0.1:1", api_key="k")
    assert "log show" in caught.value.hint


@pytest.mark.parametrize("key", ["", "nonsense", "a+b+c"])
def test_verifier_key_must_be_one(clients: Clients, key: str) -> None:
    with pytest.raises(InvalidRequestError, match="verifier_key"):
        clients.new("127.0.0.1:1", verifier_key=key)


def test_environment_makes_a_client(server: LyingServer, clients: Clients, tmp_path: Path) -> None:
    environment = {
        "LOGPROOF_ADDRESS": server.address,
        "LOGPROOF_API_KEY": API_KEY,
        "LOGPROOF_VERIFIER_KEY": server.verifier_key,
        "LOGPROOF_STATE": str(tmp_path),
    }
    with clients.from_env(environment) as ledger:
        assert ledger.append("a.b", actor="user:u1").leaf_index == 0


def test_append_returns_a_receipt_that_verifies_offline(server: LyingServer, ledger: Ledger, tmp_path: Path) -> None:
    receipt = ledger.append(
        "user.role.updated", actor="user:user_123", target="user:user_456", changes={"role": ("member", "admin")}
    )
    receipt.save(tmp_path / "r.tlog-proof")

    verified = verify_receipt((tmp_path / "r.tlog-proof").read_bytes(), parse_verifier_key(server.verifier_key))
    assert verified.leaf_index == receipt.leaf_index == 0
    assert verified.event is not None
    assert verified.event.action == "user.role.updated"
    assert verified.event.event_id == receipt.event_id
    assert (receipt.outcome, receipt.proves_content) == (AppendOutcome.APPENDED, True)
    assert receipt.verify().level is Level.PINNED_KEY


def test_receipt_shows_personal_data_only_on_request(ledger: Ledger) -> None:
    receipt = ledger.append("a.b", email="a@example.com")

    assert parse_receipt(receipt.to_tlog_proof()).personal is None
    shown = parse_receipt(receipt.to_tlog_proof(include_personal=True)).personal
    assert shown is not None
    assert b"a@example.com" in shown.content


def test_first_append_rests_on_the_key_and_later_ones_on_the_remembered_head(
    connect: Callable[[], Ledger],
) -> None:
    first = connect()
    assert first.append("a.b").level is Level.PINNED_KEY
    assert first.append("a.b").level is Level.PINNED_HEAD
    assert connect().append("a.b").level is Level.PINNED_HEAD


def test_append_asks_for_consistency_from_what_is_trusted(server: LyingServer, ledger: Ledger) -> None:
    ledger.append("a.b")
    ledger.append("a.b")

    last = server.requests[-1]
    assert isinstance(last, ledger_pb2.AppendStreamRequest)
    assert last.options.trusted_tree_size == 1
    # One round trip: nothing was asked beside the two appends.
    assert [type(request).__name__ for request in server.requests] == ["AppendStreamRequest"] * 2


def test_ids_made_here_ascend_and_events_are_numbered(server: LyingServer, ledger: Ledger) -> None:
    receipts = [ledger.append("a.b") for _ in range(3)]
    entries = list(ledger.read_entries())

    assert all(first.event_id[:13] <= second.event_id[:13] for first, second in pairwise(receipts))
    sources = [entry.event.source for entry in entries if entry.event is not None and entry.event.source is not None]
    assert [source.sequence for source in sources] == [1, 2, 3]
    assert len({source.boot_id for source in sources}) == 1
    assert sources[0].sdk.startswith("logproof-python/")
    assert server.log.leaves


def test_flat_event_is_taken_as_it_is(ledger: Ledger) -> None:
    receipt = ledger.append(event=FLAT)

    entry = ledger.get(receipt.leaf_index, view=EntryView.FULL)
    assert entry.personal is not None
    assert entry.personal.actor_email == "admin@company.com"
    assert entry.event is not None
    assert entry.event.occurred_at == 1_771_597_800_000_000


def test_repeated_append_is_the_first_one_again(ledger: Ledger) -> None:
    flat = {**FLAT, "event_id": "order-17"}
    first, second = ledger.append(event=flat), ledger.append(event=flat)

    assert (second.outcome, second.leaf_index) == (AppendOutcome.DUPLICATE, first.leaf_index)
    assert second.proves_content
    assert second.verify().leaf_index == first.leaf_index


def test_id_with_other_content_is_refused(ledger: Ledger) -> None:
    ledger.append(event={**FLAT, "event_id": "order-17"})

    with pytest.raises(EventIdReusedError):
        ledger.append(event={**FLAT, "event_id": "order-17", "outcome": "failure"})


def test_duplicate_whose_salts_are_withheld_proves_its_place_alone(server: LyingServer, ledger: Ledger) -> None:
    flat = {**FLAT, "event_id": "order-17"}
    ledger.append(event=flat)

    def withhold(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.EventResults):
            acknowledgement = answer.results[0].acknowledgement
            acknowledgement.outcome = ledger_pb2.APPEND_OUTCOME_DUPLICATE_NOT_COMPARED
            acknowledgement.event_salt = acknowledgement.personal_salt = b""

    server.lie = withhold
    receipt = ledger.append(event=flat, allow_unproven=True)

    assert not receipt.proves_content
    verified = verify_receipt(receipt.to_tlog_proof(include_personal=True), parse_verifier_key(server.verifier_key))
    assert (verified.leaf_index, verified.event) == (0, None)


def test_invalid_event_is_refused_before_it_is_sent(server: LyingServer, ledger: Ledger) -> None:
    with pytest.raises(InvalidEventError):
        ledger.append("User.x")
    with pytest.raises(InvalidEventError):
        ledger.append("ledger.key.created")
    with pytest.raises(BatchInvalidError):
        ledger.append_batch([FLAT, {**FLAT, "action": "User.x"}])
    with pytest.raises(InvalidEventError, match="either"):
        ledger.append()
    assert server.requests == []


def test_batch_gives_each_event_a_receipt_of_its_own(server: LyingServer, ledger: Ledger) -> None:
    ledger.append("a.b")
    receipts = ledger.append_batch([{**FLAT, "metadata": {"n": number}} for number in range(21)])

    assert [receipt.leaf_index for receipt in receipts] == list(range(1, 22))
    verifier = parse_verifier_key(server.verifier_key)
    for number, receipt in enumerate(receipts):
        assert list(receipt.hashes) == server.log.inclusion(receipt.leaf_index)
        verified = verify_receipt(receipt.to_tlog_proof(include_personal=True), verifier)
        assert verified.event is not None
        assert verified.event.metadata[0].value == number


def test_batch_takes_events_in_every_form(ledger: Ledger) -> None:
    event = Event(event_id="e1", action="a.b", occurred_at=1)
    with_personal = (Event(event_id="e2", action="a.b", occurred_at=1), PersonalData(actor_email="a@example.com"))

    receipts = ledger.append_batch([event, with_personal, {"action": "a.b"}])

    assert [receipt.event_id for receipt in receipts[:2]] == ["e1", "e2"]
    assert receipts[1].personal_salt
    assert ledger.append_batch([]) == []


def test_same_event_twice_in_a_batch_has_one_place(ledger: Ledger) -> None:
    event = Event(event_id="e1", action="a.b", occurred_at=1)
    first, second = ledger.append_batch([event, event])

    assert first.leaf_index == second.leaf_index
    assert second.outcome is AppendOutcome.DUPLICATE
    second.verify()


def test_conflicts_of_a_batch_are_told_by_position(ledger: Ledger) -> None:
    ledger.append(event=Event(event_id="e1", action="a.b", occurred_at=1))

    with pytest.raises(BatchConflictError) as caught:
        ledger.append_batch(
            [
                Event(event_id="e0", action="a.b", occurred_at=1),
                Event(event_id="e1", action="a.c", occurred_at=1),
            ]
        )
    assert [problem.position for problem in caught.value.problems] == [1]


_GOOD = Event(event_id="e1", action="a.b", occurred_at=1)


def test_every_bad_event_of_a_batch_is_told_by_position_before_anything_is_sent(
    server: LyingServer, ledger: Ledger
) -> None:
    batch: list[Any] = [
        FLAT,
        None,
        {**FLAT, "action": "User.x"},
        _GOOD,
        replace(_GOOD, tenant_id=cast("Any", 5)),
        (_GOOD, "x"),
        (_GOOD, None, None),
        {**FLAT, 5: "x"},
        replace(_GOOD, metadata=(MetadataEntry("a", "x" * 2048),) * 17),
        {**FLAT, "metadata": {5: "x"}},
    ]
    with pytest.raises(BatchInvalidError) as caught:
        ledger.append_batch(batch)

    assert [problem.position for problem in caught.value.problems] == [1, 2, 4, 5, 6, 7, 8, 9]
    assert caught.value.batch_size == 10
    assert isinstance(caught.value.problems[0].error, InvalidEventError)
    assert server.requests == []


@pytest.mark.parametrize("batch", [None, 5, "ab", {"action": "a.b"}])
def test_what_is_no_list_of_events_is_refused(ledger: Ledger, batch: Any) -> None:
    with pytest.raises(InvalidEventError, match="it is a list of events"):
        ledger.append_batch(batch)


@pytest.mark.parametrize(
    "call",
    [
        {"event": _GOOD, "outcome": "denied"},
        {"event": _GOOD, "actor": "user:u1"},
        {"event": _GOOD, "target": "user:u1"},
        {"event": {"action": "a.b"}, "personal": PersonalData(actor_email="a@x")},
        {"action": "a.b", "personal": PersonalData(actor_email="a@x")},
        {"action": "a.b", "targets": "user:u1"},
        {"action": "a.b", "targets": None},
        {"event": 5},
        {"event": replace(_GOOD, outcome=cast("Any", 2))},
        {"event": replace(_GOOD, occurred_at=1_771_597_800)},
        {"event": replace(_GOOD, occurred_at=1_771_597_800_123)},
        {"event": _GOOD, "personal": PersonalData(actor_email=None)},  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_nothing_of_a_call_is_left_out_or_taken_for_something_else(
    server: LyingServer, ledger: Ledger, call: dict[str, Any]
) -> None:
    with pytest.raises(InvalidEventError):
        ledger.append(**call)
    assert server.requests == []


def test_none_beside_an_event_stands_for_left_out(ledger: Ledger) -> None:
    assert ledger.append(event=_GOOD, actor=None, outcome=None).leaf_index == 0


def test_service_and_instance_stand_in_every_event_whose_id_is_made_here(server: LyingServer, tmp_path: Path) -> None:
    options = {"LOGPROOF_SERVICE": "billing", "LOGPROOF_INSTANCE": "b-1", "LOGPROOF_STATE": str(tmp_path)}
    environment = {"LOGPROOF_ADDRESS": server.address, "LOGPROOF_API_KEY": API_KEY, **options}
    with Ledger.from_env({**environment, "LOGPROOF_VERIFIER_KEY": server.verifier_key}) as ledger:
        ledger.append("a.b")
        ledger.append(event=FLAT)
        ledger.append_batch([FLAT, {**FLAT, "source_version": "2"}, {**FLAT, "source_service": "other"}])
        ledger.append_batch([{**FLAT, "event_id": "mine"}, _GOOD])
        events = [entry.event for entry in ledger.read_entries()]
    sources = [event.source for event in events if event is not None]

    assert [source and (source.service, source.instance) for source in sources] == [
        *[("billing", "b-1")] * 4,
        ("other", ""),
        None,
        None,
    ]
    assert [source.sequence for source in sources[:3] if source] == [1, 2, 3]


@pytest.mark.parametrize(("begin", "end"), [(-1, None), (3, 2), (0, -1), (1 << 63, None), (0, 1 << 63)])
def test_range_that_is_none_is_refused(ledger: Ledger, begin: int, end: int | None) -> None:
    with pytest.raises(InvalidRequestError):
        next(ledger.read_entries(begin, end))


def test_empty_range_has_no_entries(ledger: Ledger) -> None:
    ledger.append("a.b")
    assert list(ledger.read_entries(0, 0)) == []


def test_personal_data_and_salts_show_in_no_repr(ledger: Ledger) -> None:
    receipt = ledger.append("a.b", email="zoe@example.com", metadata={"note": "shown"})
    entry = ledger.get(receipt.leaf_index, view=EntryView.FULL)

    assert entry.personal == PersonalData(actor_email="zoe@example.com")
    for shown in map(repr, (entry, receipt, receipt.sections, entry.personal_section, entry.event_section)):
        assert "zoe" not in shown
        assert repr(entry.personal_section.salt) not in shown
        assert repr(entry.event_section.salt) not in shown
    assert "a.b" in repr(entry)


def test_batch_above_its_limits_is_refused_here(ledger: Ledger) -> None:
    sections = Sections(*encode_sections(Event(event_id="e", action="a.b", occurred_at=1), None))
    with pytest.raises(BatchTooLargeError, match="1001 events"):
        ledger.append_sections([sections] * 1001)
    with pytest.raises(BatchTooLargeError):
        ledger.append_sections([Sections(bytes(32_768), bytes(60_000))] * 50, event_ids=["e"] * 50)


def test_failed_append_is_sent_again_with_the_same_bytes(server: LyingServer, ledger: Ledger) -> None:
    server.failures = [OverloadedError("busy"), OverloadedError("busy")]
    receipt = ledger.append("a.b")

    first, second, third = server.requests
    assert first == second == third
    assert receipt.outcome is AppendOutcome.APPENDED
    assert len(server.log.leaves) == 1


def test_refusal_is_not_tried_again(server: LyingServer, ledger: Ledger) -> None:
    server.failures = [PermissionMissingError("the key may not append", hint="ask for the writer role")]

    with pytest.raises(PermissionMissingError, match="may not append") as caught:
        ledger.append("a.b")
    assert caught.value.hint == "ask for the writer role"
    assert len(server.requests) == 1


def test_unreachable_server_is_told_within_the_time(tmp_path: Path, server: LyingServer, clients: Clients) -> None:
    told: list[LedgerError] = []
    options = Options("127.0.0.1:1", verifier_key=server.verifier_key, api_key="k", state=tmp_path, timeout_seconds=0.4)
    ledger = clients.from_options(
        options, connect=lambda given: Connection(given, on_retry=lambda error, _delay: told.append(error))
    )
    with ledger, pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:1"):
        ledger.append("a.b")
    assert told


def test_entry_is_found_by_index_id_and_hash(ledger: Ledger) -> None:
    receipts = [ledger.append("a.b", email="a@example.com") for _ in range(3)]
    wanted = receipts[1]

    by_index = ledger.get(1)
    assert by_index == ledger.get(event_id=wanted.event_id) == ledger.get(leaf_hash=by_index.leaf_hash)
    assert by_index.event is not None
    assert by_index.event.event_id == wanted.event_id
    assert by_index.personal_section.state is SectionState.WITHHELD
    assert by_index.notes == ()
    assert ledger.get(1, view=EntryView.LEAF).event_section.state is SectionState.WITHHELD


def test_what_is_not_there_is_not_found(ledger: Ledger) -> None:
    ledger.append("a.b")

    with pytest.raises(EntryNotFoundError):
        ledger.get(event_id="nothing")
    with pytest.raises(IndexBeyondTreeError):
        ledger.get(1)
    with pytest.raises(IndexBeyondTreeError):
        list(ledger.read_entries(0, 2))
    with pytest.raises(IndexBeyondTreeError):
        ledger.checkpoint(tree_size=2)
    for wrong in ({}, {"leaf_index": 1, "event_id": "x"}, {"leaf_index": -1}):
        with pytest.raises(InvalidRequestError):
            ledger.get(**wrong)


def test_entries_are_read_in_order_and_in_part(ledger: Ledger) -> None:
    receipts = [ledger.append("a.b") for _ in range(10)]

    assert [entry.leaf_index for entry in ledger.read_entries()] == list(range(10))
    part = list(ledger.read_entries(4, 9))
    assert [entry.leaf_hash for entry in part] == [ledger.get(index).leaf_hash for index in range(4, 9)]
    assert [entry.event.event_id for entry in part if entry.event] == [receipt.event_id for receipt in receipts[4:9]]
    assert list(ledger.read_entries(10)) == []


def test_entries_of_a_list_come_in_its_order_under_one_head(server: LyingServer, ledger: Ledger) -> None:
    for _ in range(10):
        ledger.append("a.b")
    server.batch_fits = 3

    entries = ledger.get_batch([7, 2, 9, 2, 0])

    assert [entry.leaf_index for entry in entries] == [7, 2, 9, 2, 0]
    assert {entry.head.checkpoint.tree_size for entry in entries} == {10}
    assert ledger.get_batch([]) == []
    for beyond in ([0, 10], [-1]):
        with pytest.raises((IndexBeyondTreeError, InvalidRequestError)):
            ledger.get_batch(beyond)


def test_list_of_entries_that_are_others_or_not_in_the_tree_is_refused(server: LyingServer, ledger: Ledger) -> None:
    for _ in range(4):
        ledger.append("a.b")

    def swap(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
            answer.entries[0].leaf_index = 3

    def forge(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
            leaf = server.entry(2, ledger_pb2.ENTRY_VIEW_EVENT)
            leaf.leaf_index = 1
            answer.entries[1].CopyFrom(leaf)

    def nothing(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
            answer.Clear()

    for lie, error in ((swap, ContentMismatchError), (forge, InvalidProofError), (nothing, ContentMismatchError)):
        server.lie = lie
        with pytest.raises(error):
            ledger.get_batch([0, 1])


def test_tail_begins_after_the_newest_head_or_where_it_is_told(
    clients: Clients, ledger: Ledger, connect: Callable[[], Ledger]
) -> None:
    for _ in range(3):
        ledger.append("a.b")
    reader = connect()
    # An asynchronous iterator asks for nothing before its first step.
    newest, all_of_it = reader.tail(None if clients.kind == "sync" else 3), reader.tail(0, follow=False)
    ledger.append("a.b")

    assert next(newest).leaf_index == 3
    assert [entry.leaf_index for entry in all_of_it] == [0, 1, 2, 3]


def test_followed_stream_that_ends_without_an_answer_is_asked_again_after_a_pause(
    server: LyingServer, clients: Clients, tmp_path: Path
) -> None:
    pauses: list[float] = []
    options = Options(
        server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path / "state", timeout_seconds=60
    )
    with clients.from_options(options, lambda given: Connection(given, sleep=pauses.append)) as ledger:
        ledger.append("a.b")
        server.stream_breaks = [ENDS_AT_ONCE, ENDS_AT_ONCE, 0]

        assert next(ledger.tail(0)).leaf_index == 0

    assert len(pauses) == 3
    assert all(pause > 0 for pause in pauses)


def test_broken_stream_goes_on_where_it_broke(server: LyingServer, ledger: Ledger) -> None:
    for _ in range(10):
        ledger.append("a.b")
    server.stream_breaks = [2, 0, 1]

    assert [entry.leaf_index for entry in ledger.read_entries()] == list(range(10))
    asked = [request.begin for request in server.requests if isinstance(request, ledger_pb2.ReadEntriesRequest)]
    assert asked == [0, 6, 6, 9]


def test_stream_that_ends_without_an_answer_is_not_asked_for_ever(server: LyingServer, ledger: Ledger) -> None:
    ledger.append("a.b")

    def empty(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.ReadEntriesResponse):
            answer.Clear()

    server.lie = empty
    with pytest.raises(ContentMismatchError, match="no entry given"):
        list(ledger.read_entries())


def test_stream_without_any_answer_is_an_error_and_no_endless_loop(server: LyingServer, ledger: Ledger) -> None:
    ledger.append("a.b")
    server.stream_breaks = [ENDS_AT_ONCE]

    with pytest.raises(ServerUnreachableError, match="ended a stream"):
        list(ledger.read_entries())


def test_log_is_followed_as_it_grows(ledger: Ledger, connect: Callable[[], Ledger]) -> None:
    ledger.append("a.b")
    followed = connect().read_entries(follow=True)

    seen = [next(followed).leaf_index]
    for _ in range(3):
        ledger.append("a.b")
        seen.append(next(followed).leaf_index)
    assert seen == [0, 1, 2, 3]


def test_section_of_a_newer_schema_is_verified_and_not_read(server: LyingServer, ledger: Ledger) -> None:
    server.log.append(b"\x08\x02\x12\x01x")

    entry = ledger.get(0)
    assert entry.event is None
    assert entry.event_section.content == b"\x08\x02\x12\x01x"
    assert any("newer schema not read" in note for note in entry.notes)


def test_section_that_breaks_the_rules_is_refused(server: LyingServer, ledger: Ledger) -> None:
    server.log.append(b"\x08\x01\x08\x01")

    with pytest.raises(ContentMismatchError, match="breaks the rules of sections"):
        ledger.get(0)


def test_older_head_than_the_trusted_one_is_believed_and_changes_nothing(server: LyingServer, ledger: Ledger) -> None:
    for _ in range(4):
        ledger.append("a.b")

    def show_an_old_head(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.GetCheckpointResponse):
            answer.checkpoint.note = server.log.note(2)

    server.lie = show_an_old_head
    with pytest.warns(StaleHeadWarning, match="newest head is of size 2; size 4 was seen before"):
        stale = ledger.checkpoint()
    assert (stale.checkpoint.tree_size, stale.is_stale) == (2, True)
    assert ledger.trusted_head is not None
    assert ledger.trusted_head.checkpoint.tree_size == 4
    with pytest.raises(ContentMismatchError, match="of tree size 3 was asked for"):
        ledger.checkpoint(tree_size=3)


def test_proofs_are_what_the_tree_gives(server: LyingServer, ledger: Ledger) -> None:
    receipts = [ledger.append("a.b") for _ in range(9)]

    inclusion = ledger.prove_inclusion(5)
    assert list(inclusion.hashes) == server.log.inclusion(5)
    older = ledger.prove_inclusion(event_id=receipts[2].event_id, tree_size=4)
    assert (older.leaf_index, older.head.checkpoint.tree_size) == (2, 4)
    verify_inclusion(older.leaf_hash, 2, 4, server.log.root(4), older.hashes)
    assert ledger.prove_inclusion(leaf_hash=inclusion.leaf_hash).leaf_index == 5
    consistency = ledger.prove_consistency(3, 8)
    assert list(consistency.hashes) == server.log.consistency(3, 8)
    whole = ledger.prove_range(2, server.log.leaf_hashes[2:6])
    assert whole.head.checkpoint.tree_size == 9
    with pytest.raises(InvalidRequestError):
        ledger.prove_consistency(0)


def test_many_proofs_are_under_one_head(server: LyingServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading_many, "_CALL_INDEXES", 10)
    for _ in range(25):
        ledger.append("a.b", email="a@example.com")
    wanted = [24, *range(0, 23, 2), 3, 24]

    server.batch_fits = 7
    proofs = ledger.prove_many(wanted)
    assert [list(proof.hashes) for proof in proofs] == [server.log.inclusion(index) for index in wanted]
    older = ledger.prove_many([1, 5], tree_size=8)
    assert {proof.head.checkpoint.tree_size for proof in older} == {8}
    assert len({proof.head.note for proof in proofs}) == 1
    assert ledger.prove_many([]) == []
    with pytest.raises(InvalidRequestError):
        ledger.prove_many([-1])


def test_credential_that_may_not_read_leaves_proves_by_leaf_hash_alone(server: LyingServer, ledger: Ledger) -> None:
    receipt = ledger.append("a.b")
    ledger.append("a.b")
    server.lie = no_leaf

    proof = ledger.prove_inclusion(leaf_hash=hash_leaf(receipt.leaf_bytes))
    assert (proof.leaf_index, proof.leaf_bytes, proof.leaf_hash) == (0, b"", hash_leaf(receipt.leaf_bytes))
    verify_inclusion(proof.leaf_hash, 0, 2, server.log.root(), proof.hashes)
    with pytest.raises(PermissionMissingError, match="may not read leaves") as caught:
        ledger.prove_inclusion(0)
    assert "leaf hash" in caught.value.hint


def test_head_that_the_caller_brings_is_trusted_from_then_on(
    server: LyingServer, clients: Clients, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.append("a.b")
    note = server.log.note()
    with clients.new(
        server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path / "other"
    ) as fresh:
        assert fresh.trusted_head is None
        fresh.trust_head(note)
        assert fresh.trusted_head is not None
        assert fresh.append("a.b").level is Level.PINNED_HEAD
        with pytest.raises(MalformedError):
            fresh.trust_head(b"no note")


def _break_state(folder: Path) -> None:
    """Leave the directory as one that can be read and not written, whoever asks."""
    (lock,) = folder.glob("*.lock")
    lock.unlink()
    lock.mkdir()


def test_append_whose_head_cannot_be_kept_says_that_it_is_done(
    server: LyingServer, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.append("a.b")
    _break_state(tmp_path / "state")

    with pytest.raises(StateError, match="the append is done, durable and verified at leaf index 1") as caught:
        ledger.append("a.b")
    assert "cannot be written" in caught.value.message
    assert "LOGPROOF_STATE" in caught.value.hint
    with pytest.raises(StateError, match="at leaf indexes 2 to 3"):
        ledger.append_batch([{"action": "a.b"}, {"action": "a.b"}])
    assert len(server.log.leaves) == 4


def test_heads_are_verified_and_remembered(server: LyingServer, ledger: Ledger) -> None:
    for _ in range(4):
        ledger.append("a.b")

    assert ledger.checkpoint().checkpoint == server.log.checkpoint()
    assert ledger.checkpoint(tree_size=2).checkpoint == server.log.checkpoint(2)
    assert ledger.checkpoint(HeadKind.PUBLISHED, at_least=3).checkpoint.tree_size == 4
    trusted = ledger.trusted_head
    assert trusted is not None
    assert trusted.checkpoint.tree_size == 4


def test_log_is_shown_with_the_root_of_its_signed_head(server: LyingServer, ledger: Ledger) -> None:
    ledger.append("a.b")

    log = ledger.get_log()
    assert (log.name, log.origin, log.verifier_key) == ("default", server.log.signer.name, server.verifier_key)
    assert (log.tree_size, log.root_hash, log.state) == (1, server.log.root(), "active")


def test_verdict_of_the_server_comes_with_its_checks(ledger: Ledger) -> None:
    ledger.append("a.b")

    verdict = ledger.verify_entry(0)
    assert (verdict.verdict, verdict.leaf_index) == ("verified", 0)
    assert verdict.checks[0].passed
    assert ledger.server_info().version == "1.2.3"


def test_unpinned_client_verifies_and_says_so(server: LyingServer, tmp_path: Path) -> None:
    with connect_unpinned(Options(server.address, api_key=API_KEY, state=tmp_path)) as ledger:
        receipt = ledger.append("a.b")
        assert receipt.level is Level.UNPINNED
        assert ledger.append("a.b").level is Level.UNPINNED
        assert ledger.verifier_key == server.verifier_key


def test_threads_share_a_client(ledger: Ledger) -> None:
    start = threading.Barrier(4)

    def append_some(_: int) -> list[int]:
        start.wait()
        return [ledger.append("a.b").leaf_index for _ in range(8)]

    with ThreadPoolExecutor(4) as threads:
        indexes = [index for part in threads.map(append_some, range(4)) for index in part]

    assert sorted(indexes) == list(range(32))
    trusted = ledger.trusted_head
    assert trusted is not None
    assert trusted.checkpoint.tree_size == 32


# What the parts of a client use of each other; and what each does in its own way.
_INTERNAL = {
    "accept",
    "append_all_or_none",
    "appender",
    "check_rollback",
    "encode_all",
    "leave_parent",
    "mark_stale",
    "note_at",
    "open_history",
    "prepare",
    "prove_heads",
    "range_hashes",
    "read_batches",
    "receipt_of",
    "seconds_left",
    "stream_entries",
}


def test_both_clients_have_the_same_names() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")} - _INTERNAL

    assert names(AsyncLedger) == names(Ledger)


FORKING = """
import os, sys
from ledger.client import Ledger
address, key, state, early = sys.argv[1:]
ledger = Ledger(address, api_key="k", verifier_key=key, state=state, timeout_seconds=10)
if early == "used":
    ledger.append("a.b")
child = os.fork()
if not child:
    ledger.append("a.b")
    os._exit(0)
_, status = os.waitpid(child, 0)
ledger.append("a.b")
assert status == 0, status
print(ledger.trusted_head.checkpoint.tree_size)
"""


@pytest.mark.parametrize(("early", "size"), [("used", 3), ("unused", 2)])
def test_client_works_on_both_sides_of_a_fork(server: LyingServer, tmp_path: Path, early: str, size: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKING, server.address, server.verifier_key, str(tmp_path), early],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(size)


@pytest.mark.parametrize("seconds", [0.0, math.nan, math.inf, 9e9])
def test_append_with_a_time_that_no_call_can_have_is_refused(
    server: LyingServer, ledger: Ledger, seconds: float
) -> None:
    with pytest.raises(InvalidRequestError, match="at most 86400"):
        ledger.append("a.b", timeout_seconds=seconds)
    assert server.log.leaves == []


def test_certificates_are_read_no_further_than_a_file_of_them_goes(server: LyingServer, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(4 * 1024 * 1024 + 1))
    for wrong in (tmp_path / "large", tmp_path / "missing", Path("a\0b")):
        ledger = Ledger(
            server.address,
            verifier_key=server.verifier_key,
            tls_ca=wrong,
            state=tmp_path,
        )
        with ledger, pytest.raises(InvalidRequestError, match="tls_ca"):
            ledger.checkpoint()


def test_call_that_lasts_longest_is_answered(server: LyingServer, tmp_path: Path) -> None:
    with Ledger(
        server.address, verifier_key=server.verifier_key, state=tmp_path, timeout_seconds=MAX_TIMEOUT_SECONDS
    ) as ledger:
        assert ledger.append("a.b").leaf_index == 0
