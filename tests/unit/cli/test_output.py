from __future__ import annotations

import csv
import io
import json

import pytest

from ledger.cli.output import Format, printable, write_record, write_records

RECORDS = [
    {"name": "a", "size": 1, "words": ["x", "y"], "open": True, "none": None},
    {"name": "ü" * 3, "size": 20, "words": [], "open": False, "none": None},
]
COLUMNS = ["name", "size", "words", "open", "none"]


def test_json_is_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    write_records(RECORDS, Format.JSON, COLUMNS)

    assert json.loads(capsys.readouterr().out) == RECORDS


def test_ndjson_is_one_object_to_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_records(RECORDS, Format.NDJSON, COLUMNS)

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == RECORDS


def test_csv_has_a_header_and_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    write_records(RECORDS, Format.CSV, COLUMNS)

    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [COLUMNS, ["a", "1", '["x", "y"]', "true", ""], ["üüü", "20", "[]", "false", ""]]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_cell_is_never_a_formula(capsys: pytest.CaptureFixture[str], start: str) -> None:
    write_record({"name": f"{start}cmd|' /C calc'!A0", "number": -5}, Format.CSV)

    rows = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    assert rows[1] == [f"'{start}cmd|' /C calc'!A0", "-5"]


def test_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    write_records(RECORDS, Format.TABLE, COLUMNS)

    assert capsys.readouterr().out.splitlines() == [
        "NAME  SIZE  WORDS  OPEN  NONE",
        "a     1     x, y   yes   -",
        "üüü   20    -      no    -",
    ]


def test_table_of_one_record_keeps_the_names_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    write_record({"leaf_index": 1, "event": {"actor_id": "u", "metadata": {"a_b": 1}}}, Format.TABLE)

    assert capsys.readouterr().out.splitlines() == [
        "leaf index          1",
        "event.actor_id      u",
        "event.metadata.a_b  1",
    ]


def test_text_of_a_log_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    write_record({"name": "\x1b]0;owned\x07\n\u202espoofed"}, Format.TABLE)

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert printable("Grüße 漢字") == "Grüße 漢字"


def test_table_cuts_what_no_screen_holds_and_json_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    write_record({"original": "x" * 50_000}, Format.TABLE)
    assert capsys.readouterr().out == f"original  {'x' * 400}... (50000 characters)\n"

    write_record({"original": "x" * 50_000}, Format.NDJSON)
    assert len(capsys.readouterr().out) > 50_000
