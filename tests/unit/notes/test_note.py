from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidSignatureError, LedgerError, MalformedError
from ledger.notes import (
    Ed25519Signer,
    Note,
    Signature,
    format_note,
    open_note,
    parse_note,
    parse_signer_key,
    parse_verifier_key,
    sign_note,
)
from tests.support.shared import shared_path

LOG = Ed25519Signer("log.example/a", bytes(range(32)))
OTHER = Ed25519Signer("other.example/b", bytes(32))
TEXT = "first line\n\nthird line: é\n"
NOTE = sign_note(TEXT, [LOG, OTHER])
LINE = sign_note("x\n", [LOG]).split(b"\n\n")[1]


def _vectors(path: str) -> Any:
    return json.loads(shared_path(f"vectors/{path}").read_text())


def test_signing_gives_the_exact_note_of_the_go_implementation() -> None:
    vector = _vectors("signed-note/sign.json")
    note = sign_note(vector["text"], [parse_signer_key(vector["skey"])])
    assert note == vector["note"].encode()
    assert open_note(note, [parse_verifier_key(vector["vkey"])]).text == vector["text"]


def test_every_open_case_of_the_go_implementation_is_judged_as_there() -> None:
    for case in _vectors("signed-note/open.json"):
        data = base64.b64decode(case["note_b64"]) if "note_b64" in case else case["note"].encode()
        verifiers = [parse_verifier_key(text) for text in case["vkeys"]]
        if not case["ok"]:
            with pytest.raises((MalformedError, InvalidSignatureError)):
                open_note(data, verifiers)
            continue
        opened = open_note(data, verifiers)
        assert [line.verifier.name for line in opened.verified] == case["verified"]
        assert [line.name for line in opened.unverified] == case["unverified"]


def test_every_sigsum_checkpoint_case_is_judged_as_there_but_the_short_signature_is_malformed() -> None:
    vector = _vectors("sigsum/checkpoint.json")
    verifier = parse_verifier_key(vector["vkey"])
    assert Ed25519Signer(verifier.name, bytes.fromhex(vector["seed"])).verifier == verifier
    for case in vector["cases"]:
        if case["ok"] and "optional" not in case:
            open_note(case["note"].encode(), [verifier])
        else:
            with pytest.raises((MalformedError, InvalidSignatureError)):
                open_note(case["note"].encode(), [verifier])


def test_the_example_of_the_specification_verifies() -> None:
    verifier = parse_verifier_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    assert f"{verifier.key_id:08x}" == "530d903a"


def test_a_note_opens_with_its_own_key_and_leaves_the_unknown_one_unverified() -> None:
    opened = open_note(NOTE, [LOG.verifier])
    assert opened.text == TEXT
    assert [line.verifier for line in opened.verified] == [LOG.verifier]
    assert [line.name for line in opened.unverified] == [OTHER.name]


def test_the_text_ends_at_the_last_empty_line() -> None:
    inner = "text\n\n\u2014 fake.example AAAAAAAA\n"
    note = sign_note(inner, [LOG])
    assert open_note(note, [LOG.verifier]).text == inner


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (LINE + b"garbage\n", "a garbage line after the signatures"),
        (b"garbage\n" + LINE, "a garbage line before the signatures"),
        (LINE + b"- log.example/a AAAAAAAA\n", "a hyphen for the dash"),
        (LINE + "\u2014log.example/a AAAAAAAA\n".encode(), "no space after the dash"),
        (LINE + "\u2014 log.example/a\n".encode(), "no signature"),
        (LINE + "\u2014 log.example/a AAAAAAAA AAAA\n".encode(), "three parts"),
        (LINE + "\u2014  AAAAAAAA\n".encode(), "an empty name"),
        (LINE + "\u2014 a+b AAAAAAAA\n".encode(), "a plus in the name"),
        (LINE + "\u2014 a\u00a0b AAAAAAAA\n".encode(), "a Unicode space in the name"),
        (LINE + "\u2014 x AAAAAA==\n".encode(), "a key id without signature"),
        (LINE + "\u2014 x DEAD\n".encode(), "a signature shorter than a key id"),
        (LINE + "\u2014 x AAAAAAB=\n".encode(), "base64 with stray bits"),
        (LINE + "\u2014 x AAAAAAA\n".encode(), "base64 without padding"),
        (LINE + "\u2014 x AAAA*AAA\n".encode(), "a character that is not base64"),
        (LINE + "\u2014 x AAAA\u00e9AAA\n".encode(), "a character that is not ASCII"),
        (LINE[:-1], "no newline at the end"),
        (b"", "no signature at all"),
        (LINE.replace(b" ", b"\t", 1), "a tab for a space"),
        (LINE[:-1] + b"\r\n", "a carriage return"),
        (LINE * 101, "more than 100 signature lines"),
    ],
)
def test_a_line_that_does_not_fit_refuses_the_note(block: bytes, why: str) -> None:
    with pytest.raises(MalformedError):
        parse_note(b"text\n\n" + block)
    assert why


