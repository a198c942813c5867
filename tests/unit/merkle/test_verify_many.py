from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidProofError
from ledger.merkle import EMPTY_ROOT, MAX_TREE_SIZE, prove_batch_inclusion, prove_range
from ledger.merkle import verify_batch_inclusion as verify_batch
from ledger.merkle import verify_range as verify_leaves
from tests.support import naive_tree
from tests.support.trees import StoredTree, numbered_leaves

LEAVES = numbered_leaves(200)
ROOTS = [naive_tree.mth(LEAVES[:size]) for size in range(201)]
TREE = StoredTree(LEAVES)
OTHER = naive_tree.leaf(b"something else")


def batch_of(indexes: list[int]) -> list[tuple[int, bytes]]:
    return [(index, LEAVES[index]) for index in indexes]


def batch_refused(leaves: list[tuple[int, bytes]], tree_size: int, root_hash: bytes, proof: list[bytes]) -> bool:
    try:
        verify_batch(leaves, tree_size, root_hash, proof)
    except InvalidProofError:
        return True
    return False


def range_refused(begin: int, leaf_hashes: list[bytes], tree_size: int, root_hash: bytes, proof: list[bytes]) -> bool:
    try:
        verify_leaves(begin, leaf_hashes, tree_size, root_hash, proof)
    except InvalidProofError:
        return True
    return False


def wrong_proofs(proof: list[bytes]) -> list[list[bytes]]:
    wrong = [[*proof, OTHER], [OTHER, *proof], [*proof, EMPTY_ROOT]]
    for at in range(len(proof)):
        wrong += [
            proof[:at] + proof[at + 1 :],
            [*proof[:at], proof[at], *proof[at:]],
            [*proof[:at], OTHER, *proof[at + 1 :]],
            [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]],
            [*proof[:at], proof[at][:31] + bytes([proof[at][31] ^ 128]), *proof[at + 1 :]],
        ]
        for other in range(at):
            swapped = list(proof)
            swapped[at], swapped[other] = proof[other], proof[at]
            wrong.append(swapped)
    return wrong


# Batches


def test_every_set_of_leaves_of_every_small_tree_verifies_and_no_wrong_proof_does() -> None:
    for size in range(1, 9):
        for chosen in range(1, 1 << size):
            indexes = [index for index in range(size) if chosen >> index & 1]
            proof = naive_tree.rest(indexes, LEAVES[:size])
            verify_batch(batch_of(indexes), size, ROOTS[size], proof)
            for wrong in wrong_proofs(proof):
                assert batch_refused(batch_of(indexes), size, ROOTS[size], wrong)


def test_a_batch_with_a_leaf_changed_missing_or_added_is_refused() -> None:
    for size in range(2, 9):
        for chosen in range(1, 1 << size):
            indexes = [index for index in range(size) if chosen >> index & 1]
            leaves = batch_of(indexes)
            proof = prove_batch_inclusion(indexes, size, TREE.read)
            for at, (index, _) in enumerate(leaves):
                assert batch_refused([*leaves[:at], (index, OTHER), *leaves[at + 1 :]], size, ROOTS[size], proof)
                assert batch_refused(leaves[:at] + leaves[at + 1 :], size, ROOTS[size], proof)
            for added in set(range(size)) - set(indexes):
                assert batch_refused(batch_of(sorted([*indexes, added])), size, ROOTS[size], proof)
                for moved in indexes:
                    # The same leaf, said to be elsewhere.
                    rest = [leaf for leaf in leaves if leaf[0] != moved]
                    claimed = sorted([*rest, (added, LEAVES[moved])])
                    assert batch_refused(claimed, size, ROOTS[size], proof)


@given(st.sets(st.integers(0, 199), min_size=1), st.integers(1, 200))
def test_batches_of_any_leaves_verify(chosen: set[int], tree_size: int) -> None:
    indexes = sorted(index % tree_size for index in chosen)
    indexes = sorted(set(indexes))
    proof = prove_batch_inclusion(indexes, tree_size, TREE.read)
    assert proof == naive_tree.rest(indexes, LEAVES[:tree_size])
    verify_batch(batch_of(indexes), tree_size, ROOTS[tree_size], proof)


def test_a_batch_proof_shares_hashes() -> None:
    indexes = list(range(0, 128, 2))
    assert len(prove_batch_inclusion(indexes, 128, TREE.read)) == 64  # one sibling each, instead of seven


def test_a_batch_proof_of_one_leaf_has_the_hashes_of_its_inclusion_proof() -> None:
    for index in range(50):
        batch = prove_batch_inclusion([index], 50, TREE.read)
        assert sorted(batch) == sorted(naive_tree.path(index, LEAVES[:50]))


