"""The follower: whatever happens to it or to its files, the index ends up as that of the log."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.catalogue import category_of, controls_of
from ledger.engine.sequencer import Sequencer
from ledger.errors import IndexBehindError, StorageError
from ledger.index.follower import Indexer
from ledger.index.search import Index
from ledger.index.segment import REBUILD, WINDOW_SIZE, Row, SegmentWriter, segment_path
from ledger.merkle.proofs import tree_root
from ledger.query.nodes import EVERYTHING
from ledger.query.parser import parse_filter
from ledger.storage.api import Store
from tests.support.engine_lab import Lab, append_request, make_entry

_SEGMENT = WINDOW_SIZE
_SIZE = 2 * WINDOW_SIZE + 102


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Give a log of two full windows and a part of a third."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    _grow(made, _SIZE)
    return made


def _grow(lab: Lab, size: int) -> None:
    """Append up to a size, without the lab's checks of the whole log."""
    sequencer: Sequencer = lab.sequencer
    while lab.size < size:
        first = lab.size
        count = min(1_000, size - first)
        sequencer.step([append_request(*(make_entry(first + number) for number in range(count)))])


class _Open:
    """A store that others go on to use."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def close(self) -> None:
        """Leave it open."""


def _indexer(lab: Lab, folder: Path) -> Indexer:
    return Indexer(_Open(lab.store), folder, segment_size=_SEGMENT)  # type: ignore[arg-type]


def _index(folder: Path) -> Index:
    return Index(folder, category_of, controls_of, segment_size=_SEGMENT)


def _catch_up(indexer: Indexer) -> int:
    before = -1
    while (size := indexer.step()) != before:
        before = size
    return size


def _check(lab: Lab, folder: Path) -> None:
    """Check that the index has every entry of the log, and stands for its head."""
    index = _index(folder)
    state = index.head()
    assert state.watermark == lab.size
    with lab.store.read() as snapshot:
        assert state.root_hash == tree_root(lab.size, snapshot.hashes)
    found = [place for window in index.find(EVERYTHING, 0, lab.size, descending=False) for place in window.leaf_indexes]
    assert found == list(range(lab.size))
    last = lab.size - 1
    (window,) = index.find(parse_filter(f'target_id = "user_{last}"'), 0, lab.size, descending=True)
    assert (window.leaf_indexes, window.is_exact) == ([last], True)


def test_the_index_has_several_files_and_every_entry(lab: Lab, tmp_path: Path) -> None:
    with closing(_indexer(lab, tmp_path)) as indexer:
        assert _catch_up(indexer) == _SIZE
    assert sorted(path.name for path in tmp_path.glob("*.sqlite")) == [f"{number:06}.sqlite" for number in range(3)]
    _check(lab, tmp_path)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_a_follower_that_ends_after_any_batch_is_followed_by_one_that_goes_on(
    lab: Lab, tmp_path: Path, steps: int
) -> None:
    first = _indexer(lab, tmp_path)
    for _ in range(steps):
        first.step()
    first.close()
    with closing(_indexer(lab, tmp_path)) as second:
        _catch_up(second)
    _check(lab, tmp_path)


def test_a_batch_that_was_not_committed_is_as_if_never_begun(lab: Lab, tmp_path: Path) -> None:
    class _EndedError(Exception):
        pass

    def ends() -> Iterator[tuple[int, str]]:
        yield (1, "a.b\x001")
        raise _EndedError

    with closing(_indexer(lab, tmp_path)) as indexer:
        indexer.step()
    writer = SegmentWriter(segment_path(tmp_path, 1), 1, lab.store.meta.origin, size=_SEGMENT)
    with closing(writer), pytest.raises(_EndedError):
        writer.write([Row((_SEGMENT, 1, 1), ends())], _SEGMENT + 1, bytes(32))
    with closing(_indexer(lab, tmp_path)) as indexer:
        _catch_up(indexer)
    _check(lab, tmp_path)


def test_files_of_another_log_are_made_again(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path)
    _grow(other, 50)
    folder = tmp_path / "index"
    with closing(_indexer(other, folder)) as indexer:
        _catch_up(indexer)
    with closing(_indexer(lab, folder)) as indexer:
        _catch_up(indexer)
    _check(lab, folder)


def test_a_log_that_was_set_back_has_its_index_made_again(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path)
    _grow(other, 50)
    folder = tmp_path / "index"
    with closing(_indexer(lab, folder)) as indexer:
        _catch_up(indexer)
    with closing(_indexer(other, folder)) as indexer:
        _catch_up(indexer)
    _check(other, folder)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_file_that_goes_away_is_made_again_under_an_open_follower(lab: Lab, tmp_path: Path, number: int) -> None:
    with closing(_indexer(lab, tmp_path)) as indexer:
        _catch_up(indexer)
        for path in tmp_path.glob(f"{number:06}.sqlite*"):
            path.unlink()
        _catch_up(indexer)
        _check(lab, tmp_path)


@pytest.mark.parametrize("number", [0, 2])
def test_a_damaged_file_is_noticed_by_a_query_and_made_again(lab: Lab, tmp_path: Path, number: int) -> None:
    with closing(_indexer(lab, tmp_path)) as indexer:
        _catch_up(indexer)
    path = segment_path(tmp_path, number)
    data = path.read_bytes()
    # The pages after the first, which says that it is a database at all.
    path.write_bytes(data[:4096] + bytes(byte ^ 0xFF for byte in data[4096:]))
    with pytest.raises(IndexBehindError):
        list(_index(tmp_path).find(EVERYTHING, 0, _SIZE, descending=False))
    assert (tmp_path / REBUILD).exists()
    with closing(_indexer(lab, tmp_path)) as indexer:
        _catch_up(indexer)
    assert not (tmp_path / REBUILD).exists()
    _check(lab, tmp_path)


def test_what_is_no_database_is_made_again_by_the_follower_itself(lab: Lab, tmp_path: Path) -> None:
    segment_path(tmp_path, 0).write_bytes(b"no database at all" * 1_000)
    with closing(_indexer(lab, tmp_path)) as indexer:
        _catch_up(indexer)
    _check(lab, tmp_path)


def test_an_index_is_made_again_when_it_is_asked_for(lab: Lab, tmp_path: Path) -> None:
    with closing(_indexer(lab, tmp_path)) as indexer:
        _catch_up(indexer)
        inode = segment_path(tmp_path, 0).stat().st_ino
        (tmp_path / REBUILD).touch()
        _catch_up(indexer)
        assert not (tmp_path / REBUILD).exists()
        assert segment_path(tmp_path, 0).stat().st_ino != inode or indexer.step() == _SIZE
    _check(lab, tmp_path)


def test_a_file_that_is_just_made_again_answers_nothing_that_it_does_not_have_yet(lab: Lab, tmp_path: Path) -> None:
    with closing(_indexer(lab, tmp_path)) as indexer:
        _catch_up(indexer)
        (tmp_path / REBUILD).touch()
        indexer.step()
        with pytest.raises(IndexBehindError):
            list(_index(tmp_path).find(EVERYTHING, 0, _SIZE, descending=True))


def test_an_index_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(IndexBehindError):
        _index(tmp_path / "none").head()


def test_a_write_that_fails_is_tried_again_and_loses_nothing(lab: Lab, tmp_path: Path) -> None:
    with closing(_indexer(lab, tmp_path)) as indexer:
        assert indexer.step() == WINDOW_SIZE
        inode = segment_path(tmp_path, 0).stat().st_ino
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
        try:
            for _ in range(3):
                with pytest.raises(StorageError):
                    indexer.step()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        _catch_up(indexer)
        # What was there is still what it was.
        assert segment_path(tmp_path, 0).stat().st_ino == inode
        _check(lab, tmp_path)


def test_a_full_disk_is_waited_for(lab: Lab, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a filesystem")
    try:
        with closing(_indexer(lab, disk / "index")) as indexer:
            with pytest.raises(StorageError, match="full"):
                _catch_up(indexer)
            larger = ["mount", "-o", "remount,size=64m", str(disk)]
            subprocess.run(larger, check=True)
            _catch_up(indexer)
            _check(lab, disk / "index")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
