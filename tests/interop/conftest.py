"""One Node process for the tests of a module."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.javascript import Javascript

_ANSWERS = Path(__file__).with_name("answer_calls.mjs")


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs the Debian package nodejs")
    return found


@pytest.fixture(scope="module")
def javascript(node: str) -> Iterator[Javascript]:
    command = [node, str(_ANSWERS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield Javascript(process)
        ended = process.poll()
        process.kill()
    assert ended is None, "the process ended by an error that is no refusal"
