"""`logproof get`: one entry, verified before it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ledger.cli.output import Format, say, write_data, write_record, write_records
from ledger.cli.settings import Settings, client_options, format_option
from ledger.cli.verdicts import derived_record, flat_event, leaf_record
from ledger.cli.which import Which, entry_options
from ledger.errors import IncompleteEvidenceError

if TYPE_CHECKING:
    from ledger.client.values import Entry

# Of a table of several entries.
_COLUMNS = (
    "leaf_index",
    "recorded_at",
    "leaf_hash",
    "event_section",
    "personal_section",
    "category",
    "controls",
    "event",
)


@click.command()
@entry_options(several=True)
@click.option("--personal", is_flag=True, help="Show personal data too; needs the personal grant, and is recorded.")
@click.option("--original", is_flag=True, help="Print the imported record byte for byte, and nothing else.")
@click.option(
    "--allow-incomplete", is_flag=True, help="Show the entry though the server withholds a part without proof."
)
@format_option()
@client_options
def command(
    settings: Settings,
    which: Which,
    output_format: Format,
    *,
    personal: bool,
    original: bool,
    allow_incomplete: bool,
) -> None:
    """Show one entry, by INDEX or by event id, or several by INDEX, verified."""
    from ledger.cli.connect import open_ledger
    from ledger.client.values import EntryView

    view = EntryView.FULL if personal or original else EntryView.EVENT
    if which.several and original:
        raise click.UsageError("--original prints the record of one entry")
    with open_ledger(settings) as ledger:
        if which.several:
            entries = ledger.get_batch(which.several, view=view, allow_incomplete=allow_incomplete)
            _show_all(entries, output_format)
            return
        entry = ledger.get(
            which.leaf_index,
            event_id=which.event_id,
            leaf_hash=which.leaf_hash,
            view=view,
            allow_incomplete=allow_incomplete,
        )
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
    write_record(_record(entry), output_format)


def _show_all(entries: Sequence[Entry], output_format: Format) -> None:
    for entry in entries:
        for note in entry.notes:
            say(f"note: {note}")
    write_records([_record(entry) for entry in entries], output_format, _COLUMNS)


def _record(entry: Entry) -> dict[str, object]:
    return {
        "leaf_index": entry.leaf_index,
        "leaf_hash": entry.leaf_hash.hex(),
        **leaf_record(entry.leaf),
        "level": entry.head.level.label,
        "tree_size": entry.head.checkpoint.tree_size,
        "event_section": entry.event_section.state.name.lower(),
        "personal_section": entry.personal_section.state.name.lower(),
        **derived_record(entry.leaf, entry.event),
        "event": flat_event(entry.event, entry.personal),
        "is_incomplete": entry.is_incomplete,
        "notes": list(entry.notes),
    }
