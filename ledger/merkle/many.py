"""Checking many inclusion proofs under one root.

Proofs of one tree share their upper hashes. What was proven to lead to the root once is remembered, so a later proof
is followed only up to where it meets an earlier one. The rule that must not break: what is not followed is compared,
hash by hash, with what was; a proof is accepted exactly where `verify_inclusion` accepts it.
"""

from __future__ import annotations

from ledger.merkle.hashing import HASH_SIZE, hash_children
from ledger.merkle.ranges import inclusion_length, levels_below_edge
from ledger.merkle.verify import verify_inclusion

_Known = tuple[bytes, tuple[bytes, ...]]


class InclusionVerifier:
    """Verifies proofs under one tree head. Grows with the number of proofs; not thread-safe."""

    def __init__(self, tree_size: int, root_hash: bytes) -> None:
        """Begin with nothing known.

        Args:
            tree_size: Number of leaves that the root commits to; from a verified checkpoint.
            root_hash: 32 bytes, from the same checkpoint.
        """
        self._tree_size = tree_size
        self._root_hash = root_hash
        # By level and index of a node that lies below the right edge: its hash, and the proof from it to the root.
        self._known: dict[tuple[int, int], _Known] = {}

    def verify(self, leaf_hash: bytes, leaf_index: int, proof: tuple[bytes, ...]) -> None:
        """Return if the leaf is at `leaf_index` of the tree; raise otherwise.

        Args:
            leaf_hash: 32 bytes.
            leaf_index: Position from 0, below the tree size.
            proof: Siblings from the leaf to the root, 32 bytes each.

        Raises:
            InvalidProofError: The hashes do not lead to the root, or an argument is out of its range.
        """
        walked: dict[tuple[int, int], _Known] = {}
        if len(leaf_hash) == HASH_SIZE and self._meets_known(leaf_hash, leaf_index, proof, walked):
            self._known.update(walked)
            return
        verify_inclusion(leaf_hash, leaf_index, self._tree_size, self._root_hash, proof)
        self._known.update(walked)

    def _meets_known(
        self, leaf_hash: bytes, leaf_index: int, proof: tuple[bytes, ...], walked: dict[tuple[int, int], _Known]
    ) -> bool:
        """Return whether the way up reaches a known node, and goes on as from there; add the nodes before it."""
        if not 0 <= leaf_index < self._tree_size or len(proof) != inclusion_length(leaf_index, self._tree_size):
            return False
        node, computed = leaf_index, leaf_hash
        for level in range(levels_below_edge(leaf_index, self._tree_size - 1) + 1):
            rest = proof[level:]
            known = self._known.get((level, node))
            if known is not None:
                return known == (computed, rest)
            walked[level, node] = (computed, rest)
            if rest:
                computed = hash_children(rest[0], computed) if node & 1 else hash_children(computed, rest[0])
            node >>= 1
        return False
