"""How far an index is and how large, for people: a look that changes nothing, and making it again by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.engine.directory import DataDirectory
from ledger.engine.files import make_folder
from ledger.engine.marks import Diagnosis, ok, warn
from ledger.errors import LedgerError
from ledger.index.follower import Indexer
from ledger.index.segment import REBUILD, open_reader, read_state, segment_numbers, segment_path

# A running indexer is there within seconds; without a server it stays where it was.
_LAG: Final = 100_000


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far an index is.

    Attributes:
        size: Entries that are indexed; 0 where there is no index that can be read.
        stored_bytes: Bytes of its files.
        is_to_be_made_again: Whether it was asked to be made again, and that was not begun.
    """

    size: int
    stored_bytes: int
    is_to_be_made_again: bool


def read_progress(folder: Path) -> IndexProgress:
    """Return how far an index is."""
    numbers = segment_numbers(folder)
    size = 0
    if numbers:
        try:
            with closing(open_reader(segment_path(folder, numbers[-1]))) as file:
                size = read_state(file).watermark
        except sqlite3.Error:
            size = 0
    stored = sum(path.stat().st_size for path in folder.glob("*.sqlite*"))
    return IndexProgress(size, stored, (folder / REBUILD).exists())


def ask_for_rebuild(folder: Path) -> None:
    """Ask that an index is made again, by whoever follows its log."""
    make_folder(folder)
    (folder / REBUILD).touch()


def rebuild(directory: DataDirectory, name: str, on_progress: Callable[[int, int], None]) -> int:
    """Make the index of a log again, and return how many entries it has; only where no server runs.

    Args:
        directory: The data directory, whose owner lock the caller holds.
        name: The log.
        on_progress: Told how many of how many entries are indexed.

    Raises:
        LedgerError: The log cannot be read, or the index not written.
    """
    folder = directory.index_path(name)
    ask_for_rebuild(folder)
    store = directory.open_store(name, read_only=True)
    with closing(Indexer(store, folder)) as indexer:
        with store.read() as snapshot:
            total = snapshot.counts().leaves
        before = -1
        while (size := indexer.step()) != before:
            before = size
            on_progress(size, total)
    return before


def diagnose_index(directory: DataDirectory, name: str) -> Diagnosis:
    """Check how far the index of a log is."""
    check = f"{name}: index"
    found = read_progress(directory.index_path(name))
    if found.is_to_be_made_again:
        return warn(check, "it is to be made again", "start the server, or run `logproof reindex` without it")
    try:
        with closing(directory.open_store(name, read_only=True)) as store, store.read() as snapshot:
            entries = snapshot.counts().leaves
    except LedgerError as error:
        return warn(check, error.message, error.hint)
    lag = max(entries - found.size, 0)
    if lag > _LAG:
        return warn(check, f"{lag} entries behind", "if the server runs, look for the indexer in its log")
    return ok(check, f"{found.size} entries, {found.stored_bytes} bytes; {lag} behind")
