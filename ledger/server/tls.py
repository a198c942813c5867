"""TLS: the server's certificate, and the authorities of its clients' certificates.

Files that change are taken up by the next connection. The rule that must not break: a new certificate that cannot be
used leaves the old one in its place, and is told.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
from cryptography import x509

from ledger.errors import FilePermissionsError, InvalidRequestError, LedgerError
from ledger.server.config import TlsFiles, invalid_setting
from ledger.telemetry.metrics import CertificateGauges

if TYPE_CHECKING:
    from collections.abc import Callable

_LOGGER = logging.getLogger(__name__)
_GONE = ((0, 0, 0),)


@dataclass(frozen=True, slots=True)
class _Loaded:
    configuration: grpc.ServerCertificateConfiguration
    context: ssl.SSLContext
    expires_at: float
    stamps: tuple[tuple[int, int, int], ...]


class Certificates:
    """The TLS identity of a server, kept up to date with its files. Thread-safe."""

    def __init__(self, files: TlsFiles) -> None:
        """Load the files.

        Raises:
            InvalidRequestError: They cannot be read or do not belong together.
            FilePermissionsError: Others may read the private key.
        """
        self._files = files
        self._lock = threading.Lock()  # guards the three below
        self._loaded = self._told_grpc = _load(files)
        # Files that could not be used, so that this is told once for each change; nothing where all are in use.
        self._refused: tuple[tuple[int, int, int], ...] = ()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what gRPC needs; it asks for newer files with each connection."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration,
            # None keeps what is in use, which the types of grpc do not tell.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._renewed),
            require_client_authentication=self._files.client_ca is not None,
        )

    def http_context(self) -> ssl.SSLContext:
        """Return what the HTTP port needs: each connection gets the files as they are then, or the last good ones."""
        first = _context(self._files)
        # OpenSSL asks which name a connection wants before it shows a certificate, whether one was sent or not.
        first.sni_callback = self._choose_context
        return first

    def gauges(self) -> CertificateGauges:
        """Return how the files stand."""
        with self._lock:
            self._look()
            return CertificateGauges(self._loaded.expires_at, bool(self._refused))

    def _choose_context(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _first: object) -> None:
        with self._lock:
            self._look()
            connection.context = self._loaded.context

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return a new configuration where the files have changed; None to keep the old one.

        gRPC is told of each change once, so it asks for itself alone; the HTTP port and the metrics may come first.
        """
        with self._lock:
            self._look()
            if self._loaded is self._told_grpc:
                return None
            self._told_grpc = self._loaded
            return self._loaded.configuration

    def _look(self) -> None:
        """Take up new files where there are any that can be used; the lock is held."""
        try:
            stamps = _stamps(self._files)
            if stamps == self._loaded.stamps:
                self._refused = ()
                return
            if stamps == self._refused:
                return
            self._loaded = _load(self._files)
        except (LedgerError, OSError) as error:
            refused = _stamps_or_nothing(self._files)
            if refused != self._refused:
                _LOGGER.error("new TLS files cannot be used; the old ones stay", extra={"problem": str(error)})  # noqa: TRY400
            self._refused = refused
            return
        self._refused = ()
        _LOGGER.info("new TLS files are used from now on")


def _load(files: TlsFiles) -> _Loaded:
    stamps = _stamps(files)
    # OpenSSL checks what gRPC would only fail on later: that the files are PEM and belong together.
    context = _context(files)
    _check_secret(files.key)
    certificate = files.certificate.read_bytes()
    configuration = grpc.ssl_server_certificate_configuration(
        [(files.key.read_bytes(), certificate)],
        root_certificates=None if files.client_ca is None else files.client_ca.read_bytes(),
    )
    expires_at = x509.load_pem_x509_certificates(certificate)[0].not_valid_after_utc.timestamp()
    return _Loaded(configuration, context, expires_at, stamps)


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for setting, path in (("tls_cert", files.certificate), ("tls_key", files.key), ("tls_client_ca", files.client_ca)):
        if path is not None and not os.access(path, os.R_OK):
            raise invalid_setting(setting, f"{path} cannot be read", "give a readable PEM file")
    try:
        # An empty password, because OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (ssl.SSLError, OSError) as error:
        raise invalid_setting(
            "tls_cert",
            f"{files.certificate} and {files.key} are no certificate with its private key: {_words(error)}",
            "give the PEM files of a certificate chain and of its key",
        ) from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise invalid_setting(
                "tls_client_ca", f"{files.client_ca} has no certificate authority: {_words(error)}", "give a PEM file"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check_secret(path: Path) -> None:
    """Refuse a private key that others may read; its group may, which is how secrets are often mounted."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o027:
        raise FilePermissionsError(
            f"{path} has mode {mode:04o}: others may read or change it",
            hint=f"run `chmod 600 {path}`, and replace the key if others may have read it",
            metadata={"mode": f"{mode:04o}"},
        )


def _words(error: ssl.SSLError | OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return str(reason or error).replace("_", " ").lower()


def _stamps(files: TlsFiles) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when a file does."""
    paths: list[Path] = [path for path in (files.certificate, files.key, files.client_ca) if path is not None]
    try:
        found = [path.stat() for path in paths]
    except OSError as error:
        raise _missing(error) from error
    return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)


def _stamps_or_nothing(files: TlsFiles) -> tuple[tuple[int, int, int], ...]:
    try:
        return _stamps(files)
    except LedgerError:
        return _GONE


def _missing(error: OSError) -> InvalidRequestError:
    return invalid_setting(
        "tls_cert", f"{error.filename} cannot be read: {error.strerror}", "give the PEM files of the certificate"
    )
