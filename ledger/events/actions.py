"""The grammar of actions, `resource.sub_resource.verb`.

Two to four segments of lower-case words joined by underscores, separated by dots. The rule that must not break: what
is accepted here is a prefix tree of plain ASCII, so that `auth.login.` is a range and no two spellings look alike.
"""

from __future__ import annotations

import re
from typing import Final

ACTION_MAX_BYTES: Final = 128
"""Largest action; actions are ASCII, so bytes are characters."""

ACTION_PATTERN: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*(?:\.[a-z][a-z0-9]*(?:_[a-z0-9]+)*){1,3}")
"""Two to four segments; to be used with `fullmatch`, because `$` accepts a trailing newline."""

ACTION_RULE: Final = (
    "it is two to four segments of lower-case letters, digits and single underscores, separated by dots, of at most "
    f"{ACTION_MAX_BYTES} characters, such as user.role.updated"
)
"""The grammar in words."""

CATALOGUE_VERSION: Final = 1
"""Version of the action catalogue that leaves name."""

RESERVED_ACTION_PREFIX: Final = "ledger."
"""What begins the actions that only the server writes."""


def is_wellformed(action: str) -> bool:
    """Return whether the text follows the grammar and is at most 128 characters."""
    return len(action) <= ACTION_MAX_BYTES and ACTION_PATTERN.fullmatch(action) is not None


def is_reserved(action: str) -> bool:
    """Return whether only the server may write this action."""
    return action.startswith(RESERVED_ACTION_PREFIX)
