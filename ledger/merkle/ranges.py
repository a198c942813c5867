"""All index arithmetic of the tree: which subtrees there are, and where their hashes stand in the store.

A tree of n leaves splits at the largest power of two below n, and so do its parts. Hence each node covers leaves
[begin, end) and is either *perfect* (its number of leaves is a power of two) or on the right edge. Only perfect
subtrees are stored, for they never change when the tree grows; a node of the right edge is joined from them.

A perfect subtree is named (level, index): it covers 2**level leaves, from index * 2**level on. The order in the
store is the tree's post-order, each hash as soon as its last leaf is there, so appending only adds at the end. This
numbering must never change: it is the layout of every store.

The functions here trust their callers with the order of their arguments; `proofs` and `verify` check.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeAlias

MAX_TREE_SIZE = 2**63 - 1
"""Largest tree size; leaf indexes are below it."""

LeafRange: TypeAlias = tuple[int, int]
"""Leaves [begin, end) below one node of a tree."""

PerfectSubtree: TypeAlias = tuple[int, int]
"""(level, index) of a perfect subtree."""


def trailing_zeros(number: int) -> int:
    """Return how many zeros the binary form of `number`, at least 1, ends with."""
    return (number & -number).bit_length() - 1


def split_point(leaf_count: int) -> int:
    """Return how many leaves the left child of a node has: the largest power of two below `leaf_count`.

    Args:
        leaf_count: Leaves below the node, at least 2.

    Source: RFC 9162 section 2.1.1.
    """
    return 1 << ((leaf_count - 1).bit_length() - 1)


def perfect_subtrees(begin: int, end: int) -> list[PerfectSubtree]:
    """Return the fewest perfect subtrees that cover the leaves [begin, end), left to right."""
    subtrees = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, trailing_zeros(begin))
        subtrees.append((level, begin >> level))
        begin += 1 << level
    return subtrees


# Positions in the store


def stored_index(level: int, index: int) -> int:
    """Return the position, from 0, of the hash of the perfect subtree (level, index) in the store.

    Source: S. Crosby, D. Wallach, "Efficient Data Structures for Tamper-Evident Logging", 2009, section 3.3.
    """
    last_leaf = ((index + 1) << level) - 1
    return 2 * last_leaf - last_leaf.bit_count() + level


def stored_parts(nodes: Sequence[LeafRange]) -> tuple[list[int], list[int]]:
    """Return from which stored hashes these nodes of a tree are joined.

    Returns:
        The positions of the hashes, node by node and left to right in each, and how many of them each node has: one,
        unless it is on the right edge.
    """
    positions: list[int] = []
    lengths = []
    for begin, end in nodes:
        leaf_count = end - begin
        if leaf_count & (leaf_count - 1):
            parts = perfect_subtrees(begin, end)
            positions.extend(stored_index(level, index) for level, index in parts)
            lengths.append(len(parts))
        else:
            # `stored_index` without the level, because nearly all nodes of a proof are perfect and this is most of its
            # time: the last leaf's index has the ones of `begin`, and one more for each level.
            positions.append(2 * (end - 1) - begin.bit_count())
            lengths.append(1)
    return positions, lengths


def stored_count(tree_size: int) -> int:
    """Return how many hashes the store holds for a tree of this size."""
    return 2 * tree_size - tree_size.bit_count()


def leaf_of_stored_index(position: int) -> int | None:
    """Return the leaf index whose leaf hash stands at `position`, or None if an inner node stands there."""
    # Descend from the smallest leftmost subtree that holds the position; below, `position` counts from its first hash.
    level = (position + 1).bit_length() - 1
    leaf_index = 0
    while level:
        if position == (2 << level) - 2:
            return None
        left_count = (1 << level) - 1
        level -= 1
        if position >= left_count:
            position -= left_count
            leaf_index += 1 << level
    return leaf_index


# Which subtrees a proof consists of


def inclusion_subtrees(leaf_index: int, tree_size: int) -> list[LeafRange]:
    """Return the siblings on the way from a leaf, below `tree_size`, to the root.

    Source: RFC 9162 section 2.1.3.1.
    """
    begin, end = 0, tree_size
    siblings = []
    while end - begin > 1:
        middle = begin + split_point(end - begin)
        if leaf_index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((begin, middle))
            begin = middle
    return siblings[::-1]


def consistency_subtrees(first_size: int, second_size: int) -> list[LeafRange]:
    """Return the subtrees from which the roots of both sizes, 0 <= first <= second, can be joined.

    Source: RFC 9162 section 2.1.4.1; from the empty tree there is nothing to join.
    """
    if not first_size:
        return []
    begin, end = 0, second_size
    subtrees = []
    while first_size < end:
        middle = begin + split_point(end - begin)
        if first_size <= middle:
            subtrees.append((middle, end))
            end = middle
        else:
            subtrees.append((begin, middle))
            begin = middle
    # Where the first tree is itself a subtree of the second, its root is known and not sent.
    if begin:
        subtrees.append((begin, end))
    return subtrees[::-1]


def uncovered_subtrees(leaf_indexes: Sequence[int], tree_size: int) -> list[LeafRange]:
    """Return the largest subtrees that hold none of the leaves, left to right.

    Args:
        leaf_indexes: Ascending, distinct, below `tree_size`. Neighbours may be given as a `range`: that costs only
            O(log n).
        tree_size: Number of leaves of the tree, at least 1.
    """
    subtrees = []
    # Nodes still to look at, the leftmost on top: leaves [begin, end), of which leaf_indexes[low:high] are wanted.
    stack = [(0, tree_size, 0, len(leaf_indexes))]
    while stack:
        begin, end, low, high = stack.pop()
        if low == high:
            subtrees.append((begin, end))
        elif high - low == 1:
            subtrees += _around(leaf_indexes[low], begin, end)
        elif high - low < end - begin:
            middle = begin + split_point(end - begin)
            cut = bisect_left(leaf_indexes, middle, low, high)
            stack.append((middle, end, cut, high))
            stack.append((begin, middle, low, cut))
    return subtrees


def _around(leaf_index: int, begin: int, end: int) -> list[LeafRange]:
    """Return the siblings on the way to a leaf from the node above the leaves [begin, end), left to right."""
    left, right = [], []
    while end - begin > 1:
        middle = begin + split_point(end - begin)
        if leaf_index < middle:
            right.append((middle, end))
            end = middle
        else:
            left.append((begin, middle))
            begin = middle
    return left + right[::-1]


# How many hashes a proof has, without walking the tree


def levels_below_edge(index: int, last_index: int) -> int:
    """Return how many levels the way up from a node stays left of the right edge of the tree.

    Args:
        index: Index of the node among those of its level.
        last_index: Index of the last node of that level.

    Returns:
        The number of levels. On each of them the node has a sibling, to the right where its index is even. After
        them the way is on the right edge, where every sibling that there is stands to the left.
    """
    return (index ^ last_index).bit_length()


def inclusion_length(leaf_index: int, tree_size: int) -> int:
    """Return how many hashes an inclusion proof has, at most 63, for a leaf index below `tree_size`."""
    below_edge = levels_below_edge(leaf_index, tree_size - 1)
    return below_edge + (leaf_index >> below_edge).bit_count()


def consistency_length(first_size: int, second_size: int) -> int:
    """Return how many hashes a consistency proof has, at most 64, for 0 <= first <= second."""
    if first_size in {0, second_size}:
        return 0
    # The way up from the last perfect subtree of the first tree, and that subtree's root unless it is the whole tree.
    level = trailing_zeros(first_size)
    way_up = inclusion_length((first_size - 1) >> level, ((second_size - 1) >> level) + 1)
    return way_up if first_size.bit_count() == 1 else way_up + 1
