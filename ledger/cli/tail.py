"""`logproof tail`: the newest entries, and those that come, each verified before it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ledger.cli.numbers import Number
from ledger.cli.output import Format, say, write_line, write_record
from ledger.cli.settings import Settings, client_options
from ledger.cli.verdicts import derived_record, flat_event, leaf_record
from ledger.merkle.ranges import MAX_TREE_SIZE

if TYPE_CHECKING:
    from ledger.client.values import Entry

_SHOWN_BEFORE = 10
_COLUMNS = (8, 27, 32, 24)


@click.command()
@click.option(
    "--since",
    type=Number(min=0, max=MAX_TREE_SIZE),
    metavar="INDEX",
    help=f"First entry; by default the last {_SHOWN_BEFORE} of now.",
)
@click.option("--follow/--no-follow", default=True, help="Go on as entries come, or end with the newest of now.")
@click.option("--personal", is_flag=True, help="Show personal data too; needs the personal grant, and is recorded.")
@click.option("--allow-incomplete", is_flag=True, help="Show entries though the server withholds a part without proof.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice([Format.TABLE, Format.NDJSON], case_sensitive=False),
    default=Format.TABLE,
    help="How entries are printed: a line of words each, or a JSON object each.",
)
@client_options
def command(
    settings: Settings,
    since: int | None,
    output_format: Format,
    *,
    follow: bool,
    personal: bool,
    allow_incomplete: bool,
) -> None:
    """Show the newest entries and those that come, none left out, each verified.

    A server that is restarted is asked again. However it ends, the last line on stderr says from where to go on.
    """
    from ledger.cli.connect import open_ledger
    from ledger.client.values import EntryView

    view = EntryView.FULL if personal else EntryView.EVENT
    with open_ledger(settings) as ledger:
        if since is None:
            since = max(ledger.checkpoint(allow_stale=False).checkpoint.tree_size - _SHOWN_BEFORE, 0)
        begin = since
        try:
            for entry in ledger.tail(begin, view=view, follow=follow, allow_incomplete=allow_incomplete):
                _show(entry, output_format)
                begin = entry.leaf_index + 1
        finally:
            say(f"the next entry is {begin}; to go on: logproof tail --since {begin}")


def _show(entry: Entry, output_format: Format) -> None:
    for note in entry.notes:
        say(f"note: {note}")
    event = flat_event(entry.event, entry.personal)
    leaf = leaf_record(entry.leaf)
    if output_format is Format.NDJSON:
        record = {
            "leaf_index": entry.leaf_index,
            "leaf_hash": entry.leaf_hash.hex(),
            **leaf,
            "event_section": entry.event_section.state.name.lower(),
            "personal_section": entry.personal_section.state.name.lower(),
            **derived_record(entry.leaf, entry.event),
            "event": event,
            "is_incomplete": entry.is_incomplete,
        }
        write_record(record, output_format)
        return
    if event is None:
        words: list[object] = [f"({entry.event_section.state.name.lower()})"]
    else:
        words = [event.get("action"), event.get("actor_id"), event.get("target_id")]
    write_line([entry.leaf_index, leaf["recorded_at"], *words], _COLUMNS)
