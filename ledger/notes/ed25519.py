"""What the two kinds of Ed25519 note keys share: key ids and the signature itself.

The rule that must not break: a key id is derived from name, type and key, never taken from elsewhere.

Source: C2SP signed-note, "Signatures"; RFC 8032.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.errors import InvalidSignatureError, MalformedError
from ledger.notes.encoding import check_key_name

ED25519_KEY_SIZE = 32
"""Bytes of an Ed25519 public key, and of the seed of a private one."""

ED25519_SIGNATURE_SIZE = 64
"""Bytes of an Ed25519 signature."""


def key_id_of(name: str, key_type: int, public_key: bytes) -> int:
    """Return the key id of an Ed25519 key: the first 4 bytes of a hash, big-endian.

    Args:
        name: Name of the key.
        key_type: Signature type byte, 1 for notes, 4 for cosignatures.
        public_key: 32 bytes.

    Raises:
        MalformedError: The name cannot name a key, or the key has another length.
    """
    check_key_name(name)
    if len(public_key) != ED25519_KEY_SIZE:
        raise MalformedError(f"the public key of {name} is {len(public_key)} bytes instead of {ED25519_KEY_SIZE}")
    digest = hashlib.sha256(name.encode("utf-8") + b"\n" + bytes([key_type]) + public_key).digest()
    return int.from_bytes(digest[:4], "big")


def verify_ed25519(name: str, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Return if the signature is valid; raise otherwise.

    Args:
        name: Name of the key, for the message.
        public_key: 32 bytes.
        message: What was signed, any length.
        signature: 64 bytes.

    Raises:
        InvalidSignatureError: The signature is not this key's over this message.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        raise InvalidSignatureError(f"the signature of key {name} is not valid for this text") from None
