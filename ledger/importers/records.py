"""What importers have in common: the mapped record, and strict JSON.

The rule that must not break: the same record gives the same sections, on every machine and every run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, NoReturn

from ledger.errors import MalformedError
from ledger.events.codec import encode_sections
from ledger.events.event import Event, PersonalData

_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class MappedRecord:
    """A record as it is to be appended.

    Attributes:
        event: Event section, at most 32 KiB.
        personal: Personal section, at most 60 KiB; empty for none.
        event_id: The event's id.
    """

    event: bytes
    personal: bytes
    event_id: str


def encode_record(event: Event, personal: PersonalData | None) -> MappedRecord:
    """Return the record of these values.

    Raises:
        EventTooLargeError: A section would be larger than its limit.
        InvalidEventError: Values break limits.
    """
    return MappedRecord(*encode_sections(event, personal), event.event_id)


def parse_json(data: bytes) -> object:
    """Return the value of a JSON text.

    Args:
        data: The text in UTF-8.

    Raises:
        MalformedError: It is not UTF-8, not JSON, has a key twice in one object, a number that JSON does not know, or
            is nested too deeply.
    """
    try:
        return _DECODER.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedError(describe_json_error(error)) from error


def describe_json_error(error: Exception) -> str:
    """Return in words why something is not JSON."""
    if isinstance(error, json.JSONDecodeError):
        # Some of Python's messages end in the word already.
        return f"is not JSON: {error.msg.removesuffix(' at')} at character {error.pos}"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 at byte {error.start}"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return f"is not JSON: {error}"


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads though JSON has none; for a decoder's `parse_constant`."""
    raise ValueError(f"{name} is no JSON number")


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice[:_SHOWN]!a} occurs twice in one object")
    return found


# Two readers may take different values of a key that occurs twice.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_refuse_repeated_keys, parse_constant=refuse_constant)
