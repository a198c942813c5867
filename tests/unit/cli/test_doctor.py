"""`logproof doctor` finds each thing that an operator can get wrong, and says what to do."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.auth.roles import Role
from ledger.clock import ManualClock, SystemClock
from ledger.engine.administration import SERVER
from ledger.engine.backup import make_backup
from ledger.engine.kernel import installed_kernel
from ledger.engine.room import BALLAST_BYTES, LOW_WATER_BYTES
from ledger.engine.scrub import ScrubState, write_state
from ledger.storage.owner import OwnerLock
from tests.support.certificates import Authority
from tests.support.engine_lab import make_entry
from tests.support.engine_server import EngineServer
from tests.support.live_server import live_server
from tests.support.storage_edit import flip_byte, index_key, set_row
from tests.unit.cli.conftest import Run

Found = dict[str, tuple[str, str, str]]


@pytest.fixture
def server(folder: Path) -> EngineServer:
    """Give a data directory in good order, closed; what a machine has or lacks aside."""
    made = EngineServer(folder / "data")
    made.append(*(make_entry(number) for number in range(10)))
    made.close()
    folder_path = folder / "data"
    folder_path.chmod(0o700)
    (folder_path / "admin.key").unlink()
    with (folder_path / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
    for name in ("_system", "default"):
        write_state(made.directory.scrub_path(name), ScrubState(passed_at=SystemClock().now_us(), passed_size=1))
    return made


def _doctor(run: Run, *options: str | Path) -> tuple[int, Found]:
    ran = run("doctor", *options, "--format", "json")
    rows = json.loads(ran.out)
    worst: Found = {}
    for row in sorted(rows, key=lambda row: ("ok", "warn", "fail").index(row["result"])):
        worst[row["check"]] = (row["result"], row["detail"], row["next"] or "")
    return ran.code, worst


def test_a_directory_in_order_has_no_failures(run: Run, server: EngineServer) -> None:
    code, found = _doctor(run, "--data", server.path)
    assert code == 0
    # What depends on the machine that runs the tests is left out.
    of_machine = {"clock", "disk", "guard disk", "filesystem", "file descriptors", "core dumps", "guard volume"}
    assert {name: check for name, check in found.items() if check[0] != "ok" and name not in of_machine} == {}
    assert found["server"][1] == "does not run"
    assert "_system: signing key" in found


def _backdate_backup(server: EngineServer) -> None:
    make_backup(server.directory, server.path.parent / "backups", now_us=SystemClock().now_us() - 5 * 86_400_000_000)


def _short_key(server: EngineServer) -> None:
    server.open()
    server.administration.create_key(
        "default", SERVER, label="soon", roles=frozenset({Role.READER}), personal=False, expires_in_days=3
    )
    server.close()


def _append_in_the_future(server: EngineServer) -> None:
    server.clock = ManualClock(SystemClock().now_us() + 3_600_000_000)
    server.open()
    server.new_key("default", Role.READER)
    server.close()


WRONG: dict[str, tuple[Callable[[EngineServer], object], str, str, str]] = {
    "open directory": (lambda s: s.path.chmod(0o755), "rights", "fail", "chmod"),
    "open key": (lambda s: (s.path / "keys" / "default.key").chmod(0o644), "rights", "fail", "chmod"),
    "no ballast": (lambda s: (s.path / "ballast").unlink(), "ballast", "warn", "restart"),
    "first key": (lambda s: (s.path / "admin.key").touch(0o600), "first API key", "warn", "rotate"),
    "no guard": (lambda s: s.directory.guard_file("default").unlink(), "default", "fail", "runbook"),
    "damage": (
        lambda s: flip_byte(s.store_path(), "leaves", index_key(11), -1),
        "default",
        "fail",
        "runbook",
    ),
    "frozen": (lambda s: set_row(s.store_path(), "records", b"freeze", b"found it"), "default", "fail", "runbook"),
    "no store": (lambda s: (s.directory.log_path("default") / "CURRENT").unlink(), "default", "fail", "one line"),
    "no list": (lambda s: (s.directory.log_path("_system") / "CURRENT").unlink(), "_system", "fail", "one line"),
    "key gone": (lambda s: s.directory.key_path("default").unlink(), "default: signing key", "fail", "restore"),
    "never scrubbed": (lambda s: s.directory.scrub_path("default").unlink(), "default: scrub", "warn", "scrub --run"),
    "scrub finding": (
        lambda s: write_state(s.directory.scrub_path("default"), ScrubState(finding="bad")),
        "default: scrub",
        "fail",
        "runbook",
    ),
    "key ends": (_short_key, "default: API keys", "warn", "key rotate"),
    "future": (_append_in_the_future, "default: time", "fail", "confirm-clock"),
    "no backup": (lambda s: (s.path.parent / "backups").mkdir(), "backup", "fail", "logproof backup"),
    "old backup": (_backdate_backup, "backup", "warn", "logproof backup"),
    "newer format": (
        lambda s: (s.path / "logproof.json").write_text('{"format": 99, "origin_prefix": "x"}'),
        "data directory",
        "fail",
        "version",
    ),
    "no directory": (lambda s: (s.path / "logproof.json").unlink(), "data directory", "fail", "serve"),
}


@pytest.mark.parametrize("wrong", list(WRONG))
def test_what_is_wrong_is_found_with_what_to_do(run: Run, server: EngineServer, wrong: str) -> None:
    break_it, check, result, advice = WRONG[wrong]
    break_it(server)
    backups = server.path.parent / "backups"
    options: list[str | Path] = ["--backups", backups] if backups.exists() else []
    code, found = _doctor(run, "--data", server.path, *options)
    assert found[check][0] == result
    assert advice in found[check][2]
    assert code == (1 if result == "fail" else 0)


def test_a_retired_log_is_told_as_such_and_is_no_failure(run: Run, server: EngineServer) -> None:
    server.open()
    server.administration.retire_log("default", SERVER, reason="moved")
    server.close()
    code, found = _doctor(run, "--data", server.path)
    assert code == 0
    assert found["default: state"] == ("ok", "retired, and takes no events any more: moved", "")
    assert found["kernel"][1].startswith(installed_kernel().name)


def test_a_running_server_is_named(run: Run, server: EngineServer) -> None:
    lock = OwnerLock(server.path / "owner.lock")
    found = _doctor(run, "--data", server.path)[1]
    lock.release()
    assert found["server"][1] == f"runs as process {os.getpid()}"


@pytest.mark.parametrize(("free", "result"), [(LOW_WATER_BYTES - 1, "fail"), (2 * LOW_WATER_BYTES, "warn")])
def test_a_disk_that_runs_full_is_told_early(
    run: Run, server: EngineServer, monkeypatch: pytest.MonkeyPatch, free: int, result: str
) -> None:
    volume = os.statvfs_result((1, 1, free, free, free, 10**6, 10**6, 10**6, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: volume)
    assert _doctor(run, "--data", server.path)[1]["disk"][0] == result


def test_a_low_limit_of_descriptors_is_told(run: Run, server: EngineServer) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        found = _doctor(run, "--data", server.path)[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert found["file descriptors"][0] == "warn"
    assert "512" in found["file descriptors"][1]


def test_tls_files_are_checked_against_each_other_and_for_their_end(
    run: Run, server: EngineServer, folder: Path
) -> None:
    authority = Authority(folder)
    one, two = authority.issue("one"), authority.issue("two")
    options = ("--data", server.path, "--server-cert", one.certificate)
    good = _doctor(run, *options, "--server-key", one.key)[1]
    assert good["TLS files"][0] == "ok"
    assert "TLS certificate" in good
    code, bad = _doctor(run, *options, "--server-key", two.key)
    assert (code, bad["TLS files"][0]) == (1, "fail")


def test_a_server_is_asked_where_no_directory_is_named(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with live_server(folder / "data") as live:
        monkeypatch.setenv("LOGPROOF_ADDRESS", live.address)
        monkeypatch.setenv("LOGPROOF_API_KEY", live.admin_key)
        monkeypatch.setenv("LOGPROOF_STATE", str(folder / "state"))
        code, found = _doctor(run)
        assert code == 0
        assert found["default"][0] == "ok"
        assert found["version"][0] == "ok"
        assert found["kernel"] == ("ok", installed_kernel().name, "")
        live.publication.on_mismatch("default", "a test says so")
        code, found = _doctor(run)
        assert (code, found["default"][0]) == (1, "fail")
        assert "a test says so" in found["default"][1]