def test_a_proof_of_no_leaves_is_refused() -> None:
    # The root alone would "prove" it, and a caller who lost his list would never know.
    with pytest.raises(InvalidProofError, match="no leaves"):
        verify_batch([], 5, ROOTS[5], [ROOTS[5]])
    with pytest.raises(InvalidProofError, match="no leaves"):
        verify_leaves(0, [], 5, ROOTS[5], [ROOTS[5]])
    with pytest.raises(InvalidProofError, match="no leaves"):
        verify_leaves(0, [], 0, EMPTY_ROOT, [])
    with pytest.raises(InvalidProofError, match="no leaves"):
        verify_batch([], 0, EMPTY_ROOT, [])


@pytest.mark.parametrize("indexes", [[1, 1], [2, 1], [0, 2, 1], [0, 0, 1]])
def test_a_batch_out_of_order_or_with_a_leaf_twice_is_refused(indexes: list[int]) -> None:
    with pytest.raises(InvalidProofError, match="must ascend"):
        verify_batch(batch_of(indexes), 3, ROOTS[3], prove_batch_inclusion(sorted(set(indexes)), 3, TREE.read))


def test_a_batch_out_of_order_is_named_in_its_order() -> None:
    with pytest.raises(InvalidProofError, match="leaf index 1 comes after 2"):
        verify_batch(batch_of([2, 1]), 3, ROOTS[3], [])


# Ranges


def test_every_range_of_every_small_tree_verifies_and_no_wrong_proof_does() -> None:
    for size in range(1, 20):
        for begin in range(size):
            for end in range(begin + 1, size + 1):
                proof = naive_tree.rest(range(begin, end), LEAVES[:size])
                verify_leaves(begin, LEAVES[begin:end], size, ROOTS[size], proof)
                verify_batch(batch_of(list(range(begin, end))), size, ROOTS[size], proof)
                for wrong in wrong_proofs(proof):
                    assert range_refused(begin, LEAVES[begin:end], size, ROOTS[size], wrong)


def test_a_range_with_a_leaf_changed_left_out_added_or_moved_is_refused() -> None:
    for size in range(2, 18):
        for begin in range(size):
            for end in range(begin + 1, size + 1):
                leaves = LEAVES[begin:end]
                proof = prove_range(begin, end, size, TREE.read)
                for at in range(len(leaves)):
                    changed = [*leaves[:at], OTHER, *leaves[at + 1 :]]
                    assert range_refused(begin, changed, size, ROOTS[size], proof)
                    assert range_refused(begin, leaves[:at] + leaves[at + 1 :], size, ROOTS[size], proof)
                    doubled = [*leaves[:at], leaves[at], *leaves[at:]]
                    assert range_refused(begin, doubled, size, ROOTS[size], proof)
                for other in (begin - 1, begin + 1):
                    assert range_refused(other, leaves, size, ROOTS[size], proof)
                if len(leaves) > 1:
                    assert range_refused(begin, [leaves[1], leaves[0], *leaves[2:]], size, ROOTS[size], proof)


@given(st.integers(1, 200), st.data())
def test_ranges_of_any_tree_verify(tree_size: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, tree_size - 1))
    end = data.draw(st.integers(begin + 1, tree_size))
    proof = prove_range(begin, end, tree_size, TREE.read)
    assert proof == naive_tree.rest(range(begin, end), LEAVES[:tree_size])
    verify_leaves(begin, LEAVES[begin:end], tree_size, ROOTS[tree_size], proof)


def test_the_whole_tree_is_a_range_without_proof() -> None:
    for size in range(1, 201):
        verify_leaves(0, LEAVES[:size], size, ROOTS[size], [])


def test_verifying_a_range_leaves_the_arguments_alone() -> None:
    leaves, proof = LEAVES[3:50], prove_range(3, 50, 80, TREE.read)
    before = (list(leaves), list(proof))
    verify_leaves(3, leaves, 80, ROOTS[80], proof)
    verify_leaves(3, tuple(leaves), 80, ROOTS[80], tuple(proof))
    assert (leaves, proof) == before


def test_neither_proof_binds_the_tree_size() -> None:
    proof = prove_range(0, 2, 3, TREE.read)
    verify_leaves(0, LEAVES[:2], 4, ROOTS[3], proof)  # a wrong size, accepted: sizes come from checkpoints
    verify_batch(batch_of([0, 1]), 4, ROOTS[3], proof)


# Wrong arguments of both