@pytest.mark.parametrize(
    "text", [b"te\x00xt\n", b"te\x1bxt\n", b"te\txt\n", b"text\r\n", b"te\xffxt\n", b"\xed\xa0\x80\n"]
)
def test_control_characters_and_invalid_utf8_are_refused(text: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_note(text + b"\n" + LINE)


def test_a_note_above_the_size_limit_is_refused() -> None:
    block = b"\n\n" + LINE
    parse_note(b"a" * (1_000_000 - len(block)) + block)
    with pytest.raises(MalformedError, match="1000001 bytes"):
        parse_note(b"a" * (1_000_001 - len(block)) + block)


def test_a_hundred_signatures_are_read_and_the_message_of_one_more_names_the_limit() -> None:
    line = "\u2014 x AAAAAAA=\n".encode()
    assert len(parse_note(b"text\n\n" + line * 100).signatures) == 100
    with pytest.raises(MalformedError, match="101 signature lines; the limit is 100"):
        parse_note(b"text\n\n" + line * 101)


def test_a_note_without_an_empty_line_is_refused() -> None:
    with pytest.raises(MalformedError, match="no empty line"):
        parse_note(b"text\n" + LINE)


def test_an_invalid_signature_of_a_known_key_refuses_the_whole_note_beside_a_valid_one() -> None:
    broken = NOTE.replace(TEXT.encode(), TEXT.replace("first", "First").encode())
    with pytest.raises(InvalidSignatureError, match=LOG.name):
        open_note(broken, [LOG.verifier, OTHER.verifier])
    line = Signature(LOG.name, LOG.key_id, bytes(64))
    mixed = format_note(Note(TEXT, (*parse_note(NOTE).signatures[1:], line)))
    open_note(mixed, [OTHER.verifier])
    with pytest.raises(InvalidSignatureError):
        open_note(mixed, [OTHER.verifier, LOG.verifier])


def test_repeated_lines_count_once_whether_their_key_is_known_or_not() -> None:
    first, *others = parse_note(NOTE).signatures
    opened = open_note(format_note(Note(TEXT, (first, first, *others, *others, first))), [LOG.verifier])
    assert [verified.signature for verified in opened.verified] == [first]
    assert opened.unverified == tuple(others)


def test_a_repeated_line_of_a_known_key_has_to_be_valid_too() -> None:
    signatures = parse_note(NOTE).signatures
    forged = replace(signatures[0], signature=bytes(64))
    with pytest.raises(InvalidSignatureError):
        open_note(format_note(Note(TEXT, (*signatures, forged))), [LOG.verifier])


def test_different_lines_of_one_unknown_key_are_all_kept() -> None:
    first, other, *_ = parse_note(NOTE).signatures
    another = replace(other, signature=bytes(64))
    assert open_note(format_note(Note(TEXT, (first, other, another))), [LOG.verifier]).unverified == (other, another)


def test_a_signature_that_shares_only_name_or_only_key_id_is_unknown() -> None:
    line = parse_note(NOTE).signatures[0]
    for other in (Signature("else.example", line.key_id, line.signature), Signature(line.name, 1, line.signature)):
        with pytest.raises(InvalidSignatureError, match="none of the note's 1 signatures"):
            open_note(format_note(Note(TEXT, (other,))), [LOG.verifier])


def test_a_note_without_any_known_key_is_refused() -> None:
    with pytest.raises(InvalidSignatureError):
        open_note(NOTE, [])


def test_two_verifiers_of_one_identity_are_wrong_use_but_the_same_twice_is_one() -> None:
    class Imposter:
        name = LOG.name
        key_id = LOG.key_id

        def verify(self, message: bytes, signature: bytes) -> None:
            """Accept everything."""

    assert len(open_note(NOTE, [LOG.verifier, LOG.verifier]).verified) == 1
    with pytest.raises(ValueError, match="two verifiers"):
        open_note(NOTE, [LOG.verifier, Imposter()])


def test_a_text_that_no_note_can_hold_is_not_signed() -> None:
    for text in ("no newline", "", "tab\t\n"):
        with pytest.raises(MalformedError):
            sign_note(text, [LOG])
    with pytest.raises(MalformedError, match="0 signature lines"):
        sign_note("text\n", [])


@pytest.mark.parametrize(
    "values",
    [
        ("", 1, b"x"),
        ("a b", 1, b"x"),
        ("a", -1, b"x"),
        ("a", 1 << 32, b"x"),
        ("a", 1, b""),
        ("\ud800", 1, b"x"),
        (chr(0xDFFF), 1, b"x"),
    ],
)
def test_a_signature_that_no_line_can_hold_is_not_made(values: tuple[str, int, bytes]) -> None:
    with pytest.raises(MalformedError):
        Signature(*values)


_LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32)]))
_TEXTS = st.lists(_LINES, min_size=1).map(lambda lines: "\n".join(lines) + "\n")
_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="+"), min_size=1)
_SIGNATURES = st.builds(Signature, _NAMES, st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=80))
_NOTES = st.builds(Note, _TEXTS, st.lists(_SIGNATURES, min_size=1, max_size=4).map(tuple))


@given(_NOTES)
def test_formatting_then_parsing_gives_the_same_note(note: Note) -> None:
    assert parse_note(format_note(note)) == note


@given(_NOTES, st.data())
def test_whatever_parses_is_formatted_back_to_the_same_bytes(note: Note, data: st.DataObject) -> None:
    mutable = bytearray(format_note(note))
    mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_note(bytes(mutable))
    except MalformedError:
        return
    assert format_note(parsed) == mutable


def test_every_single_byte_change_of_a_note_with_one_signature_is_refused() -> None:
    note = sign_note("origin\n5\n", [LOG])
    for offset in range(len(note)):
        for flip in (1, 2, 16, 32, 128):
            changed = bytearray(note)
            changed[offset] ^= flip
            with pytest.raises(LedgerError):
                open_note(bytes(changed), [LOG.verifier])


def test_a_single_byte_change_of_an_unknown_line_is_refused_or_leaves_text_and_known_signatures_as_they_were() -> None:
    begin = NOTE.index(OTHER.name.encode()) - 4
    want = open_note(NOTE, [LOG.verifier])
    for offset in range(begin, len(NOTE)):
        changed = bytearray(NOTE)
        changed[offset] ^= 1
        try:
            got = open_note(bytes(changed), [LOG.verifier])
        except MalformedError:
            continue
        assert (got.text, got.verified) == (want.text, want.verified)
