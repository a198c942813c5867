"""The scrubber process: goes over every log, slowly, again and again, and tells the serving process what is wrong.

It ends when its standard input closes. Writes one JSON object a line to standard output: `{"log", "position",
"entries", "passed_at"}` before it reads a page, with how many entries were found good since the last line;
`{"log", "mismatch"}` where something is wrong; `{"log", "problem"}` where the log could not be read. It is polite: it
works for a twentieth of the time, on one log after another, at the lowest priority, and begins a pass of a log a day
after the last one ended.
"""

from __future__ import annotations

import json
import os
import select
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from ledger.clock import Clock, SystemClock
from ledger.engine.directory import SYSTEM_LOG, DataDirectory, open_directory
from ledger.engine.directory_check import stated_logs
from ledger.engine.records import FREEZE
from ledger.engine.scrub import Scrubber, ScrubState, read_state
from ledger.errors import CorruptionError, LedgerError

PASS_EVERY_US: Final = 86_400_000_000
"""From the end of one pass to the beginning of the next."""

_IDLE_SECONDS = 10.0
# For each second of work.
_REST = 19
_LOWEST_PRIORITY = 19
_TURN_PAGES = 200


def main() -> None:
    """Run until standard input ends; the arguments are the data directory, the map size, and the logs to leave out."""
    with suppress(OSError):  # a sandbox may forbid it
        os.nice(_LOWEST_PRIORITY)
    directory = open_directory(Path(sys.argv[1]), map_size=int(sys.argv[2]))
    clock = SystemClock()
    while True:
        is_busy = False
        for name in _names(directory):
            is_busy = _turn(directory, name, clock) or is_busy
        if not is_busy:
            _rest(_IDLE_SECONDS)


def _names(directory: DataDirectory) -> list[str]:
    _tell_place(SYSTEM_LOG, read_state(directory.scrub_path(SYSTEM_LOG)))
    try:
        return sorted(stated_logs(directory).keys() - set(sys.argv[3:]))
    except LedgerError:
        # Start-up and the publisher tell of it; a log at a time may still be read later.
        return []


def _turn(directory: DataDirectory, name: str, clock: Clock) -> bool:
    """Go on with one log for a while; return whether there is more to do."""
    path = directory.scrub_path(name)
    suspect = directory.suspect_path(name)
    state = read_state(path)
    is_asked = suspect.exists()
    # Before anything is read: should that end this process, the serving process knows where.
    _tell_place(name, state)
    if not (is_asked or state.started_at or clock.now_us() - state.passed_at >= PASS_EVERY_US):
        return False
    try:
        with closing(directory.open_store(name, read_only=True)) as store:
            with store.read() as snapshot:
                if snapshot.record(FREEZE) is not None:
                    return False
            scrubber = Scrubber(store, clock, path)
            if is_asked:
                # Somebody found damage there, and is not believed before it was seen here.
                text = suspect.read_text()
                suspect.unlink()
                scrubber.look_at(int(text) if text.strip().isdigit() else 0)
            try:
                return _scrub(scrubber, name, clock)
            finally:
                scrubber.keep()
    except CorruptionError as error:
        _tell({"log": name, "mismatch": error.message})
        return False
    except (LedgerError, OSError) as error:
        _tell({"log": name, "problem": str(error)})
        return False


def _scrub(scrubber: Scrubber, name: str, clock: Clock) -> bool:
    entries = 0
    for _ in range(_TURN_PAGES):
        if scrubber.state.finding:
            _tell({"log": name, "mismatch": scrubber.state.finding})
            return False
        _tell_place(name, scrubber.state, entries)
        began = clock.boottime_us()
        entries = scrubber.step()
        if not scrubber.state.started_at and not scrubber.state.finding:
            break
        _rest((clock.boottime_us() - began) / 1_000_000 * _REST)
    _tell_place(name, scrubber.state, entries)
    return bool(scrubber.state.started_at)


def _rest(seconds: float) -> None:
    """Do nothing for a while, and end with the serving process."""
    readable, _, _ = select.select([0], [], [], seconds)
    if readable:
        raise SystemExit(0)


def _tell_place(name: str, state: ScrubState, entries: int = 0) -> None:
    _tell({"log": name, "position": state.position, "entries": entries, "passed_at": state.passed_at})


def _tell(message: dict[str, str | int]) -> None:
    try:
        os.write(1, f"{json.dumps(message)}\n".encode())
    except BrokenPipeError:
        # The serving process is gone, and with it whoever would listen.
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
