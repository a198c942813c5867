"""`logproof scrub`: show how far the scrubber is with each log, or go over the logs now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.output import Format, say, write_records
from ledger.cli.progress import log_progress
from ledger.events.timestamps import format_timestamp

if TYPE_CHECKING:
    from ledger.engine.directory import DataDirectory
    from ledger.engine.scrub import ScrubState


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option("--log", "only", multiple=True, help="This log alone; may be repeated.")
@click.option("--run", "is_run", is_flag=True, help="Go over the logs now, at full speed, instead of showing.")
@click.option(
    "--format", "output_format", type=click.Choice([f.value for f in Format]), default="table", help="How to print."
)
def command(data: Path, only: tuple[str, ...], output_format: str, *, is_run: bool) -> None:
    """Show how far the scrubber is with each log and what it found.

    The scrubber is a part of the server: it goes over every log, slowly, again a day after it was done, and freezes a
    log in which something is wrong. With --run the same is done here and now, beside the server or without it. A log that is found
    damaged is frozen: by this command where no server runs, otherwise by the server, which looks there first.

    Exit code 0: nothing wrong was found. 1: something was. 74: a log cannot be read.
    """
    from ledger.engine.directory import open_directory
    from ledger.engine.directory_check import stated_logs

    directory = open_directory(data.absolute())
    names = sorted(stated_logs(directory))
    for name in only:
        if name not in names:
            raise click.UsageError(f"there is no log {name!r}; there are {', '.join(names)}")
    chosen = list(only or names)
    states = _run(directory, chosen) if is_run else _kept(directory, chosen)
    rows = [_row(name, state) for name, state in states.items()]
    write_records(rows, Format(output_format), ("log", "position", "last_pass_at", "last_pass_entries", "finding"))
    if any(state.finding for state in states.values()):
        say("something is wrong: keep this data as it is, and see the runbook on a damaged log")
        raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)


def _kept(directory: DataDirectory, names: list[str]) -> dict[str, ScrubState]:
    from ledger.engine.scrub import read_state

    return {name: read_state(directory.scrub_path(name)) for name in names}


def _run(directory: DataDirectory, names: list[str]) -> dict[str, ScrubState]:
    from ledger.engine.directory import OWNER_LOCK
    from ledger.errors import StorageBusyError
    from ledger.storage.owner import OwnerLock

    try:
        lock = OwnerLock(directory.path / OWNER_LOCK)
    except StorageBusyError:
        say("the server runs: what is found here is for its scrubber to confirm and to freeze")
        return _scrub_all(directory, names, _tell_server)
    try:
        return _scrub_all(directory, names, _keep)
    finally:
        lock.release()


def _scrub_all(
    directory: DataDirectory, names: list[str], done: Callable[[DataDirectory, str, ScrubState], None]
) -> dict[str, ScrubState]:
    from contextlib import closing

    from ledger.clock import SystemClock
    from ledger.engine.scrub import Scrubber

    states = {}
    with log_progress() as progress:
        for name in names:
            with closing(directory.open_store(name, read_only=True)) as store:
                with store.read() as snapshot:
                    total = snapshot.counts().leaves
                scrubber = Scrubber(store, SystemClock(), None)
                while not (scrubber.state.passed_at or scrubber.state.finding):
                    scrubber.step()
                    progress(name, scrubber.state.position, total)
            states[name] = scrubber.state
            done(directory, name, scrubber.state)
    return states


def _keep(directory: DataDirectory, name: str, state: ScrubState) -> None:
    from contextlib import closing

    from ledger.engine.records import FREEZE
    from ledger.engine.scrub import write_state

    write_state(directory.scrub_path(name), state)
    if not state.finding:
        return
    with closing(directory.open_store(name)) as store, store.write() as transaction:
        transaction.put_record(FREEZE, f"the scrubber found: {state.finding}".encode())
    say(f"{name} is frozen: it will sign nothing")


def _tell_server(directory: DataDirectory, name: str, state: ScrubState) -> None:
    from ledger.engine.files import replace_file

    if state.finding:
        replace_file(directory.suspect_path(name), b"%d\n" % (state.wrong_index or 0))


def _row(name: str, state: ScrubState) -> dict[str, object]:
    return {
        "log": name,
        "position": state.position if state.started_at else None,
        "pass_started_at": format_timestamp(state.started_at) if state.started_at else None,
        "last_pass_at": format_timestamp(state.passed_at) if state.passed_at else None,
        "last_pass_entries": state.passed_size if state.passed_at else None,
        "finding": state.finding or None,
        "first_wrong_index": state.wrong_index,
    }
