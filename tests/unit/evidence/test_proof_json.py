from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidProofError, MalformedError
from ledger.evidence import ConsistencyClaim, InclusionClaim, format_proofs, parse_proofs, verify_proofs
from tests.support.sample_log import SampleLog
from tests.support.shared import shared_path


def _log() -> SampleLog:
    log = SampleLog()
    for index in range(7):
        log.append(b"entry %d" % index)
    return log


LOG = _log()
INCLUSION = InclusionClaim(3, 7, LOG.leaf_hashes[3], LOG.root(), tuple(LOG.inclusion(3)))
CONSISTENCY = ConsistencyClaim(3, 7, LOG.root(3), LOG.root(), tuple(LOG.consistency(3, 7)))


def _json(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = json.loads(format_proofs([INCLUSION]))
    return {name: value for name, value in {**good, **changes}.items() if value != "absent"}


@pytest.mark.parametrize("path", ["rekor/inclusion.json", "rfc6962-reference/consistency.json"])
def test_every_proof_of_other_systems_is_judged_as_stated(path: str) -> None:
    data = shared_path(f"vectors/{path}").read_bytes()
    expected = [case["ok"] for case in json.loads(data)]
    assert [result.error is None for result in verify_proofs(data)] == expected


def test_one_proof_many_proofs_and_proofs_per_line_are_read_alike() -> None:
    claims: list[InclusionClaim | ConsistencyClaim] = [INCLUSION, CONSISTENCY]
    items = [json.loads(format_proofs([claim])) for claim in claims]
    lines = "\n\n".join(json.dumps(item) for item in items)
    for text in (json.dumps(items), json.dumps({"proofs": items}), json.dumps(items, indent=2), lines, lines + "\n"):
        assert parse_proofs(text.encode()) == claims
    assert parse_proofs(json.dumps(items[0]).encode()) == claims[:1]
    assert parse_proofs(json.dumps(items[0], indent=1).encode()) == claims[:1]
    assert parse_proofs(f"[\n{json.dumps(items[0])}\n]\n".encode()) == claims[:1]


def test_each_claim_has_its_own_result() -> None:
    wrong = InclusionClaim(2, 7, INCLUSION.leaf_hash, INCLUSION.root_hash, INCLUSION.proof)
    results = verify_proofs(format_proofs([INCLUSION, wrong, CONSISTENCY]))
    assert [(result.number, result.error is None) for result in results] == [(1, True), (2, False), (3, True)]
    assert isinstance(results[1].error, InvalidProofError)
    assert results[1].claim == wrong


def test_an_expectation_in_the_file_does_not_make_a_wrong_proof_hold() -> None:
    (result,) = verify_proofs(json.dumps(_json(leaf_index=2, ok=True, comment="trust me")).encode())
    assert result.error is not None


def test_hashes_in_base64_or_upper_case_and_leaves_are_read() -> None:
    leaf = LOG.leaves[3]
    for text in (
        _json(leaf_hash=base64.b64encode(INCLUSION.leaf_hash).decode()),
        _json(leaf_hash=INCLUSION.leaf_hash.hex().upper()),
        _json(leaf_hash="absent", leaf_b64=base64.b64encode(leaf).decode()),
        _json(type="absent"),
    ):
        assert parse_proofs(json.dumps(text).encode()) == [INCLUSION]
    consistency = json.loads(format_proofs([CONSISTENCY]))
    del consistency["type"]
    assert parse_proofs(json.dumps(consistency).encode()) == [CONSISTENCY]


def test_null_is_read_as_the_empty_proof() -> None:
    single = {"type": "inclusion", "tree_size": 1, "leaf_index": 0, "proof": None}
    root = LOG.leaf_hashes[0].hex()
    (result,) = verify_proofs(json.dumps({**single, "leaf_hash": root, "root": root}).encode())
    assert result.error is None


@pytest.mark.parametrize(
    "changes",
    [
        {"leaf_index": 7},
        {"leaf_index": -1},
        {"tree_size": 2**63},
        {"tree_size": 0},
        {"root": "00" * 31},
        {"root": ""},
        {"leaf_hash": "00" * 33},
        {"leaf_hash": "zz" * 32},
        {"proof": ["00" * 31]},
        {"proof": []},
        {"proof": [""] * 3},
    ],
)
def test_a_claim_that_can_be_read_and_does_not_hold_is_an_invalid_proof(changes: dict[str, Any]) -> None:
    (result,) = verify_proofs(json.dumps(_json(**changes)).encode())
    assert result.error is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "membership"},
        {"type": None},
        {"type": ["inclusion"]},
        {"tree_size": "7"},
        {"tree_size": 7.0},
        {"tree_size": True},
        {"tree_size": "absent", "type": "absent"},
        {"leaf_index": "absent"},
        {"leaf_hash": "absent"},
        {"leaf_hash": 5},
        {"leaf_hash": " " * 2 + "00" * 31},
        {"leaf_hash": "0"},
        {"leaf_b64": "AAAA"},
        {"leaf_hash": "absent", "leaf_b64": "AAA"},
        {"leaf_hash": "absent", "leaf_b64": None},
        {"root": "absent"},
        {"proof": "absent"},
        {"proof": "text"},
        {"proof": [None]},
    ],
)
def test_a_claim_that_cannot_be_read_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        verify_proofs(json.dumps(_json(**changes)).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"[]",
        b'{"proofs": []}',
        b'{"proofs": 5}',
        b"null",
        b"5",
        b"[5]",
        b"[[]]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"type": "inclusion", "type": "consistency"}',
        b'{"tree_size": NaN}',
        b'{"tree_size": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a": 1}\n{"a": ',
    ],
)
def test_what_holds_no_proof_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        verify_proofs(data)


def test_json_that_readers_could_take_differently_is_refused_as_that() -> None:
    for data, words in ((b'{"a": 1, "a": 1}', "a key twice"), (b"[NaN]", "NaN"), (b"[-Infinity]", "Infinity")):
        with pytest.raises(MalformedError, match=words):
            parse_proofs(data)


def test_a_single_object_is_no_list_of_proofs() -> None:
    with pytest.raises(MalformedError, match="not a list"):
        parse_proofs(json.dumps({"proofs": _json()}).encode())


def test_the_line_of_a_malformed_object_is_named() -> None:
    line = json.dumps(_json()).encode()
    with pytest.raises(MalformedError, match="line 3"):
        parse_proofs(line + b"\n\n{\n")
    with pytest.raises(MalformedError, match="proof 2"):
        parse_proofs(line + b"\n5\n")


_HASHES = st.binary(min_size=32, max_size=32)
_PROOFS = st.lists(_HASHES, max_size=3).map(tuple)
_CLAIMS = st.builds(InclusionClaim, st.integers(), st.integers(), _HASHES, _HASHES, _PROOFS) | st.builds(
    ConsistencyClaim, st.integers(), st.integers(), _HASHES, _HASHES, _PROOFS
)


@given(st.lists(_CLAIMS, min_size=1, max_size=4))
def test_formatting_then_parsing_gives_the_same_claims(claims: list[InclusionClaim | ConsistencyClaim]) -> None:
    assert parse_proofs(format_proofs(claims)) == claims
