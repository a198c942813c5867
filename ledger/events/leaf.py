"""The leaf: the bytes that are hashed into the tree, in their one strict encoding.

It has the form of the message `ledger.v1.Leaf` with fields ascending and varints minimal. The rule that must not
break: one leaf value has one encoding, and any other byte string is refused; so a leaf hash names one leaf.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from struct import Struct
from typing import Final, NoReturn

from ledger.errors import MalformedError

LEAF_VERSION: Final = 1
"""Format version that this module writes and reads."""

HASH_SIZE: Final = 32
"""Bytes of a hash or commitment."""

PRINCIPAL_SIZE: Final = 16
"""Bytes of a principal id."""

PREVIOUS_TAG: Final = b"\x2a\x20"
"""Tag and length that come before the previous leaf hash."""

EVENT_TAG: Final = b"\x32\x20"
"""Tag and length that come before the event commitment."""

PERSONAL_TAG: Final = b"\x3a\x20"
"""Tag and length that come before the personal commitment."""

_GENESIS_PREFIX: Final = b"logproof/genesis/v1\x00"
_VERSION_TAG: Final = b"\x08"
_RECORDED_AT_TAG: Final = b"\x11"
_PRINCIPAL_TAG: Final = b"\x1a\x10"
_CATALOGUE_TAG: Final = b"\x20"
_COSIGNED_HEAD_TAG: Final = b"\x42"
_HEAD_SIZE_TAG: Final = b"\x08"
_HEAD_ROOT_TAG: Final = b"\x12\x20"
_HEAD_TIME_TAG: Final = b"\x19"
_FIXED64_SIZE: Final = 8
_UINT32_LIMIT: Final = 1 << 32
_SIZE_LIMIT: Final = 1 << 63
_FIXED64_LIMIT: Final = 1 << 64
_CONTINUES: Final = 0x80
_VARINT_MAX_BITS: Final = 70
# What nearly all leaves look like: a catalogue of one byte, no cosigned head; with a personal commitment or without.
_COMMON: Final = Struct("<3sQ2s16ssB2s32s2s32s")
_COMMON_PERSONAL: Final = Struct("<3sQ2s16ssB2s32s2s32s2s32s")
_RECORDED_AT: Final = 3
_CATALOGUE_AT: Final = 30
_COMMON_BEGINNING: Final = _VERSION_TAG + bytes([LEAF_VERSION]) + _RECORDED_AT_TAG


@dataclass(frozen=True, slots=True)
class CosignedHead:
    """A tree head that a witness cosigned.

    Attributes:
        size: Tree size, 1 to 2**63 - 1.
        root: Root hash, 32 bytes.
        cosigned_at: Time of the cosignature, seconds since 1970 in UTC, not 0.
    """

    size: int
    root: bytes
    cosigned_at: int

    def __post_init__(self) -> None:
        """Refuse what has no encoding.

        Raises:
            ValueError: A value is out of range.
        """
        _check_number("cosigned head size", self.size, _SIZE_LIMIT)
        _check_bytes("cosigned head root", self.root, HASH_SIZE)
        _check_number("cosigned head time", self.cosigned_at, _FIXED64_LIMIT)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What one entry adds to the tree.

    Attributes:
        recorded_at: When the server recorded it, microseconds since 1970 in UTC, not 0.
        principal: Principal that wrote it, 16 bytes, not all zero.
        catalogue: Version of the action catalogue, from 1.
        previous: Leaf hash of the entry before, 32 bytes; `genesis_hash` of the origin for index 0.
        event_commitment: Commitment to the event section, 32 bytes.
        personal_commitment: Commitment to the personal section, 32 bytes; None if there was none.
        cosigned_head: Newest cosigned head known; None if there was none.
    """

    recorded_at: int
    principal: bytes
    catalogue: int
    previous: bytes
    event_commitment: bytes
    personal_commitment: bytes | None = None
    cosigned_head: CosignedHead | None = None

    def __post_init__(self) -> None:
        """Refuse what has no encoding.

        Raises:
            ValueError: A value is out of range.
        """
        _check_number("recorded_at", self.recorded_at, _FIXED64_LIMIT)
        _check_bytes("principal", self.principal, PRINCIPAL_SIZE)
        _check_number("catalogue", self.catalogue, _UINT32_LIMIT)
        _check_bytes("previous leaf hash", self.previous, HASH_SIZE)
        _check_bytes("event commitment", self.event_commitment, HASH_SIZE)
        if self.personal_commitment is not None:
            _check_bytes("personal commitment", self.personal_commitment, HASH_SIZE)


