"""The hot loops of Logproof Ledger's batch append. The server's Python step is the reference of what each gives."""

from collections.abc import Sequence
from typing import Final

INTERFACE: Final[int]
"""Raised by one with each change of what a function takes, returns or means."""

__version__: Final[str]

def check(pairs: list[tuple[bytes, bytes]]) -> list[bytes | None]:
    """Return the event id of each pair of sections that is surely good, and None for the others."""

def seal(
    entries: Sequence[tuple[bytes, bytes, bytes]],
    prefixes: list[bytes],
    salts: bytes,
    previous: bytes,
    tree_size: int,
    frontier: bytes,
) -> tuple[list[bytes], list[bytes], list[bytes], bytes, bytes, bytes, bytes]:
    """Seal entries in a chain and add them to a tree.

    Args:
        entries: A list; event id, event section, and personal section or empty bytes.
        prefixes: What the leaf of each begins with.
        salts: 32 bytes for each: the salt of the event section, and of the personal section.
        previous: Leaf hash of the entry before, 32 bytes.
        tree_size: Number of leaves before.
        frontier: Roots of the perfect subtrees before, largest first, one after another.

    Returns:
        Leaves, salted event sections, salted personal sections (empty for none), stored hashes one after another, hash
        of the last leaf, frontier and root.
    """

def derive_root(leaves: list[bytes], tree_size: int, frontier: bytes) -> bytes:
    """Return the root, 32 bytes, of a tree after more leaves."""

def acknowledge(
    first_index: int, leaves: list[bytes], event_sections: list[bytes], personal_sections: list[bytes]
) -> bytes:
    """Return the acknowledgements of appended entries as part of a serialised AppendBatchResponse."""
