"""A page token is good for the query and the credential that it came from, for a day, and for nothing else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidRequestError
from ledger.rpc.page_tokens import LIFETIME_US, Place, seal, unseal

_NOW = 1_800_000_000_000_000
_PLACE = Place(1_000, 7, _NOW + LIFETIME_US)
_TOKEN = seal(_PLACE, b"query", b"key")


def test_a_token_comes_back_as_the_place_it_was_made_of() -> None:
    assert unseal(_TOKEN, b"query", b"key", _NOW) == _PLACE
    assert unseal(_TOKEN, b"query", b"key", _NOW + LIFETIME_US) == _PLACE


@pytest.mark.parametrize(
    ("query", "key", "now"),
    [(b"other", b"key", _NOW), (b"query", b"other", _NOW), (b"query", b"key", _NOW + LIFETIME_US + 1)],
    ids=["another query", "another credential", "too old"],
)
def test_a_token_is_refused_elsewhere_and_later(query: bytes, key: bytes, now: int) -> None:
    with pytest.raises(InvalidRequestError):
        unseal(_TOKEN, query, key, now)


def _forged() -> str:
    data = base64.urlsafe_b64decode(_TOKEN + "=" * (-len(_TOKEN) % 4))
    return base64.urlsafe_b64encode(data[:16] + data[16:].replace(b"1000", b"9999")).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    ["x", "=", "\u00e9", "a b", _TOKEN[:-1], _TOKEN + "A", _TOKEN * 1_000, "A" * 5_000_000, _forged(), "AAAA" * 8],
    ids=["short", "padding", "no ASCII", "space", "cut", "longer", "repeated", "huge", "forged", "zeros"],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequestError):
        unseal(token, b"query", b"key", _NOW)


@given(st.text(max_size=2_000))
def test_any_text_is_refused_and_never_more(token: str) -> None:
    with pytest.raises(InvalidRequestError):
        unseal(token, b"query", b"key", _NOW)
