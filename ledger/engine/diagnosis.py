"""What an operator can get wrong around a data directory: rights, volumes, room, clock, limits, backups.

Beside a running server or without one; nothing is changed. Each check is one line with what to do next.
"""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ledger.clock import Clock
from ledger.engine.backup_manifest import read_manifest
from ledger.engine.directory import ADMIN_KEY, BALLAST, OWNER_LOCK, DataDirectory
from ledger.engine.marks import Diagnosis, fail, ok, warn
from ledger.engine.room import BALLAST_BYTES, LOW_WATER_BYTES
from ledger.errors import LedgerError
from ledger.storage.files import check_local_filesystem, short_lived_filesystem
from ledger.storage.owner import holder_of

_US_PER_DAY = 86_400_000_000
_EARLY_FREE_FACTOR: Final = 5
_LEAST_INODES: Final = 1000
_LEAST_DESCRIPTORS: Final = 4096
_OLDEST_BACKUP_DAYS: Final = 2


def diagnose_directory(directory: DataDirectory, clock: Clock, backups: Path | None) -> Iterator[Diagnosis]:
    """Check what surrounds the logs of a data directory.

    Args:
        directory: The data directory.
        clock: The clock.
        backups: Where backups are kept; None where that was not told.
    """
    holder = holder_of(directory.path / OWNER_LOCK)
    yield ok("server", f"runs as process {holder}" if holder else "does not run")
    yield _rights(directory)
    yield _filesystem(directory)
    yield _guard_volume(directory)
    yield from _room(directory)
    yield _ballast(directory)
    yield _synchronised(clock)
    yield _descriptors(holder)
    yield _core_dumps(holder)
    if (directory.path / ADMIN_KEY).exists():
        yield warn(
            "first API key",
            f"{directory.path / ADMIN_KEY} still works for everything",
            "make a key for each administrator, then rotate this one with `logproof key rotate`",
        )
    if backups is not None:
        yield from _backups(backups, clock)


def _rights(directory: DataDirectory) -> Diagnosis:
    folders = [directory.path, directory.path / "logs", directory.path / "keys", directory.guard_path]
    secrets = [*directory.path.glob("keys/*.key"), *directory.path.glob(ADMIN_KEY)]
    for path in [*folders, *secrets]:
        try:
            status = path.lstat()
        except OSError as error:
            return fail("rights", f"{path}: {error.strerror}", "restore it, or give the right --guard-dir")
        if status.st_mode & 0o077 or stat.S_ISLNK(status.st_mode):
            mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
            return fail(
                "rights",
                f"{path} has {mode}: others may read or change it",
                f"run `chmod go= {path}`; rotate what others may have read",
            )
        if status.st_uid != directory.path.stat().st_uid:
            return fail(
                "rights",
                f"{path} belongs to user {status.st_uid}, {directory.path} to user {directory.path.stat().st_uid}",
                "give everything to the user that runs the server: `chown -R`",
            )
    return ok("rights", f"only user {directory.path.stat().st_uid} can read {directory.path}")


def _filesystem(directory: DataDirectory) -> Diagnosis:
    try:
        check_local_filesystem(directory.path)
        check_local_filesystem(directory.guard_path)
    except LedgerError as error:
        return fail("filesystem", error.message, error.hint)
    kind = short_lived_filesystem(directory.path)
    if kind:
        return warn("filesystem", f"the data is {kind}", "keep it on a volume of its own")
    return ok("filesystem", "data and guards are on filesystems of this machine")


def _guard_volume(directory: DataDirectory) -> Diagnosis:
    if not directory.guard_is_separate:
        return warn(
            "guard volume",
            f"the guards in {directory.guard_path} are on the volume of the data",
            "a restore of both to an older state cannot be detected: put --guard-dir on another volume",
        )
    return ok("guard volume", f"{directory.guard_path} is on a volume of its own")


