"""Every command of the README and of the pages for integrators, auditors and operators is run, against real servers."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.documentation import ROOT, pages, shell_lines
from tests.support.served import Served, free_port

pytestmark = pytest.mark.ci

_EVENT_ID = "019c7b75-22bb-7001-8203-040506070809"
_SAMPLE = ROOT / "tests" / "data" / "cloudtrail-sample.json"


def program_folder(folder: Path) -> Path:
    """Make a folder in which `logproof` is this program, and return it."""
    commands = folder / "commands"
    commands.mkdir(parents=True)
    program = commands / "logproof"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ledger.cli.main "$@"\n')
    program.chmod(0o755)
    return commands


class Shell:
    """A shell in a folder of its own, in which `logproof` is this program and a server answers where pages say."""

    def __init__(self, folder: Path, served: Served) -> None:
        self.folder = folder
        self.served = served
        self.replaced = {
            "/srv/logproof": str(served.data),
            "/srv/guard": str(served.folder / "guard"),
            "/srv/backups": str(folder / "backups"),
            "127.0.0.1:7650": served.address,
        }
        self.environment = {
            **os.environ,
            "PATH": f"{program_folder(folder)}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LOGPROOF_ADDRESS": served.address,
            "LOGPROOF_API_KEY": served.api_key,
            "LOGPROOF_VERIFIER_KEY": served.verifier_key(),
            "LOGPROOF_STATE": str(folder / "state"),
        }

    def run(self, line: str, **environment: str) -> str:
        """Run a line of a page and return what it printed; it must succeed."""
        for old, new in self.replaced.items():
            line = line.replace(old, new)
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    served = Served(tmp_path)
    yield Shell(tmp_path / "shell", served)
    served.close()


@pytest.fixture
def operators_shell(tmp_path: Path) -> Iterator[Shell]:
    served = Served(tmp_path, "--guard-dir", str(tmp_path / "guard"), "--origin-prefix", "logs.acme.example/audit")
    yield Shell(tmp_path / "shell", served)
    served.close()


def _lines(name: str) -> list[str]:
    lines = [line for line in shell_lines(ROOT / name) if "pip install" not in line]
    return [line for line in lines if "logproof " in line or line.startswith("cp ")]


def _fill(shell: Shell) -> None:
    """Put into place what the pages take for granted: events, files, a receipt."""
    event = {"action": "user.created", "actor_id": "user_1", "target_type": "user", "target_id": "user_2"}
    lines = [json.dumps({**event, "timestamp": f"2026-02-20T14:{n // 60:02}:{n % 60:02}Z"}) for n in range(1100)]
    (shell.folder / "events.ndjson").write_text("\n".join(lines))
    for name in ("cloudtrail-files", "AWSLogs"):
        (shell.folder / name).mkdir()
        shutil.copy(_SAMPLE, shell.folder / name)
    shell.run(f"logproof append user.created --actor user:u1 --target user:u2 --event-id {_EVENT_ID}")
    shell.run("logproof import events.ndjson")
    shell.run("logproof append user.created --actor user:u1 --target user:u2 --receipt role-change.tlog-proof")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", ["README.md", "docs/integrator.md", "docs/auditor.md"])
def test_every_command_of_a_page_for_users_runs(shell: Shell, page: str) -> None:
    _fill(shell)
    shell.replaced |= {"./data/admin.key": str(shell.served.data / "admin.key"), "./data": str(shell.served.data)}
    ran = 0
    for line in _lines(page):
        if "logproof serve" not in line and "logproof demo" not in line:
            shell.run(line)
            ran += 1
    assert ran >= 5


@pytest.mark.timeout(300)
def test_every_command_of_the_operators_page_runs(operators_shell: Shell) -> None:
    shell = operators_shell
    rotations = 0
    ran = 0
    for documented in _lines("docs/operator.md"):
        if "logproof serve" in documented:
            continue
        line = documented
        if "KEY_ID" in documented:
            line = line.replace("KEY_ID", _key_to_change(shell, documented))
        if "rotate" in documented:
            # A page may write two secrets to files of the same name at different times.
            rotations += 1
            line = line.replace("--out ", f"--out {rotations}-")
        shell.run(line)
        ran += 1
    assert ran >= 10
    assert rotations >= 2


def _key_to_change(shell: Shell, line: str) -> str:
    words_of_line = shlex.split(line)
    log = words_of_line[words_of_line.index("--log") + 1]
    words = "first administrator" if log == "_system" else "billing service"
    listed = json.loads(shell.run(f"logproof key list --log {log} --api-key-file operator.key --format json"))
    found = [key for key in listed if key["label"] == words and not key["revoked_at"] and not key["certificate_name"]]
    key_id: str = found[-1]["key_id"]
    return key_id


_SERVE_LINES = sorted({line for page in pages() for line in shell_lines(page) if line.startswith("logproof serve ")})


@pytest.mark.parametrize("line", _SERVE_LINES)
def test_every_documented_start_of_a_server_serves_and_ends_well(tmp_path: Path, line: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("server")
    shutil.copy(authority.certificate, tmp_path / "clients.pem")
    port = str(free_port())
    # The page's own words, but for its port, which another server may have here, and its folders.
    here = line.replace("7650", port).replace("/srv/", f"{tmp_path}/")
    if "--listen" not in line:
        here += f" --listen 127.0.0.1:{port}"
    environment = {**os.environ, "PATH": f"{program_folder(tmp_path)}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        ["sh", "-c", f"exec {here}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        said = list(takewhile(lambda text: text != "ready\n", server.stdout))
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 0, errors
    assert any(f"https://0.0.0.0:{port}" in text if "--tls-cert" in line else port in text for text in said), said
    assert (tmp_path / ("logproof" if "/srv/" in line else "data") / "logs" / "default").is_dir()


def test_the_pages_show_how_to_start_a_server_plainly_with_tls_and_with_client_certificates() -> None:
    options = {option for line in _SERVE_LINES for option in shlex.split(line) if option.startswith("--")}
    assert {"--data", "--listen", "--guard-dir", "--origin-prefix", "--tls-cert", "--tls-client-ca"} <= options
