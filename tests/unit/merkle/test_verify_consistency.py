from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidProofError
from ledger.merkle import EMPTY_ROOT, MAX_TREE_SIZE, prove_consistency, verify_consistency
from tests.support import naive_tree
from tests.support.trees import SparseTree, StoredTree, numbered_leaves

LEAVES = numbered_leaves(71)
ROOTS = [naive_tree.mth(LEAVES[:size]) for size in range(72)]
TREE = StoredTree(LEAVES)


def refused(first_size: int, first_root: bytes, second_size: int, second_root: bytes, proof: list[bytes]) -> bool:
    try:
        verify_consistency(first_size, first_root, second_size, second_root, proof)
    except InvalidProofError:
        return True
    return False


def flip(data: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if bit // 8 == at else 0) for at, byte in enumerate(data))


def test_every_pair_of_small_trees_verifies() -> None:
    for second in range(71):
        for first in range(second + 1):
            verify_consistency(first, ROOTS[first], second, ROOTS[second], naive_tree.proof(first, LEAVES[:second]))


def test_every_proof_with_a_hash_missing_added_or_swapped_is_refused() -> None:
    for second in range(1, 34):
        for first in range(1, second + 1):
            roots = (ROOTS[first], ROOTS[second])
            proof = prove_consistency(first, second, TREE.read)
            for at in range(len(proof)):
                assert refused(first, roots[0], second, roots[1], proof[:at] + proof[at + 1 :])
                assert refused(first, roots[0], second, roots[1], [*proof[:at], LEAVES[70], *proof[at + 1 :]])
                for with_hash in (proof[at], *roots, bytes(32)):
                    assert refused(first, roots[0], second, roots[1], [*proof[:at], with_hash, *proof[at:]])
                for other in range(at):
                    swapped = list(proof)
                    swapped[at], swapped[other] = proof[other], proof[at]
                    assert refused(first, roots[0], second, roots[1], swapped)
            for trailing in (*roots, bytes(32), EMPTY_ROOT):
                assert refused(first, roots[0], second, roots[1], [*proof, trailing])


def test_every_wrong_root_and_every_neighbouring_first_size_is_refused() -> None:
    for second in range(2, 71):
        for first in range(1, second):
            proof = prove_consistency(first, second, TREE.read)
            assert refused(first, ROOTS[first - 1], second, ROOTS[second], proof)
            assert refused(first, ROOTS[first + 1], second, ROOTS[second], proof)
            assert refused(first, ROOTS[first], second, ROOTS[second - 1], proof)
            assert refused(first, ROOTS[first], second, ROOTS[second + 1], proof)
            assert refused(first, ROOTS[second], second, ROOTS[first], proof)
            for other in (first - 1, first + 1):
                assert refused(other, ROOTS[first], second, ROOTS[second], proof)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (3, 5), (4, 8), (6, 7), (7, 11)])
def test_every_single_bit_changed_is_refused(first: int, second: int) -> None:
    old, new = ROOTS[first], ROOTS[second]
    proof = prove_consistency(first, second, TREE.read)
    for bit in range(256):
        assert refused(first, flip(old, bit), second, new, proof)
        assert refused(first, old, second, flip(new, bit), proof)
        for at in range(len(proof)):
            assert refused(first, old, second, new, [*proof[:at], flip(proof[at], bit), *proof[at + 1 :]])


@given(st.integers(1, MAX_TREE_SIZE - 1), st.integers(1, MAX_TREE_SIZE), st.data())
def test_changes_to_proofs_between_large_trees_are_refused(one: int, other: int, data: st.DataObject) -> None:
    first, second = sorted((one, other if other != one else one + 1))
    tree = SparseTree([first - 1, second - 1])
    old, new, proof = tree.root(first), tree.root(second), prove_consistency(first, second, tree.read)
    at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    assert refused(first, old, second, new, [*proof[:at], flip(proof[at], bit), *proof[at + 1 :]])
    assert refused(first, old, second, new, proof[:at] + proof[at + 1 :])
    assert refused(first, old, second, new, [*proof[:at], proof[at], *proof[at:]])
    assert refused(second, new, first, old, proof)


