"""Publication: a committed head becomes the published head when another process has recomputed it from the leaves.

Only the published head leaves the server for witnesses, anchors, tiles and exports. The publisher trusts nothing the
writer computed: it hashes the stored leaves into a tree of its own and compares the root.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ledger.engine.files import replace_file
from ledger.errors import CorruptionError
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import HASH_SIZE, hash_leaf
from ledger.storage.api import Store

_PAGE_LEAVES = 4000
# What is kept saves a restart from hashing the log again; as much as this it may.
_KEPT_EVERY_LEAVES = 20_000


@dataclass(frozen=True, slots=True)
class Published:
    """How far a log was recomputed.

    Attributes:
        tree_size: Leaves recomputed.
        root_hash: Their root, 32 bytes.
    """

    tree_size: int
    root_hash: bytes


class Publisher:
    """Recomputes one log. Owned by the publisher process."""

    def __init__(self, store: Store, path: Path) -> None:
        """Go on from what `path` holds, or from the first leaf where it holds nothing usable."""
        self._store = store
        self._path = path
        self._tree = _load(path)
        self._kept = self._tree

    def advance(self) -> Published:
        """Recompute what was committed since the last call, and keep the result now and then.

        Raises:
            CorruptionError: The leaves do not lead to the committed root; the published head stays where it was.
        """
        tree = self._tree
        while True:
            with self._store.read() as snapshot:
                head = snapshot.head()
                if head is None:
                    raise CorruptionError("the store has no head record")
                end = min(head.tree_size, tree.tree_size + _PAGE_LEAVES)
                leaves = snapshot.leaves(tree.tree_size, end)
            if tree.tree_size > head.tree_size:
                tree = CompactRange.empty()
                continue
            tree, _ = tree.extend([hash_leaf(leaf) for leaf in leaves])
            if not leaves and tree.tree_size < head.tree_size:
                raise CorruptionError(f"the leaf {tree.tree_size} is missing from the store")
            if tree.tree_size == head.tree_size:
                break
        if tree.root() != head.root_hash:
            if self._tree.tree_size:
                # What was kept from before may be what is wrong: decide from the leaves alone.
                self._tree = CompactRange.empty()
                return self.advance()
            raise CorruptionError(
                f"the leaves of tree size {head.tree_size} lead to the root {tree.root().hex()}, "
                f"the committed root is {head.root_hash.hex()}"
            )
        self._tree = tree
        if not self._kept.tree_size <= tree.tree_size < self._kept.tree_size + _KEPT_EVERY_LEAVES:
            self._keep()
        return Published(tree.tree_size, tree.root())

    def close(self) -> None:
        """Keep the result, and release the store.

        Raises:
            OSError: It could not be kept; the store is released.
        """
        try:
            if self._tree != self._kept:
                self._keep()
        finally:
            self._store.close()

    def _keep(self) -> None:
        replace_file(self._path, _encode(self._tree))
        self._kept = self._tree


def read_published_size(path: Path) -> int:
    """Return how many leaves the publisher last kept as recomputed; 0 where nothing usable is kept."""
    return _load(path).tree_size


def _encode(tree: CompactRange) -> bytes:
    fields = {"tree_size": tree.tree_size, "hashes": [value.hex() for value in tree.hashes]}
    return f"{json.dumps(fields)}\n".encode()


def _load(path: Path) -> CompactRange:
    try:
        fields = json.loads(path.read_bytes())
        hashes = tuple(bytes.fromhex(text) for text in fields["hashes"])
        if any(len(value) != HASH_SIZE for value in hashes):
            return CompactRange.empty()
        return CompactRange(int(fields["tree_size"]), hashes)
    except (OSError, ValueError, KeyError, TypeError):
        # Derived data: without it the log is recomputed from its first leaf.
        return CompactRange.empty()
