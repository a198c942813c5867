"""Input files of commands: by name, or `-` for stdin; never more than a bounded number of bytes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ledger.errors import MalformedError

MAX_INPUT_BYTES: Final = 256 * 1024 * 1024
"""Largest file that is read whole."""

MAX_SETTING_BYTES: Final = 64 * 1024
"""Largest file of a setting: a key, or the configuration."""


def read_input(name: str) -> bytes:
    """Return the bytes of a file, or of stdin for `-`; at most 256 MiB.

    Raises:
        OSError: The file cannot be read.
        MalformedError: It is too large, or stdin is closed.
    """
    if name == "-":
        if sys.stdin is None:
            raise MalformedError("stdin is closed, and was to be read")
        data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise MalformedError(f"{name} has more than {MAX_INPUT_BYTES} bytes")
    return data


def read_setting(path: Path) -> str:
    """Return the text of a file that holds a setting; at most 64 KiB.

    Raises:
        OSError: The file cannot be read.
        UnicodeDecodeError: It is not text in UTF-8.
        MalformedError: It is too large.
    """
    with path.open("rb") as file:
        data = file.read(MAX_SETTING_BYTES + 1)
    if len(data) > MAX_SETTING_BYTES:
        raise MalformedError(f"{path} has more than {MAX_SETTING_BYTES} bytes, too many for what it should hold")
    return data.decode("utf-8")
