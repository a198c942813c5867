from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.errors import (
    ForkError,
    IncompleteEvidenceError,
    InvalidProofError,
    InvalidSignatureError,
    LedgerError,
    RollbackError,
    VerificationError,
    WrongOriginError,
)
from ledger.events.bundles import encode_bundle
from ledger.evidence import TrustedLog, verify_tile_log
from ledger.merkle import CompactRange, Tile, entries_path, entry_bundles_at, hash_leaf, tiles_at
from ledger.notes import Checkpoint, Ed25519Signer, parse_verifier_key, sign_checkpoint
from tests.support.shared import shared_path

SIGNER = Ed25519Signer("log.example/tiles", bytes(range(32)))
VERIFIER = SIGNER.verifier


class TileLog:
    """A log of short entries as files in memory, written without the code under test."""

    def __init__(self, size: int) -> None:
        self.entries = [b"entry %d" % index for index in range(size)]
        self.leaf_hashes = [hash_leaf(entry) for entry in self.entries]
        self.files: dict[str, bytes] = {"checkpoint": self.note()}
        for index, width in entry_bundles_at(size):
            self.files[entries_path(index, width)] = encode_bundle(self.entries[index * 256 : index * 256 + width])
        for tile in tiles_at(size):
            self.files[tile.path()] = self.tile(tile)

    def root(self, begin: int = 0, end: int | None = None) -> bytes:
        return CompactRange.empty().extend(self.leaf_hashes[begin:end])[0].root()

    def tile(self, tile: Tile) -> bytes:
        span = 256**tile.level
        begin = tile.index * 256
        return b"".join(self.root(n * span, (n + 1) * span) for n in range(begin, begin + tile.width))

    def note(self, size: int | None = None) -> bytes:
        size = len(self.entries) if size is None else size
        return sign_checkpoint(Checkpoint(SIGNER.name, size, self.root(0, size)), SIGNER)

    def fetch(self, path: str) -> bytes:
        return self.files[path]


SMALL = TileLog(15)
LARGE = TileLog(256 * 256 + 700)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600])
def test_a_log_of_every_shape_verifies(size: int) -> None:
    log = TileLog(size)
    steps: list[int] = []
    opened = verify_tile_log(log.fetch, VERIFIER, steps.append)
    assert (opened.checkpoint.tree_size, opened.checkpoint.root_hash) == (size, log.root())
    assert steps == [*range(256, size, 256), size][: len(steps)]
    assert (steps[-1] if steps else 0) == size


def test_a_log_of_three_levels_verifies_and_every_file_of_it_is_read_once() -> None:
    seen: list[str] = []

    def fetch(path: str) -> bytes:
        seen.append(path)
        return LARGE.files[path]

    assert verify_tile_log(fetch, VERIFIER).checkpoint.tree_size == 66_236
    assert sorted(seen) == sorted(LARGE.files)