def _room(directory: DataDirectory) -> Iterator[Diagnosis]:
    for name, path in (("disk", directory.path), ("guard disk", directory.guard_path)):
        try:
            volume = os.statvfs(path)
        except OSError as error:
            yield fail(name, f"{path}: {error.strerror}", "mount that volume")
            continue
        free = volume.f_bavail * volume.f_frsize
        floor = LOW_WATER_BYTES if path == directory.path else 1024**2
        if free < floor:
            yield fail(name, f"{free} bytes are free; appends stop below {floor}", "make room; see the runbook")
        elif free < _EARLY_FREE_FACTOR * floor:
            yield warn(name, f"{free} bytes are free", f"appends stop below {floor}: make room, or enlarge it")
        else:
            yield ok(name, f"{free} bytes are free")
        if volume.f_files and volume.f_favail < _LEAST_INODES:
            yield fail(name, f"{volume.f_favail} files can still be made", "remove files that are not needed")


def _ballast(directory: DataDirectory) -> Diagnosis:
    path = directory.path / BALLAST
    try:
        size = path.stat().st_blocks * 512
    except OSError:
        size = 0
    if size < BALLAST_BYTES:
        return warn(
            "ballast",
            f"{path} holds {size} of {BALLAST_BYTES} bytes",
            "make room and restart: the start makes it again",
        )
    return ok("ballast", f"{size} bytes can be given up when the disk is full")


def _synchronised(clock: Clock) -> Diagnosis:
    if clock.is_synchronised():
        return ok("clock", "the kernel says that it is synchronised")
    return warn(
        "clock", "the kernel does not say that it is synchronised", "run a time service, such as chrony or timesyncd"
    )


def _descriptors(holder: int) -> Diagnosis:
    soft = _limit(holder, "Max open files", resource.RLIMIT_NOFILE)
    if soft < _LEAST_DESCRIPTORS:
        return warn(
            "file descriptors",
            f"the limit is {soft}; 64 logs and 1,000 calls want {_LEAST_DESCRIPTORS}",
            "raise it: LimitNOFILE= in the unit, or `ulimit -n`",
        )
    return ok("file descriptors", f"the limit is {soft}")


def _core_dumps(holder: int) -> Diagnosis:
    soft = _limit(holder, "Max core file size", resource.RLIMIT_CORE)
    if soft:
        return warn(
            "core dumps",
            "a crash may write the signing keys to a file",
            "turn core dumps off: LimitCORE=0 in the unit, or `ulimit -c 0`",
        )
    return ok("core dumps", "off")


def _limit(holder: int, label: str, kind: int) -> int:
    """Return a soft limit of the server where it runs, else that of this process, which is what it would inherit."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{holder}/limits").read_text().splitlines() if holder else []:
            if line.startswith(label):
                word = line.removeprefix(label).split()[0]
                return 1 << 62 if word == "unlimited" else int(word)
    soft = resource.getrlimit(kind)[0]
    return 1 << 62 if soft == resource.RLIM_INFINITY else soft


def _backups(backups: Path, clock: Clock) -> Iterator[Diagnosis]:
    made = []
    for path in sorted(backups.glob("logproof-*")) if backups.is_dir() else []:
        try:
            made.append((read_manifest(path).made_at, path))
        except LedgerError as error:
            yield warn("backup", error.message, "remove it, or make another")
    left = sorted(backups.glob(".partial-*")) if backups.is_dir() else []
    if left:
        yield warn("backup", f"{left[0]} was left by an attempt that was killed", "remove it, if no backup runs")
    if not made:
        yield fail("backup", f"{backups} holds no backup", "run `logproof backup`, every day")
        return
    newest, path = max(made)
    age = (clock.now_us() - newest) / _US_PER_DAY
    if age > _OLDEST_BACKUP_DAYS:
        yield warn("backup", f"the newest, {path}, is {age:.1f} days old", "run `logproof backup`, every day")
    else:
        yield ok("backup", f"the newest, {path}, is {age:.1f} days old")
