"""Flat events, one JSON object to a line (NDJSON).

The rule that must not break: a line that names no `event_id` gets one that depends on its time, its bytes and how many
equal lines came before it, so that importing a file again finds every line in the log, and equal lines stay apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ledger.errors import MalformedError
from ledger.events.flat import from_flat
from ledger.events.ids import derived_event_id
from ledger.importers.records import MappedRecord, encode_record, parse_json

MAPPING_VERSION: Final = 1
"""Version of this mapping; part of every derived id."""

_DERIVED_PREFIX: Final = b"flat/1\x00"
_OCCURRENCE_BYTES: Final = 8
_PROVISIONAL_ID: Final = "unnamed"


def map_line(line: bytes, occurrence: int) -> MappedRecord:
    """Return the record of one line.

    Args:
        line: One flat event with its `timestamp`; white space around it does not matter.
        occurrence: How many equal lines came before it in this import, from 0.

    Raises:
        MalformedError: The line is not a JSON object.
        InvalidEventError: A key or value is refused; with all violations.
        EventTooLargeError: A section would be larger than its limit.
    """
    content = line.strip(b" \t\r\n")
    flat = parse_json(content)
    if not isinstance(flat, dict):
        raise MalformedError("is JSON, but not an object")
    if "event_id" in flat:
        return encode_record(*from_flat(flat))
    event, personal = from_flat(flat, event_id=_PROVISIONAL_ID)
    foreign = _DERIVED_PREFIX + occurrence.to_bytes(_OCCURRENCE_BYTES, "big") + content
    return encode_record(replace(event, event_id=derived_event_id(event.occurred_at, foreign)), personal)
