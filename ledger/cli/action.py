"""`logproof action`: the catalogue of actions, offline."""

from __future__ import annotations

import click

from ledger.catalogue import CATEGORIES, OTHER, Action, catalogue, find, nearest
from ledger.cli.output import Format, printable, say, write_record, write_records
from ledger.cli.settings import format_option
from ledger.errors import FieldViolation, InvalidRequestError
from ledger.events.actions import ACTION_RULE, CATALOGUE_VERSION, is_reserved, is_wellformed

_TABLE = ("action", "category", "controls", "summary")
_CSV = ("action", "category", "controls", "ocsf_class_uid", "ocsf_activity_id", "core", "required_in_strict", "summary")
# Of what is shown back of a text that is no action.
_SHOWN = 80


@click.group()
def command() -> None:
    """Show the catalogue of actions, and check an action, offline."""


@command.command("list")
@click.option("--control", metavar="ID", help="Evidence for this control, such as CC6.1, or for a series, such as CC6.")
@click.option("--category", type=click.Choice(CATEGORIES), help="Of this category.")
@format_option()
def list_actions(control: str | None, category: str | None, output_format: Format) -> None:
    """List the actions that are known, with category and controls."""
    listed = catalogue(CATALOGUE_VERSION)
    assert listed is not None
    if control is not None and not any(_is_within(known, control) for known in listed.controls):
        raise click.UsageError(f"there is no control {control!r}; the controls are {', '.join(listed.controls)}")
    records = [
        {"action": action.name, **_record(action)}
        for action in listed.actions.values()
        if category in {None, action.category}
        and (control is None or any(_is_within(known, control) for known in action.controls))
    ]
    write_records(records, output_format, _CSV if output_format is Format.CSV else _TABLE)


@command.command("check")
@click.argument("action")
@format_option()
def check(action: str, output_format: Format) -> None:
    """Show what the catalogue says of ACTION, which need not be in it.

    A text that is no action is refused, with the grammar (exit code 2).
    """
    if not is_wellformed(action):
        alike = nearest(action.lower())
        raise InvalidRequestError(
            [FieldViolation("action", f"is {action[:_SHOWN]!a}; {ACTION_RULE}")],
            hint=f"the catalogue has {' and '.join(alike)}" if alike else "",
        )
    known = find(action, CATALOGUE_VERSION)
    alike = nearest(action) if known is None else ()
    write_record(
        {
            "action": action,
            "listed": known is not None,
            "catalogue_version": CATALOGUE_VERSION,
            "written_by": "server" if is_reserved(action) else "client",
            **({"category": OTHER, "controls": []} if known is None else _record(known)),
            "nearest": list(alike),
        },
        output_format,
    )
    if is_reserved(action):
        say("only the server writes actions that begin with ledger.; a client that sends one is refused")
    elif known is None:
        meant = f"; did you mean {printable(', '.join(alike))}?" if alike else ""
        say(f"not in the catalogue, which is allowed: its events are of the category other, for no control{meant}")


def _is_within(control: str, wanted: str) -> bool:
    name = wanted.upper()
    return control == name or control.startswith(f"{name}.")


def _record(action: Action) -> dict[str, object]:
    return {
        "category": action.category,
        "controls": list(action.controls),
        "points_of_focus": {control: list(points) for control, points in action.points.items() if points},
        "ocsf_class_uid": action.ocsf.class_uid,
        "ocsf_class": action.ocsf.class_name,
        "ocsf_activity_id": action.ocsf.activity_id,
        "ocsf_activity": action.ocsf.activity_name,
        "core": action.is_core,
        "required_in_strict": list(action.requires),
        "summary": action.summary,
    }
