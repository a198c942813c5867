"""Who may call what: every role on every method, with every cell asserted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from ledger.auth.api_keys import make_api_key
from ledger.rpc.admin_service import ADMIN_SERVICE
from ledger.rpc.ledger_service import LEDGER_SERVICE
from ledger.rpc.query_service import QUERY_SERVICE
from ledger.rpc.rules import method_names
from ledger.v1 import admin_pb2, ledger_pb2, query_pb2
from ledger.v1.admin_pb2_grpc import AdminServiceStub
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from ledger.v1.query_pb2_grpc import QueryServiceStub
from tests.support.calls import Failure, failure, new_sections, told
from tests.support.live_server import LiveServer

_DENIED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


@dataclass(frozen=True)
class Clients:
    """Clients with one key, or none."""

    ledger: LedgerServiceStub
    admin: AdminServiceStub
    query: QueryServiceStub


Method = Callable[[Clients, str], Any]
"""Makes a call on a log that succeeds for whoever may make it, or fails for another reason than that."""


def _stream(clients: Clients, log: str) -> Any:
    request = ledger_pb2.AppendStreamRequest(log=log, sections=new_sections())
    return list(clients.ledger.AppendStream(iter([request])))


def _view(view: ledger_pb2.EntryView.ValueType) -> Method:
    return lambda c, log: c.ledger.GetEntry(ledger_pb2.GetEntryRequest(log=log, leaf_index=0, view=view))


def _batch_view(view: ledger_pb2.EntryView.ValueType) -> Method:
    return lambda c, log: c.ledger.BatchGetEntries(
        ledger_pb2.BatchGetEntriesRequest(log=log, leaf_indexes=[0], view=view)
    )


def _stream_view(view: ledger_pb2.EntryView.ValueType) -> Method:
    return lambda c, log: list(c.ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log=log, view=view)))


_LEAF, _EVENT, _FULL = ledger_pb2.ENTRY_VIEW_LEAF, ledger_pb2.ENTRY_VIEW_EVENT, ledger_pb2.ENTRY_VIEW_FULL


def _query(view: ledger_pb2.EntryView.ValueType, text: str = "") -> Method:
    return lambda c, log: c.query.QueryEvents(
        query_pb2.QueryEventsRequest(log=log, filter=query_pb2.EventFilter(text=text), view=view)
    )


_METHODS: dict[str, Method] = {
    "GetServerInfo": lambda c, _: c.ledger.GetServerInfo(ledger_pb2.GetServerInfoRequest()),
    "Append": lambda c, log: c.ledger.Append(ledger_pb2.AppendRequest(log=log, sections=new_sections())),
    "AppendBatch": lambda c, log: c.ledger.AppendBatch(
        ledger_pb2.AppendBatchRequest(log=log, sections=[new_sections()])
    ),
    "AppendStream": _stream,
    "GetEntry leaf": _view(_LEAF),
    "GetEntry event": _view(_EVENT),
    "GetEntry full": _view(_FULL),
    "BatchGetEntries leaf": _batch_view(_LEAF),
    "BatchGetEntries event": _batch_view(_EVENT),
    "BatchGetEntries full": _batch_view(_FULL),
    "ReadEntries leaf": _stream_view(_LEAF),
    "ReadEntries event": _stream_view(_EVENT),
    "ReadEntries full": _stream_view(_FULL),
    "GetCheckpoint": lambda c, log: c.ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log=log)),
    "GetInclusionProof": lambda c, log: c.ledger.GetInclusionProof(
        ledger_pb2.GetInclusionProofRequest(log=log, leaf_index=0)
    ),
    "BatchGetInclusionProof": lambda c, log: c.ledger.BatchGetInclusionProof(
        ledger_pb2.BatchGetInclusionProofRequest(log=log, leaf_indexes=[0])
    ),
    "GetRangeProof": lambda c, log: c.ledger.GetRangeProof(ledger_pb2.GetRangeProofRequest(log=log, begin=0, end=1)),
    "GetConsistencyProof": lambda c, log: c.ledger.GetConsistencyProof(
        ledger_pb2.GetConsistencyProofRequest(log=log, first_size=1)
    ),
    "VerifyEntry": lambda c, log: c.ledger.VerifyEntry(ledger_pb2.VerifyEntryRequest(log=log, leaf_index=0)),
    "QueryEvents leaf": _query(_LEAF),
    "QueryEvents event": _query(_EVENT),
    "QueryEvents full": _query(_FULL),
    "QueryEvents by address": _query(_EVENT, "ip:*"),
    "CountEvents": lambda c, log: c.query.CountEvents(query_pb2.CountEventsRequest(log=log)),
    "CountEvents by address": lambda c, log: c.query.CountEvents(
        query_pb2.CountEventsRequest(log=log, group_by="request.ip")
    ),
    "CreateLog": lambda c, _: c.admin.CreateLog(admin_pb2.CreateLogRequest(name="default")),
    # Refused for its reason, once it is permitted.
    "RetireLog": lambda c, log: c.admin.RetireLog(admin_pb2.RetireLogRequest(name=log)),
    "ListLogs": lambda c, _: c.admin.ListLogs(admin_pb2.ListLogsRequest()),
    "GetLog": lambda c, log: c.admin.GetLog(admin_pb2.GetLogRequest(name=log)),
    "CreateApiKey": lambda c, log: c.admin.CreateApiKey(admin_pb2.CreateApiKeyRequest(log=log)),
    "ListApiKeys": lambda c, log: c.admin.ListApiKeys(admin_pb2.ListApiKeysRequest(log=log)),
    "RotateApiKey": lambda c, log: c.admin.RotateApiKey(admin_pb2.RotateApiKeyRequest(log=log, key_id="none")),
    "RevokeApiKey": lambda c, log: c.admin.RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log=log, key_id="none")),
    "ConfirmClock": lambda c, log: c.admin.ConfirmClock(admin_pb2.ConfirmClockRequest(log=log)),
}

_ANYONE = {"GetServerInfo", "ListLogs", "GetLog"}
_PROOFS = {"GetCheckpoint", "GetInclusionProof", "BatchGetInclusionProof", "GetRangeProof", "GetConsistencyProof"}
_EVERY_ROLE = _ANYONE | _PROOFS
_APPENDS = {"Append", "AppendBatch", "AppendStream"}
_LEAVES = {"GetEntry leaf", "BatchGetEntries leaf", "ReadEntries leaf", "VerifyEntry"}
_EVENTS = {
    "GetEntry event",
    "BatchGetEntries event",
    "ReadEntries event",
    # To be found by what it says tells what an event says, whatever is shown.
    "QueryEvents leaf",
    "QueryEvents event",
    "CountEvents",
}
_PERSONAL = {
    "GetEntry full",
    "BatchGetEntries full",
    "ReadEntries full",
    "QueryEvents full",
    "QueryEvents by address",
    "CountEvents by address",
}
_ADMINISTRATION = {"RetireLog", "CreateApiKey", "ListApiKeys", "RotateApiKey", "RevokeApiKey", "ConfirmClock"}
_ALLOWED: dict[str, set[str]] = {
    "writer": _EVERY_ROLE | _APPENDS,
    "verifier": _EVERY_ROLE | _LEAVES,
    "reader": _EVERY_ROLE | _LEAVES | _EVENTS,
    "reader with personal": _EVERY_ROLE | _LEAVES | _EVENTS | _PERSONAL,
    "auditor": _EVERY_ROLE | _LEAVES | _EVENTS,
    "auditor with personal": _EVERY_ROLE | _LEAVES | _EVENTS | _PERSONAL,
    "admin": _EVERY_ROLE | _ADMINISTRATION,
    "server administrator": set(_METHODS),
    "admin of another log": {"GetServerInfo", "ListLogs"},
    "nobody": set(),
    "unknown key": set(),
    "revoked key": set(),
}
_ROLES = {
    "writer": admin_pb2.ROLE_WRITER,
    "verifier": admin_pb2.ROLE_VERIFIER,
    "reader": admin_pb2.ROLE_READER,
    "auditor": admin_pb2.ROLE_AUDITOR,
    "admin": admin_pb2.ROLE_ADMIN,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path_factory.mktemp("access") / "data")
    live.admin().CreateLog(admin_pb2.CreateLogRequest(name="other"))
    yield live
    live.stop()


def _new_key(server: LiveServer, who: str, log: str = "default") -> admin_pb2.CreateApiKeyResponse:
    role = _ROLES[who.removesuffix(" with personal")]
    request = admin_pb2.CreateApiKeyRequest(
        log=log, label=who, roles=[role], personal=who.endswith(" with personal"), expires_in_days=1
    )
    return server.admin().CreateApiKey(request)


@pytest.fixture(scope="module")
def clients(server: LiveServer) -> dict[str, Clients]:
    keys: dict[str, str] = {
        who: _new_key(server, who).secret for who in _ALLOWED if who.removesuffix(" with personal") in _ROLES
    }
    keys["server administrator"] = server.admin_key
    keys["admin of another log"] = _new_key(server, "admin", "other").secret
    keys["unknown key"] = make_api_key("default", bytes(40)).format()
    revoked = _new_key(server, "reader")
    # Used once, so that the server has seen it as good.
    server.ledger(revoked.secret).GetServerInfo(ledger_pb2.GetServerInfoRequest())
    server.admin().RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="default", key_id=revoked.api_key.key_id))
    keys["revoked key"] = revoked.secret
    channel = server.channel()
    made = {who: Clients(server.ledger(key), server.admin(key), server.query(key)) for who, key in keys.items()}
    return made | {"nobody": Clients(LedgerServiceStub(channel), AdminServiceStub(channel), QueryServiceStub(channel))}


def _outcome(call: Callable[[], Any]) -> Failure | None:
    try:
        call()
    except grpc.RpcError as error:
        return told(error)
    return None


def test_the_matrix_has_every_method() -> None:
    names = {
        name.partition("/")[2]
        for service in (LEDGER_SERVICE, QUERY_SERVICE, ADMIN_SERVICE)
        for name in method_names(service)
    }

    assert {name.partition(" ")[0] for name in _METHODS} == names


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize("who", _ALLOWED)
def test_a_role_may_call_what_it_allows_and_nothing_else(clients: dict[str, Clients], who: str, method: str) -> None:
    outcome = _outcome(lambda: _METHODS[method](clients[who], "default"))

    if method in _ALLOWED[who]:
        assert outcome is None or outcome.code not in _DENIED
    else:
        assert outcome is not None
        if who in {"nobody", "unknown key", "revoked key"}:
            assert (outcome.code, outcome.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
        else:
            assert (outcome.code, outcome.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING")


@pytest.mark.parametrize(
    "method", [name for name in _METHODS if name not in {"GetServerInfo", "ListLogs", "CreateLog"}]
)
def test_s50_a_key_of_one_log_is_denied_on_another_the_same_whether_that_log_exists_or_not(
    clients: dict[str, Clients], method: str
) -> None:
    stranger = clients["admin of another log"]

    on_existing = failure(lambda: _METHODS[method](stranger, "default"))
    on_missing = failure(lambda: _METHODS[method](stranger, "no-such-log"))

    assert on_existing == on_missing
    assert on_existing.code is grpc.StatusCode.PERMISSION_DENIED
    assert "default" not in on_existing.message


def test_s50_the_logs_that_a_key_is_shown_are_its_own(clients: dict[str, Clients]) -> None:
    def names(who: str) -> list[str]:
        return [log.name for log in clients[who].admin.ListLogs(admin_pb2.ListLogsRequest()).logs]

    assert names("reader") == ["default"]
    assert names("admin of another log") == ["other"]
    assert names("server administrator") == ["_system", "default", "other"]


def test_a_server_administrator_is_told_that_a_log_does_not_exist(clients: dict[str, Clients]) -> None:
    refused = failure(lambda: _METHODS["GetLog"](clients["server administrator"], "no-such-log"))

    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "LOG_NOT_FOUND")
    assert refused.metadata["log"] == "no-such-log"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer lp_default",
        "Basic dXNlcjpwYXNz",
        "lp_default_000000000000_" + "0" * 49,
        "Bearer " + make_api_key("no-such-log", bytes(40)).format(),
        "Bearer " + make_api_key("_system", bytes(40)).format(),
        "Bearer " + make_api_key("default", bytes(40)).format()[:-1] + "x",
    ],
)
def test_every_bad_credential_is_refused_in_the_same_words(server: LiveServer, value: str) -> None:
    stub = LedgerServiceStub(server.channel())
    request = ledger_pb2.GetServerInfoRequest()

    without = failure(lambda: stub.GetServerInfo(request))
    bad = failure(lambda: stub.GetServerInfo(request, metadata=(("authorization", value),)))

    assert bad == without
    assert bad.code is grpc.StatusCode.UNAUTHENTICATED


def test_the_scheme_of_a_credential_may_be_written_in_any_case(server: LiveServer) -> None:
    stub = LedgerServiceStub(server.channel())

    stub.GetServerInfo(ledger_pb2.GetServerInfoRequest(), metadata=(("authorization", f"bearer {server.admin_key}"),))


def test_a_message_of_an_unknown_caller_is_not_read(server: LiveServer) -> None:
    garbage: grpc.UnaryUnaryMultiCallable[bytes, bytes] = server.channel().unary_unary(
        "/ledger.v1.LedgerService/Append"
    )

    refused = failure(lambda: garbage(b"\xff" * 4_000_000))

    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


def test_a_stream_of_an_unknown_caller_is_refused_before_its_first_message(server: LiveServer) -> None:
    silent = LedgerServiceStub(server.channel())
    closed = threading.Event()

    def never() -> Iterator[ledger_pb2.AppendStreamRequest]:
        closed.wait()
        yield from ()

    refused = failure(lambda: silent.AppendStream(never(), timeout=30))
    closed.set()

    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


def test_health_needs_no_credential_and_tells_a_status(server: LiveServer) -> None:
    stub = health_pb2_grpc.HealthStub(server.channel())
    serving = health_pb2.HealthCheckResponse.SERVING

    for service in ("", "ledger.v1.LedgerService"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == serving


@pytest.mark.parametrize(
    "method", ["/ledger.v1.LedgerService/Forge", "/other.Service/Method", "/grpc.reflection.v1.X/Y"]
)
def test_a_method_that_does_not_exist_is_unimplemented(server: LiveServer, method: str) -> None:
    nothing: grpc.UnaryUnaryMultiCallable[bytes, bytes] = server.channel().unary_unary(method)

    refused = failure(lambda: nothing(b""))

    assert refused.code is grpc.StatusCode.UNIMPLEMENTED


def test_a_revoked_key_appends_nothing_from_the_moment_the_revocation_returns(server: LiveServer) -> None:
    key = _new_key(server, "writer")
    writer = server.ledger(key.secret)
    request = ledger_pb2.AppendRequest(log="default", sections=new_sections())
    before = writer.Append(request).acknowledgement.leaf_index

    server.admin().RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="default", key_id=key.api_key.key_id))

    assert failure(lambda: writer.Append(request)).code is grpc.StatusCode.UNAUTHENTICATED
    size = server.ledger().GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint.tree_size
    assert size == before + 2
