"""How much a verdict is worth: what it was held against.

The rule that must not break: a level names the weakest link that is left. Nothing found in the evidence raises it;
only what the verifier brought along does.
"""

from __future__ import annotations

from enum import IntEnum

from ledger.errors import MalformedError, PolicyNotMetError


class Level(IntEnum):
    """What a passed verification rests on; a higher one includes the lower ones."""

    ARITHMETIC_ONLY = 0
    """Hashes lead to a root that nobody signed."""

    UNPINNED = 1
    """The root is signed, by a key that came with the evidence."""

    PINNED_KEY = 2
    """The root is signed by a key that the verifier brought; newer entries may have been cut off or be hidden."""

    PINNED_HEAD = 3
    """The head is the same as, or connected by proof with, one that the verifier already trusted."""

    ANCHORED_HEAD = 4
    """The head was seen by others, who state when."""

    @property
    def label(self) -> str:
        """The level in words, as the first line of a verdict names it."""
        return _LABELS[self]


_LABELS = {
    Level.ARITHMETIC_ONLY: "arithmetic only",
    Level.UNPINNED: "UNPINNED",
    Level.PINNED_KEY: "pinned key, tail unproven",
    Level.PINNED_HEAD: "pinned head",
    Level.ANCHORED_HEAD: "anchored head",
}


def parse_level(text: str) -> Level:
    """Return the level of this label, or of its name with hyphens, such as `pinned-head`.

    Raises:
        MalformedError: There is no such level.
    """
    for level in Level:
        if text in {level.label, level.name.lower().replace("_", "-")}:
            return level
    names = ", ".join(level.name.lower().replace("_", "-") for level in Level)
    raise MalformedError(f"there is no level {text[:80]!r}; the levels are {names}")


def require_level(reached: Level, required: Level) -> None:
    """Return if `reached` is at least `required`.

    Raises:
        PolicyNotMetError: It is below.
    """
    if reached < required:
        raise PolicyNotMetError(
            f"the verification passed at level {reached.label!r}; {required.label!r} is required",
            hint="give the verifier key, a remembered head or an anchor, as the level needs",
        )
