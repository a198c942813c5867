"""`logproof demo`: a server of its own, real events, proofs, and tampering that is caught, in half a minute."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.cli.exit_codes import ExitCode
from ledger.clock import SystemClock

if TYPE_CHECKING:
    from ledger.client import Ledger, Receipt

_START_SECONDS = 30
_STOP_SECONDS = 20


@click.command()
def command() -> None:
    """Show everything on a server of its own, in a temporary directory.

    Needs nothing and leaves nothing: starts a server on a free loopback port, imports the sample events that ship
    with the package, appends, proves, verifies offline, tampers with copies, and shows that each is caught.
    """
    with tempfile.TemporaryDirectory(prefix="logproof-demo-") as folder:
        _Demo(Path(folder)).run()


class _Demo:
    """The steps, each printed in plain words with the time it took."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._clock = SystemClock()
        self._number = 0

    def run(self) -> None:
        with _server(self._data) as (address, started):
            self._say("Started", f"a server on {address}, with a new log and its own signing key", started)
            with self._connect(address) as ledger:
                before = self._import(ledger)
        # What an operator would have as a backup from before the next events.
        shutil.copytree(self._data / "logs", self._folder / "backup")
        with _server(self._data) as (address, started):
            self._say("Restarted", "it; its next heads must continue those it has shown", started)
            with self._connect(address) as ledger:
                receipt = self._append(ledger)
                self._prove(ledger, before)
                self._read(ledger, receipt)
                verifier_key = ledger.verifier_key
        self._verify_offline(receipt, verifier_key)
        self._tamper(receipt, verifier_key)
        click.echo("\nEvery acknowledged event is in the log, and every change to it was caught.")
        click.echo("Next: `logproof serve --data DIR` runs a server that stays; the README shows ten lines of client.")

    def _connect(self, address: str) -> Ledger:
        from ledger.client import Ledger
        from ledger.notes.keys import format_verifier_key, parse_signer_key

        # The operator hands out the verifier key; here it is read from the server's own files.
        signer = parse_signer_key((self._data / "keys" / "default.key").read_text().strip())
        return Ledger(
            address,
            api_key=(self._data / "admin.key").read_text().strip(),
            verifier_key=format_verifier_key(signer.verifier),
            state=self._folder / "state",
        )

    def _import(self, ledger: Ledger) -> int:
        from ledger.client.values import Sections
        from ledger.importers.flat import map_line

        lines = files("ledger.importers").joinpath("sample-events.ndjson").read_bytes().splitlines()
        started = self._now()
        records = [map_line(line, 1) for line in lines]
        receipts = ledger.append_sections([Sections(record.event, record.personal) for record in records])
        size = receipts[-1].checkpoint.tree_size
        self._say("Imported", f"{len(receipts)} sample events; each came back with a verified receipt", started)
        return size

    def _append(self, ledger: Ledger) -> Receipt:
        started = self._now()
        receipt = ledger.append(
            "user.role.updated", actor="user:user_123", target="user:user_456", changes={"role": ("member", "admin")}
        )
        self._say(
            "Appended",
            f"one event: entry {receipt.leaf_index}, durable, in the tree of size {receipt.checkpoint.tree_size}, "
            f"verified from the bytes that were sent",
            started,
        )
        return receipt

    def _prove(self, ledger: Ledger, before: int) -> None:
        started = self._now()
        newest = ledger.checkpoint().checkpoint.tree_size
        proof = ledger.prove_consistency(before, newest)
        self._say(
            "Proved",
            f"that the log of {before} entries is a prefix of the log of {newest}: {len(proof.hashes)} hashes",
            started,
        )

    def _read(self, ledger: Ledger, receipt: Receipt) -> None:
        started = self._now()
        entries = sum(1 for _ in ledger.read_entries(0))
        verdict = ledger.verify_entry(receipt.leaf_index)
        passed = sum(check.passed for check in verdict.checks)
        self._say(
            "Read back",
            f"{entries} entries, none left out; the server's own check of entry {receipt.leaf_index} "
            f"passed {passed} of {len(verdict.checks)} steps",
            started,
        )
        if verdict.verdict != "verified":
            click.echo(f"NOT VERIFIED: the server says {verdict.verdict} of entry {verdict.leaf_index}", err=True)
            raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)

    def _verify_offline(self, receipt: Receipt, verifier_key: str) -> None:
        from ledger.evidence.receipts import verify_receipt
        from ledger.notes.keys import parse_verifier_key

        data = receipt.to_tlog_proof()
        started = self._now()
        verified = verify_receipt(data, parse_verifier_key(verifier_key))
        self._say("Verified offline", f"the receipt of entry {verified.leaf_index}, the server stopped", started)

    def _tamper(self, receipt: Receipt, verifier_key: str) -> None:
        self._caught("a receipt that claims another index", lambda: self._forged_receipt(receipt, verifier_key))
        self._caught("one byte of an event, changed in the database", self._edited_database)
        self._caught("a database that was put back to an older backup", self._old_backup)

    def _forged_receipt(self, receipt: Receipt, verifier_key: str) -> str:
        from ledger.errors import VerificationError
        from ledger.evidence.receipts import verify_receipt
        from ledger.notes.keys import parse_verifier_key

        index = receipt.leaf_index
        forged = receipt.to_tlog_proof().replace(b"\nindex %d\n" % index, b"\nindex %d\n" % (index - 1))
        try:
            verify_receipt(forged, parse_verifier_key(verifier_key))
        except VerificationError as error:
            return error.message
        return ""

    def _edited_database(self) -> str:
        copy = self._copy("edited")
        database = copy / "logs" / "default" / "store.1" / "data.mdb"
        # The same length, so that the database itself notices nothing.
        database.write_bytes(database.read_bytes().replace(b"user_456", b"user_457"))
        return self._fsck(copy)

    def _old_backup(self) -> str:
        copy = self._copy("old")
        shutil.rmtree(copy / "logs")
        shutil.copytree(self._folder / "backup", copy / "logs")
        return self._fsck(copy)

    def _copy(self, name: str) -> Path:
        copy = self._folder / name
        shutil.copytree(self._data, copy)
        return copy

    @staticmethod
    def _fsck(data: Path) -> str:
        from ledger.engine.directory import DEFAULT_LOG, open_directory
        from ledger.engine.fsck import check_log

        directory = open_directory(data)
        guard = directory.open_guard(DEFAULT_LOG)
        with closing(directory.open_store(DEFAULT_LOG, read_only=True)) as store:
            report = check_log(store, None if guard is None else guard.value)
        if guard is not None:
            guard.close()
        return report.findings[0].describe() if report.findings else ""

    def _caught(self, what: str, attempt: Callable[[], str]) -> None:
        started = self._now()
        finding = attempt()
        if not finding:
            click.echo(f"NOT CAUGHT: {what}", err=True)
            raise click.exceptions.Exit(ExitCode.VERIFICATION_FAILED)
        self._say("Caught", f"{what}: {finding}", started)

    def _now(self) -> int:
        return self._clock.boottime_us()

    def _say(self, verb: str, rest: str, started: int) -> None:
        self._number += 1
        milliseconds = (self._now() - started) / 1000
        click.echo(f"{self._number}. {verb} {rest} ({milliseconds:.1f} ms)")


@contextmanager
def _server(data: Path) -> Iterator[tuple[str, int]]:
    """Run `logproof serve` on a free port until the block ends; gives its address and when it was started."""
    started = SystemClock().boottime_us()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    process = subprocess.Popen(  # noqa: S603 - our own command with arguments of our own
        [sys.executable, "-m", "ledger.cli.main", "serve", "--data", str(data), "--listen", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("LOGPROOF_")},
    )
    try:
        _wait_until_ready(process)
        yield address, started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    out = process.stdout
    if out is None:
        raise RuntimeError("the server was started without a pipe")
    said = b""
    while b"ready\n" not in said:
        readable, _, _ = select.select([out], [], [], _START_SECONDS)
        chunk = os.read(out.fileno(), 65_536) if readable else b""
        if not chunk:
            process.kill()
            _, errors = process.communicate()
            raise click.ClickException(f"the server did not start: {errors.decode(errors='replace').strip()[-500:]}")
        said += chunk
