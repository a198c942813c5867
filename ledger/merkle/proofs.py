"""Making proofs from stored hashes.

Each proof is planned first (`ranges` names the subtrees it consists of), then all hashes are read in one call, then
right-edge subtrees are joined from them. Nothing here is to be trusted by who checks a proof: `verify` shares with
this module only which subtrees a proof consists of.

In all functions `tree_size` is the size of the tree whose root the proof shall lead to, any size up to what is
stored; `read` returns stored hashes; every hash has 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import TypeAlias

from ledger.errors import IndexBeyondTreeError
from ledger.merkle.hashing import join_subtrees
from ledger.merkle.ranges import (
    MAX_TREE_SIZE,
    LeafRange,
    consistency_subtrees,
    inclusion_subtrees,
    perfect_subtrees,
    stored_index,
    stored_parts,
    uncovered_subtrees,
)

NodeReader: TypeAlias = Callable[[Sequence[int]], Sequence[bytes]]
"""Returns the hashes (32 bytes each) stored at these positions, in their order, or raises; called once at most."""


def tree_root(tree_size: int, read: NodeReader) -> bytes:
    """Return the root hash (32 bytes) that the tree had at this size, from 0 on.

    Raises:
        ValueError: The size is negative or not below 2**63.
    """
    return join_subtrees(frontier(tree_size, read))


def frontier(tree_size: int, read: NodeReader) -> tuple[bytes, ...]:
    """Return the hashes that `CompactRange` has at this size: the largest subtree first, 32 bytes each.

    Raises:
        ValueError: The size is negative or not below 2**63.
    """
    _check_size(tree_size)
    return tuple(_read([stored_index(level, index) for level, index in perfect_subtrees(0, tree_size)], read))


def prove_inclusion(leaf_index: int, tree_size: int, read: NodeReader) -> list[bytes]:
    """Return the proof that a leaf is at this index: the siblings from the leaf to the root, at most 63.

    Raises:
        IndexBeyondTreeError: The leaf is not in a tree of this size.
        ValueError: A number is negative or not below 2**63.

    Source: RFC 9162 section 2.1.3.1.
    """
    _check_leaves(leaf_index, leaf_index + 1, tree_size)
    return _assemble(inclusion_subtrees(leaf_index, tree_size), read)


def prove_consistency(first_size: int, second_size: int, read: NodeReader) -> list[bytes]:
    """Return the proof that the first tree is a prefix of the second: at most 64 hashes.

    It is empty for equal sizes, and for the first size 0.

    Raises:
        IndexBeyondTreeError: The first tree is larger than the second.
        ValueError: A number is negative or not below 2**63.

    Source: RFC 9162 section 2.1.4.1.
    """
    _check_size(first_size)
    _check_size(second_size)
    if first_size > second_size:
        raise IndexBeyondTreeError(
            f"the first size, {first_size}, is larger than the second, {second_size}",
            hint="give the smaller size first",
            metadata={"firstSize": str(first_size), "secondSize": str(second_size)},
        )
    return _assemble(consistency_subtrees(first_size, second_size), read)


def prove_batch_inclusion(leaf_indexes: Sequence[int], tree_size: int, read: NodeReader) -> list[bytes]:
    """Return one proof that all these leaves, ascending and distinct, are in the tree.

    It is the largest subtrees that hold none of the leaves, left to right: at most 63 hashes for each leaf, fewer the
    closer the leaves are.

    Raises:
        IndexBeyondTreeError: A leaf is not in a tree of this size.
        ValueError: No leaf, not ascending, or a number is negative or not below 2**63.
    """
    if not leaf_indexes or any(second <= first for first, second in pairwise(leaf_indexes)):
        raise ValueError("leaf indexes must be ascending, distinct, and at least one")
    _check_leaves(leaf_indexes[0], leaf_indexes[-1] + 1, tree_size)
    return _assemble(uncovered_subtrees(leaf_indexes, tree_size), read)


def prove_range(begin: int, end: int, tree_size: int, read: NodeReader) -> list[bytes]:
    """Return the proof of all leaves from index `begin` up to before `end`: that none was left out.

    It equals the batch proof of the same leaves, but has at most 126 hashes and costs O(log n), however many leaves
    there are.

    Raises:
        IndexBeyondTreeError: The range is not within a tree of this size.
        ValueError: The range is empty, or a number is negative or not below 2**63.
    """
    _check_leaves(begin, end, tree_size)
    return _assemble(uncovered_subtrees(range(begin, end), tree_size), read)


def _check_size(tree_size: int) -> None:
    if not 0 <= tree_size <= MAX_TREE_SIZE:
        raise ValueError("a tree size must be from 0 to 2**63 - 1")


def _check_leaves(begin: int, end: int, tree_size: int) -> None:
    _check_size(tree_size)
    if not 0 <= begin < end <= MAX_TREE_SIZE:
        raise ValueError("leaves must be at least one, with indexes from 0 to 2**63 - 2")
    if end > tree_size:
        raise IndexBeyondTreeError(
            f"leaf index {end - 1} is beyond the tree of size {tree_size}",
            hint="ask for a larger tree size, or wait until the tree has grown",
            metadata={"leafIndex": str(end - 1), "treeSize": str(tree_size)},
        )


def _assemble(subtrees: Sequence[LeafRange], read: NodeReader) -> list[bytes]:
    positions, lengths = stored_parts(subtrees)
    hashes = _read(positions, read)
    if len(hashes) == len(lengths):
        return list(hashes)
    rest = iter(hashes)
    return [next(rest) if length == 1 else join_subtrees(list(islice(rest, length))) for length in lengths]


def _read(positions: Sequence[int], read: NodeReader) -> Sequence[bytes]:
    if not positions:
        return ()
    hashes = read(positions)
    if len(hashes) != len(positions):
        raise ValueError(f"the reader returned {len(hashes)} hashes for {len(positions)} positions")
    return hashes
