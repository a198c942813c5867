"""Python programs in processes of their own, which a test can kill, trace, or take rights from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def start_python(
    code: str, *arguments: object, prefix: Sequence[str] = (), inherit: Sequence[int] = ()
) -> subprocess.Popen[str]:
    """Start a program that can import `ledger` and `tests`; its streams are pipes.

    Args:
        code: The program.
        arguments: Its `sys.argv[1:]`.
        prefix: A command to run it under, such as strace.
        inherit: Descriptors that it shall have too.
    """
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=inherit,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def run_python(code: str, *arguments: object, prefix: Sequence[str] = ()) -> str:
    """Run such a program to its end, which must be good, and return what it printed."""
    with start_python(code, *arguments, prefix=prefix) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


def read_line(process: subprocess.Popen[str]) -> str:
    """Return the next line that a started program prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def needs_strace() -> str:
    """Return the path of strace, or skip the test where this machine has none or may not trace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs the Debian package strace")
    if subprocess.run([strace, "-qq", "-e", "trace=none", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let strace trace")
    return strace
