"""`logproof query`: finds and counts events; each one shown was verified, and passes the filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ledger.cli.numbers import Number
from ledger.cli.output import Format, say, write_record, write_records
from ledger.cli.settings import Settings, client_options, format_option
from ledger.cli.verdicts import flat_event, leaf_record
from ledger.errors import InvalidFilterError, MalformedError
from ledger.events.timestamps import format_timestamp, parse_timestamp
from ledger.query.excerpt import excerpt
from ledger.query.explain import explain
from ledger.query.nodes import Node
from ledger.query.parser import parse_filter
from ledger.query.typed import TypedFilter, combine

if TYPE_CHECKING:
    from ledger.client.values import Entry

_SHOWN: Final = 50
_COLUMNS: Final = ("leaf_index", "recorded_at", "action", "actor_id", "target", "outcome")
_BUCKETS: Final = ("minute", "hour", "day", "week")


class _Time(click.ParamType):  # type: ignore[type-arg]  # not generic in older versions
    """An RFC 3339 time, or a date, which stands for its first moment in UTC."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return microseconds since 1970 in UTC."""
        text = str(value)
        try:
            return parse_timestamp(text if "T" in text else f"{text}T00:00:00Z")
        except MalformedError as error:
            self.fail(f"{error.message}, or a date such as 2026-02-20", param, ctx)


