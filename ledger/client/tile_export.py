"""Writes a log as a C2SP tlog-tiles directory, which other people's tools can audit whole.

The rule that must not break: `checkpoint` is written last, and only after the root recomputed from the very leaves
that were written is the one that the log signed. Memory does not grow with the log: one bundle and one unfinished tile
per level are held.

Source: C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from ledger.client.state import sync_directory, write_atomically
from ledger.client.trust import Head
from ledger.errors import FieldViolation, InvalidProofError, InvalidRequestError, LedgerError
from ledger.events.bundles import encode_bundle
from ledger.evidence.trusted import TrustedLog
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.tiles import TILE_WIDTH, Tile, entries_path
from ledger.notes.note import Verifier

_FILE_MODE: Final = 0o644
_UNFINISHED: Final = ".unfinished-export"
_MAX_CHECKPOINT_BYTES: Final = 1_000_000
# Of the hashes that 256 leaves complete, in stored order: the node above all of them, then one for each tile level.
_FIRST_ROOT: Final = 2 * TILE_WIDTH - 2
_LEVELS_PER_TILE: Final = 8


class TileDirectory:
    """A directory that holds, or is to hold, one log."""

    def __init__(self, path: Path, verifier: Verifier) -> None:
        """Check that the directory is free for this log.

        Args:
            path: The directory; made, with its parents, where it does not exist.
            verifier: The log's key.

        Raises:
            InvalidRequestError: The directory holds something else, or cannot be written.
        """
        self._path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.trusted = self._read_earlier(verifier)
            (path / _UNFINISHED).touch()
        except OSError as error:
            raise _unusable(path, f"cannot be used: {error.strerror}") from error

    def write(self, leaves: Iterable[Sequence[bytes]], head: Head, progress: Callable[[int], None]) -> None:
        """Write all tiles, all entry bundles, and the checkpoint last.

        Args:
            leaves: All leaves of the head's tree in order, in batches of any size.
            head: The verified head.
            progress: Told how many entries have been written.

        Raises:
            InvalidProofError: The leaves do not give the signed root; no checkpoint was written.
            OSError: The disk is full or fails; no checkpoint was written.
        """
        writer = _TileWriter(self._path)
        waiting: list[bytes] = []
        for batch in leaves:
            waiting.extend(batch)
            while len(waiting) >= TILE_WIDTH:
                writer.add_bundle(waiting[:TILE_WIDTH])
                del waiting[:TILE_WIDTH]
                progress(writer.tree_size)
        writer.finish(waiting)
        progress(writer.tree_size)
        checkpoint = head.checkpoint
        if (writer.tree_size, writer.root()) != (checkpoint.tree_size, checkpoint.root_hash):
            raise InvalidProofError(
                f"the server's {writer.tree_size} leaves give the root {writer.root().hex()}; "
                f"the signed one is {checkpoint.root_hash.hex()} at tree size {checkpoint.tree_size}",
                hint="the leaves that the server gave are not those of the log; no checkpoint was written",
            )
        write_atomically(self._path / "checkpoint", head.note, _FILE_MODE)
        (self._path / _UNFINISHED).unlink(missing_ok=True)
        sync_directory(self._path)

    def _read_earlier(self, verifier: Verifier) -> TrustedLog:
        """Return what an earlier export into this directory trusted; refuse a directory that holds anything else."""
        names = {entry.name for entry in self._path.iterdir()}
        if "checkpoint" in names:
            note = (self._path / "checkpoint").read_bytes()[:_MAX_CHECKPOINT_BYTES]
            try:
                return TrustedLog(verifier, note)
            except LedgerError as error:
                raise _unusable(self._path, "holds a checkpoint that is not of this log") from error
        if names and _UNFINISHED not in names:
            raise _unusable(self._path, "is not empty, and holds no export of this log")
        return TrustedLog(verifier)


class _TileWriter:
    """The right edge of the tree while it is written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._range = CompactRange.empty()
        self._rows: list[list[bytes]] = []
        self._finished: list[int] = []

    @property
    def tree_size(self) -> int:
        """Number of leaves written."""
        return self._range.tree_size

    def root(self) -> bytes:
        """Return the root of the leaves written, 32 bytes."""
        return self._range.root()

    def add_bundle(self, leaves: Sequence[bytes]) -> None:
        """Write 256 leaves and every tile that they complete."""
        self._write_bundle(leaves)
        hashes = [hash_leaf(leaf) for leaf in leaves]
        self._range, completed = self._range.extend(hashes)
        self._put(0, hashes)
        # The nodes above these leaves that are complete now, as far as they are hashes of a tile.
        for level, root in enumerate(completed[_FIRST_ROOT::_LEVELS_PER_TILE], start=1):
            self._put(level, [root])

    def finish(self, leaves: Sequence[bytes]) -> None:
        """Write the last leaves, fewer than 256, and the partial tiles at the right edge."""
        if leaves:
            self._write_bundle(leaves)
            hashes = [hash_leaf(leaf) for leaf in leaves]
            self._range, _ = self._range.extend(hashes)
            self._put(0, hashes)
        for level, row in enumerate(self._rows):
            if row:
                self._write_tile(level, row)

    def _put(self, level: int, hashes: Sequence[bytes]) -> None:
        while level >= len(self._rows):
            self._rows.append([])
            self._finished.append(0)
        row = self._rows[level]
        row.extend(hashes)
        if len(row) == TILE_WIDTH:
            self._write_tile(level, row)
            self._finished[level] += 1
            row.clear()

    def _write_bundle(self, leaves: Sequence[bytes]) -> None:
        path = entries_path(self._range.tree_size // TILE_WIDTH, len(leaves))
        _write(self._directory / path, encode_bundle(leaves))

    def _write_tile(self, level: int, row: Sequence[bytes]) -> None:
        tile = Tile(level, self._finished[level], len(row))
        _write(self._directory / tile.path(), b"".join(row))


def _write(path: Path, data: bytes) -> None:
    # Not synced one by one: `checkpoint` vouches for them, and an auditor finds whatever a power loss took.
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    temporary.replace(path)


def _unusable(path: Path, description: str) -> InvalidRequestError:
    return InvalidRequestError(
        [FieldViolation("directory", f"{path} {description}")], hint="name a new or empty directory"
    )
