"""The distribution as a user gets it: built from the checkout, installed where nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, and an empty folder to run its programs in."""

    root: Path
    folder: Path

    def run(self, program: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one of its programs and return what it said."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOGPROOF_"))}
        return subprocess.run(
            [str(self.root / "bin" / program), *arguments],
            cwd=self.folder,
            env=variables | {"HOME": str(self.folder)},
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )


def _install(root: Path, requirement: str) -> Environment:
    venv.create(root / "environment", with_pip=True)
    folder = root / "folder"
    folder.mkdir()
    pip = [str(root / "environment" / "bin" / "pip"), "install", "--quiet", requirement]
    subprocess.run(pip, check=True, timeout=300)
    return Environment(root / "environment", folder)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution and, from that alone, the wheel."""
    output = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(_ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (built,) = output.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel without extras: verifier and client."""
    return _install(tmp_path_factory.mktemp("core"), str(wheel))


@pytest.fixture(scope="session")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel with the extra `server`."""
    return _install(tmp_path_factory.mktemp("server"), f"{wheel}[server]")
