"""Restoring: a backup becomes a data directory again, and no log of it signs what was signed otherwise before.

The rule that must not break: a log signs on only where its data holds the newest head that anyone remembers. What a
guard remembers is never set back. Where there is no guard, an operator brings a signed head of the log, the newest
that is known outside; it becomes what the guard remembers, and data that does not reach it stays read-only.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ledger.engine.backup import check_copy
from ledger.engine.backup_manifest import BackupLog, BackupManifest, file_digest, read_manifest
from ledger.engine.directory import (
    CURRENT,
    FIRST_STORE,
    MANIFEST,
    OWNER_LOCK,
    DataDirectory,
    open_directory,
    read_secret_file,
)
from ledger.engine.directory_check import read_guard, stated_logs
from ledger.engine.files import make_folder, temporary_folder, write_new_file
from ledger.engine.findings import Finding, Impossible
from ledger.engine.records import LogRecord
from ledger.engine.recovery import check_opening
from ledger.engine.sealed_keys import SEALED_KEYS, open_keys
from ledger.errors import (
    CorruptionError,
    FieldViolation,
    InvalidRequestError,
    LedgerError,
    StorageError,
    StorageFormatError,
    StorageFullError,
)
from ledger.notes.checkpoint import Checkpoint, open_checkpoint
from ledger.notes.keys import format_verifier_key, parse_signer_key, parse_verifier_key
from ledger.storage.files import check_local_filesystem, storage_error, sync_path
from ledger.storage.guard import HighWaterGuard
from ledger.storage.lmdb import DEFAULT_MAP_SIZE

_PARTIAL = ".restoring-"
_BLOCK_BYTES = 1024**2
_MARGIN_BYTES = 16 * 1024**2

Progress = Callable[[str, int, int], None]
"""Told the name of a log, and how many of how many entries were checked."""


class Outlook(Enum):
    """What a log will do when its server starts."""

    SIGNS = "signs on"
    NO_GUARD = "read-only: no guard and no accepted head"
    BEHIND = "read-only: its data is older than a head that was signed"
    FORKED = "read-only: its data contradicts a head that was signed"
    NO_KEY = "read-only: its signing key is missing"
    DAMAGED = "read-only: damaged"


@dataclass(frozen=True, slots=True)
class LogOutlook:
    """What to expect of a log.

    Attributes:
        name: Name of the log.
        tree_size: Entries in its data.
        guarded_size: Tree size that its guard remembers; None where it has no guard.
        outlook: What it will do.
        detail: Why, where it will not sign; may be empty.
    """

    name: str
    tree_size: int
    guarded_size: int | None
    outlook: Outlook
    detail: str


def restore_backup(
    backup: Path,
    data: Path,
    guard_path: Path | None,
    *,
    keys: Path | None = None,
    key_passphrase: str | None = None,
    keyless: bool = False,
    map_size: int = DEFAULT_MAP_SIZE,
    progress: Progress = lambda _log, _done, _total: None,
) -> DataDirectory:
    """Make a data directory from a backup, every byte of it checked first; guards are neither written nor needed.

    Args:
        backup: A directory that `make_backup` made.
        data: The data directory to make; missing or empty.
        guard_path: Where its guards are or will be; None for inside `data`.
        keys: Directory with the signing keys as `NAME.key`; goes before those in the backup.
        key_passphrase: What the signing keys in the backup are sealed with.
        keyless: Restore without signing keys, to read; no log will sign.
        map_size: Upper limit of each store, bytes.
        progress: Told how the check comes along.

    Raises:
        InvalidRequestError: The signing keys, or what opens them, are not given.
        StorageFormatError: `backup` is no backup, or there is something in `data`.
        CorruptionError: The backup, or a key, is not what it should be.
        StorageFullError: There is not enough room.
        StorageError: Something cannot be read or written.
    """
    manifest = read_manifest(backup)
    try:
        _check_empty(data)
        _check_room(manifest, data)
        signing_keys = {} if keyless else _signing_keys(backup, manifest, keys, key_passphrase)
        for log in manifest.logs:
            _check_log(backup, log, map_size, progress)
        make_folder(data.parent)
        check_local_filesystem(data.parent)
        with temporary_folder(data.with_name(f"{_PARTIAL}{data.name}")) as partial:
            _fill(backup, partial, manifest, signing_keys)
            if data.exists():
                (data / OWNER_LOCK).unlink(missing_ok=True)
                data.rmdir()
            partial.rename(data)
        sync_path(data.parent)
        make_folder(guard_path or data / "guard")
    except OSError as error:
        raise storage_error(f"cannot restore to {error.filename or data}", error) from error
    return open_directory(data, guard_path, map_size=map_size)


def accept_head(directory: DataDirectory, note: bytes) -> str:
    """Take a signed head of one of the logs for the newest that was ever signed; return the log's name.

    The head becomes what the log's guard remembers, unless that remembers a newer one already. Whether the data
    reaches it is another question: `outlook_of` answers it.

    Args:
        directory: The data directory; its owner lock is held.
        note: The signed checkpoint.

    Raises:
        InvalidRequestError: It is of no log here.
        InvalidSignatureError: That log's key did not sign it.
        MalformedError: It is no checkpoint.
        CorruptionError: The guard remembers another root for that size.
        StorageError: The guard cannot be read or written.
    """
    record, checkpoint = _recognise(directory, note)
    path = directory.guard_file(record.name)
    try:
        make_folder(path.parent)
    except OSError as error:
        raise storage_error(f"cannot make {path.parent}", error) from error
    guard = directory.open_guard(record.name)
    if guard is None:
        HighWaterGuard.create(path, record.origin, checkpoint).close()
        return record.name
    with closing(guard):
        size, root = guard.value
        if checkpoint.tree_size > size:
            guard.advance(checkpoint.tree_size, checkpoint.root_hash)
        elif checkpoint.tree_size == size and checkpoint.root_hash != root:
            raise CorruptionError(
                f"the guard of {record.name} remembers another root for tree size {size} than the signed head has",
                hint="two histories were signed: keep data, guard and the head, and see the runbook on a fork alarm",
            )
    return record.name


def outlook_of(directory: DataDirectory, record: LogRecord) -> LogOutlook:
    """Return what a log will do when its server starts."""
    name = record.name
    size, guarded = 0, None
    try:
        guarded = read_guard(directory, name)
        with closing(directory.open_store(name, read_only=True)) as store, store.read() as snapshot:
            head = snapshot.head()
            size = 0 if head is None else head.tree_size
            finding = check_opening(snapshot, store.meta.origin, guarded)
        signer = directory.load_signer(name)
    except CorruptionError as error:
        return LogOutlook(name, size, guarded and guarded[0], Outlook.DAMAGED, error.message)
    except LedgerError as error:
        is_keyless = not directory.key_path(name).exists()
        return LogOutlook(
            name, size, guarded and guarded[0], Outlook.NO_KEY if is_keyless else Outlook.DAMAGED, error.message
        )
    if format_verifier_key(signer.verifier) != record.verifier_key:
        return LogOutlook(name, size, guarded and guarded[0], Outlook.NO_KEY, "the key file is that of another log")
    outlook = Outlook.SIGNS if finding is None else _outlook_after(finding)
    return LogOutlook(name, size, guarded and guarded[0], outlook, "" if finding is None else finding.describe())


def _outlook_after(finding: Finding) -> Outlook:
    outlooks = {
        Impossible.GUARD_MISSING: Outlook.NO_GUARD,
        Impossible.GUARD_AHEAD: Outlook.BEHIND,
        Impossible.GUARD_FORKED: Outlook.FORKED,
    }
    return outlooks.get(finding.state, Outlook.DAMAGED)


def _recognise(directory: DataDirectory, note: bytes) -> tuple[LogRecord, Checkpoint]:
    """Return the log that a signed checkpoint is of, and what it states."""
    logs = stated_logs(directory)
    origin = note.split(b"\n", 1)[0].decode(errors="replace")
    for record in logs.values():
        if record.origin == origin:
            return record, open_checkpoint(note, parse_verifier_key(record.verifier_key)).checkpoint
    raise InvalidRequestError(
        [FieldViolation("accept_head", f"is of the origin {origin[:200]!r}, which is no log of {directory.path}")],
        hint="give a signed checkpoint of one of these logs: " + ", ".join(sorted(logs)),
    )


def _check_empty(data: Path) -> None:
    if data.exists() and (not data.is_dir() or any(entry.name != OWNER_LOCK for entry in data.iterdir())):
        raise StorageFormatError(
            f"{data} is not empty, and nothing is ever restored onto existing data",
            hint="give a new directory; move the old one away, and keep it: it may be the newer one",
        )


def _check_room(manifest: BackupManifest, data: Path) -> None:
    needed = _MARGIN_BYTES + sum(log.size for log in manifest.logs)
    place = next(parent for parent in (data, *data.absolute().parents) if parent.exists())
    volume = os.statvfs(place)
    free = volume.f_bavail * volume.f_frsize
    if free < needed:
        raise StorageFullError(
            f"{free} bytes are free in {place}; the restored data needs {needed}",
            hint="make room there, or give a directory on another volume",
            metadata={"freeBytes": str(free), "neededBytes": str(needed)},
        )


def _check_log(backup: Path, log: BackupLog, map_size: int, progress: Progress) -> None:
    name = log.record.name
    store_path = backup / "logs" / name / FIRST_STORE
    if (store_path / "data.mdb").stat().st_size != log.size or file_digest(store_path / "data.mdb") != log.sha256:
        raise CorruptionError(
            f"the copy of {name} in {backup} is not the one that was made: its SHA-256 differs",
            hint="take another backup; keep this one as it is",
        )
    verifier = parse_verifier_key(log.record.verifier_key)
    checkpoint = open_checkpoint(log.checkpoint.encode(), verifier).checkpoint
    found = check_copy(
        store_path,
        log.record,
        (checkpoint.tree_size, checkpoint.root_hash),
        map_size,
        lambda done, total: progress(name, done, total),
    )
    if found != (log.tree_size, log.root_hash):
        raise CorruptionError(f"the copy of {name} does not have the root that the manifest states")


def _signing_keys(backup: Path, manifest: BackupManifest, keys: Path | None, passphrase: str | None) -> dict[str, str]:
    """Return the text of the signing key of each log, by name, from where they are; each is that of its log."""
    if keys is not None:
        found = {log.record.name: read_secret_file(keys / f"{log.record.name}.key").strip() for log in manifest.logs}
    elif not manifest.with_signing_keys:
        raise InvalidRequestError(
            [FieldViolation("keys", "are needed: the backup has no signing keys, and without them no log signs again")],
            hint="give the directory where they are kept, with a NAME.key for each log, with --keys; "
            "to restore for reading alone, --without-keys",
        )
    elif passphrase is None:
        raise InvalidRequestError(
            [FieldViolation("passphrase", "is needed: the signing keys in the backup are sealed with one")],
            hint="give it with --passphrase-file or LOGPROOF_BACKUP_PASSPHRASE, or the keys themselves with --keys; "
            "to restore for reading alone, --without-keys",
        )
    else:
        found = open_keys((backup / SEALED_KEYS).read_bytes(), passphrase, manifest.origin_prefix)
    where = keys or backup / SEALED_KEYS
    for log in manifest.logs:
        name = log.record.name
        if format_verifier_key(parse_signer_key(found.get(name, "")).verifier) != log.record.verifier_key:
            raise CorruptionError(
                f"the key of {name} in {where} is not the signing key of {name}",
                hint="give the directory with the keys of these logs with --keys",
            )
    return found


def _fill(backup: Path, partial: Path, manifest: BackupManifest, signing_keys: Mapping[str, str]) -> None:
    make_folder(partial / "keys")
    for log in manifest.logs:
        name = log.record.name
        folder = partial / "logs" / name / FIRST_STORE
        make_folder(folder)
        _copy_file(backup / "logs" / name / FIRST_STORE / "data.mdb", folder / "data.mdb", log.sha256)
        write_new_file(folder.parent / CURRENT, f"{FIRST_STORE}\n".encode())
        if name in signing_keys:
            write_new_file(partial / "keys" / f"{name}.key", f"{signing_keys[name]}\n".encode())
    write_new_file(partial / MANIFEST, (backup / MANIFEST).read_bytes())


def _copy_file(source: Path, target: Path, sha256: str) -> None:
    """Copy a store's file that nobody has open; what was written is read back and compared."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    with source.open("rb") as read, os.fdopen(descriptor, "wb") as write:
        shutil.copyfileobj(read, write, _BLOCK_BYTES)
        write.flush()
        os.fsync(descriptor)
    if file_digest(target) != sha256:
        raise StorageError(f"{target} does not read back as it was written", hint="check that disk")
    sync_path(target.parent)
