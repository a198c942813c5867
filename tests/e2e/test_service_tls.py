"""TLS, and client certificates as credentials."""

from __future__ import annotations

import contextlib
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from ledger.server.config import ConnectionLimits, TlsFiles
from ledger.v1 import admin_pb2, ledger_pb2
from ledger.v1.admin_pb2_grpc import AdminServiceStub
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import code_of, failure, new_sections
from tests.support.certificates import Authority, Identity
from tests.support.live_server import LiveServer, live_server

_CHECKPOINT = ledger_pb2.GetCheckpointRequest(log="default")
_NAMES: dict[str, x509.GeneralName] = {
    "URI:spiffe://acme.example/billing": x509.UniformResourceIdentifier("spiffe://acme.example/billing"),
    "DNS:billing.acme.example": x509.DNSName("billing.acme.example"),
    "EMAIL:billing@acme.example": x509.RFC822Name("billing@acme.example"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[LiveServer]:
    identity = authority.issue("server")
    tls = TlsFiles(identity.certificate, identity.key, client_ca=authority.certificate)
    live = LiveServer(tmp_path_factory.mktemp("tls") / "data", tls=tls, http=True)
    yield live
    live.stop()


def _channel(server: LiveServer, authority: Authority, identity: Identity | None) -> grpc.Channel:
    return server.channel(
        grpc.ssl_channel_credentials(
            authority.certificate.read_bytes(),
            identity.key.read_bytes() if identity else None,
            identity.certificate.read_bytes() if identity else None,
        )
    )


@pytest.fixture(scope="module")
def admin(server: LiveServer, authority: Authority) -> AdminServiceStub:
    """An administrator with an API key; the certificate of the connection is nobody's."""
    channel = _channel(server, authority, authority.issue("nobody", x509.DNSName("nobody.example")))
    return AdminServiceStub(grpc.intercept_channel(channel, server.with_key(server.admin_key)))


def _credential(admin: AdminServiceStub, name: str, log: str = "default", *roles: admin_pb2.Role.ValueType) -> str:
    made = admin.CreateApiKey(
        admin_pb2.CreateApiKeyRequest(log=log, roles=roles or [admin_pb2.ROLE_WRITER], certificate_name=name)
    )
    assert made.secret == ""
    assert made.api_key.certificate_name == name
    return made.api_key.key_id


@pytest.mark.parametrize("name", _NAMES)
def test_a_certificate_with_a_known_name_is_a_credential_and_is_dead_when_revoked(
    server: LiveServer, authority: Authority, admin: AdminServiceStub, name: str
) -> None:
    key_id = _credential(admin, name)
    identity = authority.issue(f"client-{name[:3]}", x509.DNSName("first.example"), _NAMES[name])
    ledger = LedgerServiceStub(_channel(server, authority, identity))

    assert ledger.Append(ledger_pb2.AppendRequest(log="default", sections=new_sections())).acknowledgement.leaf
    assert failure(lambda: ledger.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=0))).code is (
        grpc.StatusCode.PERMISSION_DENIED
    )
    stream = ledger.AppendStream(iter([ledger_pb2.AppendStreamRequest(log="default", sections=new_sections())]))
    assert [answer.WhichOneof("result") for answer in stream] == ["response"]

    admin.RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="default", key_id=key_id))

    assert failure(lambda: ledger.GetCheckpoint(_CHECKPOINT)).code is grpc.StatusCode.UNAUTHENTICATED


def test_a_name_of_another_kind_is_another_name(
    server: LiveServer, authority: Authority, admin: AdminServiceStub
) -> None:
    _credential(admin, "URI:kinds.example")
    ledger = LedgerServiceStub(_channel(server, authority, authority.issue("kinds", x509.DNSName("kinds.example"))))

    assert failure(lambda: ledger.GetCheckpoint(_CHECKPOINT)).code is grpc.StatusCode.UNAUTHENTICATED


def test_a_certificate_finds_its_log_where_the_call_names_none(
    server: LiveServer, authority: Authority, admin: AdminServiceStub
) -> None:
    admin.CreateLog(admin_pb2.CreateLogRequest(name="second"))
    _credential(admin, "DNS:second.example", "second", admin_pb2.ROLE_VERIFIER)
    channel = _channel(server, authority, authority.issue("second", x509.DNSName("second.example")))

    assert LedgerServiceStub(channel).GetServerInfo(ledger_pb2.GetServerInfoRequest()).version
    logs = AdminServiceStub(channel).ListLogs(admin_pb2.ListLogsRequest()).logs
    assert [log.name for log in logs] == ["second"]


