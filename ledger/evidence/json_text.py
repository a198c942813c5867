"""Reading JSON that others wrote.

The rule that must not break: what is accepted means the same to every reader, so duplicate keys, NaN and bytes that
are not UTF-8 are refused.

Source: RFC 8259; RFC 7493 (I-JSON).
"""

from __future__ import annotations

import json
from typing import NoReturn

from ledger.errors import MalformedError


def load_json(data: bytes, what: str) -> object:
    """Return what a JSON text says.

    Args:
        data: The text, UTF-8, any length.
        what: What the text is, for the message.

    Raises:
        MalformedError: It is not JSON, not UTF-8, too deep to be read, or an object has a key twice.
    """
    try:
        value: object = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{what} cannot be read as JSON: {error}") from None
    return value


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has a key twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
