"""Receipts: one entry, its proof and a signed head in one file that verifies offline, for ever.

A receipt is a C2SP tlog-proof whose extra data is a `ledger.v1.ReceiptContent` in its one encoding: the leaf, and the
sections that are shown, each with the salt of its commitment. The rule that must not break: a section is read only
after its commitment, the leaf that holds it, the leaf's inclusion and the head's signature are verified; what a
receipt does not show is said, never assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from ledger.errors import ContentMismatchError, MalformedError, NewerSchemaError
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.event import Event, PersonalData
from ledger.events.leaf import Leaf, decode_leaf, genesis_hash
from ledger.events.wire import read_event, read_personal
from ledger.evidence.levels import Level
from ledger.evidence.tlog_proof import TlogProof, format_tlog_proof, parse_tlog_proof
from ledger.evidence.trusted import TrustedLog
from ledger.merkle import hash_leaf, verify_inclusion
from ledger.notes import Checkpoint, Verifier, open_checkpoint

T = TypeVar("T")

_VERSION = b"\x08\x01"
_LENGTH_DELIMITED = 2
# Of the leaf, the event, its salt, the personal section and its salt: fields 2 to 6.
_TAGS = tuple(bytes([number << 3 | _LENGTH_DELIMITED]) for number in range(2, 7))
_CONTINUES = 0x80


@dataclass(frozen=True, slots=True)
class Section:
    """A section that is shown, with what its commitment was made with.

    Attributes:
        salt: 16 bytes.
        content: The bytes that the client sent, at least one.
    """

    salt: bytes
    content: bytes

    def __post_init__(self) -> None:
        """Refuse what no receipt can hold."""
        if len(self.salt) != SALT_SIZE or not self.content:
            raise MalformedError(f"a section of a receipt has content and a salt of {SALT_SIZE} bytes")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it is written; nothing of it is verified.

    Attributes:
        leaf_index: Index of the leaf, 0 to 2**63 - 1.
        hashes: Inclusion proof under the checkpoint, 32 bytes each, at most 63.
        checkpoint_note: Signed checkpoint.
        leaf: The leaf's bytes, at least one.
        event: Event section, if it is shown.
        personal: Personal section, if it is shown. Erasure in the log does not reach a receipt that shows it.
    """

    leaf_index: int
    hashes: tuple[bytes, ...]
    checkpoint_note: bytes
    leaf: bytes
    event: Section | None = None
    personal: Section | None = None

    def __post_init__(self) -> None:
        """Refuse what no receipt can hold."""
        if not self.leaf:
            raise MalformedError("a receipt has no leaf")


class SectionStatus(Enum):
    """What a verified receipt says about one section; the value is the statement in words."""

    READ = "verified"
    NEWER_SCHEMA = "verified, content of a newer schema not read"
    NOT_SHOWN = "not shown by this receipt, so its content was not verified"
    NONE = "the entry has none"


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a receipt proves.

    Attributes:
        leaf_index: Index of the entry.
        checkpoint: The signed head that covers it.
        leaf: The entry's leaf.
        event: Content of the event section, if it was shown and read.
        personal: Content of the personal section, if it was shown and read.
        event_status: What there is to say about the event section.
        personal_status: What there is to say about the personal section.
        level: What the verification rests on.
        notes: What was not shown or not checked, one sentence each; empty if nothing is left open.
    """

    leaf_index: int
    checkpoint: Checkpoint
    leaf: Leaf
    event: Event | None
    personal: PersonalData | None
    event_status: SectionStatus
    personal_status: SectionStatus
    level: Level
    notes: tuple[str, ...]


def make_receipt(receipt: Receipt) -> bytes:
    """Return the bytes of a receipt file; the inverse of `parse_receipt`."""
    content = _encode_content(receipt.leaf, receipt.event, receipt.personal)
    return format_tlog_proof(TlogProof(receipt.leaf_index, receipt.hashes, receipt.checkpoint_note, content))


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt without verifying it.

    Args:
        data: The receipt file.

    Raises:
        MalformedError: The file is not a tlog-proof, or its extra data is not a receipt's in its one encoding.
    """
    proof = parse_tlog_proof(data)
    if proof.extra is None:
        raise MalformedError("the proof has no extra data, so it is not a receipt")
    leaf, event, personal = _decode_content(proof.extra)
    return Receipt(proof.leaf_index, proof.hashes, proof.checkpoint_note, leaf, event, personal)


def verify_receipt(
    data: bytes,
    verifier: Verifier,
    *,
    origin: str | None = None,
    trusted: TrustedLog | None = None,
    consistency: Sequence[bytes] | None = None,
) -> VerifiedReceipt:
    """Verify a receipt and read what it shows.

    Args:
        data: The receipt file.
        verifier: The key of the log, pinned.
        origin: Origin of the log, where it is not the name of the key.
        trusted: What is known of the log; with a head of the receipt's size, or with `consistency`, it raises the level
            to `PINNED_HEAD`. Its trusted head does not change.
        consistency: The consistency proof between the receipt's head and the trusted one, hashes of 32 bytes.

    Raises:
        MalformedError: The file, its checkpoint or its leaf does not have its form.
        InvalidSignatureError: The log did not sign the checkpoint.
        WrongOriginError: The checkpoint is of another log.
        InvalidProofError: The leaf is not in the tree at this index, or `consistency` is wrong.
        ContentMismatchError: A section is not what the leaf commits to, or the leaf is not one for this index.
        InvalidEventError: A section breaks the strict-bytes rule.
        ForkError: The trusted head has the same size and another root.
    """
    receipt = parse_receipt(data)
    checkpoint = open_checkpoint(receipt.checkpoint_note, verifier, origin).checkpoint
    leaf = decode_leaf(receipt.leaf)
    verify_inclusion(
        hash_leaf(receipt.leaf), receipt.leaf_index, checkpoint.tree_size, checkpoint.root_hash, receipt.hashes
    )
    check_place(leaf, receipt, checkpoint)
    event_status = _verify_section("event", receipt.event, leaf.event_commitment, commit_event)
    personal_status = _verify_section("personal", receipt.personal, leaf.personal_commitment, commit_personal)
    event, event_status = _read_section(read_event, receipt.event, event_status)
    personal, personal_status = _read_section(read_personal, receipt.personal, personal_status)
    level, notes = _reach_level(receipt.checkpoint_note, checkpoint, trusted, consistency)
    for name, status in (("event", event_status), ("personal", personal_status)):
        if status in {SectionStatus.NEWER_SCHEMA, SectionStatus.NOT_SHOWN}:
            notes.append(f"{name} section: {status.value}")
    if leaf.cosigned_head is not None:
        notes.append(f"cosigned head of size {leaf.cosigned_head.size} that the leaf names: not checked")
    return VerifiedReceipt(
        receipt.leaf_index, checkpoint, leaf, event, personal, event_status, personal_status, level, tuple(notes)
    )


