"""The indexer process: fills the index of each log, and tells the serving process how far it is.

Reads names of logs that grew from standard input, one to a line, and ends when that pipe closes. Writes one JSON object
a line to standard output: `{"log", "indexed_size"}` when it has come further, `{"log", "problem"}` where it cannot go on.
It works at the lowest priority: appends come first.
"""

from __future__ import annotations

import json
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from ledger.clock import SystemClock
from ledger.engine.directory import DataDirectory, open_directory
from ledger.engine.registry import MAX_OPEN_LOGS
from ledger.errors import LedgerError
from ledger.index.follower import Indexer

_PRIORITY: Final = 19
_READ_BYTES: Final = 65_536
# How often a log is looked at that was not named: its index may have been taken away, or be asked to be made again.
_LOOK_SECONDS: Final = 5.0
# A log that has much to be indexed lets the others have their turn.
_TURN_BATCHES: Final = 20
_US_PER_SECOND: Final = 1_000_000


def main() -> None:
    """Run until standard input ends; the arguments are the data directory and the map size in bytes."""
    with suppress(OSError):  # a sandbox may forbid it
        os.nice(_PRIORITY)
    followers = _Followers(open_directory(Path(sys.argv[1]), map_size=int(sys.argv[2])))
    clock = SystemClock()
    waiting: dict[str, None] = {}
    known: dict[str, None] = {}
    failed: set[str] = set()
    looked_at = clock.boottime_us()
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0 if waiting else _LOOK_SECONDS)
        if readable:
            data = os.read(0, _READ_BYTES)
            if not data:
                followers.close()
                return
            *lines, rest = (rest + data).split(b"\n")
            named = dict.fromkeys(line.decode() for line in lines)
            known |= named
            # What failed is tried again at the next look, however fast it grows.
            waiting |= dict.fromkeys(name for name in named if name not in failed)
        if clock.boottime_us() - looked_at >= _LOOK_SECONDS * _US_PER_SECOND:
            looked_at = clock.boottime_us()
            failed.clear()
            waiting |= known
        if waiting:
            name = next(iter(waiting))
            del waiting[name]
            try:
                if followers.advance(name):
                    waiting[name] = None
            except (LedgerError, OSError) as error:
                failed.add(name)
                _tell({"log": name, "problem": str(error)})


class _Followers:
    """The indexers of the logs that were used last."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._open: dict[str, Indexer] = {}
        self._told: dict[str, int] = {}

    def advance(self, name: str) -> bool:
        """Index some more of a log; return whether there may be more.

        Raises:
            LedgerError: The log cannot be read, or its index not written.
            OSError: The index cannot be written.
        """
        indexer = self._open.pop(name, None) or self._opened(name)
        try:
            before, is_done = -1, False
            for _ in range(_TURN_BATCHES):
                size = indexer.step()
                if size != self._told.get(name):
                    self._told[name] = size
                    _tell({"log": name, "indexed_size": size})
                is_done = size == before
                if is_done:
                    break
                before = size
        except BaseException:
            indexer.close()
            self._told.pop(name, None)
            raise
        # At the end of the order in which they were used.
        self._open[name] = indexer
        return not is_done

    def _opened(self, name: str) -> Indexer:
        while len(self._open) >= MAX_OPEN_LOGS:
            self._open.pop(next(iter(self._open))).close()
        store = self._directory.open_store(name, read_only=True)
        try:
            return Indexer(store, self._directory.index_path(name))
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        for indexer in self._open.values():
            indexer.close()


def _tell(message: dict[str, str | int]) -> None:
    try:
        os.write(1, f"{json.dumps(message)}\n".encode())
    except BrokenPipeError:
        # The serving process is gone, and with it whoever would listen.
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
