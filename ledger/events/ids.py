"""Event ids in order of time.

A log's table of ids takes ids that ascend at almost no cost, and random ones at a cost that grows with the log. So
ids begin with the time in milliseconds. The rule that must not break: a derived id depends on the time of occurrence
and the foreign id alone, so that importing a record again, on any machine, finds it in the log.

Source: RFC 9562 sections 5.7 (UUIDv7) and 5.8 (UUIDv8).
"""

from __future__ import annotations

import hashlib
from typing import Final

ID_RANDOM_BYTES: Final = 10
"""Random bytes that a new id takes."""

RESERVED_ID_PREFIX: Final = "ledger-"
"""What begins the event ids that only the server writes."""

_TIME_BITS: Final = 48
_TAIL_BITS: Final = 62
_VARIANT: Final = 0b10
_RANDOM_VERSION: Final = 7
_DERIVED_VERSION: Final = 8
_DERIVED_PREFIX: Final = b"logproof/derived-id/v1\x00"
_MICROSECONDS_PER_MILLISECOND: Final = 1000


def new_event_id(unix_ms: int, random_bytes: bytes) -> str:
    """Return a UUIDv7 as 36 characters of text.

    Args:
        unix_ms: Milliseconds since 1970 in UTC, below 2**48.
        random_bytes: 10 random bytes, of which 74 bits are used.

    Raises:
        ValueError: The time is out of range, or the number of random bytes is not 10.
    """
    if len(random_bytes) != ID_RANDOM_BYTES:
        msg = f"an id takes {ID_RANDOM_BYTES} random bytes, not {len(random_bytes)}"
        raise ValueError(msg)
    return _format(unix_ms, _RANDOM_VERSION, random_bytes)


def derived_event_id(occurred_at_us: int, foreign: bytes) -> str:
    """Return the id of an imported event: a UUIDv8 with the time and fields of a UUIDv7, as 36 characters of text.

    A hash of the foreign id stands where a UUIDv7 has randomness, and the version says that it is not random.

    Args:
        occurred_at_us: Time of occurrence, microseconds since 1970 in UTC.
        foreign: Id of the record in the system that it comes from, or the whole record where it has none.

    Raises:
        ValueError: The time is out of range.
    """
    digest = hashlib.sha256(_DERIVED_PREFIX + foreign).digest()
    return _format(occurred_at_us // _MICROSECONDS_PER_MILLISECOND, _DERIVED_VERSION, digest[:ID_RANDOM_BYTES])


def _format(unix_ms: int, version: int, filling: bytes) -> str:
    if not 0 <= unix_ms < 1 << _TIME_BITS:
        msg = f"the time of an id is 0 to {(1 << _TIME_BITS) - 1} milliseconds, not {unix_ms}"
        raise ValueError(msg)
    bits = int.from_bytes(filling, "big")
    middle = bits >> 64 & 0xFFF
    tail = bits & (1 << _TAIL_BITS) - 1
    value = unix_ms << 80 | version << 76 | middle << 64 | _VARIANT << _TAIL_BITS | tail
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
