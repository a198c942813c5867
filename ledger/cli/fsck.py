"""`logproof fsck`: recompute every log of a data directory from its leaves and sections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.output import Format, say, write_records
from ledger.cli.progress import progress_bar

if TYPE_CHECKING:
    from ledger.engine.directory import DataDirectory
    from ledger.engine.records import LogRecord
    from ledger.storage.api import Store


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

    directory = open_directory(data, guard_dir)
    stated, problem = _stated_logs(directory)
    names = sorted(stated) if stated is not None else _found_logs(directory)
    for name in only:
        if name not in names:
            raise click.UsageError(f"there is no log {name!r}; there are {', '.join(names)}")
    if problem:
        say(f"which logs there are, and with which keys, cannot be read: {problem}")
    rows = [_check(directory, name, stated.get(name) if stated is not None else None) for name in only or names]
    write_records(rows, Format(output_format), ("log", "tree_size", "result", "first_wrong_index", "finding"))
    results = {row["result"] for row in rows}
    if "damaged" in results:
        say("something is wrong: keep this data as it is, and see the operator's page on a damaged log")
        raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)
    if "unreadable" in results or problem:
        say("not everything could be read, so not everything was checked")
        raise click.exceptions.Exit(ExitCode.STORAGE)


def _stated_logs(directory: DataDirectory) -> tuple[dict[str, LogRecord] | None, str]:
    """Return the logs that `_system` names; or None, and why they cannot be read."""
    from ledger.engine.directory import SYSTEM_LOG
    from ledger.engine.records import LOG_PREFIX, LogRecord
    from ledger.errors import LedgerError

    try:
        with closing(directory.open_store(SYSTEM_LOG, read_only=True)) as system, system.read() as snapshot:
            records = [LogRecord.decode(value) for _, value in snapshot.records(LOG_PREFIX)]
    except LedgerError as error:
        return None, error.message
    return {record.name: record for record in records}, ""


def _found_logs(directory: DataDirectory) -> list[str]:
    """Return the logs that have a directory."""
    from ledger.engine.directory import is_log_name

    logs = directory.log_path("")
    return sorted(path.name for path in logs.iterdir() if is_log_name(path.name)) if logs.is_dir() else []


def _check(directory: DataDirectory, name: str, stated: LogRecord | None) -> dict[str, object]:
    from ledger.engine.fsck import LogReport, check_log
    from ledger.errors import CorruptionError, LedgerError, StorageError

    # The guard is read before the store: a running server moves the store first.
    guard_value, faults, unreadable = None, list[str](), ""
    try:
        guard = directory.open_guard(name)
        if guard is not None:
            with closing(guard):
                guard_value = guard.value
    except StorageError as error:
        faults.append(error.message)
    report = LogReport(0, b"", (), ())
    try:
        with (
            closing(directory.open_store(name, read_only=True)) as store,
            progress_bar(name, None) as progress,
        ):
            report = check_log(store, guard_value, lambda done, _total: progress(done))
            faults += [finding.describe() for finding in report.findings]
            faults += report.record_faults
            faults += _identity_faults(directory, name, store, stated)
    except CorruptionError as error:
        faults.append(error.message)
    except LedgerError as error:
        unreadable = error.message
    located = [finding.leaf_index for finding in report.findings if finding.leaf_index is not None]
    found = [*faults, *([unreadable] if unreadable else [])]
    return {
        "log": name,
        "tree_size": report.tree_size,
        "root_hash": report.root_hash.hex(),
        "result": "damaged" if faults else "unreadable" if unreadable else "clean",
        "first_wrong_index": min(located, default=None),
        "finding": found[0] if found else None,
        "findings": found,
    }


def _identity_faults(directory: DataDirectory, name: str, store: Store, stated: LogRecord | None) -> Iterator[str]:
    """Compare what `_system`, the log itself and its key file say of origin and verifier key."""
    from ledger.engine.records import LOG_PREFIX, LogRecord
    from ledger.errors import CorruptionError, LedgerError
    from ledger.notes.keys import format_verifier_key

    with store.read() as snapshot:
        own_value = snapshot.record(LOG_PREFIX + name)
    if stated is not None and own_value is not None:
        try:
            own = LogRecord.decode(own_value)
        except CorruptionError as error:
            yield f"its own record: {error.message}"
        else:
            if own != stated:
                yield (
                    f"its own record says origin {own.origin} and key {own.verifier_key}; "
                    f"_system says {stated.origin} and {stated.verifier_key}"
                )
    try:
        signer = directory.load_signer(name)
    except LedgerError as error:
        yield error.message
        return
    key = format_verifier_key(signer.verifier)
    if stated is not None and (signer.name, key) != (stated.origin, stated.verifier_key):
        yield f"its signing key is that of {key}; _system says {stated.verifier_key}"
