"""The last trusted checkpoint of a log, on disk, shared by all processes of a user.

The rule that must not break: what is on disk was verified under the pinned key and never goes back, whichever of
several processes wrote it last; and its place follows from the pinned key alone, never from anything a server says.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ledger.errors import StateError, StateUnreadableError

_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_MAX_STATE_BYTES: Final = 1_000_000
_HINT: Final = "name a directory that this user may write, with LOGPROOF_STATE or --state DIR"

# Descriptors of lock files. A child that is forked while a thread of ours holds a lock has a copy of the descriptor, and
# with it the lock, for as long as it lives; so it closes its copies.
_DESCRIPTORS: Final[set[int]] = set()
_opening = threading.Lock()  # guards the set, and what is open against a fork between


class HeadFile:
    """The file that holds one log's last trusted checkpoint as the full signed note.

    Safe for use by several processes; within a process the caller serialises the use of one instance.
    """

    def __init__(self, directory: Path, verifier_key: str) -> None:
        """Name the file; nothing is touched yet.

        Args:
            directory: Directory of all trusted checkpoints; made, with mode 0700, when first needed.
            verifier_key: The pinned key, in its one spelling.
        """
        name = hashlib.sha256(verifier_key.encode()).hexdigest()
        self._directory = directory
        self.path = directory / f"{name}.checkpoint"
        self._lock_path = directory / f"{name}.lock"
        self._name = name

    def read(self) -> bytes | None:
        """Return the note, at most 1,000,000 bytes; None where no head was trusted yet.

        Raises:
            StateUnreadableError: The file cannot be read, or is too large for a note.
        """
        try:
            with self.path.open("rb") as file:
                note = file.read(_MAX_STATE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateUnreadableError(
                f"the trusted checkpoint {self.path} cannot be read: {error.strerror}", hint=_HINT
            ) from error
        if len(note) > _MAX_STATE_BYTES:
            raise StateUnreadableError(
                f"{self.path} is no checkpoint: it has more than {_MAX_STATE_BYTES} bytes",
                hint="find out what wrote it; moved away, the log is met anew, and what was trusted is forgotten",
            )
        return note

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the file; to be held for file operations only, never for a call.

        Raises:
            StateError: The directory cannot be made or written.
        """
        try:
            self._directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            descriptor = _open_lock(self._lock_path)
        except OSError as error:
            raise _not_kept(self._directory, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            _close_lock(descriptor)

    def write(self, note: bytes) -> None:
        """Replace the note; durable when it returns. The caller holds the lock.

        Raises:
            StateError: The directory cannot be written.
        """
        self._write(self.path, note)

    def write_evidence(self, evidence: bytes, kind: str) -> Path:
        """Keep evidence beside the head, under a name of its own, and return its path.

        Args:
            evidence: The file's bytes.
            kind: `fork`, or `refused` for two heads that could not be connected.

        Raises:
            StateError: The directory cannot be written.
        """
        digest = hashlib.sha256(evidence).hexdigest()[:16]
        path = self._directory / f"{self._name}.{kind}-{digest}.json"
        with self.locked():
            self._write(path, evidence)
        return path

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data)
        except OSError as error:
            raise _not_kept(self._directory, error) from error


def write_atomically(path: Path, data: bytes, mode: int = _FILE_MODE) -> None:
    """Write a file whole or not at all; durable when it returns.

    Args:
        path: The file; replaced where it exists.
        data: All its bytes.
        mode: Its permission bits.

    Raises:
        OSError: The directory does not exist or cannot be written.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    sync_directory(path.parent)


def _open_lock(path: Path) -> int:
    with _opening:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        _DESCRIPTORS.add(descriptor)
    return descriptor


def _close_lock(descriptor: int) -> None:
    with _opening:
        _DESCRIPTORS.discard(descriptor)
        os.close(descriptor)


def _leave_parent() -> None:
    for descriptor in _DESCRIPTORS:
        os.close(descriptor)
    _DESCRIPTORS.clear()
    _opening.release()


os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_leave_parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: It cannot be opened or synced.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_kept(directory: Path, error: OSError) -> StateError:
    return StateError(
        f"the directory of trusted checkpoints, {directory}, cannot be written: {error.strerror}", hint=_HINT
    )
