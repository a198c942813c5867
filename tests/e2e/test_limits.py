"""The limits of calls and connections: what is refused, with which status, and that good clients go on meanwhile."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # type: ignore[import-untyped]

from ledger.auth.api_keys import make_api_key
from ledger.clock import ManualClock
from ledger.events.event import MetadataEntry
from ledger.rpc.limits import PLACES, CallLimits, Lane, LoginLimits, RateLimits
from ledger.server.config import ConnectionLimits
from ledger.v1 import admin_pb2, ledger_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import Failure, failure, new_sections
from tests.support.live_server import LiveServer, live_server

_INFO = ledger_pb2.GetServerInfoRequest()
_FOLLOW = ledger_pb2.ReadEntriesRequest(log="default", follow=True)
_EXHAUSTED, _ABORTED = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED
_BUSY = (grpc.StatusCode.UNAVAILABLE, "SEQUENCER_BUSY")
_STALLED = 'logproof_calls_refused_total{reason="CALL_STALLED"}'
Serve = Callable[..., LiveServer]
Connect = Callable[[LiveServer, bytes], socket.socket]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(live_server(tmp_path / "data", http=True, **settings))


def _append(stub: LedgerServiceStub, **fields: object) -> int:
    request = ledger_pb2.AppendRequest(log="default", sections=new_sections(**fields))  # type: ignore[arg-type]
    return stub.Append(request).acknowledgement.leaf_index


def _new_key(server: LiveServer, *roles: admin_pb2.Role.ValueType) -> str:
    request = admin_pb2.CreateApiKeyRequest(log="default", roles=roles or [admin_pb2.ROLE_WRITER])
    return server.admin().CreateApiKey(request).secret


def _wait_for(server: LiveServer, sample: str, value: float) -> None:
    """Wait until a metric has reached a value."""
    while server.metric(sample) < value:
        threading.Event().wait(0.02)


def _end_of(stream: Iterator[object]) -> Failure:
    return failure(lambda: stream)


# Quotas


def test_a_key_that_has_used_up_its_quota_is_told_when_to_come_back_and_others_go_on(serve: Serve) -> None:
    clock = ManualClock()
    server = serve(clock=clock, calls=CallLimits(rates=RateLimits(events_per_second=10, burst_seconds=1)))
    writer, other = server.ledger(_new_key(server)), server.ledger(_new_key(server))
    batch = ledger_pb2.AppendBatchRequest(log="default", sections=[new_sections() for _ in range(25)])
    writer.AppendBatch(batch)

    refused = failure(lambda: _append(writer))

    assert (refused.code, refused.reason) == (_EXHAUSTED, "QUOTA_EXCEEDED")
    assert refused.retry_seconds == pytest.approx(1.6)
    assert refused.metadata["quota"] == "events"
    assert _append(other)
    assert server.metric('logproof_calls_refused_total{reason="QUOTA_EXCEEDED"}') == 1

    clock.advance(1_600_000)
    assert _append(writer)


def test_a_quota_of_bytes_counts_what_requests_bring_and_names_the_key(serve: Serve) -> None:
    rates = RateLimits(events_per_second=0, bytes_per_second=1000, burst_seconds=1)
    server = serve(clock=ManualClock(), calls=CallLimits(rates=rates))
    secret = _new_key(server)
    writer = server.ledger(secret)
    for _ in range(20):
        with contextlib.suppress(grpc.RpcError):
            _append(writer)
    refused = failure(lambda: _append(writer))

    assert (refused.reason, refused.metadata["quota"]) == ("QUOTA_EXCEEDED", "bytes")
    assert refused.metadata["credential"] in secret
    assert "1000 bytes a second" in refused.message


def test_a_stream_of_appends_is_slowed_down_by_its_quota_and_not_refused(serve: Serve) -> None:
    server = serve(calls=CallLimits(rates=RateLimits(events_per_second=40, burst_seconds=0.1)))
    messages = [ledger_pb2.AppendStreamRequest(log="default", sections=new_sections()) for _ in range(12)]

    answers = list(server.ledger(_new_key(server)).AppendStream(iter(messages), timeout=60))

    assert [answer.WhichOneof("result") for answer in answers] == ["response"] * 12


def test_without_quotas_nothing_is_counted(serve: Serve) -> None:
    server = serve(clock=ManualClock(), calls=CallLimits(rates=RateLimits(0, 0)))
    writer = server.ledger(_new_key(server))

    assert len({_append(writer) for _ in range(30)}) == 30


# Logins


def test_an_address_that_sends_bad_keys_is_kept_waiting_and_known_keys_are_not(serve: Serve) -> None:
    clock = ManualClock()
    server = serve(clock=clock, calls=CallLimits(logins=LoginLimits(burst=3, per_second=0.5, loopback_factor=1)))
    known, new = server.ledger(), server.ledger(_new_key(server))
    strangers = [server.ledger(make_api_key("default", bytes([n]) * 40).format()) for n in range(4)]

    refused = [failure(lambda stub=stub: stub.GetServerInfo(_INFO)) for stub in strangers]  # type: ignore[misc]
    held_up = failure(lambda: new.GetServerInfo(_INFO))

    assert [told.reason for told in refused] == ["CREDENTIALS_INVALID"] * 3 + ["LOGINS_LIMITED"]
    assert (held_up.code, held_up.reason, held_up.retry_seconds) == (_EXHAUSTED, "LOGINS_LIMITED", 2.0)
    assert known.GetServerInfo(_INFO).version
    assert server.metric("logproof_auth_failures_total") == 3

    clock.advance(2_000_000)
    assert new.GetServerInfo(_INFO).version


def test_good_logins_use_nothing_up(serve: Serve) -> None:
    server = serve(
        clock=ManualClock(), calls=CallLimits(logins=LoginLimits(burst=2, per_second=0.001, loopback_factor=1))
    )

    for _ in range(5):
        assert server.ledger(_new_key(server)).GetServerInfo(_INFO).version


# Silence


def test_a_call_that_brings_no_message_is_ended(serve: Serve) -> None:
    server = serve(calls=CallLimits(first_message_seconds=0.2))
    hold = threading.Event()

    def nothing() -> Iterator[bytes]:
        hold.wait()
        yield from ()

    metadata = (("authorization", f"Bearer {server.admin_key}"),)
    silent: grpc.StreamUnaryMultiCallable[bytes, bytes] = server.channel().stream_unary(
        "/ledger.v1.LedgerService/Append"
    )
    refused = failure(lambda: silent(nothing(), metadata=metadata, timeout=60))
    hold.set()

    assert (refused.code, refused.reason) == (_ABORTED, "CALL_STALLED")
    assert "within 0.2 s" in refused.message


_OPEN_METHODS = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]


@contextlib.contextmanager
def _silent(
    server: LiveServer, methods: list[str], *, connections: int, of_each: int
) -> Iterator[list[Iterator[bytes]]]:
    """Open calls without a credential that bring no message until the end, some on each of several connections."""
    hold = threading.Event()

    def nothing() -> Iterator[bytes]:
        hold.wait()
        yield from ()

    options = (("grpc.use_local_subchannel_pool", 1),)
    with contextlib.ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.insecure_channel(server.address, options=options)) for _ in range(connections)
        ]
        stack.callback(hold.set)
        opened: list[grpc.StreamStreamMultiCallable[bytes, bytes]] = [
            channel.stream_stream(method) for channel in channels for method in methods
        ]
        yield [call(nothing(), timeout=60) for call in opened for _ in range(of_each)]


@pytest.mark.ci
def test_silent_calls_without_a_credential_are_few_and_keep_none_out_that_has_one(serve: Serve) -> None:
    # None of those that stay is ended for its silence.
    server = serve(reflection=True, calls=CallLimits(first_message_seconds=600))
    ledger = server.ledger()
    with _silent(server, _OPEN_METHODS, connections=5, of_each=33) as calls:
        _wait_for(server, 'logproof_calls_refused_total{reason="QUOTA_EXCEEDED"}', len(calls) - 32)
        ended = [failure(lambda call=call: call) for call in calls if call.done()]  # type: ignore[attr-defined,misc]

        assert _append(ledger)
        assert server.ledger().GetServerInfo(_INFO).version
    assert server.metric('logproof_calls_refused_total{reason="QUOTA_EXCEEDED"}') == len(calls) - 32
    assert {(told.code, told.reason, told.retry_seconds) for told in ended} == {(_EXHAUSTED, "QUOTA_EXCEEDED", 1.0)}


@pytest.mark.parametrize("method", _OPEN_METHODS)
def test_a_call_without_a_credential_that_brings_no_message_is_ended_and_gives_its_place_back(
    serve: Serve, method: str
) -> None:
    server = serve(reflection=True, calls=CallLimits(first_message_seconds=0.2, open_calls=1, open_calls_of_address=1))
    for _ in range(2):
        with _silent(server, [method], connections=1, of_each=1) as (call,):
            ended = _end_of(call)

        assert (ended.code, ended.reason) == (_ABORTED, "CALL_STALLED")
    assert server.metric(_STALLED) == 2


def test_a_watcher_is_told_the_status_and_keeps_its_place_and_no_probe_out(serve: Serve) -> None:
    server = serve(calls=CallLimits(open_calls=1, open_calls_of_address=1))
    stub = health_pb2_grpc.HealthStub(server.channel())
    request, serving = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse.SERVING
    watcher = stub.Watch(request, timeout=60)
    assert next(watcher).status == serving

    refused = _end_of(stub.Watch(request, timeout=60))

    assert (refused.code, refused.reason, refused.retry_seconds) == (_EXHAUSTED, "QUOTA_EXCEEDED", 1.0)
    assert refused.metadata["limit"] == "1"
    for _ in range(3):
        assert stub.Check(request, timeout=60).status == serving
    watcher.cancel()
    _wait_until_watched(stub)


def _wait_until_watched(stub: health_pb2_grpc.HealthStub) -> None:
    """Wait until there is a place for a watcher; the test's time is the limit."""
    while True:
        with contextlib.suppress(grpc.RpcError):
            next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=60))
            return
        threading.Event().wait(0.02)


