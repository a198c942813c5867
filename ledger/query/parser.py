"""Filters as people write them: a subset of AIP-160.

One descent over the tokens. The rule that must not break: what could be read in two ways is refused with both of them;
AND and OR side by side bind one way in AIP-160 and the other way in its copies, and an auditor must not have to know.

Source: AIP-160 and its EBNF grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from ledger.errors import InvalidFilterError, MalformedError
from ledger.events.event import Value
from ledger.events.timestamps import parse_timestamp
from ledger.query.fields import MAP_FIELDS, FieldType, FilterField, resolve
from ledger.query.lexer import (
    FILTER_MAX_CHARACTERS,
    FILTER_MAX_TOKENS,
    Token,
    TokenKind,
    refuse,
    tokens_of,
    unquoted,
)
from ledger.query.nodes import (
    EVERYTHING,
    MAX_COMPARISONS,
    MAX_DEPTH,
    Comparison,
    Node,
    all_of,
    any_of,
    check_size,
    negated,
)
from ledger.query.operators import Operator
from ledger.query.values import check_operator

__all__ = ["FILTER_MAX_CHARACTERS", "FILTER_MAX_TOKENS", "parse_filter"]

_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,19}")
_INTEGER_LIKE: Final = re.compile(r"[+-]?[0-9]+")
_DOUBLE: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_QUOTABLE: Final = re.compile(r"[^\s()\"',]+")
_SHOWN: Final = 60
_COMPARISON: Final = "a comparison such as outcome = failure"


def parse_filter(text: str) -> Node:
    """Return the filter that a text is; an empty text is every entry.

    Args:
        text: At most 4,096 characters.

    Raises:
        InvalidFilterError: It is no filter, or beyond a limit; with the place in the text as `offset`.
    """
    parser = _Parser(text)
    if len(parser.tokens) == 1:
        return EVERYTHING
    node = parser.level()
    if parser.token.kind is not TokenKind.END:
        refuse("this ) closes nothing", parser.token.begin, expected="AND, OR or the end")
    check_size(node)
    return node


class _Parser:
    """Goes over the tokens once, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens_of(text)
        self.place = 0
        self.depth = 0
        self.comparison_count = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.token
        self.place += 1
        return token

    def level(self) -> Node:
        """Read terms up to a closing parenthesis or the end; between them AND, or OR, but not both."""
        terms: list[Node] = []
        pieces: list[str] = []
        joined: list[str] = []
        while True:
            begin = self.token.begin
            terms.append(self.term())
            pieces.append(self.text[begin : self.tokens[self.place - 1].end])
            token = self.token
            if token.kind in {TokenKind.END, TokenKind.CLOSE}:
                return any_of(*terms) if "OR" in joined else all_of(*terms)
            word = token.text if token.text in {"AND", "OR"} else "AND"
            if joined and word != joined[0]:
                self.refuse_mixture(pieces, [*joined, word], token)
            joined.append(word)
            if token.text == word:
                self.take()
            elif token.kind is TokenKind.OPERATOR or token.kind is TokenKind.COMMA:
                refuse(
                    f"{_shown(token)} after a comparison that is complete",
                    token.begin,
                    expected="AND, OR, ) or the end",
                )

    def refuse_mixture(self, pieces: list[str], joined: list[str], token: Token) -> NoReturn:
        """Offer both readings of what was read so far and the term that follows."""
        if token.text == joined[-1]:
            self.take()
        begin = self.token.begin
        try:
            self.term()
            following = self.text[begin : self.tokens[self.place - 1].end]
        except InvalidFilterError:
            following = "..."
        left, last = [_short(piece) for piece in pieces[-2:]], _short(following)
        first = f"({left[0]} {joined[-2]} {left[1]}) {joined[-1]} {last}"
        second = f"{left[0]} {joined[-2]} ({left[1]} {joined[-1]} {last})"
        refuse(
            "AND and OR are mixed without parentheses, which can be read in two ways",
            token.begin,
            hint=f"write {first} or {second}",
            expected=f"{joined[0]}, or parentheses",
        )

    def term(self) -> Node:
        token = self.token
        if token.kind is TokenKind.WORD and token.text == "NOT":
            self.take()
            return negated(self.simple())
        if token.kind is TokenKind.WORD and token.text.startswith("-"):
            if len(token.text) == 1:
                self.take()
            else:
                self.tokens[self.place] = Token(TokenKind.WORD, token.text[1:], token.begin + 1)
            return negated(self.simple())
        return self.simple()

    def simple(self) -> Node:
        token = self.token
        if token.kind is TokenKind.OPEN:
            return self.group()
        if token.kind is not TokenKind.WORD or token.text in _KEYWORDS:
            hint = (
                "names of fields stand without quotes; text is found by a field"
                if token.kind is TokenKind.STRING
                else ""
            )
            refuse(f"{_shown(token)} where a comparison begins", token.begin, hint=hint, expected=_COMPARISON)
        self.comparison_count += 1
        if self.comparison_count > MAX_COMPARISONS:
            refuse(f"the filter has more than {MAX_COMPARISONS} comparisons", token.begin)
        if self.tokens[self.place + 1].kind is TokenKind.OPEN:
            return self.function()
        return self.comparison()

    def group(self) -> Node:
        opened = self.take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            refuse(f"more than {MAX_DEPTH} parentheses inside one another", opened.begin)
        node = self.level()
        if self.token.kind is not TokenKind.CLOSE:
            refuse("this ( is not closed", opened.begin, expected=")")
        self.take()
        self.depth -= 1
        return node

    def field(self) -> tuple[FilterField, Token]:
        """Read the name of a field; the key of a map may stand in quotes."""
        token = self.take()
        name, following = token.text, self.token
        head = name[:-1]
        if (
            head in MAP_FIELDS
            and name.endswith(".")
            and following.kind is TokenKind.STRING
            and following.begin == token.end
        ):
            self.take()
            key, star = unquoted(following)
            if star:
                refuse("a key is named whole", following.end - 2, hint=r"write \* for the sign itself")
            name += key
        with _located(token.begin):
            return resolve(name), token

    def comparison(self) -> Node:
        if self.tokens[self.place + 1].kind not in {TokenKind.OPERATOR, TokenKind.STRING}:
            self.refuse_bare_word(self.token)
        field, name = self.field()
        operator = self.token
        if operator.kind is not TokenKind.OPERATOR:
            refuse(
                f"{_shown(operator)} after the field {field.name}", operator.begin, expected="one of = != < <= > >= :"
            )
        self.take()
        return self.compared(field, name, operator)

    def compared(self, field: FilterField, name: Token, operator: Token) -> Node:
        value_token = self.token
        if value_token.kind not in {TokenKind.WORD, TokenKind.STRING} or value_token.text in _KEYWORDS:
            hint = "text with such signs stands in quotes"
            if value_token.kind is TokenKind.OPEN:
                hint = f"write ({field.name} {operator.text} ... OR {field.name} {operator.text} ...)"
            refuse(
                f"{_shown(value_token)} where the value of {field.name} stands",
                value_token.begin,
                hint=hint,
                expected="a value",
            )
        self.take()
        self.refuse_colon(value_token)
        if operator.text == ":" and field.type is FieldType.PRESENCE and value_token.text != "*":
            return self.key_of(field, name, value_token)
        text, star = _content(value_token)
        asked = Operator.EQUALS if operator.text in {"!=", ":"} else Operator(operator.text)
        if star:
            if asked is not Operator.EQUALS:
                refuse(f"a * stands for any ending, so it is not compared by {operator.text}", value_token.end - 1)
            asked = Operator.PREFIX if text else Operator.PRESENT
        elif field.is_list and operator.text != ":":
            refuse(
                f"{field.name} is a list",
                operator.begin,
                hint=f"write {field.name}:{_short(value_token.text)}",
                expected=":",
            )
        with _located(operator.begin):
            check_operator(field, asked)
        with _located(value_token.begin):
            value = None if asked is Operator.PRESENT else _value(field, asked, text, value_token)
            node = Comparison(field.name, asked, value)
        return negated(node) if operator.text == "!=" else node

    @staticmethod
    def key_of(field: FilterField, name: Token, key: Token) -> Node:
        """Read `metadata:KEY`, which is `metadata.KEY:*`."""
        text, star = _content(key)
        if field.name not in MAP_FIELDS or star:
            with _located(name.begin):
                check_operator(field, Operator.EQUALS)
        with _located(key.begin):
            return Comparison(f"{field.name}.{text}", Operator.PRESENT)

    def function(self) -> Node:
        name = self.take()
        self.take()
        if name.text != "cidr":
            refuse(f"there is no function {_shown(name)}", name.begin, expected='cidr(ip, "10.0.0.0/8")')
        if self.token.kind is not TokenKind.WORD:
            refuse(
                f"{_shown(self.token)} where the field of cidr stands", self.token.begin, expected="a field such as ip"
            )
        field, at = self.field()
        with _located(at.begin):
            check_operator(field, Operator.CIDR)
        self.expect(TokenKind.COMMA, ",")
        network = self.expect(TokenKind.STRING, 'a network in quotes, such as "10.0.0.0/8"')
        with _located(network.begin):
            node = Comparison(field.name, Operator.CIDR, unquoted(network)[0])
        self.expect(TokenKind.CLOSE, ")")
        return node

    def expect(self, kind: TokenKind, expected: str) -> Token:
        if self.token.kind is not kind:
            refuse(f'{_shown(self.token)} in cidr(field, "network")', self.token.begin, expected=expected)
        return self.take()

    def refuse_colon(self, word: Token) -> None:
        """Refuse an unquoted value that goes on with a colon, such as a time."""
        following = self.token
        if word.kind is TokenKind.WORD and following.text == ":" and following.begin == word.end:
            whole = _QUOTABLE.match(self.text, word.begin)
            value = whole[0] if whole else word.text
            refuse("a value with : stands in quotes", following.begin, hint=f'write "{value[:_SHOWN]}"')

    def refuse_bare_word(self, word: Token) -> NoReturn:
        if word.text.upper() in _KEYWORDS:
            refuse(f"{_shown(word)} is written in capitals", word.begin, hint=f"write {word.text.upper()}")
        if self.tokens[self.place + 1].text == "in":
            hint = 'write cidr(ip, "10.0.0.0/8") for a network'
        else:
            hint = "a filter compares fields: actor_id = user_123, metadata.ticket:* for what has one"
        refuse(f"{_shown(word)} is compared with nothing", word.begin, hint=hint, expected=_COMPARISON)


