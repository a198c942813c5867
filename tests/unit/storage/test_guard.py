"""The high-water guard: what it keeps through crashes, and what it refuses."""

from __future__ import annotations

import os
import re
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.errors import CorruptionError, OutcomeUnknownError, StorageError, StorageFormatError
from ledger.storage.guard import SLOT_SIZE, HighWaterGuard
from tests.support.children import needs_strace, run_python
from tests.support.entries import GENESIS

ORIGIN = "logs.example.com/test"


def root(size: int) -> bytes:
    return GENESIS.root_hash if size == 0 else size.to_bytes(32, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard"


@pytest.fixture
def guard(path: Path) -> Iterator[HighWaterGuard]:
    created = HighWaterGuard.create(path, ORIGIN, GENESIS)
    yield created
    created.close()


def value_on_disk(path: Path) -> tuple[int, bytes]:
    opened = HighWaterGuard.open(path, ORIGIN)
    try:
        return opened.value
    finally:
        opened.close()


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make the kernel refuse writes beyond this size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# What it keeps


def test_new_guard_holds_the_head_it_was_made_with(guard: HighWaterGuard, path: Path) -> None:
    assert guard.value == value_on_disk(path) == (0, GENESIS.root_hash)
    assert path.stat().st_size == 2 * SLOT_SIZE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_advance_is_on_the_disk_when_it_returns(guard: HighWaterGuard, path: Path) -> None:
    for size in (1, 2, 3, 1000, 2**63 - 1):
        guard.advance(size, root(size))
        assert guard.value == value_on_disk(path) == (size, root(size))


def test_advance_writes_one_slot_in_turn_and_syncs_it(path: Path, tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from ledger.storage.guard import HighWaterGuard
from tests.support.entries import GENESIS
guard = HighWaterGuard.create(Path(sys.argv[1]), "o", GENESIS)
for size in (1, 2, 2, 3):
    guard.advance(size, bytes([size]) * 32)
guard.close()
"""
    trace = tmp_path / "trace"
    strace = [needs_strace(), "-f", "-qq", "-o", str(trace), "-P", str(path)]
    run_python(program, path, prefix=[*strace, "-e", "trace=pwrite64,fdatasync"])
    calls = re.findall(r"fdatasync|pwrite64\(.* (\d+), (\d+)\)", trace.read_text())
    sync = ("", "")
    first, second = (str(SLOT_SIZE), "0"), (str(SLOT_SIZE), str(SLOT_SIZE))
    assert calls[1:] == [first, sync, second, sync, first, sync]


def test_same_head_again_is_not_written(guard: HighWaterGuard, path: Path) -> None:
    guard.advance(5, root(5))
    before = path.read_bytes()
    guard.advance(5, root(5))
    assert path.read_bytes() == before


# What a crash leaves


@pytest.mark.parametrize("written", [0, 1, 16, 48, 100, SLOT_SIZE - 1])
def test_slot_that_was_cut_off_leaves_the_value_before_it(guard: HighWaterGuard, path: Path, written: int) -> None:
    guard.advance(7, root(7))
    before = path.read_bytes()
    guard.advance(8, root(8))
    after = path.read_bytes()
    guard.close()
    changed = next(offset for offset in (0, SLOT_SIZE) if before[offset:][:SLOT_SIZE] != after[offset:][:SLOT_SIZE])
    path.write_bytes(before)
    overwrite(path, changed, after[changed : changed + written])
    assert value_on_disk(path) == (7, root(7))
    resumed = HighWaterGuard.open(path, ORIGIN)
    resumed.advance(9, root(9))
    resumed.close()
    assert value_on_disk(path) == (9, root(9))
    # The spoilt slot was the one written over, so that the other still holds the value before.
    overwrite(path, changed, b"\xff")
    assert value_on_disk(path) == (7, root(7))


@pytest.mark.parametrize("advances", [0, 1, 2, 5])
@pytest.mark.parametrize("spoilt", [0, 1])
def test_one_bad_slot_is_survived_at_the_price_of_one_step(path: Path, advances: int, spoilt: int) -> None:
    guard = HighWaterGuard.create(path, ORIGIN, GENESIS)
    for size in range(1, advances + 1):
        guard.advance(size, root(size))
    guard.close()
    overwrite(path, spoilt * SLOT_SIZE + 20, b"\xff")
    size, found = value_on_disk(path)
    assert size in {advances, max(advances - 1, 0)}
    assert found == root(size)


def test_failed_write_has_an_unknown_outcome_and_can_be_repeated(path: Path) -> None:
    guard = HighWaterGuard.create(path, ORIGIN, GENESIS)
    # Sequences 0 and 1 were written at creation, so the next two go to the first slot, then to the second.
    guard.advance(1, root(1))
    with largest_file(SLOT_SIZE):
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError, match="File too large"):
                guard.advance(2, root(2))
        assert value_on_disk(path) == (1, root(1))
    guard.advance(2, root(2))
    assert value_on_disk(path) == (2, root(2))
    guard.close()


# What it refuses


@pytest.mark.parametrize(("size", "new_root"), [(9, root(9)), (0, GENESIS.root_hash), (10, root(11))])
def test_guard_does_not_go_back_nor_sideways(guard: HighWaterGuard, path: Path, size: int, new_root: bytes) -> None:
    guard.advance(10, root(10))
    with pytest.raises(CorruptionError, match="does not follow on the guard's: tree size 10"):
        guard.advance(size, new_root)
    assert guard.value == value_on_disk(path) == (10, root(10))


def test_guard_is_not_created_over_another(guard: HighWaterGuard, path: Path) -> None:
    guard.advance(3, root(3))
    with pytest.raises(StorageError, match="File exists"):
        HighWaterGuard.create(path, ORIGIN, GENESIS)
    assert value_on_disk(path) == (3, root(3))


def test_guard_that_cannot_be_written_is_not_left_half_made(path: Path) -> None:
    with largest_file(100), pytest.raises(StorageError, match="File too large"):
        HighWaterGuard.create(path, ORIGIN, GENESIS)
    HighWaterGuard.create(path, ORIGIN, GENESIS).close()


def test_guard_with_both_slots_bad_is_corrupt(guard: HighWaterGuard, path: Path) -> None:
    guard.advance(3, root(3))
    overwrite(path, 20, b"\xff")
    overwrite(path, SLOT_SIZE + 20, b"\xff")
    with pytest.raises(CorruptionError, match="both slots"):
        HighWaterGuard.open(path, ORIGIN)


@pytest.mark.parametrize("size", [0, 100, SLOT_SIZE - 1])
def test_guard_that_was_cut_is_corrupt(guard: HighWaterGuard, path: Path, size: int) -> None:
    guard.close()
    os.truncate(path, size)
    with pytest.raises(CorruptionError, match="both slots"):
        HighWaterGuard.open(path, ORIGIN)


def test_guard_of_another_log_is_refused(guard: HighWaterGuard, path: Path) -> None:
    guard.advance(3, root(3))
    with pytest.raises(StorageFormatError, match=r"not that of logs\.example\.com/other"):
        HighWaterGuard.open(path, "logs.example.com/other")


def test_guard_of_another_version_is_refused(
    guard: HighWaterGuard, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.storage.guard._MAGIC", b"LPGUARD2")
    guard.advance(3, root(3))
    monkeypatch.undo()
    with pytest.raises(StorageFormatError, match="of another version"):
        HighWaterGuard.open(path, ORIGIN)


def test_missing_guard_is_not_made_by_opening_it(path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        HighWaterGuard.open(path, ORIGIN)
    assert not path.exists()


def test_guard_that_cannot_be_read_says_so(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        HighWaterGuard.open(path, ORIGIN)


def test_root_of_the_wrong_length_is_wrong_use(guard: HighWaterGuard) -> None:
    with pytest.raises(ValueError):
        guard.advance(1, b"r" * 31)


# Relaxed


def test_relaxed_guard_writes_once_a_second_and_on_flush(guard: HighWaterGuard, path: Path) -> None:
    second = 1_000_000
    guard.advance(1, root(1), sync=False, now_us=5 * second)
    assert value_on_disk(path) == (1, root(1))
    guard.advance(2, root(2), sync=False, now_us=6 * second - 1)
    assert (guard.value, value_on_disk(path)) == ((2, root(2)), (1, root(1)))
    guard.advance(3, root(3), sync=False, now_us=6 * second)
    assert value_on_disk(path) == (3, root(3))
    guard.advance(4, root(4), sync=False, now_us=6 * second)
    guard.flush()
    assert value_on_disk(path) == (4, root(4))


def test_relaxed_guard_does_not_go_back_behind_what_it_has_not_written(guard: HighWaterGuard) -> None:
    guard.advance(1, root(1), sync=False, now_us=0)
    guard.advance(5, root(5), sync=False, now_us=1)
    with pytest.raises(CorruptionError):
        guard.advance(4, root(4), sync=False, now_us=2)


def test_closing_writes_what_the_relaxed_guard_still_holds(guard: HighWaterGuard, path: Path) -> None:
    guard.advance(1, root(1), sync=False, now_us=0)
    guard.advance(2, root(2), sync=False, now_us=1)
    guard.close()
    assert value_on_disk(path) == (2, root(2))
    guard.close()


def test_relaxed_guard_needs_the_time(guard: HighWaterGuard) -> None:
    with pytest.raises(ValueError):
        guard.advance(1, root(1), sync=False)