def test_s50_a_certificate_of_one_log_is_nobody_on_another_whether_that_log_exists_or_not(
    server: LiveServer, authority: Authority, admin: AdminServiceStub
) -> None:
    _credential(admin, "DNS:third.example")
    admin.CreateLog(admin_pb2.CreateLogRequest(name="third"))
    ledger = LedgerServiceStub(_channel(server, authority, authority.issue("third", x509.DNSName("third.example"))))

    on_existing = failure(lambda: ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="third")))
    on_missing = failure(lambda: ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="none")))

    assert on_existing == on_missing
    assert on_existing.code is grpc.StatusCode.UNAUTHENTICATED


def test_a_name_belongs_to_one_credential_of_a_log(admin: AdminServiceStub) -> None:
    _credential(admin, "DNS:taken.example")

    refused = failure(lambda: _credential(admin, "DNS:taken.example"))

    assert "certificate_name" in refused.fields


def test_without_a_certificate_no_connection_is_made(server: LiveServer, authority: Authority) -> None:
    ledger = LedgerServiceStub(_channel(server, authority, None))

    assert failure(lambda: ledger.GetCheckpoint(_CHECKPOINT)).code is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_another_authority_makes_no_connection(
    server: LiveServer, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("client", x509.DNSName("first.example"))
    ledger = LedgerServiceStub(_channel(server, authority, stranger))

    assert failure(lambda: ledger.GetCheckpoint(_CHECKPOINT)).code is grpc.StatusCode.UNAVAILABLE


def test_http_speaks_tls_too_and_wants_a_certificate(server: LiveServer, authority: Authority) -> None:
    url = f"https://localhost:{server.http_address.rpartition(':')[2]}/healthz"
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with (
        pytest.raises((urllib.error.URLError, ConnectionError)),
        urllib.request.urlopen(url, context=context, timeout=30),
    ):
        pass

    identity = authority.issue("monitor", x509.DNSName("monitor.example"))
    context.load_cert_chain(identity.certificate, identity.key)
    with urllib.request.urlopen(url, context=context, timeout=30) as answer:
        assert answer.read() == b"ok\n"


def test_a_new_certificate_is_used_by_the_next_connection(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    identity = old.issue("server")
    with live_server(tmp_path / "data", tls=TlsFiles(identity.certificate, identity.key)) as server:

        def connects(authority: Authority) -> bool:
            with_key = grpc.intercept_channel(_channel(server, authority, None), server.with_key(server.admin_key))
            code = code_of(lambda: LedgerServiceStub(with_key).GetServerInfo(ledger_pb2.GetServerInfoRequest()))
            assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
            return code is grpc.StatusCode.OK

        assert (connects(old), connects(new)) == (True, False)
        renewed = new.issue("renewed")
        renewed.key.replace(identity.key)
        renewed.certificate.replace(identity.certificate)
        assert (connects(new), connects(old)) == (True, False)


def test_the_http_port_takes_up_new_certificates_and_keeps_the_old_over_bad_ones(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    identity = old.issue("server")
    with live_server(tmp_path / "data", tls=TlsFiles(identity.certificate, identity.key), http=True) as server:
        port = server.http_address.rpartition(":")[2]

        def answers(authority: Authority, host: str = "localhost") -> bool:
            # Connections to an address name no host, and are shown the same certificate.
            context = ssl.create_default_context(cafile=str(authority.certificate))
            try:
                with urllib.request.urlopen(f"https://{host}:{port}/metrics", context=context, timeout=30) as page:
                    metrics = page.read().decode()
            except (urllib.error.URLError, ConnectionError):
                return False
            refused.append("logproof_tls_files_refused 1.0" in metrics)
            return True

        refused: list[bool] = []
        assert (answers(old), answers(new)) == (True, False)
        renewed = new.issue("renewed")
        renewed.key.replace(identity.key)
        renewed.certificate.replace(identity.certificate)
        assert (answers(new), answers(new, "127.0.0.1"), answers(old)) == (True, True, False)

        identity.certificate.write_text("nothing")
        assert answers(new)
        assert refused == [False, False, False, True]


@pytest.mark.parametrize(
    "first", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]
)
def test_plain_text_and_silence_on_the_tls_port_are_closed_and_good_clients_go_on(
    tmp_path: Path, authority: Authority, first: bytes
) -> None:
    identity = authority.issue("server")
    limits = ConnectionLimits(handshake_seconds=0.3)
    with live_server(tmp_path / "data", tls=TlsFiles(identity.certificate, identity.key), connections=limits) as server:
        channel = _channel(server, authority, None)
        ledger = LedgerServiceStub(grpc.intercept_channel(channel, server.with_key(server.admin_key)))
        ledger.GetCheckpoint(_CHECKPOINT)
        port = int(server.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.sendall(first)
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(65_536):
                    pass

        plain = failure(lambda: server.ledger().GetCheckpoint(_CHECKPOINT, timeout=30))

        assert plain.code is grpc.StatusCode.UNAVAILABLE
        assert ledger.GetCheckpoint(_CHECKPOINT).checkpoint.note
