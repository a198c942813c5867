"""The text form of an API key: `lp_<log>_<key id>_<secret><checksum>`.

The log and the key id are public and tell the server where to look; the secret is 32 random bytes in base 62. The
checksum (CRC-32 in base 62) lets a scanner of leaked secrets tell a real key from noise without asking the server.
The server keeps SHA-256 of the secret only: 256 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass, field

from ledger.errors import InvalidCredentialsError

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_ID_LENGTH = 12
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6
KEY_ID_BYTES = 8
SECRET_BYTES = 32
_KEY_ID = re.compile(rf"[0-9A-Za-z]{{{_KEY_ID_LENGTH}}}")
_FORM = re.compile(
    rf"lp_(_system|[a-z][a-z0-9-]{{0,62}})_([0-9A-Za-z]{{{_KEY_ID_LENGTH}}})"
    rf"_([0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class ApiKeyText:
    """A presented API key, taken apart.

    Attributes:
        log: Name of the log that the key belongs to.
        key_id: Public id.
        secret: The secret part, never shown.
    """

    log: str
    key_id: str
    secret: str = field(repr=False)

    @property
    def secret_hash(self) -> bytes:
        """Return SHA-256 of the secret, 32 bytes."""
        return hashlib.sha256(self.secret.encode()).digest()

    def format(self) -> str:
        """Return the key as its owner keeps it."""
        return f"lp_{self.log}_{self.key_id}_{self.secret}{_checksum(self.secret)}"

    def check(self, expected_hash: bytes) -> None:
        """Return if the secret is the one that was hashed; compares in constant time.

        Raises:
            InvalidCredentialsError: It is another.
        """
        if not hmac.compare_digest(self.secret_hash, expected_hash):
            raise credentials_refused()


def credentials_refused() -> InvalidCredentialsError:
    """Return the one error for every refused credential, so that a caller learns nothing from it."""
    return InvalidCredentialsError(
        "the credential is missing, malformed, unknown, expired or revoked",
        hint="send 'authorization: Bearer lp_...' with a key that `logproof key list` shows as live",
    )


def is_key_id(text: str) -> bool:
    """Return whether a key id could be this."""
    return _KEY_ID.fullmatch(text) is not None


def make_api_key(log: str, random: bytes) -> ApiKeyText:
    """Return a new key of a log.

    Args:
        log: Name of the log.
        random: `KEY_ID_BYTES` + `SECRET_BYTES` random bytes.
    """
    if len(random) != KEY_ID_BYTES + SECRET_BYTES:
        raise ValueError(f"random must be {KEY_ID_BYTES + SECRET_BYTES} bytes, not {len(random)}")
    return ApiKeyText(
        log=log,
        key_id=_base62(random[:KEY_ID_BYTES], _KEY_ID_LENGTH),
        secret=_base62(random[KEY_ID_BYTES:], _SECRET_LENGTH),
    )


def parse_api_key(text: str) -> ApiKeyText:
    """Return the parts of a presented key.

    Raises:
        InvalidCredentialsError: It does not have the form, or its checksum is wrong.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise credentials_refused()
    log, key_id, tail = match.groups()
    secret, checksum = tail[:_SECRET_LENGTH], tail[_SECRET_LENGTH:]
    if checksum != _checksum(secret):
        raise credentials_refused()
    return ApiKeyText(log=log, key_id=key_id, secret=secret)


def _checksum(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()).to_bytes(4, "big"), _CHECKSUM_LENGTH)


def _base62(data: bytes, length: int) -> str:
    number = int.from_bytes(data, "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
