"""Whether the values of an event that a program made have the types of their fields.

Sections that are read have them by themselves; a dataclass takes anything. The rule that must not break: what has
another type is refused by name, and never turned into something that looks like it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, TypeGuard

from ledger.errors import FieldViolation
from ledger.events.event import Event, PersonalData, Value
from ledger.events.schema import EVENT, PERSONAL_DATA, Field, Kind, Message

VALUE_TYPES: Final = "text, a whole number, a float, or True or False"
"""What a typed value may be, in words."""

_PLAIN_TYPES: Final = {Kind.STRING: (str, "text"), Kind.BYTES: (bytes, "bytes"), Kind.UNSIGNED: (int, "a whole number")}


def check_types(event: Event, personal: PersonalData | None) -> list[FieldViolation]:
    """Return every field that holds a value of another type, those of the event section first.

    Args:
        event: The event section's value.
        personal: The personal section's value; None if there is none.
    """
    found = list(_message(EVENT, event, "event"))
    return found if personal is None else [*found, *_message(PERSONAL_DATA, personal, "personal")]


def is_value(value: object) -> TypeGuard[Value]:
    """Return whether something is a typed value: text, a whole number, a float, true or false."""
    return isinstance(value, str | bool | int | float)


def describe_type(value: object, wanted: str) -> str:
    """Return in words that a value has not the type that is wanted."""
    found = "None" if value is None else f"of type {type(value).__name__}"
    return f"is {found}; it is {wanted}"


def _message(message: Message[object], value: object, path: str) -> Iterator[FieldViolation]:
    if message.oneof:
        if not is_value(value):
            yield FieldViolation(path, describe_type(value, VALUE_TYPES))
        return
    assert isinstance(message.build, type)
    if not isinstance(value, message.build):
        yield FieldViolation(path, describe_type(value, f"of type ledger.{message.name}"))
        return
    for field in message.fields.values():
        item: object = getattr(value, field.name)
        at = f"{path}.{field.name}"
        if field.repeated:
            if not isinstance(item, tuple | list):
                yield FieldViolation(at, describe_type(item, "a tuple"))
                continue
            for position, element in enumerate(item):
                yield from _field(field, element, f"{at}[{position}]")
        elif item is not None or field.message is None or field.name in message.required:
            yield from _field(field, item, at)


def _field(field: Field, value: object, path: str) -> Iterator[FieldViolation]:
    if field.message is not None:
        yield from _message(field.message, value, path)
        return
    if field.kind is Kind.ENUM:
        member = next(iter((field.members or {}).values()))
        kind = type(member)
        wanted = f"of type ledger.{kind.__name__}" if isinstance(member, IntEnum) else "a whole number"
    else:
        kind, wanted = _PLAIN_TYPES[field.kind]
    # True is an int to Python, and as an enum it would be the value 1, whatever that says.
    if not isinstance(value, kind) or isinstance(value, bool):
        yield FieldViolation(path, describe_type(value, wanted))
