"""One proof for many leaves, and each leaf's own proof derived from it.

An acknowledged batch comes with one inclusion proof for all its leaves. A receipt is for one leaf; its proof is
computed here when the receipt is saved, from the batch's leaf hashes and the shared nodes. The rule that must not
break: what is derived is verified again before it is handed out, so an error here can never become a bad receipt.

Source: RFC 9162 section 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.merkle.hashing import hash_children
from ledger.merkle.ranges import LeafRange, inclusion_subtrees, split_point, uncovered_subtrees
from ledger.merkle.verify import verify_batch_inclusion, verify_inclusion, verify_range


class SharedProof:
    """A verified proof that several leaves are in one tree."""

    def __init__(
        self, leaf_hashes: Mapping[int, bytes], tree_size: int, root_hash: bytes, hashes: Sequence[bytes]
    ) -> None:
        """Verify the proof.

        Args:
            leaf_hashes: Leaf hash, 32 bytes, by leaf index; at least one.
            tree_size: Number of leaves that the root commits to; from a verified checkpoint.
            root_hash: 32 bytes, from the same checkpoint.
            hashes: Hashes of the largest subtrees without any of the leaves, left to right, 32 bytes each.

        Raises:
            InvalidProofError: The hashes do not lead to the root.
        """
        leaves = sorted(leaf_hashes.items())
        begin, end = leaves[0][0], leaves[-1][0] + 1
        if end - begin == len(leaves):
            # Neighbours, as in most answers: the same hashes prove that they are a range, in fewer steps.
            verify_range(begin, [leaf_hash for _, leaf_hash in leaves], tree_size, root_hash, hashes)
        else:
            verify_batch_inclusion(leaves, tree_size, root_hash, hashes)
        self._leaf_hashes = dict(leaves)
        self._tree_size = tree_size
        self._root_hash = root_hash
        self._hashes = tuple(hashes)
        # Hashes of subtrees by their leaves [begin, end), from when the first proof is asked for: first those of the
        # shared proof, later what is computed.
        self._nodes: dict[LeafRange, bytes] = {}

    def inclusion(self, leaf_index: int) -> tuple[bytes, ...]:
        """Return the inclusion proof of one of the leaves: sibling hashes from leaf to root, 32 bytes each."""
        if not self._nodes:
            self._nodes = dict(
                zip(uncovered_subtrees(list(self._leaf_hashes), self._tree_size), self._hashes, strict=True)
            )
        proof = tuple(self._node(begin, end) for begin, end in inclusion_subtrees(leaf_index, self._tree_size))
        verify_inclusion(self._leaf_hashes[leaf_index], leaf_index, self._tree_size, self._root_hash, proof)
        return proof

    def _node(self, begin: int, end: int) -> bytes:
        known = self._nodes.get((begin, end))
        if known is not None:
            return known
        if end - begin == 1:
            return self._leaf_hashes[begin]
        middle = begin + split_point(end - begin)
        computed = hash_children(self._node(begin, middle), self._node(middle, end))
        self._nodes[begin, end] = computed
        return computed