def test_a_stream_that_brings_nothing_more_is_ended_and_what_it_brought_is_answered(serve: Serve) -> None:
    server = serve(calls=CallLimits(idle_stream_seconds=0.2))
    hold = threading.Event()

    def one() -> Iterator[ledger_pb2.AppendStreamRequest]:
        yield ledger_pb2.AppendStreamRequest(log="default", sections=new_sections())
        hold.wait()

    stream = server.ledger().AppendStream(one(), timeout=60)
    assert next(stream).WhichOneof("result") == "response"
    ended = _end_of(stream)
    hold.set()

    assert (ended.code, ended.reason) == (_ABORTED, "CALL_STALLED")


def test_a_reader_that_takes_nothing_is_ended_and_can_go_on_where_it_was(serve: Serve) -> None:
    server = serve(calls=CallLimits(write_seconds=0.2))
    ledger = server.ledger()
    large = tuple(MetadataEntry(f"k{number:02}", "x" * 2000) for number in range(14))
    for _ in range(4):
        sections = [new_sections(personal=False, metadata=large) for _ in range(100)]
        ledger.AppendBatch(ledger_pb2.AppendBatchRequest(log="default", sections=sections))
    request = ledger_pb2.ReadEntriesRequest(log="default", view=ledger_pb2.ENTRY_VIEW_EVENT, follow=True)
    # A window of its own, which the client does not widen: otherwise it takes much before anybody reads it.
    options = (
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 65_536),
        ("grpc.use_local_subchannel_pool", 1),
    )
    with grpc.insecure_channel(server.address, options=options) as channel:
        stub = LedgerServiceStub(grpc.intercept_channel(channel, server.with_key(server.admin_key)))
        stream = stub.ReadEntries(request, timeout=60)
        _wait_for(server, _STALLED, 1)
        seen: list[int] = []
        ended = failure(lambda: seen.extend(entry.leaf_index for message in stream for entry in message.entries))

    assert (ended.code, ended.reason) == (_ABORTED, "CALL_STALLED")
    assert seen == list(range(len(seen)))
    rest = ledger.ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", begin=len(seen)))
    size = ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint.tree_size
    assert [entry.leaf_index for message in rest for entry in message.entries] == list(range(len(seen), size))


