"""docs/events.md, held to the code: every flat key, and the example."""

from __future__ import annotations

import json
import re

from ledger.events.event import Event
from ledger.events.flat import from_flat, to_flat
from ledger.events.flat_keys import (
    FIELDS,
    FLAT_FIELDS,
    FLAT_KEYS,
    PERSONAL_METADATA_ENDINGS,
    PERSONAL_METADATA_KEYS,
    enum_names,
)
from ledger.events.schema import Kind
from tests.support.documentation import ROOT

_PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


def _rows() -> dict[str, tuple[str, str]]:
    found = re.findall(r"^\| `(\w+)` \| ((?:event|personal)\.[\w.]+) \| (.+) \|$", _PAGE, flags=re.MULTILINE)
    return {key: (path, value) for key, path, value in found}


def test_table_has_every_key_of_one_field() -> None:
    assert {key: path for key, (path, _) in _rows().items()} == dict(FLAT_FIELDS)


def test_table_names_the_values_of_every_enum() -> None:
    for key, (path, value) in _rows().items():
        names = list(enum_names(FIELDS[path]).values())
        if FIELDS[path].kind is Kind.ENUM and names != ["true", "false"]:
            assert value == ", ".join(names), key


def test_page_names_every_other_key() -> None:
    others = [key for key in FLAT_KEYS if key not in FLAT_FIELDS]

    assert [key for key in others if f"`{key}`" not in _PAGE.partition("## Other keys")[2]] == []


def test_page_names_the_keys_that_are_personal() -> None:
    text = _PAGE.partition("## What becomes personal")[2]

    assert [key for key in (*PERSONAL_METADATA_KEYS, *PERSONAL_METADATA_ENDINGS) if f"`{key}`" not in text] == []
    assert [key for key, (path, _) in _rows().items() if path.startswith("personal.") and f"`{key}`" not in text] == []


def test_example_is_taken_and_comes_back() -> None:
    (example,) = re.findall(r"^```json flat-event\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)
    flat = json.loads(example)
    event, personal = from_flat(flat, event_id="an-id")

    assert isinstance(event, Event)
    assert to_flat(event, personal) == flat | {"event_id": "an-id"}
    assert personal is not None
    assert [entry.key for entry in personal.metadata] == ["ip", "user_agent"]
