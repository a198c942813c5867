from __future__ import annotations

import struct

import pytest

from ledger.errors import EventTooLargeError, InvalidEventError, NewerSchemaError
from ledger.events.event import EVENT_MAX_BYTES, PERSONAL_MAX_BYTES, Actor, Event, MetadataEntry, PersonalData
from ledger.events.wire import read_event, read_personal
from tests.support.encodings import (
    ACTION,
    BROKEN_ENCODINGS,
    GOOD,
    ID,
    NEWER_ENCODINGS,
    SCHEMA,
    TIME,
    field,
    metadata_field,
)


def test_fields_in_any_order_are_read_alike() -> None:
    assert read_event(GOOD) == read_event(TIME + ACTION + ID + SCHEMA) == Event("e", "a.b", 5)


def test_empty_message_is_there_and_says_nothing() -> None:
    assert read_event(GOOD + b"\x2a\x00").actor == Actor()
    assert read_event(GOOD).actor is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"\x0a\x00", ""),
        (b"\x0a\x02\xc3\xa9", "é"),
        (b"\x11" + bytes(8), 0),
        (b"\x11" + b"\xff" * 8, -1),
        (b"\x19" + bytes(8), 0.0),
        (b"\x19" + struct.pack("<d", -2.5), -2.5),
        (b"\x20\x01", True),
        (b"\x20\x02", False),
    ],
)
def test_value_is_read_with_its_type_even_if_it_is_a_default(value: bytes, expected: object) -> None:
    (entry,) = read_event(GOOD + metadata_field(value)).metadata
    assert (entry.value, type(entry.value)) == (expected, type(expected))


def test_repeated_fields_keep_their_order() -> None:
    actor = field(0x2A, field(0x22, b"x") + field(0x22, b"") + field(0x22, b"y"))
    value = read_event(GOOD + actor).actor
    assert value is not None
    assert value.roles == ("x", "", "y")


@pytest.mark.parametrize(("data", "field", "description"), BROKEN_ENCODINGS)
def test_bytes_that_break_the_rule_are_refused_with_the_field_named(data: bytes, field: str, description: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        read_event(data)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert description in violation.description
    assert not isinstance(caught.value, NewerSchemaError)


def test_personal_section_is_read_by_the_same_rules() -> None:
    assert read_personal(SCHEMA + b"\x12\x01x") == PersonalData(actor_email="x")
    metadata = field(0x5A, field(0x0A, b"ip") + field(0x12, b"\x0a\x01x"))
    assert read_personal(SCHEMA + metadata).metadata == (MetadataEntry("ip", "x"),)
    with pytest.raises(InvalidEventError, match=r"personal\.actor_email: occurs twice"):
        read_personal(SCHEMA + b"\x12\x01x\x12\x01x")


@pytest.mark.parametrize(
    "data",
    NEWER_ENCODINGS,
)
def test_newer_schema_is_told_from_a_broken_section(data: bytes) -> None:
    with pytest.raises(NewerSchemaError) as caught:
        read_event(data)
    assert caught.value.schema in {2, 127}
    assert caught.value.violations[0].field == "event.schema"
    with pytest.raises(NewerSchemaError, match=r"personal\.schema"):
        read_personal(data)


@pytest.mark.parametrize(
    "data",
    [b"\x08\x02\x12\x05e", b"\x08\x02\x12", b"\x08\x02\x0b\x0c", b"\x08\x80\x01", b"\x08\x82\x00", b"\x09" + bytes(8)],
)
def test_section_that_cannot_be_walked_names_no_newer_schema(data: bytes) -> None:
    with pytest.raises(InvalidEventError) as caught:
        read_event(data)
    assert not isinstance(caught.value, NewerSchemaError)


def test_section_above_its_limit_is_refused_with_both_sizes() -> None:
    with pytest.raises(EventTooLargeError, match=f"event section has {EVENT_MAX_BYTES + 1} bytes; the limit is 32768"):
        read_event(bytes(EVENT_MAX_BYTES + 1))
    with pytest.raises(EventTooLargeError, match="the limit is 61440") as caught:
        read_personal(bytes(PERSONAL_MAX_BYTES + 1))
    assert caught.value.metadata == {"section": "personal", "bytes": "61441", "maxBytes": "61440"}
