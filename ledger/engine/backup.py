"""Backups: one consistent snapshot of each log, recomputed whole before it is called a backup.

A backup is a directory of its own:

    manifest.json            what is in it, with sizes, roots, signed checkpoints and SHA-256; written last
    logproof.json            as in the data directory
    logs/NAME/CURRENT
    logs/NAME/store.1/       a compact copy of the store
    keys.sealed              signing keys, only where they were asked for; sealed with a passphrase

The rules that must not break: no signing key is in it in the clear; it never holds a guard, because a guard that is set back with its data vouches for
nothing; a store is copied by its engine, never as a file; and what did not pass every check keeps its temporary name.
Logs are copied before `_system`, so no log of a backup knows of a revocation that its `_system` does not.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ledger.engine.backup_manifest import BackupLog, BackupManifest, file_digest, write_manifest
from ledger.engine.directory import CURRENT, FIRST_STORE, MANIFEST, SYSTEM_LOG, DataDirectory
from ledger.engine.directory_check import read_guard, records_of_logs
from ledger.engine.files import make_folder, temporary_folder, write_new_file
from ledger.engine.fsck import check_log
from ledger.engine.records import LogRecord, read_retirement
from ledger.engine.sealed_keys import SEALED_KEYS, check_passphrase, open_keys, seal_keys
from ledger.errors import CorruptionError, StorageError, StorageFullError
from ledger.notes.checkpoint import Checkpoint, sign_checkpoint
from ledger.notes.keys import format_signer_key, format_verifier_key
from ledger.storage.api import Store
from ledger.storage.files import storage_error, sync_path
from ledger.storage.lmdb import LmdbStore, check_structure

_PARTIAL = ".partial-"
_US_PER_SECOND = 1_000_000
# For the small files, and the directories of many logs.
_MARGIN_BYTES = 16 * 1024**2

Progress = Callable[[str, int, int], None]
"""Told the name of a log, and how many of how many entries were checked."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup.

    Attributes:
        path: Its directory.
        manifest: What is in it.
    """

    path: Path
    manifest: BackupManifest


def make_backup(
    directory: DataDirectory,
    parent: Path,
    *,
    now_us: int,
    key_passphrase: str | None = None,
    progress: Progress = lambda _log, _done, _total: None,
) -> Backup:
    """Copy every log of a data directory, check the copies, and only then give the backup its name.

    The server may run: stores are read beside it.

    Args:
        directory: The data directory.
        parent: Where backups are kept; made, mode 0700, where it is missing.
        now_us: Microseconds UTC; names the backup.
        key_passphrase: What to seal the signing keys with, which are then in the backup; None for a backup without them.
        progress: Told how the check comes along.

    Raises:
        InvalidRequestError: The passphrase is too short.
        StorageFullError: Less is free in `parent` than the stores take; nothing was made.
        CorruptionError: A copy, and so most likely the log, is damaged; the copy is removed.
        StorageError: A log or `parent` cannot be read or written.
    """
    if key_passphrase is not None:
        check_passphrase(key_passphrase)
    made_at = datetime.fromtimestamp(now_us / _US_PER_SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    final = parent / f"logproof-{made_at}"
    try:
        make_folder(parent)
        _check_room(directory, parent)
        if final.exists():
            raise StorageError(f"{final} exists already", hint="wait a second, or give another directory")
        with temporary_folder(parent / f"{_PARTIAL}{final.name}") as partial:
            manifest = _fill(directory, partial, now_us, progress, key_passphrase)
            partial.rename(final)
        sync_path(parent)
    except OSError as error:
        raise storage_error(f"cannot write the backup to {error.filename or parent}", error) from error
    return Backup(final, manifest)


def check_copy(
    store_path: Path, record: LogRecord, signed: tuple[int, bytes], map_size: int, progress: Callable[[int, int], None]
) -> tuple[int, bytes]:
    """Check a copied store that nobody writes, whole: pages, entries, and that it leads to a signed head.

    Args:
        store_path: The store's directory.
        record: Name, origin and key of the log.
        signed: Tree size and root hash of a signed head.
        map_size: Upper limit of the store, bytes.
        progress: Called with entries done and entries in all.

    Returns:
        Tree size and root hash, recomputed.

    Raises:
        CorruptionError: Something is wrong; says what.
    """
    wrong = check_structure(store_path)
    if wrong:
        raise CorruptionError(f"the pages of the copy of {record.name} are damaged: {wrong[0]}")
    with closing(LmdbStore.open(store_path, map_size=map_size, private=True)) as store:
        if store.meta.origin != record.origin:
            raise CorruptionError(
                f"the copy of {record.name} is of the origin {store.meta.origin}, not {record.origin}"
            )
        # The signed head stands in for the guard: the copy must hold it, and more may follow.
        report = check_log(store, signed, progress)
    if not report.is_clean:
        faults = [*(finding.describe() for finding in report.findings), *report.record_faults]
        raise CorruptionError(
            f"the log {record.name} does not pass its check: {faults[0]}",
            hint="run `logproof fsck`; this is no backup, and the last good one is what counts",
        )
    return report.tree_size, report.root_hash


def _fill(
    directory: DataDirectory, partial: Path, now_us: int, progress: Progress, key_passphrase: str | None
) -> BackupManifest:
    stated = _stated(directory)
    copied: dict[str, BackupLog] = {}
    for name in [*sorted(stated.keys() - {SYSTEM_LOG}), SYSTEM_LOG]:
        copied[name] = _copy_log(directory, partial, stated[name], progress)
    store_path = partial / "logs" / SYSTEM_LOG / FIRST_STORE
    with closing(LmdbStore.open(store_path, map_size=directory.map_size, private=True)) as system:
        missing = records_of_logs(system).keys() - copied.keys()
        retired = _retired_since(system, partial, copied.keys() - {SYSTEM_LOG}, directory.map_size)
    if missing:
        raise StorageError(f"the log {min(missing)} was made while the backup was", hint="make the backup again")
    if retired:
        raise StorageError(f"the log {retired} was retired while the backup was made", hint="make the backup again")
    if key_passphrase is not None:
        _seal_keys(directory, partial, copied, key_passphrase)
    write_new_file(partial / MANIFEST, (directory.path / MANIFEST).read_bytes())
    manifest = BackupManifest(
        made_at=now_us,
        origin_prefix=directory.origin_prefix,
        with_signing_keys=key_passphrase is not None,
        logs=tuple(copied[name] for name in sorted(copied)),
    )
    write_manifest(partial, manifest)
    return manifest


def _retired_since(system: Store, partial: Path, names: Iterable[str], map_size: int) -> str:
    """Return a log that the copy of `_system` calls retired and the log's own copy does not; empty for none."""
    with system.read() as snapshot:
        stated = [name for name in sorted(names) if read_retirement(snapshot.record, name) is not None]
    for name in stated:
        path = partial / "logs" / name / FIRST_STORE
        with closing(LmdbStore.open(path, map_size=map_size, private=True)) as store, store.read() as snapshot:
            if read_retirement(snapshot.record, name) is None:
                return name
    return ""


