"""Cosignatures: a witness's statement that it saw a checkpoint as the largest of its log at a time.

The rule that must not break: the time is part of what is signed, so it is told only after its signature verified.

Source: C2SP tlog-cosignature, Ed25519 (cosignature/v1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ledger.errors import InvalidSignatureError
from ledger.notes.ed25519 import ED25519_SIGNATURE_SIZE, key_id_of, verify_ed25519
from ledger.notes.encoding import MAX_TREE_SIZE
from ledger.notes.note import OpenedNote, open_note

_TIME_SIZE = 8


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """The public key of a witness.

    The signed message does not name the witness, so one key belongs to one witness.

    Attributes:
        name: Name of the witness.
        public_key: Ed25519 public key, 32 bytes.
        key_id: Key id, 0 to 2**32 - 1.
    """

    TYPE: ClassVar[int] = 0x04
    """Signature type byte, part of the key id and of the verifier key."""

    name: str
    public_key: bytes
    key_id: int = field(init=False)

    def __post_init__(self) -> None:
        """Check the name and derive the key id."""
        object.__setattr__(self, "key_id", key_id_of(self.name, self.TYPE, self.public_key))

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if this witness cosigned the checkpoint body `message`; raise otherwise.

        Args:
            message: The whole body of the checkpoint.
            signature: Time (8 bytes, big-endian) and Ed25519 signature (64 bytes).

        Raises:
            InvalidSignatureError: It did not.
        """
        seconds = cosignature_time(signature)
        verify_ed25519(self.name, self.public_key, cosignature_message(seconds, message), signature[_TIME_SIZE:])


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified statement of a witness.

    Attributes:
        witness: The key of the witness.
        cosigned_at: When, by the clock of the witness, in seconds since 1970 in UTC.
    """

    witness: CosignatureVerifier
    cosigned_at: int


def cosignature_message(seconds: int, body: bytes) -> bytes:
    """Return what a witness signs.

    Args:
        seconds: Time in seconds since 1970 in UTC.
        body: The whole body of the checkpoint, with extension lines and the last newline.
    """
    return b"cosignature/v1\ntime %d\n%b" % (seconds, body)


def cosignature_time(signature: bytes) -> int:
    """Return the time that a cosignature states, in seconds since 1970 in UTC; to be trusted only once verified.

    Args:
        signature: 72 bytes: what follows the key id in the signature line.

    Raises:
        InvalidSignatureError: It has another length, or the time is above 2**63 - 1.
    """
    if len(signature) != _TIME_SIZE + ED25519_SIGNATURE_SIZE:
        raise InvalidSignatureError(f"a cosignature is {len(signature)} bytes instead of 72")
    seconds = int.from_bytes(signature[:_TIME_SIZE], "big")
    if seconds > MAX_TREE_SIZE:
        raise InvalidSignatureError(f"a cosignature states the time {seconds}; the limit is {MAX_TREE_SIZE}")
    return seconds


def cosignatures_of(opened: OpenedNote) -> tuple[Cosignature, ...]:
    """Return the cosignatures among the verified signatures of a note, one for each witness, in the order of their lines.

    Where a witness cosigned more than once, the first line stands for it.
    """
    return tuple(
        Cosignature(verified.verifier, cosignature_time(verified.signature.signature))
        for verified in opened.verified
        if isinstance(verified.verifier, CosignatureVerifier)
    )


def verify_cosignatures(note: bytes, witnesses: Sequence[CosignatureVerifier]) -> tuple[Cosignature, ...]:
    """Verify the cosignatures of known witnesses and return them; there is at least one.

    This says nothing about the log's own signature.

    Args:
        note: A signed checkpoint.
        witnesses: The known witnesses.

    Raises:
        MalformedError: The note does not have the form of a note.
        InvalidSignatureError: A known witness's line is invalid, or no known witness cosigned.
    """
    return cosignatures_of(open_note(note, witnesses))
