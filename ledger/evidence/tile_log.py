"""Verifying a whole log from its tiles and entry bundles, whoever wrote it.

The rule that must not break: every leaf is hashed from its bundle, every tile is compared with the hashes that follow
from the leaves, and the tree's size comes from the verified checkpoint alone. Memory does not grow with the log: one
bundle and one unfinished tile per level are held.

Source: C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger.errors import IncompleteEvidenceError, InvalidProofError, MalformedError
from ledger.events.bundles import decode_bundle
from ledger.evidence.trusted import TrustedLog
from ledger.merkle import HASH_SIZE, TILE_WIDTH, CompactRange, Tile, entries_path, entry_bundles_at, hash_leaf
from ledger.notes import Checkpoint, OpenedCheckpoint, Verifier, open_checkpoint

Fetch = Callable[[str], bytes]
"""Returns the bytes of a resource by its path below the log's prefix; raises LookupError where there is none."""


def verify_tile_log(
    fetch: Fetch,
    verifier: Verifier,
    progress: Callable[[int], None] | None = None,
    *,
    origin: str | None = None,
    trusted: TrustedLog | None = None,
) -> OpenedCheckpoint:
    """Verify every entry, every tile and the head of a log; return the verified head.

    Where a partial tile or bundle is gone, the full one of the same place is used as far as the head covers it.

    Args:
        fetch: Reads a resource.
        verifier: The key of the log.
        progress: Told how many entries are verified, after each bundle.
        origin: Origin of the log, where it is not the name of the key.
        trusted: What is known of the log: its head must be a prefix of this log. Does not change.

    Raises:
        MalformedError: The checkpoint does not have its form.
        InvalidSignatureError: The log did not sign the checkpoint.
        WrongOriginError: The checkpoint is of another log.
        IncompleteEvidenceError: A resource is not there; `metadata` has its path.
        InvalidProofError: A bundle or tile does not have its form, or does not agree with the rest of the log; or the
            trusted head is no prefix of it, then with both notes.
        RollbackError: The log is smaller than the trusted head.
        ForkError: The log has the trusted size and another root.
    """
    opened = open_checkpoint(_read(fetch, "checkpoint")[0], verifier, origin)
    head = opened.checkpoint
    known = trusted.checkpoint if trusted is not None else None
    if trusted is not None and known is not None and known.tree_size >= head.tree_size:
        trusted.check(opened.note)
    walk = _Walk(fetch)
    for index, width in entry_bundles_at(head.tree_size):
        hashes = _leaf_hashes(fetch, index, width)
        begin = index * TILE_WIDTH
        if trusted is not None and known is not None and begin <= known.tree_size < begin + width:
            _check_root(walk.root(hashes[: known.tree_size - begin]), known, trusted.note or b"", opened.note)
        walk.add_leaves(hashes)
        if progress is not None:
            progress(begin + width)
    walk.finish()
    _check_root(walk.root(), head)
    return opened


class _Walk:
    """The right edge of the tree, as the hashes of the unfinished tile of each level."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._rows: list[list[bytes]] = [[]]
        self._finished: list[int] = [0]

    def add_leaves(self, hashes: Sequence[bytes]) -> None:
        """Take the leaf hashes of one bundle, and compare each tile that they complete."""
        self._rows[0] = list(hashes)
        level = 0
        while len(self._rows[level]) == TILE_WIDTH:
            row = self._rows[level]
            self._compare(level)
            self._rows[level] = []
            self._finished[level] += 1
            level += 1
            if level == len(self._rows):
                self._rows.append([])
                self._finished.append(0)
            self._rows[level].append(_subtrees(row)[0])

    def finish(self) -> None:
        """Compare the partial tiles at the right edge."""
        for level, row in enumerate(self._rows):
            if row:
                self._compare(level)

    def root(self, leaves: Sequence[bytes] | None = None) -> bytes:
        """Return the root over everything, with `leaves`, fewer than a tile's, as the unfinished level-0 tile."""
        rows = [self._rows[0] if leaves is None else leaves, *self._rows[1:]]
        subtrees = tuple(subtree for row in reversed(rows) for subtree in _subtrees(row))
        size = sum(len(row) * TILE_WIDTH**level for level, row in enumerate(rows))
        return CompactRange(size, subtrees).root()

    def _compare(self, level: int) -> None:
        row = self._rows[level]
        tile = Tile(level, self._finished[level], len(row))
        full = Tile(level, tile.index, TILE_WIDTH)
        data, path = _read(self._fetch, tile.path(), full.path())
        size = HASH_SIZE * (tile.width if path == tile.path() else TILE_WIDTH)
        if len(data) != size:
            raise InvalidProofError(f"{path} has {len(data)} bytes instead of {size}", metadata={"path": path})
        if data[: len(row) * HASH_SIZE] == b"".join(row):
            return
        position = next(n for n, value in enumerate(row) if data[n * HASH_SIZE : (n + 1) * HASH_SIZE] != value)
        below = "entry" if level == 0 else f"the tile of level {level - 1}, number"
        raise InvalidProofError(
            f"hash {position} of {path} does not follow from {below} {tile.index * TILE_WIDTH + position}",
            metadata={"path": path, "position": str(position)},
        )


def _leaf_hashes(fetch: Fetch, index: int, width: int) -> list[bytes]:
    data, path = _read(fetch, entries_path(index, width), entries_path(index, TILE_WIDTH))
    try:
        entries = decode_bundle(data, width if path == entries_path(index, width) else TILE_WIDTH)
    except MalformedError as error:
        raise InvalidProofError(f"{path}: {error.message}", metadata={"path": path}) from error
    return [hash_leaf(entry) for entry in entries[:width]]


def _subtrees(row: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the roots of the perfect subtrees over a row of adjacent ones, largest first."""
    return CompactRange.empty().extend(row)[0].hashes


def _check_root(computed: bytes, head: Checkpoint, first_note: bytes = b"", second_note: bytes = b"") -> None:
    if computed != head.root_hash:
        raise InvalidProofError(
            f"the entries give the root {computed.hex()} at tree size {head.tree_size}; "
            f"the signed one is {head.root_hash.hex()}",
            metadata={"treeSize": str(head.tree_size)},
            first_note=first_note,
            second_note=second_note,
        )


def _read(fetch: Fetch, *paths: str) -> tuple[bytes, str]:
    """Return the first of the resources that is there, and its path."""
    for path in paths:
        try:
            return fetch(path), path
        except LookupError:
            continue
    raise IncompleteEvidenceError(f"{paths[0]} is not there", metadata={"path": paths[0]})
