"""The states that no crash leaves behind, each by its name: what every check of stored data reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Impossible(Enum):
    """A state that no crash leaves behind."""

    HEAD_MISSING = "the store has no head record"
    HEAD_UNREADABLE = "the head record cannot be read"
    LEAVES_MISSING = "the store has fewer leaves than the head says"
    LEAVES_BEYOND_HEAD = "the store has more leaves than the head says"
    HASHES_MISSING = "the store has fewer hashes than the head needs"
    HASHES_BEYOND_HEAD = "the store has more hashes than the head needs"
    EVENT_IDS_DIFFER = "the store does not have one event id for each leaf"
    RIGHT_EDGE_DIFFERS = "the head's right edge is not that of the stored hashes"
    ROOT_DIFFERS = "the head's root is not that of its right edge"
    LEAF_UNREADABLE = "a leaf cannot be read"
    LEAF_HASH_DIFFERS = "a leaf does not hash to its stored hash"
    CHAIN_BROKEN = "a leaf does not name the leaf before it"
    TIME_DECREASES = "a leaf was recorded before the leaf before it"
    LAST_LEAF_DIFFERS = "the head does not name the last leaf"
    SECTION_DIFFERS = "a section is not what its leaf commits to"
    SECTION_MISSING = "a section that its leaf commits to is gone without an entry that says so"
    SECTION_UNEXPECTED = "a section is stored that its leaf does not commit to"
    EVENT_ID_MISSING = "an event's id does not lead to its entry"
    RECORD_UNREADABLE = "a record of administration cannot be read"
    GUARD_MISSING = "the high-water guard is missing"
    GUARD_UNREADABLE = "the high-water guard cannot be read"
    GUARD_AHEAD = "the data is older than the head that the guard remembers"
    GUARD_FORKED = "the guard remembers another root for a size of this log"


@dataclass(frozen=True, slots=True)
class Finding:
    """One impossible state.

    Attributes:
        state: Which.
        leaf_index: The entry it was found at, where it is about one.
        detail: What was compared with what.
    """

    state: Impossible
    detail: str
    leaf_index: int | None = None

    def describe(self) -> str:
        """Return it in words."""
        where = "" if self.leaf_index is None else f" (entry {self.leaf_index})"
        return f"{self.state.value}{where}: {self.detail}"
