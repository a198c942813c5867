from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import MAX_TREE_SIZE, leaf_of_stored_index, perfect_subtrees, split_point, stored_count, stored_index
from ledger.merkle.ranges import (
    consistency_length,
    consistency_subtrees,
    inclusion_length,
    inclusion_subtrees,
    levels_below_edge,
    trailing_zeros,
    uncovered_subtrees,
)
from tests.support import naive_tree

SIZES = st.integers(1, MAX_TREE_SIZE) | st.builds(
    lambda power, offset: min(max(2**power + offset, 1), MAX_TREE_SIZE), st.integers(0, 63), st.integers(-2, 2)
)


def test_the_largest_tree_is_below_two_to_the_63() -> None:
    assert MAX_TREE_SIZE == 2**63 - 1


def test_split_point_is_the_largest_power_of_two_below() -> None:
    for leaf_count in range(2, 300):
        assert split_point(leaf_count) == naive_tree.largest_power_of_two_below(leaf_count)


@given(st.integers(0, 63), st.integers(0, 2**20))
def test_trailing_zeros(zeros: int, rest: int) -> None:
    assert trailing_zeros((2 * rest + 1) << zeros) == zeros


# Positions in the store


def test_stored_positions_follow_the_order_in_which_subtrees_are_completed() -> None:
    position = 0
    for size in range(1, 600):
        level = 0
        while size % (1 << level) == 0:
            assert stored_index(level, (size >> level) - 1) == position
            assert leaf_of_stored_index(position) == (None if level else size - 1)
            position += 1
            level += 1
        assert stored_count(size) == position
    assert stored_count(0) == 0


@given(st.integers(0, 63), st.data())
def test_stored_positions_of_large_trees_lie_around_their_leaves(level: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, (2**63 >> level) - 1))
    position = stored_index(level, index)
    last_leaf = ((index + 1) << level) - 1
    assert position == stored_count(last_leaf) + level
    assert leaf_of_stored_index(position) == (None if level else index)


# Perfect subtrees


@given(st.integers(0, MAX_TREE_SIZE), st.integers(0, MAX_TREE_SIZE))
def test_perfect_subtrees_cover_the_range_exactly_and_none_could_be_larger(first: int, second: int) -> None:
    begin, end = sorted((first, second))
    subtrees = perfect_subtrees(begin, end)
    at = begin
    for level, index in subtrees:
        assert index << level == at
        at += 1 << level
        parent = index >> 1 << (level + 1)
        assert parent < begin or parent + (2 << level) > end
    assert at == end
    assert len(subtrees) <= 126


def test_perfect_subtrees_of_a_tree_are_the_ones_of_its_size() -> None:
    assert perfect_subtrees(0, 0b1011) == [(3, 0), (1, 4), (0, 10)]
    assert perfect_subtrees(5, 5) == []
    assert perfect_subtrees(5, 12) == [(0, 5), (1, 3), (2, 2)]


# Plans


def hashes_of(subtrees: list[tuple[int, int]], leaves: list[bytes]) -> list[bytes]:
    return [naive_tree.mth(leaves[begin:end]) for begin, end in subtrees]


def test_the_plans_of_small_trees_are_those_of_the_definition() -> None:
    leaves = [bytes([index]) * 32 for index in range(33)]
    for size in range(1, len(leaves) + 1):
        tree = leaves[:size]
        for index in range(size):
            assert hashes_of(inclusion_subtrees(index, size), tree) == naive_tree.path(index, tree)
            assert hashes_of(consistency_subtrees(index, size), tree) == naive_tree.proof(index, tree)
            assert hashes_of(uncovered_subtrees([index], size), tree) == naive_tree.rest([index], tree)


@given(SIZES, st.data())
def test_lengths_are_those_of_the_plans(tree_size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, tree_size - 1))
    first_size = data.draw(SIZES.filter(lambda size: size <= tree_size) | st.just(0))
    assert inclusion_length(index, tree_size) == len(inclusion_subtrees(index, tree_size)) <= 63
    assert consistency_length(first_size, tree_size) == len(consistency_subtrees(first_size, tree_size)) <= 64


def test_the_longest_proofs_have_63_and_64_hashes() -> None:
    assert inclusion_length(0, MAX_TREE_SIZE) == 63
    assert consistency_length(2**62 - 1, MAX_TREE_SIZE) == 64


def test_consistency_of_equal_sizes_or_from_nothing_needs_no_hash() -> None:
    assert consistency_length(0, 9) == consistency_length(9, 9) == consistency_length(0, 0) == 0
    assert consistency_subtrees(0, 9) == consistency_subtrees(9, 9) == consistency_subtrees(0, 0) == []


def test_the_way_up_joins_the_right_edge_where_it_meets_the_last_node() -> None:
    assert levels_below_edge(6, 6) == 0
    assert levels_below_edge(4, 6) == 2
    assert levels_below_edge(0, 6) == 3


@given(SIZES, st.data())
def test_a_range_of_neighbours_costs_no_more_than_its_two_ends(tree_size: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, tree_size - 1))
    end = data.draw(st.integers(begin + 1, tree_size))
    subtrees = uncovered_subtrees(range(begin, end), tree_size)
    assert len(subtrees) <= 126
    covered = [*subtrees, (begin, end)]
    covered.sort()
    at = 0
    for low, high in covered:
        assert low == at
        at = high
    assert at == tree_size
