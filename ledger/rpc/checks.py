"""Checks of requests: all violations of a request at once, each with its field, its limit and what was found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ledger.errors import FieldViolation, InvalidRequestError
from ledger.events.checks import EVENT_ID_PATTERN
from ledger.merkle.hashing import HASH_SIZE

MAX_INDEX: Final = (1 << 63) - 1
"""Largest leaf index and tree size that is taken."""

MAX_INDEXES: Final = 1000
"""Most leaf indexes of a request."""


class RequestChecks:
    """Collects what is wrong with one request."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._violations: list[FieldViolation] = []

    def refuse(self, field: str, description: str) -> None:
        """Note a violation."""
        self._violations.append(FieldViolation(field, description))

    def index(self, field: str, value: int) -> None:
        """Check a leaf index or tree size; whether it is beyond the tree, the tree tells."""
        if value > MAX_INDEX:
            self.refuse(field, f"is {value}; the limit is {MAX_INDEX}")

    def size(self, field: str, value: int) -> None:
        """Check a tree size that must be given."""
        self.index(field, value)
        if value == 0:
            self.refuse(field, "is 0; it must be at least 1, because the empty tree proves nothing")

    def range(self, begin: int, end: int) -> None:
        """Check a range of leaf indexes that must not be empty."""
        self.index("begin", begin)
        self.index("end", end)
        if begin >= end:
            self.refuse("end", f"is {end}; it must be above begin, which is {begin}")

    def indexes(self, field: str, values: Sequence[int], *, ascending: bool) -> None:
        """Check a list of leaf indexes."""
        if not 1 <= len(values) <= MAX_INDEXES:
            self.refuse(field, f"has {len(values)} leaf indexes; it must have 1 to {MAX_INDEXES}")
            return
        for place, value in enumerate(values):
            self.index(f"{field}[{place}]", value)
            if ascending and place and value <= values[place - 1]:
                self.refuse(
                    f"{field}[{place}]",
                    f"is {value} after {values[place - 1]}; leaf indexes must ascend, without repeats",
                )
                return

    def leaf_hash(self, field: str, value: bytes) -> None:
        """Check a leaf hash."""
        if len(value) != HASH_SIZE:
            self.refuse(field, f"is {len(value)} bytes; it must be {HASH_SIZE}")

    def event_id(self, field: str, value: str) -> None:
        """Check an event id."""
        if EVENT_ID_PATTERN.fullmatch(value) is None:
            self.refuse(field, "must be 1 to 64 printable ASCII characters without space")

    def known(self, field: str, value: int, known: Collection[int]) -> None:
        """Check an enum."""
        if value not in known:
            self.refuse(field, f"is {value}, which this server does not know")

    def finish(self) -> None:
        """Return if nothing is wrong.

        Raises:
            InvalidRequestError: Something is; with all violations.
        """
        if self._violations:
            raise InvalidRequestError(self._violations)
