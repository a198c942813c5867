from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.client._shared_proof import SharedProof
from ledger.errors import InvalidProofError
from ledger.merkle import CompactRange, hash_leaf, prove_batch_inclusion, prove_inclusion


@given(data=st.data(), size=st.integers(1, 80))
@settings(max_examples=60)
def test_proof_of_each_leaf_is_the_one_that_the_tree_gives(data: st.DataObject, size: int) -> None:
    leaves = [hash_leaf(hashlib.sha256(bytes([number])).digest()) for number in range(size)]
    edge, stored = CompactRange.empty().extend(leaves)
    read = lambda positions: [stored[position] for position in positions]  # noqa: E731
    indexes = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1)))

    shared = SharedProof(
        {index: leaves[index] for index in indexes}, size, edge.root(), prove_batch_inclusion(indexes, size, read)
    )

    for index in indexes:
        assert list(shared.inclusion(index)) == prove_inclusion(index, size, read)


def test_wrong_node_is_refused() -> None:
    leaves = [hash_leaf(bytes([number])) for number in range(4)]
    root = CompactRange.empty().extend(leaves)[0].root()

    with pytest.raises(InvalidProofError):
        SharedProof({0: leaves[0], 1: leaves[1]}, 4, root, [bytes(32)])