# Places


def test_followers_have_places_of_their_own_and_keep_no_append_out(serve: Serve) -> None:
    places = {**PLACES, Lane.READ_STREAM: 2}
    server = serve(calls=CallLimits(places=places))
    ledger = server.ledger()
    following = [ledger.ReadEntries(_FOLLOW, timeout=60) for _ in range(2)]
    for stream in following:
        next(stream)

    refused = _end_of(ledger.ReadEntries(_FOLLOW, timeout=60))

    assert (refused.code, refused.reason) == _BUSY
    assert refused.retry_seconds
    assert _append(ledger)
    assert ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint.note
    assert server.metric('logproof_calls_running{kind="read stream"}') == 2
    for stream in following:
        stream.cancel()
    while server.metric('logproof_calls_running{kind="read stream"}'):
        threading.Event().wait(0.02)
    assert next(ledger.ReadEntries(_FOLLOW, timeout=60)).entries


def test_one_credential_cannot_take_the_places_of_all(serve: Serve) -> None:
    server = serve(calls=CallLimits(of_credential={Lane.READ_STREAM: 1}))
    ledger = server.ledger()
    stream = ledger.ReadEntries(_FOLLOW, timeout=60)
    next(stream)

    refused = _end_of(ledger.ReadEntries(_FOLLOW, timeout=60))

    assert (refused.code, refused.reason) == (_EXHAUSTED, "QUOTA_EXCEEDED")
    reader = server.ledger(_new_key(server, admin_pb2.ROLE_READER))
    assert next(reader.ReadEntries(_FOLLOW, timeout=60)).entries


