"""Input files of commands: by name, or `-` for stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ledger.errors import MalformedError

MAX_INPUT_BYTES: Final = 256 * 1024 * 1024
"""Largest file that is read whole."""


def read_input(name: str) -> bytes:
    """Return the bytes of a file, or of stdin for `-`; at most 256 MiB.

    Raises:
        OSError: The file cannot be read.
        MalformedError: It is too large.
    """
    if name == "-":
        data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise MalformedError(f"{name} has more than {MAX_INPUT_BYTES} bytes")
    return data
