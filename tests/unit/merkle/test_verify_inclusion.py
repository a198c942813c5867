from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidProofError
from ledger.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
    prove_inclusion,
    root_from_inclusion,
    verify,
    verify_inclusion,
)
from tests.support import naive_tree
from tests.support.trees import SparseTree, StoredTree, numbered_leaves

LEAVES = numbered_leaves(70)
ROOTS = [naive_tree.mth(LEAVES[:size]) for size in range(71)]
TREE = StoredTree(LEAVES)


def refused(leaf_hash: bytes, leaf_index: int, tree_size: int, root_hash: bytes, proof: list[bytes]) -> bool:
    try:
        verify_inclusion(leaf_hash, leaf_index, tree_size, root_hash, proof)
    except InvalidProofError:
        return True
    return False


def flip(data: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if bit // 8 == at else 0) for at, byte in enumerate(data))


def test_every_leaf_of_every_small_tree_verifies() -> None:
    for size in range(1, 71):
        for index in range(size):
            proof = naive_tree.path(index, LEAVES[:size])
            verify_inclusion(LEAVES[index], index, size, ROOTS[size], proof)
            assert root_from_inclusion(LEAVES[index], index, size, proof) == ROOTS[size]


def test_every_neighbouring_index_and_every_other_leaf_is_refused() -> None:
    for size in range(1, 71):
        for index in range(size):
            proof = prove_inclusion(index, size, TREE.read)
            for other in {index - 1, index + 1, size, 0, size - 1} - {index}:
                assert refused(LEAVES[index], other, size, ROOTS[size], proof)
            if size > 1:
                assert refused(LEAVES[(index + 1) % size], index, size, ROOTS[size], proof)


def test_every_proof_with_a_hash_missing_added_or_swapped_is_refused() -> None:
    for size in range(1, 34):
        for index in range(size):
            leaf, root = LEAVES[index], ROOTS[size]
            proof = prove_inclusion(index, size, TREE.read)
            for at in range(len(proof)):
                assert refused(leaf, index, size, root, proof[:at] + proof[at + 1 :])
                assert refused(leaf, index, size, root, [*proof[:at], LEAVES[69], *proof[at + 1 :]])
                for with_hash in (proof[at], leaf, root, bytes(32)):
                    assert refused(leaf, index, size, root, [*proof[:at], with_hash, *proof[at:]])
                for other in range(at):
                    swapped = list(proof)
                    swapped[at], swapped[other] = proof[other], proof[at]
                    assert refused(leaf, index, size, root, swapped)
            for trailing in (leaf, root, bytes(32), EMPTY_ROOT):
                assert refused(leaf, index, size, root, [*proof, trailing])


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (4, 5), (6, 7), (3, 8), (10, 11)])
def test_every_single_bit_changed_is_refused(index: int, size: int) -> None:
    leaf, root = LEAVES[index], ROOTS[size]
    proof = prove_inclusion(index, size, TREE.read)
    for bit in range(256):
        assert refused(flip(leaf, bit), index, size, root, proof)
        assert refused(leaf, index, size, flip(root, bit), proof)
        for at in range(len(proof)):
            assert refused(leaf, index, size, root, [*proof[:at], flip(proof[at], bit), *proof[at + 1 :]])


@given(st.integers(2, MAX_TREE_SIZE), st.data())
def test_changes_to_proofs_of_large_trees_are_refused(tree_size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, tree_size - 1))
    tree = SparseTree([index])
    leaf, root, proof = tree.leaf_hash(index), tree.root(tree_size), prove_inclusion(index, tree_size, tree.read)
    at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    assert refused(leaf, index, tree_size, root, [*proof[:at], flip(proof[at], bit), *proof[at + 1 :]])
    assert refused(leaf, index, tree_size, root, proof[:at] + proof[at + 1 :])
    assert refused(leaf, index, tree_size, root, [*proof[:at], proof[at], *proof[at:]])
    for other in (index - 1, index + 1, index ^ 1 << data.draw(st.integers(0, 62))):
        assert refused(leaf, other, tree_size, root, proof)


