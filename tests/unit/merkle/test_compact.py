from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import EMPTY_ROOT, MAX_TREE_SIZE, CompactRange, perfect_subtrees, stored_count, stored_index
from tests.support import naive_tree
from tests.support.trees import SparseTree, numbered_leaves

LEAVES = numbered_leaves(300)


def test_roots_of_all_small_sizes_are_those_of_the_definition() -> None:
    tree = CompactRange.empty()
    assert tree.root() == EMPTY_ROOT
    for size in range(1, len(LEAVES) + 1):
        tree, _ = tree.append(LEAVES[size - 1])
        assert tree.tree_size == size
        assert tree.root() == naive_tree.mth(LEAVES[:size])


def test_stored_hashes_are_the_completed_subtrees_in_order() -> None:
    tree, stored = CompactRange.empty().extend(LEAVES)
    assert stored == naive_tree.stored(LEAVES)
    assert len(stored) == stored_count(tree.tree_size)


@given(st.lists(st.integers(0, 40), max_size=10))
def test_growing_in_batches_gives_the_same_as_growing_at_once(batches: list[int]) -> None:
    leaves = LEAVES[: sum(batches)]
    tree = CompactRange.empty()
    stored: list[bytes] = []
    for batch in batches:
        before = tree
        tree, hashes = before.extend(leaves[before.tree_size : before.tree_size + batch])
        assert len(stored) == stored_count(before.tree_size)
        stored += hashes
    assert (tree, stored) == CompactRange.empty().extend(leaves)


def test_a_range_keeps_the_roots_of_its_perfect_subtrees_largest_first() -> None:
    tree, stored = CompactRange.empty().extend(LEAVES[:0b1011])
    assert tree.hashes == tuple(stored[stored_index(level, index)] for level, index in perfect_subtrees(0, 0b1011))


@given(st.integers(0, MAX_TREE_SIZE - 20), st.integers(1, 20))
def test_large_trees_grow_like_small_ones(tree_size: int, more: int) -> None:
    sparse = SparseTree([0, tree_size, tree_size + more - 1])
    start = CompactRange(tree_size, tuple(sparse.perfect(*subtree) for subtree in perfect_subtrees(0, tree_size)))
    grown, stored = start.extend([sparse.leaf_hash(tree_size + number) for number in range(more)])
    assert grown.root() == sparse.root(tree_size + more)
    first = stored_count(tree_size)
    assert stored == sparse.read(range(first, stored_count(tree_size + more)))


def test_extending_leaves_the_old_range_as_it_was() -> None:
    tree, _ = CompactRange.empty().extend(LEAVES[:7])
    root = tree.root()
    tree.extend(LEAVES[7:20])
    assert tree.tree_size == 7
    assert tree.root() == root


def test_extending_by_nothing_changes_nothing() -> None:
    tree, _ = CompactRange.empty().extend(LEAVES[:7])
    assert tree.extend([]) == (tree, [])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_hash_of_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        CompactRange(1, (bytes(length),))
    with pytest.raises(ValueError, match="32 bytes"):
        CompactRange.empty().append(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        CompactRange.empty().extend([LEAVES[0], bytes(length), LEAVES[1]])


@pytest.mark.parametrize(("tree_size", "count"), [(0, 1), (1, 0), (1, 2), (3, 1), (4, 2), (7, 4)])
def test_a_size_that_does_not_fit_its_hashes_is_refused(tree_size: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"size {tree_size} has {tree_size.bit_count()} subtrees; {count} given"):
        CompactRange(tree_size, tuple(LEAVES[:count]))


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="tree size"):
        CompactRange(-1, (LEAVES[0],))
    with pytest.raises(ValueError, match="tree size"):
        CompactRange(MAX_TREE_SIZE + 1, (LEAVES[0],))
    largest = CompactRange(MAX_TREE_SIZE, tuple(LEAVES[:63]))
    with pytest.raises(ValueError, match="tree size"):
        largest.append(LEAVES[0])
