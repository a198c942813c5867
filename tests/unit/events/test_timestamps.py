from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError
from ledger.events.event import TIME_MAX
from ledger.events.timestamps import format_timestamp, parse_timestamp


@given(st.integers(1, TIME_MAX))
def test_formatted_time_parses_as_the_same_microsecond(microseconds: int) -> None:
    assert parse_timestamp(format_timestamp(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-02-20T14:30:00Z", 1_771_597_800_000_000),
        ("2026-02-20T15:30:00+01:00", 1_771_597_800_000_000),
        ("2026-02-20T07:00:00.5-07:30", 1_771_597_800_500_000),
        ("2026-02-20t14:30:00.000001z", 1_771_597_800_000_001),
        ("2026-02-20T14:30:00.1234560000Z", 1_771_597_800_123_456),
        ("2024-02-29T00:00:00-00:00", 1_709_164_800_000_000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("9999-12-31T23:59:59.999999Z", TIME_MAX),
    ],
)
def test_rfc3339_times_are_read_to_the_microsecond(text: str, microseconds: int) -> None:
    assert parse_timestamp(text) == microseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is ''; it is an RFC 3339 time such as"),
        ("2026-02-20", "an RFC 3339 time"),
        ("2026-02-20 14:30:00Z", "an RFC 3339 time"),
        ("20260220T143000Z", "an RFC 3339 time"),
        ("2026-02-20T14:30Z", "an RFC 3339 time"),
        ("2026-02-20T14:30:00.Z", "an RFC 3339 time"),
        ("2026-02-20T14:30:00Z\n", "an RFC 3339 time"),
        ("+2026-02-20T14:30:00Z", "an RFC 3339 time"),
        ("2026-02-20T14:30:00\N{ARABIC-INDIC DIGIT ONE}Z", "an RFC 3339 time"),
        ("2026-02-20T14:30:00", "names no zone"),
        ("2026-02-20T14:30:00.0000001Z", "finer than a microsecond"),
        ("2016-12-31T23:59:60Z", "a leap second"),
        ("2026-02-29T00:00:00Z", "is no time: day is out of range"),
        ("2026-13-01T00:00:00Z", "is no time: month"),
        ("2026-01-01T24:00:00Z", "is no time: hour"),
        ("0000-01-01T00:00:00Z", "is no time: year"),
        ("2026-01-01T00:00:00+24:00", "the offset is beyond 23:59"),
        ("2026-01-01T00:00:00+01:60", "the offset is beyond 23:59"),
        ("1969-12-31T23:59:59Z", "after the first moment of 1970"),
        ("1970-01-01T00:00:00Z", "after the first moment of 1970"),
        ("9999-12-31T23:59:59-00:01", "before the year 10000"),
    ],
)
def test_other_times_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        parse_timestamp(text)


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_offset_names_the_same_moment(moment: datetime, minutes: int) -> None:
    utc = moment.replace(tzinfo=UTC)
    local = (moment + timedelta(minutes=minutes)).isoformat()
    text = f"{local}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    assert parse_timestamp(text) == (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize("microseconds", [-1, TIME_MAX + 1])
def test_time_out_of_range_has_no_text(microseconds: int) -> None:
    with pytest.raises(ValueError):
        format_timestamp(microseconds)
