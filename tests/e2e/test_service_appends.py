"""Appends over the wire: what an acknowledgement promises can be checked from what the client sent and got."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from ledger.engine.log import Limits
from ledger.events.codec import check_sections
from ledger.events.commitments import commit_event, commit_personal
from ledger.events.leaf import decode_leaf
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.verify import verify_batch_inclusion, verify_consistency, verify_inclusion
from ledger.notes.checkpoint import open_checkpoint
from ledger.notes.keys import parse_verifier_key
from ledger.v1 import admin_pb2, ledger_pb2, proof_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import failure, new_event, new_sections
from tests.support.live_server import LiveServer, live_server

_PROVEN = ledger_pb2.AppendOptions(include_inclusion_proof=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path_factory.mktemp("appends") / "data")
    yield live
    live.stop()


@pytest.fixture(scope="module")
def ledger(server: LiveServer) -> LedgerServiceStub:
    return server.ledger()


@pytest.fixture(scope="module")
def other(server: LiveServer) -> LedgerServiceStub:
    """A writer that is another principal."""
    request = admin_pb2.CreateApiKeyRequest(log="default", roles=[admin_pb2.ROLE_WRITER])
    return server.ledger(server.admin().CreateApiKey(request).secret)


def _append(
    sections: ledger_pb2.EventSections, options: ledger_pb2.AppendOptions | None = None
) -> ledger_pb2.AppendRequest:
    return ledger_pb2.AppendRequest(log="default", sections=sections, options=options)


def _batch(
    sections: Sequence[ledger_pb2.EventSections], options: ledger_pb2.AppendOptions | None = None
) -> ledger_pb2.AppendBatchRequest:
    return ledger_pb2.AppendBatchRequest(log="default", sections=sections, options=options)


def _head(server: LiveServer, checkpoint: proof_pb2.Checkpoint) -> tuple[int, bytes]:
    """Return size and root of a checkpoint after verifying its signature."""
    key = server.admin().GetLog(admin_pb2.GetLogRequest(name="default")).log.verifier_key
    opened = open_checkpoint(checkpoint.note, parse_verifier_key(key)).checkpoint
    assert (opened.tree_size, opened.root_hash) == (checkpoint.tree_size, checkpoint.root_hash)
    return opened.tree_size, opened.root_hash


def _check_leaf(ack: ledger_pb2.Acknowledgement, sent: ledger_pb2.EventSections) -> None:
    leaf = decode_leaf(ack.leaf)
    assert leaf.event_commitment == commit_event(ack.event_salt, sent.event)
    if sent.personal:
        assert leaf.personal_commitment == commit_personal(ack.personal_salt, sent.personal)
    else:
        assert (leaf.personal_commitment, ack.personal_salt) == (None, b"")


# One event


@pytest.mark.parametrize("personal", [True, False])
def test_an_acknowledgement_is_a_receipt_for_what_was_sent(
    server: LiveServer, ledger: LedgerServiceStub, personal: bool
) -> None:
    sent = new_sections(personal=personal)

    answer = ledger.Append(_append(sent, _PROVEN))

    ack, proof = answer.acknowledgement, answer.inclusion_proof
    size, root = _head(server, answer.checkpoint)
    assert ack.outcome == ledger_pb2.APPEND_OUTCOME_APPENDED
    assert (proof.leaf_index, proof.tree_size) == (ack.leaf_index, size)
    _check_leaf(ack, sent)
    verify_inclusion(hash_leaf(ack.leaf), ack.leaf_index, size, root, list(proof.hashes))


def test_an_acknowledgement_connects_to_the_head_that_the_client_trusts(
    server: LiveServer, ledger: LedgerServiceStub
) -> None:
    first_size, first_root = _head(server, ledger.Append(_append(new_sections())).checkpoint)

    answer = ledger.Append(_append(new_sections(), ledger_pb2.AppendOptions(trusted_tree_size=first_size)))

    size, root = _head(server, answer.checkpoint)
    proof = answer.consistency_proof
    assert (proof.first_size, proof.second_size) == (first_size, size)
    verify_consistency(first_size, first_root, size, root, list(proof.hashes))


def test_no_proof_is_sent_that_was_not_asked_for(ledger: LedgerServiceStub) -> None:
    answer = ledger.Append(_append(new_sections()))

    assert not answer.HasField("inclusion_proof")
    assert not answer.HasField("consistency_proof")


def test_a_retry_with_the_same_bytes_gets_the_first_acknowledgement_again(ledger: LedgerServiceStub) -> None:
    request = _append(new_sections(), _PROVEN)
    first = ledger.Append(request).acknowledgement

    again = ledger.Append(request).acknowledgement

    assert again.outcome == ledger_pb2.APPEND_OUTCOME_DUPLICATE
    again.outcome = first.outcome
    assert again == first


def test_an_event_id_with_other_bytes_is_refused_with_the_first_index(ledger: LedgerServiceStub) -> None:
    event = new_event()
    index = ledger.Append(_append(new_sections(event_id=event.event_id))).acknowledgement.leaf_index

    refused = failure(lambda: ledger.Append(_append(new_sections(event_id=event.event_id, action="user.deleted"))))

    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EVENT_ID_REUSED")
    assert (refused.metadata["eventId"], refused.metadata["leafIndex"]) == (event.event_id, str(index))


def test_another_principal_learns_the_index_of_equal_bytes_and_no_salts(
    ledger: LedgerServiceStub, other: LedgerServiceStub
) -> None:
    sent = new_sections()
    first = ledger.Append(_append(sent)).acknowledgement

    theirs = other.Append(_append(sent)).acknowledgement

    assert theirs.outcome == ledger_pb2.APPEND_OUTCOME_DUPLICATE_OF_OTHER_PRINCIPAL
    assert (theirs.leaf_index, theirs.event_salt, theirs.personal_salt) == (first.leaf_index, b"", b"")


def test_another_principal_learns_nothing_of_other_bytes(ledger: LedgerServiceStub, other: LedgerServiceStub) -> None:
    event = new_event()
    ledger.Append(_append(new_sections(event_id=event.event_id)))

    refused = failure(lambda: other.Append(_append(new_sections(event_id=event.event_id, action="user.deleted"))))

    assert refused.reason == "EVENT_ID_REUSED"
    assert "leafIndex" not in refused.metadata


# Batches


def test_a_batch_gets_contiguous_indexes_and_one_proof_for_all(server: LiveServer, ledger: LedgerServiceStub) -> None:
    sent = [new_sections(personal=bool(number % 2)) for number in range(50)]

    answer = ledger.AppendBatch(_batch(sent, _PROVEN))

    acks, proof = answer.acknowledgements, answer.inclusion_proof
    size, root = _head(server, answer.checkpoint)
    assert [ack.leaf_index for ack in acks] == list(range(acks[0].leaf_index, acks[0].leaf_index + 50))
    assert list(proof.leaf_indexes) == [ack.leaf_index for ack in acks]
    for ack, sections in zip(acks, sent, strict=True):
        _check_leaf(ack, sections)
    leaves = [(ack.leaf_index, hash_leaf(ack.leaf)) for ack in acks]
    verify_batch_inclusion(leaves, size, root, list(proof.hashes))


def test_a_batch_with_events_that_are_there_already_answers_with_their_indexes(ledger: LedgerServiceStub) -> None:
    old, new = new_sections(), new_sections()
    index = ledger.Append(_append(old)).acknowledgement.leaf_index

    answer = ledger.AppendBatch(_batch([new, old, new], _PROVEN))

    outcomes = [ack.outcome for ack in answer.acknowledgements]
    duplicate = ledger_pb2.APPEND_OUTCOME_DUPLICATE
    assert outcomes == [ledger_pb2.APPEND_OUTCOME_APPENDED, duplicate, duplicate]
    assert [ack.leaf_index for ack in answer.acknowledgements] == [index + 1, index, index + 1]
    assert list(answer.inclusion_proof.leaf_indexes) == [index, index + 1]


@pytest.mark.parametrize("more", [0, 3])
def test_a_batch_with_a_conflicting_event_is_refused_whole(ledger: LedgerServiceStub, more: int) -> None:
    event = new_event()
    size = ledger.Append(_append(new_sections(event_id=event.event_id))).checkpoint.tree_size
    batch = [*(new_sections() for _ in range(more)), new_sections(event_id=event.event_id, action="user.deleted")]

    refused = failure(lambda: ledger.AppendBatch(_batch(batch)))

    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "BATCH_CONFLICT")
    assert list(refused.fields) == [f"sections[{more}].event.event_id"]
    checkpoint = ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint
    assert checkpoint.tree_size == size


def test_the_largest_batch_is_taken(ledger: LedgerServiceStub) -> None:
    answer = ledger.AppendBatch(_batch([new_sections() for _ in range(1000)]))

    assert len(answer.acknowledgements) == 1000


# Streams


def _message(sections: ledger_pb2.EventSections, log: str = "") -> ledger_pb2.AppendStreamRequest:
    return ledger_pb2.AppendStreamRequest(log=log, sections=sections)


def test_a_stream_answers_each_message_in_order(ledger: LedgerServiceStub) -> None:
    sent = [new_sections() for _ in range(300)]
    messages = [_message(sections, "default" if number == 0 else "") for number, sections in enumerate(sent)]

    answers = [answer.response.acknowledgement for answer in ledger.AppendStream(iter(messages))]

    assert len(answers) == 300
    indexes = [ack.leaf_index for ack in answers]
    assert indexes == list(range(indexes[0], indexes[0] + 300))
    for ack, sections in zip(answers, sent, strict=True):
        _check_leaf(ack, sections)


def test_a_stream_shares_commits(server: LiveServer, ledger: LedgerServiceStub) -> None:
    def commits() -> float:
        assert server.server._metrics is not None
        text = server.server._metrics.exposition("")[0].decode()
        (line,) = [line for line in text.splitlines() if line.startswith("logproof_commit_entries_count")]
        return float(line.split()[1])

    before = commits()
    list(ledger.AppendStream(iter([_message(new_sections(), "default") for _ in range(400)])))

    assert commits() - before < 200


def test_a_stream_goes_on_after_an_error_and_answers_in_place(ledger: LedgerServiceStub) -> None:
    good, bad = new_sections(), new_sections(action="Bad")
    messages = [
        _message(good, "default"),
        _message(bad),
        _message(new_sections(), "other"),
        _message(new_sections()),
        _message(good),
    ]

    answers = list(ledger.AppendStream(iter(messages)))

    results = [answer.WhichOneof("result") for answer in answers]
    assert results == ["response", "error", "error", "response", "response"]
    assert answers[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert b"EVENT_INVALID" in answers[1].error.status
    assert "'other'" in answers[2].error.message
    assert answers[4].response.acknowledgement.outcome == ledger_pb2.APPEND_OUTCOME_DUPLICATE


def test_a_stream_without_messages_ends_well(ledger: LedgerServiceStub) -> None:
    assert list(ledger.AppendStream(iter([]))) == []


def test_each_message_of_a_stream_is_answered_before_the_next_is_sent(ledger: LedgerServiceStub) -> None:
    answered = threading.Semaphore(1)

    def messages() -> Iterator[ledger_pb2.AppendStreamRequest]:
        for _ in range(5):
            assert answered.acquire(timeout=30)
            yield _message(new_sections(), "default")

    count = 0
    for answer in ledger.AppendStream(messages()):
        assert answer.WhichOneof("result") == "response"
        count += 1
        answered.release()

    assert count == 5


def test_a_message_of_a_stream_that_is_no_message_is_answered_and_the_stream_goes_on(server: LiveServer) -> None:
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = server.channel().stream_stream(
        "/ledger.v1.LedgerService/AppendStream"
    )
    messages = [b"\xff\xff", _message(new_sections(), "default").SerializeToString()]

    answers = list(call(iter(messages), metadata=(("authorization", f"Bearer {server.admin_key}"),)))

    parsed = [ledger_pb2.AppendStreamResponse.FromString(answer) for answer in answers]
    assert [answer.WhichOneof("result") for answer in parsed] == ["error", "response"]
    assert b"MALFORMED" in parsed[0].error.status


# Streams, several events in a message


def _several(
    *events: ledger_pb2.EventSections, log: str = "", options: ledger_pb2.AppendOptions | None = None
) -> ledger_pb2.AppendStreamRequest:
    return ledger_pb2.AppendStreamRequest(log=log, events=events, options=options)


def test_events_of_a_message_are_answered_each_for_itself(server: LiveServer, ledger: LedgerServiceStub) -> None:
    taken = new_sections()
    taken_id = check_sections(taken.event, taken.personal)
    ledger.Append(_append(taken))
    sent = [new_sections(), new_sections(action="Bad"), new_sections(event_id=taken_id), new_sections(), taken]

    (answer,) = ledger.AppendStream(iter([_several(*sent, log="default", options=_PROVEN)]))

    results = answer.results.results
    assert [item.WhichOneof("result") for item in results] == [
        "acknowledgement",
        "error",
        "error",
        "acknowledgement",
        "acknowledgement",
    ]
    assert b"EVENT_INVALID" in results[1].error.status
    assert b"EVENT_ID_REUSED" in results[2].error.status
    acks = {position: results[position].acknowledgement for position in (0, 3, 4)}
    assert acks[3].leaf_index == acks[0].leaf_index + 1
    assert acks[4].outcome == ledger_pb2.APPEND_OUTCOME_DUPLICATE
    for position, ack in acks.items():
        _check_leaf(ack, sent[position])
    leaves = sorted((ack.leaf_index, hash_leaf(ack.leaf)) for ack in acks.values())
    verify_batch_inclusion(
        leaves, *_head(server, answer.results.checkpoint), list(answer.results.inclusion_proof.hashes)
    )


def test_answers_of_a_stream_continue_each_other(server: LiveServer, ledger: LedgerServiceStub) -> None:
    size, root = _head(server, ledger.Append(_append(new_sections())).checkpoint)
    options = ledger_pb2.AppendOptions(include_inclusion_proof=True, trusted_tree_size=size)
    messages = [_several(new_sections(), new_sections(), log="default", options=options) for _ in range(20)]

    for answer in ledger.AppendStream(iter(messages)):
        proof = answer.results.consistency_proof
        next_size, next_root = _head(server, answer.results.checkpoint)
        assert (proof.first_size, proof.second_size) == (size, next_size)
        verify_consistency(size, root, next_size, next_root, list(proof.hashes))
        size, root = next_size, next_root


def test_a_message_whose_events_are_all_refused_has_no_checkpoint(ledger: LedgerServiceStub) -> None:
    taken = new_sections()
    ledger.Append(_append(taken))
    reused = new_sections(event_id=check_sections(taken.event, taken.personal))
    bad = new_sections(action="Bad")

    answers = list(ledger.AppendStream(iter([_several(bad, log="default"), _several(reused, bad)])))

    assert [len(answer.results.results) for answer in answers] == [1, 2]
    for answer in answers:
        assert all(item.HasField("error") for item in answer.results.results)
        assert not answer.results.HasField("checkpoint")


def test_a_message_that_breaks_a_limit_is_refused_whole_and_the_stream_goes_on(ledger: LedgerServiceStub) -> None:
    good = new_sections()
    too_many = _several(*[good] * 1001, log="default")
    too_large = _several(*[ledger_pb2.EventSections(event=bytes(32_768), personal=bytes(60_000))] * 50)
    both = ledger_pb2.AppendStreamRequest(sections=good, events=[good])

    answers = list(ledger.AppendStream(iter([too_many, too_large, both, _several(*[good] * 1000)])))

    assert [answer.WhichOneof("result") for answer in answers] == ["error", "error", "error", "results"]
    assert b"BATCH_TOO_LARGE" in answers[0].error.status
    assert b"BATCH_TOO_LARGE" in answers[1].error.status
    assert "together with sections" in answers[2].error.message
    assert len({item.acknowledgement.leaf_index for item in answers[3].results.results}) == 1


# Many at once


def test_callers_at_the_same_time_share_commits_and_each_gets_its_own_index(ledger: LedgerServiceStub) -> None:
    with ThreadPoolExecutor(32) as pool:
        requests = [_append(new_sections()) for _ in range(200)]
        answers = list(pool.map(ledger.Append, requests))

    indexes = [answer.acknowledgement.leaf_index for answer in answers]
    assert len(set(indexes)) == 200


def test_a_full_queue_is_told_with_a_time_to_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = Limits(queue_entries=2, queue_bytes=10_000, group_entries=1)
    with live_server(tmp_path_factory.mktemp("full") / "data", limits=limits) as server:
        ledger = server.ledger()
        calls = [ledger.Append.future(_append(new_sections())) for _ in range(90)]
        refused = [failure(call.result) for call in calls if call.exception() is not None]
        size = ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint.tree_size

    assert refused
    assert {(told.code, told.reason) for told in refused} == {(grpc.StatusCode.UNAVAILABLE, "SEQUENCER_BUSY")}
    assert all(told.retry_seconds for told in refused)
    assert size == 2 + 90 - len(refused)
