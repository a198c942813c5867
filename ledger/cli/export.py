"""`logproof export`: a whole log for others to audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.output import Format, say, write_record
from ledger.cli.settings import Settings, client_options, format_option

if TYPE_CHECKING:
    from ledger.client.sync import Ledger
    from ledger.client.trust import Head


@click.group()
def command() -> None:
    """Export a log."""


@command.command("tiles")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@format_option()
@client_options
def export_tiles(settings: Settings, directory: Path, output_format: Format) -> None:
    """Write the log to DIR as C2SP tlog-tiles, for other tools to audit.

    Tiles and bundles of leaves come first, the checkpoint last. The leaves hold no event data; they show times,
    principals and whether there was personal data. Run it again to bring an export up to date.
    """
    from ledger.cli.connect import open_ledger
    from ledger.cli.progress import progress_bar
    from ledger.client.tile_export import TileDirectory
    from ledger.client.values import EntryView
    from ledger.notes.keys import parse_verifier_key

    with open_ledger(settings) as ledger:
        target = TileDirectory(directory, parse_verifier_key(ledger.verifier_key))
        head = _published_head(ledger)
        size = head.checkpoint.tree_size
        earlier = target.trusted.checkpoint
        if earlier is not None:
            first, second = sorted((earlier.tree_size, size))
            target.trusted.check(head.note, ledger.prove_heads(first, second) if 0 < first < second else ())
            if earlier.tree_size > size:
                raise click.UsageError(f"{directory} holds tree size {earlier.tree_size} already, above {size}")
        leaves = (
            [entry.leaf_bytes for entry in batch] for batch in ledger.stream_entries(0, size, view=EntryView.LEAF)
        )
        with progress_bar("exporting entries", size) as progress:
            target.write(leaves, head, progress)
    say(f"wrote {size} entries to {directory}; `logproof verify tiles {directory} --key ...` verifies them anywhere")
    write_record(
        {
            "directory": str(directory),
            "origin": head.checkpoint.origin,
            "tree_size": size,
            "root_hash": head.checkpoint.root_hash.hex(),
            "level": head.level.label,
        },
        output_format,
    )


def _published_head(ledger: Ledger) -> Head:
    """Return a published head that covers everything committed at the call."""
    from ledger.client.values import HeadKind

    committed = ledger.checkpoint(allow_stale=False)
    return ledger.checkpoint(HeadKind.PUBLISHED, at_least=committed.checkpoint.tree_size)
