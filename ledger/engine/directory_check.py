"""A full check of the logs of a data directory: each recomputed, and held against what `_system` says of it.

Beside a running server or without one. One log that cannot be read keeps no other from being checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum

from ledger.engine.directory import SYSTEM_LOG, DataDirectory, is_log_name
from ledger.engine.fsck import LogReport, check_log
from ledger.engine.records import LOG_PREFIX, LogRecord
from ledger.errors import CorruptionError, LedgerError, StorageError, StorageFormatError
from ledger.notes.keys import format_verifier_key
from ledger.storage.api import Store
from ledger.storage.guard import HighWaterGuard


class Condition(Enum):
    """How a log was found."""

    CLEAN = "clean"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What the check of one log found.

    Attributes:
        name: Name of the log.
        report: What was recomputed; empty where the store could not be opened.
        faults: What is wrong, in words.
        unreadable: Why it could not be checked; empty where it was.
    """

    name: str
    report: LogReport
    faults: tuple[str, ...]
    unreadable: str

    @property
    def condition(self) -> Condition:
        """Return the worst of it."""
        if self.faults:
            return Condition.DAMAGED
        return Condition.UNREADABLE if self.unreadable else Condition.CLEAN


def stated_logs(directory: DataDirectory) -> dict[str, LogRecord]:
    """Return the logs that `_system` names, itself included, by name.

    Raises:
        StorageError: They cannot be read.
    """
    with closing(directory.open_store(SYSTEM_LOG, read_only=True)) as system:
        return records_of_logs(system)


def records_of_logs(system: Store) -> dict[str, LogRecord]:
    """Return the logs that a store of `_system` names, by name."""
    with system.read() as snapshot:
        records = [LogRecord.decode(value) for _, value in snapshot.records(LOG_PREFIX)]
    return {record.name: record for record in records}


def found_logs(directory: DataDirectory) -> list[str]:
    """Return the logs that have a directory, sorted."""
    logs = directory.log_path("")
    return sorted(path.name for path in logs.iterdir() if is_log_name(path.name)) if logs.is_dir() else []


def check_stored_log(
    directory: DataDirectory, name: str, stated: LogRecord | None, progress: Callable[[int], None]
) -> LogCheck:
    """Check one log of a data directory.

    Args:
        directory: The data directory.
        name: Name of the log.
        stated: What `_system` says of it; None where that cannot be read.
        progress: Called with how many entries are done.
    """
    # The guard is read before the store: a running server moves the store first.
    guard_value, faults, unreadable = None, list[str](), ""
    report = LogReport(0, b"", (), ())
    try:
        guard_value = read_guard(directory, name)
    except (CorruptionError, StorageFormatError) as error:
        faults.append(error.message)
    except StorageError as error:
        return LogCheck(name, report, (), error.message)
    try:
        with closing(directory.open_store(name, read_only=True)) as store:
            report = check_log(store, guard_value, lambda done, _total: progress(done))
            faults += [finding.describe() for finding in report.findings]
            faults += report.record_faults
            faults += _record_faults(name, store, stated)
        faults += _key_faults(directory, name, stated)
    except CorruptionError as error:
        faults.append(error.message)
    except LedgerError as error:
        unreadable = error.message
    return LogCheck(name, report, tuple(faults), unreadable)


def read_guard(directory: DataDirectory, name: str) -> tuple[int, bytes] | None:
    """Return the tree size and root that a log's guard remembers; None where there is no guard.

    Raises:
        StorageError: It cannot be read.
    """
    path = directory.guard_file(name)
    return HighWaterGuard.peek(path, directory.origin(name)) if path.exists() else None


def _record_faults(name: str, store: Store, stated: LogRecord | None) -> Iterator[str]:
    """Compare what `_system` and the log itself say of origin and verifier key."""
    with store.read() as snapshot:
        own_value = snapshot.record(LOG_PREFIX + name)
    if stated is None or own_value is None:
        return
    try:
        own = LogRecord.decode(own_value)
    except CorruptionError as error:
        yield f"its own record: {error.message}"
        return
    if own != stated:
        yield (
            f"its own record says origin {own.origin} and key {own.verifier_key}; "
            f"_system says {stated.origin} and {stated.verifier_key}"
        )


def _key_faults(directory: DataDirectory, name: str, stated: LogRecord | None) -> Iterator[str]:
    """Compare the key file with what `_system` says."""
    try:
        signer = directory.load_signer(name)
    except LedgerError as error:
        yield error.message
        return
    key = format_verifier_key(signer.verifier)
    if stated is not None and (signer.name, key) != (stated.origin, stated.verifier_key):
        yield f"its signing key is that of {key}; _system says {stated.verifier_key}"
