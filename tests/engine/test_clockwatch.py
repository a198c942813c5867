"""When the wall clock may time-stamp entries."""

from __future__ import annotations

import pytest

from ledger.clock import ManualClock
from ledger.engine.clockwatch import ClockWatch
from ledger.errors import ClockError

SECOND = 1_000_000
YEAR = 365 * 86_400 * SECOND


def test_the_recorded_time_never_decreases() -> None:
    clock = ManualClock()
    watch = ClockWatch(clock)
    clock.step_wall(-30 * SECOND)
    later = clock.now_us() + 30 * SECOND
    assert watch.recorded_at(later) == later


def test_time_that_passes_evenly_is_trusted() -> None:
    clock = ManualClock()
    watch = ClockWatch(clock)
    clock.advance(YEAR)
    assert watch.recorded_at(0) == clock.now_us()


@pytest.mark.parametrize("step", [YEAR, -YEAR, 61 * SECOND, -61 * SECOND])
def test_a_jump_stops_appends_until_the_clocks_agree_for_a_minute(step: int) -> None:
    clock = ManualClock()
    watch = ClockWatch(clock)
    clock.step_wall(step)
    with pytest.raises(ClockError):
        watch.recorded_at(0)
    clock.advance(59 * SECOND)
    with pytest.raises(ClockError):
        watch.recorded_at(0)
    clock.advance(SECOND)
    assert watch.recorded_at(0) == clock.now_us()


def test_a_second_jump_begins_the_minute_again() -> None:
    clock = ManualClock()
    watch = ClockWatch(clock)
    for _ in range(2):
        clock.step_wall(YEAR)
        with pytest.raises(ClockError):
            watch.recorded_at(0)
        clock.advance(59 * SECOND)
    with pytest.raises(ClockError):
        watch.recorded_at(0)


def test_a_clock_behind_the_last_entry_stops_appends_for_as_long_as_it_is() -> None:
    clock = ManualClock()
    watch = ClockWatch(clock)
    last = clock.now_us() + YEAR
    for _ in range(3):
        with pytest.raises(ClockError, match="behind the log's last entry"):
            watch.recorded_at(last)
        clock.advance(61 * SECOND)


def test_a_synchronised_clock_is_trusted_after_a_jump() -> None:
    clock = ManualClock(synchronised=True)
    watch = ClockWatch(clock)
    clock.step_wall(YEAR)
    assert watch.recorded_at(0) == clock.now_us()


def test_an_administrator_confirms_a_jump_and_a_clock_that_is_behind() -> None:
    clock = ManualClock()
    watch = ClockWatch(clock)
    last = clock.now_us()
    clock.step_wall(-YEAR)
    with pytest.raises(ClockError):
        watch.recorded_at(last)
    watch.confirm()
    assert watch.recorded_at(last) == last
    clock.advance(SECOND)
    assert watch.recorded_at(last) == last
