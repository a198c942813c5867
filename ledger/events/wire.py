"""The strict reader of section bytes: one walk over the tables of `schema.py`.

A section is read by these rules, whatever the order of its fields. It is refused when it holds an unknown field, a
singular field twice, an overlong varint, a wrong wire type, an explicit default outside a oneof, two branches of a
oneof, an enum value outside the schema, invalid UTF-8, a double that is not finite, or when it is cut off. The rule
that must not break: what is accepted here has one meaning, the same in every language, so the bytes that are hashed
are the content that is shown. This module knows no protobuf runtime; value limits are checked by `checks.py`.

Source: Protocol Buffers encoding, restricted as in docs/formats.md.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from ledger.errors import EventTooLargeError, FieldViolation, InvalidEventError, NewerSchemaError
from ledger.events.event import EVENT_MAX_BYTES, PERSONAL_MAX_BYTES, SCHEMA_VERSION, Event, PersonalData
from ledger.events.schema import EVENT, PERSONAL_DATA, Field, Kind, Message, T_co, WireType

_FIXED_SIZES: Final[dict[int, int]] = {WireType.FIXED64: 8, WireType.FIXED32: 4}
_VARINT_MAX_BYTES: Final = 10
_VARINT_MAX: Final = (1 << 64) - 1
_CONTINUES: Final = 0x80
_UNSIGNED: Final = struct.Struct("<Q")
_SIGNED: Final = struct.Struct("<q")
_DOUBLE: Final = struct.Struct("<d")


def read_event(data: bytes) -> Event:
    """Return the event that an event section says.

    Args:
        data: The section, at most 32 KiB.

    Raises:
        EventTooLargeError: The section is larger than its limit.
        NewerSchemaError: The section names a schema that is newer than this reader.
        InvalidEventError: The bytes break the strict-bytes rule; names the field.
    """
    return _read_section(EVENT, data, "event", EVENT_MAX_BYTES)


def read_personal(data: bytes) -> PersonalData:
    """Return the personal data that a personal section says.

    Args:
        data: The section, at most 60 KiB; not empty, because an empty section is none.

    Raises:
        EventTooLargeError: The section is larger than its limit.
        NewerSchemaError: The section names a schema that is newer than this reader.
        InvalidEventError: The bytes break the strict-bytes rule; names the field.
    """
    return _read_section(PERSONAL_DATA, data, "personal", PERSONAL_MAX_BYTES)


def check_size(data: bytes, path: str, max_bytes: int) -> None:
    """Refuse a section that is larger than its limit.

    Args:
        data: The section.
        path: Name of the section in messages.
        max_bytes: The limit.

    Raises:
        EventTooLargeError: The section is larger.
    """
    if len(data) > max_bytes:
        msg = f"{path} section has {len(data)} bytes; the limit is {max_bytes}"
        raise EventTooLargeError(
            msg,
            hint="move large content elsewhere and record its hash",
            metadata={"section": path, "bytes": str(len(data)), "maxBytes": str(max_bytes)},
        )


def _read_section(message: Message[T_co], data: bytes, path: str, max_bytes: int) -> T_co:
    check_size(data, path, max_bytes)
    try:
        return _read(message, data, 0, len(data), path)
    except InvalidEventError:
        # A newer schema may have any field, so it is looked for only where this schema's rules failed.
        schema = _named_schema(data)
        if schema > SCHEMA_VERSION:
            raise NewerSchemaError(f"{path}.schema", schema, SCHEMA_VERSION) from None
        raise


def _read(message: Message[T_co], data: bytes, offset: int, end: int, path: str) -> T_co:
    found: dict[str, object] = {}
    repeated: dict[str, list[object]] = {}
    while offset < end:
        tag, offset = _read_varint(data, offset, end, path)
        field = message.fields.get(tag >> 3)
        if field is None:
            raise _refusal(path, f"holds field number {tag >> 3}, which {message.name} does not have")
        at = f"{path}.{field.name}"
        if field.repeated:
            values = repeated.setdefault(field.name, [])
            value, offset = _read_field(field, tag & 7, data, offset, end, f"{at}[{len(values)}]")
            values.append(value)
            continue
        if field.name in found:
            raise _refusal(at, "occurs twice; it may occur once")
        if message.oneof and found:
            raise _refusal(path, f"has both {next(iter(found))} and {field.name}; it has one value")
        value, offset = _read_field(field, tag & 7, data, offset, end, at)
        if field.message is None and not message.oneof and not value:
            raise _refusal(at, "is written out though it is the default; leave the field out")
        found[field.name] = value
    if message.oneof and not found:
        raise _refusal(
            path, f"has no value; it has one of {', '.join(field.name for field in message.fields.values())}"
        )
    for name in message.required:
        if name not in found:
            raise _refusal(f"{path}.{name}", "is missing")
    return message.build(**found, **{name: tuple(values) for name, values in repeated.items()})


def _read_field(field: Field, wire_type: int, data: bytes, offset: int, end: int, path: str) -> tuple[object, int]:
    kind = field.kind
    if wire_type != kind.wire_type:
        raise _refusal(path, f"has wire type {wire_type}; a {kind.label} has {kind.wire_type}")
    if kind is Kind.ENUM:
        return _read_enum(field, data, offset, end, path)
    if kind.wire_type == WireType.FIXED64:
        return _read_fixed(kind, data, offset, end, path)
    length, offset = _read_varint(data, offset, end, path)
    stop = offset + length
    if stop > end:
        raise _refusal(path, f"is cut off: {length} bytes announced, {end - offset} present")
    if field.message is not None:
        return _read(field.message, data, offset, stop, path), stop
    content = data[offset:stop]
    if kind is Kind.BYTES:
        return content, stop
    try:
        return content.decode(), stop
    except UnicodeDecodeError as error:
        raise _refusal(path, f"is not valid UTF-8 at its byte {error.start}") from error


def _read_enum(field: Field, data: bytes, offset: int, end: int, path: str) -> tuple[object, int]:
    number, offset = _read_varint(data, offset, end, path)
    members = field.members or {}
    if number not in members:
        raise _refusal(path, f"is {number}; the schema has {', '.join(str(member) for member in members)}")
    return members[number], offset


def _read_fixed(kind: Kind, data: bytes, offset: int, end: int, path: str) -> tuple[object, int]:
    if offset + 8 > end:
        raise _refusal(path, f"is cut off: 8 bytes needed, {end - offset} present")
    if kind is Kind.DOUBLE:
        (number,) = _DOUBLE.unpack_from(data, offset)
        if not math.isfinite(number):
            raise _refusal(path, f"is {number}; a number is finite")
        return number, offset + 8
    (integer,) = (_SIGNED if kind is Kind.SIGNED else _UNSIGNED).unpack_from(data, offset)
    return integer, offset + 8


def _read_varint(data: bytes, offset: int, end: int, path: str) -> tuple[int, int]:
    value = shift = 0
    for position in range(offset, min(end, offset + _VARINT_MAX_BYTES)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < _CONTINUES:
            if byte == 0 and shift:
                raise _refusal(path, f"has an overlong varint at byte {offset} of the section")
            if value > _VARINT_MAX:
                raise _refusal(path, f"has a varint above 64 bits at byte {offset} of the section")
            return value, position + 1
        shift += 7
    raise _refusal(path, f"has a varint that does not end, at byte {offset} of the section")


def _refusal(path: str, description: str) -> InvalidEventError:
    return InvalidEventError([FieldViolation(path, description)])


def _named_schema(data: bytes) -> int:
    """Return the schema version that bytes of an unknown schema name, or 0 where they cannot be walked."""
    schema = offset = 0
    end = len(data)
    try:
        while offset < end:
            tag, offset = _read_varint(data, offset, end, "")
            wire_type = tag & 7
            if wire_type == WireType.VARINT:
                number, offset = _read_varint(data, offset, end, "")
                if tag >> 3 == 1:
                    schema = number
            elif wire_type == WireType.LENGTH:
                length, offset = _read_varint(data, offset, end, "")
                offset += length
            elif wire_type in _FIXED_SIZES:
                offset += _FIXED_SIZES[wire_type]
            else:
                return 0
    except InvalidEventError:
        return 0
    # Enum values stay below 128, whatever the schema; anything else is no version.
    return schema if offset == end and schema < _CONTINUES else 0
