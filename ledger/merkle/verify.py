"""Checking proofs against a trusted root.

Every function returns None if the proof is good and raises otherwise: there is no result to ignore. Nothing that a
peer sends chooses the rules: a proof is a list of hashes, its exact length follows from indexes and sizes, and every
hash in it must be used. Hashes are compared whole.

Sizes must come from where the root comes from, a verified checkpoint. A proof does not bind the tree size: most
inclusion proofs also lead to the same root under a neighbouring size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from ledger.errors import InvalidProofError
from ledger.merkle.hashing import EMPTY_ROOT, HASH_SIZE, hash_children
from ledger.merkle.ranges import (
    MAX_TREE_SIZE,
    consistency_length,
    inclusion_length,
    levels_below_edge,
    split_point,
    trailing_zeros,
    uncovered_subtrees,
)


def verify_inclusion(
    leaf_hash: bytes, leaf_index: int, tree_size: int, root_hash: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the leaf is at `leaf_index` of the tree; raise otherwise.

    Args:
        leaf_hash: 32 bytes, from `hash_leaf`.
        leaf_index: Position from 0, below `tree_size`.
        tree_size: Number of leaves that the root commits to; from a verified checkpoint, because the proof itself
            does not bind it.
        root_hash: 32 bytes, from the same checkpoint.
        proof: Siblings from the leaf to the root, 32 bytes each, at most 63.

    Raises:
        InvalidProofError: The hashes do not lead to `root_hash`, or an argument is out of its range.
        TypeError: An argument has the wrong type.

    Source: RFC 9162 section 2.1.3.2.
    """
    _check_hashes("the root hash", (root_hash,))
    _check_root("the root", root_from_inclusion(leaf_hash, leaf_index, tree_size, proof), root_hash)


