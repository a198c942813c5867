"""The data directory: where each log's store, key and guard live, and how they come into being.

    logproof.json            format and origin prefix; written last when the directory is made
    owner.lock               held by the serving process
    admin.key                the first API key, until it is rotated
    ballast                  room to give up when the disk is full
    keys/NAME.key            signing key, mode 0600
    guard/NAME.guard         high-water guard, unless --guard-dir names another volume
    logs/NAME/CURRENT        names the generation of the store that is in use
    logs/NAME/store.1/       the store
    logs/NAME/published      what the publisher has recomputed
    logs/NAME/index/         what the indexer has made; derived, and made again where it is missing
    logs/NAME/scrub          how far the scrubber is, and what it found

A log is made under a temporary name, synced and renamed; its entry in `_system` makes it part of the server. Start-up
removes only temporary names; a finished directory that `_system` does not name is set aside, never deleted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.engine.files import make_folder, write_new_file
from ledger.errors import (
    CorruptionError,
    FieldViolation,
    FilePermissionsError,
    InvalidRequestError,
    LedgerError,
    StorageError,
    StorageFormatError,
    StorageFullError,
)
from ledger.events.leaf import genesis_hash
from ledger.merkle.hashing import EMPTY_ROOT
from ledger.notes.keys import Ed25519Signer, format_signer_key, parse_signer_key
from ledger.storage.api import HeadRecord, StoreMeta
from ledger.storage.files import storage_error, sync_path
from ledger.storage.guard import HighWaterGuard
from ledger.storage.lmdb import DEFAULT_MAP_SIZE, LmdbStore, create_store

FORMAT = 1
SYSTEM_LOG = "_system"
DEFAULT_LOG = "default"
OWNER_LOCK = "owner.lock"
BALLAST = "ballast"
ADMIN_KEY = "admin.key"
MANIFEST = "logproof.json"
_INITIALISING = "INITIALISING"
CURRENT = "CURRENT"
FIRST_STORE = "store.1"
_NEW_PREFIX = ".new-"
_INTERRUPTED = "interrupted-"
_LOG_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_NEW_LOG_BYTES = 4 * 1024**2
_ORIGIN_PREFIX = re.compile(r"[!-*,-~]{1,200}")
_IGNORED = {OWNER_LOCK, "lost+found"}


def check_log_name(name: str) -> None:
    """Return if this may be the name of a new log.

    Raises:
        InvalidRequestError: It does not have the form.
    """
    if _LOG_NAME.fullmatch(name) is None:
        rule = "must be a lower-case letter, then up to 62 lower-case letters, digits and hyphens"
        raise InvalidRequestError([FieldViolation("name", f"{rule}; got {name[:80]!r}")])


def is_log_name(name: str) -> bool:
    """Return whether a log could have this name; `_system` is one."""
    return name == SYSTEM_LOG or _LOG_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Paths and files of one server's logs.

    Attributes:
        path: The directory.
        guard_path: Where the high-water guards are.
        origin_prefix: What the origin of each log begins with.
        map_size: Upper limit of each store, bytes.
    """

    path: Path
    guard_path: Path
    origin_prefix: str
    map_size: int = DEFAULT_MAP_SIZE

    # Paths

    def log_path(self, name: str) -> Path:
        """Return the directory of a log."""
        return self.path / "logs" / name

    def key_path(self, name: str) -> Path:
        """Return the file of a log's signing key."""
        return self.path / "keys" / f"{name}.key"

    def guard_file(self, name: str) -> Path:
        """Return the file of a log's high-water guard."""
        return self.guard_path / f"{name}.guard"

    def published_path(self, name: str) -> Path:
        """Return the file in which the publisher keeps what it has recomputed."""
        return self.log_path(name) / "published"

    def scrub_path(self, name: str) -> Path:
        """Return the file in which the scrubber keeps its place."""
        return self.log_path(name) / "scrub"

    def index_path(self, name: str) -> Path:
        """Return the folder of a log's index, which can be made again from the log."""
        return self.log_path(name) / "index"

    def suspect_path(self, name: str) -> Path:
        """Return the file that names an entry which the serving process's scrubber should look at first."""
        return self.log_path(name) / "scrub.suspect"

    def origin(self, name: str) -> str:
        """Return the origin of a log."""
        return f"{self.origin_prefix}/{name}"

    @property
    def guard_is_separate(self) -> bool:
        """Return whether the guards are there, and on another filesystem than the data."""
        return self.guard_path.is_dir() and self.guard_path.stat().st_dev != self.path.stat().st_dev

    # Parts of a log

    def open_store(self, name: str, *, read_only: bool = False) -> LmdbStore:
        """Open the store that CURRENT names.

        Raises:
            StorageError: It cannot be opened.
            CorruptionError: It is the store of another log.
        """
        try:
            current = (self.log_path(name) / CURRENT).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(
                f"the log {name} has no readable {CURRENT}: {error}",
                hint=f"it holds one line, the name of the store directory beside it, such as {FIRST_STORE}",
            ) from error
        if re.fullmatch(r"store\.[1-9][0-9]{0,8}", current) is None:
            raise CorruptionError(
                f"{CURRENT} of the log {name} does not name a store",
                hint=f"it holds one line, the name of the store directory beside it, such as {FIRST_STORE}",
            )
        store = LmdbStore.open(self.log_path(name) / current, map_size=self.map_size, read_only=read_only)
        if store.meta.origin != self.origin(name):
            store.close()
            raise CorruptionError(
                f"the store of {name} is of the origin {store.meta.origin}, not {self.origin(name)}",
                hint="the directory of another log was put here: put each back to its own name",
            )
        return store

    def open_guard(self, name: str) -> HighWaterGuard | None:
        """Open a log's guard; None where it is missing.

        Raises:
            StorageError: It cannot be read.
        """
        path = self.guard_file(name)
        return HighWaterGuard.open(path, self.origin(name)) if path.exists() else None

    def load_signer(self, name: str) -> Ed25519Signer:
        """Return the signer of a log's heads.

        Raises:
            FilePermissionsError: Others may read the file.
            StorageError: It is missing or malformed, or is the key of another origin.
        """
        text = read_secret_file(self.key_path(name))
        try:
            signer = parse_signer_key(text.strip())
        except LedgerError as error:
            raise StorageFormatError(
                f"the signing key of {name} cannot be read: {error.message}",
                hint=f"put the right key back to {self.key_path(name)}",
            ) from error
        if signer.name != self.origin(name):
            raise CorruptionError(
                f"the signing key of {name} is of the origin {signer.name}, not {self.origin(name)}",
                hint=f"put the right key back to {self.key_path(name)}",
            )
        return signer

    def create_log(self, name: str, seed: bytes, now_us: int) -> None:
        """Make store, key and guard of a log, durably.

        What an interrupted attempt left is set aside first, because `_system` does not name it.

        Args:
            name: Name of the log.
            seed: 32 random bytes, the signing key.
            now_us: Microseconds UTC.

        Raises:
            StorageFullError: There is no room for it.
            StorageError: It cannot be written.
        """
        volume = os.statvfs(self.path)
        free = volume.f_bavail * volume.f_frsize
        if free < _NEW_LOG_BYTES:
            # LMDB maps a file of locks that it does not allocate: where there is no page for it, the process would die.
            raise StorageFullError(
                f"{free} bytes are free on the volume of the data; a log is made with {_NEW_LOG_BYTES} at least",
                hint="make room on that volume",
                metadata={"freeBytes": str(free), "neededBytes": str(_NEW_LOG_BYTES)},
            )
        try:
            self._create_log(name, seed, now_us)
        except OSError as error:
            raise storage_error(f"cannot make the log {name}", error) from error

    def _create_log(self, name: str, seed: bytes, now_us: int) -> None:
        self.set_aside(name)
        origin = self.origin(name)
        signer = Ed25519Signer(origin, seed)
        genesis = HeadRecord(0, EMPTY_ROOT, (), genesis_hash(origin), 0)
        temporary = self.path / "logs" / f"{_NEW_PREFIX}{name}"
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(mode=0o700)
        create_store(temporary / FIRST_STORE, StoreMeta(origin, now_us), genesis, map_size=self.map_size)
        write_new_file(temporary / CURRENT, f"{FIRST_STORE}\n".encode())
        write_new_file(self.key_path(name), f"{format_signer_key(signer)}\n".encode())
        HighWaterGuard.create(self.guard_file(name), origin, genesis).close()
        temporary.rename(self.log_path(name))
        sync_path(self.path / "logs")

    def set_aside(self, name: str) -> list[Path]:
        """Rename what exists of a log that `_system` does not name; return the new paths."""
        moved = []
        for path in (self.log_path(name), self.key_path(name), self.guard_file(name)):
            if path.exists():
                number = next(n for n in range(1, 10_000) if not path.with_name(f"{path.name}.orphan-{n}").exists())
                target = path.with_name(f"{path.name}.orphan-{number}")
                path.rename(target)
                sync_path(path.parent)
                moved.append(target)
        return moved

    def tidy(self, known: set[str]) -> list[Path]:
        """Remove temporary names and set aside logs that are not known; return what was set aside."""
        (self.path / _INITIALISING).unlink(missing_ok=True)
        moved = []
        for path in sorted((self.path / "logs").iterdir()):
            if path.name.startswith(_NEW_PREFIX):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif path.name not in known and is_log_name(path.name):
                moved += self.set_aside(path.name)
        return moved