@pytest.mark.parametrize("number", [-1, MAX_TREE_SIZE + 1, pytest.param(10**5000, id="5001-digits")])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(InvalidProofError, match="the tree size is not from 0"):
        verify_batch(batch_of([0]), number, ROOTS[5], [])
    with pytest.raises(InvalidProofError, match="the tree size is not from 0"):
        verify_leaves(0, LEAVES[:1], number, ROOTS[5], [])
    with pytest.raises(InvalidProofError, match="the leaf index is not from 0"):
        verify_batch([(number, LEAVES[0])], 5, ROOTS[5], [])
    with pytest.raises(InvalidProofError, match="the begin of the range is not from 0"):
        verify_leaves(number, LEAVES[:1], 5, ROOTS[5], [])


def test_leaves_beyond_the_tree_are_refused() -> None:
    with pytest.raises(InvalidProofError, match="leaf index 5 is beyond the tree of size 5"):
        verify_batch(batch_of([0, 5]), 5, ROOTS[5], [])
    with pytest.raises(InvalidProofError, match="leaf index 5 is beyond the tree of size 5"):
        verify_leaves(3, LEAVES[3:6], 5, ROOTS[5], [])
    with pytest.raises(InvalidProofError, match="leaf index 0 is beyond the tree of size 0"):
        verify_leaves(0, LEAVES[:1], 0, EMPTY_ROOT, [])
    with pytest.raises(InvalidProofError, match=f"leaf index {MAX_TREE_SIZE} is beyond the tree of size"):
        verify_leaves(MAX_TREE_SIZE, LEAVES[:1], MAX_TREE_SIZE, ROOTS[5], [])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_hashes_of_wrong_length_are_refused(length: int) -> None:
    wrong = bytes(length)
    proof = prove_range(1, 3, 7, TREE.read)
    with pytest.raises(InvalidProofError, match=f"the root hash has {length} bytes"):
        verify_batch(batch_of([1, 2]), 7, wrong, proof)
    with pytest.raises(InvalidProofError, match=f"the root hash has {length} bytes"):
        verify_leaves(1, LEAVES[1:3], 7, wrong, proof)
    with pytest.raises(InvalidProofError, match=f"a leaf hash has {length} bytes"):
        verify_batch([(1, LEAVES[1]), (2, wrong)], 7, ROOTS[7], proof)
    with pytest.raises(InvalidProofError, match=f"a leaf hash has {length} bytes"):
        verify_leaves(1, [LEAVES[1], wrong], 7, ROOTS[7], proof)
    with pytest.raises(InvalidProofError, match=f"a hash of the proof has {length} bytes"):
        verify_batch(batch_of([1, 2]), 7, ROOTS[7], [*proof[:-1], wrong])
    with pytest.raises(InvalidProofError, match=f"a hash of the proof has {length} bytes"):
        verify_leaves(1, LEAVES[1:3], 7, ROOTS[7], [*proof[:-1], wrong])


@pytest.mark.parametrize("length", [0, 1, 64, 127])
def test_the_length_of_a_proof_is_named(length: int) -> None:
    with pytest.raises(InvalidProofError, match=f"the proof has {length} hashes; it must have 3"):
        verify_batch(batch_of([1, 2]), 7, ROOTS[7], [OTHER] * length)
    with pytest.raises(InvalidProofError, match=f"the proof has {length} hashes; it must have 3"):
        verify_leaves(1, LEAVES[1:3], 7, ROOTS[7], [OTHER] * length)


def test_only_ints_are_numbers_and_only_bytes_are_hashes() -> None:
    number: Any
    for number in (True, 1.0, "1", None):
        with pytest.raises(TypeError, match="leaf index"):
            verify_batch([(number, LEAVES[1])], 2, ROOTS[2], [LEAVES[0]])
        with pytest.raises(TypeError, match="tree size"):
            verify_batch([(0, LEAVES[0])], number, LEAVES[0], [])
        with pytest.raises(TypeError, match="begin"):
            verify_leaves(number, LEAVES[1:2], 2, ROOTS[2], [LEAVES[0]])
        with pytest.raises(TypeError, match="tree size"):
            verify_leaves(0, LEAVES[:1], number, LEAVES[0], [])
    wrong: Any
    for wrong in ("x" * 32, bytearray(32), None):
        with pytest.raises(TypeError, match="leaf hash"):
            verify_batch([(0, wrong)], 2, ROOTS[2], [LEAVES[1]])
        with pytest.raises(TypeError, match="leaf hash"):
            verify_leaves(0, [wrong], 2, ROOTS[2], [LEAVES[1]])
        with pytest.raises(TypeError, match="root hash"):
            verify_leaves(0, [LEAVES[0]], 2, wrong, [LEAVES[1]])
