from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.client.tile_export import TileDirectory
from ledger.client.trust import Head
from ledger.errors import InvalidProofError, InvalidRequestError
from ledger.evidence import Level, verify_tile_log
from ledger.merkle import CompactRange, entries_path, entry_bundles_at, hash_leaf, tiles_at
from ledger.notes import Checkpoint, Ed25519Signer, sign_checkpoint

SIGNER = Ed25519Signer("log.example/tiles", bytes(32))


def _leaves(size: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(size)]


def _head(leaves: list[bytes]) -> Head:
    root = CompactRange.empty().extend([hash_leaf(leaf) for leaf in leaves])[0].root()
    checkpoint = Checkpoint(SIGNER.name, len(leaves), root)
    return Head(checkpoint, sign_checkpoint(checkpoint, SIGNER), Level.PINNED_KEY)


def _export(folder: Path, leaves: list[bytes], batch: int = 100) -> None:
    batches = [leaves[begin : begin + batch] for begin in range(0, len(leaves), batch)]
    TileDirectory(folder, SIGNER.verifier).write(batches, _head(leaves), lambda _done: None)


def _fetch(folder: Path) -> Callable[[str], bytes]:
    def fetch(path: str) -> bytes:
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            raise LookupError(path) from None

    return fetch


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 700, 65_536, 65_536 + 300])
def test_export_holds_exactly_the_files_of_its_size_and_verifies(tmp_path: Path, size: int) -> None:
    leaves = _leaves(size)
    _export(tmp_path, leaves, batch=999)

    assert verify_tile_log(_fetch(tmp_path), SIGNER.verifier).checkpoint == _head(leaves).checkpoint
    expected = {"checkpoint", *(tile.path() for tile in tiles_at(size))}
    expected |= {entries_path(index, width) for index, width in entry_bundles_at(size)}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == expected


def test_leaves_that_are_not_those_of_the_head_leave_no_checkpoint(tmp_path: Path) -> None:
    leaves = _leaves(300)
    head = _head(leaves)
    leaves[7] = b"another leaf"

    with pytest.raises(InvalidProofError, match="the signed one is"):
        TileDirectory(tmp_path, SIGNER.verifier).write([leaves], head, lambda _done: None)
    assert not (tmp_path / "checkpoint").exists()


def test_too_few_leaves_leave_no_checkpoint(tmp_path: Path) -> None:
    leaves = _leaves(300)

    with pytest.raises(InvalidProofError):
        TileDirectory(tmp_path, SIGNER.verifier).write([leaves[:-1]], _head(leaves), lambda _done: None)
    assert not (tmp_path / "checkpoint").exists()


def test_interrupted_export_is_gone_on_with(tmp_path: Path) -> None:
    leaves = _leaves(300)
    with pytest.raises(InvalidProofError):
        TileDirectory(tmp_path, SIGNER.verifier).write([leaves[:-1]], _head(leaves), lambda _done: None)

    _export(tmp_path, leaves)
    verify_tile_log(_fetch(tmp_path), SIGNER.verifier)


def test_export_is_brought_up_to_date_in_place(tmp_path: Path) -> None:
    _export(tmp_path, _leaves(300))
    _export(tmp_path, _leaves(600))

    target = TileDirectory(tmp_path, SIGNER.verifier)
    assert target.trusted.checkpoint is not None
    assert target.trusted.checkpoint.tree_size == 600
    assert verify_tile_log(_fetch(tmp_path), SIGNER.verifier).checkpoint.tree_size == 600


def test_directory_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(InvalidRequestError, match="holds no export of this log"):
        TileDirectory(tmp_path, SIGNER.verifier)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_export_of_another_log_is_refused(tmp_path: Path) -> None:
    _export(tmp_path, _leaves(3))

    with pytest.raises(InvalidRequestError, match="not of this log"):
        TileDirectory(tmp_path, Ed25519Signer("other.example/log", bytes(32)).verifier)


def test_progress_ends_at_the_tree_size(tmp_path: Path) -> None:
    leaves = _leaves(600)
    told: list[int] = []

    TileDirectory(tmp_path, SIGNER.verifier).write([leaves], _head(leaves), told.append)
    assert told == [256, 512, 600]
