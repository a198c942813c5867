from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError
from ledger.notes.encoding import decode_base64, decode_text, encode_base64, parse_decimal


@given(st.binary())
def test_base64_is_read_back_as_it_was(data: bytes) -> None:
    assert decode_base64(encode_base64(data), "it") == data


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AB==", "AAB=", "AA==\n", " AAAA", "AA AA", "AA-_", "A\u00e9AA", "AAAA=", "===="]
)
def test_base64_of_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="it is not"):
        decode_base64(text, "it")


@given(st.integers(0, 2**63 - 1))
def test_a_decimal_is_read_back_as_it_was(value: int) -> None:
    assert parse_decimal(str(value), "it") == value


def test_a_decimal_beyond_the_limit_is_refused_with_the_limit() -> None:
    for value in (2**63, 10**19 - 1):
        with pytest.raises(MalformedError, match=f"it is {value}; the limit is {2**63 - 1}"):
            parse_decimal(str(value), "it")
    with pytest.raises(MalformedError, match="not a decimal"):
        parse_decimal(str(10**19), "it")


def test_where_a_text_goes_wrong_is_said() -> None:
    with pytest.raises(MalformedError, match="not valid UTF-8 at byte 2"):
        decode_text(b"ab\xff", "it")
    with pytest.raises(MalformedError, match=r"U\+0009 at character 2"):
        decode_text(b"ab\tc", "it")
    assert decode_text("é\n\x7f".encode(), "it") == "é\n\x7f"
