"""`logproof stats`: how large the logs of a data directory are, how fast they grow, and when disk or store is full."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.output import Format, say, write_records
from ledger.events.timestamps import format_timestamp

if TYPE_CHECKING:
    from ledger.engine.stats import LogStats
    from ledger.index.progress import IndexProgress


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option("--log", "only", multiple=True, help="This log alone; may be repeated.")
@click.option(
    "--format", "output_format", type=click.Choice([f.value for f in Format]), default="table", help="How to print."
)
def command(data: Path, only: tuple[str, ...], output_format: str) -> None:
    """Show sizes and growth of logs, with a forecast when disk or store is full.

    Growth is that of the last week by the entries' own time. JSON has the bytes of each table, and the entries of the
    last 1, 7 and 30 days.

    Exit code 0; 74: a log cannot be read.
    """
    from ledger.clock import SystemClock
    from ledger.engine.directory import open_directory
    from ledger.engine.directory_check import stated_logs
    from ledger.engine.stats import days_until_disk_full, read_stats
    from ledger.index.progress import read_progress

    directory = open_directory(data.absolute())
    names = sorted(stated_logs(directory))
    for name in only:
        if name not in names:
            raise click.UsageError(f"there is no log {name!r}; there are {', '.join(names)}")
    now = SystemClock().now_us()
    logs = [read_stats(directory, name, now) for name in names]
    volume = os.statvfs(directory.path)
    disk_days = days_until_disk_full(logs, volume.f_bavail * volume.f_frsize)
    indexes = {log.name: read_progress(directory.index_path(log.name)) for log in logs}
    rows = [_row(log, indexes[log.name], disk_days) for log in logs if not only or log.name in only]
    write_records(
        rows,
        Format(output_format),
        (
            "log",
            "state",
            "entries",
            "indexed",
            "store_bytes",
            "bytes_per_entry",
            "entries_per_day",
            "bytes_per_day",
            "store_full_in_days",
        ),
    )
    when = "at this rate the disk does not fill up" if disk_days is None else f"in {disk_days:,.0f} days at this rate"
    say(f"{volume.f_bavail * volume.f_frsize} bytes are free on the volume; appends stop below 1 GiB: {when}")


def _row(log: LogStats, index: IndexProgress, disk_days: float | None) -> dict[str, object]:
    store_days = log.days_until_store_full()
    return {
        "log": log.name,
        "state": "retired" if log.retired else "active",
        "entries": log.entries,
        "indexed": index.size,
        "index_bytes": index.stored_bytes,
        "store_bytes": log.store_bytes,
        "store_limit_bytes": log.map_bytes,
        "bytes_per_entry": round(log.bytes_per_entry, 1),
        "tables": {name: {"rows": usage.rows, "bytes": usage.size} for name, usage in log.tables.items()},
        "first_recorded_at": format_timestamp(log.first_at) if log.first_at else None,
        "last_recorded_at": format_timestamp(log.last_at) if log.last_at else None,
        "entries_of_last_days": {str(days): entries for days, entries in log.grown.items()},
        "entries_per_day": round(log.entries_per_day, 1),
        "bytes_per_day": round(log.bytes_per_day),
        "store_full_in_days": None if store_days is None else round(store_days, 1),
        "disk_full_in_days": None if disk_days is None else round(disk_days, 1),
        "oldest_reader_lag": log.reader_lag,
    }
