from __future__ import annotations

import subprocess
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Protocol

import pytest

import ledger

pytestmark = [pytest.mark.ci, pytest.mark.timeout(600)]

_ROOT = Path(__file__).resolve().parents[2]


class Environment(Protocol):
    def run(self, program: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


def test_wheel_holds_every_file_of_the_package(names: set[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "ledger"],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    expected = {name for name in tracked if (_ROOT / name).exists()}

    assert "ledger/py.typed" in names
    assert expected <= names


def test_wheel_holds_nothing_else(names: set[str]) -> None:
    folders = {name.split("/")[0] for name in names}

    assert folders == {"ledger", f"logproof-{ledger.__version__}.dist-info"}
    assert not [name for name in names if "/test" in name or name.endswith((".pyc", ".proto"))]


def test_wheel_carries_its_licence(names: set[str], metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_metadata_is_what_the_project_says(metadata: Message) -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]

    assert metadata["Name"] == "logproof"
    assert metadata["Version"] == ledger.__version__
    assert metadata["Requires-Python"] == project["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    assert metadata.get_payload() == (_ROOT / "README.md").read_text()


def test_core_install_has_nothing_of_the_server(core: Environment) -> None:
    installed = core.run("pip", "list", "--format", "freeze").stdout.lower()

    assert "logproof==" in installed
    assert not [name for name in ("lmdb", "prometheus", "structlog", "pytest") if name in installed]


def test_core_install_has_version_and_help(core: Environment) -> None:
    version = core.run("logproof", "version")
    told = core.run("logproof", "--help")

    assert (version.returncode, told.returncode) == (0, 0), version.stderr + told.stderr
    assert ledger.__version__ in version.stdout
    assert "verify" in told.stdout


def test_core_install_verifies_without_loading_grpc(core: Environment) -> None:
    code = (
        "import sys; from ledger.cli.main import main\n"
        "print('exit', int(main(['verify', 'proof', 'missing.json'])))\n"
        "print('loaded', sorted({'grpc', 'google.protobuf', 'lmdb', 'asyncio'} & set(sys.modules)))\n"
    )
    result = core.run("python", "-c", code)

    assert result.stdout.splitlines()[-2:] == ["exit 2", "loaded []"], result.stderr


def test_core_install_imports_the_client_and_every_public_name(core: Environment) -> None:
    code = "import ledger, ledger.client\nfor name in ledger.__all__: getattr(ledger, name)\n"
    result = core.run("python", "-W", "error", "-c", code)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", ["serve", "fsck"])
def test_core_install_says_what_a_server_needs(core: Environment, command: str) -> None:
    result = core.run("logproof", command, "--data", "data")

    assert result.returncode == 2
    assert ".[server]" in result.stderr
    assert "Traceback" not in result.stderr


def test_server_install_runs_the_demo_in_an_empty_folder(server: Environment) -> None:
    result = server.run("logproof", "demo", timeout=300)

    assert result.returncode == 0, result.stdout + result.stderr
