"""The Merkle tree of RFC 6962 and RFC 9162: append, prove, verify.

Pure: bytes and numbers in, bytes or an exception out. Leaf indexes count from 0; ranges are [begin, end); every hash
is SHA-256, 32 bytes; sizes are below 2**63.

A proof never tells the size of the tree. Who verifies must take size and root together from a verified checkpoint.
"""

from __future__ import annotations

from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import EMPTY_ROOT, HASH_SIZE, hash_children, hash_leaf
from ledger.merkle.many import InclusionVerifier
from ledger.merkle.proofs import (
    NodeReader,
    frontier,
    prove_batch_inclusion,
    prove_consistency,
    prove_inclusion,
    prove_range,
    tree_root,
)
from ledger.merkle.range_stream import RangeVerifier
from ledger.merkle.ranges import (
    MAX_TREE_SIZE,
    leaf_of_stored_index,
    perfect_subtrees,
    split_point,
    stored_count,
    stored_index,
)
from ledger.merkle.tiles import (
    TILE_WIDTH,
    Tile,
    entries_path,
    entry_bundles_at,
    parse_entries_path,
    parse_tile_path,
    tiles_at,
)
from ledger.merkle.verify import (
    root_from_inclusion,
    verify_batch_inclusion,
    verify_consistency,
    verify_inclusion,
    verify_range,
)

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "MAX_TREE_SIZE",
    "TILE_WIDTH",
    "CompactRange",
    "InclusionVerifier",
    "NodeReader",
    "RangeVerifier",
    "Tile",
    "entries_path",
    "entry_bundles_at",
    "frontier",
    "hash_children",
    "hash_leaf",
    "leaf_of_stored_index",
    "parse_entries_path",
    "parse_tile_path",
    "perfect_subtrees",
    "prove_batch_inclusion",
    "prove_consistency",
    "prove_inclusion",
    "prove_range",
    "root_from_inclusion",
    "split_point",
    "stored_count",
    "stored_index",
    "tiles_at",
    "tree_root",
    "verify_batch_inclusion",
    "verify_consistency",
    "verify_inclusion",
    "verify_range",
]
