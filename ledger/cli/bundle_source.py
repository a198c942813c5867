"""The files of a bundle on disk: a directory, or a zip that is never unpacked to disk.

The rule that must not break: nothing outside the bundle is read, whatever names and links are in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ledger.errors import MalformedError
from ledger.evidence.bundle import BundleSource
from ledger.evidence.bundle_format import MAX_FILES
from ledger.evidence.bundle_zip import read_directory, read_member

_CHUNK: Final = 256 * 1024
_FOLDERS: Final = frozenset({"checkpoints", "keys", "proofs", "receipts"})


@contextmanager
def open_bundle(path: Path) -> Iterator[BundleSource]:
    """Give the files of a bundle.

    Raises:
        OSError: It cannot be read.
        MalformedError: It is no bundle.
    """
    if path.is_dir():
        yield _Directory(path)
        return
    with path.open("rb") as file:
        yield _Zip(file)


class _Zip:
    """A zip."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members = read_directory(self._read_at, file.seek(0, os.SEEK_END))

    def sizes(self) -> Mapping[str, int]:
        return {name: member.size for name, member in self._members.items()}

    def read(self, name: str) -> Iterator[bytes]:
        return read_member(self._read_at, self._members[name])

    def _read_at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


class _Directory:
    """A directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for folder in ("", *sorted(_FOLDERS)):
            if folder and not (self._path / folder).exists():
                continue
            with os.scandir(self._path / folder) as items:
                found |= dict(_look_at(item, folder) for item in items if not _is_folder(item, folder))
            if len(found) > MAX_FILES:
                raise MalformedError(f"the bundle has more than {MAX_FILES} files")
        return found

    def read(self, name: str) -> Iterator[bytes]:
        # No link is followed, and no pipe waited for, that came there after the look.
        descriptor = os.open(self._path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise MalformedError(f"{name} in the bundle is no file")
            while chunk := file.read(_CHUNK):
                yield chunk


def _is_folder(item: os.DirEntry[str], folder: str) -> bool:
    return not folder and item.name in _FOLDERS and item.is_dir(follow_symlinks=False)


def _look_at(item: os.DirEntry[str], folder: str) -> tuple[str, int]:
    name = f"{folder}/{item.name}" if folder else item.name
    if not item.is_file(follow_symlinks=False):
        raise MalformedError(f"{name[:80]!a} in the bundle is neither a file nor one of its directories")
    return name, item.stat(follow_symlinks=False).st_size
