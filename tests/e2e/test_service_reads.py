"""Entries, checkpoints and proofs over the wire."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from ledger.clock import ManualClock
from ledger.events.wire import read_event
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.verify import verify_batch_inclusion, verify_consistency, verify_inclusion, verify_range
from ledger.v1 import admin_pb2, ledger_pb2, proof_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import failure, new_event, new_sections
from tests.support.live_server import LiveServer, live_server
from tests.support.storage_edit import flip_byte, index_key

_LEAF, _EVENT, _FULL = ledger_pb2.ENTRY_VIEW_LEAF, ledger_pb2.ENTRY_VIEW_EVENT, ledger_pb2.ENTRY_VIEW_FULL
_PRESENT, _WITHHELD = proof_pb2.SECTION_STATE_PRESENT, proof_pb2.SECTION_STATE_WITHHELD


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path_factory.mktemp("reads") / "data", http=True)
    live.ledger().AppendBatch(
        ledger_pb2.AppendBatchRequest(log="default", sections=[new_sections(personal=n % 2 == 0) for n in range(100)])
    )
    yield live
    live.stop()


@pytest.fixture(scope="module")
def ledger(server: LiveServer) -> LedgerServiceStub:
    return server.ledger()


def _new_key(
    server: LiveServer, role: admin_pb2.Role.ValueType, *, personal: bool = False
) -> admin_pb2.CreateApiKeyResponse:
    return server.admin().CreateApiKey(
        admin_pb2.CreateApiKeyRequest(log="default", roles=[role], personal=personal, label="test")
    )


def _size(ledger: LedgerServiceStub) -> int:
    return ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint.tree_size


def _append(ledger: LedgerServiceStub, **changes: object) -> ledger_pb2.Acknowledgement:
    request = ledger_pb2.AppendRequest(log="default", sections=new_sections(**changes))  # type: ignore[arg-type]
    return ledger.Append(request).acknowledgement


def _actions(ledger: LedgerServiceStub, begin: int) -> list[str]:
    request = ledger_pb2.ReadEntriesRequest(log="default", begin=begin, view=_EVENT)
    return [
        read_event(entry.event.content).action for message in ledger.ReadEntries(request) for entry in message.entries
    ]


# Entries


def test_an_entry_is_found_by_index_event_id_and_leaf_hash(ledger: LedgerServiceStub) -> None:
    event = new_event()
    ack = _append(ledger, event_id=event.event_id)

    entries = [
        ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", view=_EVENT, leaf_index=ack.leaf_index)),
        ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", view=_EVENT, event_id=event.event_id)),
        ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", view=_EVENT, leaf_hash=hash_leaf(ack.leaf))),
    ]

    assert entries[0] == entries[1] == entries[2]
    assert (entries[0].entry.leaf_index, entries[0].entry.leaf) == (ack.leaf_index, ack.leaf)
    assert entries[0].entry.event.salt == ack.event_salt


@pytest.mark.parametrize(
    ("view", "event", "personal"),
    [
        (0, _WITHHELD, _WITHHELD),
        (_LEAF, _WITHHELD, _WITHHELD),
        (_EVENT, _PRESENT, _WITHHELD),
        (_FULL, _PRESENT, _PRESENT),
    ],
)
def test_a_view_shows_what_it_names_and_no_more(
    ledger: LedgerServiceStub, view: ledger_pb2.EntryView.ValueType, event: int, personal: int
) -> None:
    entry = ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=2, view=view)).entry

    assert (entry.event.state, entry.personal.state) == (event, personal)
    for section in (entry.event, entry.personal):
        assert bool(section.content) == bool(section.salt) == (section.state == _PRESENT)


def test_an_entry_without_a_personal_section_says_so(ledger: LedgerServiceStub) -> None:
    entry = ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=3, view=_FULL)).entry

    assert entry.personal.state == proof_pb2.SECTION_STATE_NONE


def test_entries_come_in_the_order_asked_for_repeats_included(ledger: LedgerServiceStub) -> None:
    wanted = [7, 3, 9, 9, 0]

    answer = ledger.BatchGetEntries(ledger_pb2.BatchGetEntriesRequest(log="default", leaf_indexes=wanted, view=_EVENT))

    assert [entry.leaf_index for entry in answer.entries] == wanted
    assert answer.answered == 5


def test_a_list_that_does_not_fit_into_one_answer_is_answered_in_part(tmp_path: Path) -> None:
    with live_server(tmp_path / "data") as server:
        ledger = server.ledger()
        first = _append_large(ledger, 70)
        wanted = list(range(first, first + 70))
        got: list[int] = []
        while len(got) < 70:
            answer = ledger.BatchGetEntries(
                ledger_pb2.BatchGetEntriesRequest(log="default", leaf_indexes=wanted[len(got) :], view=_FULL)
            )
            assert 0 < answer.answered == len(answer.entries) < 70
            assert answer.ByteSize() <= 3_500_000
            got += [entry.leaf_index for entry in answer.entries]
        streamed = list(
            ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", begin=first, end=first + 70, view=_FULL))
        )

    assert got == wanted
    assert [entry.leaf_index for message in streamed for entry in message.entries] == wanted
    assert max(message.ByteSize() for message in streamed) <= 3_500_000


def _append_large(ledger: LedgerServiceStub, count: int) -> int:
    """Append events with the largest personal section, and return the first index."""
    from ledger.events.codec import encode_personal
    from ledger.events.event import MetadataEntry, Original, PersonalData

    personal = encode_personal(
        PersonalData(
            metadata=tuple(MetadataEntry(f"k{n:02}", "x" * 2000) for n in range(13)),
            original=Original(media_type="application/json", content=bytes(32_768)),
        )
    )
    indexes = []
    for start in range(0, count, 35):
        sections = [
            ledger_pb2.EventSections(event=new_sections().event, personal=personal)
            for _ in range(min(35, count - start))
        ]
        answer = ledger.AppendBatch(ledger_pb2.AppendBatchRequest(log="default", sections=sections))
        indexes += [ack.leaf_index for ack in answer.acknowledgements]
    return indexes[0]


# Streams


def test_a_range_is_streamed_whole_and_in_order(ledger: LedgerServiceStub) -> None:
    messages = list(ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", begin=10, end=60)))

    assert [entry.leaf_index for message in messages for entry in message.entries] == list(range(10, 60))


def test_without_an_end_a_stream_ends_at_the_size_of_the_call(ledger: LedgerServiceStub) -> None:
    size = _size(ledger)

    messages = list(ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default")))

    assert sum(len(message.entries) for message in messages) == size


@pytest.mark.parametrize("at", ["size", "end"])
def test_an_empty_range_is_an_empty_stream(ledger: LedgerServiceStub, at: str) -> None:
    request = ledger_pb2.ReadEntriesRequest(log="default", begin=_size(ledger) if at == "size" else 5)
    if at == "end":
        request.end = 5

    assert list(ledger.ReadEntries(request)) == []


def test_a_stream_that_follows_shows_new_entries_as_they_come(ledger: LedgerServiceStub) -> None:
    begin = _size(ledger)
    stream = ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", begin=begin, follow=True), timeout=60)
    seen = []
    for _ in range(5):
        index = _append(ledger).leaf_index
        seen += [entry.leaf_index for entry in next(stream).entries]
        assert seen[-1] == index
    stream.cancel()

    assert seen == list(range(begin, begin + 5))


def test_a_stream_that_follows_to_an_end_ends_there(ledger: LedgerServiceStub) -> None:
    begin = _size(ledger)
    request = ledger_pb2.ReadEntriesRequest(log="default", begin=begin, end=begin + 2, follow=True)
    stream = ledger.ReadEntries(request, timeout=60)
    for _ in range(3):
        _append(ledger)

    assert [entry.leaf_index for message in stream for entry in message.entries] == [begin, begin + 1]


def test_a_credential_that_ends_stops_its_streams(server: LiveServer) -> None:
    key = _new_key(server, admin_pb2.ROLE_READER)
    request = ledger_pb2.ReadEntriesRequest(log="default", begin=0, view=_EVENT, follow=True)
    stream = server.ledger(key.secret).ReadEntries(request, timeout=60)
    next(stream)

    server.admin().RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="default", key_id=key.api_key.key_id))

    assert failure(lambda: stream).code is grpc.StatusCode.UNAUTHENTICATED


# Personal data


def test_showing_personal_data_leaves_an_entry_that_names_who_and_what(
    server: LiveServer, ledger: LedgerServiceStub
) -> None:
    key = _new_key(server, admin_pb2.ROLE_AUDITOR, personal=True)
    auditor = server.ledger(key.secret)
    begin = _size(ledger)

    auditor.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=2, view=_FULL))
    auditor.BatchGetEntries(
        ledger_pb2.BatchGetEntriesRequest(log="default", leaf_indexes=[10, 2, 4, 6, 8, 3], view=_FULL)
    )
    list(auditor.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", begin=4, end=20, view=_FULL)))

    entries = [
        read_event(entry.event.content)
        for message in ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", begin=begin, view=_EVENT))
        for entry in message.entries
    ]
    assert [event.action for event in entries] == ["ledger.personal.read"] * 4
    for event in entries:
        metadata = {entry.key: entry.value for entry in event.metadata}
        assert metadata.pop("credential_id") == key.api_key.key_id
        assert metadata.pop("principal") == key.api_key.principal.hex()
    told = [
        {entry.key: entry.value for entry in event.metadata if entry.key not in {"credential_id", "principal"}}
        for event in entries
    ]
    assert told == [
        {"count": 1, "leaf_indexes_1": "2"},
        {"count": 5, "leaf_indexes_1": "2,4,6,8,10"},
        {"begin": 4, "end": 20, "shown_before": 0},
        {"begin": 20, "end": 20, "shown_before": 8},
    ]


def test_a_view_of_entries_without_personal_data_leaves_no_entry(ledger: LedgerServiceStub) -> None:
    size = _size(ledger)

    ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=3, view=_FULL))
    ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=2, view=_EVENT))

    assert _size(ledger) == size


def test_a_long_stream_of_personal_data_leaves_an_entry_a_minute_and_one_at_its_end(tmp_path: Path) -> None:
    clock = ManualClock()
    with live_server(tmp_path / "data", clock=clock) as server:
        ledger = server.ledger()
        first = _append(ledger).leaf_index
        request = ledger_pb2.ReadEntriesRequest(log="default", begin=first, view=_FULL, follow=True)
        stream = ledger.ReadEntries(request, timeout=60)
        for number, seconds in enumerate((0, 0, 61, 0)):
            clock.advance(seconds * 1_000_000)
            if number:
                _append(ledger)
            while not any(entry.personal.state == _PRESENT for entry in next(stream).entries):
                pass
        stream.cancel()
        actions: list[str] = []
        for message in ledger.ReadEntries(
            ledger_pb2.ReadEntriesRequest(log="default", begin=first, view=_EVENT, follow=True), timeout=60
        ):
            actions += [read_event(entry.event.content).action for entry in message.entries]
            if actions.count("ledger.personal.read") == 3:
                break

    assert actions.count("user.role.updated") == 4
    assert actions[-1] == "ledger.personal.read"


def test_personal_data_is_not_shown_where_that_cannot_be_recorded(tmp_path: Path) -> None:
    with live_server(tmp_path / "data") as server:
        ledger = server.ledger()
        index = _append(ledger).leaf_index
        server.publication.on_mismatch("default", "a test says so")

        for ask in (
            lambda: ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=index, view=_FULL)),
            lambda: ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", view=_FULL)),
        ):
            assert failure(ask).reason == "LOG_READ_ONLY"
        ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=index, view=_EVENT))


# Proofs


def test_proofs_lead_to_the_checkpoint_that_comes_with_them(ledger: LedgerServiceStub) -> None:
    leaves = [
        hash_leaf(entry.leaf)
        for message in ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", end=50))
        for entry in message.entries
    ]
    for size in (37, 50):
        inclusion = ledger.GetInclusionProof(
            ledger_pb2.GetInclusionProofRequest(log="default", leaf_hash=leaves[20], tree_size=size)
        )
        root = inclusion.checkpoint.root_hash
        assert (inclusion.inclusion_proof.leaf_index, inclusion.checkpoint.tree_size) == (20, size)
        assert hash_leaf(inclusion.leaf) == leaves[20]
        verify_inclusion(leaves[20], 20, size, root, list(inclusion.inclusion_proof.hashes))
        batch = ledger.BatchGetInclusionProof(
            ledger_pb2.BatchGetInclusionProofRequest(log="default", leaf_indexes=[0, 5, 36], tree_size=size)
        )
        verify_batch_inclusion(
            [(index, leaves[index]) for index in (0, 5, 36)], size, root, list(batch.inclusion_proof.hashes)
        )
        whole = ledger.GetRangeProof(ledger_pb2.GetRangeProofRequest(log="default", begin=7, end=30, tree_size=size))
        verify_range(7, leaves[7:30], size, root, list(whole.range_proof.hashes))


def test_two_checkpoints_are_connected_by_a_consistency_proof(ledger: LedgerServiceStub) -> None:
    old = ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default", tree_size=37)).checkpoint

    separate = ledger.GetConsistencyProof(ledger_pb2.GetConsistencyProofRequest(log="default", first_size=37))
    together = ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default", consistent_from=37))

    for answer in (separate, together):
        new, proof = answer.checkpoint, answer.consistency_proof
        assert (proof.first_size, proof.second_size) == (37, new.tree_size)
        verify_consistency(37, old.root_hash, new.tree_size, new.root_hash, list(proof.hashes))


def test_a_leaf_is_shown_with_its_proof_only_to_those_who_may_read_leaves(server: LiveServer) -> None:
    request = ledger_pb2.GetInclusionProofRequest(log="default", leaf_index=5)
    writer = server.ledger(_new_key(server, admin_pb2.ROLE_WRITER).secret)
    verifier = server.ledger(_new_key(server, admin_pb2.ROLE_VERIFIER).secret)

    assert writer.GetInclusionProof(request).leaf == b""
    assert verifier.GetInclusionProof(request).leaf != b""


# Published heads


def _published(**fields: int) -> ledger_pb2.GetCheckpointRequest:
    return ledger_pb2.GetCheckpointRequest(log="default", kind=ledger_pb2.HEAD_KIND_PUBLISHED, **fields)


def test_the_published_head_is_what_was_recomputed(server: LiveServer, ledger: LedgerServiceStub) -> None:
    server.publication.publish("default", 40)

    answer = ledger.GetCheckpoint(_published(consistent_from=7))

    committed = ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default", tree_size=40)).checkpoint
    assert answer.checkpoint == committed
    assert answer.consistency_proof.second_size == 40
    assert ledger.GetCheckpoint(_published(tree_size=12)).checkpoint.tree_size == 12
    assert server.admin().GetLog(admin_pb2.GetLogRequest(name="default")).log.published_size == 40


def test_a_size_that_is_committed_but_not_published_is_out_of_range(
    server: LiveServer, ledger: LedgerServiceStub
) -> None:
    server.publication.publish("default", 40)

    refused = failure(lambda: ledger.GetCheckpoint(_published(tree_size=41)))

    assert (refused.code, refused.reason) == (grpc.StatusCode.OUT_OF_RANGE, "INDEX_BEYOND_TREE")


def test_a_published_size_can_be_waited_for(server: LiveServer, ledger: LedgerServiceStub) -> None:
    server.publication.publish("default", 40)
    waiting = ledger.GetCheckpoint.future(_published(at_least=45), timeout=60)
    server.publication.publish("default", 44)
    server.publication.publish("default", 46)

    assert waiting.result().checkpoint.tree_size == 46


def test_a_published_size_that_does_not_come_in_time_is_told(server: LiveServer, ledger: LedgerServiceStub) -> None:
    server.publication.publish("default", 40)

    refused = failure(lambda: ledger.GetCheckpoint(_published(at_least=1_000_000), timeout=0.3))

    assert refused.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


# Verification


def test_an_entry_is_verified_from_its_stored_bytes_against_a_named_checkpoint(ledger: LedgerServiceStub) -> None:
    event = new_event()
    index = _append(ledger, event_id=event.event_id).leaf_index

    answer = ledger.VerifyEntry(ledger_pb2.VerifyEntryRequest(log="default", event_id=event.event_id))

    assert (answer.verdict, answer.leaf_index) == (ledger_pb2.VERDICT_VERIFIED, index)
    assert all(check.passed for check in answer.checks)
    assert answer.checkpoint.tree_size == _size(ledger)


@pytest.mark.parametrize(
    ("table", "offset", "check"),
    [
        ("leaves", 60, "inclusion"),
        ("event_sections", 20, "event section"),
        ("personal_sections", 20, "personal section"),
        ("personal_sections", 3, "personal section"),
    ],
)
def test_verification_fails_after_one_byte_is_changed_in_the_database(
    tmp_path: Path, table: str, offset: int, check: str
) -> None:
    with live_server(tmp_path / "data") as server:
        ledger = server.ledger()
        index = _append(ledger).leaf_index
        _append(ledger)
        request = ledger_pb2.VerifyEntryRequest(log="default", leaf_index=index)
        assert ledger.VerifyEntry(request).verdict == ledger_pb2.VERDICT_VERIFIED

        flip_byte(tmp_path / "data" / "logs" / "default" / "store.1", table, index_key(index), offset)

        answer = ledger.VerifyEntry(request)
        assert answer.verdict == ledger_pb2.VERDICT_FAILED
        assert check in {found.name for found in answer.checks if not found.passed}
        refused = failure(
            lambda: ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=index, view=_FULL))
        )
        assert (refused.code, refused.reason) == (grpc.StatusCode.DATA_LOSS, "LOG_CORRUPTED")
        assert refused.metadata["leafIndex"] == str(index)


# Read-only logs, health and metrics


def _fetch(server: LiveServer, path: str) -> str:
    with urllib.request.urlopen(f"http://{server.http_address}{path}", timeout=30) as answer:
        body: bytes = answer.read()
    return body.decode()


def test_calls_and_sizes_are_counted(server: LiveServer, ledger: LedgerServiceStub) -> None:
    size = _append(ledger).leaf_index + 1

    text = _fetch(server, "/metrics")

    assert f'logproof_tree_size_entries{{log="default"}} {float(size)}' in text
    assert 'logproof_rpc_duration_seconds_count{code="OK",method="ledger.v1.LedgerService/Append"}' in text


def test_a_log_that_does_not_add_up_goes_read_only_and_says_so_everywhere(tmp_path: Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

    with live_server(tmp_path / "data", http=True) as server:
        ledger = server.ledger()
        index = _append(ledger).leaf_index
        watch = health_pb2_grpc.HealthStub(server.channel()).Watch(
            health_pb2.HealthCheckRequest(service="ledger.v1.LedgerService"), timeout=60
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING

        server.publication.on_mismatch("default", "a test says so")

        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        refused = failure(lambda: _append(ledger))
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LOG_READ_ONLY")
        log = server.admin().GetLog(admin_pb2.GetLogRequest(name="default")).log
        assert log.state == admin_pb2.LOG_STATE_READ_ONLY
        assert "a test says so" in log.state_reason
        assert _fetch(server, "/healthz") == "serving; not every log takes appends\n"
        assert 'logproof_log_read_only{log="default"} 1.0' in _fetch(server, "/metrics")
        ledger.VerifyEntry(ledger_pb2.VerifyEntryRequest(log="default", leaf_index=index))
        server.admin().CreateLog(admin_pb2.CreateLogRequest(name="other"))
        other = ledger_pb2.AppendRequest(log="other", sections=new_sections())
        assert ledger.Append(other).acknowledgement.leaf
