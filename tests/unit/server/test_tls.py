from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ledger.errors import FilePermissionsError, InvalidRequestError
from ledger.server.config import TlsFiles
from ledger.server.tls import Certificates
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> TlsFiles:
    identity = authority.issue("server")
    return TlsFiles(identity.certificate, identity.key)


def _age(path: Path) -> None:
    """Make a file look as if it was written at another time, however coarse the clock of the filesystem."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_only_the_newest_version_of_tls_is_spoken_over_http(files: TlsFiles) -> None:
    assert Certificates(files).http_context().minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_key_that_others_may_read_is_refused(files: TlsFiles) -> None:
    files.key.chmod(0o644)

    with pytest.raises(FilePermissionsError, match="mode 0644"):
        Certificates(files)


def test_a_key_that_its_group_may_read_is_taken(files: TlsFiles) -> None:
    files.key.chmod(0o640)

    Certificates(files)


@pytest.mark.parametrize("setting", ["certificate", "key"])
def test_a_missing_file_is_named(files: TlsFiles, setting: str) -> None:
    path: Path = getattr(files, setting)
    path.unlink()

    with pytest.raises(InvalidRequestError, match=path.name):
        Certificates(files)


def test_a_certificate_with_the_key_of_another_is_refused(files: TlsFiles, authority: Authority) -> None:
    other = authority.issue("other")

    with pytest.raises(InvalidRequestError, match="no certificate with its private key"):
        Certificates(TlsFiles(files.certificate, other.key))


def test_a_file_that_is_no_authority_is_refused(files: TlsFiles, tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    path.write_text("nothing")

    with pytest.raises(InvalidRequestError, match="tls_client_ca"):
        Certificates(TlsFiles(files.certificate, files.key, path))


def test_an_encrypted_key_is_refused_instead_of_asked_for(files: TlsFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )

    with pytest.raises(InvalidRequestError, match="tls_cert"):
        Certificates(files)


def test_files_that_have_not_changed_are_not_taken_up_again(files: TlsFiles) -> None:
    assert Certificates(files)._renewed() is None


def test_new_files_are_taken_up_and_bad_ones_leave_the_old_in_place(
    files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(files)
    good, good_key = files.certificate.read_bytes(), files.key.read_bytes()
    files.certificate.write_text("nothing")
    with caplog.at_level(logging.INFO):
        assert certificates._renewed() is None
        assert certificates._renewed() is None
    told = [record.message for record in caplog.records]
    assert told == ["new TLS files cannot be used; the old ones stay"]

    files.certificate.write_bytes(good)
    files.key.write_bytes(good_key)
    _age(files.certificate)
    assert certificates._renewed() is not None
    assert certificates._renewed() is None


def test_a_file_that_goes_away_leaves_the_old_in_place(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    certificates = Certificates(files)
    files.key.unlink()

    with caplog.at_level(logging.ERROR):
        assert certificates._renewed() is None
    assert len(caplog.records) == 1


def test_how_the_files_stand_is_told(files: TlsFiles) -> None:
    certificates = Certificates(files)
    good = files.certificate.read_bytes()
    first = certificates.gauges()
    files.certificate.write_text("nothing")
    refused = certificates.gauges()
    files.certificate.write_bytes(good)
    _age(files.certificate)

    assert (first.are_refused, refused.are_refused, certificates.gauges().are_refused) == (False, True, False)
    assert refused.expires_at == first.expires_at > 1_700_000_000


def test_grpc_is_told_of_new_files_that_the_http_port_saw_first(files: TlsFiles) -> None:
    certificates = Certificates(files)
    _age(files.certificate)
    certificates.gauges()

    assert certificates._renewed() is not None
    assert certificates._renewed() is None
