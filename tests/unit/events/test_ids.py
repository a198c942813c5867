from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events.ids import derived_event_id, new_event_id

_TIMES = st.integers(0, (1 << 48) - 1)


@given(_TIMES, st.binary(min_size=10, max_size=10))
def test_new_id_is_a_uuid_version_7_that_tells_its_time(unix_ms: int, random_bytes: bytes) -> None:
    parsed = uuid.UUID(new_event_id(unix_ms, random_bytes))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == unix_ms


@given(st.binary(min_size=10, max_size=10))
def test_new_id_keeps_74_random_bits(random_bytes: bytes) -> None:
    value = uuid.UUID(new_event_id(0, random_bytes)).int
    kept = (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1
    bits = int.from_bytes(random_bytes, "big")
    assert kept == (bits >> 64 & 0xFFF) << 62 | bits & (1 << 62) - 1


@given(_TIMES, _TIMES, st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time(first: int, second: int, one: bytes, other: bytes) -> None:
    if first < second:
        assert new_event_id(first, one) < new_event_id(second, other)


@given(st.integers(0, 253_402_300_799_999_999), st.binary(max_size=50))
def test_derived_id_is_a_uuid_version_8_of_time_and_hash(occurred_at: int, foreign: bytes) -> None:
    parsed = uuid.UUID(derived_event_id(occurred_at, foreign))
    digest = int.from_bytes(hashlib.sha256(b"logproof/derived-id/v1\x00" + foreign).digest()[:10], "big")
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert parsed.int >> 80 == occurred_at // 1000
    assert parsed.int & (1 << 62) - 1 == digest & (1 << 62) - 1


def test_derived_ids_of_other_records_differ() -> None:
    assert derived_event_id(1, b"a") != derived_event_id(1, b"b")
    assert derived_event_id(1_000, b"a") != derived_event_id(2_000, b"a")


@pytest.mark.parametrize(("unix_ms", "random_bytes"), [(-1, bytes(10)), (1 << 48, bytes(10)), (0, bytes(9)), (0, b"")])
def test_time_or_randomness_out_of_range_makes_no_id(unix_ms: int, random_bytes: bytes) -> None:
    with pytest.raises(ValueError):
        new_event_id(unix_ms, random_bytes)
