"""The owner lock: one serving process to a data directory, its children included.

The lock is flock(2) on a file that also names its holder. It belongs to the open file, not to a process: a child that
inherits the descriptor holds the lock too, so the directory is free only when all of them are gone, however they end.
The file is never deleted: a second one under its name would be a second lock.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from ledger.errors import StorageBusyError
from ledger.storage.files import check_local_filesystem, storage_error

_POLL_SECONDS = 0.05


class OwnerLock:
    """A held lock; ends with `release`, or with the process and all children that inherited its descriptor."""

    def __init__(self, path: Path, *, wait_seconds: float = 0.0, on_wait: Callable[[str], None] | None = None) -> None:
        """Take the lock.

        Args:
            path: The owner file, made with mode 0600 where it is missing; its directory must exist.
            wait_seconds: How long to wait for another holder, about.
            on_wait: Called once, with a description of the holder, before the waiting begins.

        Raises:
            StorageBusyError: Another process still holds the lock; names it.
            StorageError: The file cannot be made or locked.
        """
        action = f"cannot lock {path}"
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise storage_error(action, error) from error
        try:
            check_local_filesystem(path)
            self._acquire(path, wait_seconds, on_wait)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
            # Programs started with pass_fds, or by multiprocessing's spawn, can then keep it.
            fcntl.fcntl(self._descriptor, fcntl.F_SETFD, 0)
        except OSError as error:
            self.release()
            raise storage_error(action, error) from error
        except BaseException:
            self.release()
            raise

    def fileno(self) -> int:
        """Return the descriptor, for children to inherit."""
        return self._descriptor

    def release(self) -> None:
        """Give up this process's share of the lock; doing so again does nothing."""
        # Closing and no LOCK_UN: that would take the lock from children as well.
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _acquire(self, path: Path, wait_seconds: float, on_wait: Callable[[str], None] | None) -> None:
        # flock(2) knows no timeout. Polls are counted, so that no clock is needed.
        polls = int(wait_seconds / _POLL_SECONDS)
        pause = threading.Event()
        for poll in range(polls + 1):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if poll == 0 and polls and on_wait is not None:
                    on_wait(self._holder())
                if poll < polls:
                    pause.wait(_POLL_SECONDS)
            else:
                return
        holder = self._holder()
        raise StorageBusyError(
            f"{path.parent} is in use by {holder}",
            hint="stop that process, or use another data directory",
            metadata={"path": str(path), "holder": holder},
        )

    def _holder(self) -> str:
        text = os.pread(self._descriptor, 32, 0).strip()
        if not text.isdigit():
            return "a process that has not yet written its number"
        if Path(f"/proc/{int(text)}").exists():
            return f"process {int(text)}"
        return f"process {int(text)} or one that it started"


def holder_of(path: Path) -> int:
    """Return the process that holds the lock of an owner file; 0 where nobody does, or the file is missing.

    Only looks: the file stays as it is.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return 0