def _seal_keys(directory: DataDirectory, partial: Path, names: Iterable[str], passphrase: str) -> None:
    """Put the signing keys in, sealed, and see that they can be had again."""
    keys = {name: format_signer_key(directory.load_signer(name)) for name in names}
    path, prefix = partial / SEALED_KEYS, directory.origin_prefix
    write_new_file(path, seal_keys(keys, passphrase, prefix, secrets.token_bytes))
    if open_keys(path.read_bytes(), passphrase, prefix) != keys:
        raise StorageError(f"{path} does not read back as it was written", hint="check that disk")


def _stated(directory: DataDirectory) -> dict[str, LogRecord]:
    with closing(directory.open_store(SYSTEM_LOG, read_only=True)) as system:
        return records_of_logs(system)


def _copy_log(directory: DataDirectory, partial: Path, record: LogRecord, progress: Progress) -> BackupLog:
    name = record.name
    # Before the store is copied: a running server moves the store first.
    guarded = read_guard(directory, name)
    if guarded is None:
        raise CorruptionError(
            f"the high-water guard of {name} is missing, so nothing says whether its data is the newest",
            hint="give --guard-dir as the server has it; see the runbook on a guard that refuses to sign",
        )
    signer = directory.load_signer(name)
    if format_verifier_key(signer.verifier) != record.verifier_key:
        raise CorruptionError(f"the signing key of {name} is not the one that _system names")
    folder = partial / "logs" / name
    make_folder(folder)
    with closing(directory.open_store(name, read_only=True)) as store:
        store.copy_to(folder / FIRST_STORE)
    write_new_file(folder / CURRENT, f"{FIRST_STORE}\n".encode())
    tree_size, root = check_copy(
        folder / FIRST_STORE, record, guarded, directory.map_size, lambda done, total: progress(name, done, total)
    )
    # The server signed this head already; its note is the same again.
    checkpoint = sign_checkpoint(Checkpoint(record.origin, *guarded), signer)
    data = folder / FIRST_STORE / "data.mdb"
    return BackupLog(record, tree_size, root, checkpoint.decode(), data.stat().st_size, file_digest(data))


def _check_room(directory: DataDirectory, parent: Path) -> None:
    needed = _MARGIN_BYTES
    for name in _stated(directory):
        with closing(directory.open_store(name, read_only=True)) as store:
            needed += store.used_bytes()
    volume = os.statvfs(parent)
    free = volume.f_bavail * volume.f_frsize
    if free < needed:
        raise StorageFullError(
            f"{free} bytes are free in {parent}; the backup needs up to {needed}",
            hint="make room there, or give a directory on another volume",
            metadata={"freeBytes": str(free), "neededBytes": str(needed)},
        )
