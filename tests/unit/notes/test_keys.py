from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidSignatureError, MalformedError
from ledger.notes import (
    CosignatureVerifier,
    Ed25519Signer,
    Ed25519Verifier,
    format_signer_key,
    format_verifier_key,
    parse_signer_key,
    parse_verifier_key,
)
from ledger.notes.encoding import encode_base64
from tests.support.shared import shared_path

SEED = bytes(range(32))
SIGNER = Ed25519Signer("ledger.example/prod", SEED)


def _with_plus() -> Ed25519Verifier:
    """Return a key whose base64 has a plus."""
    for number in range(1000):
        verifier = Ed25519Signer("a", hashlib.sha256(bytes([number % 256, number // 256])).digest()).verifier
        if "+" in format_verifier_key(verifier).split("+", 2)[2]:
            return verifier
    raise AssertionError


def test_key_ids_and_keys_are_the_known_answers() -> None:
    assert SIGNER.verifier.public_key.hex().startswith("03a107bf")
    assert f"{SIGNER.key_id:08x}" == "77b80c1d"
    witness = CosignatureVerifier("witness.example/w1", SIGNER.verifier.public_key)
    assert f"{witness.key_id:08x}" == "e75f6532"
    specified = parse_verifier_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    assert f"{CosignatureVerifier(specified.name, specified.public_key).key_id:08x}" == "7c264079"


def test_every_verifier_key_of_the_go_implementation_is_judged_as_there() -> None:
    cases = json.loads(shared_path("vectors/signed-note/vkeys.json").read_text())
    for case in cases:
        if case.get("ok"):
            assert format_verifier_key(parse_verifier_key(case["vkey"])) == case["vkey"]
        elif "vkey" in case:
            with pytest.raises(MalformedError):
                parse_verifier_key(case["vkey"])


def test_verifier_keys_of_other_systems_are_read_by_their_type() -> None:
    cases = json.loads(shared_path("vectors/sigsum/cosignature_timestamp.json").read_text())
    keys = [parse_verifier_key(case["vkey"]) for case in cases if "vkey" in case]
    assert [type(key) for key in keys] == [Ed25519Verifier, CosignatureVerifier]


@pytest.mark.parametrize("text", [format_verifier_key(SIGNER.verifier), format_verifier_key(_with_plus())])
def test_every_part_and_every_single_byte_change_of_a_verifier_key_is_refused(text: str) -> None:
    for begin in range(len(text)):
        for end in range(begin, len(text) + (begin > 0)):
            with pytest.raises(MalformedError):
                parse_verifier_key(text[begin:end])
    for offset, character in enumerate(text):
        for other in (chr(ord(character) + 1), chr(ord(character) - 1), character.swapcase(), " ", "+", "="):
            if other != character:
                with pytest.raises(MalformedError):
                    parse_verifier_key(text[:offset] + other + text[offset + 1 :])


def test_a_verifier_key_is_split_at_its_first_two_pluses_only() -> None:
    verifier = _with_plus()
    assert parse_verifier_key(format_verifier_key(verifier)) == verifier


@pytest.mark.parametrize("text", ["", "a", "a+b", "a+00000000+", "a+00000000+AQ==", " a+77b80c1d+AQ==", "a+b+\u00e9"])
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_verifier_key(text)


def test_a_verifier_key_with_upper_case_id_is_refused() -> None:
    name, key_id, key = format_verifier_key(SIGNER.verifier).split("+", 2)
    with pytest.raises(MalformedError, match="77b80c1d"):
        parse_verifier_key(f"{name}+{key_id.upper()}+{key}")


def test_an_unknown_key_type_is_refused_by_name() -> None:
    with pytest.raises(MalformedError, match="type 2"):
        parse_verifier_key("a+00000000+" + encode_base64(b"\x02" + bytes(32)))


def test_a_name_that_no_key_can_have_is_refused() -> None:
    for name in ("", "a b", "a+b", "a\n", "\u2003"):
        with pytest.raises(MalformedError):
            Ed25519Verifier(name, bytes(32))
    with pytest.raises(MalformedError, match="31 bytes"):
        CosignatureVerifier("a", bytes(31))


def test_a_signature_of_another_length_or_text_is_refused() -> None:
    signature = SIGNER.sign(b"text")
    SIGNER.verifier.verify(b"text", signature)
    for message, candidate in (
        (b"Text", signature),
        (b"text", signature[:-1]),
        (b"text", signature + b"\0"),
        (b"text", b""),
    ):
        with pytest.raises(InvalidSignatureError, match=r"ledger\.example/prod"):
            SIGNER.verifier.verify(message, candidate)


def test_a_seed_shows_neither_in_representations_nor_in_messages() -> None:
    key = format_signer_key(SIGNER)
    secret = key.rsplit("+", 1)[1]
    assert secret not in repr(SIGNER)
    assert repr(SEED)[2:20] not in repr(SIGNER)
    for broken in (
        key[:-1],
        key.replace("77b80c1d", "77b80c1e"),
        key.replace("+77b80c1d", ""),
        key.replace("AQAB", "+QAB"),
    ):
        with pytest.raises(MalformedError) as caught:
            parse_signer_key(broken)
        assert secret[:12] not in str(caught.value)


def test_what_is_no_signer_key_is_refused() -> None:
    name, key_id = "a", "00000000"
    for text in (
        format_signer_key(SIGNER).removeprefix("PRIVATE+KEY+"),
        format_verifier_key(SIGNER.verifier),
        f"PRIVATE+KEY+{name}+{key_id}+" + encode_base64(b"\x04" + SEED),
        f"PRIVATE+KEY+{name}+{key_id}+" + encode_base64(b"\x01" + SEED),
        f"PRIVATE+KEY+{name}+{key_id}+" + encode_base64(b"\x01" + SEED[1:]),
        f"PRIVATE+KEY+{name}+{key_id}+",
    ):
        with pytest.raises(MalformedError):
            parse_signer_key(text)


_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="+"), min_size=1)


@given(_NAMES, st.binary(min_size=32, max_size=32))
def test_formatting_then_parsing_gives_the_same_keys(name: str, seed: bytes) -> None:
    signer = Ed25519Signer(name, seed)
    assert parse_signer_key(format_signer_key(signer)).seed == seed
    assert parse_verifier_key(format_verifier_key(signer.verifier)) == signer.verifier
    witness = CosignatureVerifier(name, signer.verifier.public_key)
    assert parse_verifier_key(format_verifier_key(witness)) == witness
