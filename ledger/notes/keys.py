"""Ed25519 keys of logs, and the text forms of verifier and signer keys.

The rule that must not break: a key's text has one spelling, its parts agree with each other, and a private seed shows
in no representation and no message. Seeds are made outside the pure packages and passed in.

Source: C2SP signed-note; the signer form is the one of Go's golang.org/x/mod/sumdb/note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.errors import MalformedError
from ledger.notes.cosignature import CosignatureVerifier
from ledger.notes.ed25519 import ED25519_KEY_SIZE, key_id_of, verify_ed25519
from ledger.notes.encoding import decode_base64, encode_base64
from ledger.notes.note import Signer, Verifier

__all__ = [
    "Ed25519Signer",
    "Ed25519Verifier",
    "Signer",
    "Verifier",
    "format_signer_key",
    "format_verifier_key",
    "parse_signer_key",
    "parse_verifier_key",
]

_SIGNER_PREFIX = "PRIVATE+KEY+"


@dataclass(frozen=True, slots=True)
class Ed25519Verifier:
    """The public key of a log.

    Attributes:
        name: Name of the key; for a log its origin.
        public_key: Ed25519 public key, 32 bytes.
        key_id: Key id, 0 to 2**32 - 1.
    """

    TYPE: ClassVar[int] = 0x01
    """Signature type byte, part of the key id and of the verifier key."""

    name: str
    public_key: bytes
    key_id: int = field(init=False)

    def __post_init__(self) -> None:
        """Check the name and derive the key id."""
        object.__setattr__(self, "key_id", key_id_of(self.name, self.TYPE, self.public_key))

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if the signature (64 bytes) is this key's over the note text; raise otherwise.

        Raises:
            InvalidSignatureError: It is not.
        """
        verify_ed25519(self.name, self.public_key, message, signature)


@dataclass(frozen=True, slots=True, eq=False)
class Ed25519Signer:
    """The private key of a log.

    Attributes:
        name: Name of the key; for a log its origin.
        seed: Ed25519 seed, 32 secret random bytes.
        verifier: The public key.
    """

    name: str
    seed: bytes = field(repr=False)
    verifier: Ed25519Verifier = field(init=False)
    _key: Ed25519PrivateKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Derive the public key."""
        if len(self.seed) != ED25519_KEY_SIZE:
            raise MalformedError(f"the seed of a signer key is {len(self.seed)} bytes instead of {ED25519_KEY_SIZE}")
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "verifier", Ed25519Verifier(self.name, key.public_key().public_bytes_raw()))

    @property
    def key_id(self) -> int:
        """Key id, 0 to 2**32 - 1."""
        return self.verifier.key_id

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes; the same for the same message."""
        return self._key.sign(message)


def parse_verifier_key(text: str) -> Ed25519Verifier | CosignatureVerifier:
    """Read a verifier key: name, plus, key id in 8 hex digits, plus, base64 of type byte and public key.

    Args:
        text: The verifier key, without spaces around it.

    Raises:
        MalformedError: The text is not a verifier key, its key id is not that of its key, or its type is not
            supported (1, Ed25519 note key, and 4, Ed25519 cosignature key, are).
    """
    name, key_id, key_type, key = _split_key(text, "a verifier key")
    for kind in (Ed25519Verifier, CosignatureVerifier):
        if key_type == kind.TYPE:
            verifier = kind(name, key)
            _check_key_id(verifier, key_id, "a verifier key")
            return verifier
    raise MalformedError(f"verifier key {name} has type {key_type}; only 1 and 4 (Ed25519) are supported")


def format_verifier_key(verifier: Ed25519Verifier | CosignatureVerifier) -> str:
    """Return the text form of a verifier key; the inverse of `parse_verifier_key`."""
    return _join_key(verifier, verifier.public_key)


def parse_signer_key(text: str) -> Ed25519Signer:
    """Read a signer key: `PRIVATE+KEY+`, name, plus, key id, plus, base64 of type byte and seed.

    Args:
        text: The signer key, without spaces around it.

    Raises:
        MalformedError: The text is not a signer key of type 1, or its key id is not that of its key. The message never
            shows the key.
    """
    if not text.startswith(_SIGNER_PREFIX):
        raise MalformedError(f"a signer key begins with {_SIGNER_PREFIX}")
    name, key_id, key_type, seed = _split_key(text.removeprefix(_SIGNER_PREFIX), "a signer key")
    if key_type != Ed25519Verifier.TYPE:
        raise MalformedError(f"a signer key has type {key_type}; only 1 (Ed25519) is supported")
    signer = Ed25519Signer(name, seed)
    _check_key_id(signer.verifier, key_id, "a signer key")
    return signer


def format_signer_key(signer: Ed25519Signer) -> str:
    """Return the text form of a signer key, a secret; the inverse of `parse_signer_key`."""
    return _SIGNER_PREFIX + _join_key(signer.verifier, signer.seed)


def _split_key(text: str, what: str) -> tuple[str, str, int, bytes]:
    # Only the first two pluses separate: base64 may hold more.
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise MalformedError(f"{what} is not name+id+key")
    name, key_id, encoded = parts
    try:
        payload = decode_base64(encoded, "the key")
    except MalformedError:
        # Its message would quote the text, which may be secret.
        raise MalformedError(f"the last part of {what} is not canonical base64") from None
    if not payload:
        raise MalformedError(f"{what} is empty after its id")
    return name, key_id, payload[0], payload[1:]


def _join_key(verifier: Ed25519Verifier | CosignatureVerifier, key: bytes) -> str:
    return f"{verifier.name}+{verifier.key_id:08x}+{encode_base64(bytes([verifier.TYPE]) + key)}"


def _check_key_id(verifier: Ed25519Verifier | CosignatureVerifier, stated: str, what: str) -> None:
    if stated != f"{verifier.key_id:08x}":
        raise MalformedError(f"{what} does not state the id {verifier.key_id:08x} that follows from its name and key")