# Trees that are no prefix


def test_a_hand_made_proof_for_a_tree_that_is_no_prefix_is_refused() -> None:
    # A leaf inserted in front: the old tree is now the right part of the new one. The hashes of such a "proof" do
    # lead to the new root, but only by taking the old tree for what stands on the right.
    for size in range(1, 33):
        old = LEAVES[:size]
        new = [LEAVES[70], *old]
        honest_shape = naive_tree.proof(size, new)
        assert refused(size, naive_tree.mth(old), size + 1, naive_tree.mth(new), honest_shape)
        for hand_made in ([], [LEAVES[70]], [naive_tree.mth(old), LEAVES[70]], [LEAVES[70], naive_tree.mth(old)]):
            assert refused(size, naive_tree.mth(old), size + 1, naive_tree.mth(new), hand_made)


def test_a_tree_with_one_old_leaf_changed_is_refused() -> None:
    for size in (1, 4, 7, 8, 13):
        for changed in range(size):
            new = [*LEAVES[:20]]
            new[changed] = naive_tree.leaf(b"something else")
            for proof in (naive_tree.proof(size, new), naive_tree.proof(size, LEAVES[:20])):
                assert refused(size, ROOTS[size], 20, naive_tree.mth(new), proof)


def test_a_tree_cut_short_and_grown_again_is_refused() -> None:
    regrown = [*LEAVES[:6], *(naive_tree.leaf(b"other %d" % number) for number in range(6))]
    for proof in (naive_tree.proof(8, regrown), naive_tree.proof(8, LEAVES[:12])):
        assert refused(8, ROOTS[8], 12, naive_tree.mth(regrown), proof)


def test_a_consistency_proof_does_not_bind_the_sizes() -> None:
    proof = prove_consistency(2, 3, TREE.read)
    verify_consistency(2, ROOTS[2], 3, ROOTS[3], proof)
    verify_consistency(2, ROOTS[2], 4, ROOTS[3], proof)  # a wrong size, accepted: sizes come from checkpoints
    assert "from a verified checkpoint" in (verify_consistency.__doc__ or "")


# Size 0 and equal sizes


def test_from_size_0_only_the_empty_root_with_an_empty_proof_is_accepted() -> None:
    for second in (1, 2, 7, MAX_TREE_SIZE):
        root = ROOTS[min(second, 7)]
        verify_consistency(0, EMPTY_ROOT, second, root, [])
        assert refused(0, root, second, root, [])
        assert refused(0, bytes(32), second, root, [])
        assert refused(0, EMPTY_ROOT, second, root, [root])
        assert refused(0, EMPTY_ROOT, second, root, [EMPTY_ROOT])


def test_two_empty_trees_are_consistent_only_with_the_empty_root() -> None:
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert refused(0, EMPTY_ROOT, 0, ROOTS[1], [])
    assert refused(0, ROOTS[1], 0, EMPTY_ROOT, [])
    assert refused(0, ROOTS[1], 0, ROOTS[1], [])
    assert refused(0, EMPTY_ROOT, 0, EMPTY_ROOT, [EMPTY_ROOT])


@pytest.mark.parametrize("size", [1, 2, 5, 8, MAX_TREE_SIZE])
def test_equal_sizes_need_equal_roots_and_an_empty_proof(size: int) -> None:
    verify_consistency(size, ROOTS[5], size, ROOTS[5], [])
    assert refused(size, ROOTS[5], size, ROOTS[6], [])
    assert refused(size, ROOTS[5], size, ROOTS[5], [ROOTS[5]])


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 4), (3, 4), (8, 9)])
def test_an_empty_proof_between_different_sizes_is_refused(first: int, second: int) -> None:
    assert refused(first, ROOTS[first], second, ROOTS[second], [])
    assert refused(first, ROOTS[first], second, ROOTS[first], [])


# Wrong arguments


