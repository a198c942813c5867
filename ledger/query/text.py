"""A filter's one text: what `parse_filter` reads back as the same tree.

The rule that must not break: the text is all of the filter, with nothing in it that a terminal would act on.
"""

from __future__ import annotations

import re
from typing import Final

from ledger.events.event import Value
from ledger.events.timestamps import format_timestamp
from ledger.query.fields import MAP_FIELDS, FieldType, resolve
from ledger.query.lexer import WORD_CHARACTERS
from ledger.query.nodes import And, Comparison, Node, Not
from ledger.query.operators import Operator

_PLAIN_KEY: Final = re.compile(rf"[{WORD_CHARACTERS}]+".replace("*", ""))
# Signs of the notation, control characters, and those that change how the text around them is drawn.
_ESCAPED: Final = re.compile('[\\\\"*\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]')


def format_filter(node: Node) -> str:
    """Return the one text of a filter; empty for every entry.

    Args:
        node: The filter. The text of one that was not parsed can be longer than what is parsed.
    """
    if isinstance(node, Comparison):
        return _comparison(node)
    if isinstance(node, Not):
        return f"NOT {_operand(node.operand)}"
    return (" AND " if isinstance(node, And) else " OR ").join(_operand(operand) for operand in node.operands)


def quoted(text: str) -> str:
    """Return a text as a string of the notation."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def format_value(field_type: FieldType, value: Value) -> str:
    """Return a value as the notation has it.

    Args:
        field_type: Type of the field that is compared with it.
        value: The value in its one form.
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if field_type is FieldType.TIME:
        return f'"{format_timestamp(int(value))}"'
    return repr(value)


def format_field(name: str) -> str:
    """Return a field's name, the key of a map in quotes where it needs them."""
    head, dot, key = name.partition(".")
    return f"{head}.{quoted(key)}" if dot and head in MAP_FIELDS and not _PLAIN_KEY.fullmatch(key) else name


def _comparison(node: Comparison) -> str:
    field, name = resolve(node.field), format_field(node.field)
    if node.value is None:
        return f"{name}:*"
    if node.operator is Operator.CIDR:
        return f"cidr({name}, {format_value(field.type, node.value)})"
    value = format_value(field.type, node.value)
    if node.operator is Operator.PREFIX:
        value = f'{value[:-1]}*"'
    sign = "=" if node.operator is Operator.PREFIX else node.operator.value
    return f"{name}:{value}" if field.is_list else f"{name} {sign} {value}"


def _operand(node: Node) -> str:
    return format_filter(node) if isinstance(node, Comparison | Not) else f"({format_filter(node)})"


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return f"\\{character}" if character in '\\"*' else f"\\u{{{ord(character):X}}}"
