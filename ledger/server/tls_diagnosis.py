"""What can be wrong with the files of a server's TLS identity, before it matters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from ledger.clock import Clock
from ledger.engine.marks import Diagnosis, fail, ok, warn
from ledger.errors import LedgerError
from ledger.server.config import TlsFiles
from ledger.server.tls import Certificates

_EXPIRES_WITHIN_DAYS: Final = 21


def diagnose_tls(files: TlsFiles, clock: Clock) -> Iterator[Diagnosis]:
    """Check that the files can be used, belong together, and do not end soon."""
    try:
        Certificates(files)
    except LedgerError as error:
        yield fail("TLS files", error.message, error.hint)
        return
    yield ok("TLS files", "certificate and private key belong together")
    chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    yield expiry("TLS certificate", min(certificate.not_valid_after_utc for certificate in chain), clock)


def expiry(name: str, ends: datetime, clock: Clock) -> Diagnosis:
    """Tell how long a certificate is still good for."""
    days = (ends - datetime.fromtimestamp(clock.now_us() / 1_000_000, UTC)).total_seconds() / 86_400
    if days < 0:
        return fail(name, f"it ended on {ends:%Y-%m-%d}", "put a new one under the same names: no restart is needed")
    if days < _EXPIRES_WITHIN_DAYS:
        return warn(name, f"it ends in {days:.0f} days", "put a new one under the same names: no restart is needed")
    return ok(name, f"it is good until {ends:%Y-%m-%d}")
