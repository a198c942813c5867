"""What commands on stored data have in common: damage that they find is a failed verification, not a disk error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.output import printable, say
from ledger.errors import CorruptionError


@contextmanager
def damage_is_a_failed_verification() -> Iterator[None]:
    """End the command with the code of a failed verification where the block finds damage.

    Raises:
        click.exceptions.Exit: It found some, and said so.
    """
    try:
        yield
    except CorruptionError as error:
        say(f"error: {printable(error.message)}")
        if error.hint:
            say(f"hint: {printable(error.hint)}")
        raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED) from error
