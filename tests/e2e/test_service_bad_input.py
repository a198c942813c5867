"""Bad input: each case has its documented status and reason, names its field, and leaves no trace in the log."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from ledger.events.event import MetadataEntry
from ledger.v1 import admin_pb2, ledger_pb2
from ledger.v1.admin_pb2_grpc import AdminServiceStub
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import Failure, failure, new_sections
from tests.support.live_server import LiveServer

_INVALID, _BEYOND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE
_NOT_FOUND = grpc.StatusCode.NOT_FOUND
_HUGE = 1 << 63


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path_factory.mktemp("input") / "data")
    yield live
    live.stop()


@pytest.fixture(scope="module")
def ledger(server: LiveServer) -> LedgerServiceStub:
    return server.ledger()


@pytest.fixture(scope="module")
def admin(server: LiveServer) -> AdminServiceStub:
    return server.admin()


@pytest.fixture(autouse=True)
def nothing_is_appended(ledger: LedgerServiceStub) -> Iterator[None]:
    def size() -> int:
        return ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint.tree_size

    before = size()
    yield
    assert size() == before


def _append(sections: ledger_pb2.EventSections, **options: int) -> ledger_pb2.AppendRequest:
    return ledger_pb2.AppendRequest(
        log="default",
        sections=sections,
        options=ledger_pb2.AppendOptions(**options),  # type: ignore[arg-type]
    )


def _damaged(change: Callable[[bytes], bytes]) -> ledger_pb2.EventSections:
    good = new_sections(event_id="event-1")
    return ledger_pb2.EventSections(event=change(good.event), personal=good.personal)


# Events


_BAD_EVENTS: dict[str, tuple[ledger_pb2.EventSections, str]] = {
    "none": (ledger_pb2.EventSections(), "event"),
    "garbage": (ledger_pb2.EventSections(event=b"\xff\xff"), "event"),
    "cut short": (_damaged(lambda event: event[:-1]), "event"),
    "unknown field": (_damaged(lambda event: event + b"\xa8\x06\x01"), "event"),
    "invalid UTF-8": (_damaged(lambda event: event.replace(b"event-1", b"ev\xff\xfet1")), "event.event_id"),
    "field twice": (_damaged(lambda event: event + b"\x38\x01"), "event.outcome"),
    "unknown enum": (new_sections(outcome=99), "event.outcome"),
    "malformed action": (new_sections(action="Not An Action"), "event.action"),
    "no action": (new_sections(action=""), "event.action"),
    "reserved action": (new_sections(action="ledger.key.created"), "event.action"),
    "long action": (new_sections(action="a" * 64 + "." + "b" * 64), "event.action"),
    "no event id": (new_sections(event_id=""), "event.event_id"),
    "event id with space": (new_sections(event_id="with space"), "event.event_id"),
    "long event id": (new_sections(event_id="x" * 65), "event.event_id"),
    "reserved event id": (new_sections(event_id="ledger-1"), "event.event_id"),
    "no time": (new_sections(occurred_at=0), "event.occurred_at"),
    "metadata key": (new_sections(metadata=(MetadataEntry("bad key", "x"),)), "event.metadata[0].key"),
    "metadata key twice": (
        new_sections(metadata=(MetadataEntry("a", "x"), MetadataEntry("a", "y"))),
        "event.metadata[1].key",
    ),
    "metadata value": (new_sections(metadata=(MetadataEntry("a", "x" * 2049),)), "event.metadata[0].value"),
    "metadata keys": (
        new_sections(metadata=tuple(MetadataEntry(f"k{n:03}", "x") for n in range(65))),
        "event.metadata",
    ),
}


@pytest.mark.parametrize("case", _BAD_EVENTS)
def test_a_bad_event_is_refused_with_its_field(ledger: LedgerServiceStub, case: str) -> None:
    sections, field = _BAD_EVENTS[case]

    refused = failure(lambda: ledger.Append(_append(sections)))

    assert (refused.code, refused.reason) == (_INVALID, "EVENT_INVALID")
    assert any(found == field or found.startswith(f"{field}.") for found in refused.fields), refused.fields
    assert all(refused.fields.values())


def test_an_event_of_a_newer_schema_is_refused_as_such(ledger: LedgerServiceStub) -> None:
    refused = failure(lambda: ledger.Append(_append(new_sections(schema=2))))

    assert (refused.code, refused.reason) == (_INVALID, "SCHEMA_NEWER")


@pytest.mark.parametrize(
    "sections",
    [
        ledger_pb2.EventSections(event=bytes(32_769)),
        ledger_pb2.EventSections(event=new_sections().event, personal=bytes(61_441)),
    ],
    ids=["event", "personal"],
)
def test_an_event_above_its_limit_is_refused_with_size_and_limit(
    ledger: LedgerServiceStub, sections: ledger_pb2.EventSections
) -> None:
    refused = failure(lambda: ledger.Append(_append(sections)))

    assert (refused.code, refused.reason) == (_INVALID, "EVENT_TOO_LARGE")
    assert any(limit in refused.message for limit in ("32768", "61440"))


# Batches


def _batch(sections: list[ledger_pb2.EventSections]) -> ledger_pb2.AppendBatchRequest:
    return ledger_pb2.AppendBatchRequest(log="default", sections=sections)


def test_an_empty_batch_is_refused(ledger: LedgerServiceStub) -> None:
    refused = failure(lambda: ledger.AppendBatch(_batch([])))

    assert (refused.code, refused.reason) == (_INVALID, "REQUEST_INVALID")
    assert "sections" in refused.fields


def test_a_batch_of_too_many_events_is_refused(ledger: LedgerServiceStub) -> None:
    refused = failure(lambda: ledger.AppendBatch(_batch([new_sections(personal=False)] * 1001)))

    assert (refused.code, refused.reason) == (_INVALID, "BATCH_TOO_LARGE")
    assert refused.metadata["events"] == "1001"


def test_a_batch_of_too_many_bytes_is_refused_by_us_and_not_by_the_transport(ledger: LedgerServiceStub) -> None:
    big = ledger_pb2.EventSections(event=bytes(32_768), personal=bytes(61_440))

    refused = failure(lambda: ledger.AppendBatch(_batch([big] * 50)))

    assert (refused.code, refused.reason) == (_INVALID, "BATCH_TOO_LARGE")
    assert refused.metadata == {
        "bytes": str(50 * 94_208),
        "maxBytes": str(4 * 1024 * 1024),
        "hint": "send it in parts",
    }


def test_a_batch_with_bad_events_tells_all_of_them_and_appends_none(ledger: LedgerServiceStub) -> None:
    sections = [new_sections() for _ in range(10)]
    sections[3] = new_sections(action="Bad")
    sections[7] = ledger_pb2.EventSections(event=bytes(40_000))

    refused = failure(lambda: ledger.AppendBatch(_batch(sections)))

    assert (refused.code, refused.reason) == (_INVALID, "BATCH_INVALID")
    assert (refused.metadata["refused"], refused.metadata["batchSize"]) == ("2", "10")
    assert refused.metadata["bitmap"] == "iAA="
    assert set(refused.fields) == {"sections[3].event.action", "sections[7]"}


def test_a_batch_in_which_everything_is_bad_still_answers(ledger: LedgerServiceStub) -> None:
    bad = [new_sections(action="Bad", event_id="", metadata=(MetadataEntry("ü" * 50, "x"),)) for _ in range(1000)]

    refused = failure(lambda: ledger.AppendBatch(_batch(bad)))

    assert (refused.reason, refused.metadata["refused"]) == ("BATCH_INVALID", "1000")
    assert 1 <= len(refused.fields) <= 20


# Requests


@dataclass(frozen=True)
class Ask:
    """A call of a method of LedgerService on the log `default`."""

    method: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.fields}"[:100]

    def __call__(self, ledger: LedgerServiceStub) -> object:
        request = getattr(ledger_pb2, f"{self.method}Request")(log="default", **self.fields)
        return getattr(ledger, self.method)(request)


def _ask(method: str, **fields: Any) -> Ask:
    return Ask(method, fields)


_HASH = bytes(32)
_TRUSTING = ledger_pb2.AppendOptions(trusted_tree_size=1_000_000)


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (_ask("GetEntry"), "entry"),
        (_ask("GetEntry", leaf_index=_HUGE), "leaf_index"),
        (_ask("GetEntry", event_id=""), "event_id"),
        (_ask("GetEntry", event_id="é"), "event_id"),
        (_ask("GetEntry", leaf_hash=b"short"), "leaf_hash"),
        (_ask("GetEntry", leaf_hash=b"x" * 33), "leaf_hash"),
        (_ask("GetEntry", leaf_index=0, view=99), "view"),
        (_ask("BatchGetEntries"), "leaf_indexes"),
        (_ask("BatchGetEntries", leaf_indexes=range(1001)), "leaf_indexes"),
        (_ask("BatchGetEntries", leaf_indexes=[0, _HUGE]), "leaf_indexes[1]"),
        (_ask("BatchGetEntries", leaf_indexes=[0], view=99), "view"),
        (_ask("ReadEntries", begin=2, end=1), "begin"),
        (_ask("ReadEntries", begin=_HUGE), "begin"),
        (_ask("ReadEntries", view=99), "view"),
        (_ask("GetCheckpoint", kind=99), "kind"),
        (_ask("GetCheckpoint", tree_size=_HUGE), "tree_size"),
        (_ask("GetCheckpoint", at_least=1), "at_least"),
        (_ask("GetCheckpoint", tree_size=1, consistent_from=2), "consistent_from"),
        (_ask("GetInclusionProof"), "entry"),
        (_ask("GetInclusionProof", leaf_hash=b"short"), "leaf_hash"),
        (_ask("GetInclusionProof", leaf_index=0, tree_size=_HUGE), "tree_size"),
        (_ask("BatchGetInclusionProof"), "leaf_indexes"),
        (_ask("BatchGetInclusionProof", leaf_indexes=range(1001)), "leaf_indexes"),
        (_ask("BatchGetInclusionProof", leaf_indexes=[1, 0]), "leaf_indexes[1]"),
        (_ask("BatchGetInclusionProof", leaf_indexes=[0, 0]), "leaf_indexes[1]"),
        (_ask("GetRangeProof"), "end"),
        (_ask("GetRangeProof", begin=1, end=1), "end"),
        (_ask("GetRangeProof", begin=0, end=_HUGE), "end"),
        (_ask("GetConsistencyProof"), "first_size"),
        (_ask("GetConsistencyProof", first_size=2, second_size=1), "first_size"),
        (_ask("GetConsistencyProof", first_size=1, second_size=_HUGE), "second_size"),
        (_ask("VerifyEntry"), "entry"),
        (_ask("VerifyEntry", event_id="x" * 65), "event_id"),
    ],
    ids=str,
)
def test_a_bad_field_is_named(ledger: LedgerServiceStub, ask: Ask, field: str) -> None:
    refused = failure(lambda: ask(ledger))

    assert (refused.code, refused.reason) == (_INVALID, "REQUEST_INVALID")
    assert field in refused.fields


def test_all_bad_fields_are_named_at_once(ledger: LedgerServiceStub) -> None:
    refused = failure(lambda: _ask("GetInclusionProof", leaf_hash=b"x", tree_size=_HUGE)(ledger))

    assert set(refused.fields) == {"leaf_hash", "tree_size"}


@pytest.mark.parametrize(
    "ask",
    [
        _ask("GetEntry", leaf_index=1_000_000),
        _ask("BatchGetEntries", leaf_indexes=[0, 1_000_000]),
        _ask("ReadEntries", begin=1_000_000),
        _ask("ReadEntries", end=1_000_000),
        _ask("GetCheckpoint", tree_size=1_000_000),
        _ask("GetCheckpoint", consistent_from=1_000_000),
        _ask("GetInclusionProof", leaf_index=1_000_000),
        _ask("GetInclusionProof", leaf_index=1, tree_size=1),
        _ask("GetInclusionProof", leaf_index=0, tree_size=1_000_000),
        _ask("BatchGetInclusionProof", leaf_indexes=[0, 1_000_000]),
        _ask("GetRangeProof", begin=0, end=1_000_000),
        _ask("GetRangeProof", begin=0, end=1, tree_size=1_000_000),
        _ask("GetConsistencyProof", first_size=1_000_000),
        _ask("GetConsistencyProof", first_size=1, second_size=1_000_000),
        _ask("VerifyEntry", leaf_index=1_000_000),
        _ask("Append", sections=new_sections(), options=_TRUSTING),
        _ask("AppendBatch", sections=[new_sections()], options=_TRUSTING),
    ],
    ids=str,
)
def test_what_is_beyond_the_tree_is_out_of_range(ledger: LedgerServiceStub, ask: Ask) -> None:
    refused = failure(lambda: ask(ledger))

    assert (refused.code, refused.reason) == (_BEYOND, "INDEX_BEYOND_TREE")
    assert {"treeSize", "secondSize"} & {*refused.metadata}


@pytest.mark.parametrize(
    "ask",
    [
        _ask("GetEntry", event_id="no-such-event"),
        _ask("GetEntry", leaf_hash=_HASH),
        _ask("GetInclusionProof", event_id="no-such-event"),
        _ask("GetInclusionProof", leaf_hash=_HASH),
        _ask("VerifyEntry", event_id="no-such-event"),
    ],
    ids=str,
)
def test_an_entry_that_is_not_there_is_not_found(ledger: LedgerServiceStub, ask: Ask) -> None:
    refused = failure(lambda: ask(ledger))

    assert (refused.code, refused.reason) == (_NOT_FOUND, "ENTRY_NOT_FOUND")


@pytest.mark.parametrize(
    ("ack_level", "code", "reason"),
    [
        (ledger_pb2.ACK_LEVEL_WITNESSED, grpc.StatusCode.UNIMPLEMENTED, "FEATURE_DISABLED"),
        (99, _INVALID, "REQUEST_INVALID"),
    ],
)
def test_a_level_that_cannot_be_waited_for_is_refused(
    ledger: LedgerServiceStub, ack_level: int, code: grpc.StatusCode, reason: str
) -> None:
    refused = failure(lambda: ledger.Append(_append(new_sections(), ack_level=ack_level)))

    assert (refused.code, refused.reason) == (code, reason)


def _raw(server: LiveServer, method: str, data: bytes) -> Failure:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = server.channel().unary_unary(method)
    return failure(lambda: call(data, metadata=(("authorization", f"Bearer {server.admin_key}"),)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xff\xff", "MALFORMED"),
        (b"\x0a\x02\xff\xfe", "MALFORMED"),
        (b"\x0a\x07default\xa8\x06\x01", "REQUEST_INVALID"),
    ],
    ids=["garbage", "not UTF-8", "unknown field"],
)
@pytest.mark.parametrize("method", ["Append", "AppendBatch", "GetEntry", "GetCheckpoint"])
def test_bytes_that_are_no_request_are_refused(server: LiveServer, method: str, data: bytes, reason: str) -> None:
    refused = _raw(server, f"/ledger.v1.LedgerService/{method}", data)

    assert (refused.code, refused.reason) == (_INVALID, reason)


def test_a_message_above_the_transport_limit_is_refused_by_the_transport(server: LiveServer) -> None:
    refused = _raw(server, "/ledger.v1.LedgerService/AppendBatch", bytes(5 * 1024 * 1024 + 1))

    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")


def test_metadata_above_its_limit_is_refused(server: LiveServer) -> None:
    stub = LedgerServiceStub(server.channel())

    refused = failure(
        lambda: stub.GetServerInfo(ledger_pb2.GetServerInfoRequest(), metadata=(("authorization", "x" * 9000),))
    )

    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 4096,
        b"\xff" * 4096,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x04\x00\x00\x00\x00\x00" + bytes(4096),
    ],
    ids=["zeros", "ones", "HTTP/1", "TLS", "preface and garbage", "frame without end"],
)
def test_garbage_on_the_port_ends_that_connection_and_no_other(
    server: LiveServer, ledger: LedgerServiceStub, garbage: bytes
) -> None:
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(garbage)
        try:
            while connection.recv(65_536):
                pass
        except ConnectionResetError:
            pass

    assert ledger.GetServerInfo(ledger_pb2.GetServerInfoRequest()).version


# Administration


@pytest.mark.parametrize("name", ["", "Default", "1log", "a" * 64, "a_b", "_system2", "a/b", "..", "ä"])
def test_a_bad_name_of_a_log_is_refused(admin: AdminServiceStub, name: str) -> None:
    refused = failure(lambda: admin.CreateLog(admin_pb2.CreateLogRequest(name=name)))

    assert (refused.code, refused.reason) == (_INVALID, "REQUEST_INVALID")
    assert "name" in refused.fields


@pytest.mark.parametrize("name", ["default", "_system"])
def test_a_log_that_exists_is_not_made_again(admin: AdminServiceStub, name: str) -> None:
    refused = failure(lambda: admin.CreateLog(admin_pb2.CreateLogRequest(name=name)))

    assert refused.reason in {"LOG_EXISTS", "REQUEST_INVALID"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "roles"),
        ({"roles": [99]}, "roles[0]"),
        ({"roles": [0]}, "roles[0]"),
        ({"roles": [1], "personal": True}, "personal"),
        ({"roles": [1], "expires_in_days": 3651}, "expires_in_days"),
        ({"roles": [1], "label": "x" * 129}, "label"),
        ({"roles": [1], "label": "a\nb"}, "label"),
        ({"roles": [1], "certificate_name": "with space"}, "certificate_name"),
    ],
)
def test_a_bad_field_of_a_new_key_is_named(admin: AdminServiceStub, fields: dict[str, Any], field: str) -> None:
    refused = failure(lambda: admin.CreateApiKey(admin_pb2.CreateApiKeyRequest(log="default", **fields)))

    assert (refused.code, refused.reason) == (_INVALID, "REQUEST_INVALID")
    assert field in refused.fields


def _change_key(admin: AdminServiceStub, key_id: str) -> list[Failure]:
    return [
        failure(lambda: admin.RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="default", key_id=key_id))),
        failure(lambda: admin.RotateApiKey(admin_pb2.RotateApiKeyRequest(log="default", key_id=key_id))),
    ]


def test_a_key_that_is_not_there_is_not_found(admin: AdminServiceStub) -> None:
    for refused in _change_key(admin, "none"):
        assert (refused.code, refused.reason) == (_NOT_FOUND, "API_KEY_NOT_FOUND")


@pytest.mark.parametrize("key_id", ["", "../../x", "key/x", "ä", "x" * 65])
def test_what_can_be_no_key_id_is_refused(admin: AdminServiceStub, key_id: str) -> None:
    for refused in _change_key(admin, key_id):
        assert (refused.code, refused.reason) == (_INVALID, "REQUEST_INVALID")
        assert "key_id" in refused.fields


def test_an_overlap_that_is_too_long_is_refused(admin: AdminServiceStub) -> None:
    request = admin_pb2.RotateApiKeyRequest(log="default", key_id="x", overlap_seconds=31 * 86_400)

    assert "overlap_seconds" in failure(lambda: admin.RotateApiKey(request)).fields
