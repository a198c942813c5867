"""Filters as text: what is read, what is refused and where, and the one text that is written."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidFilterError
from ledger.query import (
    EVERYTHING,
    FIELDS,
    And,
    Comparison,
    Node,
    Not,
    Operator,
    Or,
    all_of,
    excerpt,
    explain,
    format_filter,
    parse_filter,
)
from ledger.query.fields import ALIASES, MAP_FIELDS
from tests.support.filters import FILTERS

_A, _B, _C = (Comparison("actor_id", Operator.EQUALS, name) for name in "abc")


def _refused(text: str) -> InvalidFilterError:
    with pytest.raises(InvalidFilterError) as caught:
        parse_filter(text)
    return caught.value


@settings(max_examples=300)
@given(FILTERS)
def test_the_text_of_a_filter_is_read_as_the_same_filter(node: Node) -> None:
    text = format_filter(node)

    assert parse_filter(text) == node
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", text)
    assert explain(node)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", EVERYTHING),
        (" \t\r\n", EVERYTHING),
        ("actor_id=a", _A),
        ("((actor.id : 'a'))", _A),
        ("actor_id=a AND actor_id=b AND actor_id=c", And((_A, _B, _C))),
        ("actor_id=a actor_id=b AND (actor_id=c)", And((_A, _B, _C))),
        ("actor_id=a AND (actor_id=b AND actor_id=c)", And((_A, _B, _C))),
        ("(actor_id=a OR actor_id=b) OR actor_id=c", Or((_A, _B, _C))),
        ("actor_id=a AND (actor_id=b OR actor_id=c)", And((_A, Or((_B, _C))))),
        ("NOT actor_id=a", Not(_A)),
        ("-actor_id=a", Not(_A)),
        ("- actor_id=a", Not(_A)),
        ("actor_id!=a", Not(_A)),
        ("NOT actor_id!=a", _A),
        ("-(actor_id=a OR actor_id=b)", Not(Or((_A, _B)))),
        ("NOT(NOT(actor_id=a))", _A),
        ("action:auth.login.*", Comparison("action", Operator.PREFIX, "auth.login.")),
        ("action = 'auth.login.*'", Comparison("action", Operator.PREFIX, "auth.login.")),
        (r"action = 'auth\*'", Comparison("action", Operator.EQUALS, "auth*")),
        ("action:*", Comparison("action", Operator.PRESENT)),
        ("action != '*'", Not(Comparison("action", Operator.PRESENT))),
        (r"actor_id = '\'\"\\\n\t\r\u{1F600}'", Comparison("actor_id", Operator.EQUALS, "'\"\\\n\t\r\U0001f600")),
        ("metadata.a-b.c = 5", Comparison("metadata.a-b.c", Operator.EQUALS, 5)),
        ('metadata."a-b.c" = -5', Comparison("metadata.a-b.c", Operator.EQUALS, -5)),
        ("metadata.k = 1e30", Comparison("metadata.k", Operator.EQUALS, 1e30)),
        ("metadata.k = 2.50", Comparison("metadata.k", Operator.EQUALS, 2.5)),
        ("metadata.k = true", Comparison("metadata.k", Operator.EQUALS, True)),
        ("metadata.k = 'true'", Comparison("metadata.k", Operator.EQUALS, "true")),
        ("metadata.k = admin", Comparison("metadata.k", Operator.EQUALS, "admin")),
        ("metadata.k = ''", Comparison("metadata.k", Operator.EQUALS, "")),
        ("metadata.k:5*", Comparison("metadata.k", Operator.PREFIX, "5")),
        ("metadata:k", Comparison("metadata.k", Operator.PRESENT)),
        ("field_changes:'a b'", Comparison("field_changes.a b", Operator.PRESENT)),
        ("field_changes.'a b':*", Comparison("field_changes.a b", Operator.PRESENT)),
        ("targets:*", Comparison("targets", Operator.PRESENT)),
        ("auth_mfa = false", Comparison("auth_mfa", Operator.EQUALS, False)),
        ("outcome:denied", Comparison("outcome", Operator.EQUALS, "denied")),
        ("cidr(ip, '10.0.0.0/8')", Comparison("ip", Operator.CIDR, "10.0.0.0/8")),
        ("leaf_index >= 18446744073709551615", Comparison("leaf_index", Operator.GREATER_OR_EQUAL, 2**64 - 1)),
        ("timestamp < '1970-01-01T00:00:01+00:00'", Comparison("timestamp", Operator.LESS, 1_000_000)),
    ],
)
def test_a_text_is_read_as_the_filter_that_it_is(text: str, node: Node) -> None:
    assert parse_filter(text) == node


@pytest.mark.parametrize(
    ("text", "offset", "told"),
    [
        ("actor_id=a AND actor_id=b OR actor_id=c", 26, r"write \(actor_id=a AND actor_id=b\) OR actor_id=c or actor_id=a AND \(actor_id=b OR"),
        ("actor_id=a OR actor_id=b AND oops", 25, r"OR actor_id=b\) AND \.\.\. or"),
        ("actor_id=a OR actor_id=b actor_id=c", 25, r"OR actor_id=b\) AND actor_id=c or"),
        ("actor_id=a actor_id=b OR actor_id=c", 22, "two ways"),
        ("actr_id = a", 0, "actor_id is one"),
        ("oops = a AND actor_id=a", 0, "there is no field oops"),
        ("outcome = sucess", 10, "success, failure, denied, error, pending"),
        ("outcome > success", 8, "not compared by >"),
        ("outcome:succ*", 7, "beginning of a text"),
        ("actor_id > 5", 11, "actor_id is text, not 5.*in quotes"),
        ("actor_id = true", 11, "actor_id is text, not True"),
        ("leaf_index = '5'", 13, "whole number.*without quotes"),
        ("leaf_index = x", 13, "whole number"),
        ("leaf_index = -1", 13, "whole number from 0"),
        ("metadata.k = 007", 13, "no number"),
        ("metadata.k = 01.5", 13, "no number"),
        ("metadata.k = 99999999999999999999", 13, "64 bits.*exponent"),
        ("metadata.k = 999999999999999999999", 13, "64 bits.*exponent"),
        ("metadata.k = 1e999", 13, "finite"),
        ("metadata.k > true", 13, "not compared by >"),
        ("auth_mfa = yes", 11, "true or false"),
        ("timestamp > 5", 12, "RFC 3339.*quotes"),
        ("timestamp > '2026-02-20T14:30:00'", 12, "names no zone"),
        ("timestamp >= 2026-02-20T14:30:00Z", 26, 'write "2026-02-20T14:30:00Z"'),
        ("ip = 2001:db8::1", 9, 'write "2001:db8::1"'),
        ("ip = ::1", 5, "stands in quotes"),
        ("ip = 10.0.0.0/8", 5, "cidr"),
        ("ip = nowhere", 5, "an IP address"),
        ("ip:10.*", 2, "cidr"),
        ("ip in cidr('10.0.0.0/8')", 0, "cidr"),
        ("cidr(ip, '10.0.0.1/8')", 9, "no network"),
        ("cidr(ip, 10.0.0.0)", 9, "network in quotes|cidr"),
        (r"cidr(ip, '10\q')", 12, r"after \\"),
        ("cidr(action, '10.0.0.0/8')", 5, "a network"),
        ("cidr('ip', '10.0.0.0/8')", 5, "field of cidr"),
        ("cidr(ip)", 7, "cidr"),
        ("cidr(ip, '10.0.0.0/8'", 21, "the end"),
        ("near(ip, 'x')", 0, "no function"),
        ("trace_id = abc", 11, "32 hexadecimal digits"),
        ("span_id = 0123456789abcdeg", 10, "16 hexadecimal digits"),
        ("actor_roles = a", 12, "write actor_roles:a"),
        ("actor_roles > a", 12, "is a list"),
        ("targets = x", 8, r"targets:\*"),
        ("targets:x", 0, r"targets:\*"),
        ("metadata:k*", 0, "there or not"),
        ("metadata = x", 9, r"metadata:\*"),
        ("metadata. = x", 0, "names no key"),
        ("metadata.5 = x", 0, "names no key"),
        ("changed_to = x", 0, "names no key"),
        ("field_changes.'' = x", 0, "1 to 256"),
        ("metadata.'k*' = x", 11, "named whole"),
        ("personal_metadata.email = x", 0, "write metadata.email"),
        ("actor_id = ''", 11, r"NOT actor_id:\*"),
        ("actor_id = a*b", 12, "last character"),
        ("actor_id = 'a*b'", 13, "last character"),
        ("actor_id > a*", 12, "any ending"),
        (r"actor_id = 'a\q'", 13, r"after \\"),
        (r"actor_id = '\u{D800}'", 12, r"no character U\+D800"),
        (r"actor_id = '\u{110000}'", 12, "no character"),
        ("actor_id = '\ud800'", 11, "surrogate"),
        ("actor_id = 'a", 11, "does not end"),
        ("actor_id = \u201ca\u201d", 11, r"U\+201C"),
        ("\u0430ctor_id = a", 0, r"U\+0430"),
        ("actor_id = {a}", 11, "'{' has no place"),
        ("actor_id", 0, "compared with nothing"),
        ("actor_id a", 0, "compared with nothing"),
        ("actor_id 'a'", 9, "after the field"),
        ("actor_id =", 10, "the end"),
        ("actor_id = AND outcome = denied", 11, "'AND'"),
        ("actor_id = (a OR b)", 11, r"OR actor_id ="),
        ("actor_id = a = b", 13, "complete"),
        ("actor_id = a, b", 12, "complete"),
        ("actor_id = a and actor_id = b", 13, "write AND"),
        ("AND actor_id = a", 0, "where a comparison begins"),
        ("actor_id = a AND", 16, "the end"),
        ("'actor_id' = a", 0, "without quotes"),
        ("NOT NOT actor_id = a", 4, "where a comparison begins"),
        ("--actor_id = a", 1, "no field -actor_id"),
        ("()", 1, "where a comparison begins"),
        ("(actor_id = a", 0, "not closed"),
        ("actor_id = a)", 12, "closes nothing"),
        ("x" * 100 + " = a", 0, "no field x{80};"),
        ("x" * 100 + " a", 0, r"x{60}\.\.\."),
    ],
)  # fmt: skip
def test_a_text_that_is_no_filter_is_refused_with_the_place_and_what_to_write(
    text: str, offset: int, told: str
) -> None:
    error = _refused(text)

    assert error.offset == offset
    assert re.search(told, f"{error.message}; {error.hint}"), f"{error.message}; {error.hint}"
    assert error.message.startswith(f"filter, character {offset + 1}: ")
    assert len(error.message) < 300
    assert excerpt(text, offset).endswith("^")


_PIECES = st.sampled_from(
    [
        "actor_id", "=", "!=", ":", "<", "*", "(", ")", " ", "AND ", "OR ", "NOT ", "-", '"', "'", "\\", "a", "5",
        "cidr(", ",", "ip", '"10.0.0.0/8"', "metadata.", "outcome", "timestamp", "\u0430", "\ud800", "\x00",
        "actor_roles:", "1e9",
    ]
)  # fmt: skip


@settings(max_examples=500)
@given(st.text(max_size=40) | st.lists(_PIECES, max_size=30).map("".join))
def test_any_text_is_a_filter_or_refused_with_a_place_in_it(text: str) -> None:
    node, offset = None, 0
    try:
        node = parse_filter(text)
    except InvalidFilterError as error:
        offset = len(text) if error.offset is None else error.offset

    assert 0 <= offset <= len(text)
    assert node is None or parse_filter(format_filter(node)) == node


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(" * 17 + "actor_id=a" + ")" * 17, "more than 16 parentheses"),
        ("(" * 500, "more than 16 parentheses"),
        (" ".join(["actor_id=a"] * 65), "more than 64 comparisons"),
        ("a " * 600, "compared with nothing|more than 512"),
        ("(" * 600, "more than 512"),
        ("x" * 4097, "4097 characters"),
        ("NOT (actor_id=b AND " * 9 + "actor_id=a" + ")" * 9, "18 deep"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(text: str, told: str) -> None:
    assert re.search(told, _refused(text).message)


def test_what_is_at_a_limit_is_read() -> None:
    parse_filter("(" * 16 + "actor_id=a" + ")" * 16)
    parse_filter(" ".join(["actor_id=a"] * 64))
    parse_filter("NOT (actor_id=b AND " * 8 + "actor_id=a" + ")" * 8)
    parse_filter("actor_id=" + "x" * 4087)


def _work(function: Callable[[], object]) -> int:
    """Return how many lines of Python a call runs."""
    lines = 0

    def count(_frame: object, event: str, _argument: object) -> object:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4096,
        "a " * 2048,
        "-" * 4096,
        '"' + "\\" * 4095,
        "'" + "a" * 4095,
        "actor_id='" + "\\u{41}" * 600 + "'",
        "actor_id=" + "*" * 4087,
        " AND ".join(["actor_id=a OR actor_id=b"] * 40),
        "(actor_id=a AND actor_id=b OR " * 16,
        "metadata." + "a." * 2000 + "=1",
        "z" * 4096,
        "1" * 4096,
        "metadata.k=" + "1" * 4085,
        "\u0430" * 4096,
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_the_work_for_a_hostile_text_is_bounded(text: str) -> None:
    def read() -> None:
        with pytest.raises(InvalidFilterError):
            parse_filter(text)

    def accept() -> None:
        parse_filter(text)

    assert _work(accept if text.startswith("actor_id='") else read) < 60_000


def test_every_field_alias_and_map_can_be_asked_for_presence() -> None:
    for name in [*FIELDS, *ALIASES, *(f"{head}.k" for head in MAP_FIELDS)]:
        node = parse_filter(f"{name}:*")
        assert node == Comparison(name, Operator.PRESENT)


def test_a_filter_is_explained_as_a_tree_in_words() -> None:
    node = parse_filter(
        'action:auth.* AND (outcome = denied OR -cidr(ip, "10.0.0.0/8")) AND actor_roles:admin AND '
        'timestamp >= "2026-02-20T14:30:00Z" AND metadata.k:*'
    )

    assert explain(node).splitlines() == [
        "all of these:",
        '  action begins with "auth."',
        "  any of these:",
        '    outcome is "denied"',
        "    not:",
        '      ip is in the network "10.0.0.0/8"',
        '  one of actor_roles is "admin"',
        '  timestamp is at least "2026-02-20T14:30:00Z"',
        "  metadata.k is there",
    ]
    assert explain(EVERYTHING) == "every entry"


def test_signs_that_change_how_a_text_is_drawn_are_written_as_escapes() -> None:
    assert format_filter(Comparison("actor_id", Operator.EQUALS, "a\u202eb\n")) == r'actor_id = "a\u{202E}b\u{A}"'


def test_an_excerpt_of_a_long_text_has_its_caret_under_the_place() -> None:
    piece, caret = excerpt("a" * 60 + "\x1bX" + "b" * 60, 61).splitlines()

    assert piece[len(caret) - 1] == "X"
    assert (piece[:3], piece[-3:]) == ("...", "...")
    assert "\x1b" not in piece
    assert excerpt("ab", 2) == "ab\n  ^"


def test_an_error_without_a_place_has_no_offset() -> None:
    assert InvalidFilterError("x").offset is None
    assert InvalidFilterError("x", metadata={"offset": "-1"}).offset is None


def test_nodes_outside_of_the_normal_form_cannot_be_made() -> None:
    nodes: list[Callable[[], object]] = [
        lambda: And((_A,)),
        lambda: And((_A, And((_B, _C)))),
        lambda: Or((_A,)),
        lambda: Or((_A, Or((_B, _C)))),
        lambda: Or((_A, EVERYTHING)),
        lambda: Not(Not(_A)),
        lambda: Not(EVERYTHING),
    ]
    for make in nodes:
        with pytest.raises(ValueError, match="makes one"):
            make()
    assert all_of(EVERYTHING, _A, EVERYTHING) == _A
    assert all_of() == EVERYTHING


def test_a_comparison_needs_a_value_but_for_presence() -> None:
    for operator, value in [(Operator.EQUALS, None), (Operator.PRESENT, "a")]:
        with pytest.raises(InvalidFilterError, match="needs a value"):
            Comparison("actor_id", operator, value)


@pytest.mark.parametrize(
    ("name", "operator", "value", "told"),
    [
        ("actor_id", Operator.EQUALS, "x" * 4097, "4097 characters"),
        ("actor_id", Operator.PREFIX, "", "empty text"),
        ("actor_roles", Operator.LESS, "a", "is a list"),
        ("metadata.k", Operator.PREFIX, 5, "not compared by prefix"),
        ("metadata.k", Operator.EQUALS, 2**64, "64 bits"),
        ("metadata.k", Operator.EQUALS, float("nan"), "finite"),
        ("timestamp", Operator.LESS, 0, "after 1970"),
        ("leaf_index", Operator.LESS, 2**64, "from 0"),
        ("leaf_index", Operator.LESS, True, "whole number"),
        ("ip", Operator.EQUALS, "fe80::1%eth0", "an IP address"),
        ("ip", Operator.EQUALS, "1" * 200, "an IP address"),
        ("ip", Operator.CIDR, 5, "no network"),
        ("ip", Operator.CIDR, "10.0.0.0", "no network"),
        ("ip", Operator.CIDR, "10.0.0.0/33", "no network"),
        ("ip", Operator.CIDR, "10.0.0.0/08", "no network"),
        ("ip", Operator.CIDR, "10.0.0.0/x", "no network"),
        ("ip", Operator.CIDR, "::ffff:10.0.0.0/104", "no network"),
        ("ip", Operator.CIDR, "fe80::%1/64", "no network"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(name: str, operator: Operator, value: object, told: str) -> None:
    with pytest.raises(InvalidFilterError, match=told):
        Comparison(name, operator, value)  # type: ignore[arg-type]


def test_values_have_one_form() -> None:
    assert Comparison("metadata.k", Operator.EQUALS, 5.0) == Comparison("metadata.k", Operator.EQUALS, 5)
    assert Comparison("metadata.k", Operator.EQUALS, True) != Comparison("metadata.k", Operator.EQUALS, 1)
    assert Comparison("ip", Operator.EQUALS, "2001:DB8:0::1").value == "2001:db8::1"
    assert Comparison("ip", Operator.CIDR, "2001:DB8::/32").value == "2001:db8::/32"
    assert Comparison("ip", Operator.EQUALS, "::ffff:10.0.0.1").value == "10.0.0.1"
    assert Comparison("actor_email", Operator.EQUALS, "\u00c9A@B").value == "\u00c9a@b"
    assert Comparison("actor.id", Operator.EQUALS, "a").field == "actor_id"
