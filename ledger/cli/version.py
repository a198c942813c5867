"""`logproof version`: which version this is."""

from __future__ import annotations

import click

from ledger import __version__


@click.command()
def command() -> None:
    """Print the version."""
    click.echo(f"logproof {__version__}")
