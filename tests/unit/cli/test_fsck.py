"""`logproof fsck` over the logs of one data directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger.engine.administration import SERVER
from ledger.engine.directory import SYSTEM_LOG
from ledger.notes.keys import Ed25519Signer, format_signer_key, parse_signer_key
from tests.support.engine_lab import make_entry
from tests.support.engine_server import EngineServer
from tests.unit.cli.conftest import Run


@pytest.fixture
def data(folder: Path) -> Path:
    """Give a data directory with the logs `default` and `zeta`, closed."""
    server = EngineServer(folder / "data")
    server.administration.create_log("zeta", SERVER)
    server.append(make_entry(1), make_entry(2))
    server.close()
    return folder / "data"


def _results(run: Run, data: Path, *options: str) -> tuple[int, dict[str, str], dict[str, list[str]]]:
    ran = run("fsck", "--data", data, "--format", "json", *options)
    rows = json.loads(ran.out)
    return ran.code, {row["log"]: row["result"] for row in rows}, {row["log"]: row["findings"] for row in rows}


def test_logs_in_order_are_clean(run: Run, data: Path) -> None:
    code, results, _ = _results(run, data)
    assert (code, results) == (0, {"_system": "clean", "default": "clean", "zeta": "clean"})


def test_log_that_cannot_be_opened_keeps_no_other_from_being_checked(run: Run, data: Path) -> None:
    (data / "logs" / "default" / "CURRENT").unlink()

    code, results, findings = _results(run, data)
    assert (code, results) == (74, {"_system": "clean", "default": "unreadable", "zeta": "clean"})
    assert "CURRENT" in findings["default"][0]
    assert _results(run, data, "--log", "zeta")[0] == 0
    (data / "logs" / "zeta" / "store.1" / "data.mdb").write_bytes(b"")
    code, results, _ = _results(run, data)
    assert (code, results) == (1, {"_system": "clean", "default": "unreadable", "zeta": "damaged"})


def test_logs_are_checked_where_the_list_of_logs_cannot_be_read(run: Run, data: Path) -> None:
    (data / "logs" / SYSTEM_LOG / "CURRENT").unlink()

    code, results, _ = _results(run, data)
    assert (code, results) == (74, {"_system": "unreadable", "default": "clean", "zeta": "clean"})


def test_signing_key_that_is_not_the_logs_is_found(run: Run, data: Path) -> None:
    path = data / "keys" / "zeta.key"
    origin = parse_signer_key(path.read_text().strip()).name
    path.write_text(format_signer_key(Ed25519Signer(origin, bytes(32))) + "\n")

    code, results, findings = _results(run, data)
    assert (code, results) == (1, {"_system": "clean", "default": "clean", "zeta": "damaged"})
    assert "its signing key is that of" in findings["zeta"][0]
    path.unlink()
    assert _results(run, data)[:2] == (code, results)


def test_log_that_is_another_than_the_one_in_the_list_is_found(run: Run, data: Path, folder: Path) -> None:
    # The same names and origins, made elsewhere, so with other keys.
    other = folder / "other"
    server = EngineServer(other)
    server.random(1)
    server.administration.create_log("zeta", SERVER)
    server.close()
    for part in ("logs/zeta/store.1/data.mdb", "guard/zeta.guard"):
        (data / part).write_bytes((other / part).read_bytes())

    code, results, findings = _results(run, data)
    assert (code, results["zeta"], results["default"]) == (1, "damaged", "clean")
    assert any(finding.startswith("its own record says origin") for finding in findings["zeta"])


def test_help_tells_every_exit_code(run: Run) -> None:
    said = run("fsck", "--help").out
    assert all(f"{code}:" in said for code in (0, 1, 74))
