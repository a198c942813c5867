"""The passphrase that signing keys in a backup are sealed with: from a file or the environment, never an argument.

The rule that must not break: it is in no message, and in no list of processes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

PASSPHRASE_VARIABLE: Final = "LOGPROOF_BACKUP_PASSPHRASE"  # noqa: S105 - its name
"""The environment variable that holds it."""

passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"File with the passphrase of the signing keys, readable by its owner alone; or {PASSPHRASE_VARIABLE}.",
)


def read_passphrase(file: Path | None) -> str | None:
    """Return the passphrase, without the line's end of the file; None where neither file nor environment gives one.

    Raises:
        FilePermissionsError: Others may read the file.
        StorageError: It cannot be read.
        UsageError: It is no text in UTF-8; were it read as some other, two passphrases could be one.
    """
    from ledger.engine.directory import read_secret_file

    if file is not None:
        text = read_secret_file(file).removesuffix("\n").removesuffix("\r")
        where = str(file)
    else:
        text, where = os.environ.get(PASSPHRASE_VARIABLE, ""), PASSPHRASE_VARIABLE
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise click.UsageError(f"the passphrase in {where} is not text in UTF-8; random bytes go in as base64 or hex")
    return text or None
