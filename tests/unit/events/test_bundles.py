from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError
from ledger.events.bundles import BUNDLE_WIDTH, ENTRY_MAX_BYTES, decode_bundle, encode_bundle
from tests.support.shared import shared_path

_ENTRIES = st.lists(st.binary(max_size=20), min_size=1, max_size=BUNDLE_WIDTH)


def test_each_entry_stands_after_its_length_in_two_bytes() -> None:
    assert encode_bundle([b"ab", b"", b"c" * 300]) == b"\0\x02ab" + b"\0\0" + b"\x01\x2c" + b"c" * 300


@given(_ENTRIES)
def test_decoding_gives_what_was_encoded(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries), len(entries)) == entries


def test_largest_entry_comes_back() -> None:
    assert decode_bundle(encode_bundle([b"x" * ENTRY_MAX_BYTES]), 1) == [b"x" * ENTRY_MAX_BYTES]


@given(_ENTRIES, st.data())
def test_cut_bundle_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    bundle = encode_bundle(entries)
    cut = data.draw(st.integers(0, len(bundle) - 1))
    with pytest.raises(MalformedError, match="ends within entry"):
        decode_bundle(bundle[:cut], len(entries))


def test_refusal_names_the_offset_of_the_entry() -> None:
    with pytest.raises(MalformedError, match="entry 1 of 2, which begins at offset 3"):
        decode_bundle(b"\0\x01a\0\x05b", 2)


@given(_ENTRIES)
def test_bundle_with_more_bytes_than_entries_is_refused(entries: list[bytes]) -> None:
    with pytest.raises(MalformedError, match="1 bytes after"):
        decode_bundle(encode_bundle(entries) + b"\0", len(entries))


@pytest.mark.parametrize("width", [-1, 0, BUNDLE_WIDTH + 1])
def test_width_out_of_range_is_wrong_use(width: int) -> None:
    with pytest.raises(ValueError):
        decode_bundle(b"", width)


@pytest.mark.parametrize("entries", [[], [b""] * (BUNDLE_WIDTH + 1), [b"x" * (ENTRY_MAX_BYTES + 1)]])
def test_too_few_too_many_or_too_long_entries_make_no_bundle(entries: list[bytes]) -> None:
    with pytest.raises(ValueError):
        encode_bundle(entries)


def test_bundles_of_a_third_party_log_decode_and_encode_again() -> None:
    bundles = [path for path in shared_path("vectors/tessera-testlog").rglob("entries/*") if path.is_file()]
    bundles += [path for path in shared_path("vectors/tessera-testlog").rglob("entries/*.p/*") if path.is_file()]
    assert bundles
    for path in bundles:
        width = int(path.name) if path.parent.name.endswith(".p") else BUNDLE_WIDTH
        assert encode_bundle(decode_bundle(path.read_bytes(), width)) == path.read_bytes()
