from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from ledger.errors import EventTooLargeError, InvalidEventError, MalformedError
from ledger.events.codec import check_sections
from ledger.events.flat import to_flat
from ledger.events.flat_keys import FLAT_FIELDS, FLAT_KEYS
from ledger.events.wire import read_event, read_personal
from ledger.importers.flat import map_line
from ledger.importers.records import MappedRecord

_LINE = b'{"action": "user.created", "timestamp": "2026-02-20T14:30:00Z", "metadata": {"n": 1, "ip": "x"}}'
_DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "events.md"


def _flat(record: MappedRecord) -> dict[str, object]:
    return to_flat(read_event(record.event), read_personal(record.personal) if record.personal else None)


def test_line_is_mapped_to_sections_that_a_server_accepts() -> None:
    record = map_line(_LINE, 0)
    assert check_sections(record.event, record.personal) == record.event_id
    assert _flat(record) == {**json.loads(_LINE), "event_id": record.event_id}


def test_id_of_a_line_depends_on_its_bytes_and_how_many_equal_ones_came_before() -> None:
    assert map_line(_LINE, 0) == map_line(b" " + _LINE + b"\r\n", 0)
    ids = {
        map_line(line, occurrence).event_id
        for line in (_LINE, _LINE.replace(b'"n": 1', b'"n": 2'))
        for occurrence in (0, 1)
    }
    assert len(ids) == 4


def test_id_that_a_line_names_is_kept() -> None:
    line = _LINE.replace(b"{", b'{"event_id": "mine", ', 1)
    assert map_line(line, 0).event_id == map_line(line, 1).event_id == "mine"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "is not JSON: Expecting value at character 0"),
        (b"nonsense", "is not JSON"),
        (b"[]", "is JSON, but not an object"),
        (b'{"action": "a.b", "action": "a.c"}', "key 'action' occurs twice in one object"),
        (b'{"metadata": {"k": 1, "k": 2}}', "key 'k' occurs twice in one object"),
        (b'{"metadata": {"k": NaN}}', "NaN is no JSON number"),
        (b'{"metadata": {"k": -Infinity}}', "-Infinity is no JSON number"),
        (b'{"action": "\xff"}', "is not UTF-8 at byte 12"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"metadata": {"k": ' + b"1" * 5000 + b"}}", "is not JSON"),
    ],
)
def test_line_that_is_no_json_object_is_refused_with_the_reason(line: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=re.escape(message)):
        map_line(line, 0)


def test_line_without_time_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="timestamp: is missing"):
        map_line(b'{"action": "a.b"}', 0)


@pytest.mark.parametrize("number", ["9223372036854775808", "1e999"])
def test_number_that_has_no_place_is_refused(number: str) -> None:
    with pytest.raises(InvalidEventError, match=r"metadata\.n"):
        map_line(_LINE.replace(b'"n": 1', f'"n": {number}'.encode()), 0)


def test_line_that_makes_a_section_too_large_is_refused() -> None:
    metadata = {f"k{number}": "x" * 2048 for number in range(20)}
    line = json.dumps({**json.loads(_LINE), "metadata": metadata}).encode()
    with pytest.raises(EventTooLargeError, match="event section has"):
        map_line(line, 0)


def test_samples_that_ship_with_the_package_are_good_and_come_back() -> None:
    lines = files("ledger.importers").joinpath("sample-events.ndjson").read_bytes().splitlines()
    records = [map_line(line, 0) for line in lines]
    assert len({record.event_id for record in records}) == len(records) == 25
    assert any(not line.isascii() for line in lines)
    for line, record in zip(lines, records, strict=True):
        assert check_sections(record.event, record.personal) == record.event_id
        assert _flat(record) == {"event_id": record.event_id, **json.loads(line)}


def _documented() -> dict[str, str]:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (`.*?`) \|", _DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {key: places for keys, places in rows for key in re.findall(r"`(\w+)`", keys)}


def test_every_key_of_a_flat_event_is_documented_with_its_place() -> None:
    documented = _documented()
    assert set(documented) == set(FLAT_KEYS)
    for key, path in FLAT_FIELDS.items():
        assert documented[key] == f"`{path}`"


def test_examples_of_the_documentation_are_accepted() -> None:
    examples = re.findall(r"```json\n(.*?)```", _DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        flat = {"timestamp": "2026-02-20T14:30:00Z", **json.loads(example)}
        map_line(json.dumps(flat).encode(), 0)
