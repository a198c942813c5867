"""Long commands show how far they are on a terminal, and nothing of it in a pipe."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.support.documentation import ROOT
from tests.support.served import Served

_SAMPLE = ROOT / "tests" / "data" / "cloudtrail-sample.json"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served"))
    with server.client() as client:
        client.append("user.created", actor="user:u1", target="user:u2")
    yield server
    server.close()


def _run(served: Served, arguments: list[str], stderr: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ledger.cli.main", *arguments],
        env={**os.environ, **served.environment, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def _on_a_terminal(served: Served, arguments: list[str]) -> tuple[int, str, str]:
    """Run a command whose errors go to a terminal; return its code, its output and what the terminal got."""
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        # The other end is closed when the command has ended, which Linux tells as an error.
        try:
            while chunk := os.read(ours, 65_536):
                seen.append(chunk)
        except OSError:
            pass

    reader = Thread(target=read)
    reader.start()
    try:
        code, out = _run(served, arguments, theirs)
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
    return code, out, b"".join(seen).decode()


def _commands(served: Served, folder: Path) -> dict[str, list[str]]:
    """Return the long commands by the label of their bar; each needs those before it."""
    shutil.copy(_SAMPLE, folder)
    tiles, key = str(folder / "tiles"), served.verifier_key()
    return {
        "importing": ["import", "--from", "cloudtrail", str(folder / _SAMPLE.name), "--format", "json"],
        "exporting entries": ["export", "tiles", tiles],
        "verifying entries": ["verify", "tiles", tiles, "--key", key, "--format", "json"],
        "default": ["fsck", "--data", str(served.data), "--log", "default", "--format", "json"],
    }


def test_a_long_command_shows_a_bar_on_a_terminal_and_keeps_its_output_clean(served: Served, tmp_path: Path) -> None:
    for label, command in _commands(served, tmp_path).items():
        code, out, terminal = _on_a_terminal(served, command)
        assert code == 0, terminal
        assert label in terminal
        assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in terminal
        # The bar goes when the work is done: the last that is drawn is an erased line and the cursor.
        assert "\x1b[2K" in terminal
        assert "\x1b" not in out
        if "--format" in command:
            json.loads(out)


def test_a_long_command_draws_nothing_in_a_pipe(served: Served, tmp_path: Path) -> None:
    for command in _commands(served, tmp_path).values():
        with (tmp_path / "errors").open("w") as errors:
            code, _ = _run(served, command, errors.fileno())
        said = (tmp_path / "errors").read_text()
        assert code == 0, said
        assert "\x1b" not in said
        assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" not in said
