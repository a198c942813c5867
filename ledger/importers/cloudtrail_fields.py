"""Values of a CloudTrail record, by dotted path.

The rule that must not break: a value is given whole, or not at all; nothing is ever cut to fit its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.errors import MalformedError


class Fields:
    """Looks up values of a record by dotted path, and gives only those that fit their place."""

    def __init__(self, record: Mapping[str, object]) -> None:
        """Look into this record."""
        self.record = record

    def get(self, path: str) -> object:
        """Return what is at the path, of any type; None where nothing is."""
        value: object = self.record
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def required(self, path: str) -> str:
        """Return the text at the path, which is not empty.

        Raises:
            MalformedError: There is none.
        """
        value = self.get(path)
        if not isinstance(value, str) or not value:
            raise MalformedError(f"{path} is missing" if value is None else f"{path} is not text")
        return value

    def text(self, path: str, max_bytes: int) -> str:
        """Return the text at the path; empty where it is none, or does not fit."""
        return fitting(self.get(path), max_bytes)


def fitting(value: object, max_bytes: int) -> str:
    """Return a text of at most so many bytes of UTF-8; empty where it is none, or does not fit."""
    if not isinstance(value, str):
        return ""
    try:
        return value if len(value.encode()) <= max_bytes else ""
    except UnicodeEncodeError:
        return ""
