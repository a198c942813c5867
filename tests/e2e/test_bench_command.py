"""`logproof bench` against a real server: what it measures, and what it refuses to write into."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.cli.main import main
from tests.support.live_server import LiveServer, live_server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    with live_server(tmp_path / "data") as running:
        monkeypatch.setenv("LOGPROOF_ADDRESS", running.address)
        monkeypatch.setenv("LOGPROOF_API_KEY", running.admin_key)
        monkeypatch.setenv("LOGPROOF_STATE", str(tmp_path / "state"))
        yield running


@pytest.fixture
def bench(server: LiveServer, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command, bounded by its number of events; return what it printed as JSON."""
    del server

    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        given = ["bench", "--seconds", "60", "--callers", "4", "--format", "json", *arguments]
        assert main(given) == code
        captured = capsys.readouterr()
        return json.loads(captured.out) if code == 0 else captured.err

    return run


def _show(capsys: pytest.CaptureFixture[str], name: str) -> int:
    capsys.readouterr()
    assert main(["log", "show", name, "--format", "json"]) == 0
    size: int = json.loads(capsys.readouterr().out)["tree_size"]
    return size


@pytest.mark.parametrize(
    "way", [(), ("--raw",), ("--stream",), ("--raw", "--batch", "7"), ("--batch", "7"), ("--rate", "5000")]
)
def test_a_run_appends_its_events_to_a_log_of_its_own(
    bench: Callable[..., Any], capsys: pytest.CaptureFixture[str], way: tuple[str, ...]
) -> None:
    before = _show(capsys, "default")
    told = bench("--events", "21", *way)

    assert told["log"].startswith("bench-")
    assert told["events_acknowledged"] == 21
    assert sum(count for _, count in told["histogram_us"]) == told["calls_acknowledged"]
    assert (told["calls_refused"], told["refused_by_reason"]) == (0, {})
    assert ("not verified" in told["way"]) == (way[:1] in {("--raw",), ("--stream",)})
    # Its own entries, and those of the administration that made the log.
    assert _show(capsys, told["log"]) >= 21
    assert _show(capsys, "default") == before


def test_a_named_log_takes_one_run_after_the_other(bench: Callable[..., Any]) -> None:
    assert bench("--events", "5", "--log", "default")["log"] == "default"
    assert bench("--events", "5", "--log", "default")["events_acknowledged"] == 5


def test_a_log_with_entries_of_others_is_left_alone_without_consent(
    bench: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["append", "user.created", "--actor", "user:u1", "--target", "user:u2"]) == 0
    size = _show(capsys, "default")

    told = bench("--events", "5", "--log", "default", code=2)
    assert "none of a benchmark" in told
    assert "--append-to-log-of-others" in told
    assert "logproof log create" in told
    assert _show(capsys, "default") == size

    assert bench("--events", "5", "--log", "default", "--append-to-log-of-others")["events_acknowledged"] == 5


def test_who_may_only_write_is_told_how_to_get_a_log(
    bench: Callable[..., Any],
    server: LiveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del server
    out = tmp_path / "writer.key"
    assert main(["key", "create", "load", "--role", "writer", "--log", "default", "--out", str(out)]) == 0
    monkeypatch.setenv("LOGPROOF_API_KEY", out.read_text().strip())

    assert "logproof log create bench-" in bench("--events", "1", code=4)
    assert "may not read" in bench("--events", "1", "--log", "default", code=2)
    assert bench("--events", "1", "--log", "default", "--append-to-log-of-others")["events_acknowledged"] == 1
    capsys.readouterr()


def test_a_stream_takes_no_batches(bench: Callable[..., Any]) -> None:
    assert "--batch" in bench("--stream", "--batch", "2", code=2)
