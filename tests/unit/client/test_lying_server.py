"""A server that alters any one thing of its answer makes the call raise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message

from ledger.client import Ledger, Receipt, StaleHeadWarning
from ledger.client.options import Options
from ledger.client.unpinned import connect_unpinned
from ledger.client.values import AppendOutcome, EntryView, HeadKind, Role, SectionState
from ledger.errors import (
    BatchInvalidError,
    BatchProblem,
    ContentMismatchError,
    ContentUnprovenError,
    FieldViolation,
    ForkError,
    IncompleteEvidenceError,
    InvalidEventError,
    InvalidProofError,
    InvalidSignatureError,
    RollbackError,
    StaleHeadError,
    VerificationError,
    WrongOriginError,
)
from ledger.events.leaf import decode_leaf, encode_leaf
from ledger.evidence import verify_fork_evidence
from ledger.merkle.hashing import EMPTY_ROOT
from ledger.notes import Checkpoint, parse_verifier_key, sign_checkpoint
from ledger.notes.keys import Ed25519Signer, format_verifier_key
from ledger.v1 import admin_pb2, ledger_pb2, proof_pb2
from tests.support.lying_server import API_KEY, LyingServer, copy_of, first_leaf_for_every_event, old_head, truth
from tests.support.sample_log import SampleLog

Answer = ledger_pb2.EventResults
Change = Callable[[LyingServer, Answer], None]


def _append(ledger: Ledger, number: int = 0) -> Receipt:
    return ledger.append("user.role.updated", actor="user:u1", target="user:u2", metadata={"n": number}, ip="192.0.2.1")


def _flip(data: bytes, position: int = 0) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _altered_leaf(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.leaf = _flip(
        answer.results[0].acknowledgement.leaf, -1 + len(answer.results[0].acknowledgement.leaf)
    )


def _leaf_with_a_byte_more(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.leaf += b"\x00"


def _leaf_of_another_time(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.leaf = _flip(answer.results[0].acknowledgement.leaf, 4)


def _event_salt(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.event_salt = _flip(answer.results[0].acknowledgement.event_salt)


def _short_event_salt(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.event_salt = answer.results[0].acknowledgement.event_salt[:-1]


def _no_event_salt(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.event_salt = b""


def _swapped_salts(_: LyingServer, answer: Answer) -> None:
    ack = answer.results[0].acknowledgement
    ack.event_salt, ack.personal_salt = ack.personal_salt, ack.event_salt


def _personal_salt(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.personal_salt = _flip(answer.results[0].acknowledgement.personal_salt)


def _dropped_personal_section(server: LyingServer, answer: Answer) -> None:
    # The whole log agrees that there was none: only what was sent tells otherwise.
    event, _personal = server.log.sections.pop()
    del server.log.leaves[-1], server.log.leaf_hashes[-1]
    index = server.log.append(event.content)
    answer.results[0].acknowledgement.leaf = server.log.leaves[index]
    answer.results[0].acknowledgement.event_salt = server.log.sections[index][0].salt
    answer.results[0].acknowledgement.personal_salt = b""
    answer.checkpoint.CopyFrom(server.checkpoint())
    answer.inclusion_proof.CopyFrom(server.batch_inclusion([index], len(server.log.leaves)))


def _next_index(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.leaf_index += 1


def _earlier_index(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.leaf_index -= 1


def _index_beyond_64_bits_of_sense(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.leaf_index = (1 << 64) - 1


def _leaf_of_another_event(server: LyingServer, answer: Answer) -> None:
    ack = answer.results[0].acknowledgement
    event, personal = server.log.sections[0]
    assert personal is not None
    ack.leaf_index, ack.leaf, ack.event_salt = 0, server.log.leaves[0], event.salt
    ack.personal_salt = personal.salt
    answer.inclusion_proof.CopyFrom(server.batch_inclusion([0], len(server.log.leaves)))


def _wrong_inclusion_hash(_: LyingServer, answer: Answer) -> None:
    answer.inclusion_proof.hashes[0] = _flip(answer.inclusion_proof.hashes[0])


def _missing_inclusion_hash(_: LyingServer, answer: Answer) -> None:
    del answer.inclusion_proof.hashes[-1]


def _extra_inclusion_hash(_: LyingServer, answer: Answer) -> None:
    answer.inclusion_proof.hashes.append(bytes(32))


def _short_inclusion_hash(_: LyingServer, answer: Answer) -> None:
    answer.inclusion_proof.hashes[0] = answer.inclusion_proof.hashes[0][:-1]


def _no_inclusion_proof(_: LyingServer, answer: Answer) -> None:
    answer.ClearField("inclusion_proof")


def _flipped_signature(_: LyingServer, answer: Answer) -> None:
    answer.checkpoint.note = answer.checkpoint.note.replace(b"\n\xe2\x80\x94 ", b"x\n\xe2\x80\x94 ", 1)


def _note_of_garbage(_: LyingServer, answer: Answer) -> None:
    answer.checkpoint.note = b"\xff\x00 garbage"


def _no_checkpoint(_: LyingServer, answer: Answer) -> None:
    answer.ClearField("checkpoint")


def _other_key(server: LyingServer, answer: Answer) -> None:
    impostor = SampleLog(server.log.signer.name, bytes(32))
    answer.checkpoint.note = sign_checkpoint(server.log.checkpoint(), impostor.signer)


def _foreign_checkpoint(server: LyingServer, answer: Answer) -> None:
    other = SampleLog("other.example/log", bytes(32))
    answer.checkpoint.note = sign_checkpoint(Checkpoint("other.example/log", 5, server.log.root()), other.signer)


def _other_origin_by_the_true_key(server: LyingServer, answer: Answer) -> None:
    head = server.log.checkpoint()
    body = Checkpoint("other.example/log", head.tree_size, head.root_hash)
    answer.checkpoint.note = sign_checkpoint(body, server.log.signer)


def _other_root_by_the_true_key(server: LyingServer, answer: Answer) -> None:
    head = server.log.checkpoint()
    body = Checkpoint(head.origin, head.tree_size, _flip(head.root_hash))
    answer.checkpoint.note = sign_checkpoint(body, server.log.signer)


def _head_from_before_the_append(server: LyingServer, answer: Answer) -> None:
    answer.checkpoint.note = server.log.note(len(server.log.leaves) - 1)


def _wrong_consistency_hash(_: LyingServer, answer: Answer) -> None:
    answer.consistency_proof.hashes[0] = _flip(answer.consistency_proof.hashes[0])


def _missing_consistency_hash(_: LyingServer, answer: Answer) -> None:
    del answer.consistency_proof.hashes[0]


def _no_consistency_proof(_: LyingServer, answer: Answer) -> None:
    answer.ClearField("consistency_proof")


def _consistency_proof_of_thousands(_: LyingServer, answer: Answer) -> None:
    answer.consistency_proof.hashes.extend([bytes(32)] * 5000)


def _unknown_outcome(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.outcome = 99  # type: ignore[assignment]


def _no_outcome(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.outcome = ledger_pb2.APPEND_OUTCOME_UNSPECIFIED


def _new_id_of_another_principal(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.outcome = ledger_pb2.APPEND_OUTCOME_DUPLICATE_OF_OTHER_PRINCIPAL
    answer.results[0].acknowledgement.event_salt = answer.results[0].acknowledgement.personal_salt = b""


def _new_id_not_compared(_: LyingServer, answer: Answer) -> None:
    answer.results[0].acknowledgement.outcome = ledger_pb2.APPEND_OUTCOME_DUPLICATE_NOT_COMPARED


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_altered_leaf, ContentMismatchError),
        (_leaf_with_a_byte_more, ContentMismatchError),
        (_leaf_of_another_time, InvalidProofError),
        (_event_salt, ContentMismatchError),
        (_short_event_salt, ContentMismatchError),
        (_no_event_salt, ContentMismatchError),
        (_swapped_salts, ContentMismatchError),
        (_personal_salt, ContentMismatchError),
        (_dropped_personal_section, ContentMismatchError),
        (_next_index, InvalidProofError),
        (_earlier_index, InvalidProofError),
        (_index_beyond_64_bits_of_sense, InvalidProofError),
        (_leaf_of_another_event, ContentMismatchError),
        (_wrong_inclusion_hash, InvalidProofError),
        (_missing_inclusion_hash, InvalidProofError),
        (_extra_inclusion_hash, InvalidProofError),
        (_short_inclusion_hash, InvalidProofError),
        (_no_inclusion_proof, InvalidProofError),
        (_flipped_signature, VerificationError),
        (_note_of_garbage, ContentMismatchError),
        (_no_checkpoint, ContentMismatchError),
        (_other_key, InvalidSignatureError),
        (_foreign_checkpoint, InvalidSignatureError),
        (_other_origin_by_the_true_key, WrongOriginError),
        (_other_root_by_the_true_key, InvalidProofError),
        (_head_from_before_the_append, InvalidProofError),
        (_wrong_consistency_hash, InvalidProofError),
        (_missing_consistency_hash, InvalidProofError),
        (_no_consistency_proof, InvalidProofError),
        (_consistency_proof_of_thousands, InvalidProofError),
        (_unknown_outcome, ContentMismatchError),
        (_no_outcome, ContentMismatchError),
        (_new_id_of_another_principal, ContentMismatchError),
        (_new_id_not_compared, ContentMismatchError),
    ],
)
def test_append_raises_when_the_server_alters(
    server: LyingServer, ledger: Ledger, change: Change, expected: type[VerificationError]
) -> None:
    for number in range(3):
        _append(ledger, number)
    trusted = ledger.trusted_head
    assert trusted is not None

    def lie(answer: Message) -> None:
        if isinstance(answer, Answer):
            change(server, answer)

    server.lie = lie
    with pytest.raises(expected):
        _append(ledger, 3)
    assert ledger.trusted_head == trusted


def test_truth_is_believed_whatever_is_stated_beside_the_note(server: LyingServer, ledger: Ledger) -> None:
    _append(ledger)

    def misstate_hints(answer: Message) -> None:
        if isinstance(answer, Answer):
            answer.checkpoint.tree_size = 999
            answer.checkpoint.root_hash = bytes(32)
            answer.inclusion_proof.tree_size = 7
            answer.inclusion_proof.leaf_indexes[:] = [5]
            answer.consistency_proof.first_size = 77

    server.lie = misstate_hints
    receipt = _append(ledger)

    assert (receipt.leaf_index, receipt.checkpoint.tree_size) == (1, 2)


def test_append_raises_for_a_log_that_was_set_back(server: LyingServer, connect: Callable[[], Ledger]) -> None:
    earlier = connect()
    for number in range(4):
        _append(earlier, number)
    server.log = copy_of(server.log, 2)

    with pytest.raises(RollbackError, match="tree size 3, the trusted one 4"):
        _append(connect(), 9)


@pytest.mark.parametrize("size", [1, 3])
def test_head_of_a_log_that_was_set_back_is_refused(server: LyingServer, ledger: Ledger, size: int) -> None:
    for number in range(4):
        _append(ledger, number)
    server.log = copy_of(server.log, size)

    with pytest.raises(RollbackError, match="size 4 was trusted before"):
        ledger.checkpoint()


def test_log_that_was_set_back_and_goes_on_is_proven_to_have_forked(server: LyingServer, ledger: Ledger) -> None:
    for number in range(4):
        _append(ledger, number)
    server.log = copy_of(server.log, 2)

    with pytest.raises(ForkError, match="two roots for tree size 3"):
        _append(ledger, 9)


def test_append_proves_a_fork_that_continues_another_history(
    server: LyingServer, ledger: Ledger, tmp_path: Path
) -> None:
    for number in range(3):
        _append(ledger, number)
    forked = copy_of(server.log, 2)
    other = ledger.get(2)
    forked.append(other.event_section.content)
    server.log = forked

    with pytest.raises(ForkError, match="two roots for tree size 3") as caught:
        _append(ledger, 9)

    evidence = Path(caught.value.metadata["evidence"])
    assert evidence.parent == tmp_path / "state"
    assert str(evidence) in caught.value.message
    verify_fork_evidence(evidence.read_bytes(), parse_verifier_key(server.verifier_key))


def test_append_of_a_duplicate_proves_a_fork_of_the_same_size(server: LyingServer, ledger: Ledger) -> None:
    for number in range(2):
        ledger.append(event={"action": "a.b", "event_id": f"id-{number}", "timestamp": "2026-02-20T14:30:00Z"})
    forked = copy_of(server.log, 1)
    event, _ = server.log.sections[1]
    leaf = decode_leaf(server.log.leaves[1])
    forked.append(event.content, previous=b"\x01" * 32)
    assert encode_leaf(leaf) != forked.leaves[1]
    server.log = forked

    with pytest.raises(ForkError):
        ledger.append(event={"action": "a.b", "event_id": "id-1", "timestamp": "2026-02-20T14:30:00Z"})


def test_two_heads_that_cannot_be_connected_are_both_kept(server: LyingServer, ledger: Ledger) -> None:
    for number in range(3):
        _append(ledger, number)

    def lie(answer: Message) -> None:
        if isinstance(answer, Answer):
            _wrong_consistency_hash(server, answer)

    server.lie = lie
    with pytest.raises(InvalidProofError) as caught:
        _append(ledger, 3)

    kept = json.loads(Path(caught.value.metadata["evidence"]).read_text())
    assert {kept["first_note"].split("\n")[1], kept["second_note"].split("\n")[1]} == {"3", "4"}


BatchChange = Callable[[ledger_pb2.AppendBatchResponse], None]


def _batch_swapped(answer: ledger_pb2.AppendBatchResponse) -> None:
    first = ledger_pb2.Acknowledgement()
    first.CopyFrom(answer.acknowledgements[0])
    answer.acknowledgements[0].CopyFrom(answer.acknowledgements[1])
    answer.acknowledgements[1].CopyFrom(first)


def _batch_one_missing(answer: ledger_pb2.AppendBatchResponse) -> None:
    del answer.acknowledgements[-1]


def _batch_one_more(answer: ledger_pb2.AppendBatchResponse) -> None:
    answer.acknowledgements.append(answer.acknowledgements[0])


def _batch_one_for_all(answer: ledger_pb2.AppendBatchResponse) -> None:
    for item in answer.acknowledgements:
        item.CopyFrom(answer.acknowledgements[0])


def _batch_wrong_hash(answer: ledger_pb2.AppendBatchResponse) -> None:
    answer.inclusion_proof.hashes[0] = _flip(answer.inclusion_proof.hashes[0])


def _batch_same_index(answer: ledger_pb2.AppendBatchResponse) -> None:
    answer.acknowledgements[1].leaf_index = answer.acknowledgements[0].leaf_index


def _batch_other_indexes(answer: ledger_pb2.AppendBatchResponse) -> None:
    for item in answer.acknowledgements:
        item.leaf_index -= 1


@pytest.mark.parametrize(
    "change",
    [
        _batch_swapped,
        _batch_one_missing,
        _batch_one_more,
        _batch_one_for_all,
        _batch_wrong_hash,
        _batch_same_index,
        _batch_other_indexes,
    ],
)
def test_append_batch_raises_when_the_server_alters(server: LyingServer, ledger: Ledger, change: BatchChange) -> None:
    _append(ledger)

    def lie(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.AppendBatchResponse):
            change(answer)

    server.lie = lie
    with pytest.raises(VerificationError):
        ledger.append_batch([{"action": "a.b", "metadata": {"n": number}} for number in range(3)])


EntryChange = Callable[[proof_pb2.Entry], None]


def _content(entry: proof_pb2.Entry) -> None:
    entry.event.content = _flip(entry.event.content, len(entry.event.content) - 1)


def _salt(entry: proof_pb2.Entry) -> None:
    entry.event.salt = _flip(entry.event.salt)


def _leaf(entry: proof_pb2.Entry) -> None:
    entry.leaf = _flip(entry.leaf, 5)


def _index(entry: proof_pb2.Entry) -> None:
    entry.leaf_index += 1


def _said_to_have_no_event(entry: proof_pb2.Entry) -> None:
    entry.event.CopyFrom(proof_pb2.Section(state=proof_pb2.SECTION_STATE_NONE))


def _said_to_have_no_personal_data(entry: proof_pb2.Entry) -> None:
    entry.personal.CopyFrom(proof_pb2.Section(state=proof_pb2.SECTION_STATE_NONE))


def _erased_but_shown(entry: proof_pb2.Entry) -> None:
    entry.event.state = proof_pb2.SECTION_STATE_ERASED


def _present_but_empty(entry: proof_pb2.Entry) -> None:
    entry.event.content = b""


def _unknown_state(entry: proof_pb2.Entry) -> None:
    entry.event.state = 77  # type: ignore[assignment]


@pytest.mark.parametrize(
    "change",
    [
        _content,
        _salt,
        _leaf,
        _index,
        _said_to_have_no_event,
        _said_to_have_no_personal_data,
        _erased_but_shown,
        _present_but_empty,
        _unknown_state,
    ],
)
def test_get_and_read_raise_when_the_server_alters_an_entry(
    server: LyingServer, ledger: Ledger, change: EntryChange
) -> None:
    for number in range(3):
        _append(ledger, number)

    def lie(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.GetEntryResponse):
            change(answer.entry)
        if isinstance(answer, ledger_pb2.ReadEntriesResponse):
            change(answer.entries[1])

    server.lie = lie
    with pytest.raises(VerificationError):
        ledger.get(1, view=EntryView.FULL)
    with pytest.raises(VerificationError):
        list(ledger.read_entries(view=EntryView.FULL))


def _many_index(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
        answer.entries[1].leaf_index += 1


def _many_swapped(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
        first, second = answer.entries[0].leaf_index, answer.entries[1].leaf_index
        answer.entries[0].leaf_index, answer.entries[1].leaf_index = second, first


def _many_leaf(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
        answer.entries[1].leaf = _flip(answer.entries[1].leaf, 5)


def _many_content(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
        answer.entries[1].event.salt = _flip(answer.entries[1].event.salt)


def _many_none(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
        del answer.entries[:]


def _many_more(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetEntriesResponse):
        answer.entries.append(answer.entries[0])


def _many_hash(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetInclusionProofResponse):
        answer.inclusion_proof.hashes[0] = _flip(answer.inclusion_proof.hashes[0])


def _many_note(answer: Message) -> None:
    if isinstance(answer, ledger_pb2.BatchGetInclusionProofResponse):
        answer.checkpoint.note = b"garbage"


@pytest.mark.parametrize(
    "lie", [_many_index, _many_swapped, _many_leaf, _many_content, _many_none, _many_more, _many_hash, _many_note]
)
def test_get_batch_and_prove_many_raise_when_the_server_alters(
    server: LyingServer, ledger: Ledger, lie: Callable[[Message], None]
) -> None:
    for number in range(9):
        _append(ledger, number)
    server.lie = lie

    if lie is not _many_note:  # it has asked for the head already
        with pytest.raises(VerificationError):
            ledger.get_batch([0, 3, 5])
    if lie is not _many_content:  # it asks for leaves alone
        with pytest.raises(VerificationError):
            ledger.prove_many([0, 3, 5])


def test_proof_of_many_for_another_size_than_asked_for_is_refused(server: LyingServer, ledger: Ledger) -> None:
    for number in range(5):
        _append(ledger, number)

    def other_size(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.BatchGetInclusionProofResponse):
            answer.checkpoint.CopyFrom(server.checkpoint(5))

    server.lie = other_size
    with pytest.raises(ContentMismatchError, match="tree size 4 was asked for"):
        ledger.prove_many([1], tree_size=4)


def test_read_raises_when_an_entry_is_left_out(server: LyingServer, ledger: Ledger) -> None:
    for number in range(5):
        _append(ledger, number)

    def leave_out(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.ReadEntriesResponse):
            del answer.entries[1]

    server.lie = leave_out
    with pytest.raises(ContentMismatchError, match="entry 1 was expected"):
        list(ledger.read_entries())


def test_get_by_event_id_raises_for_another_event(server: LyingServer, ledger: Ledger) -> None:
    first, second = _append(ledger, 0), _append(ledger, 1)

    def other(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.GetEntryResponse):
            answer.entry.CopyFrom(server.entry(first.leaf_index, ledger_pb2.ENTRY_VIEW_EVENT))

    server.lie = other
    with pytest.raises(ContentMismatchError, match=second.event_id):
        ledger.get(event_id=second.event_id)


def test_get_by_event_id_says_what_is_only_the_servers_word(ledger: Ledger) -> None:
    receipt = _append(ledger)

    entry = ledger.get(event_id=receipt.event_id, view=EntryView.LEAF)

    assert entry.event is None
    assert any("is the server's word" in note for note in entry.notes)


def test_read_raises_where_the_chain_is_broken(server: LyingServer, ledger: Ledger) -> None:
    _append(ledger)
    event, _ = server.log.sections[0]
    server.log.append(event.content, previous=b"\x01" * 32)

    with pytest.raises(ContentMismatchError, match="does not name the leaf hash before it"):
        list(ledger.read_entries())


def test_log_of_another_key_than_the_pinned_one_is_refused(server: LyingServer, ledger: Ledger) -> None:
    server.log = SampleLog("log.example/sample", bytes(32))

    with pytest.raises(WrongOriginError):
        ledger.get_log()


_WITHOUT_SALTS = [outcome for outcome in AppendOutcome if not outcome.proves_content]


@pytest.mark.parametrize("outcome", _WITHOUT_SALTS)
def test_append_raises_where_another_leaf_is_shown_for_an_event_id(
    server: LyingServer, ledger: Ledger, outcome: AppendOutcome
) -> None:
    _append(ledger)
    event = {"action": "a.b", "event_id": "order-17", "timestamp": "2026-02-20T14:30:00Z"}
    server.lie = first_leaf_for_every_event(server, ledger_pb2.AppendOutcome.ValueType(outcome))

    with pytest.raises(
        ContentUnprovenError, match=rf"{outcome.name} for the event id order-17.*leaf index 0"
    ) as caught:
        ledger.append(event=event)
    receipt = caught.value.receipt
    assert isinstance(receipt, Receipt)
    assert (receipt.leaf_index, receipt.proves_content) == (0, False)
    assert not ledger.append(event=event, allow_unproven=True).proves_content
    with pytest.raises(ContentUnprovenError):
        ledger.append("a.b", event_id="order-18")


@pytest.mark.parametrize("outcome", _WITHOUT_SALTS)
def test_append_batch_raises_where_another_leaf_is_shown_for_an_event_id(
    server: LyingServer, ledger: Ledger, outcome: AppendOutcome
) -> None:
    _append(ledger)
    events = [
        {"action": "a.b", "event_id": f"order-{number}", "timestamp": "2026-02-20T14:30:00Z"} for number in range(3)
    ]
    server.lie = first_leaf_for_every_event(server, ledger_pb2.AppendOutcome.ValueType(outcome))

    with pytest.raises(ContentUnprovenError, match="for the event id order-0") as caught:
        ledger.append_batch(events[:1])
    receipts = [receipt for receipt in caught.value.receipts if isinstance(receipt, Receipt)]
    assert [receipt.event_id for receipt in receipts] == ["order-0"]
    assert len(ledger.append_batch(events[:1], allow_unproven=True)) == 1
    # Different events at one place contradict each other, whatever is allowed.
    with pytest.raises(ContentMismatchError, match="were both acknowledged as entry 0"):
        ledger.append_batch(events, allow_unproven=True)


def test_what_is_to_be_complete_is_refused_from_a_server_that_shows_an_old_head(
    server: LyingServer, ledger: Ledger
) -> None:
    for number in range(6):
        _append(ledger, number)
    server.lie = old_head(server, 2)
    reads: list[Callable[[], object]] = [
        lambda: list(ledger.read_entries()),
        lambda: list(ledger.read_entries(0, 2)),
        lambda: next(ledger.read_entries(follow=True)),
        ledger.get_log,
    ]

    for read in reads:
        with pytest.raises(StaleHeadError, match="newest head is of size 2; size 6 was seen before") as caught:
            read()
        assert (caught.value.first_note, caught.value.second_note) == (server.log.note(6), server.log.note(2))
    with pytest.raises(ContentMismatchError, match="at least tree size 6"):
        ledger.checkpoint(HeadKind.PUBLISHED, at_least=6)


def test_old_head_is_marked_and_warned_of_wherever_the_newest_was_asked_for(
    server: LyingServer, ledger: Ledger
) -> None:
    for number in range(6):
        assert not _append(ledger, number).head.is_stale
    server.lie = old_head(server, 2)

    with pytest.warns(StaleHeadWarning):
        assert ledger.checkpoint().is_stale
    with pytest.warns(StaleHeadWarning):
        assert ledger.get(1).head.is_stale
    with pytest.warns(StaleHeadWarning):
        assert ledger.prove_inclusion(1).head.is_stale
    with pytest.warns(StaleHeadWarning):
        assert ledger.verify_entry(1).head.is_stale
    assert ledger.trusted_head is not None
    assert (ledger.trusted_head.checkpoint.tree_size, ledger.trusted_head.is_stale) == (6, False)
    # An older size that was asked for is no old news.
    server.lie = truth
    assert not ledger.checkpoint(tree_size=2).is_stale
    assert not ledger.prove_inclusion(1, tree_size=2).head.is_stale


def test_acknowledgement_under_an_old_head_is_warned_of(server: LyingServer, ledger: Ledger) -> None:
    flat = {"action": "a.b", "event_id": "order-17", "timestamp": "2026-02-20T14:30:00Z"}
    ledger.append(event=flat)
    for number in range(4):
        _append(ledger, number)
    server.lie = old_head(server, 2)

    with pytest.warns(StaleHeadWarning, match="size 2; size 5"):
        receipt = ledger.append(event=flat)
    assert (receipt.head.is_stale, receipt.proves_content) == (True, True)


def _altering_entries(change: EntryChange) -> Callable[[Message], None]:
    def lie(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.GetEntryResponse):
            change(answer.entry)
        if isinstance(answer, ledger_pb2.ReadEntriesResponse | ledger_pb2.BatchGetEntriesResponse):
            change(answer.entries[0])

    return lie


def _event_said_to_be(state: SectionState) -> EntryChange:
    def change(entry: proof_pb2.Entry) -> None:
        entry.event.CopyFrom(proof_pb2.Section(state=proof_pb2.SectionState.ValueType(state)))

    return change


def _personal_said_to_be(state: SectionState) -> EntryChange:
    def change(entry: proof_pb2.Entry) -> None:
        entry.personal.CopyFrom(proof_pb2.Section(state=proof_pb2.SectionState.ValueType(state)))

    return change


@pytest.mark.parametrize("state", [SectionState.ERASED, SectionState.WITHHELD])
@pytest.mark.parametrize(
    ("said_to_be", "view"), [(_event_said_to_be, EntryView.EVENT), (_personal_said_to_be, EntryView.FULL)]
)
def test_section_that_is_not_shown_is_no_evidence_unless_that_is_allowed(
    server: LyingServer,
    ledger: Ledger,
    said_to_be: Callable[[SectionState], EntryChange],
    view: EntryView,
    state: SectionState,
) -> None:
    receipt = _append(ledger)
    server.lie = _altering_entries(said_to_be(state))
    reads: list[Callable[[], object]] = [
        lambda: ledger.get(0, view=view),
        lambda: ledger.get(event_id=receipt.event_id, view=view),
        lambda: ledger.get_batch([0], view=view),
        lambda: next(ledger.tail(0, view=view)),
        lambda: list(ledger.read_entries(view=view)),
        lambda: next(ledger.read_entries(view=view, follow=True)),
    ]

    for read in reads:
        with pytest.raises(IncompleteEvidenceError, match=r"section of entry 0 (is erased|was asked for)"):
            read()
    allowed = ledger.get(0, view=view, allow_incomplete=True)
    assert allowed.is_incomplete
    assert "section of entry 0" in allowed.notes[0]
    (read_anyway,) = ledger.read_entries(view=view, allow_incomplete=True)
    assert read_anyway == allowed == ledger.get_batch([0], view=view, allow_incomplete=True)[0]


def test_proof_by_event_id_needs_the_event(server: LyingServer, ledger: Ledger) -> None:
    receipt = _append(ledger)
    server.lie = _altering_entries(_event_said_to_be(SectionState.ERASED))

    with pytest.raises(IncompleteEvidenceError):
        ledger.prove_inclusion(event_id=receipt.event_id)


def test_section_that_was_not_asked_for_makes_nothing_incomplete(server: LyingServer, ledger: Ledger) -> None:
    _append(ledger)
    server.lie = _altering_entries(_personal_said_to_be(SectionState.ERASED))

    entry = ledger.get(0, view=EntryView.EVENT)
    assert (entry.is_incomplete, entry.personal_section.state) == (False, SectionState.ERASED)


VerdictChange = Callable[[ledger_pb2.VerifyEntryResponse], None]


def _unknown_verdict(answer: ledger_pb2.VerifyEntryResponse) -> None:
    answer.verdict = 99  # type: ignore[assignment]


def _verdict_on_another_entry(answer: ledger_pb2.VerifyEntryResponse) -> None:
    answer.leaf_index = 0


def _verified_though_a_check_failed(answer: ledger_pb2.VerifyEntryResponse) -> None:
    answer.checks.add(name="inclusion", passed=False)


def _verified_without_a_check(answer: ledger_pb2.VerifyEntryResponse) -> None:
    del answer.checks[:]


def _failed_though_all_checks_passed(answer: ledger_pb2.VerifyEntryResponse) -> None:
    answer.verdict = ledger_pb2.VERDICT_FAILED


@pytest.mark.parametrize(
    "change",
    [
        _unknown_verdict,
        _verdict_on_another_entry,
        _verified_though_a_check_failed,
        _verified_without_a_check,
        _failed_though_all_checks_passed,
    ],
)
def test_verdict_that_contradicts_itself_is_refused(server: LyingServer, ledger: Ledger, change: VerdictChange) -> None:
    for number in range(2):
        _append(ledger, number)
    assert ledger.verify_entry(1).verdict == "verified"

    def lie(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.VerifyEntryResponse):
            change(answer)

    server.lie = lie
    with pytest.raises(ContentMismatchError):
        ledger.verify_entry(1)


def test_verdict_under_a_head_that_does_not_cover_the_entry_is_refused(server: LyingServer, ledger: Ledger) -> None:
    receipt = _append(ledger)

    def beyond(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.VerifyEntryResponse):
            answer.leaf_index = 1

    server.lie = beyond
    with pytest.raises(ContentMismatchError, match="does not cover it"):
        ledger.verify_entry(event_id=receipt.event_id)


def test_verdict_of_a_failure_is_handed_out(server: LyingServer, ledger: Ledger) -> None:
    _append(ledger)

    def fail(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.VerifyEntryResponse):
            answer.verdict = ledger_pb2.VERDICT_FAILED
            answer.checks.add(name="inclusion", passed=False)

    server.lie = fail
    assert ledger.verify_entry(0).verdict == "failed"


def _answering_of_logs(change: Callable[[admin_pb2.Log], None]) -> Callable[[Message], None]:
    def lie(answer: Message) -> None:
        if isinstance(answer, admin_pb2.GetLogResponse):
            change(answer.log)

    return lie


def _another_name(log: admin_pb2.Log) -> None:
    log.name = "other"


def _more_published_than_there_is(log: admin_pb2.Log) -> None:
    log.published_size = 10**12


@pytest.mark.parametrize("change", [_another_name, _more_published_than_there_is])
def test_what_contradicts_the_question_or_the_head_is_not_told_of_a_log(
    server: LyingServer, ledger: Ledger, change: Callable[[admin_pb2.Log], None]
) -> None:
    _append(ledger)
    server.lie = _answering_of_logs(change)

    with pytest.raises(ContentMismatchError):
        ledger.get_log()


def test_state_of_a_log_that_is_not_known_is_told_as_such(server: LyingServer, ledger: Ledger) -> None:
    def unknown(log: admin_pb2.Log) -> None:
        log.state = 99  # type: ignore[assignment]

    _append(ledger)
    server.lie = _answering_of_logs(unknown)

    assert ledger.get_log().state == "unknown"


def test_answer_about_another_key_than_the_one_to_revoke_is_refused(server: LyingServer, ledger: Ledger) -> None:
    made = ledger.create_key("for a test", [Role.WRITER])

    def another(answer: Message) -> None:
        if isinstance(answer, admin_pb2.RevokeApiKeyResponse):
            answer.api_key.key_id = "key99"

    server.lie = another
    with pytest.raises(ContentMismatchError, match="it names key key99"):
        ledger.revoke_key(made.info.key_id)


def test_answer_that_does_not_say_that_the_log_is_retired_is_refused(server: LyingServer, ledger: Ledger) -> None:
    def active(answer: Message) -> None:
        if isinstance(answer, admin_pb2.RetireLogResponse):
            answer.log.state = admin_pb2.LOG_STATE_ACTIVE

    server.lie = active
    with pytest.raises(ContentMismatchError, match="its state is active"):
        ledger.retire_log("default", reason="moved")


def test_last_head_under_another_key_than_the_pinned_one_is_refused(server: LyingServer, ledger: Ledger) -> None:
    other = Ed25519Signer(server.log.signer.name, b"\7" * 32)

    def another(answer: Message) -> None:
        if isinstance(answer, admin_pb2.RetireLogResponse):
            answer.log.verifier_key = format_verifier_key(other.verifier)
            answer.last_head = sign_checkpoint(Checkpoint(other.name, 0, EMPTY_ROOT), other)

    server.lie = another
    with pytest.raises(WrongOriginError, match="pinned"):
        ledger.retire_log("default", reason="moved")


def test_last_head_that_the_log_did_not_sign_is_refused(server: LyingServer, ledger: Ledger) -> None:
    def forged(answer: Message) -> None:
        if isinstance(answer, admin_pb2.RetireLogResponse):
            answer.last_head = answer.last_head.replace(b"\n0\n", b"\n7\n")

    server.lie = forged
    with pytest.raises(ContentMismatchError, match="did not sign"):
        ledger.retire_log("default", reason="moved")


def test_time_of_a_key_beyond_all_calendars_is_refused(server: LyingServer, ledger: Ledger) -> None:
    ledger.create_key("for a test", [Role.WRITER])

    def far_away(answer: Message) -> None:
        if isinstance(answer, admin_pb2.ListApiKeysResponse):
            answer.api_keys[0].expires_at = (1 << 64) - 1

    server.lie = far_away
    with pytest.raises(ContentMismatchError, match="beyond the year 9999"):
        ledger.list_keys()


def test_refusal_of_what_was_not_sent_is_refused(server: LyingServer, ledger: Ledger) -> None:
    problem = BatchProblem(9999, InvalidEventError([FieldViolation("event.action", "is bad")]))
    server.failures = [BatchInvalidError([problem], 10_000)]

    with pytest.raises(ContentMismatchError, match="3 events were sent, and the server refuses one at position 9999"):
        ledger.append_batch([{"action": "a.b", "metadata": {"n": number}} for number in range(3)])


def test_key_that_is_none_is_no_fault_of_the_caller(server: LyingServer, tmp_path: Path) -> None:
    def garble(log: admin_pb2.Log) -> None:
        log.verifier_key = "a+b+c"

    server.lie = _answering_of_logs(garble)
    with pytest.raises(ContentMismatchError, match="is no key"):
        connect_unpinned(Options(server.address, api_key=API_KEY, state=tmp_path))
