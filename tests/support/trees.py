"""Trees to make proofs from: one of real leaves, and one as large as a tree can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from ledger.merkle import CompactRange
from tests.support import naive_tree


def numbered_leaves(count: int) -> list[bytes]:
    """Leaf hashes of "leaf 0", "leaf 1", and so on."""
    return [naive_tree.leaf(b"leaf %d" % index) for index in range(count)]


class StoredTree:
    """A tree grown by `CompactRange`, with the stored hashes in a list."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.leaf_hashes = list(leaf_hashes)
        self.range, self.hashes = CompactRange.empty().extend(self.leaf_hashes)
        self.reads = 0

    def read(self, positions: Sequence[int]) -> list[bytes]:
        self.reads += 1
        return [self.hashes[position] for position in positions]

    def root(self, tree_size: int) -> bytes:
        return CompactRange.empty().extend(self.leaf_hashes[:tree_size])[0].root()


class SparseTree:
    """A tree of up to 2**63 - 1 leaves, all alike but for a few.

    Subtrees that hold only ordinary leaves look the same at each level, so that any hash can be told without the
    others: a reader of stored hashes for sizes that no machine could store.
    """

    def __init__(self, special_leaves: Iterable[int]) -> None:
        self._special = frozenset(special_leaves)
        self._known: dict[tuple[int, int], bytes] = {}

    @cached_property
    def _ordinary(self) -> list[bytes]:
        levels = [naive_tree.leaf(b"ordinary")]
        for _ in range(63):
            levels.append(naive_tree.node(levels[-1], levels[-1]))
        return levels

    def leaf_hash(self, leaf_index: int) -> bytes:
        return self.perfect(0, leaf_index)

    def perfect(self, level: int, index: int) -> bytes:
        if not any(leaf_index >> level == index for leaf_index in self._special):
            return self._ordinary[level]
        if (level, index) not in self._known:
            self._known[level, index] = (
                naive_tree.node(self.perfect(level - 1, 2 * index), self.perfect(level - 1, 2 * index + 1))
                if level
                else naive_tree.leaf(b"special %d" % index)
            )
        return self._known[level, index]

    def root(self, tree_size: int) -> bytes:
        return self._root(0, tree_size)

    def _root(self, begin: int, end: int) -> bytes:
        count = end - begin
        level = count.bit_length() - 1
        if count == 1 << level:
            return self.perfect(level, begin >> level)
        return naive_tree.node(self.perfect(level, begin >> level), self._root(begin + (1 << level), end))

    def read(self, positions: Sequence[int]) -> list[bytes]:
        return [self.perfect(*self._place(position)) for position in positions]

    @staticmethod
    def _place(position: int) -> tuple[int, int]:
        # Walk down from a tree of 2**63 leaves in post-order: left subtree, right subtree, the node itself.
        level, index = 63, 0
        first, last = 0, 2**64 - 2
        while position != last:
            level, index = level - 1, 2 * index
            half = (last - first) // 2
            if position < first + half:
                last = first + half - 1
            else:
                first, last, index = first + half, last - 1, index + 1
        return level, index
