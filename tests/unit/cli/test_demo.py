"""The demo says what it saw, and fails where that is not what it should be."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from google.protobuf.message import Message

from ledger.cli.demo import _Demo
from ledger.client import Ledger
from ledger.v1 import ledger_pb2
from tests.support.lying_server import API_KEY, LyingServer


def test_entry_that_the_server_does_not_verify_ends_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_fault(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.VerifyEntryResponse):
            answer.verdict = ledger_pb2.VERDICT_FAILED
            answer.checks.add(name="event_commitment", passed=False, detail="another")

    with (
        LyingServer() as server,
        Ledger(server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path / "state") as ledger,
    ):
        receipt = ledger.append("a.b")
        demo = _Demo(tmp_path)
        demo._read(ledger, receipt)
        assert "passed 1 of 1 steps" in capsys.readouterr().out
        server.lie = find_fault
        with pytest.raises(click.exceptions.Exit) as caught:
            demo._read(ledger, receipt)
    assert caught.value.exit_code == 1
    said = capsys.readouterr()
    assert "passed 1 of 2 steps" in said.out
    assert said.err.startswith("NOT VERIFIED")
