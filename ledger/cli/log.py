"""`logproof log`: make, show and retire logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.files import read_file
from ledger.cli.output import Format, say, write_record, write_records
from ledger.cli.settings import Settings, client_options, format_option, read_key

if TYPE_CHECKING:
    from ledger.client.values import LogInfo


@click.group()
def command() -> None:
    """Make, show and retire logs."""


@command.command("create")
@click.argument("name")
@click.option(
    "--continues",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="NOTE",
    help="Signed checkpoint, the last known head of a log that has ended; entry 0 of the new log names it.",
)
@click.option(
    "--continues-key",
    default="",
    metavar="VKEY|FILE",
    help="Verifier key of that log, where it is not a log of this server.",
)
@format_option()
@client_options
def create(settings: Settings, name: str, continues: Path | None, continues_key: str, output_format: Format) -> None:
    """Make the log NAME; needs a server administrator."""
    from ledger.cli.connect import open_administration

    with open_administration(settings) as administration:
        made = administration.create_log(
            name,
            continues=b"" if continues is None else read_file(continues),
            continues_verifier_key=read_key(continues_key) if continues_key else "",
        )
    say(f"made log {made.name}; its verifier key is what receipts and exports are verified with, anywhere")
    write_record(_record(made), output_format)


@command.command("retire")
@click.argument("name")
@click.option("--reason", required=True, help="Why, in words without personal data; it becomes part of the log.")
@click.option("--yes", is_flag=True, help="Do not ask for the name of the log again.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="NOTE", help="File for the signed last head."
)
@format_option()
@client_options
def retire(settings: Settings, name: str, reason: str, out: Path | None, output_format: Format, *, yes: bool) -> None:
    """End the log NAME in good order; it cannot be taken back.

    Needs an administrator of the log. It takes no events any more, for good; reading, proofs and the administration of
    its keys go on. A log that is retired already stays as it is.
    """
    from ledger.cli.connect import open_administration

    if not yes:
        _ask_again(name)
    with open_administration(settings, log=name) as administration:
        retired = administration.retire_log(name, reason=reason)
    if out is not None:
        out.write_bytes(retired.last_head)
    say(f"log {name} is retired and takes no events any more: {retired.log.state_reason}")
    say(f"hint: `logproof log create NEW --continues {out or 'NOTE'}` makes a log that goes on from it")
    write_record(_record(retired.log), output_format)


@command.command("list")
@format_option()
@client_options
def list_logs(settings: Settings, output_format: Format) -> None:
    """List the logs that the API key may use, as the server states them."""
    from ledger.cli.connect import open_administration

    with open_administration(settings) as administration:
        logs = administration.list_logs()
    write_records(
        [_record(log) for log in logs], output_format, ["name", "tree_size", "published_size", "state", "verifier_key"]
    )


@command.command("show")
@click.argument("name", required=False)
@format_option()
@client_options
def show(settings: Settings, name: str | None, output_format: Format) -> None:
    """Show one log, its tree size and root hash verified from its signed head.

    Where no head of the log may be signed, what the server states is shown, with the reason, and the exit code is 5.
    """
    from ledger.cli.connect import open_administration, open_ledger
    from ledger.errors import LogReadOnlyError

    try:
        with open_ledger(settings, log=name) as ledger:
            log = ledger.get_log()
            head = ledger.trusted_head
    except LogReadOnlyError as error:
        with open_administration(settings, log=name) as administration:
            stated = administration.stated_log(administration.log)
        write_record({**_record(stated), "level": None}, output_format)
        say(f"error: {error.message}; nothing above is verified")
        raise click.exceptions.Exit(ExitCode.UNREACHABLE) from error
    assert head is not None
    write_record({**_record(log), "level": head.level.label}, output_format)


@command.command("confirm-clock")
@click.argument("name", required=False)
@format_option()
@client_options
def confirm_clock(settings: Settings, name: str | None, output_format: Format) -> None:
    """Confirm the server's wall clock after a jump.

    The log then takes appends again.
    """
    from ledger.cli.connect import open_administration

    with open_administration(settings, log=name) as administration:
        leaf_index = administration.confirm_clock()
    say("the clock is confirmed")
    write_record({"leaf_index": leaf_index}, output_format)


def _ask_again(name: str) -> None:
    """Have the name of the log typed by a person before what cannot be taken back.

    Raises:
        click.UsageError: It was not; or nobody is there to ask.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"retiring log {name} cannot be taken back: confirm it with --yes")
    typed = click.prompt(f"Retiring a log cannot be taken back. Type its name, {name}, to go on", err=True, default="")
    if typed != name:
        raise click.UsageError(f"log {name} is not retired: its name was not typed")


def _record(log: LogInfo) -> dict[str, object]:
    return {
        "name": log.name,
        "origin": log.origin,
        "verifier_key": log.verifier_key,
        "tree_size": log.tree_size,
        "root_hash": log.root_hash.hex(),
        "published_size": log.published_size,
        "state": log.state,
        "state_reason": log.state_reason,
        "guard": log.guard,
        "guard_separate": log.guard_separate,
    }