def root_from_inclusion(leaf_hash: bytes, leaf_index: int, tree_size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root hash (32 bytes) that an inclusion proof leads to; it proves nothing until compared.

    Args:
        leaf_hash: 32 bytes, from `hash_leaf`.
        leaf_index: Position from 0, below `tree_size`.
        tree_size: Number of leaves that the root commits to; the proof itself does not bind it.
        proof: Siblings from the leaf to the root, 32 bytes each, at most 63.

    Raises:
        InvalidProofError: A hash is missing or one too many, or an argument is out of its range.
        TypeError: An argument has the wrong type.

    Source: RFC 9162 section 2.1.3.2.
    """
    _check_hashes("the leaf hash", (leaf_hash,))
    _check_number("the tree size", tree_size)
    _check_index(leaf_index, tree_size)
    _check_proof(proof, inclusion_length(leaf_index, tree_size))
    below_edge = levels_below_edge(leaf_index, tree_size - 1)
    computed = leaf_hash
    for level, sibling in enumerate(proof):
        if level < below_edge and not leaf_index >> level & 1:
            computed = hash_children(computed, sibling)
        else:
            computed = hash_children(sibling, computed)
    return computed


def verify_consistency(
    first_size: int, first_root: bytes, second_size: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the first tree is a prefix of the second; raise otherwise.

    Every tree continues the empty one: for the first size 0 the proof is empty, `first_root` must be the empty root,
    and nothing is learnt about `second_root`.

    Args:
        first_size: Number of leaves of the earlier tree; from a verified checkpoint, like the other three.
        first_root: Root hash of the earlier tree, 32 bytes.
        second_size: Number of leaves of the later tree, at least `first_size`.
        second_root: Root hash of the later tree, 32 bytes.
        proof: Hashes of 32 bytes, at most 64.

    Raises:
        InvalidProofError: The hashes do not lead to both roots, or an argument is out of its range.
        TypeError: An argument has the wrong type.

    Source: RFC 9162 section 2.1.4.2; for the first size 0, c2sp.org/tlog-witness.
    """
    _check_number("the first size", first_size)
    _check_number("the second size", second_size)
    _check_hashes("a root hash", (first_root, second_root))
    if first_size > second_size:
        raise InvalidProofError(
            f"the first size, {first_size}, is larger than the second, {second_size}",
            metadata={"firstSize": str(first_size), "secondSize": str(second_size)},
        )
    _check_proof(proof, consistency_length(first_size, second_size))
    if first_size == 0:
        _check_root("the first root", EMPTY_ROOT, first_root)
    if first_size == second_size:
        _check_root("the second root", first_root, second_root)
    elif first_size:
        _check_consistent(first_size, first_root, second_size, second_root, proof)


def verify_batch_inclusion(
    leaves: Sequence[tuple[int, bytes]], tree_size: int, root_hash: bytes, proof: Sequence[bytes]
) -> None:
    """Return if all these leaves are in the tree; raise otherwise.

    Args:
        leaves: Leaf index and leaf hash (32 bytes) of each, ascending by index, distinct, at least one.
        tree_size: Number of leaves that the root commits to; from a verified checkpoint.
        root_hash: 32 bytes, from the same checkpoint.
        proof: Hashes (32 bytes) of the largest subtrees that hold none of the leaves, left to right.

    Raises:
        InvalidProofError: The hashes do not lead to `root_hash`, or an argument is out of its range.
        TypeError: An argument has the wrong type.
    """
    _check_hashes("the root hash", (root_hash,))
    _check_number("the tree size", tree_size)
    if not leaves:
        raise InvalidProofError("a proof of no leaves proves nothing")
    for leaf_index, _ in leaves:
        _check_index(leaf_index, tree_size)
    _check_hashes("a leaf hash", [leaf_hash for _, leaf_hash in leaves])
    for (first, _), (second, _) in pairwise(leaves):
        if second <= first:
            raise InvalidProofError(f"leaf index {second} comes after {first}; indexes must ascend")
    indexes = [leaf_index for leaf_index, _ in leaves]
    _check_proof(proof, len(uncovered_subtrees(indexes, tree_size)))
    siblings = iter(proof)

    def root_of(begin: int, end: int, low: int, high: int) -> bytes:
        # The hash of the node above the leaves [begin, end), of which leaves[low:high] are given.
        if low == high:
            return next(siblings)
        if end - begin == 1:
            return leaves[low][1]
        middle = begin + split_point(end - begin)
        cut = bisect_left(indexes, middle, low, high)
        left = root_of(begin, middle, low, cut)
        return hash_children(left, root_of(middle, end, cut, high))

    _check_root("the root", root_of(0, tree_size, 0, len(leaves)), root_hash)


def verify_range(
    begin: int, leaf_hashes: Sequence[bytes], tree_size: int, root_hash: bytes, proof: Sequence[bytes]
) -> None:
    """Return if these are the leaves of the tree from `begin` on, in order and none left out; raise otherwise.

    Args:
        begin: Index of the first leaf.
        leaf_hashes: Leaf hashes, 32 bytes each, at least one.
        tree_size: Number of leaves that the root commits to; from a verified checkpoint.
        root_hash: 32 bytes, from the same checkpoint.
        proof: Hashes (32 bytes) of the largest subtrees outside the range, left to right, at most 126.

    Raises:
        InvalidProofError: The hashes do not lead to `root_hash`, or an argument is out of its range.
        TypeError: An argument has the wrong type.
    """
    _check_hashes("the root hash", (root_hash,))
    _check_number("the tree size", tree_size)
    _check_number("the begin of the range", begin)
    if not leaf_hashes:
        raise InvalidProofError("a proof of no leaves proves nothing")
    end = begin + len(leaf_hashes)
    _check_index(end - 1, tree_size)
    _check_hashes("a leaf hash", leaf_hashes)
    _check_proof(proof, len(uncovered_subtrees(range(begin, end), tree_size)))

    # One level at a time: the nodes [begin, end) of the `width` nodes that the level has. To the left of the range
    # there is one subtree for each 1 in the binary form of `begin`, the nearest last.
    left, right = list(proof[: begin.bit_count()]), iter(proof[begin.bit_count() :])
    nodes = list(leaf_hashes)
    width = tree_size
    while width > 1:
        if begin & 1:
            nodes.insert(0, left.pop())
        if end & 1 and end < width:
            nodes.append(next(right))
        parents = list(map(hash_children, nodes[::2], nodes[1::2]))
        if len(nodes) & 1:
            # The last node of the level has no sibling: it stands for its own parent.
            parents.append(nodes[-1])
        nodes = parents
        begin, end, width = begin >> 1, (end + 1) >> 1, (width + 1) >> 1
    _check_root("the root", nodes[0], root_hash)


def _check_consistent(
    first_size: int, first_root: bytes, second_size: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    # The way up from the last perfect subtree of the first tree. All siblings belong to the second tree; those to
    # the left belong to the first as well.
    level = trailing_zeros(first_size)
    node, last_node = (first_size - 1) >> level, (second_size - 1) >> level
    below_edge = levels_below_edge(node, last_node)
    start, *siblings = [first_root, *proof] if first_size.bit_count() == 1 else proof
    first = second = start
    for height, sibling in enumerate(siblings):
        if height < below_edge and not node >> height & 1:
            second = hash_children(second, sibling)
        else:
            first = hash_children(sibling, first)
            second = hash_children(sibling, second)
    _check_root("the first root", first, first_root)
    _check_root("the second root", second, second_root)


def _check_number(name: str, value: int) -> None:
    # bool is an int to Python and 1.0 equals 1, but neither is a size.
    if type(value) is not int:
        raise TypeError(f"{name} is a {type(value).__name__}; it must be an int")
    if not 0 <= value <= MAX_TREE_SIZE:
        raise InvalidProofError(f"{name} is not from 0 to 2**63 - 1")


def _check_index(leaf_index: int, tree_size: int) -> None:
    _check_number("the leaf index", leaf_index)
    if leaf_index >= tree_size:
        raise InvalidProofError(
            f"leaf index {leaf_index} is beyond the tree of size {tree_size}",
            metadata={"leafIndex": str(leaf_index), "treeSize": str(tree_size)},
        )


def _check_hashes(name: str, values: Sequence[bytes]) -> None:
    # Looked at as sets, because there may be a million.
    wrong_types = set(map(type, values)) - {bytes}
    if wrong_types:
        raise TypeError(f"{name} is a {wrong_types.pop().__name__}; it must be bytes")
    wrong_sizes = set(map(len, values)) - {HASH_SIZE}
    if wrong_sizes:
        raise InvalidProofError(f"{name} has {wrong_sizes.pop()} bytes; it must have {HASH_SIZE}")


def _check_proof(proof: Sequence[bytes], needed: int) -> None:
    # The length is checked first, so that no work is done for a proof that is too long.
    if len(proof) != needed:
        raise InvalidProofError(
            f"the proof has {len(proof)} hashes; it must have {needed}",
            metadata={"proofHashes": str(len(proof)), "neededHashes": str(needed)},
        )
    _check_hashes("a hash of the proof", proof)


def _check_root(name: str, computed: bytes, expected: bytes) -> None:
    if computed != expected:
        raise InvalidProofError(
            f"{name} does not follow from the proof: computed {computed.hex()}, expected {expected.hex()}",
            metadata={"computedRoot": computed.hex(), "expectedRoot": expected.hex()},
        )
