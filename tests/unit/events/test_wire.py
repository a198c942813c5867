from __future__ import annotations

import struct

import pytest

from ledger.errors import EventTooLargeError, InvalidEventError, NewerSchemaError
from ledger.events.event import EVENT_MAX_BYTES, PERSONAL_MAX_BYTES, Actor, Event, MetadataEntry, PersonalData
from ledger.events.wire import read_event, read_personal

_SCHEMA = b"\x08\x01"
_ID = b"\x12\x01e"
_ACTION = b"\x1a\x03a.b"
_TIME = b"\x21" + (5).to_bytes(8, "little")
_GOOD = _SCHEMA + _ID + _ACTION + _TIME


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def _metadata(value: bytes) -> bytes:
    return _field(0x72, _field(0x0A, b"key") + _field(0x12, value))


def test_fields_in_any_order_are_read_alike() -> None:
    assert read_event(_GOOD) == read_event(_TIME + _ACTION + _ID + _SCHEMA) == Event("e", "a.b", 5)


def test_empty_message_is_there_and_says_nothing() -> None:
    assert read_event(_GOOD + b"\x2a\x00").actor == Actor()
    assert read_event(_GOOD).actor is None


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
    (entry,) = read_event(_GOOD + _metadata(value)).metadata
    assert (entry.value, type(entry.value)) == (expected, type(expected))


def test_repeated_fields_keep_their_order() -> None:
    actor = _field(0x2A, _field(0x22, b"x") + _field(0x22, b"") + _field(0x22, b"y"))
    value = read_event(_GOOD + actor).actor
    assert value is not None
    assert value.roles == ("x", "", "y")


@pytest.mark.parametrize(
    ("data", "field", "description"),
    [
        (_GOOD + _field(0x7A, b"\x3a\x01x"), "event.source", "holds field number 7, which Source does not have"),
        (_GOOD + b"\x90\x01\x01", "event", "holds field number 18"),
        (_GOOD + b"\x00\x00", "event", "holds field number 0"),
        (_GOOD + b"\x0c", "event.schema", "occurs twice"),
        (_GOOD + b"\x93\x01", "event", "holds field number 18"),
        (_GOOD + _ID, "event.event_id", "occurs twice"),
        (_GOOD + b"\x2a\x00\x2a\x00", "event.actor", "occurs twice"),
        (_SCHEMA + _ID + b"\x9a\x00\x03a.b" + _TIME, "event", "overlong varint at byte 5"),
        (_SCHEMA + b"\x12\x81\x00e", "event.event_id", "overlong varint"),
        (_SCHEMA + b"\x38\x81\x00", "event.outcome", "overlong varint"),
        (_SCHEMA + b"\x12" + b"\xff" * 10 + b"\x01", "event.event_id", "varint that does not end"),
        (_SCHEMA + b"\x12\xff", "event.event_id", "varint that does not end"),
        (_SCHEMA + b"\x10\x01", "event.event_id", "has wire type 0; a string has 2"),
        (_SCHEMA + b"\x20\x01", "event.occurred_at", "has wire type 0; a fixed64 has 1"),
        (_SCHEMA + b"\x25" + bytes(4), "event.occurred_at", "has wire type 5"),
        (_SCHEMA + b"\x2b\x2c", "event.actor", "has wire type 3; a message has 2"),
        (_SCHEMA + b"\x32\x00\x30\x01", "event.targets[1]", "has wire type 0"),
        (_SCHEMA + b"\x12\x00", "event.event_id", "written out though it is the default"),
        (_SCHEMA + b"\x38\x00", "event.outcome", "written out though it is the default"),
        (_SCHEMA + b"\x21" + bytes(8), "event.occurred_at", "written out though it is the default"),
        (_GOOD + _metadata(b"\x0a\x01x\x20\x01"), "event.metadata[0].value", "has both text and truth"),
        (_GOOD + _metadata(b"\x0a\x01x\x0a\x01x"), "event.metadata[0].value.text", "occurs twice"),
        (_GOOD + _metadata(b""), "event.metadata[0].value", "has no value; it has one of text, integer, number, truth"),
        (_GOOD + _field(0x72, _field(0x0A, b"key")), "event.metadata[0].value", "is missing"),
        (_GOOD + _field(0x72, _field(0x12, b"\x20\x01")), "event.metadata[0].key", "is missing"),
        (_GOOD + _field(0x62, b""), "event.field_changes[0].path", "is missing"),
        (_GOOD + _metadata(b"\x20\x00"), "event.metadata[0].value.truth", "is 0; the schema has 1, 2"),
        (_GOOD + _metadata(b"\x20\x03"), "event.metadata[0].value.truth", "is 3; the schema has 1, 2"),
        (_SCHEMA + b"\x38\x06", "event.outcome", "is 6; the schema has 0, 1, 2, 3, 4, 5"),
        (_SCHEMA + b"\x38\xff\xff\xff\xff\x0f", "event.outcome", "is 4294967295"),
        (_GOOD + _metadata(b"\x19" + struct.pack("<d", float("nan"))), "event.metadata[0].value.number", "is nan"),
        (_GOOD + _metadata(b"\x19" + struct.pack("<d", float("-inf"))), "event.metadata[0].value.number", "is -inf"),
        (_SCHEMA + _field(0x12, b"a\xff"), "event.event_id", "is not valid UTF-8 at its byte 1"),
        (_SCHEMA + _field(0x12, b"\xed\xa0\x80"), "event.event_id", "is not valid UTF-8 at its byte 0"),
        (_SCHEMA + _field(0x12, b"\xc0\x80"), "event.event_id", "is not valid UTF-8"),
        (_SCHEMA + b"\x12\x05e", "event.event_id", "is cut off: 5 bytes announced, 1 present"),
        (_SCHEMA + b"\x21\x01", "event.occurred_at", "is cut off: 8 bytes needed, 1 present"),
        (_SCHEMA + b"\x2a\x02\x12\x05", "event.actor.id", "is cut off: 5 bytes announced, 0 present"),
        (_GOOD + b"\x12", "event.event_id", "occurs twice"),
        (_GOOD + b"\xff", "event", "varint that does not end"),
        (_ID + _ACTION + _TIME, "event.schema", "is missing"),
        (b"", "event.schema", "is missing"),
        (b"\x08\x00", "event.schema", "is 0; the schema has 1"),
        (b"\x08\x81\x80\x00", "event.schema", "overlong varint"),
        (b"\x08\x80\x01", "event.schema", "is 128; the schema has 1"),
    ],
)
def test_bytes_that_break_the_rule_are_refused_with_the_field_named(data: bytes, field: str, description: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        read_event(data)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert description in violation.description
    assert not isinstance(caught.value, NewerSchemaError)


def test_personal_section_is_read_by_the_same_rules() -> None:
    assert read_personal(_SCHEMA + b"\x12\x01x") == PersonalData(actor_email="x")
    metadata = _field(0x5A, _field(0x0A, b"ip") + _field(0x12, b"\x0a\x01x"))
    assert read_personal(_SCHEMA + metadata).metadata == (MetadataEntry("ip", "x"),)
    with pytest.raises(InvalidEventError, match=r"personal\.actor_email: occurs twice"):
        read_personal(_SCHEMA + b"\x12\x01x\x12\x01x")


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x02",
        _GOOD[2:] + b"\x08\x02" + b"\xfa\x01\x05newer",
        b"\x08\x02\xf8\x01\x05\xf1\x01" + bytes(8) + b"\xfd\x01" + bytes(4),
        b"\x08\x7f",
    ],
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
