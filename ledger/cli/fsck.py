"""`logproof fsck`: recompute every log of a data directory from its leaves and sections."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.output import Format, say, write_records
from ledger.cli.progress import progress_bar

if TYPE_CHECKING:
    from ledger.engine.directory import DataDirectory


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option("--guard-dir", type=click.Path(path_type=Path), help="Where the high-water guards are, if not inside it.")
@click.option("--log", "only", multiple=True, help="Check this log alone; may be repeated.")
@click.option(
    "--format", "output_format", type=click.Choice([f.value for f in Format]), default="table", help="How to print."
)
def command(data: Path, guard_dir: Path | None, only: tuple[str, ...], output_format: str) -> None:
    """Check a data directory, whether its server runs or not.

    Everything is computed again: leaves, hash chain, tree, commitments, event ids, administrative records, and the
    high-water guard. The first wrong entry of each log is named. Exit code 0: all is well. 1: something is not.
    """
    from ledger.engine.directory import SYSTEM_LOG, open_directory
    from ledger.engine.records import LOG_PREFIX, LogRecord

    directory = open_directory(data, guard_dir)
    with closing(directory.open_store(SYSTEM_LOG, read_only=True)) as system, system.read() as snapshot:
        names = [LogRecord.decode(value).name for _, value in snapshot.records(LOG_PREFIX)]
    for name in only:
        if name not in names:
            raise click.UsageError(f"there is no log {name!r}; there are {', '.join(names)}")
    rows = [_check(directory, name) for name in only or names]
    write_records(rows, Format(output_format), ("log", "tree_size", "result", "first_wrong_index", "finding"))
    if any(row["result"] != "clean" for row in rows):
        say("something is wrong: keep this data as it is, and see the operator's page on a damaged log")
        raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)


def _check(directory: DataDirectory, name: str) -> dict[str, object]:
    from ledger.engine.fsck import check_log
    from ledger.errors import StorageError

    # The guard is read before the store: a running server moves the store first.
    guard_value, problem = None, ""
    try:
        guard = directory.open_guard(name)
        if guard is not None:
            with closing(guard):
                guard_value = guard.value
    except StorageError as error:
        problem = error.message
    with (
        closing(directory.open_store(name, read_only=True)) as store,
        progress_bar(name, None) as progress,
    ):
        report = check_log(store, guard_value, lambda done, _total: progress(done))
    faults = [*([problem] if problem else []), *(finding.describe() for finding in report.findings)]
    faults += report.record_faults
    located = [finding.leaf_index for finding in report.findings if finding.leaf_index is not None]
    return {
        "log": name,
        "tree_size": report.tree_size,
        "root_hash": report.root_hash.hex(),
        "result": "damaged" if faults else "clean",
        "first_wrong_index": min(located, default=None),
        "finding": faults[0] if faults else None,
        "findings": faults,
    }
