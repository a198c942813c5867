from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ledger

_ROOT = Path(__file__).resolve().parents[2]


def _loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    )


def test_importing_the_package_loads_none_of_its_parts() -> None:
    loaded = _loaded_after("import ledger")

    assert {name for name in loaded if name.startswith("ledger.")} == set()
    assert "grpc" not in loaded


def test_nothing_opens_the_lock_file_of_a_store_or_copies_its_directory() -> None:
    # Either makes a second writer possible, and acknowledged entries vanish without an error.
    forbidden = {"lock.mdb", "copy", "copy2", "copyfile", "copytree", "move"}
    found = []
    for path in sorted((_ROOT / "ledger").rglob("*.py")):
        if path.name == "demo.py":  # copies what no server has open
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_shutil = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "shutil"
            word = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
            if word in forbidden and (is_shutil or word == "lock.mdb"):
                found.append(f"{path.name}: {word}")

    assert found == []


def test_every_public_name_loads_on_first_use() -> None:
    for name in ledger.__all__:
        assert getattr(ledger, name) is not None


def test_public_names_are_listed_for_completion() -> None:
    assert set(ledger.__all__) <= set(dir(ledger))


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    name = "nothing_of_this_name"
    with pytest.raises(AttributeError, match=name):
        getattr(ledger, name)


def test_version_is_that_of_the_installed_distribution() -> None:
    assert ledger.__version__ == version("logproof")


def test_locked_versions_are_within_the_ranges() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    ranges = [
        *project["dependencies"],
        *(line for name, extra in project["optional-dependencies"].items() if name != "bench" for line in extra),
    ]
    locked = dict(
        line.split()[0].split("==")
        for line in (_ROOT / ".ci" / "constraints.txt").read_text().splitlines()
        if line[:1].isalnum()
    )
    for requirement in map(Requirement, ranges):
        assert requirement.specifier.contains(locked[requirement.name]), requirement
