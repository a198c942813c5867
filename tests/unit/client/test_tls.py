from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from ledger.client import Ledger
from ledger.client.options import MoreOptions
from ledger.errors import InvalidRequestError, ServerUnreachableError
from tests.support.certificates import Authority, Identity
from tests.support.lying_server import API_KEY, LyingServer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def identity(authority: Authority) -> Identity:
    return authority.issue("server")


def _credentials(identity: Identity, client_authority: Path | None = None) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(identity.key.read_bytes(), identity.certificate.read_bytes())],
        root_certificates=client_authority.read_bytes() if client_authority is not None else None,
        require_client_auth=client_authority is not None,
    )


def _append(server: LyingServer, folder: Path, **tls: Path) -> int:
    options = MoreOptions(state=folder / "state", timeout_seconds=2, **tls)  # type: ignore[typeddict-item]
    key = None if "tls_cert" in tls else API_KEY
    with Ledger(server.address, api_key=key, verifier_key=server.verifier_key, **options) as ledger:
        return ledger.append("a.b").leaf_index


def test_server_is_trusted_by_its_authority(tmp_path: Path, authority: Authority, identity: Identity) -> None:
    with LyingServer(credentials=_credentials(identity)) as server:
        assert _append(server, tmp_path, tls_ca=authority.certificate) == 0


def test_server_of_another_authority_is_refused(tmp_path: Path, identity: Identity) -> None:
    other = Authority(tmp_path, "other")

    with (
        LyingServer(credentials=_credentials(identity)) as server,
        pytest.raises(ServerUnreachableError, match=r"(?i)certificate|handshake") as caught,
    ):
        _append(server, tmp_path, tls_ca=other.certificate)
    assert "--tls-ca" in caught.value.hint


def test_client_may_be_known_by_its_certificate(tmp_path: Path, authority: Authority, identity: Identity) -> None:
    client = authority.issue("client")

    with LyingServer(credentials=_credentials(identity, authority.certificate)) as server:
        files = {"tls_ca": authority.certificate, "tls_cert": client.certificate, "tls_key": client.key}
        assert _append(server, tmp_path, **files) == 0


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with LyingServer() as server, pytest.raises(InvalidRequestError, match=r"tls_ca: .*missing\.pem"):
        _append(server, tmp_path, tls_ca=tmp_path / "missing.pem")
