"""`logproof backup`: copy every log of a data directory, checked before it is called a backup."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.damage import damage_is_a_failed_verification
from ledger.cli.output import Format, say, write_records
from ledger.cli.passphrase import PASSPHRASE_VARIABLE, passphrase_option, read_passphrase
from ledger.cli.progress import log_progress


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option("--guard-dir", type=click.Path(path_type=Path), help="Where the high-water guards are, if not inside it.")
@click.option(
    "--to", "parent", type=click.Path(path_type=Path), required=True, help="Directory in which backups are kept."
)
@click.option("--with-keys", is_flag=True, help="Put the signing keys in it, sealed with a passphrase.")
@passphrase_option
@click.option(
    "--format", "output_format", type=click.Choice([f.value for f in Format]), default="table", help="How to print."
)
def command(
    data: Path,
    guard_dir: Path | None,
    parent: Path,
    passphrase_file: Path | None,
    output_format: str,
    *,
    with_keys: bool,
) -> None:
    """Back up a data directory, whether its server runs or not.

    Each log is copied as one consistent snapshot, the copy is recomputed as `fsck` does, and held against the newest
    signed head. Only then it gets its name. It needs as much room as the stores. Guards are never in a backup, and
    signing keys only with --with-keys, sealed.

    Exit code 0: it is a backup. 1: a log or its copy is damaged, and there is no backup. 74: something cannot be read
    or written, or there is not enough room.
    """
    from ledger.clock import SystemClock
    from ledger.engine.backup import make_backup
    from ledger.engine.directory import open_directory

    if passphrase_file is not None and not with_keys:
        raise click.UsageError("--passphrase-file is for the signing keys: give --with-keys too, or leave it out")
    passphrase = read_passphrase(passphrase_file) if with_keys else None
    if with_keys and passphrase is None:
        raise click.UsageError(
            f"signing keys are put into a backup with a passphrase only: give it with --passphrase-file or {PASSPHRASE_VARIABLE}"
        )
    directory = open_directory(data, guard_dir)
    with damage_is_a_failed_verification(), log_progress() as progress:
        made = make_backup(
            directory,
            parent.absolute(),
            now_us=SystemClock().now_us(),
            key_passphrase=passphrase,
            progress=progress,
        )
    say(f"backup: {made.path}")
    if with_keys:
        say(
            "the signing keys are in it, sealed: keep the passphrase elsewhere, without it they cannot be had from here"
        )
    else:
        say("the signing keys are not in it: keep copies of them elsewhere, without them no log can be continued")
    rows = [
        {
            "log": log.record.name,
            "tree_size": log.tree_size,
            "root_hash": log.root_hash.hex(),
            "bytes": log.size,
            "sha256": log.sha256,
            "path": str(made.path),
        }
        for log in made.manifest.logs
    ]
    write_records(rows, Format(output_format), ("log", "tree_size", "root_hash", "bytes"))
