"""pymerkle: Merkle trees in Python, in memory or in SQLite; a library without server, signatures or event data."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def why_missing() -> str:
    """Return why pymerkle cannot be run here; empty where it can."""
    try:
        import pymerkle  # noqa: F401 - only whether it is there
    except ImportError:
        return "not installed (pip install 'logproof[bench]')"
    return ""


def version() -> str:
    """Return its version."""
    return importlib.metadata.version("pymerkle")


def memory_tree(entries: Sequence[bytes]) -> Any:
    """Return a tree in memory."""
    import pymerkle

    tree: Any = pymerkle.InmemoryTree()
    for entry in entries:
        tree.append_entry(entry)
    return tree


def sqlite_tree(path: Path, entries: Sequence[bytes]) -> Any:
    """Return a tree in a file, filled by its bulk call."""
    import pymerkle

    tree: Any = pymerkle.SqliteTree(str(path))
    tree.append_entries(entries)
    return tree


def verify(tree: Any, index: int, proof: Any) -> None:
    """Verify an inclusion proof with index and size from outside, as one must; indexes count from 1."""
    import pymerkle

    pymerkle.verify_inclusion(tree.get_leaf(index), tree.get_root(), proof, index=index, size=tree.get_size())