def test_more_calls_at_a_time_than_there_are_places_are_refused_before_their_message_is_read(serve: Serve) -> None:
    server = serve(calls=CallLimits(places={**PLACES, Lane.APPEND: 1}))
    hold = threading.Event()

    def nothing() -> Iterator[bytes]:
        hold.wait()
        yield from ()

    metadata = (("authorization", f"Bearer {server.admin_key}"),)
    call: grpc.StreamUnaryMultiCallable[bytes, bytes] = server.channel().stream_unary("/ledger.v1.LedgerService/Append")
    first = call.future(nothing(), metadata=metadata, timeout=60)
    while not server.metric('logproof_calls_running{kind="append"}'):
        threading.Event().wait(0.02)

    second = failure(lambda: call(nothing(), metadata=metadata, timeout=60))

    assert (second.code, second.reason, second.metadata["limit"]) == (*_BUSY, "1")
    hold.set()
    with contextlib.suppress(grpc.RpcError):
        first.result()


# Connections


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Give a maker of bare connections."""
    with contextlib.ExitStack() as stack:

        def new_connection(server: LiveServer, first: bytes) -> socket.socket:
            host, _, port = server.address.rpartition(":")
            connection = stack.enter_context(socket.create_connection((host, int(port)), 30))
            connection.sendall(first)
            return connection

        yield new_connection


def _is_closed_by_the_other_end(connection: socket.socket) -> bool:
    """Read until the other end closes; False where it does not within the connection's time."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


_SPEAKS_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


@pytest.mark.parametrize("first", [b"", b"PRI * HT", _SPEAKS_HTTP2], ids=["silent", "half a preface", "no calls"])
def test_a_connection_without_use_is_closed(serve: Serve, connect: Connect, first: bytes) -> None:
    server = serve(connections=ConnectionLimits(handshake_seconds=0.3, idle_seconds=0.3))
    ledger = server.ledger()
    connections = [connect(server, first) for _ in range(20)]

    assert all(map(_is_closed_by_the_other_end, connections))
    assert _append(ledger)


def test_a_peer_that_answers_no_ping_is_closed(serve: Serve, connect: Connect) -> None:
    server = serve(connections=ConnectionLimits(keepalive_seconds=1, keepalive_timeout_seconds=1))
    connection = connect(server, _SPEAKS_HTTP2)

    # It speaks, and acknowledges no ping.
    assert _is_closed_by_the_other_end(connection)


def test_more_connections_than_the_limit_are_closed_and_those_below_go_on(serve: Serve, connect: Connect) -> None:
    server = serve(connections=ConnectionLimits(connections=2, handshake_seconds=60))
    ledger = server.ledger()
    _append(ledger)
    connect(server, _SPEAKS_HTTP2)

    assert _is_closed_by_the_other_end(connect(server, _SPEAKS_HTTP2))
    assert _append(ledger)


# Reflection


def _services(server: LiveServer) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel())
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([question]), timeout=60)
    return sorted(service.name for service in answer.list_services_response.service)


def test_the_schema_is_told_only_where_that_was_asked_for(serve: Serve, tmp_path: Path) -> None:
    refused = failure(lambda: _services(serve()))

    assert refused.code is grpc.StatusCode.UNIMPLEMENTED
    with live_server(tmp_path / "second", reflection=True) as server:
        assert _services(server) == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "ledger.v1.AdminService",
            "ledger.v1.LedgerService",
            "ledger.v1.QueryService",
        ]


def test_channelz_is_not_served(serve: Serve) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = (
        serve().channel().unary_unary("/grpc.channelz.v1.Channelz/GetServers")
    )

    assert failure(lambda: call(b"")).code is grpc.StatusCode.UNIMPLEMENTED
