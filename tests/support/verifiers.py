"""Independent verifiers that nobody here wrote, where this clone has them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.shared import shared_path

_GO_MOD = Path("/usr/share/gocode/src/golang.org/x/mod")


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


def run_checker(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a checker and return what it printed."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False)
