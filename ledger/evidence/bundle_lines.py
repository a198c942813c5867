"""The lines of a bundle: an entry as it was committed, and the same entry as people read it.

An entry's line has one form, and so has the row that follows from it. The rule that must not break: a row is compared
byte for byte with the one that follows from the committed sections, so what people read is what was committed.

Source: docs/formats.md section 18.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json import JSONEncoder
from typing import Final, NamedTuple, TypeVar

from ledger.errors import MalformedError, NewerSchemaError
from ledger.events.event import TIME_MAX
from ledger.events.flat import to_flat
from ledger.events.leaf import Leaf
from ledger.events.timestamps import format_timestamp
from ledger.events.wire import read_event, read_personal
from ledger.evidence.receipts import Section
from ledger.notes.encoding import decode_base64, encode_base64

T = TypeVar("T")

MAX_ENTRY_LINE: Final = 128 * 1024
"""Most bytes of an entry's line without its newline; both sections at their limits fit."""

MAX_ROW_LINE: Final = 1024 * 1024
"""Most bytes of a row; both sections at their limits fit, however they are escaped."""

_SECTION: Final = '"{0}":"([A-Za-z0-9+/=]+)","{0}_salt":"([A-Za-z0-9+/]{{22}}==)"'
_ENTRY: Final = re.compile(
    (
        r'\{"leaf_index":(0|[1-9][0-9]{0,15}),"leaf":"([A-Za-z0-9+/=]+)",'
        f'(?:{_SECTION.format("event")}|"event_state":"(withheld|erased)")'
        f'(?:,{_SECTION.format("personal")}|,"personal_state":"(withheld|erased|not_asked)")?'
        r"\}"
    ).encode()
)
_JSON: Final = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_NEWER: Final = "newer_schema"


class EntryLine(NamedTuple):
    """An entry as its line has it; nothing of it is verified.

    Attributes:
        leaf_index: Index.
        leaf: The leaf's bytes.
        event: Event section, if it is shown.
        event_state: What became of it where it is not shown; empty otherwise.
        personal: Personal section, if it is shown.
        personal_state: What became of it where it is not shown; empty where it is, or where none is said to exist.
    """

    leaf_index: int
    leaf: bytes
    event: Section | None
    event_state: str
    personal: Section | None
    personal_state: str


def parse_entry(line: bytes) -> EntryLine:
    """Read an entry's line, without its newline.

    Raises:
        MalformedError: It does not have its one form.
    """
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise MalformedError(f"a line of entries does not have its form: {line[:80]!r}")
    index, leaf, event, event_salt, event_state, personal, personal_salt, personal_state = match.groups(b"")
    return EntryLine(
        int(index),
        decode_base64(leaf.decode(), "a leaf"),
        _section(event, event_salt),
        event_state.decode(),
        _section(personal, personal_salt),
        personal_state.decode(),
    )


def format_entry(entry: EntryLine) -> bytes:
    """Return an entry's line with its newline; the inverse of `parse_entry`."""
    parts = [f'{{"leaf_index":{entry.leaf_index},"leaf":"{encode_base64(entry.leaf)}"']
    for name, section, state in (
        ("event", entry.event, entry.event_state),
        ("personal", entry.personal, entry.personal_state),
    ):
        if section is not None:
            parts.append(f'"{name}":"{encode_base64(section.content)}","{name}_salt":"{encode_base64(section.salt)}"')
        elif state:
            parts.append(f'"{name}_state":"{state}"')
    return (",".join(parts) + "}\n").encode()


def format_row(entry: EntryLine, leaf: Leaf) -> bytes:
    """Return the row that people read, with its newline, as it follows from an entry and its leaf.

    Raises:
        InvalidEventError: A section breaks the strict-bytes rule.
    """
    event, event_state = _read(read_event, entry.event, entry.event_state)
    personal, personal_state = _read(read_personal, entry.personal, entry.personal_state)
    row: dict[str, object] = {
        "leaf_index": entry.leaf_index,
        "recorded_at": format_timestamp(leaf.recorded_at) if leaf.recorded_at <= TIME_MAX else leaf.recorded_at,
        "principal": leaf.principal.hex(),
    }
    if event_state:
        row["event_state"] = event_state
    if personal_state:
        row["personal_state"] = personal_state
    if event is not None:
        row |= to_flat(event, personal)
    return _JSON.encode(row).encode() + b"\n"


def _read(read: Callable[[bytes], T], section: Section | None, state: str) -> tuple[T | None, str]:
    if section is None:
        return None, state
    try:
        return read(section.content), ""
    except NewerSchemaError:
        return None, _NEWER


def _section(content: bytes, salt: bytes) -> Section | None:
    if not content:
        return None
    return Section(decode_base64(salt.decode(), "a salt"), decode_base64(content.decode(), "a section"))
