"""The hashes of the tree: leaves, inner nodes, the empty tree.

Leaves and inner nodes are hashed with different prefixes, so no bytes can pass as both. These prefixes must never
change: every root ever signed depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

HASH_SIZE = 32
"""Bytes of every hash, leaf, node or root."""

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"

EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree of size 0, 32 bytes."""


def hash_leaf(data: bytes) -> bytes:
    """Return the leaf hash of `data`, 32 bytes.

    Args:
        data: The leaf as it was encoded, any length.

    Source: RFC 9162 section 2.1.1.
    """
    return sha256(LEAF_PREFIX + data).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two others, 32 bytes.

    Args:
        left: Hash of the left child, 32 bytes; the caller has checked the length.
        right: Hash of the right child, 32 bytes; the caller has checked the length.

    Source: RFC 9162 section 2.1.1.
    """
    return sha256(NODE_PREFIX + left + right).digest()


def join_subtrees(hashes: Sequence[bytes]) -> bytes:
    """Return the root over adjacent perfect subtrees, each smaller than the one before it, 32 bytes.

    Args:
        hashes: Roots of the subtrees from left to right, 32 bytes each; none at all gives the empty root.
    """
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for subtree in hashes[-2::-1]:
        root = hash_children(subtree, root)
    return root


def split_hashes(packed: bytes) -> list[bytes]:
    """Return hashes that stand one after another, 32 bytes each; the caller has checked the length."""
    return [packed[offset : offset + HASH_SIZE] for offset in range(0, len(packed), HASH_SIZE)]