def check_place(leaf: Leaf, receipt: Receipt, checkpoint: Checkpoint) -> None:
    """Check what a leaf says of its place: the chain where the receipt shows the entry before, and field 8's size.

    Raises:
        ContentMismatchError: It says something else.
    """
    index = receipt.leaf_index
    if index == 0 and leaf.previous != genesis_hash(checkpoint.origin):
        raise ContentMismatchError(f"the first leaf does not begin the chain of origin {checkpoint.origin!r}")
    # At an odd index the first sibling is the leaf hash of the entry before.
    if index & 1 and leaf.previous != receipt.hashes[0]:
        raise ContentMismatchError(f"the leaf of index {index} does not continue the chain from index {index - 1}")
    if leaf.cosigned_head is not None and leaf.cosigned_head.size > index:
        raise ContentMismatchError(
            f"the leaf of index {index} names a head of size {leaf.cosigned_head.size}, above it"
        )


def _verify_section(
    name: str, section: Section | None, commitment: bytes | None, commit: Callable[[bytes, bytes], bytes]
) -> SectionStatus:
    if section is None:
        return SectionStatus.NONE if commitment is None else SectionStatus.NOT_SHOWN
    if commitment is None:
        raise ContentMismatchError(f"the receipt shows a {name} section; the leaf says that there is none")
    if commit(section.salt, section.content) != commitment:
        raise ContentMismatchError(f"the {name} section is not the one that the leaf commits to")
    return SectionStatus.READ


def _read_section(
    read: Callable[[bytes], T], section: Section | None, status: SectionStatus
) -> tuple[T | None, SectionStatus]:
    if section is None:
        return None, status
    try:
        return read(section.content), status
    except NewerSchemaError:
        return None, SectionStatus.NEWER_SCHEMA


def _reach_level(
    note: bytes, checkpoint: Checkpoint, trusted: TrustedLog | None, consistency: Sequence[bytes] | None
) -> tuple[Level, list[str]]:
    known = trusted.checkpoint if trusted is not None else None
    if trusted is None or known is None:
        return Level.PINNED_KEY, []
    # A receipt is older than the newest head as a rule, so a smaller head without a proof is no rollback here.
    if consistency is None and known.tree_size != checkpoint.tree_size:
        return Level.PINNED_KEY, [
            f"head: of size {checkpoint.tree_size}, not shown to agree with the trusted one of size {known.tree_size}"
        ]
    trusted.check(note, consistency)
    return Level.PINNED_HEAD, []


def _encode_content(leaf: bytes, event: Section | None, personal: Section | None) -> bytes:
    parts = [_VERSION]
    fields = [leaf]
    for section in (event, personal):
        fields += (section.content, section.salt) if section else (b"", b"")
    for tag, value in zip(_TAGS, fields, strict=True):
        if value:
            parts += (tag, _encode_length(len(value)), value)
    return b"".join(parts)


def _decode_content(data: bytes) -> tuple[bytes, Section | None, Section | None]:
    if data[: len(_VERSION)] != _VERSION:
        raise MalformedError("the receipt's content does not begin with version 1; a newer verifier may read it")
    offset = len(_VERSION)
    values = []
    for tag in _TAGS:
        value = b""
        if data.startswith(tag, offset):
            length, begin = _decode_length(data, offset + 1)
            offset = begin + length
            value = data[begin:offset]
        values.append(value)
    # Tags ascend, no length is 0 or longer than it must be, and nothing is cut off or left over: so this is what
    # `_encode_content` writes, and no other bytes are accepted.
    if offset != len(data):
        raise MalformedError("the receipt's content is not in its one encoding")
    leaf, event, event_salt, personal, personal_salt = values
    return (
        leaf,
        Section(event_salt, event) if event_salt or event else None,
        Section(personal_salt, personal) if personal_salt or personal else None,
    )


def _encode_length(length: int) -> bytes:
    encoded = bytearray()
    while length >= _CONTINUES:
        encoded.append(length & 0x7F | _CONTINUES)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def _decode_length(data: bytes, offset: int) -> tuple[int, int]:
    # Five bytes are more than any receipt needs.
    length = byte = 0
    for shift in range(0, 35, 7):
        byte = data[offset] if offset < len(data) else 0
        offset += 1
        length |= (byte & 0x7F) << shift
        if byte < _CONTINUES:
            break
    # A last byte of 0 would add nothing, or say that the value is empty, which is left out instead.
    if not 0 < byte < _CONTINUES:
        raise MalformedError("a length in the receipt's content is not in its one encoding")
    return length, offset