# What a proof does not say


def test_a_proof_does_not_bind_the_tree_size_so_the_size_must_come_from_a_checkpoint() -> None:
    proof = prove_inclusion(0, 3, TREE.read)
    verify_inclusion(LEAVES[0], 0, 3, ROOTS[3], proof)
    verify_inclusion(LEAVES[0], 0, 4, ROOTS[3], proof)  # a wrong size, accepted: this is how the tree is made

    accepted = sum(
        not refused(LEAVES[index], index, size + 1, ROOTS[size], prove_inclusion(index, size, TREE.read))
        for size in range(1, 70)
        for index in range(size)
    )
    assert accepted == 2150  # of 2,415


def test_the_documentation_says_that_a_proof_does_not_bind_the_tree_size() -> None:
    for text in (verify.__doc__, verify_inclusion.__doc__, root_from_inclusion.__doc__):
        assert text is not None
        assert "not bind" in " ".join(text.split())
    for function in (verify.verify_inclusion, verify.verify_batch_inclusion, verify.verify_range):
        assert "from a verified checkpoint" in " ".join((function.__doc__ or "").split())


def test_a_caller_cannot_leave_out_index_or_size() -> None:
    for function in (verify_inclusion, root_from_inclusion, verify.verify_batch_inclusion, verify.verify_range):
        for parameter in inspect.signature(function).parameters.values():
            assert parameter.default is inspect.Parameter.empty


# Edges


def test_the_tree_of_one_leaf_has_the_leaf_as_root_and_an_empty_proof() -> None:
    verify_inclusion(LEAVES[0], 0, 1, LEAVES[0], [])
    assert refused(LEAVES[0], 0, 1, LEAVES[0], [LEAVES[0]])
    assert refused(LEAVES[0], 0, 1, LEAVES[1], [])


def test_nothing_is_in_the_empty_tree() -> None:
    assert refused(EMPTY_ROOT, 0, 0, EMPTY_ROOT, [])
    assert refused(LEAVES[0], 0, 0, LEAVES[0], [])


def test_an_inner_node_does_not_pass_as_a_leaf() -> None:
    # The proof of leaf 0 of 4 without its first hash proves the node above leaves 0 and 1 in a tree of two such.
    proof = prove_inclusion(0, 4, TREE.read)
    inner = naive_tree.node(LEAVES[0], LEAVES[1])
    assert refused(inner, 0, 4, ROOTS[4], proof[1:])
    assert naive_tree.leaf(b"\x01" + LEAVES[0] + LEAVES[1]) != inner


@pytest.mark.parametrize("number", [-1, -(2**63), MAX_TREE_SIZE + 1, 2**64, pytest.param(10**5000, id="5001-digits")])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(InvalidProofError, match="the leaf index is not from 0"):
        verify_inclusion(LEAVES[0], number, 5, ROOTS[5], [])
    with pytest.raises(InvalidProofError, match="the tree size is not from 0"):
        verify_inclusion(LEAVES[0], 0, number, ROOTS[5], [])


def test_an_index_beyond_the_tree_is_refused_by_name() -> None:
    with pytest.raises(InvalidProofError, match="leaf index 5 is beyond the tree of size 3") as caught:
        verify_inclusion(LEAVES[0], 5, 3, ROOTS[3], [])
    assert caught.value.metadata == {"leafIndex": "5", "treeSize": "3"}


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_hashes_of_wrong_length_are_refused(length: int) -> None:
    proof = prove_inclusion(2, 5, TREE.read)
    wrong = bytes(length)
    with pytest.raises(InvalidProofError, match=f"the leaf hash has {length} bytes; it must have 32"):
        verify_inclusion(wrong, 2, 5, ROOTS[5], proof)
    with pytest.raises(InvalidProofError, match=f"the root hash has {length} bytes"):
        verify_inclusion(LEAVES[2], 2, 5, wrong, proof)
    for at in range(len(proof)):
        with pytest.raises(InvalidProofError, match=f"a hash of the proof has {length} bytes"):
            verify_inclusion(LEAVES[2], 2, 5, ROOTS[5], [*proof[:at], wrong, *proof[at + 1 :]])


