"""Times as text: RFC 3339 in and out, whole microseconds between.

The rule that must not break: what is accepted has exactly one microsecond; nothing is rounded, and no zone is assumed.

Source: RFC 3339 section 5.6.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger.errors import MalformedError
from ledger.events.event import TIME_MAX

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DIGITS: Final = 6
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))?"
)


def parse_timestamp(text: str) -> int:
    """Return the microseconds since 1970 in UTC that an RFC 3339 time names.

    Args:
        text: Date, `T`, time, and `Z` or an offset; a fraction may follow the seconds.

    Raises:
        MalformedError: It is no such time, names no zone, is finer than a microsecond, is a leap second, or is outside
            the years 1970 to 9999.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise MalformedError(f"is {text[:40]!a}; it is an RFC 3339 time such as 2026-02-20T14:30:00Z")
    year, month, day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    if sign is None and text[-1] not in "Zz":
        raise MalformedError(f"is {text}, which names no zone; end it with Z or an offset such as +01:00")
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > _DIGITS:
        raise MalformedError(f"is {text[:60]}, which is finer than a microsecond; give at most {_DIGITS} decimals")
    if second == "60":
        raise MalformedError(f"is {text}, a leap second, which UTC in microseconds cannot tell; give second 59")
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
        offset = _offset(sign, zone_hour, zone_minute)
    except ValueError as error:
        raise MalformedError(f"is {text}, which is no time: {error}") from error
    microseconds = (moment - _EPOCH) // _MICROSECOND + int(fraction.ljust(_DIGITS, "0")) - offset
    if not 0 < microseconds <= TIME_MAX:
        raise MalformedError(f"is {text}; it is after the first moment of 1970 and before the year 10000 in UTC")
    return microseconds


def format_timestamp(microseconds: int) -> str:
    """Return the RFC 3339 time in UTC, with as few decimals as it needs.

    Args:
        microseconds: Microseconds since 1970 in UTC, up to the year 9999.

    Raises:
        ValueError: The time is out of range.
    """
    if not 0 <= microseconds <= TIME_MAX:
        raise ValueError(f"a time is 0 to {TIME_MAX} microseconds, not {microseconds}")
    moment = _EPOCH + timedelta(microseconds=microseconds)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def _offset(sign: str | None, hours: str, minutes: str) -> int:
    """Return the microseconds by which a zone is ahead of UTC."""
    if sign is None:
        return 0
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError("the offset is beyond 23:59")
    offset = timedelta(hours=int(hours), minutes=int(minutes)) // _MICROSECOND
    return -offset if sign == "-" else offset
