from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError
from ledger.events.leaf import (
    EVENT_TAG,
    PERSONAL_TAG,
    PREVIOUS_TAG,
    CosignedHead,
    Leaf,
    _decode_any,
    _decode_common,
    decode_leaf,
    encode_leaf,
    genesis_hash,
    leaf_prefix,
)
from ledger.v1 import leaf_pb2

_HASHES = st.binary(min_size=32, max_size=32).filter(any)
_HEADS = st.builds(CosignedHead, st.integers(1, (1 << 63) - 1), _HASHES, st.integers(1, (1 << 64) - 1))
_LEAVES = st.builds(
    Leaf,
    st.integers(1, (1 << 64) - 1),
    st.binary(min_size=16, max_size=16).filter(any),
    st.integers(1, (1 << 32) - 1),
    _HASHES,
    _HASHES,
    st.none() | _HASHES,
    st.none() | _HEADS,
)
_LEAF = Leaf(
    recorded_at=1_771_597_800_000_000,
    principal=b"p" * 16,
    catalogue=1,
    previous=b"a" * 32,
    event_commitment=b"e" * 32,
    personal_commitment=b"q" * 32,
    cosigned_head=CosignedHead(300, b"r" * 32, 1_771_597_800),
)


@given(_LEAVES)
def test_decoding_gives_what_was_encoded(leaf: Leaf) -> None:
    assert decode_leaf(encode_leaf(leaf)) == leaf


@given(_LEAVES)
def test_encoding_is_what_the_protobuf_runtime_writes(leaf: Leaf) -> None:
    head = leaf.cosigned_head
    message = leaf_pb2.Leaf(
        version=1,
        recorded_at=leaf.recorded_at,
        principal=leaf.principal,
        catalogue=leaf.catalogue,
        previous=leaf.previous,
        event_commitment=leaf.event_commitment,
        personal_commitment=leaf.personal_commitment or b"",
        cosigned_head=None
        if head is None
        else leaf_pb2.CosignedHead(size=head.size, root=head.root, cosigned_at=head.cosigned_at),
    )
    assert encode_leaf(leaf) == message.SerializeToString()


@given(_LEAVES)
def test_leaf_is_its_prefix_and_tagged_hashes(leaf: Leaf) -> None:
    plain = replace(leaf, cosigned_head=None)
    expected = leaf_prefix(leaf.recorded_at, leaf.principal, leaf.catalogue)
    expected += PREVIOUS_TAG + leaf.previous + EVENT_TAG + leaf.event_commitment
    if leaf.personal_commitment is not None:
        expected += PERSONAL_TAG + leaf.personal_commitment
    assert encode_leaf(plain) == expected


@given(_LEAVES, st.data())
def test_every_changed_bit_is_refused_or_is_another_leaf(leaf: Leaf, data: st.DataObject) -> None:
    encoded = bytearray(encode_leaf(leaf))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = decode_leaf(bytes(encoded))
    except MalformedError:
        return
    assert other != leaf
    assert encode_leaf(other) == encoded


@given(_LEAVES, st.data())
def test_cut_leaf_is_refused_or_is_another_leaf(leaf: Leaf, data: st.DataObject) -> None:
    encoded = encode_leaf(leaf)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    # A leaf may end after the event commitment and after the personal one; anywhere else it is cut.
    ends = {len(encode_leaf(replace(leaf, cosigned_head=None)))}
    ends.add(len(encode_leaf(replace(leaf, cosigned_head=None, personal_commitment=None))))
    if len(cut) in ends:
        assert encode_leaf(decode_leaf(cut)) == cut
    else:
        with pytest.raises(MalformedError):
            decode_leaf(cut)


