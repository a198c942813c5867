"""Appends stop while there is still room to recover."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.clock import ManualClock
from ledger.engine.room import BALLAST_BYTES, Room
from ledger.errors import StorageFullError

ENDLESS = 1 << 62


def test_appends_are_taken_above_the_low_water_mark_and_refused_below(tmp_path: Path) -> None:
    Room(tmp_path, ManualClock(), low_water_bytes=1).check()
    with pytest.raises(StorageFullError, match="appends stop below") as refused:
        Room(tmp_path, ManualClock(), low_water_bytes=ENDLESS).check()
    assert refused.value.metadata["lowWaterBytes"] == str(ENDLESS)


def test_the_volume_is_looked_at_again_after_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    folder = tmp_path / "data"
    folder.mkdir()
    room = Room(folder, clock, low_water_bytes=1)
    room.check()
    folder.rmdir()
    room.check()
    clock.advance(1_000_000)
    with pytest.raises(FileNotFoundError):
        room.check()


def test_the_ballast_is_made_once_and_takes_real_space(tmp_path: Path) -> None:
    room = Room(tmp_path, ManualClock(), low_water_bytes=1)
    assert room.hold_ballast()
    ballast = tmp_path / "ballast"
    assert ballast.stat().st_blocks * 512 >= BALLAST_BYTES
    made = ballast.stat().st_mtime_ns
    assert room.hold_ballast()
    assert ballast.stat().st_mtime_ns == made


def test_no_ballast_is_made_where_there_is_no_room(tmp_path: Path) -> None:
    assert not Room(tmp_path, ManualClock(), low_water_bytes=ENDLESS).hold_ballast()
    assert not (tmp_path / "ballast").exists()
