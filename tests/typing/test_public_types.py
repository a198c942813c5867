"""The types of the public interface are tested like its behaviour: right uses check, wrong ones do not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documentation import ROOT

pytestmark = pytest.mark.ci

_HERE = Path(__file__).parent


def _checked(name: str, cache: Path) -> set[tuple[int, str]]:
    """Run mypy strictly over a file as in a project of someone else's; return line and code of each error."""
    options = ["--strict", "--no-error-summary", "--hide-error-context", "--config-file=", "--cache-dir", str(cache)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(_HERE / name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    found = re.findall(rf"^\S*{re.escape(name)}:(\d+): error: .*\[([\w-]+)\]$", done.stdout, flags=re.MULTILINE)
    # What it found elsewhere would be an error in our own types, seen from outside.
    assert len(found) == done.stdout.count(": error: "), done.stdout
    return {(int(line), code) for line, code in found}


def test_right_uses_of_the_public_interface_check_strictly(tmp_path: Path) -> None:
    assert _checked("right_uses.py", tmp_path) == set()


def test_wrong_uses_of_the_public_interface_are_refused_where_they_stand(tmp_path: Path) -> None:
    lines = (_HERE / "wrong_uses.py").read_text(encoding="utf-8").splitlines()
    expected = {(number, line.split("# E: ")[1]) for number, line in enumerate(lines, 1) if "# E: " in line}
    assert len(expected) >= 15
    assert _checked("wrong_uses.py", tmp_path) == expected
