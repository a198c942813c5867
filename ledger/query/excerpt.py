"""Where in a filter something is wrong, as two lines: a piece of the text, and a caret under the place.

The rule that must not break: each character of the piece takes one column, so that the caret stands where it should, and
nothing that a terminal would act on is shown.
"""

from __future__ import annotations

from typing import Final

_BEFORE: Final = 40
_AFTER: Final = 30


def excerpt(text: str, offset: int) -> str:
    """Return a piece of the text around an offset, and a line with a caret under it.

    Args:
        text: The text, of any length.
        offset: The place, from 0; at most the length of the text.
    """
    begin = max(0, offset - _BEFORE)
    end = offset + _AFTER
    piece = "".join(character if " " <= character <= "~" else "?" for character in text[begin:end])
    before = "..." if begin else ""
    after = "..." if end < len(text) else ""
    return f"{before}{piece}{after}\n{' ' * (len(before) + offset - begin)}^"
