"""Signing keys in a backup, sealed with a passphrase.

The rule that must not break: no signing key is in a backup in the clear, and what was opened is what was sealed, for
logs of this origin prefix.

The file is a JSON object: `format`, `salt` and `nonce` in hex, `sealed` in base64. AES-256-GCM over the JSON object of
keys by log name; the key from the passphrase in UTF-8 by scrypt; the associated data is a label and the origin prefix.

Source: RFC 7914; NIST SP 800-38D.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ledger.engine.sequencer import RandomSource
from ledger.errors import CorruptionError, FieldViolation, InvalidRequestError, StorageFormatError

SEALED_KEYS: Final = "keys.sealed"
"""Name of the file in a backup."""

FORMAT: Final = 1
"""Format number that this version writes and reads; it fixes cipher and cost."""

MIN_PASSPHRASE: Final = 12
"""Fewest characters of a passphrase that keys are sealed with."""

_LABEL = b"logproof/sealed-keys/v1\0"
_SALT_BYTES = 16
_NONCE_BYTES = 12
_KEY_BYTES = 32
# 128 MiB and some 0.4 s for each guess.
_SCRYPT_N = 1 << 17
_SCRYPT_R = 8
_SCRYPT_P = 1


def seal_keys(keys: Mapping[str, str], passphrase: str, origin_prefix: str, random: RandomSource) -> bytes:
    """Return the file with these signing keys.

    Args:
        keys: Text of the signer key of each log, by name.
        passphrase: The passphrase.
        origin_prefix: What the origin of each log begins with.
        random: Returns so many random bytes.

    Raises:
        InvalidRequestError: The passphrase is too short.
    """
    check_passphrase(passphrase)
    salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
    content = json.dumps(dict(keys), sort_keys=True).encode()
    sealed = AESGCM(_derive(passphrase, salt)).encrypt(nonce, content, _LABEL + origin_prefix.encode())
    fields = {
        "format": FORMAT,
        "salt": salt.hex(),
        "nonce": nonce.hex(),
        "sealed": base64.b64encode(sealed).decode(),
    }
    return f"{json.dumps(fields, indent=2)}\n".encode()


def check_passphrase(passphrase: str) -> None:
    """Return if keys may be sealed with this passphrase.

    Raises:
        InvalidRequestError: It is too short.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise InvalidRequestError(
            [FieldViolation("passphrase", f"has {len(passphrase)} characters; it has {MIN_PASSPHRASE} at least")],
            hint="take several random words, and keep them apart from the backups",
        )


def open_keys(data: bytes, passphrase: str, origin_prefix: str) -> dict[str, str]:
    """Return the signing keys of a file, by name of the log.

    Raises:
        InvalidRequestError: The passphrase does not open it.
        StorageFormatError: It is of a newer version.
        CorruptionError: It does not have its form.
    """
    try:
        fields = json.loads(data)
        if fields["format"] != FORMAT:
            raise StorageFormatError(
                f"{SEALED_KEYS} has format {fields['format']}; this version reads format {FORMAT}",
                hint="use the version that made the backup, or a later one",
            )
        salt, nonce = bytes.fromhex(fields["salt"]), bytes.fromhex(fields["nonce"])
        sealed = base64.b64decode(fields["sealed"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _malformed() from error
    if (len(salt), len(nonce)) != (_SALT_BYTES, _NONCE_BYTES):
        raise _malformed()
    try:
        content = AESGCM(_derive(passphrase, salt)).decrypt(nonce, sealed, _LABEL + origin_prefix.encode())
    except InvalidTag as error:
        raise InvalidRequestError(
            [FieldViolation("passphrase", f"does not open {SEALED_KEYS}: it is another one, or that file was changed")],
            hint="give the passphrase of that backup, or the keys themselves with --keys",
        ) from error
    keys: dict[str, str] = json.loads(content)
    return keys


def _malformed() -> CorruptionError:
    return CorruptionError(f"{SEALED_KEYS} does not have its form", hint="take another backup")


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase.encode())
