"""How a store lies on the disk: tables, keys, encodings, the format number, and the shape that a batch must have.

Everything here is part of the stored format. A change that an older program would misread needs a new `FORMAT`.
Integers are big-endian, so that keys sort by number.

    table              key                     value
    meta               `format`                FORMAT, 4 bytes; in the same place in every format
                       `store`                 created_at (8 bytes), origin (UTF-8), checksum
                       `head`                  tree_size (8), last_recorded_at (8), root (32), last leaf hash (32),
                                               frontier (32 each), checksum
    leaves             leaf index, 8 bytes     leaf
    hashes             position // 63, 8 bytes up to 63 hashes of 32 bytes; only the last value is shorter than that
    event_sections     leaf index, 8 bytes     salt (16) and event section
    personal_sections  leaf index, 8 bytes     salt (16) and personal section; no row where there is none
    event_ids          event id, ASCII; zero   leaf index, 8 bytes
                       byte for `ledger-`
    records            name, ASCII             whatever its owner keeps

Ids that the server makes are kept with a zero byte for their `ledger-`, which no id of a client begins with. They sort
below all others, so that clients' ids in order of time stay the last ones: LMDB fills pages that grow at the end, and
leaves those half empty that grow before a key which stays the last.

A checksum is the SHA-256 of what stands before it. 63 hashes are the most that LMDB keeps two to a 4,096-byte page;
with 64 each would take pages of its own.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from ledger.errors import CorruptionError
from ledger.events.ids import RESERVED_ID_PREFIX
from ledger.merkle.hashing import split_hashes
from ledger.merkle.ranges import stored_count
from ledger.storage.api import EntryBatch, HeadRecord, StoreMeta

FORMAT = 2

META_TABLE = "meta"
LEAVES_TABLE = "leaves"
HASHES_TABLE = "hashes"
EVENT_SECTIONS_TABLE = "event_sections"
PERSONAL_SECTIONS_TABLE = "personal_sections"
EVENT_IDS_TABLE = "event_ids"
RECORDS_TABLE = "records"
TABLES = (
    META_TABLE,
    LEAVES_TABLE,
    HASHES_TABLE,
    EVENT_SECTIONS_TABLE,
    PERSONAL_SECTIONS_TABLE,
    EVENT_IDS_TABLE,
    RECORDS_TABLE,
)

FORMAT_KEY = b"format"
STORE_KEY = b"store"
HEAD_KEY = b"head"

HASH_SIZE = 32
HASHES_PER_CHUNK = 63
CHUNK_SIZE = HASHES_PER_CHUNK * HASH_SIZE
MAX_EVENT_ID_SIZE = 511
MAX_RECORD_NAME_SIZE = 200

_CHECKSUM_SIZE = 32
_RESERVED = RESERVED_ID_PREFIX.encode()
_HEAD_PREFIX = struct.Struct(">QQ32s32s")
_FORMAT_VALUE = struct.Struct(">I")


def encode_index(index: int) -> bytes:
    """Return the key of a leaf index or chunk number, 8 bytes; ValueError unless 0 <= index < 2**64."""
    try:
        return index.to_bytes(8, "big")
    except OverflowError:
        raise ValueError(f"{index} is not a leaf index or hash position") from None


def encode_indexes(indexes: Sequence[int]) -> list[bytes]:
    """Return the keys of leaf indexes or chunk numbers, 8 bytes each; ValueError unless all are from 0 to below 2**64."""
    try:
        packed = struct.pack(f">{len(indexes)}Q", *indexes)
    except struct.error:
        raise ValueError("not all are leaf indexes or hash positions") from None
    return [packed[offset : offset + 8] for offset in range(0, len(packed), 8)]


def decode_index(value: bytes) -> int:
    """Return the leaf index of a row's 8 bytes.

    Raises:
        CorruptionError: It has another length.
    """
    if len(value) != 8:
        raise CorruptionError(f"a stored leaf index has {len(value)} bytes instead of 8")
    return int.from_bytes(value, "big")


def decode_indexes(values: Sequence[bytes]) -> Sequence[int]:
    """Return the leaf indexes of rows of 8 bytes each.

    Raises:
        CorruptionError: One has another length.
    """
    if not {8}.issuperset(map(len, values)):
        return [decode_index(value) for value in values]
    return struct.unpack(f">{len(values)}Q", b"".join(values))


def encode_event_ids(event_ids: Sequence[bytes]) -> list[bytes]:
    """Return the keys of event ids of 1 to 511 bytes."""
    size = len(_RESERVED)
    return [b"\0" + event_id[size:] if event_id[:size] == _RESERVED else event_id for event_id in event_ids]


def encode_format(number: int = FORMAT) -> bytes:
    """Return the value under `format`, 4 bytes."""
    return _FORMAT_VALUE.pack(number)


def decode_format(value: bytes) -> int:
    """Return the format number of a store.

    Raises:
        CorruptionError: The value does not have 4 bytes.
    """
    if len(value) != _FORMAT_VALUE.size:
        raise CorruptionError(f"the stored format number has {len(value)} bytes instead of {_FORMAT_VALUE.size}")
    return int(_FORMAT_VALUE.unpack(value)[0])


def encode_meta(meta: StoreMeta) -> bytes:
    """Return the value under `store`."""
    return _seal(encode_index(meta.created_at) + meta.origin.encode())


def decode_meta(value: bytes) -> StoreMeta:
    """Return what the store was made for.

    Raises:
        CorruptionError: The bytes are not what `encode_meta` wrote.
    """
    payload = _unseal(value, "description of the store")
    if len(payload) <= 8:
        raise CorruptionError(f"the description of the store has {len(payload)} bytes; the origin is missing")
    try:
        origin = payload[8:].decode()
    except UnicodeDecodeError:
        raise CorruptionError("the origin in the description of the store is not UTF-8") from None
    return StoreMeta(origin=origin, created_at=decode_index(payload[:8]))


def encode_head(head: HeadRecord) -> bytes:
    """Return the value under `head`.

    Raises:
        ValueError: A hash does not have 32 bytes, the frontier has not one root for each bit set in the tree size, or
            a number is out of range.
    """
    hashes = (head.root_hash, head.last_leaf_hash, *head.frontier)
    if any(len(value) != HASH_SIZE for value in hashes):
        raise ValueError(f"a hash of the head for tree size {head.tree_size} does not have {HASH_SIZE} bytes")
    if len(head.frontier) != head.tree_size.bit_count():
        raise ValueError(f"the frontier of tree size {head.tree_size} cannot have {len(head.frontier)} hashes")
    numbers = encode_index(head.tree_size) + encode_index(head.last_recorded_at)
    return _seal(numbers + b"".join(hashes))


def decode_head(value: bytes) -> HeadRecord:
    """Return the head record of its stored bytes.

    Raises:
        CorruptionError: The bytes are not what `encode_head` wrote.
    """
    payload = _unseal(value, "head record")
    if len(payload) < _HEAD_PREFIX.size:
        raise CorruptionError(f"the head record has {len(payload)} bytes; at least {_HEAD_PREFIX.size} are needed")
    tree_size, last_recorded_at, root_hash, last_leaf_hash = _HEAD_PREFIX.unpack_from(payload)
    frontier = payload[_HEAD_PREFIX.size :]
    if len(frontier) != HASH_SIZE * tree_size.bit_count():
        raise CorruptionError(f"the head record of tree size {tree_size} has a frontier of {len(frontier)} bytes")
    return HeadRecord(
        tree_size=tree_size,
        root_hash=root_hash,
        frontier=tuple(split_hashes(frontier)),
        last_leaf_hash=last_leaf_hash,
        last_recorded_at=last_recorded_at,
    )


def encode_record_name(name: str) -> bytes:
    """Return the key of a record; ValueError unless the name has 1 to 200 bytes of ASCII."""
    if not name.isascii() or not 1 <= len(name) <= MAX_RECORD_NAME_SIZE:
        raise ValueError(f"{name!r} is no record name: 1 to {MAX_RECORD_NAME_SIZE} bytes of ASCII")
    return name.encode("ascii")


def check_hash(value: bytes) -> None:
    """Return if the value can be a hash; raise ValueError otherwise."""
    if len(value) != HASH_SIZE:
        raise ValueError(f"a hash has {HASH_SIZE} bytes, not {len(value)}")


def check_event_ids(event_ids: Sequence[bytes]) -> None:
    """Return if each event id has 1 to 511 bytes, which is what a key may have; raise ValueError otherwise."""
    if event_ids and not (min(map(len, event_ids)) >= 1 and max(map(len, event_ids)) <= MAX_EVENT_ID_SIZE):
        raise ValueError(f"an event id has not between 1 and {MAX_EVENT_ID_SIZE} bytes")


def check_batch(batch: EntryBatch) -> int:
    """Return the number of entries if the batch is of one piece; what is stored plays no part.

    Raises:
        ValueError: The columns differ in length, are empty, hold an empty leaf or event section, or the hashes or the
            head are not those that so many leaves complete.
    """
    count = len(batch.leaves)
    columns = (batch.event_sections, batch.personal_sections, batch.event_ids)
    if count == 0 or any(len(column) != count for column in columns):
        lengths = (count, *map(len, columns))
        raise ValueError(f"leaves, event sections, personal sections and event ids of a batch: {lengths} rows")
    if not all(batch.leaves) or not all(batch.event_sections):
        raise ValueError("a leaf or event section of a batch is empty")
    check_event_ids(batch.event_ids)
    end = batch.first_index + count
    if batch.head.tree_size != end:
        raise ValueError(f"the head of a batch that ends at {end} has tree size {batch.head.tree_size}")
    completed = stored_count(end) - stored_count(batch.first_index)
    if len(batch.hashes) != HASH_SIZE * completed:
        raise ValueError(f"leaves [{batch.first_index}, {end}) complete {completed} hashes of {HASH_SIZE} bytes")
    return count


def _seal(payload: bytes) -> bytes:
    return payload + hashlib.sha256(payload).digest()


def _unseal(value: bytes, what: str) -> bytes:
    payload, checksum = value[:-_CHECKSUM_SIZE], value[-_CHECKSUM_SIZE:]
    if hashlib.sha256(payload).digest() != checksum:
        raise CorruptionError(f"the checksum of the {what} does not match its content")
    return payload
