from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError
from ledger.evidence import TlogProof, format_tlog_proof, parse_tlog_proof
from tests.support.shared import shared_path

PROOF = TlogProof(5, (b"\x01" * 32, b"\x02" * 32), b"checkpoint\n", b"extra")


def test_every_text_of_the_go_implementation_is_written_and_read_as_there() -> None:
    for case in json.loads(shared_path("vectors/tlog-proof/marshal.json").read_text()):
        hashes = tuple(base64.b64decode(value) for value in case["hashes"])
        extra = base64.b64decode(case["extra"]) if case["extra"] else None
        proof = TlogProof(case["index"], hashes, case["checkpoint"].encode(), extra)
        assert format_tlog_proof(proof) == case["text"].encode()
        assert parse_tlog_proof(case["text"].encode()) == proof


def test_every_bad_text_of_the_go_implementation_is_refused() -> None:
    for text in json.loads(shared_path("vectors/tlog-proof/unmarshal_bad.json").read_text()):
        with pytest.raises(MalformedError):
            parse_tlog_proof(text.encode())


@pytest.mark.parametrize("index", ["+5", "0005", " 5", "5_0", "-5", "5 ", "", "9223372036854775808", "five"])
def test_an_index_that_is_not_the_one_decimal_of_its_number_is_refused(index: str) -> None:
    text = format_tlog_proof(PROOF).replace(b"index 5\n", f"index {index}\n".encode())
    with pytest.raises(MalformedError):
        parse_tlog_proof(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"c2sp.org", b"C2SP.org"),
        (b"@v1\n", b"@v1\r\n"),
        (b"@v1\n", b"@v1\xc3\xa9\n"),
        (b"extra ", b"Extra "),
        (b"extra ", b"extra  "),
        (b"extra ZXh0cmE=\n", b"extra \n"),
        (b"extra ZXh0cmE=\n", b"extra\n"),
        (b"extra ZXh0cmE=\n", b"extra ZXh0cmF=\n"),
        (b"extra ZXh0cmE=\n", b"extra ZXh0cmE=\nextra ZXh0cmE=\n"),
        (b"extra ZXh0cmE=\nindex 5\n", b"index 5\nextra ZXh0cmE=\n"),
        (b"index 5\n", b""),
        (b"index 5\n", b"index 5\nindex 5\n"),
        (b"index 5\n", b"index 5\ngarbage\n"),
        (b"AQE=\n", b"AQF=\n"),
        (b"AQE=\n", b"AQE\n"),
        (b"AQE=\n", b"\n"),
        (b"AQE=\n", b"AQEB\n"),
        (b"\n\ncheckpoint\n", b"\n\n"),
        (b"\n\ncheckpoint\n", b"\ncheckpoint\n"),
    ],
)
def test_a_line_that_does_not_fit_refuses_the_proof(old: bytes, new: bytes) -> None:
    text = format_tlog_proof(PROOF)
    assert old in text
    with pytest.raises(MalformedError):
        parse_tlog_proof(text.replace(old, new, 1))


def test_more_hashes_than_any_tree_needs_are_refused() -> None:
    line = base64.b64encode(bytes(32)) + b"\n"
    head = b"c2sp.org/tlog-proof@v1\nindex 0\n"
    assert len(parse_tlog_proof(head + line * 63 + b"\nnote\n").hashes) == 63
    with pytest.raises(MalformedError, match="64 hashes; the limit is 63"):
        parse_tlog_proof(head + line * 64 + b"\nnote\n")


@pytest.mark.parametrize(
    "values",
    [
        (-1, (), b"note", None),
        (2**63, (), b"note", None),
        (0, (bytes(31),), b"note", None),
        (0, (bytes(32),) * 64, b"note", None),
        (0, (), b"", None),
        (0, (), b"note", b""),
    ],
)
def test_a_proof_that_has_no_text_is_not_made(values: tuple[int, tuple[bytes, ...], bytes, bytes | None]) -> None:
    with pytest.raises(MalformedError):
        TlogProof(*values)


_PROOFS = st.builds(
    TlogProof,
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(tuple),
    st.binary(min_size=1),
    st.none() | st.binary(min_size=1),
)


@given(_PROOFS)
def test_formatting_then_parsing_gives_the_same_proof(proof: TlogProof) -> None:
    assert parse_tlog_proof(format_tlog_proof(proof)) == proof


@given(_PROOFS, st.data())
def test_whatever_parses_is_formatted_back_to_the_same_bytes(proof: TlogProof, data: st.DataObject) -> None:
    text = bytearray(format_tlog_proof(proof))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_tlog_proof(bytes(text))
    except MalformedError:
        return
    assert format_tlog_proof(parsed) == text
