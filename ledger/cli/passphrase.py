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
    """
    from ledger.engine.directory import read_secret_file

    if file is not None:
        return read_secret_file(file).rstrip("\r\n")
    return os.environ.get(PASSPHRASE_VARIABLE) or None
