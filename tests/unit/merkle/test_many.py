from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidProofError
from ledger.merkle import InclusionVerifier, prove_inclusion, verify_inclusion
from tests.support.trees import StoredTree, numbered_leaves

_TREE = StoredTree(numbered_leaves(70))


def _proof(index: int, size: int) -> tuple[bytes, ...]:
    return tuple(prove_inclusion(index, size, _TREE.read))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 64, 70])
def test_every_leaf_is_proven_in_any_order(size: int) -> None:
    for indexes in (range(size), reversed(range(size)), [*range(0, size, 3), *range(size)]):
        many = InclusionVerifier(size, _TREE.root(size))
        for index in indexes:
            many.verify(_TREE.leaf_hashes[index], index, _proof(index, size))


@given(st.data())
def test_altered_proof_is_refused_whatever_was_proven_before(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    many = InclusionVerifier(size, _TREE.root(size))
    for index in data.draw(st.lists(st.integers(0, size - 1), max_size=12)):
        many.verify(_TREE.leaf_hashes[index], index, _proof(index, size))
    index = data.draw(st.integers(0, size - 1))
    leaf_hash, proof = _TREE.leaf_hashes[index], list(_proof(index, size))
    kind = data.draw(st.sampled_from(("leaf", "hash", "less", "more", "index", "shifted")))
    if kind == "leaf":
        leaf_hash = bytes(32)
    elif kind == "hash" and proof:
        position = data.draw(st.integers(0, len(proof) - 1))
        proof[position] = bytes([proof[position][0] ^ 1]) + proof[position][1:]
    elif kind == "less" and proof:
        proof.pop(data.draw(st.integers(0, len(proof) - 1)))
    elif kind == "more":
        proof.append(bytes(32))
    elif kind == "index":
        index = data.draw(st.integers(-1, 80))
    elif kind == "shifted" and proof and not index & 1:
        # The same bytes, cut at another place.
        leaf_hash, proof[0] = leaf_hash[:-1], leaf_hash[-1:] + proof[0]

    try:
        verify_inclusion(leaf_hash, index, size, _TREE.root(size), proof)
    except InvalidProofError:
        with pytest.raises(InvalidProofError):
            many.verify(leaf_hash, index, tuple(proof))
    else:
        many.verify(leaf_hash, index, tuple(proof))