def test_a_first_size_above_the_second_is_refused_and_the_message_names_each_size_rightly() -> None:
    with pytest.raises(InvalidProofError, match=r"the first size, 7, is larger than the second, 4") as caught:
        verify_consistency(7, ROOTS[7], 4, ROOTS[4], [])
    assert caught.value.metadata == {"firstSize": "7", "secondSize": "4"}


def test_a_mismatch_says_which_root_it_is() -> None:
    proof = prove_consistency(3, 7, TREE.read)
    with pytest.raises(InvalidProofError, match="the first root does not follow") as caught:
        verify_consistency(3, ROOTS[4], 7, ROOTS[7], proof)
    assert caught.value.metadata == {"computedRoot": ROOTS[3].hex(), "expectedRoot": ROOTS[4].hex()}
    with pytest.raises(InvalidProofError, match="the second root does not follow") as caught:
        verify_consistency(3, ROOTS[3], 7, ROOTS[8], proof)
    assert caught.value.metadata == {"computedRoot": ROOTS[7].hex(), "expectedRoot": ROOTS[8].hex()}
    with pytest.raises(InvalidProofError, match="the first root does not follow"):
        verify_consistency(0, ROOTS[1], 7, ROOTS[7], [])
    with pytest.raises(InvalidProofError, match="the second root does not follow"):
        verify_consistency(7, ROOTS[7], 7, ROOTS[8], [])


@pytest.mark.parametrize("number", [-1, MAX_TREE_SIZE + 1, 2**64, pytest.param(10**5000, id="5001-digits")])
def test_sizes_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(InvalidProofError, match="the first size is not from 0"):
        verify_consistency(number, ROOTS[3], 5, ROOTS[5], [])
    with pytest.raises(InvalidProofError, match="the second size is not from 0"):
        verify_consistency(3, ROOTS[3], number, ROOTS[5], [])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_hashes_of_wrong_length_are_refused(length: int) -> None:
    proof = prove_consistency(3, 7, TREE.read)
    wrong = bytes(length)
    with pytest.raises(InvalidProofError, match=f"a root hash has {length} bytes; it must have 32"):
        verify_consistency(3, wrong, 7, ROOTS[7], proof)
    with pytest.raises(InvalidProofError, match=f"a root hash has {length} bytes"):
        verify_consistency(3, ROOTS[3], 7, wrong, proof)
    with pytest.raises(InvalidProofError, match=f"a root hash has {length} bytes"):
        verify_consistency(5, wrong, 5, wrong, [])
    for at in range(len(proof)):
        with pytest.raises(InvalidProofError, match=f"a hash of the proof has {length} bytes"):
            verify_consistency(3, ROOTS[3], 7, ROOTS[7], [*proof[:at], wrong, *proof[at + 1 :]])


def test_a_proof_of_65_hashes_is_too_long_for_the_largest_tree() -> None:
    first, second = 2**62 - 1, MAX_TREE_SIZE
    tree = SparseTree([first - 1])
    proof = prove_consistency(first, second, tree.read)
    verify_consistency(first, tree.root(first), second, tree.root(second), proof)
    with pytest.raises(InvalidProofError, match="the proof has 65 hashes; it must have 64"):
        verify_consistency(first, tree.root(first), second, tree.root(second), [*proof, proof[-1]])


def test_only_ints_are_sizes_and_only_bytes_are_hashes() -> None:
    number: Any
    for number in (True, 1.0, "1", None):
        with pytest.raises(TypeError, match="first size"):
            verify_consistency(number, ROOTS[1], 2, ROOTS[2], [LEAVES[1]])
        with pytest.raises(TypeError, match="second size"):
            verify_consistency(1, ROOTS[1], number, ROOTS[1], [])
    wrong: Any
    for wrong in ("x" * 32, bytearray(32), None):
        with pytest.raises(TypeError, match="root hash"):
            verify_consistency(1, wrong, 2, ROOTS[2], [LEAVES[1]])
        with pytest.raises(TypeError, match="root hash"):
            verify_consistency(1, ROOTS[1], 2, wrong, [LEAVES[1]])
        with pytest.raises(TypeError, match="a hash of the proof"):
            verify_consistency(1, ROOTS[1], 2, ROOTS[2], [wrong])