def test_a_leaf_cut_short_is_refused_even_where_it_is_the_root() -> None:
    assert refused(LEAVES[0][:31], 0, 1, LEAVES[0][:31], [])
    assert refused(b"", 0, 1, b"", [])


def test_a_root_that_agrees_in_part_is_refused() -> None:
    proof = prove_inclusion(2, 5, TREE.read)
    assert refused(LEAVES[2], 2, 5, ROOTS[5][:31], proof)
    assert refused(LEAVES[2], 2, 5, ROOTS[5] + b"\x00", proof)
    assert refused(LEAVES[2], 2, 5, ROOTS[5][:31] + bytes([ROOTS[5][31] ^ 1]), proof)


@pytest.mark.parametrize("length", [63, 64, 65, 1000])
def test_a_proof_longer_than_any_tree_needs_is_refused(length: int) -> None:
    with pytest.raises(InvalidProofError, match=f"the proof has {length} hashes; it must have 3") as caught:
        verify_inclusion(LEAVES[0], 0, 5, ROOTS[5], [LEAVES[1]] * length)
    assert caught.value.metadata == {"proofHashes": str(length), "neededHashes": "3"}


def test_a_proof_of_64_hashes_is_too_long_for_the_largest_tree() -> None:
    tree = SparseTree([0])
    root, proof = tree.root(MAX_TREE_SIZE), prove_inclusion(0, MAX_TREE_SIZE, tree.read)
    verify_inclusion(tree.leaf_hash(0), 0, MAX_TREE_SIZE, root, proof)
    for trailing in (proof[-1], root):
        with pytest.raises(InvalidProofError, match="has 64 hashes; it must have 63"):
            verify_inclusion(tree.leaf_hash(0), 0, MAX_TREE_SIZE, root, [*proof, trailing])


def test_a_mismatch_names_both_roots() -> None:
    proof = prove_inclusion(2, 5, TREE.read)
    with pytest.raises(InvalidProofError) as caught:
        verify_inclusion(LEAVES[2], 2, 5, ROOTS[6], proof)
    assert caught.value.metadata == {"computedRoot": ROOTS[5].hex(), "expectedRoot": ROOTS[6].hex()}
    assert f"computed {ROOTS[5].hex()}, expected {ROOTS[6].hex()}" in caught.value.message


@pytest.mark.parametrize("number", [True, 1.0, "1", None])
def test_only_an_int_is_a_number(number: Any) -> None:
    with pytest.raises(TypeError, match="leaf index"):
        verify_inclusion(LEAVES[1], number, 2, ROOTS[2], [LEAVES[0]])
    with pytest.raises(TypeError, match="tree size"):
        verify_inclusion(LEAVES[0], 0, number, LEAVES[0], [])


def test_only_bytes_are_a_hash() -> None:
    wrong: Any
    for wrong in ("x" * 32, bytearray(32), memoryview(bytes(32)), None, 5):
        with pytest.raises(TypeError, match="leaf hash"):
            verify_inclusion(wrong, 0, 2, ROOTS[2], [LEAVES[1]])
        with pytest.raises(TypeError, match="root hash"):
            verify_inclusion(LEAVES[0], 0, 2, wrong, [LEAVES[1]])
        with pytest.raises(TypeError, match="a hash of the proof"):
            verify_inclusion(LEAVES[0], 0, 2, ROOTS[2], [wrong])


def test_one_long_string_is_not_a_proof() -> None:
    wrong: Any
    for wrong in (b"x", "x"):
        with pytest.raises(TypeError):
            verify_inclusion(LEAVES[0], 0, 2, ROOTS[2], wrong)
    nothing: Any = None
    with pytest.raises(TypeError):
        verify_inclusion(LEAVES[0], 0, 2, ROOTS[2], nothing)
