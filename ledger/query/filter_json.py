"""A filter as JSON, for evidence that others check: the tree, with every value tagged by its kind.

The rule that must not break: one filter has one JSON text and any other is refused, so its bytes can be hashed. Whole
numbers and others are texts, because JSON's numbers do not hold 64 bits everywhere. docs/filters.md is the page of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from ledger.errors import InvalidFilterError
from ledger.events.event import Value
from ledger.query.nodes import (
    EVERYTHING,
    MAX_COMPARISONS,
    MAX_DEPTH,
    And,
    Comparison,
    Node,
    Not,
    all_of,
    any_of,
    check_size,
    negated,
)
from ledger.query.operators import Operator
from ledger.query.values import shown

FILTER_VERSION: Final = 1
"""Version of the JSON form that this package writes and reads."""

FILTER_MAX_BYTES: Final = 2 * 1024 * 1024
"""Largest JSON text of a filter: 64 comparisons of the longest texts, written as escapes, stay below."""

_OPERATORS: Final = {operator.value: operator for operator in Operator}
_NUMBER_MAX: Final = 32


def filter_to_json(node: Node) -> dict[str, object]:
    """Return a filter as a JSON object."""
    return {"version": FILTER_VERSION, "filter": _to_json(node)}


def filter_from_json(value: object) -> Node:
    """Return the filter that a JSON object is.

    Args:
        value: The object, as a JSON parser gives it.

    Raises:
        InvalidFilterError: It is none, is not in the one form, or is beyond a limit.
    """
    if not isinstance(value, Mapping) or value.keys() != {"version", "filter"}:
        raise InvalidFilterError("a filter in JSON is an object with version and filter")
    version = value["version"]
    if type(version) is not int or version != FILTER_VERSION:
        raise InvalidFilterError(
            f"the filter has version {shown(version)}; the one known here is {FILTER_VERSION}",
            hint="read it with a newer version",
        )
    reader = _Reader()
    node = reader.node(value["filter"], 0)
    check_size(node)
    # What is not in normal form comes out otherwise than it went in.
    if filter_to_json(node) != value:
        raise InvalidFilterError("the filter in JSON is not in its one form", hint="write it with filter_to_json")
    return node


def encode_filter(node: Node) -> bytes:
    """Return the one JSON text of a filter, UTF-8: keys sorted, no spaces, only what must be escaped is."""
    return json.dumps(filter_to_json(node), ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def decode_filter(data: bytes) -> Node:
    """Return the filter whose one JSON text this is.

    Args:
        data: At most 2 MiB.

    Raises:
        InvalidFilterError: It is none.
    """
    if len(data) > FILTER_MAX_BYTES:
        raise InvalidFilterError(f"the filter has {len(data)} bytes; the limit is {FILTER_MAX_BYTES}")
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise InvalidFilterError("the filter is not JSON in UTF-8") from None
    node = filter_from_json(value)
    if encode_filter(node) != data:
        raise InvalidFilterError("the filter's JSON is not in its one form", hint="write it with encode_filter")
    return node


def _to_json(node: Node) -> dict[str, object]:
    if isinstance(node, Comparison):
        written: dict[str, object] = {"field": node.field, "op": node.operator.value}
        return written if node.value is None else written | {"value": {node.kind: _value_to_json(node.value)}}
    if isinstance(node, Not):
        return {"not": _to_json(node.operand)}
    return {"and" if isinstance(node, And) else "or": [_to_json(operand) for operand in node.operands]}


def _value_to_json(value: Value) -> str | bool:
    return value if isinstance(value, str | bool) else repr(value)


class _Reader:
    """Reads a tree and counts, so that what is beyond the limits is not read to its end."""

    def __init__(self) -> None:
        self.comparison_count = 0

    def node(self, value: object, depth: int) -> Node:
        # One more than the limit, which check_size then tells.
        if depth > MAX_DEPTH + 1:
            raise InvalidFilterError(f"the filter is too deep; the limit is {MAX_DEPTH} AND, OR and NOT in one another")
        if not isinstance(value, Mapping):
            raise InvalidFilterError(f"a part of a filter is an object, not {shown(value)}")
        keys = set(value)
        if keys in ({"and"}, {"or"}):
            (kind,) = keys
            operands = self.operands(value[kind], depth)
            if not operands:
                return self.everything(kind, depth)
            return all_of(*operands) if kind == "and" else any_of(*operands)
        if keys == {"not"}:
            return negated(self.node(value["not"], depth + 1))
        return self.comparison(value)

    def operands(self, value: object, depth: int) -> list[Node]:
        if not isinstance(value, list):
            raise InvalidFilterError(f"the parts of an AND or OR are a list, not {shown(value)}")
        return [self.node(operand, depth + 1) for operand in value]

    def everything(self, kind: object, depth: int) -> Node:
        if kind == "or" or depth:
            raise InvalidFilterError("an AND without parts is every entry and stands alone; an OR has parts")
        return EVERYTHING

    def comparison(self, value: Mapping[object, object]) -> Node:
        self.comparison_count += 1
        if self.comparison_count > MAX_COMPARISONS:
            raise InvalidFilterError(f"the filter has more than {MAX_COMPARISONS} comparisons")
        name, asked = value.get("field"), value.get("op")
        operator = _OPERATORS.get(asked) if isinstance(asked, str) else None
        if not isinstance(name, str) or operator is None or value.keys() - {"field", "op", "value"}:
            raise InvalidFilterError("a comparison is an object with field, op, and but for present value")
        return Comparison(name, operator, _value_from_json(value["value"]) if "value" in value else None)


def _value_from_json(value: object) -> Value:
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "truth" and isinstance(content, bool):
            return content
        if kind == "text" and isinstance(content, str):
            return content
        if kind in {"integer", "number"} and isinstance(content, str) and len(content) <= _NUMBER_MAX:
            with suppress(ValueError):
                return int(content) if kind == "integer" else float(content)
    raise InvalidFilterError(
        f"{shown(value)} is no value; one is an object with text, truth, or integer or number as a decimal text"
    )
