"""docs/filters.md, held to the code: every example is a filter, every field is in the table under its type."""

from __future__ import annotations

import re

from ledger.query import FIELDS, FieldType, Operator, decode_filter, format_filter, parse_filter
from ledger.query.fields import ALIASES, MAP_FIELDS
from tests.support.documentation import ROOT

_PAGE = (ROOT / "docs" / "filters.md").read_text(encoding="utf-8")
_TYPES = {
    FieldType.TEXT: "text",
    FieldType.EMAIL: "e-mail address",
    FieldType.ENUM: "enum",
    FieldType.TIME: "time",
    FieldType.INTEGER: "whole number",
    FieldType.TRUTH: "true or false",
    FieldType.ADDRESS: "address",
    FieldType.HEX: "hexadecimal digits",
    FieldType.PRESENCE: "only `:*`",
}


def _rows() -> dict[str, str]:
    table = _PAGE.partition("\n## Fields\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {name: cells[1] for cells in lines for name in re.findall(r"`([^`]+)`", cells[0])}


def test_every_example_of_a_filter_is_one() -> None:
    lines = "".join(re.findall(r"^```filter\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)).splitlines()

    assert len(lines) == 7
    for line in lines:
        assert parse_filter(format_filter(parse_filter(line))) == parse_filter(line)


def test_every_example_of_json_is_a_filter() -> None:
    blocks = re.findall(r"^```json\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)

    assert [format_filter(decode_filter(block.strip().encode())) for block in blocks] == [
        'action = "auth.login.*" AND NOT outcome = "success"'
    ]


def test_every_field_is_in_the_table_with_its_type() -> None:
    rows = _rows()
    for field in FIELDS.values():
        assert _TYPES[field.type] in rows[field.name], field.name
        assert ("personal" in rows[field.name]) is field.is_personal, field.name
        assert ("list" in rows[field.name]) is field.is_list, field.name
        if field.size:
            assert rows[field.name].startswith(f"{2 * field.size} "), field.name
    mapped = {f"{head}.{'KEY' if head.endswith('metadata') else 'PATH'}" for head in MAP_FIELDS}
    assert rows.keys() - FIELDS.keys() - ALIASES.keys() == mapped


def test_every_operator_is_told() -> None:
    assert [
        operator.value
        for operator in Operator
        if f"`{operator.value}`" not in _PAGE and f'"{operator.value}"' not in _PAGE
    ] == []
