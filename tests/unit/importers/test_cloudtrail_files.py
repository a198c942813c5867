from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.importers.cloudtrail_files import UnreadableRecord, split_file

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_RECORDS = st.lists(st.dictionaries(st.text(max_size=5), _JSON, max_size=3), max_size=4)
_SPACES = st.text(" \t\r\n", max_size=3)


@given(_RECORDS, st.lists(_SPACES, min_size=14, max_size=14), st.booleans(), st.booleans())
def test_records_of_a_list_are_the_files_own_bytes(
    records: list[object], spaces: list[str], ascii_only: bool, delivered: bool
) -> None:
    written = [json.dumps(record, ensure_ascii=ascii_only) for record in records]
    around = [spaces[number] + text + spaces[number + 4] for number, text in enumerate(written)]
    listed = f"[{spaces[8]}{','.join(around)}{spaces[9]}]"
    if delivered:
        listed = f'{{"a":{spaces[10]}{{"Records": 1}},{spaces[11]}"Records":{spaces[12]}{listed}, "z": [2]}}'
    found = list(split_file((spaces[13] + listed + spaces[0]).encode()))
    assert found == [
        (number, text.encode(), record) for number, (text, record) in enumerate(zip(written, records, strict=True), 1)
    ]


@given(_RECORDS.filter(lambda records: len(records) > 1), st.sampled_from(["\n", "\r\n", "\n\n", " \n\t"]))
def test_records_of_lines_are_the_files_own_bytes(records: list[dict[str, object]], ending: str) -> None:
    written = [json.dumps(record, ensure_ascii=False) for record in records]
    found = list(split_file(ending.join([*written, ""]).encode()))
    assert [(raw, record) for _, raw, record in found] == [
        (text.encode(), record) for text, record in zip(written, records, strict=True)
    ]
    lines = [number for number, line in enumerate(ending.join(written).split("\n"), 1) if line.strip()]
    assert [number for number, _, _ in found] == lines


def test_byte_order_mark_is_no_part_of_a_record() -> None:
    assert list(split_file(b'\xef\xbb\xbf[{"a":1}]')) == [(1, b'{"a":1}', {"a": 1})]


def test_single_object_is_one_record_even_over_several_lines() -> None:
    assert list(split_file(b'\n{\n"a": 1\n}\n')) == [(1, b'{\n"a": 1\n}', {"a": 1})]


@pytest.mark.parametrize("data", [b"", b" \n", b"[]", b'{"Records": []}', b'{"Records": [ ], "x": 1}'])
def test_file_without_records_has_none(data: bytes) -> None:
    assert list(split_file(data)) == []


def _unreadable(data: bytes) -> list[tuple[int, str]]:
    return [(number, value.reason) for number, _, value in split_file(data) if isinstance(value, UnreadableRecord)]


@pytest.mark.parametrize(
    ("data", "number", "reason"),
    [
        (b'[{"a":1}, {"b":]', 2, "is not JSON: Expecting value at character 15; nothing after it in the file was read"),
        (b'[{"a":1}, nonsense, {"b":1}]', 2, "is not JSON: Expecting value"),
        (b'[{"a":1}, {"b":1}', 3, "comes after the end of the file where a comma or the end of the list should be"),
        (b'[{"a":1} {"b":1}]', 2, "comes after '{' where a comma or the end of the list should be"),
        (b'[{"a":1},', 2, "is not JSON"),
        (b'[{"a":NaN}]', 1, "is not JSON: NaN is no JSON number"),
        (b"[" * 100_000, 1, "is nested too deeply"),
        (b'[{"a":1}] [', 0, "follows the list of records"),
        (b'{"Records": [{"a":1}, {"b"', 2, "is not JSON"),
        (b'{"Records": [{"a":1}]', 0, "what follows the list of records is not JSON"),
        (b'{"Records": [{"a":1}]} x', 0, "what follows the list of records is not JSON"),
        (b'{"Records": [{"a":1}], "Records": [{"b":1}]}', 0, "a second list of records follows the first"),
        (b'{"a":1}\nnonsense\n{"b":1}', 2, "is not JSON: Expecting value at character 0"),
        (b'{"a":1}\n{"b":"\xff"}\n{"c":1}', 2, "is not UTF-8 at byte 6"),
        (b'{"a":1} {"b":1}', 1, "is not JSON: Extra data"),
        (b'{"a" 1}', 1, "is not JSON"),
        (b'{"a": 1 "b": 2}', 1, "is not JSON"),
        (b"{", 1, "is not JSON"),
        (b"nonsense", 1, "is not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", 1, "is not JSON"),
        (b"\x1f\x8b\x08\x00", 1, "is not UTF-8 at byte 1"),
    ],
)
def test_what_is_not_json_is_reported_with_its_number(data: bytes, number: int, reason: str) -> None:
    ((found, said),) = _unreadable(data)
    assert found == number
    assert reason in said


def test_records_before_what_is_not_json_are_given() -> None:
    for data in (b'[{"a":1}, nonsense]', b'{"Records": [{"a":1}, nonsense', b'{"a":1}\nnonsense'):
        assert next(split_file(data)) == (1, b'{"a":1}', {"a": 1})


def test_lines_after_what_is_not_json_are_given() -> None:
    assert [record for _, _, record in split_file(b'{"a":1}\nx\n{"b":2}\n')][2] == {"b": 2}


def test_key_that_occurs_twice_does_not_stop_a_record() -> None:
    assert list(split_file(b'[{"a":1,"a":2}]')) == [(1, b'{"a":1,"a":2}', {"a": 2})]


def test_no_word_of_the_reason_is_said_twice() -> None:
    assert _unreadable(b'["open') == [
        (1, "is not JSON: Unterminated string starting at character 1; nothing after it in the file was read")
    ]
