"""`logproof append`: one event into a log, its receipt verified before anything is printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ledger.cli.files import read_input
from ledger.cli.output import Format, reporting, say, write_record
from ledger.cli.settings import Settings, client_options, format_option
from ledger.errors import FieldViolation, InvalidEventError, MalformedError
from ledger.events.flat_keys import is_personal_key

# Options that are one key of the flat event each.
_FLAT_OPTIONS: Final = (
    ("outcome", "How it ended: success, failure, denied, error or pending."),
    ("reason_code", "Short code for the reason."),
    ("event_id", "Id that makes a repeated append the same one, if its time is given too."),
    ("timestamp", "When it happened, RFC 3339; the present if left out."),
    ("actor_email", "E-mail address of the actor; personal."),
    ("actor_name", "Name of the actor; personal."),
    ("ip", "IP address of the request; personal."),
    ("user_agent", "User agent; personal."),
    ("description", "Description in words; personal."),
    ("reason", "Reason in words; personal."),
    ("request_id", "Id of the request."),
    ("session_id", "Id of the session."),
    ("tenant_id", "The customer's customer."),
    ("correlation_id", "Joins events that belong together."),
)


def _flat_options(command: click.decorators.FC) -> click.decorators.FC:
    for name, words in reversed(_FLAT_OPTIONS):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar="TEXT", help=words)(command)
    return command


@click.command()
@click.argument("event", required=False, metavar="[ACTION|JSON|FILE.json|-]")
@click.option("--actor", metavar="TYPE:ID", help="Who acted, such as user:user_123.")
@click.option("--target", "targets", multiple=True, metavar="TYPE:ID", help="What was acted on; may be given again.")
@click.option(
    "--change", "changes", multiple=True, metavar="PATH=OLD:NEW", help="A field that changed; may be given again."
)
@click.option("--metadata", "metadata", multiple=True, metavar="KEY=VALUE", help="A further fact; may be given again.")
@_flat_options
@click.option(
    "--receipt", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to save the receipt."
)
@click.option("--with-personal", is_flag=True, help="Show the personal data in the saved receipt; erasure cannot.")
@format_option()
@client_options
def command(
    settings: Settings,
    event: str | None,
    receipt: Path | None,
    output_format: Format,
    *,
    with_personal: bool,
    **fields: object,
) -> None:
    """Append one event, and verify that it is in the log.

    The event is an action with options, such as `logproof append user.role.updated --actor user:user_123`, or flat
    JSON as the argument, in a file that ends in .json, or on stdin.
    """
    flat = _flat_event(event, fields)
    from ledger.cli.connect import open_ledger

    with open_ledger(settings) as ledger:
        proven = ledger.append(event=flat)
    with reporting(f"the event {proven.event_id} is in the log, at leaf index {proven.leaf_index}"):
        if receipt is not None:
            proven.save(receipt, include_personal=with_personal)
            say(f"the receipt is in {receipt}; `logproof verify receipt {receipt} --key ...` verifies it anywhere")
        write_record(
            {
                "outcome": proven.outcome.name.lower(),
                "event_id": proven.event_id,
                "leaf_index": proven.leaf_index,
                "tree_size": proven.checkpoint.tree_size,
                "root_hash": proven.checkpoint.root_hash.hex(),
                "level": proven.level.label,
            },
            output_format,
        )


def _flat_event(event: str | None, fields: dict[str, object]) -> dict[str, object]:
    given = {name: value for name, value in fields.items() if value}
    if event is None and not given and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("name an action, or give the event as JSON")
    is_action = (
        event is not None and event != "-" and not event.endswith(".json") and not event.lstrip().startswith("{")
    )
    if is_action:
        return {"action": event, **_from_options(given)}
    if given:
        raise click.UsageError(f"--{min(given).replace('_', '-')} goes with an action, not with an event in JSON")
    if event is not None and event.lstrip().startswith("{"):
        return _parse(event.encode(), "the argument")
    name = event if event is not None else "-"
    return _parse(read_input(name), "stdin" if name == "-" else name)


def _parse(data: bytes, where: str) -> dict[str, object]:
    from ledger.importers.records import parse_json

    try:
        flat = parse_json(data)
    except MalformedError as error:
        raise MalformedError(
            f"{where} {error.message}", hint="one event is one JSON object; `logproof import` takes many"
        ) from error
    if not isinstance(flat, dict):
        raise MalformedError(f"{where} is JSON, but not an object")
    return flat


def _from_options(given: dict[str, object]) -> dict[str, object]:
    flat = {name: value for name, value in given.items() if name not in {"actor", "targets", "changes", "metadata"}}
    if "actor" in given:
        flat["actor_type"], flat["actor_id"] = _pair(given["actor"], ":", "actor", "TYPE:ID")
    targets = [_pair(target, ":", "target", "TYPE:ID") for target in _many(given, "targets")]
    if targets:
        flat["targets"] = [{"type": kind, "id": identity} for kind, identity in targets]
    changes = [_pair(change, "=", "change", "PATH=OLD:NEW") for change in _many(given, "changes")]
    for path, values in changes:
        # What a path calls an e-mail address or a name goes where it can be erased.
        key = "personal_field_changes" if is_personal_key(path.rpartition(".")[2]) else "field_changes"
        listed = flat.setdefault(key, [])
        assert isinstance(listed, list)
        listed.append({"path": path, **_old_and_new(*_split_values(values))})
    metadata = dict(_pair(item, "=", "metadata", "KEY=VALUE") for item in _many(given, "metadata"))
    if metadata:
        flat["metadata"] = metadata
    return flat


def _split_values(values: str) -> tuple[str, str]:
    old, found, new = values.partition(":")
    if not found:
        raise InvalidEventError([FieldViolation("change", f"{values!r} is not OLD:NEW; either may be empty")])
    return old, new


def _old_and_new(old: str, new: str) -> dict[str, object]:
    return {name: value for name, value in (("old", old), ("new", new)) if value}


def _many(given: dict[str, object], name: str) -> tuple[object, ...]:
    values = given.get(name, ())
    assert isinstance(values, tuple)
    return values


def _pair(text: object, separator: str, name: str, form: str) -> tuple[str, str]:
    first, found, second = str(text).partition(separator)
    if not found or not first:
        raise InvalidEventError(
            [FieldViolation(name, f"{text!r} is not {form}")], hint="`logproof append --help` has an example of each"
        )
    return first, second
