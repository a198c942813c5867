"""A filter in words, one line for each of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ledger.query.fields import resolve
from ledger.query.nodes import EVERYTHING, And, Comparison, Node, Not
from ledger.query.operators import Operator
from ledger.query.text import format_field, format_value

_WORDS: Final = {
    Operator.EQUALS: "is",
    Operator.LESS: "is less than",
    Operator.LESS_OR_EQUAL: "is at most",
    Operator.GREATER: "is greater than",
    Operator.GREATER_OR_EQUAL: "is at least",
    Operator.PREFIX: "begins with",
    Operator.CIDR: "is in the network",
}


def explain(node: Node) -> str:
    """Return a filter as a tree in words, parts indented under what joins them."""
    return "\n".join(["every entry"] if node == EVERYTHING else _lines(node, ""))


def _lines(node: Node, indent: str) -> Iterator[str]:
    if isinstance(node, Comparison):
        yield indent + _words(node)
        return
    if isinstance(node, Not):
        yield f"{indent}not:"
        yield from _lines(node.operand, f"{indent}  ")
        return
    yield f"{indent}{'all' if isinstance(node, And) else 'any'} of these:"
    for operand in node.operands:
        yield from _lines(operand, f"{indent}  ")


def _words(node: Comparison) -> str:
    field, name = resolve(node.field), format_field(node.field)
    subject = f"one of {name}" if field.is_list else name
    if node.value is None:
        return f"{name} is there"
    return f"{subject} {_WORDS[node.operator]} {format_value(field.type, node.value)}"
