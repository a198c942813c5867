"""Event sections by their bytes, good and not: what each reader of sections has to say of them, and why.

One list for all: the strict reader, the fast path by the protobuf runtime, and both kernels give each the same verdict.
"""

from __future__ import annotations

import struct
from typing import Final

SCHEMA: Final = b"\x08\x01"
ID: Final = b"\x12\x01e"
ACTION: Final = b"\x1a\x03a.b"
TIME: Final = b"\x21" + (5).to_bytes(8, "little")
GOOD: Final = SCHEMA + ID + ACTION + TIME


def field(tag: int, content: bytes) -> bytes:
    """Return a field of a tag below 128 with less than 128 bytes."""
    return bytes([tag, len(content)]) + content


def metadata_field(value: bytes) -> bytes:
    """Return a metadata entry with the key `key`."""
    return field(0x72, field(0x0A, b"key") + field(0x12, value))


GOOD_ENCODINGS: Final[list[bytes]] = [
    GOOD,
    TIME + ACTION + ID + SCHEMA,
    GOOD + b"\x2a\x00",
    GOOD + field(0x2A, field(0x22, b"x") + field(0x22, b"y")),
    GOOD + metadata_field(b"\x0a\x00"),
    GOOD + metadata_field(b"\x0a\x02\xc3\xa9"),
    GOOD + metadata_field(b"\x11" + bytes(8)),
    GOOD + metadata_field(b"\x11" + b"\xff" * 8),
    GOOD + metadata_field(b"\x19" + struct.pack("<d", -2.5)),
    GOOD + metadata_field(b"\x20\x01"),
    GOOD + metadata_field(b"\x20\x02"),
    GOOD + b"\x38\x05",
]
"""Sections of the event `e` that are good."""

BROKEN_ENCODINGS: Final[list[tuple[bytes, str, str]]] = [
    (GOOD + field(0x7A, b"\x3a\x01x"), "event.source", "holds field number 7, which Source does not have"),
    (GOOD + b"\x90\x01\x01", "event", "holds field number 18"),
    (GOOD + b"\x00\x00", "event", "holds field number 0"),
    (GOOD + b"\x0c", "event.schema", "occurs twice"),
    (GOOD + b"\x93\x01", "event", "holds field number 18"),
    (GOOD + ID, "event.event_id", "occurs twice"),
    (GOOD + b"\x2a\x00\x2a\x00", "event.actor", "occurs twice"),
    (SCHEMA + ID + b"\x9a\x00\x03a.b" + TIME, "event", "overlong varint at byte 5"),
    (SCHEMA + b"\x12\x81\x00e", "event.event_id", "overlong varint"),
    (SCHEMA + b"\x38\x81\x00", "event.outcome", "overlong varint"),
    (SCHEMA + b"\x12" + b"\xff" * 10 + b"\x01", "event.event_id", "varint that does not end"),
    (SCHEMA + b"\x12\xff", "event.event_id", "varint that does not end"),
    (SCHEMA + b"\x10\x01", "event.event_id", "has wire type 0; a string has 2"),
    (SCHEMA + b"\x20\x01", "event.occurred_at", "has wire type 0; a fixed64 has 1"),
    (SCHEMA + b"\x25" + bytes(4), "event.occurred_at", "has wire type 5"),
    (SCHEMA + b"\x2b\x2c", "event.actor", "has wire type 3; a message has 2"),
    (SCHEMA + b"\x32\x00\x30\x01", "event.targets[1]", "has wire type 0"),
    (SCHEMA + b"\x12\x00", "event.event_id", "written out though it is the default"),
    (SCHEMA + b"\x38\x00", "event.outcome", "written out though it is the default"),
    (SCHEMA + b"\x21" + bytes(8), "event.occurred_at", "written out though it is the default"),
    (GOOD + metadata_field(b"\x0a\x01x\x20\x01"), "event.metadata[0].value", "has both text and truth"),
    (GOOD + metadata_field(b"\x0a\x01x\x0a\x01x"), "event.metadata[0].value.text", "occurs twice"),
    (GOOD + metadata_field(b""), "event.metadata[0].value", "has no value; it has one of text, integer, number, truth"),
    (GOOD + field(0x72, field(0x0A, b"key")), "event.metadata[0].value", "is missing"),
    (GOOD + field(0x72, field(0x12, b"\x20\x01")), "event.metadata[0].key", "is missing"),
    (GOOD + field(0x62, b""), "event.field_changes[0].path", "is missing"),
    (GOOD + metadata_field(b"\x20\x00"), "event.metadata[0].value.truth", "is 0; the schema has 1, 2"),
    (GOOD + metadata_field(b"\x20\x03"), "event.metadata[0].value.truth", "is 3; the schema has 1, 2"),
    (SCHEMA + b"\x38\x06", "event.outcome", "is 6; the schema has 0, 1, 2, 3, 4, 5"),
    (SCHEMA + b"\x38\xff\xff\xff\xff\x0f", "event.outcome", "is 4294967295"),
    (GOOD + metadata_field(b"\x19" + struct.pack("<d", float("nan"))), "event.metadata[0].value.number", "is nan"),
    (GOOD + metadata_field(b"\x19" + struct.pack("<d", float("-inf"))), "event.metadata[0].value.number", "is -inf"),
    (SCHEMA + field(0x12, b"a\xff"), "event.event_id", "is not valid UTF-8 at its byte 1"),
    (SCHEMA + field(0x12, b"\xed\xa0\x80"), "event.event_id", "is not valid UTF-8 at its byte 0"),
    (SCHEMA + field(0x12, b"\xc0\x80"), "event.event_id", "is not valid UTF-8"),
    (SCHEMA + b"\x12\x05e", "event.event_id", "is cut off: 5 bytes announced, 1 present"),
    (SCHEMA + b"\x21\x01", "event.occurred_at", "is cut off: 8 bytes needed, 1 present"),
    (SCHEMA + b"\x2a\x02\x12\x05", "event.actor.id", "is cut off: 5 bytes announced, 0 present"),
    (GOOD + b"\x12", "event.event_id", "occurs twice"),
    (GOOD + b"\xff", "event", "varint that does not end"),
    (ID + ACTION + TIME, "event.schema", "is missing"),
    (b"", "event.schema", "is missing"),
    (b"\x08\x00", "event.schema", "is 0; the schema has 1"),
    (b"\x08\x81\x80\x00", "event.schema", "overlong varint"),
    (b"\x08\x80\x01", "event.schema", "is 128; the schema has 1"),
]
"""Sections that break the rule about bytes, the field, and words of the violation."""

NEWER_ENCODINGS: Final[list[bytes]] = [
    b"\x08\x02",
    GOOD[2:] + b"\x08\x02" + b"\xfa\x01\x05newer",
    b"\x08\x02\xf8\x01\x05\xf1\x01" + bytes(8) + b"\xfd\x01" + bytes(4),
    b"\x08\x7f",
]
"""Sections of a newer schema."""
