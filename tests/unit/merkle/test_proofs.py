from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import IndexBeyondTreeError
from ledger.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
    CompactRange,
    frontier,
    prove_batch_inclusion,
    prove_consistency,
    prove_inclusion,
    prove_range,
    tree_root,
    verify_batch_inclusion,
    verify_consistency,
    verify_inclusion,
    verify_range,
)
from tests.support import naive_tree
from tests.support.trees import SparseTree, StoredTree, numbered_leaves

LEAVES = numbered_leaves(300)
TREE = StoredTree(LEAVES)


def no_read(positions: Sequence[int]) -> Sequence[bytes]:
    raise AssertionError(positions)


# Small trees, all of them


def test_roots_and_frontiers_of_all_small_sizes_come_from_one_store() -> None:
    for size in range(len(LEAVES) + 1):
        tree, _ = CompactRange.empty().extend(LEAVES[:size])
        assert tree_root(size, TREE.read) == naive_tree.mth(LEAVES[:size])
        assert frontier(size, TREE.read) == tree.hashes


def test_inclusion_proofs_of_all_small_trees_are_those_of_the_definition() -> None:
    for size in range(1, 71):
        for index in range(size):
            assert prove_inclusion(index, size, TREE.read) == naive_tree.path(index, LEAVES[:size])


def test_consistency_proofs_of_all_small_trees_are_those_of_the_definition() -> None:
    for second in range(71):
        for first in range(second + 1):
            assert prove_consistency(first, second, TREE.read) == naive_tree.proof(first, LEAVES[:second])


def test_range_proofs_of_all_small_trees_are_those_of_the_definition() -> None:
    for size in range(1, 25):
        for begin in range(size):
            for end in range(begin + 1, size + 1):
                expected = naive_tree.rest(range(begin, end), LEAVES[:size])
                assert prove_range(begin, end, size, TREE.read) == expected
                assert prove_batch_inclusion(range(begin, end), size, TREE.read) == expected


def test_batch_proofs_of_all_sets_of_leaves_of_small_trees_are_those_of_the_definition() -> None:
    for size in range(1, 9):
        for chosen in range(1, 1 << size):
            indexes = [index for index in range(size) if chosen >> index & 1]
            assert prove_batch_inclusion(indexes, size, TREE.read) == naive_tree.rest(indexes, LEAVES[:size])


# Large trees


NEAR_POWERS = st.builds(lambda power, offset: 2**power + offset, st.integers(2, 62), st.integers(-2, 2))
SIZES = st.integers(1, MAX_TREE_SIZE) | NEAR_POWERS


@given(SIZES, st.data())
def test_inclusion_proofs_of_trees_of_any_size_verify(tree_size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, tree_size - 1))
    tree = SparseTree([index])
    proof = prove_inclusion(index, tree_size, tree.read)
    verify_inclusion(tree.leaf_hash(index), index, tree_size, tree.root(tree_size), proof)


@given(SIZES, SIZES)
def test_consistency_proofs_of_trees_of_any_size_verify(one: int, other: int) -> None:
    first, second = sorted((one, other))
    tree = SparseTree([first - 1, second - 1])
    proof = prove_consistency(first, second, tree.read)
    verify_consistency(first, tree.root(first), second, tree.root(second), proof)


@given(SIZES, st.data())
def test_batch_proofs_of_trees_of_any_size_verify(tree_size: int, data: st.DataObject) -> None:
    indexes = sorted(data.draw(st.sets(st.integers(0, tree_size - 1), min_size=1, max_size=8)))
    tree = SparseTree(indexes)
    proof = prove_batch_inclusion(indexes, tree_size, tree.read)
    leaves = [(index, tree.leaf_hash(index)) for index in indexes]
    verify_batch_inclusion(leaves, tree_size, tree.root(tree_size), proof)


@given(SIZES, st.integers(1, 40), st.data())
def test_range_proofs_of_trees_of_any_size_verify(tree_size: int, count: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(max(0, tree_size - 3 * count), tree_size - 1) | st.integers(0, tree_size - 1))
    end = min(begin + count, tree_size)
    tree = SparseTree([begin, end - 1])
    proof = prove_range(begin, end, tree_size, tree.read)
    leaf_hashes = [tree.leaf_hash(index) for index in range(begin, end)]
    verify_range(begin, leaf_hashes, tree_size, tree.root(tree_size), proof)


@given(SIZES)
def test_frontiers_of_trees_of_any_size_have_the_root(tree_size: int) -> None:
    tree = SparseTree([0, tree_size - 1])
    assert CompactRange(tree_size, frontier(tree_size, tree.read)).root() == tree.root(tree_size)
    assert tree_root(tree_size, tree.read) == tree.root(tree_size)


def test_the_longest_proofs_verify() -> None:
    tree = SparseTree([0, 2**62 - 2])
    inclusion = prove_inclusion(0, MAX_TREE_SIZE, tree.read)
    assert len(inclusion) == 63
    verify_inclusion(tree.leaf_hash(0), 0, MAX_TREE_SIZE, tree.root(MAX_TREE_SIZE), inclusion)
    first = 2**62 - 1
    consistency = prove_consistency(first, MAX_TREE_SIZE, tree.read)
    assert len(consistency) == 64
    verify_consistency(first, tree.root(first), MAX_TREE_SIZE, tree.root(MAX_TREE_SIZE), consistency)


