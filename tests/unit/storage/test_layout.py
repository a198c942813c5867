"""The stored encodings: fixed bytes, and nothing read that was not written."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import CorruptionError
from ledger.storage import layout
from ledger.storage.api import HeadRecord, StoreMeta
from tests.support.entries import GENESIS, make_batch

HASHES = st.binary(min_size=32, max_size=32)


@st.composite
def heads(draw: st.DrawFn) -> HeadRecord:
    size = draw(st.integers(0, 2**63))
    frontier = draw(st.lists(HASHES, min_size=size.bit_count(), max_size=size.bit_count()))
    return HeadRecord(size, draw(HASHES), tuple(frontier), draw(HASHES), draw(st.integers(0, 2**63)))


def sealed(payload: bytes) -> bytes:
    return payload + hashlib.sha256(payload).digest()


@given(heads())
def test_head_reads_back(head: HeadRecord) -> None:
    assert layout.decode_head(layout.encode_head(head)) == head


@given(st.builds(StoreMeta, origin=st.text(min_size=1).filter(str.isprintable), created_at=st.integers(0, 2**63)))
def test_description_reads_back(meta: StoreMeta) -> None:
    assert layout.decode_meta(layout.encode_meta(meta)) == meta


def test_stored_bytes_of_format_2_do_not_change() -> None:
    head = HeadRecord(5, b"r" * 32, (b"a" * 32, b"b" * 32), b"l" * 32, 1_700_000_000_000_000)
    numbers = bytes.fromhex("0000000000000005 00060a24181e4000")
    assert layout.encode_head(head) == sealed(numbers + b"r" * 32 + b"l" * 32 + b"a" * 32 + b"b" * 32)
    assert layout.encode_meta(StoreMeta("logs/ä", 1)) == sealed(b"\0\0\0\0\0\0\0\1logs/\xc3\xa4")
    assert layout.encode_format() == b"\0\0\0\2"
    assert layout.encode_index(258) == b"\0\0\0\0\0\0\1\2"
    assert layout.encode_event_ids([b"ledger-x1", b"ledger", b"e"]) == [b"\0x1", b"ledger", b"e"]
    assert layout.TABLES == (
        "meta",
        "leaves",
        "hashes",
        "event_sections",
        "personal_sections",
        "event_ids",
        "records",
    )
    assert (layout.FORMAT_KEY, layout.STORE_KEY, layout.HEAD_KEY) == (b"format", b"store", b"head")
    assert layout.HASHES_PER_CHUNK == 63


@given(st.integers(0, 2**64 - 1001), st.integers(0, 1000))
def test_keys_of_a_run_are_those_of_each_index(begin: int, count: int) -> None:
    indexes = range(begin, begin + count)
    keys = layout.encode_indexes(indexes)
    assert keys == [layout.encode_index(index) for index in indexes]
    assert [layout.decode_index(key) for key in keys] == list(layout.decode_indexes(keys)) == list(indexes)


@pytest.mark.parametrize("index", [-1, 2**64])
def test_what_is_no_index_has_no_key(index: int) -> None:
    with pytest.raises(ValueError, match="leaf index"):
        layout.encode_indexes([0, index])


@pytest.mark.parametrize("value", [b"", b"\0" * 7, b"\0" * 9])
def test_an_index_of_another_length_among_others_is_corruption(value: bytes) -> None:
    with pytest.raises(CorruptionError, match=f"{len(value)} bytes"):
        layout.decode_indexes([bytes(8), value, bytes(16 - len(value))])


@given(st.data())
def test_any_changed_bit_of_a_head_or_description_is_corruption(data: st.DataObject) -> None:
    encoded, decode = data.draw(
        st.sampled_from(
            [
                (layout.encode_head(make_batch(GENESIS, 11).head), layout.decode_head),
                (layout.encode_meta(StoreMeta("logs.example.com/x", 7)), layout.decode_meta),
            ]
        )
    )
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    changed = bytearray(encoded)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptionError):
        decode(bytes(changed))


@pytest.mark.parametrize("payload", [b"", b"\0" * 16, b"\0" * 79, b"\0" * 81, b"\0" * 112])
def test_head_of_an_impossible_length_is_corruption(payload: bytes) -> None:
    with pytest.raises(CorruptionError):
        layout.decode_head(sealed(payload))


@pytest.mark.parametrize("payload", [b"", b"\0" * 8, b"\0" * 8 + b"\xff"])
def test_description_without_a_readable_origin_is_corruption(payload: bytes) -> None:
    with pytest.raises(CorruptionError):
        layout.decode_meta(sealed(payload))