def genesis_hash(origin: str) -> bytes:
    """Return what stands for the previous leaf hash in the leaf of index 0.

    Args:
        origin: Origin of the log.

    Returns:
        32 bytes.
    """
    return hashlib.sha256(_GENESIS_PREFIX + origin.encode()).digest()


def leaf_prefix(recorded_at: int, principal: bytes, catalogue: int) -> bytes:
    """Return the encoding of a leaf's first four fields, which the entries of one append share.

    A leaf is this prefix, `PREVIOUS_TAG`, the previous leaf hash, `EVENT_TAG`, the event commitment and, where there
    is a personal section, `PERSONAL_TAG` and its commitment.

    Args:
        recorded_at: Microseconds since 1970 in UTC, not 0.
        principal: 16 bytes, not all zero.
        catalogue: Version of the action catalogue, from 1.

    Raises:
        ValueError: A value is out of range.
    """
    _check_number("recorded_at", recorded_at, _FIXED64_LIMIT)
    _check_bytes("principal", principal, PRINCIPAL_SIZE)
    _check_number("catalogue", catalogue, _UINT32_LIMIT)
    return b"".join(
        (
            _VERSION_TAG,
            _encode_varint(LEAF_VERSION),
            _RECORDED_AT_TAG,
            recorded_at.to_bytes(_FIXED64_SIZE, "little"),
            _PRINCIPAL_TAG,
            principal,
            _CATALOGUE_TAG,
            _encode_varint(catalogue),
        )
    )


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the leaf's one encoding."""
    parts = [
        leaf_prefix(leaf.recorded_at, leaf.principal, leaf.catalogue),
        PREVIOUS_TAG,
        leaf.previous,
        EVENT_TAG,
        leaf.event_commitment,
    ]
    if leaf.personal_commitment is not None:
        parts += (PERSONAL_TAG, leaf.personal_commitment)
    if leaf.cosigned_head is not None:
        head = _encode_head(leaf.cosigned_head)
        parts += (_COSIGNED_HEAD_TAG, _encode_varint(len(head)), head)
    return b"".join(parts)


def decode_leaf(data: bytes) -> Leaf:
    """Return the leaf that has this encoding.

    Raises:
        MalformedError: The bytes are not the one encoding of a leaf; names the offset of the first wrong byte.
    """
    return _decode_common(data) or _decode_any(data)


def peek_leaf(data: bytes) -> tuple[int, int]:
    """Return recorded_at and the catalogue version of a leaf that was checked before, several times as fast.

    Raises:
        MalformedError: It surely is no leaf; that nothing is raised does not mean that it is one.
    """
    if len(data) < _COMMON.size or data[_CATALOGUE_AT] >= _CONTINUES:
        leaf = decode_leaf(data)
        return leaf.recorded_at, leaf.catalogue
    return int.from_bytes(data[_RECORDED_AT : _RECORDED_AT + _FIXED64_SIZE], "little"), data[_CATALOGUE_AT]


def _decode_common(data: bytes) -> Leaf | None:
    """Return a leaf of the common shape, several times as fast; None where it has another, or is not good."""
    personal_tag, personal = PERSONAL_TAG, None
    if len(data) == _COMMON.size:
        fields = _COMMON.unpack(data)
    elif len(data) == _COMMON_PERSONAL.size:
        fields = _COMMON_PERSONAL.unpack(data)
        personal_tag, personal = fields[-2:]
    else:
        return None
    (
        beginning,
        recorded_at,
        principal_tag,
        principal,
        catalogue_tag,
        catalogue,
        previous_tag,
        previous,
        event_tag,
        event,
    ) = fields[:10]
    if not (
        beginning == _COMMON_BEGINNING
        and principal_tag == _PRINCIPAL_TAG
        and catalogue_tag == _CATALOGUE_TAG
        and catalogue < _CONTINUES
        and previous_tag == PREVIOUS_TAG
        and event_tag == EVENT_TAG
        and personal_tag == PERSONAL_TAG
    ):
        return None
    try:
        return Leaf(recorded_at, principal, catalogue, previous, event, personal)
    except ValueError:
        return None


