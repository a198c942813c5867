from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.cli.main import main
from tests.support.lying_server import API_KEY, LyingServer


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty working directory, with nothing of the user's own settings in reach."""
    for name in ("ADDRESS", "API_KEY", "LOG", "VERIFIER_KEY", "STATE", "CONFIG", "TLS_CA", "TLS_CERT", "TLS_KEY"):
        monkeypatch.delenv(f"LOGPROOF_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""
    del folder

    def run_command(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_command


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingServer]:
    """Give a server that tells the truth, its address in the environment and its key pinned."""
    del folder
    with LyingServer() as running:
        monkeypatch.setenv("LOGPROOF_ADDRESS", running.address)
        monkeypatch.setenv("LOGPROOF_API_KEY", API_KEY)
        monkeypatch.setenv("LOGPROOF_VERIFIER_KEY", running.verifier_key)
        yield running
