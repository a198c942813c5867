"""`logproof version`: which version this is."""

from __future__ import annotations

import click

from ledger import __version__


@click.command()
def command() -> None:
    """Print the version, and which kernel a server would use here."""
    from ledger.engine.kernel import installed_kernel

    click.echo(f"logproof {__version__}")
    click.echo(f"kernel: {installed_kernel().name}")
