"""The few text forms that notes, keys and checkpoints are made of, each with exactly one spelling per value.

The rule that must not break: a text is accepted only if formatting what was read gives the same text again, so two
different texts never mean the same and no character goes unread.
"""

from __future__ import annotations

import binascii
import re

from ledger.errors import MalformedError

MAX_TREE_SIZE = 2**63 - 1
"""Largest tree size, index or time that any format here may state."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def decode_base64(text: str, what: str) -> bytes:
    """Decode standard base64 with padding (RFC 4648 section 4), canonical only.

    Args:
        text: The base64 text.
        what: What the text is, for the message.

    Returns:
        The bytes, of any length.

    Raises:
        MalformedError: The text is not base64, or not the one spelling of its bytes.
    """
    try:
        spelt = text.encode("ascii")
        data = binascii.a2b_base64(spelt, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise MalformedError(f"{what} is not standard base64: {text[:80]!r}") from None
    if binascii.b2a_base64(data, newline=False) != spelt:
        raise MalformedError(f"{what} is not canonical base64: {text[:80]!r}")
    return data


def encode_base64(data: bytes) -> str:
    """Encode bytes of any length as standard base64 with padding (RFC 4648 section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def parse_decimal(text: str, what: str) -> int:
    """Read an ASCII decimal without sign, space, underscore or leading zero.

    Args:
        text: The decimal.
        what: What the number is, for the message.

    Returns:
        The number, 0 to `MAX_TREE_SIZE`.

    Raises:
        MalformedError: The text is anything else.
    """
    if not _DECIMAL.fullmatch(text):
        raise MalformedError(f"{what} is not a decimal without sign or leading zero: {text[:80]!r}")
    value = int(text)
    if value > MAX_TREE_SIZE:
        raise MalformedError(f"{what} is {value}; the limit is {MAX_TREE_SIZE}")
    return value


def decode_text(data: bytes, what: str) -> str:
    """Decode UTF-8 without ASCII control characters other than newline.

    Args:
        data: The text's bytes, any length.
        what: What the text is, for the message.

    Raises:
        MalformedError: The bytes are not UTF-8, or hold a control character.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not valid UTF-8 at byte {error.start}") from None
    check_text(text, what)
    return text


def check_text(text: str, what: str) -> None:
    """Return if `text` has no ASCII control character other than newline.

    Raises:
        MalformedError: It has one.

    Source: C2SP signed-note, "Format".
    """
    found = _CONTROL.search(text)
    if found:
        raise MalformedError(f"{what} has control character U+{ord(found[0]):04X} at character {found.start()}")


def check_key_name(name: str) -> None:
    """Return if `name` may name a key: not empty, encodable, without Unicode space, plus or control character.

    Raises:
        MalformedError: It may not.

    Source: C2SP signed-note, "Format".
    """
    if not name:
        raise MalformedError("a key name is empty")
    if any(character.isspace() or character < " " or character == "+" for character in name):
        raise MalformedError(f"key name {name[:80]!r} has a space, a plus or a control character")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise MalformedError(f"key name {name[:80]!r} is not encodable as UTF-8")