def test_a_range_proof_covers_a_batch_proof_of_the_same_leaves() -> None:
    tree = SparseTree([2**50, 2**50 + 999])
    indexes = range(2**50, 2**50 + 1000)
    proof = prove_range(indexes.start, indexes.stop, 2**60 + 5, tree.read)
    assert proof == prove_batch_inclusion(list(indexes), 2**60 + 5, tree.read)


# Reading


def test_each_proof_reads_once() -> None:
    tree = StoredTree(LEAVES[:100])
    prove_inclusion(3, 100, tree.read)
    prove_consistency(3, 100, tree.read)
    prove_batch_inclusion([3, 5, 70], 100, tree.read)
    prove_range(3, 70, 100, tree.read)
    tree_root(99, tree.read)
    frontier(99, tree.read)
    assert tree.reads == 6


def test_a_range_proof_reads_few_hashes_however_long_the_range() -> None:
    read: list[int] = []

    def counting_read(positions: Sequence[int]) -> list[bytes]:
        read.extend(positions)
        return [LEAVES[0]] * len(positions)

    prove_range(12_345, 10**15, 2**50 + 12_345, counting_read)
    assert len(read) <= 100


def test_what_needs_no_hash_reads_nothing() -> None:
    assert tree_root(0, no_read) == EMPTY_ROOT
    assert frontier(0, no_read) == ()
    assert prove_inclusion(0, 1, no_read) == []
    assert prove_consistency(0, 5, no_read) == []
    assert prove_consistency(4, 8, TREE.read) != []
    assert prove_consistency(5, 5, no_read) == []
    assert prove_range(0, 10**12, 10**12, no_read) == []
    assert prove_batch_inclusion([0, 1, 2], 3, no_read) == []


def test_a_reader_that_returns_too_few_or_too_many_hashes_is_not_believed() -> None:
    with pytest.raises(ValueError, match="1 hashes for 2 positions"):
        prove_inclusion(0, 4, lambda _: LEAVES[:1])
    with pytest.raises(ValueError, match="3 hashes for 2 positions"):
        prove_inclusion(0, 4, lambda _: LEAVES[:3])


# Wrong questions


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (8, 8), (9, 8), (MAX_TREE_SIZE - 1, 8)])
def test_a_leaf_beyond_the_tree_is_refused(index: int, size: int) -> None:
    message = f"leaf index {index} is beyond the tree of size {size}"
    with pytest.raises(IndexBeyondTreeError, match=message) as caught:
        prove_inclusion(index, size, no_read)
    assert caught.value.metadata == {"leafIndex": str(index), "treeSize": str(size)}
    with pytest.raises(IndexBeyondTreeError, match=message):
        prove_batch_inclusion([index], size, no_read)
    with pytest.raises(IndexBeyondTreeError, match=message):
        prove_range(0, index + 1, size, no_read)


def test_a_first_size_above_the_second_is_refused_and_the_message_names_each_size_rightly() -> None:
    with pytest.raises(IndexBeyondTreeError, match=r"first size, 9, is larger than the second, 5") as caught:
        prove_consistency(9, 5, no_read)
    assert caught.value.metadata == {"firstSize": "9", "secondSize": "5"}


@pytest.mark.parametrize("size", [-1, MAX_TREE_SIZE + 1, pytest.param(10**5000, id="5001-digits")])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="tree size must be"):
        tree_root(size, no_read)
    with pytest.raises(ValueError, match="tree size must be"):
        frontier(size, no_read)
    with pytest.raises(ValueError, match="tree size must be"):
        prove_inclusion(0, size, no_read)
    with pytest.raises(ValueError, match="tree size must be"):
        prove_consistency(size, 5, no_read)
    with pytest.raises(ValueError, match="tree size must be"):
        prove_consistency(5, size, no_read)


@pytest.mark.parametrize("index", [-1, MAX_TREE_SIZE, pytest.param(10**5000, id="5001-digits")])
def test_indexes_out_of_range_are_refused(index: int) -> None:
    with pytest.raises(ValueError, match="indexes from 0"):
        prove_inclusion(index, 5, no_read)
    with pytest.raises(ValueError, match="indexes from 0"):
        prove_batch_inclusion([index], 5, no_read)
    with pytest.raises(ValueError, match="indexes from 0"):
        prove_range(index, index + 1, 5, no_read)


def test_every_leaf_of_a_batch_must_be_in_the_tree() -> None:
    with pytest.raises(ValueError, match="indexes from 0"):
        prove_batch_inclusion([-1, 3], 5, no_read)
    with pytest.raises(IndexBeyondTreeError, match="leaf index 5 is beyond the tree of size 5"):
        prove_batch_inclusion([0, 5], 5, no_read)


@pytest.mark.parametrize(("begin", "end"), [(0, 0), (3, 3), (3, 2)])
def test_an_empty_range_is_refused(begin: int, end: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        prove_range(begin, end, 5, no_read)


@pytest.mark.parametrize("indexes", [[], [1, 1], [2, 1], [0, 3, 2]])
def test_a_batch_must_ascend_and_hold_a_leaf(indexes: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending, distinct, and at least one"):
        prove_batch_inclusion(indexes, 5, no_read)
