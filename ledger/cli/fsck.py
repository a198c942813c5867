"""`logproof fsck`: recompute every log of a data directory from its leaves and sections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.output import Format, say, write_records
from ledger.cli.progress import progress_bar

if TYPE_CHECKING:
    from ledger.engine.directory_check import LogCheck


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option("--guard-dir", type=click.Path(path_type=Path), help="Where the high-water guards are, if not inside it.")
@click.option("--log", "only", multiple=True, help="Check this log alone; may be repeated.")
@click.option(
    "--format", "output_format", type=click.Choice([f.value for f in Format]), default="table", help="How to print."
)
def command(data: Path, guard_dir: Path | None, only: tuple[str, ...], output_format: str) -> None:
    """Check a data directory, whether its server runs or not.

    Everything is computed again: leaves, hash chain, tree, commitments, event ids, administrative records, the
    high-water guard, and whether each log has the origin and key that `_system` says. The first wrong entry of each
    log is named.

    Exit code 0: all is well. 1: something is not. 74: nothing wrong was found, but a log cannot be read.
    """
    from ledger.engine.directory import open_directory
    from ledger.engine.directory_check import Condition, check_stored_log, found_logs, stated_logs
    from ledger.errors import LedgerError

    directory = open_directory(data, guard_dir)
    stated, problem = None, ""
    try:
        stated = stated_logs(directory)
    except LedgerError as error:
        problem = error.message
    names = sorted(stated) if stated is not None else found_logs(directory)
    for name in only:
        if name not in names:
            raise click.UsageError(f"there is no log {name!r}; there are {', '.join(names)}")
    if problem:
        say(f"which logs there are, and with which keys, cannot be read: {problem}")
    checks = []
    for name in only or names:
        with progress_bar(name, None) as progress:
            record = None if stated is None else stated.get(name)
            checks.append(check_stored_log(directory, name, record, progress))
    rows = [_row(check) for check in checks]
    write_records(rows, Format(output_format), ("log", "tree_size", "result", "first_wrong_index", "finding"))
    conditions = {check.condition for check in checks}
    if Condition.DAMAGED in conditions:
        say("something is wrong: keep this data as it is, and see the runbook on a damaged log")
        raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)
    if Condition.UNREADABLE in conditions or problem:
        say("not everything could be read, so not everything was checked")
        raise click.exceptions.Exit(ExitCode.STORAGE)


def _row(check: LogCheck) -> dict[str, object]:
    located = [finding.leaf_index for finding in check.report.findings if finding.leaf_index is not None]
    found = [*check.faults, *([check.unreadable] if check.unreadable else [])]
    return {
        "log": check.name,
        "tree_size": check.report.tree_size,
        "root_hash": check.report.root_hash.hex(),
        "result": check.condition.value,
        "first_wrong_index": min(located, default=None),
        "finding": found[0] if found else None,
        "findings": found,
    }
