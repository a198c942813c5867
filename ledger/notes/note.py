"""Signed notes: text under one or more signatures.

The rule that must not break: every line of a note is read and fits, or the note is refused, because text that a
reader skips is text that nobody signed; and no text leaves `open_note` without a valid signature of a known key.

Source: C2SP signed-note v1.0.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.errors import InvalidSignatureError, MalformedError
from ledger.notes.encoding import check_key_name, check_text, decode_base64, decode_text, encode_base64

MAX_NOTE_BYTES = 1_000_000
"""Largest note that is read, bytes."""

MAX_SIGNATURES = 100
"""Most signature lines that a note may have."""

_KEY_ID_SIZE = 4
_LINE_START = "\u2014 "


class Verifier(Protocol):
    """A public key that signatures of notes are checked with; of any algorithm."""

    @property
    def name(self) -> str:
        """Name of the key, as in signature lines."""

    @property
    def key_id(self) -> int:
        """Key id, 0 to 2**32 - 1; with the name it identifies key and algorithm."""

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if the signature (without its key id) is this key's over the note text; raise otherwise.

        Raises:
            InvalidSignatureError: It is not.
        """


class Signer(Protocol):
    """A private key that notes are signed with; of any algorithm, in memory or behind a service."""

    @property
    def name(self) -> str:
        """Name of the key, as in signature lines."""

    @property
    def key_id(self) -> int:
        """Key id, 0 to 2**32 - 1."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature (without the key id) over the note text."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, not verified.

    Attributes:
        name: Name of the key.
        key_id: Key id, 0 to 2**32 - 1.
        signature: What follows the key id; at least 1 byte, 64 for Ed25519.
    """

    name: str
    key_id: int
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse what no signature line can hold."""
        check_key_name(self.name)
        if not 0 <= self.key_id < 1 << 32:
            raise MalformedError(f"key id {self.key_id} does not fit 32 bits")
        if not self.signature:
            raise MalformedError(f"the signature of key {self.name[:80]!r} has nothing after its key id")


@dataclass(frozen=True, slots=True)
class Note:
    """A note whose signatures have not been verified; its text must not be acted upon.

    Attributes:
        text: The signed text, ending in a newline.
        signatures: The signature lines in order, 1 to `MAX_SIGNATURES`.
    """

    text: str
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        """Refuse a text or a number of signatures that no note can have."""
        check_note_text(self.text)
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise MalformedError(f"a note has {len(self.signatures)} signature lines; 1 to {MAX_SIGNATURES} are read")


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that was found valid.

    Attributes:
        verifier: The key that it is valid under.
        signature: The line.
    """

    verifier: Verifier
    signature: Signature


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note that at least one known key signed.

    Attributes:
        text: The signed text, ending in a newline.
        verified: The valid signatures of known keys, one for each key, in the order of their lines; at least one.
        unverified: The signatures of unknown keys, each once, in the order of their lines; they say nothing.
    """

    text: str
    verified: tuple[VerifiedSignature, ...]
    unverified: tuple[Signature, ...]


def check_note_text(text: str) -> None:
    """Return if `text` can be the text of a note: UTF-8, no control characters, with a newline at the end.

    Raises:
        MalformedError: It cannot.
    """
    check_text(text, "a note text")
    if not text.endswith("\n"):
        raise MalformedError("a note text does not end in a newline")


def parse_note(data: bytes) -> Note:
    """Read a note without verifying it.

    Args:
        data: The note, at most `MAX_NOTE_BYTES` bytes.

    Raises:
        MalformedError: Any line does not have the form of a note.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedError(f"a note is {len(data)} bytes; the limit is {MAX_NOTE_BYTES}")
    text = decode_text(data, "a note")
    # The text may hold empty lines itself; only the last one separates.
    separator = text.rfind("\n\n")
    if separator < 0:
        raise MalformedError("a note has no empty line between its text and its signatures")
    block = text[separator + 2 :]
    if not block.endswith("\n"):
        raise MalformedError("a note does not end in a signature line with a newline")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"a note has {len(lines)} signature lines; the limit is {MAX_SIGNATURES}")
    return Note(text[: separator + 1], tuple(_parse_line(line) for line in lines))


def format_note(note: Note) -> bytes:
    """Return the bytes of a note; the inverse of `parse_note`."""
    return (note.text + "\n" + "".join(map(_format_line, note.signatures))).encode("utf-8")


def open_note(data: bytes, verifiers: Sequence[Verifier]) -> OpenedNote:
    """Read a note and verify each signature of a known key.

    A line belongs to a known key if name and key id both agree; lines of other keys are kept and say nothing. Each line
    of a known key must verify, and the first one of each key stands for it.

    Args:
        data: The note, at most `MAX_NOTE_BYTES` bytes.
        verifiers: The known keys; name and key id together must be distinct.

    Raises:
        MalformedError: The note does not have the form of a note.
        InvalidSignatureError: A known key's signature is invalid, or no known key signed.
        ValueError: Two different verifiers have the same name and key id.
    """
    known: dict[tuple[str, int], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise ValueError(f"two verifiers are named {verifier.name} with key id {verifier.key_id:08x}")
    note = parse_note(data)
    message = note.text.encode("utf-8")
    verified: dict[tuple[str, int], VerifiedSignature] = {}
    unverified: dict[Signature, None] = {}
    for line in note.signatures:
        identity = (line.name, line.key_id)
        if identity not in known:
            # As a mapping for its order: the same line again says nothing more.
            unverified[line] = None
            continue
        # Each must hold, also a repeated one; and a key counts once, however often it signed.
        known[identity].verify(message, line.signature)
        verified.setdefault(identity, VerifiedSignature(known[identity], line))
    if not verified:
        raise InvalidSignatureError(
            f"none of the note's {len(unverified)} signatures is of a known key",
            hint="check that the verifier key is the one of this log",
        )
    return OpenedNote(note.text, tuple(verified.values()), tuple(unverified))


def sign_note(text: str, signers: Sequence[Signer]) -> bytes:
    """Sign a text and return the note.

    Args:
        text: The text, ending in a newline.
        signers: The keys, in the order of their lines.

    Raises:
        MalformedError: The text cannot be the text of a note, or there is no signer.
    """
    check_note_text(text)
    message = text.encode("utf-8")
    lines = (Signature(signer.name, signer.key_id, signer.sign(message)) for signer in signers)
    return format_note(Note(text, tuple(lines)))


def _parse_line(line: str) -> Signature:
    name, separator, encoded = line.removeprefix(_LINE_START).partition(" ")
    if not line.startswith(_LINE_START) or not separator:
        raise MalformedError(f"a line among the signatures of a note is not a signature line: {line[:80]!r}")
    payload = decode_base64(encoded, f"the signature of key {name[:80]!r}")
    return Signature(name, int.from_bytes(payload[:_KEY_ID_SIZE], "big"), payload[_KEY_ID_SIZE:])


def _format_line(line: Signature) -> str:
    payload = line.key_id.to_bytes(_KEY_ID_SIZE, "big") + line.signature
    return f"{_LINE_START}{line.name} {encode_base64(payload)}\n"