class _Pair(click.ParamType):  # type: ignore[type-arg]  # as above
    """Two texts with a character between them."""

    def __init__(self, between: str, name: str) -> None:
        """Keep the character and the name."""
        self._between = between
        self.name = name

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return both."""
        if isinstance(value, tuple):
            return value
        first, between, second = str(value).partition(self._between)
        if not (first and between and second):
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        return first, second


@click.command()
@click.argument("filter_text", metavar="[FILTER]", default="")
@click.option("--from", "recorded_from", type=_Time(), help="Recorded at this time or later.")
@click.option("--to", "recorded_before", type=_Time(), help="Recorded before this time.")
@click.option("--occurred-from", type=_Time(), help="Happened at this time or later, by the source's clock.")
@click.option("--occurred-to", "occurred_before", type=_Time(), help="Happened before this time.")
@click.option("--actor", "actor_ids", multiple=True, metavar="ID", help="Actor; several mean any of them.")
@click.option("--actor-email", metavar="EMAIL", help="E-mail address of the actor; needs the personal grant.")
@click.option("--action", "actions", multiple=True, metavar="ACTION", help="Action, or its beginning and '*'.")
@click.option("--category", metavar="NAME", help="Category of the action.")
@click.option("--control", metavar="ID", help="SOC 2 criterion of the action, such as CC6.1.")
@click.option("--outcome", metavar="WORD", help="How it ended: success, failure, denied, error, pending.")
@click.option("--target", type=_Pair(":", "TYPE:ID"), help="What was acted on.")
@click.option("--ip", metavar="ADDRESS", help="IP address or network; needs the personal grant.")
@click.option("--request-id", metavar="ID", help="Id of the request.")
@click.option("--session-id", metavar="ID", help="Id of the session.")
@click.option("--correlation-id", metavar="ID", help="Correlation id.")
@click.option("--tenant", "tenant_id", metavar="ID", help="The customer's customer.")
@click.option("--metadata", type=_Pair("=", "KEY=TEXT"), multiple=True, help="Metadata key with a text.")
@click.option("--ascending", is_flag=True, help="Show the oldest first: the story of a session, request or person.")
@click.option("--limit", type=Number(min=0), default=_SHOWN, show_default=True, help="Most events; 0 for all.")
@click.option("--count", "counts", is_flag=True, help="Count the events instead of showing them.")
@click.option("--by", "group_by", metavar="FIELD", help="Count by the values of a field, such as action.")
@click.option("--per", "bucket", type=click.Choice(_BUCKETS), help="Count by time.")
@click.option("--personal", is_flag=True, help="Show personal data too; needs the personal grant, and is recorded.")
@click.option("--explain", "explains", is_flag=True, help="Show how the filter is understood, and ask nothing.")
@format_option()
@client_options
def command(  # noqa: PLR0913 - click passes each option by its name
    settings: Settings,
    filter_text: str,
    output_format: Format,
    *,
    target: tuple[str, str] | None,
    metadata: tuple[tuple[str, str], ...],
    ascending: bool,
    limit: int,
    counts: bool,
    group_by: str | None,
    bucket: str | None,
    personal: bool,
    explains: bool,
    **typed: object,
) -> None:
    """Find and count events by a filter, by options, or both.

    FILTER is such as 'action = "user.role.updated" AND actor_id = "user_123"'. All that is given must hold. The newest come first, and all are of the log as it was at the first of them.
    """
    where = TypedFilter(
        **typed,  # type: ignore[arg-type]
        target_type=target[0] if target else None,
        target_id=target[1] if target else None,
        metadata=dict(metadata),
    )
    node = combine(_parsed(filter_text), where.node())
    if explains:
        click.echo(explain(node))
        return
    if counts or group_by or bucket:
        _count(settings, filter_text, where, output_format, group_by or "", bucket)
        return
    from ledger.cli.connect import open_ledger
    from ledger.client.values import EntryView

    view = EntryView.FULL if personal else EntryView.EVENT
    with open_ledger(settings) as ledger:
        entries = list(ledger.query(filter_text, where=where, ascending=ascending, limit=limit or None, view=view))
    for entry in entries:
        for note in entry.notes:
            say(f"note: entry {entry.leaf_index}: {note}")
    columns = _COLUMNS if output_format in {Format.TABLE, Format.CSV} else ()
    write_records([_row(entry) if columns else _record(entry) for entry in entries], output_format, columns)
    if entries:
        size = entries[0].head.checkpoint.tree_size
        more = "; --limit 0 shows all" if len(entries) == limit else ""
        say(f"{len(entries)} events, verified, of the log at tree size {size}{more}")
    else:
        say("no event passes the filter")


def _count(
    settings: Settings, filter_text: str, where: TypedFilter, output_format: Format, group_by: str, bucket: str | None
) -> None:
    from ledger.cli.connect import open_ledger
    from ledger.client.values import TimeBucket

    chosen = None if bucket is None else TimeBucket[bucket.upper()]
    with open_ledger(settings) as ledger:
        found = ledger.count(filter_text, where=where, group_by=group_by, bucket=chosen)
    if not (group_by or chosen):
        write_record({"total": found.total, "tree_size": found.head.checkpoint.tree_size}, output_format)
        return
    columns = [*(["begin"] if chosen else []), *([group_by] if group_by else []), "count"]
    rows = [
        {"begin": format_timestamp(group.begin), group_by: group.value, "count": group.count} for group in found.groups
    ]
    write_records([{name: row[name] for name in columns} for row in rows], output_format, columns)
    cut = "; the smallest groups are left out" if found.is_cut else ""
    say(f"{found.total} events pass, of the log at tree size {found.head.checkpoint.tree_size}, by the server{cut}")


def _parsed(text: str) -> Node:
    try:
        return parse_filter(text)
    except InvalidFilterError as error:
        if error.offset is not None:
            say(excerpt(text, error.offset))
        raise


def _record(entry: Entry) -> dict[str, object]:
    return {
        "leaf_index": entry.leaf_index,
        "leaf_hash": entry.leaf_hash.hex(),
        **leaf_record(entry.leaf),
        "event": flat_event(entry.event, entry.personal),
    }


def _row(entry: Entry) -> dict[str, object]:
    flat = flat_event(entry.event, entry.personal) or {}
    targets = [f"{target.type}:{target.id}" for target in (entry.event.targets if entry.event else ())]
    return {
        "leaf_index": entry.leaf_index,
        "recorded_at": leaf_record(entry.leaf)["recorded_at"],
        "action": flat.get("action", ""),
        "actor_id": flat.get("actor_id", ""),
        "target": ", ".join(targets),
        "outcome": flat.get("outcome", ""),
    }
