"""Checkpoints: a log's tree head as text, and as a signed note.

The rule that must not break: a size is believed only from a checkpoint whose signature verified, and of extension
lines nothing is believed at all: they are read, kept, and never acted upon.

Source: C2SP tlog-checkpoint v1.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.errors import InvalidSignatureError, MalformedError, WrongOriginError
from ledger.notes.cosignature import CosignatureVerifier
from ledger.notes.encoding import MAX_TREE_SIZE, check_text, decode_base64, encode_base64, parse_decimal
from ledger.notes.note import OpenedNote, Signer, Verifier, open_note, sign_note

_ROOT_SIZE = 32
_FIXED_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The body of a checkpoint.

    Attributes:
        origin: Identity of the log; one line, not empty.
        tree_size: Number of leaves, 0 to 2**63 - 1.
        root_hash: Root of the tree, 32 bytes.
        extensions: Extension lines without their newlines, none empty; never to be acted upon.
    """

    origin: str
    tree_size: int
    root_hash: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what a checkpoint cannot state."""
        for line in (self.origin, *self.extensions):
            check_text(line, "a line of a checkpoint")
            if not line or "\n" in line:
                raise MalformedError(f"an origin or extension of a checkpoint is not one line: {line[:80]!r}")
        if not 0 <= self.tree_size <= MAX_TREE_SIZE:
            raise MalformedError(f"a checkpoint's tree size is {self.tree_size}; the limits are 0 and {MAX_TREE_SIZE}")
        if len(self.root_hash) != _ROOT_SIZE:
            raise MalformedError(f"a checkpoint's root hash is {len(self.root_hash)} bytes instead of {_ROOT_SIZE}")


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint whose log's signature verified.

    Attributes:
        checkpoint: The body.
        note: The signed note that was opened.
        opened: The note's text and signatures.
    """

    checkpoint: Checkpoint
    note: bytes
    opened: OpenedNote


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the body of a checkpoint.

    Args:
        text: The text of the note.

    Raises:
        MalformedError: Any line does not have the form of a checkpoint's.
    """
    if not text.endswith("\n"):
        raise MalformedError("a checkpoint does not end in a newline")
    lines = text[:-1].split("\n")
    if len(lines) < _FIXED_LINES:
        raise MalformedError(f"a checkpoint has {len(lines)} lines; it needs origin, tree size and root hash")
    origin, size, root, *extensions = lines
    return Checkpoint(
        origin,
        parse_decimal(size, "a checkpoint's tree size"),
        decode_base64(root, "a checkpoint's root hash"),
        tuple(extensions),
    )


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the body's text; the inverse of `parse_checkpoint`."""
    root = encode_base64(checkpoint.root_hash)
    return "\n".join((checkpoint.origin, str(checkpoint.tree_size), root, *checkpoint.extensions, ""))


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Return the checkpoint as a note with one signature.

    The signer must not have signed another root for this size, which is for the caller to ensure.

    Args:
        checkpoint: The body.
        signer: The key of the log.
    """
    return sign_note(format_checkpoint(checkpoint), (signer,))


def open_checkpoint(note: bytes, verifier: Verifier, origin: str | None = None) -> OpenedCheckpoint:
    """Verify a signed checkpoint and read it.

    Args:
        note: The signed note, at most 1,000,000 bytes.
        verifier: The key of the log.
        origin: Origin of the log, where it is not the name of the key.

    Raises:
        MalformedError: The note, or its text, does not have its form.
        InvalidSignatureError: The key did not sign it, or is a witness's, who vouches for consistency and no more.
        WrongOriginError: The key signed it, for another origin.
    """
    if isinstance(verifier, CosignatureVerifier):
        raise InvalidSignatureError(f"the key of {verifier.name} is a witness's, not a log's")
    opened = open_note(note, (verifier,))
    checkpoint = parse_checkpoint(opened.text)
    expected = verifier.name if origin is None else origin
    if checkpoint.origin != expected:
        raise WrongOriginError(f"the checkpoint is of origin {checkpoint.origin!r}; expected {expected!r}")
    return OpenedCheckpoint(checkpoint, note, opened)
