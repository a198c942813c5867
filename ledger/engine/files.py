"""Small files that must be whole or absent after a crash."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.storage.files import sync_path


def make_folder(path: Path) -> None:
    """Make a directory, mode 0700, with the parents that are missing; their names are durable when this returns.

    Raises:
        OSError: It cannot be made, or something else has the name.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_path(path.parent)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Give a new directory, mode 0700, that is removed at the end unless it was renamed meanwhile.

    What an attempt that was killed left under the same name is removed first.

    Raises:
        OSError: It cannot be made.
    """
    if path.exists():
        shutil.rmtree(path)
    make_folder(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write_new_file(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet, mode 0600; durable when this returns.

    Raises:
        FileExistsError: It exists.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    sync_path(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file, mode 0600, so that a reader sees the old content or the new; durable when this returns."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    write_new_file(temporary, content)
    temporary.rename(path)
    sync_path(path.parent)
