"""Figures of a log come from its own entries, and the forecast from its own growth."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.clock import ManualClock
from ledger.engine.administration import SERVER
from ledger.engine.room import LOW_WATER_BYTES
from ledger.engine.stats import US_PER_DAY, days_until_disk_full, read_stats
from tests.support.engine_lab import make_entry
from tests.support.engine_server import MAP_SIZE, EngineServer

# How long before now, in days, so many entries were made.
HISTORY = ((40, 10), (20, 20), (3, 14), (0.5, 7))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000_000_000)


@pytest.fixture
def server(tmp_path: Path, clock: ManualClock) -> EngineServer:
    made = EngineServer(tmp_path / "data", clock=clock)
    # The first key's entries are as old as the oldest events.
    before, number = float(HISTORY[0][0]), 0
    for days, count in HISTORY:
        clock.advance(round((before - days) * US_PER_DAY))
        before = days
        for _ in range(count):
            made.append(make_entry(number))
            number += 1
    clock.advance(round(before * US_PER_DAY))
    made.close()
    return made


def test_growth_counts_entries_of_the_last_days(server: EngineServer, clock: ManualClock) -> None:
    stats = read_stats(server.directory, "default", clock.now_us())
    assert stats.entries == 53
    assert stats.grown == {1: 7, 7: 21, 30: 41}
    assert stats.entries_per_day == 3.0
    assert stats.last_at == clock.now_us() - US_PER_DAY // 2


def test_a_retired_log_is_told_as_such_and_grows_no_more(server: EngineServer, clock: ManualClock) -> None:
    server.open()
    server.administration.retire_log("default", SERVER, reason="moved")
    server.close()
    stats = read_stats(server.directory, "default", clock.now_us())
    assert (stats.retired, stats.entries_per_day) == ("moved", 0.0)


def test_bytes_of_an_entry_are_those_of_all_tables(server: EngineServer, clock: ManualClock) -> None:
    stats = read_stats(server.directory, "default", clock.now_us())
    assert stats.tables["leaves"].rows == stats.entries
    total = sum(usage.size for usage in stats.tables.values())
    assert stats.bytes_per_entry == total / 53
    assert total <= stats.store_bytes
    assert stats.map_bytes == MAP_SIZE


def test_forecast_is_the_room_that_is_left_divided_by_the_rate(server: EngineServer, clock: ManualClock) -> None:
    stats = read_stats(server.directory, "default", clock.now_us())
    free = LOW_WATER_BYTES + round(10 * stats.bytes_per_day)
    assert days_until_disk_full([stats], free) == pytest.approx(10, rel=1e-3)
    assert days_until_disk_full([stats, stats], free) == pytest.approx(5, rel=1e-3)
    assert days_until_disk_full([stats], 0) == 0
    assert stats.days_until_store_full() == pytest.approx((MAP_SIZE - stats.store_bytes) / stats.bytes_per_day)


def test_a_young_log_gives_the_rate_of_its_whole_life_and_a_new_one_none(tmp_path: Path) -> None:
    clock = ManualClock(1_800_000_000_000_000)
    server = EngineServer(tmp_path / "data", clock=clock)
    server.close()
    new = read_stats(server.directory, "default", clock.now_us())
    assert (new.entries_per_day, new.days_until_store_full(), days_until_disk_full([new], 0)) == (0.0, None, None)
    young = read_stats(server.directory, "default", clock.now_us() + US_PER_DAY // 2)
    assert young.entries_per_day == pytest.approx(2 * young.entries)
