"""What a field may be compared with, and the one form of each such value.

The rule that must not break: two values that mean the same have one form, and nothing is converted that another reader
might convert otherwise; what does not fit the field is refused with what would.
"""

from __future__ import annotations

import math
from typing import Final, NoReturn

from ledger.errors import InvalidFilterError
from ledger.events.event import TIME_MAX, Value
from ledger.query.addresses import format_address, format_network, parse_address, parse_network
from ledger.query.fields import FieldType, FilterField
from ledger.query.operators import ORDERINGS, Operator

INTEGER_MIN: Final = -(1 << 63)
"""Least whole number."""

INTEGER_MAX: Final = (1 << 64) - 1
"""Greatest whole number: that of the unsigned fields."""

TEXT_MAX: Final = 4096
"""Longest text, in characters."""

_SHOWN: Final = 60
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_HEX_DIGITS: Final = frozenset("0123456789abcdef")


def check_operator(field: FilterField, operator: Operator) -> None:
    """Return if the field takes the operator.

    Raises:
        InvalidFilterError: It does not.
    """
    if operator in field.operators:
        return
    if field.is_list and operator in field.type.operators:
        raise InvalidFilterError(
            f"{field.name} is a list, which has no order", hint=f'write {field.name}:"value" for one that has it'
        )
    hints = {
        FieldType.PRESENCE: f"write {field.name}:* for what has it",
        FieldType.ADDRESS: f'write cidr({field.name}, "10.0.0.0/8") for a part of the addresses',
    }
    names = {Operator.PREFIX: "the beginning of a text", Operator.CIDR: "a network"}
    asked = names.get(operator, operator.value)
    raise InvalidFilterError(
        f"{field.name} is {field.type.words}, which is not compared by {asked}", hint=hints.get(field.type, "")
    )


def check_value(field: FilterField, operator: Operator, value: Value | None) -> Value | None:
    """Return the value in its one form.

    Args:
        field: The field that is compared.
        operator: An operator that the field takes.
        value: The value; None for PRESENT alone.

    Raises:
        InvalidFilterError: The value does not fit.
    """
    if operator is Operator.PRESENT or value is None:
        if value is not None or operator is not Operator.PRESENT:
            raise InvalidFilterError(f"{field.name} needs a value, but for the question whether it has any")
        return None
    if operator is Operator.CIDR:
        return _network(field, value)
    if field.type is FieldType.ANY:
        return _any(field, operator, value)
    if field.type is FieldType.TRUTH:
        return value if isinstance(value, bool) else _refuse(field, value)
    if field.type in {FieldType.INTEGER, FieldType.TIME}:
        return _integer(field, value)
    return _text(field, value)


def kind_of(value: Value) -> str:
    """Return the name of a value's kind: text, truth, integer or number."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "truth"
    return "integer" if isinstance(value, int) else "number"


def lower_ascii(text: str) -> str:
    """Return a text with the letters A to Z as a to z, and every other character as it is."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def shown(value: object) -> str:
    """Return a value for a message: short, and without characters that are not ASCII."""
    return ascii(value)[:_SHOWN]


def _refuse(field: FilterField, value: Value, wanted: str = "", hint: str = "") -> NoReturn:
    raise InvalidFilterError(f"{field.name} is {wanted or field.type.words}, not {shown(value)}", hint=hint)


def _any(field: FilterField, operator: Operator, value: Value) -> Value:
    if isinstance(value, str):
        return _checked_text(field, value, may_be_empty=operator is not Operator.PREFIX)
    if operator is Operator.PREFIX or (operator in ORDERINGS and isinstance(value, bool)):
        raise InvalidFilterError(f"{shown(value)} is not compared by {operator.value}")
    return value if isinstance(value, bool) else _number(field, value)


def _number(field: FilterField, value: float) -> int | float:
    if isinstance(value, float):
        if not math.isfinite(value):
            _refuse(field, value, "a finite number")
        if not (value.is_integer() and INTEGER_MIN <= value <= INTEGER_MAX):
            return value
        # Numbers are compared by what they are worth, so a whole one has one form.
        value = int(value)
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        _refuse(field, value, "a whole number of 64 bits", "numbers beyond that are written with an exponent: 1e30")
    return value


def _integer(field: FilterField, value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = "write it without quotes" if field.type is FieldType.INTEGER else ""
        _refuse(field, value, hint=hint)
    if field.type is FieldType.TIME and not 0 < value <= TIME_MAX:
        _refuse(field, value, "a time after 1970 and before the year 10000")
    if not 0 <= value <= INTEGER_MAX:
        _refuse(field, value, "a whole number from 0, of 64 bits")
    return value


def _text(field: FilterField, value: Value) -> str:
    if not isinstance(value, str):
        _refuse(field, value, hint="text that looks like a number, or is true or false, stands in quotes")
    text = _checked_text(field, value, may_be_empty=False)
    if field.type is FieldType.EMAIL:
        return lower_ascii(text)
    if field.type is FieldType.ENUM and text not in (field.members or ()):
        _refuse(field, value, f"one of {', '.join(field.members or ())}")
    if field.type is FieldType.HEX:
        text = lower_ascii(text)
        if len(text) != 2 * field.size or not _HEX_DIGITS.issuperset(text):
            _refuse(field, value, f"{2 * field.size} hexadecimal digits")
    if field.type is FieldType.ADDRESS:
        address = parse_address(text)
        if address is None or "%" in text:
            hint = f'write cidr({field.name}, "10.0.0.0/8") for a network' if "/" in text else ""
            _refuse(field, value, hint=hint)
        return format_address(address)
    return text


def _checked_text(field: FilterField, text: str, *, may_be_empty: bool) -> str:
    if not text and not may_be_empty:
        raise InvalidFilterError(
            f"{field.name} is compared with an empty text, which no value of it is", hint=f"write NOT {field.name}:*"
        )
    if len(text) > TEXT_MAX:
        raise InvalidFilterError(f"a text has {len(text)} characters; the limit is {TEXT_MAX}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse(field, text, "compared with text, which has no halves of surrogate pairs")
    return text


def _network(field: FilterField, value: Value) -> str:
    network = parse_network(value) if isinstance(value, str) else None
    if network is None:
        raise InvalidFilterError(
            f"{shown(value)} is no network for {field.name}",
            hint="a network is an address without bits behind its length, a slash and the length: 10.0.0.0/8",
        )
    return format_network(network)
