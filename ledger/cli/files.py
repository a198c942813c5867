"""Input files of commands: by name, or `-` for stdin; never more than a bounded number of bytes.

The rule that must not break: opening a file waits for nobody. A named pipe does, for its writer, so it is no input file;
what the caller has open already, as stdin or by a shell's `<(...)`, is read as it comes.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from io import BufferedReader
from pathlib import Path
from typing import Final

from ledger.errors import MalformedError

MAX_INPUT_BYTES: Final = 256 * 1024 * 1024
"""Largest file that is read whole."""

MAX_SETTING_BYTES: Final = 64 * 1024
"""Largest file of a setting: a key, or the configuration."""


# What this process has open: its own standard input, or what a shell made for it.
_OPEN_ALREADY: Final = re.compile(r"/dev/stdin|(?:/dev|/proc/self)/fd/[0-9]+")


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading.

    Raises:
        OSError: It cannot be opened.
        MalformedError: It is a named pipe, a device or a socket.
    """
    if _OPEN_ALREADY.fullmatch(str(path)):
        return path.open("rb")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        what = "a named pipe" if stat.S_ISFIFO(mode) else "a device"
        raise MalformedError(f"{path} is {what}, not a file", hint=f"give it as stdin: /dev/stdin or -, and < {path}")
    return os.fdopen(descriptor, "rb")


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that a command names; at most 256 MiB.

    Raises:
        OSError: The file cannot be read.
        MalformedError: It is too large, or no file.
    """
    with open_file(path) as file:
        data = file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise MalformedError(f"{path} has more than {MAX_INPUT_BYTES} bytes")
    return data


def read_input(name: str) -> bytes:
    """Return the bytes of a file, or of stdin for `-`; at most 256 MiB.

    Raises:
        OSError: The file cannot be read.
        MalformedError: It is too large or no file, or stdin is closed.
    """
    if name != "-":
        return read_file(Path(name))
    if sys.stdin is None:
        raise MalformedError("stdin is closed, and was to be read")
    data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise MalformedError(f"{name} has more than {MAX_INPUT_BYTES} bytes")
    return data


def read_setting(path: Path) -> str:
    """Return the text of a file that holds a setting; at most 64 KiB.

    Raises:
        OSError: The file cannot be read.
        UnicodeDecodeError: It is not text in UTF-8.
        MalformedError: It is too large, or no file.
    """
    with open_file(path) as file:
        data = file.read(MAX_SETTING_BYTES + 1)
    if len(data) > MAX_SETTING_BYTES:
        raise MalformedError(f"{path} has more than {MAX_SETTING_BYTES} bytes, too many for what it should hold")
    return data.decode("utf-8")
