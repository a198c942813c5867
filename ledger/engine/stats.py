"""How large logs are, how fast they grow by their own timestamps, and when disk or store will be full.

Reads beside a running server. The forecast is a straight line through the growth of the last week, or of the whole log
where that is younger; it knows nothing of tomorrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from ledger.engine.directory import DataDirectory
from ledger.engine.records import read_retirement
from ledger.engine.room import LOW_WATER_BYTES
from ledger.errors import CorruptionError, MalformedError
from ledger.events.leaf import decode_leaf
from ledger.storage.api import ReadTransaction
from ledger.storage.lmdb import LmdbStore, TableUsage

US_PER_DAY: Final = 86_400_000_000
_WINDOWS: Final = (1, 7, 30)
_FORECAST_DAYS: Final = 7
# A shorter life gives no rate worth a forecast.
_SHORTEST_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class LogStats:
    """One log in figures.

    Attributes:
        name: Name.
        retired: Why the log takes no events any more; empty where it takes them.
        entries: Entries.
        store_bytes: Bytes of the store's pages, free ones included.
        map_bytes: What the store may grow to.
        tables: Rows and bytes of each table, by name.
        reader_lag: How many commits ago the oldest open snapshot began.
        first_at: recorded_at of the first entry, microseconds UTC; 0 for none.
        last_at: recorded_at of the last entry, microseconds UTC; 0 for none.
        grown: Entries of the last 1, 7 and 30 days before the last look, by days.
        entries_per_day: Rate of the last week, or of the whole log where it is younger; 0 where that says nothing, and
            for a log that is retired.
    """

    name: str
    retired: str
    entries: int
    store_bytes: int
    map_bytes: int
    tables: Mapping[str, TableUsage]
    reader_lag: int
    first_at: int
    last_at: int
    grown: Mapping[int, int]
    entries_per_day: float

    @property
    def bytes_per_entry(self) -> float:
        """Return what an entry takes on the disk, all tables together; 0 for an empty log."""
        return sum(usage.size for usage in self.tables.values()) / self.entries if self.entries else 0.0

    @property
    def bytes_per_day(self) -> float:
        """Return how fast the store grows."""
        return self.entries_per_day * self.bytes_per_entry

    def days_until_store_full(self) -> float | None:
        """Return when the store reaches its limit at this rate; None where it does not grow."""
        return _days(self.map_bytes - self.store_bytes, self.bytes_per_day)


def read_stats(directory: DataDirectory, name: str, now_us: int) -> LogStats:
    """Return the figures of a log at a time (microseconds UTC).

    Raises:
        StorageError: It cannot be read.
    """
    with closing(directory.open_store(name, read_only=True)) as store:
        return _read(store, name, now_us)


def days_until_disk_full(logs: Sequence[LogStats], free_bytes: int) -> float | None:
    """Return when appends will stop for lack of disk, at the rate of all logs together; None where none grows."""
    return _days(free_bytes - LOW_WATER_BYTES, sum(log.bytes_per_day for log in logs))


def _read(store: LmdbStore, name: str, now_us: int) -> LogStats:
    tables, lag = store.table_usage(), store.oldest_reader_lag()
    with store.read() as snapshot:
        head = snapshot.head()
        size = 0 if head is None else head.tree_size
        first = _recorded_at(snapshot, 0) if size else 0
        grown = {days: size - _first_since(snapshot, size, now_us - days * US_PER_DAY) for days in _WINDOWS}
        last = _recorded_at(snapshot, size - 1) if size else 0
        retirement = read_retirement(snapshot.record, name)
    age = now_us - first
    if not size or age < _SHORTEST_US or retirement is not None:
        rate = 0.0
    elif age < _FORECAST_DAYS * US_PER_DAY:
        rate = size / age * US_PER_DAY
    else:
        rate = grown[_FORECAST_DAYS] / _FORECAST_DAYS
    return LogStats(
        name,
        "" if retirement is None else retirement.reason,
        size,
        store.used_bytes(),
        store.map_bytes(),
        tables,
        lag,
        first,
        last,
        grown,
        rate,
    )


def _first_since(snapshot: ReadTransaction, size: int, since_us: int) -> int:
    """Return the index of the first entry that is not older, or `size`; times never decrease."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if _recorded_at(snapshot, middle) < since_us:
            low = middle + 1
        else:
            high = middle
    return low


def _recorded_at(snapshot: ReadTransaction, leaf_index: int) -> int:
    try:
        return decode_leaf(snapshot.leaves(leaf_index, leaf_index + 1)[0]).recorded_at
    except (IndexError, MalformedError) as error:
        raise CorruptionError(f"the leaf of entry {leaf_index} cannot be read", hint="run `logproof fsck`") from error


def _days(room_bytes: int, bytes_per_day: float) -> float | None:
    return max(0.0, room_bytes / bytes_per_day) if bytes_per_day > 0 else None
