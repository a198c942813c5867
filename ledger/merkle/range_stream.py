"""The proof that some leaves are all the leaves of a range, verified as they pass by.

It accepts exactly what `verify_range` accepts, in memory that grows with the height of the tree alone. The rule that
must not break: nothing is proven before `finish` returned.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import InvalidProofError
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import EMPTY_ROOT, HASH_SIZE, hash_children
from ledger.merkle.ranges import MAX_TREE_SIZE, trailing_zeros


class RangeVerifier:
    """The leaves from one index on, taken in order. Not thread-safe."""

    def __init__(self, begin: int, tree_size: int, root_hash: bytes, proof: Sequence[bytes]) -> None:
        """Begin with the subtrees to the left of the range.

        Args:
            begin: Index of the first leaf.
            tree_size: Number of leaves of the tree; from a verified checkpoint.
            root_hash: 32 bytes, from the same checkpoint.
            proof: Hashes of the largest subtrees outside the range, left to right, 32 bytes each.

        Raises:
            InvalidProofError: The range begins beyond the tree, or the proof cannot be one.
        """
        if not 0 <= begin <= tree_size <= MAX_TREE_SIZE:
            raise InvalidProofError(f"a range begins at {begin}, beyond the tree of size {tree_size}")
        left = begin.bit_count()
        if len(proof) < left or set(map(len, proof)) - {HASH_SIZE}:
            raise InvalidProofError(f"a range proof is hashes of {HASH_SIZE} bytes, {left} or more from {begin} on")
        self._begin = begin
        self._tree_size = tree_size
        self._root_hash = root_hash
        self._range = CompactRange(begin, tuple(proof[:left]))
        self._right = tuple(proof[left:])

    @property
    def end(self) -> int:
        """Index after the last leaf that was taken."""
        return self._range.tree_size

    def add(self, leaf_hashes: Sequence[bytes]) -> None:
        """Take the next leaf hashes, 32 bytes each.

        Raises:
            InvalidProofError: There are more than the tree has.
        """
        if self.end + len(leaf_hashes) > self._tree_size:
            raise InvalidProofError(f"the range goes on beyond the tree of size {self._tree_size}")
        self._range, _ = self._range.extend(leaf_hashes)

    def finish(self) -> None:
        """Return if the leaves taken are all the leaves of their range; raise otherwise.

        Raises:
            InvalidProofError: They are not, or the proof has too many or too few hashes.
        """
        if self._computed_root() != self._root_hash:
            raise InvalidProofError(
                f"the leaves [{self._begin}, {self.end}) do not lead to the root of the tree of size {self._tree_size}"
            )

    def _computed_root(self) -> bytes:
        end = self.end
        if end == self._begin:
            if self._tree_size or self._right:
                raise InvalidProofError("a proof of no leaves proves nothing")
            return EMPTY_ROOT
        # The way up from the last perfect subtree of what was taken: what is to the left of it is known, and what is
        # to the right the proof gives.
        edge, right = list(self._range.hashes), list(reversed(self._right))
        level = trailing_zeros(end)
        node, last, computed = (end - 1) >> level, (self._tree_size - 1) >> level, edge.pop()
        while last:
            if node & 1:
                computed = hash_children(edge.pop(), computed)
            elif node < last:
                if not right:
                    raise InvalidProofError("the range proof has too few hashes")
                computed = hash_children(computed, right.pop())
            node, last = node >> 1, last >> 1
        if right:
            raise InvalidProofError("the range proof has too many hashes")
        return computed
