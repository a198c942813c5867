"""Filters as JSON: one text for each filter, and everything else refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidFilterError
from ledger.query import (
    EVERYTHING,
    FILTER_MAX_BYTES,
    Comparison,
    Node,
    Operator,
    decode_filter,
    encode_filter,
    filter_from_json,
    filter_to_json,
    parse_filter,
)
from tests.support.filters import FILTERS

_A: dict[str, Any] = {"field": "actor_id", "op": "=", "value": {"text": "a"}}


def _wrapped(value: object) -> dict[str, object]:
    return {"version": 1, "filter": value}


@settings(max_examples=300)
@given(FILTERS)
def test_a_filter_comes_back_from_its_json(node: Node) -> None:
    assert decode_filter(encode_filter(node)) == node
    assert filter_from_json(filter_to_json(node)) == node


def test_the_json_of_a_filter_is_what_the_page_says() -> None:
    node = parse_filter(
        "action:auth.* AND (outcome != denied OR metadata.k = 0.5 OR leaf_index > 5 OR auth_mfa = true)"
    )

    assert encode_filter(node).decode() == (
        '{"filter":{"and":[{"field":"action","op":"prefix","value":{"text":"auth."}},{"or":['
        '{"not":{"field":"outcome","op":"=","value":{"text":"denied"}}},'
        '{"field":"metadata.k","op":"=","value":{"number":"0.5"}},'
        '{"field":"leaf_index","op":">","value":{"integer":"5"}},'
        '{"field":"auth_mfa","op":"=","value":{"truth":true}}]}]},"version":1}'
    )
    assert encode_filter(EVERYTHING) == b'{"filter":{"and":[]},"version":1}'
    assert encode_filter(Comparison("ip", Operator.PRESENT)) == b'{"filter":{"field":"ip","op":"present"},"version":1}'


def _with(**parts: object) -> dict[str, object]:
    return _A | parts


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "=", "actor_id", "5", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["and", "or", "not", "field", "op", "value", "text", "integer"]), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@given(_JSON)
def test_any_json_is_a_filter_or_refused(value: object) -> None:
    for candidate in (value, _wrapped(value)):
        try:
            node = filter_from_json(candidate)
        except InvalidFilterError:
            continue
        assert filter_to_json(node) == candidate


def _deep(depth: int) -> dict[str, Any]:
    node = _A
    for level in range(depth):
        node = {"and": [_A, node]} if level % 2 else {"or": [_A, node]}
    return node


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "with version and filter"),
        ({"filter": _A}, "with version and filter"),
        ({"filter": _A, "version": 2}, "version 2"),
        ({"filter": _A, "version": True}, "version True"),
        ({"filter": _A, "version": 1.0}, "version 1.0"),
        (_wrapped([]), "is an object"),
        (_wrapped({"and": _A}), "are a list"),
        (_wrapped({"and": [_A]}), "one form"),
        (_wrapped({"and": [_A, {"and": [_A, _A]}]}), "one form"),
        (_wrapped({"not": {"not": _A}}), "one form"),
        (_wrapped({"or": []}), "stands alone"),
        (_wrapped({"not": {"and": []}}), "stands alone"),
        (_wrapped({"and": [_A] * 65}), "more than 64"),
        (_wrapped(_deep(17)), "17 deep"),
        (_wrapped(_deep(1000)), "too deep"),
        (_wrapped(_with(field=5)), "with field, op"),
        (_wrapped(_with(op="!=")), "with field, op"),
        (_wrapped(_with(op=["="])), "with field, op"),
        (_wrapped(_with(more=1)), "with field, op"),
        (_wrapped(_with(field="actor.id")), "one form"),
        (_wrapped(_with(field="oops")), "no field"),
        (_wrapped(_with(op="present")), "needs a value, but"),
        (_wrapped({"field": "actor_id", "op": "="}), "needs a value"),
        (_wrapped(_with(value="a")), "is no value"),
        (_wrapped(_with(value={"text": 5})), "is no value"),
        (_wrapped(_with(value={"truth": "a"})), "is no value"),
        (_wrapped(_with(value={"integer": 5})), "is no value"),
        (_wrapped(_with(value={"integer": "x"})), "is no value"),
        (_wrapped(_with(value={"integer": "5" * 33})), "is no value"),
        (_wrapped(_with(field="leaf_index", value={"integer": "05"})), "one form"),
        (_wrapped(_with(field="leaf_index", value={"integer": "1_0"})), "one form"),
        (_wrapped(_with(field="metadata.k", value={"number": "5.0"})), "one form"),
        (_wrapped(_with(field="metadata.k", value={"number": "inf"})), "finite"),
        (_wrapped(_with(field="metadata.k", value={"number": "0.50"})), "one form"),
        (_wrapped(_with(field="actor_email", value={"text": "A"})), "one form"),
    ],
)
def test_json_that_is_not_the_one_form_of_a_filter_is_refused(value: object, told: str) -> None:
    with pytest.raises(InvalidFilterError, match=told):
        filter_from_json(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[" * 200_000,
        b" " * (FILTER_MAX_BYTES + 1),
        json.dumps(_wrapped(_A)).encode(),
        encode_filter(EVERYTHING) + b"\n",
        b'{"filter":{"and":[]},"filter":{"and":[]},"version":1}',
        b'{"filter":{"and":[]},"version":1e0}',
    ],
    ids=["empty", "not UTF-8", "deep", "long", "spaces", "newline", "twice", "exponent"],
)
def test_bytes_that_are_not_the_one_text_of_a_filter_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidFilterError):
        decode_filter(data)


def test_the_largest_filter_is_within_the_limit_of_its_json() -> None:
    nodes = " ".join(["actor_id=a"] * 64)
    longest = {"and": [_with(field="changed_to." + "\x01" * 256, value={"text": "\x01" * 4096})] * 64}

    assert len(encode_filter(parse_filter(nodes))) < FILTER_MAX_BYTES
    assert decode_filter(encode_filter(filter_from_json(_wrapped(longest)))) == filter_from_json(_wrapped(longest))
