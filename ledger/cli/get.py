"""`logproof get`: one entry, verified before it is shown."""

from __future__ import annotations

import click

from ledger.cli.output import Format, say, write_data, write_record
from ledger.cli.settings import Settings, client_options, format_option
from ledger.cli.verdicts import flat_event, leaf_record
from ledger.cli.which import Which, entry_options
from ledger.errors import IncompleteEvidenceError


@click.command()
@entry_options
@click.option("--personal", is_flag=True, help="Show personal data too; needs the personal grant, and is recorded.")
@click.option("--original", is_flag=True, help="Print the imported record byte for byte, and nothing else.")
@format_option()
@client_options
def command(
    settings: Settings,
    which: Which,
    output_format: Format,
    *,
    personal: bool,
    original: bool,
) -> None:
    """Show one entry, by INDEX or by event id, verified against the log's signed head."""
    from ledger.cli.connect import open_ledger
    from ledger.client.values import EntryView

    view = EntryView.FULL if personal or original else EntryView.EVENT
    with open_ledger(settings) as ledger:
        entry = ledger.get(which.leaf_index, event_id=which.event_id, leaf_hash=which.leaf_hash, view=view)
    for note in entry.notes:
        say(f"note: {note}")
    if original:
        kept = entry.personal.original if entry.personal is not None else None
        if kept is None or not kept.content:
            raise IncompleteEvidenceError(
                f"entry {entry.leaf_index} keeps no imported record",
                hint="records above 32 KiB are kept as their SHA-256 and size; see --personal",
            )
        write_data(kept.content)
        return
    write_record(
        {
            "leaf_index": entry.leaf_index,
            "leaf_hash": entry.leaf_hash.hex(),
            **leaf_record(entry.leaf),
            "level": entry.head.level.label,
            "tree_size": entry.head.checkpoint.tree_size,
            "event_section": entry.event_section.state.name.lower(),
            "personal_section": entry.personal_section.state.name.lower(),
            "event": flat_event(entry.event, entry.personal),
            "notes": list(entry.notes),
        },
        output_format,
    )