@pytest.mark.parametrize(
    "path",
    ["tile/2/000.p/1", "tile/1/000", "tile/1/001.p/2", "tile/0/258.p/188", "tile/0/100", "tile/entries/100"],
)
def test_one_byte_changed_anywhere_in_a_large_log_is_refused_by_the_path_of_its_tile(path: str) -> None:
    for position in (0, len(LARGE.files[path]) // 2, len(LARGE.files[path]) - 1):
        changed = bytearray(LARGE.files[path])
        changed[position] ^= 1
        files = {**LARGE.files, path: bytes(changed)}
        with pytest.raises(InvalidProofError) as caught:
            verify_tile_log(files.__getitem__, VERIFIER)
        # A bundle that can still be read is found out by the tile above it.
        assert caught.value.metadata["path"] in {path, path.replace("entries", "0")}


def test_every_one_byte_change_of_every_file_of_a_small_log_is_refused() -> None:
    for path, data in SMALL.files.items():
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1
            files = {**SMALL.files, path: bytes(changed)}
            with pytest.raises(LedgerError):
                verify_tile_log(files.__getitem__, VERIFIER)


def test_the_entry_or_tile_that_does_not_fit_is_named() -> None:
    for path, position, words in (
        ("tile/0/001.p/44", 32 * 3, r"hash 3 of tile/0/001\.p/44 does not follow from entry 259"),
        ("tile/1/000.p/1", 0, r"hash 0 of tile/1/000\.p/1 does not follow from the tile of level 0, number 0"),
    ):
        log = TileLog(300)
        log.files[path] = log.files[path][:position] + bytes(32) + log.files[path][position + 32 :]
        with pytest.raises(InvalidProofError, match=words):
            verify_tile_log(log.fetch, VERIFIER)


def test_every_file_cut_off_or_with_a_byte_more_is_refused() -> None:
    for path, data in SMALL.files.items():
        for changed in (b"", data[:-1], data + b"\0"):
            with pytest.raises(LedgerError):
                verify_tile_log({**SMALL.files, path: changed}.__getitem__, VERIFIER)


def test_every_file_that_is_missing_is_named() -> None:
    for path in SMALL.files:
        files = {name: data for name, data in SMALL.files.items() if name != path}
        with pytest.raises(IncompleteEvidenceError, match=path) as caught:
            verify_tile_log(files.__getitem__, VERIFIER)
        assert caught.value.metadata["path"] == path


def test_an_error_of_reading_is_not_taken_for_a_missing_file() -> None:
    def fetch(path: str) -> bytes:
        raise OSError(path)

    with pytest.raises(OSError, match="checkpoint"):
        verify_tile_log(fetch, VERIFIER)


def test_the_full_tile_and_bundle_stand_in_for_partial_ones_that_are_gone() -> None:
    grown = TileLog(600)
    files = {**grown.files, "checkpoint": grown.note(300), "tile/1/000.p/1": grown.tile(Tile(1, 0, 1))}
    assert verify_tile_log(files.__getitem__, VERIFIER).checkpoint.tree_size == 300
    assert "tile/0/001.p/44" not in files
    for path in ("tile/0/001", "tile/entries/001"):
        for changed in (files[path][:-1], files[path] + b"\0", b"\1" + files[path][1:]):
            with pytest.raises(InvalidProofError, match=path.replace("entries", "(0|entries)")):
                verify_tile_log({**files, path: changed}.__getitem__, VERIFIER)


def test_a_head_that_the_leaves_do_not_give_is_refused() -> None:
    head = sign_checkpoint(Checkpoint(SIGNER.name, 15, bytes(32)), SIGNER)
    with pytest.raises(InvalidProofError, match="tree size 15"):
        verify_tile_log({**SMALL.files, "checkpoint": head}.__getitem__, VERIFIER)
    empty = sign_checkpoint(Checkpoint(SIGNER.name, 0, bytes(32)), SIGNER)
    with pytest.raises(InvalidProofError, match="tree size 0"):
        verify_tile_log({"checkpoint": empty}.__getitem__, VERIFIER)


def test_a_log_under_another_key_or_origin_is_refused() -> None:
    with pytest.raises(InvalidSignatureError):
        verify_tile_log(SMALL.fetch, Ed25519Signer(SIGNER.name, bytes(32)).verifier)
    with pytest.raises(WrongOriginError):
        verify_tile_log(SMALL.fetch, VERIFIER, origin="else.example")


@pytest.mark.parametrize("trusted_size", [0, 1, 255, 256, 257, 511, 512, 513, 599, 600])
def test_a_log_that_continues_the_trusted_head_verifies_and_leaves_it_as_it_was(trusted_size: int) -> None:
    log = TileLog(600)
    trusted = TrustedLog(VERIFIER, log.note(trusted_size))
    verify_tile_log(log.fetch, VERIFIER, trusted=trusted)
    assert trusted.note == log.note(trusted_size)
    verify_tile_log(log.fetch, VERIFIER, trusted=TrustedLog(VERIFIER))


def test_a_log_whose_tail_was_cut_fails_against_a_remembered_head() -> None:
    log = TileLog(300)
    cut = TileLog(299)
    verify_tile_log(cut.fetch, VERIFIER)
    with pytest.raises(RollbackError):
        verify_tile_log(cut.fetch, VERIFIER, trusted=TrustedLog(VERIFIER, log.note()))


def test_a_log_of_another_history_fails_against_a_remembered_head() -> None:
    other = TileLog(0)
    other.entries = [b"other"] * 15
    other.leaf_hashes = [hash_leaf(entry) for entry in other.entries]
    for size, error in ((15, ForkError), (14, InvalidProofError), (1, InvalidProofError)):
        with pytest.raises(error) as caught:
            verify_tile_log(SMALL.fetch, VERIFIER, trusted=TrustedLog(VERIFIER, other.note(size)))
        assert isinstance(caught.value, VerificationError)
        assert (caught.value.first_note, caught.value.second_note) == (other.note(size), SMALL.note())


@pytest.mark.parametrize("size", [255, 256, 257, 512, 599])
def test_one_other_entry_below_the_remembered_head_fails_against_it(size: int) -> None:
    log = TileLog(600)
    other = TileLog(size)
    other.leaf_hashes[-1] = bytes(32)
    with pytest.raises(InvalidProofError, match=f"tree size {size};"):
        verify_tile_log(log.fetch, VERIFIER, trusted=TrustedLog(VERIFIER, other.note()))


def test_memory_does_not_grow_with_the_log() -> None:
    def peak(log: TileLog) -> int:
        tracemalloc.start()
        try:
            verify_tile_log(log.fetch, VERIFIER)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(TileLog(256 * 8)) < 200_000
    assert peak(TileLog(256 * 32)) < 200_000


def _folder(root: Path, checkpoint: str, changed: dict[str, bytes]) -> Callable[[str], bytes]:
    def fetch(path: str) -> bytes:
        name = checkpoint if path == "checkpoint" else path
        if name in changed:
            return changed[name]
        try:
            return (root / name).read_bytes()
        except FileNotFoundError:
            raise LookupError(name) from None

    return fetch


@pytest.mark.parametrize("size", [*range(16), "newest"])
def test_the_tessera_log_verifies_at_every_size_and_every_one_byte_change_is_refused(size: int | str) -> None:
    folder = shared_path("vectors/tessera-testlog")
    verifier = parse_verifier_key((folder / "vkey").read_text().strip())
    root = folder / "log"
    checkpoint = "checkpoint" if size == "newest" else f"checkpoint.{size}"
    opened = verify_tile_log(_folder(root, checkpoint, {}), verifier)
    width = opened.checkpoint.tree_size
    assert width == (15 if size == "newest" else size)
    names = [checkpoint]
    if width:
        names += [f"tile/0/000.p/{width}", f"tile/entries/000.p/{width}"]
    for name in names:
        data = (root / name).read_bytes()
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1
            with pytest.raises(LedgerError):
                verify_tile_log(_folder(root, checkpoint, {name: bytes(changed)}), verifier)