def _content(token: Token) -> tuple[str, bool]:
    """Return what a value says, and whether it ends in a `*` that stands for any ending."""
    if token.kind is TokenKind.STRING:
        return unquoted(token)
    text, star, rest = token.text.partition("*")
    if rest:
        refuse(
            "a * stands for any ending, so it is the last character", token.begin + len(text), hint="quote it as \\*"
        )
    return text, bool(star)


def _value(field: FilterField, operator: Operator, text: str, token: Token) -> Value:
    """Return the value that a word or string is for a field.

    Raises:
        InvalidFilterError: The field has no such values.
    """
    if field.type is FieldType.TIME:
        try:
            return parse_timestamp(text)
        except MalformedError as error:
            raise InvalidFilterError(f"{field.name} {error.message}", hint="a time stands in quotes") from None
    # Words of an enum and hexadecimal digits are text, also those that look like a number.
    if token.kind is TokenKind.STRING or field.type in {FieldType.ENUM, FieldType.HEX}:
        return text
    if operator is not Operator.PREFIX:
        if text in {"true", "false"}:
            return text == "true"
        if _NUMBER.fullmatch(text):
            return _number(text)
    return text


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return int(text)
    if _INTEGER_LIKE.fullmatch(text) or not _DOUBLE.fullmatch(text):
        raise InvalidFilterError(
            f"{_short(text)} is no number of 64 bits in its usual form",
            hint="put text in quotes; write a larger number with an exponent, such as 1e30",
        )
    return float(text)


@contextmanager
def _located(offset: int) -> Iterator[None]:
    """Tell for an error inside which place of the text it is about, unless it does."""
    try:
        yield
    except InvalidFilterError as error:
        if error.offset is None:
            refuse(error.message, offset, hint=error.hint)
        raise


def _shown(token: Token) -> str:
    return "the end" if token.kind is TokenKind.END else ascii(_short(token.text))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
