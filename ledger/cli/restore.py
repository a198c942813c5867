"""`logproof restore`: make a data directory from a backup, and tell a log which head is its newest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.damage import damage_is_a_failed_verification
from ledger.cli.exit_codes import ExitCode
from ledger.cli.files import read_file
from ledger.cli.output import Format, say, write_records
from ledger.cli.passphrase import passphrase_option, read_passphrase
from ledger.cli.progress import log_progress

if TYPE_CHECKING:
    from ledger.engine.directory import DataDirectory


@click.command()
@click.argument("backup", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option(
    "--guard-dir", type=click.Path(path_type=Path), help="Where the high-water guards are, if not inside the data."
)
@click.option("--keys", type=click.Path(path_type=Path), help="Directory with the signing keys, NAME.key for each log.")
@passphrase_option
@click.option("--without-keys", is_flag=True, help="Restore without signing keys, to read; no log will sign.")
@click.option(
    "--accept-head",
    "notes",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="NOTE",
    help="Signed checkpoint, the newest known of its log, for a log without a guard; may be given again.",
)
@click.option(
    "--format", "output_format", type=click.Choice([f.value for f in Format]), default="table", help="How to print."
)
def command(
    backup: Path | None,
    data: Path,
    guard_dir: Path | None,
    keys: Path | None,
    passphrase_file: Path | None,
    notes: tuple[Path, ...],
    output_format: str,
    *,
    without_keys: bool,
) -> None:
    """Restore BACKUP to a new directory; without it, accept heads for existing data.

    The signing keys come from --keys, or from the backup, where they are sealed with a passphrase. The backup is
    checked whole first. Nothing is restored onto existing data, and a guard is never set back: a log
    whose data is older than its guard, or than the accepted head, stays read-only, and `logproof log create
    --continues` is the way on.

    Exit code 0: every log will sign on. 1: the backup is damaged, or a log will not sign; the table says why. 2: the
    signing keys, or what opens them, are not given. 74: the
    data cannot be read or written, or the server still runs.
    """
    from ledger.engine.directory import OWNER_LOCK, open_directory
    from ledger.engine.restore import accept_head, restore_backup
    from ledger.storage.owner import OwnerLock

    if backup is None and not notes:
        raise click.UsageError("name a backup to restore, or a head to accept with --accept-head")
    guards = None if guard_dir is None else guard_dir.absolute()
    with damage_is_a_failed_verification():
        if backup is None:
            directory = open_directory(data.absolute(), guards)
        else:
            with log_progress() as progress:
                directory = restore_backup(
                    backup,
                    data.absolute(),
                    guards,
                    keys=keys,
                    key_passphrase=read_passphrase(passphrase_file),
                    keyless=without_keys,
                    progress=progress,
                )
            say(f"restored {backup} to {data}")
        lock = OwnerLock(directory.path / OWNER_LOCK)
        try:
            for note in notes:
                name = accept_head(directory, read_file(note))
                say(f"{note} is now the newest head that the guard of {name} remembers, unless it knew a newer one")
            _tell_outlook(directory, Format(output_format))
        finally:
            lock.release()


def _tell_outlook(directory: DataDirectory, output_format: Format) -> None:
    from ledger.engine.directory_check import stated_logs
    from ledger.engine.restore import Outlook, outlook_of

    outlooks = [outlook_of(directory, record) for _, record in sorted(stated_logs(directory).items())]
    rows = [
        {
            "log": log.name,
            "tree_size": log.tree_size,
            "guarded_size": log.guarded_size,
            "outlook": log.outlook.value,
            "detail": log.detail,
        }
        for log in outlooks
    ]
    write_records(rows, output_format, ("log", "tree_size", "guarded_size", "outlook", "detail"))
    found = {log.outlook for log in outlooks}
    if Outlook.NO_GUARD in found:
        say("hint: give the newest signed head that anyone knows of each log without a guard with --accept-head")
    if found & {Outlook.BEHIND, Outlook.FORKED}:
        say("hint: find newer data; if it is gone, `logproof log create NEW --continues NOTE` is the way on")
    if Outlook.NO_KEY in found:
        say(f"hint: put the signing keys to {directory.path / 'keys'}, mode 0600")
    if found != {Outlook.SIGNS}:
        raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)