def _decode_any(data: bytes) -> Leaf:
    reader = _Reader(data)
    reader.expect(_VERSION_TAG, "version")
    version = reader.varint("version", _UINT32_LIMIT)
    if version != LEAF_VERSION:
        msg = f"leaf format version is {version}; this reader knows {LEAF_VERSION}"
        raise MalformedError(msg, metadata={"offset": "1"})
    reader.expect(_RECORDED_AT_TAG, "recorded_at")
    recorded_at = reader.fixed64("recorded_at")
    reader.expect(_PRINCIPAL_TAG, "principal")
    principal = reader.take(PRINCIPAL_SIZE, "principal")
    reader.expect(_CATALOGUE_TAG, "catalogue")
    catalogue = reader.varint("catalogue", _UINT32_LIMIT)
    reader.expect(PREVIOUS_TAG, "previous leaf hash")
    previous = reader.take(HASH_SIZE, "previous leaf hash")
    reader.expect(EVENT_TAG, "event commitment")
    event_commitment = reader.take(HASH_SIZE, "event commitment")
    personal_commitment = None
    if reader.has(PERSONAL_TAG):
        personal_commitment = reader.take(HASH_SIZE, "personal commitment")
    cosigned_head = None
    if reader.has(_COSIGNED_HEAD_TAG):
        cosigned_head = _decode_head(reader)
    reader.finish()
    return Leaf(recorded_at, principal, catalogue, previous, event_commitment, personal_commitment, cosigned_head)


def _encode_head(head: CosignedHead) -> bytes:
    return b"".join(
        (
            _HEAD_SIZE_TAG,
            _encode_varint(head.size),
            _HEAD_ROOT_TAG,
            head.root,
            _HEAD_TIME_TAG,
            head.cosigned_at.to_bytes(_FIXED64_SIZE, "little"),
        )
    )


def _decode_head(reader: _Reader) -> CosignedHead:
    length = reader.varint("cosigned head length", _UINT32_LIMIT)
    begin = reader.offset
    reader.expect(_HEAD_SIZE_TAG, "cosigned head size")
    size = reader.varint("cosigned head size", _SIZE_LIMIT)
    reader.expect(_HEAD_ROOT_TAG, "cosigned head root")
    root = reader.take(HASH_SIZE, "cosigned head root")
    reader.expect(_HEAD_TIME_TAG, "cosigned head time")
    cosigned_at = reader.fixed64("cosigned head time")
    if reader.offset - begin != length:
        reader.fail(f"cosigned head has {reader.offset - begin} bytes, its length says {length}", begin)
    return CosignedHead(size, root, cosigned_at)


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _CONTINUES:
        encoded.append(value & 0x7F | _CONTINUES)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _check_number(name: str, value: int, limit: int) -> None:
    if not 0 < value < limit:
        msg = f"{name} is 1 to {limit - 1}, not {value}"
        raise ValueError(msg)


def _check_bytes(name: str, value: bytes, size: int) -> None:
    if len(value) != size:
        msg = f"{name} has {size} bytes, not {len(value)}"
        raise ValueError(msg)
    if not any(value):
        msg = f"{name} is all zero"
        raise ValueError(msg)


class _Reader:
    """A cursor over the encoding; each step raises at the first byte that does not fit."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def fail(self, problem: str, offset: int) -> NoReturn:
        msg = f"leaf is malformed at offset {offset}: {problem}"
        raise MalformedError(msg, metadata={"offset": str(offset)})

    def has(self, tag: bytes) -> bool:
        if not self.data.startswith(tag, self.offset):
            return False
        self.offset += len(tag)
        return True

    def expect(self, tag: bytes, name: str) -> None:
        if not self.has(tag):
            found = self.data[self.offset : self.offset + len(tag)].hex() or "the end"
            self.fail(f"{name} begins with {tag.hex()}, found {found}", self.offset)

    def take(self, size: int, name: str) -> bytes:
        taken = self.data[self.offset : self.offset + size]
        if len(taken) != size:
            self.fail(f"{name} has {size} bytes, found {len(taken)}", self.offset)
        if not any(taken):
            self.fail(f"{name} is all zero", self.offset)
        self.offset += size
        return taken

    def fixed64(self, name: str) -> int:
        return int.from_bytes(self.take(_FIXED64_SIZE, name), "little")

    def varint(self, name: str, limit: int) -> int:
        begin = self.offset
        value = shift = 0
        while True:
            if self.offset >= len(self.data):
                self.fail(f"{name} is cut off", begin)
            byte = self.data[self.offset]
            value |= (byte & 0x7F) << shift
            if value >= limit:
                self.fail(f"{name} is {limit} or more", begin)
            self.offset += 1
            shift += 7
            if byte < _CONTINUES:
                break
            if shift >= _VARINT_MAX_BITS:
                self.fail(f"{name} is longer than any number", begin)
        if value == 0:
            self.fail(f"{name} is 0", begin)
        if byte == 0:
            self.fail(f"{name} is not in its shortest form", begin)
        return value

    def finish(self) -> None:
        if self.offset != len(self.data):
            self.fail(f"{len(self.data) - self.offset} bytes follow the last field", self.offset)