def open_directory(path: Path, guard_path: Path | None = None, *, map_size: int = DEFAULT_MAP_SIZE) -> DataDirectory:
    """Open a data directory that was made completely.

    Raises:
        StorageFormatError: It is not a data directory, or of a newer version.
        StorageError: It cannot be read.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        version, prefix = manifest["format"], manifest["origin_prefix"]
    except FileNotFoundError as error:
        raise StorageFormatError(
            f"{path} is not a data directory: it has no {MANIFEST}",
            hint="give the directory that `logproof serve --data` made",
        ) from error
    except OSError as error:
        raise StorageError(f"{path / MANIFEST} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageFormatError(
            f"{path / MANIFEST} does not have its form", hint="restore that file; it is small and never changes"
        ) from error
    if version != FORMAT:
        raise StorageFormatError(
            f"{path} has data format {version}; this version reads format {FORMAT}",
            hint="run a version of logproof that reads it",
            metadata={"format": str(version), "supportedFormat": str(FORMAT)},
        )
    return DataDirectory(path, guard_path or path / "guard", prefix, map_size)


def check_origin_prefix(text: str) -> None:
    """Return if a text can begin the origins of logs.

    Raises:
        InvalidRequestError: It cannot.
    """
    if _ORIGIN_PREFIX.fullmatch(text) is None:
        raise InvalidRequestError(
            [FieldViolation("origin_prefix", "must be 1 to 200 printable ASCII characters without space and '+'")],
            hint="give a host, and a path if you like, that you own, such as logs.acme.example/audit",
        )


def create_directory(
    path: Path,
    guard_path: Path | None,
    origin_prefix: str,
    fill: Callable[[DataDirectory], None],
    *,
    map_size: int = DEFAULT_MAP_SIZE,
) -> DataDirectory:
    """Make a data directory where there is none, or an empty one that no guard knows.

    An attempt that was interrupted is begun again from nothing: nobody was answered from it.

    Args:
        path: The directory; may hold the owner lock.
        guard_path: Directory of the guards, or None for one inside `path`.
        origin_prefix: Host and path that the operator owns.
        fill: Makes the first logs and keys.
        map_size: Upper limit of each store, bytes.

    Raises:
        StorageFormatError: The directory holds something else.
        StorageError: A guard knows logs of a directory that is not here.
    """
    check_origin_prefix(origin_prefix)
    guards = guard_path or path / "guard"
    marker = path / _INITIALISING
    if marker.exists():
        _clear(path, guard_path)
    left = sorted(
        entry.name for entry in path.iterdir() if entry.name not in _IGNORED and not entry.name.startswith(_INTERRUPTED)
    )
    if left:
        raise StorageFormatError(
            f"{path} is not empty and not a data directory: it holds {', '.join(left[:3])}",
            hint=f"give a new or empty directory; if it is a data directory, restore its {MANIFEST}: nothing was changed",
        )
    if guards.exists() and any(guards.glob("*.guard")):
        raise StorageError(
            f"{path} is empty, but {guards} holds the guards of logs: their data is missing",
            hint="mount or restore the data directory, or give another --guard-dir for new logs",
        )
    # The prefix tells, should this be interrupted, which guards are of this attempt.
    write_new_file(marker, origin_prefix.encode())
    for folder in (path / "logs", path / "keys", guards):
        make_folder(folder)
    directory = DataDirectory(path, guards, origin_prefix, map_size)
    fill(directory)
    manifest = json.dumps({"format": FORMAT, "origin_prefix": origin_prefix}, indent=2)
    write_new_file(path / MANIFEST, f"{manifest}\n".encode())
    marker.unlink()
    sync_path(path)
    return directory


def is_made(path: Path) -> bool:
    """Return whether the directory was made completely."""
    return (path / MANIFEST).exists()


def read_secret_file(path: Path) -> str:
    """Return the text of a file that only its owner may read; bytes that are no UTF-8 are lone surrogates in it.

    Raises:
        FilePermissionsError: Others may read it, or it is a link.
        StorageError: It cannot be read, or is no file.
    """
    try:
        # A named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = "restore that file from where it is kept safe"
        raise StorageError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    with os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape", newline="") as file:
        found = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(found):
            raise StorageError(f"{path} is no file", hint="give a file, which its owner alone may read")
        mode = stat.S_IMODE(found)
        if mode & 0o077:
            raise FilePermissionsError(
                f"{path} has mode {mode:04o}: others may read it",
                hint=f"run `chmod 600 {path}`, and rotate the secret if others may have read it",
                metadata={"mode": f"{mode:04o}"},
            )
        return file.read()


def _remove_own_guard(path: Path, origin: str) -> None:
    """Remove a guard of this origin; another server's stays, and the new attempt is refused for it."""
    try:
        HighWaterGuard.open(path, origin).close()
    except StorageError:
        return
    path.unlink()


def _clear(path: Path, guard_path: Path | None) -> None:
    """Set aside what an interrupted attempt to make a data directory left."""
    number = next(n for n in range(1, 10_000) if not (path / f"{_INTERRUPTED}{n}").exists())
    aside = path / f"{_INTERRUPTED}{number}"
    make_folder(aside)
    for name in ("logs", "keys", "guard"):
        if (path / name).exists():
            (path / name).rename(aside / name)
    if guard_path is not None:
        prefix = (path / _INITIALISING).read_text()
        for name in (SYSTEM_LOG, DEFAULT_LOG):
            _remove_own_guard(guard_path / f"{name}.guard", f"{prefix}/{name}")
    for name in (ADMIN_KEY, BALLAST, MANIFEST, _INITIALISING):
        (path / name).unlink(missing_ok=True)
