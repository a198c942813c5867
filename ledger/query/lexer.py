"""A filter's text as tokens: words, strings, operators, parentheses and commas.

A word has ASCII letters, digits and a few signs that names and numbers need; everything else stands in quotes. The rule
that must not break: every character is part of a token or white space, so nothing is skipped, and the work is one pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn

from ledger.errors import InvalidFilterError

FILTER_MAX_CHARACTERS: Final = 4096
"""Longest text of a filter."""

FILTER_MAX_TOKENS: Final = 512
"""Most tokens of a filter."""

WORD_CHARACTERS: Final = r"A-Za-z0-9_.*/@+%~#$&?-"
"""What a word is made of, for a character class."""

_TOKEN: Final = re.compile(
    rf"""
    (?P<word> [{WORD_CHARACTERS}]+ )
    | (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | (?P<operator> != | <= | >= | [=<>:] )
    | (?P<open> \( )
    | (?P<close> \) )
    | (?P<comma> , )
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_ESCAPE: Final = re.compile(r"\\(?:([\\\"'*])|([nrt])|u\{([0-9A-Fa-f]{1,6})\})|(\\)|(\*)", re.DOTALL)
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t"}


class TokenKind(Enum):
    """What a token is."""

    WORD = "word"
    STRING = "string"
    OPERATOR = "operator"
    OPEN = "open"
    CLOSE = "close"
    COMMA = "comma"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        kind: What it is.
        text: Its characters, with the quotes of a string.
        begin: Its first character's place, from 0.
    """

    kind: TokenKind
    text: str
    begin: int

    @property
    def end(self) -> int:
        """The place after its last character."""
        return self.begin + len(self.text)


def refuse(message: str, offset: int, *, hint: str = "", expected: str = "") -> NoReturn:
    """Raise an error about one place of the text.

    Args:
        message: What is wrong.
        offset: The place, from 0.
        hint: What to write instead.
        expected: What could stand there.
    """
    metadata = {"offset": str(offset)} | ({"expected": expected} if expected else {})
    raise InvalidFilterError(f"filter, character {offset + 1}: {message}", hint=hint, metadata=metadata)


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a text, and one for its end.

    Raises:
        InvalidFilterError: A character has no place in a filter, a string is not closed, or a limit is passed.
    """
    if len(text) > FILTER_MAX_CHARACTERS:
        refuse(f"the filter has {len(text)} characters; the limit is {FILTER_MAX_CHARACTERS}", FILTER_MAX_CHARACTERS)
    tokens: list[Token] = []
    place = _after_space(text, 0)
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            _refuse_character(text, place)
        if len(tokens) == FILTER_MAX_TOKENS:
            refuse(f"the filter has more than {FILTER_MAX_TOKENS} words, signs and values", place)
        tokens.append(Token(TokenKind(match.lastgroup), match[0], place))
        place = _after_space(text, match.end())
    tokens.append(Token(TokenKind.END, "", len(text)))
    return tokens


def unquoted(token: Token) -> tuple[str, bool]:
    r"""Return what a string says, and whether it ends in a `*` that was not written `\*`.

    Raises:
        InvalidFilterError: It has an unknown escape, or such a `*` that is not its last character.
    """
    inner = token.text[1:-1]
    parts: list[str] = []
    place, star = 0, False
    for match in _ESCAPE.finditer(inner):
        at = token.begin + 1 + match.start()
        parts.append(inner[place : match.start()])
        place = match.end()
        plain, control, number, backslash, wildcard = match.groups()
        if backslash:
            refuse(
                r"after \ stands one of \ \" ' * n r t, or u{...}".replace(r"\"", '"'), at, hint=r"write \\ for a \ "
            )
        if wildcard:
            star = place == len(inner)
            if not star:
                refuse(
                    "a * stands for any ending, so it is the last character", at, hint=r"write \* for the sign itself"
                )
        elif number:
            parts.append(_character(number, at))
        else:
            parts.append(plain or _CONTROLS[control])
    parts.append(inner[place:])
    return "".join(parts), star


def _character(number: str, offset: int) -> str:
    code = int(number, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        refuse(f"there is no character U+{code:04X}", offset)
    return chr(code)


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _refuse_character(text: str, place: int) -> NoReturn:
    character = text[place]
    if character in "\"'":
        refuse(f"a string begins with {character} and does not end", place, expected=character)
    name = repr(character) if " " < character <= "~" else f"the character U+{ord(character):04X}"
    hint = 'names are ASCII; other text stands in quotes: actor_name = "Zo\u00eb"'
    refuse(f"{name} has no place outside of quotes", place, hint=hint)
