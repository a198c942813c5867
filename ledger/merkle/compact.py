"""The right edge of a tree, from which it grows without looking back.

A compact range is the tree size and the roots of the perfect subtrees that the size's binary digits name. That is
all that is needed to append and to tell the root; it must always be written together with the leaves it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger.merkle.hashing import HASH_SIZE, NODE_PREFIX, join_subtrees
from ledger.merkle.ranges import MAX_TREE_SIZE


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The leaves [0, tree_size) of a tree, in at most 63 hashes.

    Attributes:
        tree_size: Number of leaves, below 2**63.
        hashes: Roots of the perfect subtrees, largest (leftmost) first, 32 bytes each: one for every 1 in the binary
            form of `tree_size`.
    """

    tree_size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Check that size and hashes fit together.

        Raises:
            ValueError: They do not.
        """
        if not 0 <= self.tree_size <= MAX_TREE_SIZE:
            raise ValueError(f"tree size is {self.tree_size}; it must be from 0 to {MAX_TREE_SIZE}")
        needed = self.tree_size.bit_count()
        if len(self.hashes) != needed:
            raise ValueError(f"a tree of size {self.tree_size} has {needed} subtrees; {len(self.hashes)} given")
        _check_lengths(self.hashes)

    @classmethod
    def empty(cls) -> CompactRange:
        """Return the range of no leaves."""
        return cls(0, ())

    def root(self) -> bytes:
        """Return the root hash, 32 bytes; of no leaves, the empty root."""
        return join_subtrees(self.hashes)

    def append(self, leaf_hash: bytes) -> tuple[CompactRange, list[bytes]]:
        """Return what `extend` returns for one leaf hash of 32 bytes."""
        return self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Sequence[bytes]) -> tuple[CompactRange, list[bytes]]:
        """Return the range with more leaves, and the hashes to store for them.

        Args:
            leaf_hashes: In order, 32 bytes each.

        Returns:
            The new range, and the hashes of all perfect subtrees completed, leaves included, in stored order: the
            first belongs at position `stored_count(self.tree_size)`.

        Raises:
            ValueError: A hash does not have 32 bytes, or the tree would be too large.
        """
        _check_lengths(leaf_hashes)
        # One round per leaf on the busiest path of the server: names are bound here and nothing is called but the hash.
        hash_function, prefix = sha256, NODE_PREFIX
        edge = list(self.hashes)
        push, pop = edge.append, edge.pop
        stored: list[bytes] = []
        store = stored.append
        size = self.tree_size
        for leaf_hash in leaf_hashes:
            node = leaf_hash
            store(node)
            # Each trailing 1 of the size is a subtree that this leaf completes to one of twice its size.
            carry = size
            while carry & 1:
                node = hash_function(prefix + pop() + node).digest()
                store(node)
                carry >>= 1
            push(node)
            size += 1
        return CompactRange(size, tuple(edge)), stored


def _check_lengths(hashes: Sequence[bytes]) -> None:
    if not {HASH_SIZE}.issuperset(map(len, hashes)):
        raise ValueError(f"a hash does not have {HASH_SIZE} bytes")
