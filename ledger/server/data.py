"""The data directory at start: owned by one process, made where there is none, opened and tidied.

The rule that must not break: nothing in the directory is read or written before the owner lock is held.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.clock import Clock
from ledger.engine.administration import Administration
from ledger.engine.directory import (
    OWNER_LOCK,
    SYSTEM_LOG,
    DataDirectory,
    create_directory,
    is_made,
    open_directory,
)
from ledger.engine.files import make_folder
from ledger.engine.registry import LogRegistry
from ledger.errors import FilePermissionsError, StorageError
from ledger.server.config import ServerConfig, invalid_setting
from ledger.storage.files import storage_error
from ledger.storage.owner import OwnerLock

_LOGGER = logging.getLogger(__name__)


@contextmanager
def owned(config: ServerConfig, say: Callable[[str], None]) -> Iterator[OwnerLock]:
    """Hold the owner lock of the data directory, which is made if it is missing.

    Args:
        config: Settings.
        say: Told what is waited for.

    Raises:
        StorageBusyError: Another process holds it; names it.
        FilePermissionsError: Others may read or change the directory.
        StorageError: The directory cannot be made or used.
    """
    _make_folder(config.data)
    lock = OwnerLock(
        config.data / OWNER_LOCK,
        wait_seconds=config.owner_wait_seconds,
        on_wait=lambda holder: say(
            f"{config.data} is in use by {holder}; waiting up to {config.owner_wait_seconds:g} s for it to end"
        ),
    )
    try:
        yield lock
    finally:
        lock.release()


def prepare_directory(config: ServerConfig, clock: Clock, say: Callable[[str], None]) -> DataDirectory:
    """Return the data directory, made with its first logs and key where there was none.

    Args:
        config: Settings; the owner lock of their data directory is held.
        clock: The clock.
        say: Told what was done.

    Raises:
        InvalidRequestError: The settings contradict what the directory was made with.
        StorageError: The directory is not ours, of a newer version, or cannot be used.
    """
    try:
        if is_made(config.data):
            directory = open_directory(config.data, config.guard, map_size=config.map_size)
            if config.origin_prefix not in {None, directory.origin_prefix}:
                raise invalid_setting(
                    "origin_prefix",
                    f"is {config.origin_prefix!r}, but {config.data} was made with {directory.origin_prefix!r}, "
                    "which is part of every origin and cannot change",
                    "leave it out, or give another data directory",
                )
        else:
            directory = _create(config, clock)
            say(f"made the data directory {config.data}")
    except OSError as error:
        raise storage_error(f"cannot use {error.filename or config.data}", error) from error
    return directory


def tidy_directory(directory: DataDirectory, registry: LogRegistry) -> None:
    """Remove what interrupted work left, and set aside logs that `_system` does not name."""
    try:
        moved = directory.tidy({SYSTEM_LOG, *registry.names()})
    except OSError as error:
        raise storage_error(f"cannot tidy {error.filename or directory.path}", error) from error
    for path in moved:
        _LOGGER.warning("set aside what belongs to no log of this server", extra={"path": str(path)})


def _create(config: ServerConfig, clock: Clock) -> DataDirectory:
    prefix = config.origin_prefix or f"logproof.invalid/{secrets.token_hex(16)}"

    def fill(directory: DataDirectory) -> None:
        registry = LogRegistry(directory, clock, os.urandom)
        try:
            Administration(registry, clock, os.urandom).initialise()
        finally:
            registry.close()

    return create_directory(config.data, config.guard, prefix, fill, map_size=config.map_size)


def _make_folder(path: Path) -> None:
    """Make the directory, mode 0700; refuse one that others may read or change."""
    try:
        make_folder(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077 and not any(path.iterdir()):
            # An empty directory becomes ours as a missing one does.
            path.chmod(0o700)
            return
    except FileExistsError as error:
        raise StorageError(f"{path} is not a directory", hint="give a new or empty directory") from error
    except OSError as error:
        raise storage_error(f"cannot use the data directory {path}", error) from error
    if mode & 0o077:
        raise FilePermissionsError(
            f"{path} has mode {mode:04o}: others may read or change what is in it",
            hint=f"run `chmod 700 {path}`, and rotate keys if others may have read them",
            metadata={"mode": f"{mode:04o}"},
        )
