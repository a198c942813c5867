"""`logproof doctor`: look for what an operator can get wrong, at a data directory or at a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.output import Format, say, write_records
from ledger.cli.settings import Settings, client_options, format_option

if TYPE_CHECKING:
    from ledger.client.values import LogInfo
    from ledger.engine.marks import Diagnosis


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="The data directory; without it the server is asked.")
@click.option("--guard-dir", type=click.Path(path_type=Path), help="Where the high-water guards are, if not inside it.")
@click.option("--backups", type=click.Path(path_type=Path), help="Where backups are kept; their age is then checked.")
@click.option("--server-cert", type=click.Path(path_type=Path), help="The server's certificate chain, PEM.")
@click.option("--server-key", type=click.Path(path_type=Path), help="The private key of that certificate, PEM.")
@format_option()
@client_options
def command(
    settings: Settings,
    data: Path | None,
    guard_dir: Path | None,
    backups: Path | None,
    server_cert: Path | None,
    server_key: Path | None,
    output_format: Format,
) -> None:
    """Check what surrounds the logs, one line for each check, with what to do next.

    With --data a data directory is looked at, whether its server runs or not: rights, volumes, room, guards, stores,
    clock, keys that end, backups. Without it the server at --address is asked, as a client sees it. Nothing is changed.

    Exit code 0: nothing is wrong, though there may be warnings. 1: something is. 5: the server cannot be reached.
    """
    if data is None:
        found = list(_at_server(settings))
    else:
        found = list(_at_directory(data, guard_dir, backups, server_cert, server_key))
    rows = [
        {"result": check.mark.value, "check": check.name, "detail": check.detail, "next": check.advice or None}
        for check in found
    ]
    write_records(rows, output_format, ("result", "check", "detail", "next"))
    failed = sum(row["result"] == "fail" for row in rows)
    warned = sum(row["result"] == "warn" for row in rows)
    say(f"{len(rows)} checks: {failed} failed, {warned} warnings")
    if failed:
        raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)


def _at_directory(
    data: Path, guard_dir: Path | None, backups: Path | None, certificate: Path | None, key: Path | None
) -> Iterator[Diagnosis]:
    from ledger.clock import SystemClock
    from ledger.engine.diagnosis import diagnose_directory
    from ledger.engine.directory import open_directory
    from ledger.engine.directory_check import stated_logs
    from ledger.engine.kernel import installed_kernel
    from ledger.engine.log_diagnosis import diagnose_log
    from ledger.engine.marks import fail, ok
    from ledger.errors import LedgerError
    from ledger.index.progress import diagnose_index
    from ledger.server.config import TlsFiles
    from ledger.server.tls_diagnosis import diagnose_tls

    if (certificate is None) != (key is None):
        raise click.UsageError("--server-cert and --server-key go together")
    clock = SystemClock()
    yield ok("kernel", f"{installed_kernel().name}, in this environment")
    try:
        directory = open_directory(data.absolute(), None if guard_dir is None else guard_dir.absolute())
    except LedgerError as error:
        yield fail("data directory", error.message, error.hint)
        return
    yield from diagnose_directory(directory, clock, backups)
    if certificate is not None and key is not None:
        yield from diagnose_tls(TlsFiles(certificate, key), clock)
    try:
        records = stated_logs(directory)
    except LedgerError as error:
        yield fail("_system", error.message, error.hint)
        return
    for name in sorted(records):
        yield from diagnose_log(directory, records[name], clock)
        yield diagnose_index(directory, name)


def _at_server(settings: Settings) -> Iterator[Diagnosis]:
    from ledger import __version__
    from ledger.cli.connect import open_administration, open_ledger
    from ledger.engine.marks import ok, warn

    with open_administration(settings) as administration:
        info = administration.server_info()
        if info.version == __version__:
            yield ok("version", f"{info.version}, as here")
        else:
            yield warn("version", f"{info.version}; here it is {__version__}", "upgrade servers before clients")
        yield ok("kernel", info.kernel or "the server does not say which it uses")
        names = [log.name for log in administration.list_logs()]
    for name in names:
        with open_ledger(settings, log=name) as ledger:
            yield from _of_log(ledger.get_log())


def _of_log(log: LogInfo) -> Iterator[Diagnosis]:
    from ledger.engine.marks import fail, ok, warn

    if log.state == "active":
        yield ok(log.name, f"takes appends; its signed head of size {log.tree_size} is verified")
    elif log.state == "retired":
        yield ok(log.name, f"retired: {log.state_reason}; its signed head of size {log.tree_size} is verified")
    else:
        yield fail(log.name, f"read-only: {log.state_reason}", "see the runbook on a guard that refuses to sign")
    behind = log.tree_size - log.published_size
    if behind > _BEHIND_ENTRIES:
        advice = "if it stays so, look for the publisher in the server's log"
        yield warn(f"{log.name}: publication", f"{behind} entries behind", advice)
    else:
        yield ok(f"{log.name}: publication", f"{behind} entries behind")
    if not log.guard_separate:
        yield warn(
            f"{log.name}: guard",
            "it is on the volume of the data",
            "a restore of both to an older state cannot be detected: put --guard-dir on another volume",
        )
    if log.guard == "relaxed":
        yield warn(
            f"{log.name}: guard", "it is written once a second", "serve with --guard strict where syncs are quick"
        )


_BEHIND_ENTRIES = 50_000
