"""Input files are opened without waiting for anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.cli.files import open_file, read_file, read_setting
from ledger.engine.directory import read_secret_file
from ledger.errors import MalformedError, StorageError
from tests.support.documentation import ROOT
from tests.unit.cli.conftest import Run

# Each names an input file FILE in another way.
COMMANDS = (
    ("append", "FILE"),
    ("import", "FILE"),
    ("import", "--from", "cloudtrail", "FILE"),
    ("verify", "receipt", "FILE", "--key", "FILE"),
    ("verify", "checkpoint", "FILE", "--since", "FILE", "--proof", "FILE"),
    ("verify", "proof", "FILE"),
    ("verify", "note", "FILE", "--key", "FILE"),
    ("head", "--api-key-file", "FILE"),
    ("head", "--since", "FILE"),
    ("log", "create", "new", "--continues", "FILE"),
)


@pytest.fixture
def pipe(folder: Path) -> Path:
    path = folder / "pipe.json"
    os.mkfifo(path, 0o600)
    return path


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_named_pipe_that_nobody_writes_is_refused_at_once(run: Run, pipe: Path, command: tuple[str, ...]) -> None:
    ran = run(*(word.replace("FILE", str(pipe)) for word in command))
    assert ran.code == 2
    assert "is a named pipe, not a file" in ran.err


@pytest.mark.usefixtures("server")
def test_a_named_pipe_is_no_configuration(run: Run, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGPROOF_CONFIG", str(pipe))
    ran = run("log", "list")
    assert (ran.code, "is a named pipe, not a file" in ran.err) == (2, True)


def test_what_is_no_file_is_told_with_what_to_do(pipe: Path) -> None:
    with pytest.raises(MalformedError, match="is a named pipe, not a file") as refused:
        open_file(pipe)
    assert refused.value.hint == f"give it as stdin: /dev/stdin or -, and < {pipe}"
    with pytest.raises(MalformedError, match="is a device"):
        read_file(Path("/dev/zero"))
    with pytest.raises(IsADirectoryError):
        read_setting(pipe.parent)
    with pytest.raises(FileNotFoundError):
        read_setting(pipe.parent / "missing")


def test_a_named_pipe_holds_no_secret(pipe: Path) -> None:
    with pytest.raises(StorageError, match="is no file"):
        read_secret_file(pipe)


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_what_is_open_already_is_read_as_it_comes(name: str) -> None:
    program = (
        "import sys; from pathlib import Path; from ledger.cli.files import read_setting; "
        "print(read_setting(Path(sys.argv[1])))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, name],
        input="a secret",
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert ran.stdout == "a secret\n", ran.stderr