def _changed(old: bytes, new: bytes, leaf: Leaf = _LEAF) -> bytes:
    encoded = encode_leaf(leaf)
    assert encoded.count(old) == 1
    return encoded.replace(old, new)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "offset 0: version begins with 08, found the end"),
        (b"\x08", "offset 1: version is cut off"),
        (_changed(b"\x08\x01\x11", b"\x08\x02\x11"), "version is 2; this reader knows 1"),
        (_changed(b"\x08\x01\x11", b"\x08\x00\x11"), "offset 1: version is 0"),
        (_changed(b"\x08\x01\x11", b"\x08\x81\x00\x11"), "offset 1: version is not in its shortest form"),
        (_changed(b"\x08\x01\x11", b"\x11"), "offset 0: version begins with 08, found 11"),
        (_changed(b"\x08\x01\x11", b"\x08\x01\x08\x01\x11"), "offset 2: recorded_at begins with 11, found 08"),
        (encode_leaf(_LEAF)[:3] + bytes(8) + encode_leaf(_LEAF)[11:], "offset 3: recorded_at is all zero"),
        (encode_leaf(_LEAF)[:9], "offset 3: recorded_at has 8 bytes, found 6"),
        (_changed(b"\x1a\x10" + b"p" * 16, b"\x1a\x0f" + b"p" * 15), "offset 11: principal begins with 1a10"),
        (_changed(b"p" * 16, bytes(16)), "principal is all zero"),
        (_changed(b"\x20\x01\x2a", b"\x20\x00\x2a"), "catalogue is 0"),
        (_changed(b"\x20\x01\x2a", b"\x20\x80\x80\x80\x80\x10\x2a"), "catalogue is 4294967296 or more"),
        (_changed(b"\x20\x01\x2a", b"\x20" + b"\x80" * 11 + b"\x01\x2a"), "catalogue is longer than any number"),
        (_changed(b"a" * 32, bytes(32)), "previous leaf hash is all zero"),
        (_changed(b"e" * 32, bytes(32)), "event commitment is all zero"),
        (_changed(b"q" * 32, bytes(32)), "personal commitment is all zero"),
        (_changed(b"\x2a\x20" + b"a" * 32, b""), "previous leaf hash begins with 2a20"),
        (_changed(b"\x3a\x20" + b"q" * 32, b"\x3a\x1f" + b"q" * 31), "bytes follow the last field"),
        (_changed(b"\x42\x2e", b"\x42\x2d"), "cosigned head has 46 bytes, its length says 45"),
        (_changed(b"\x08\xac\x02", b"\x08\x00"), "cosigned head size is 0"),
        (_changed(b"\x08\xac\x02", b"\x08" + b"\xff" * 8 + b"\xff\x01"), "cosigned head size is 9223372036854775808"),
        (_changed(b"r" * 32, bytes(32)), "cosigned head root is all zero"),
        (encode_leaf(_LEAF)[:-8] + bytes(8), "cosigned head time is all zero"),
        (encode_leaf(_LEAF)[:-9], "cosigned head time begins with 19, found the end"),
        (encode_leaf(_LEAF) + b"\x00", "1 bytes follow the last field"),
        (encode_leaf(_LEAF) + b"\x48\x01", "2 bytes follow the last field"),
    ],
)
def test_anything_but_the_one_encoding_is_refused_with_the_offset(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        decode_leaf(data)
    assert caught.value.metadata["offset"].isdecimal()


def test_fields_in_another_order_are_refused() -> None:
    previous, event = PREVIOUS_TAG + b"a" * 32, EVENT_TAG + b"e" * 32
    with pytest.raises(MalformedError, match="previous leaf hash begins with 2a20, found 3220"):
        decode_leaf(_changed(previous + event, event + previous))


@pytest.mark.parametrize(
    "values",
    [
        {"recorded_at": 0},
        {"recorded_at": 1 << 64},
        {"principal": b"p" * 15},
        {"principal": bytes(16)},
        {"catalogue": 0},
        {"catalogue": 1 << 32},
        {"previous": b"a" * 31},
        {"event_commitment": b""},
        {"personal_commitment": b"q" * 33},
    ],
)
def test_leaf_that_has_no_encoding_is_not_made(values: dict[str, int | bytes]) -> None:
    with pytest.raises(ValueError):
        replace(_LEAF, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "root", "time"), [(0, b"r" * 32, 1), (1 << 63, b"r" * 32, 1), (1, b"r", 1), (1, b"r" * 32, 0)]
)
def test_cosigned_head_that_has_no_encoding_is_not_made(size: int, root: bytes, time: int) -> None:
    with pytest.raises(ValueError):
        CosignedHead(size, root, time)


@pytest.mark.parametrize(
    ("recorded_at", "principal", "catalogue"), [(0, b"p" * 16, 1), (1, b"p", 1), (1, b"p" * 16, 0)]
)
def test_prefix_that_has_no_encoding_is_not_made(recorded_at: int, principal: bytes, catalogue: int) -> None:
    with pytest.raises(ValueError):
        leaf_prefix(recorded_at, principal, catalogue)


@given(_LEAVES, st.data())
def test_quick_reading_agrees_with_the_strict_one(leaf: Leaf, data: st.DataObject) -> None:
    encoded = encode_leaf(replace(leaf, catalogue=data.draw(st.integers(1, 200)), cosigned_head=None))
    position = data.draw(st.integers(0, 8 * len(encoded) - 1))
    changed = bytearray(encoded)
    changed[position // 8] ^= 1 << position % 8
    zeroed = encoded[:3] + bytes(8) + encoded[11:]

    for candidate in (encoded, bytes(changed), zeroed):
        quick = _decode_common(candidate)
        if quick is not None:
            assert _decode_any(candidate) == quick


def test_genesis_hash_depends_on_the_origin() -> None:
    assert genesis_hash("a.example/log") == hashlib.sha256(b"logproof/genesis/v1\0a.example/log").digest()
