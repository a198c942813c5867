"""Independent verifiers that nobody here wrote, where this clone has them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documentation import ROOT
from tests.support.shared import shared_path

_GO_MOD = Path("/usr/share/gocode/src/golang.org/x/mod")
_ENVIRONMENT = ROOT / ".venv-verifiers"


def tlog_check(folder: Path) -> Path:
    """Build the checker on Go's tlog below `folder` and return its path, or skip the test where that cannot be."""
    source = shared_path("verifiers/go")
    if shutil.which("go") is None:
        pytest.skip("needs the Debian package golang-go")
    if not _GO_MOD.exists():
        pytest.skip("needs the Debian package golang-golang-x-mod-dev")
    built = folder / "tlog_check"
    shutil.copytree(source, built)
    done = subprocess.run(["sh", str(built / "build.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built / "tlog_check"


def verifiers_python() -> Path:
    """Return a Python that has the third-party packages of the checkers; installs them once, from the network."""
    python, known = _ENVIRONMENT / "bin" / "python", _ENVIRONMENT / "wanted.txt"
    with shared_path("verifiers/requirements.txt").open() as requirements:
        fcntl.flock(requirements, fcntl.LOCK_EX)  # the workers of a run share the environment
        wanted = requirements.read()
        if not known.exists() or known.read_text() != wanted:
            _install(wanted, python)
            known.write_text(wanted)
    return python


def _install(wanted: str, python: Path) -> None:
    lines = [line.split("#")[0].strip() for line in wanted.splitlines()]
    # One of them asks for a newer Python than it needs, as the note beside it says.
    ahead = [line for line in lines if line.startswith("aics-tlog")]
    _run(sys.executable, "-m", "venv", "--clear", _ENVIRONMENT)
    _run(python, "-m", "pip", "install", "--quiet", *[line for line in lines if line and line not in ahead])
    _run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python", *ahead)


def _run(*command: object) -> None:
    # The versions that bind our own environment are not for theirs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_CONSTRAINT")}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run_checker(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a checker and return what it printed."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False)
