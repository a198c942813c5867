"""The index of a data directory at rest: made again by hand, shown, left out of backups, and of no concern to `fsck`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger.cli.main import main
from ledger.engine.directory import OWNER_LOCK, open_directory
from ledger.index.progress import read_progress
from ledger.index.segment import REBUILD, segment_path
from ledger.storage.owner import OwnerLock
from tests.support.live_server import live_server


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give the directory of a server that never indexed anything."""
    folder = tmp_path / "data"
    with live_server(folder):
        pass
    return folder


def _index(data: Path) -> Path:
    return data / "logs" / "default" / "index"


def _stats(data: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(["stats", "--data", str(data), "--log", "default", "--format", "ndjson"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_without_a_server_the_indexes_are_made_by_the_command(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _stats(data, capsys)["indexed"] == 0
    assert main(["reindex", "--data", str(data)]) == 0
    assert "default: " in capsys.readouterr().err
    stats = _stats(data, capsys)
    assert stats["indexed"] == stats["entries"] != 0
    assert isinstance(stats["index_bytes"], int)
    assert stats["index_bytes"] > 0


def test_beside_a_server_its_indexer_is_asked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = OwnerLock(data / OWNER_LOCK)
    try:
        assert main(["reindex", "--data", str(data), "--log", "default"]) == 0
    finally:
        lock.release()
    assert "the server makes the index" in capsys.readouterr().err
    assert (_index(data) / REBUILD).exists()
    assert main(["doctor", "--data", str(data), "--format", "ndjson"]) in {0, 1}
    checks = {row["check"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert checks["default: index"]["result"] == "warn"
    assert main(["reindex", "--data", str(data)]) == 0
    assert not read_progress(_index(data)).is_to_be_made_again


def test_a_log_that_there_is_not_is_refused(data: Path) -> None:
    assert main(["reindex", "--data", str(data), "--log", "none"]) == 2


def test_a_damaged_index_is_shown_as_none_and_nothing_is_changed_by_looking(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reindex", "--data", str(data)]) == 0
    segment_path(_index(data), 0).write_bytes(b"damaged" * 1_000)
    before = sorted(path.name for path in _index(data).iterdir())
    assert _stats(data, capsys)["indexed"] == 0
    assert sorted(path.name for path in _index(data).iterdir()) == before


def test_backups_and_restores_do_without_the_index_and_fsck_does_not_look_at_it(data: Path, tmp_path: Path) -> None:
    assert main(["reindex", "--data", str(data)]) == 0
    segment_path(_index(data), 0).write_bytes(b"damaged" * 1_000)
    assert main(["fsck", "--data", str(data)]) == 0
    backups = tmp_path / "backups"
    backups.mkdir(mode=0o700)
    assert main(["backup", "--data", str(data), "--to", str(backups)]) == 0
    (backup,) = backups.iterdir()
    assert [path for path in backup.rglob("*") if "index" in path.name or path.suffix == ".sqlite"] == []
    restored = tmp_path / "restored"
    # Without its guards no log signs, which the command tells; the stores are there all the same.
    assert main(["restore", str(backup), "--data", str(restored), "--without-keys"]) == 1
    directory = open_directory(restored)
    assert read_progress(directory.index_path("default")).size == 0
    assert main(["reindex", "--data", str(restored)]) == 0
    assert read_progress(directory.index_path("default")).size > 0
