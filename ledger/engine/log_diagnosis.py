"""What can be wrong with one log, as far as a quick look tells: `fsck` looks at everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from ledger.clock import Clock
from ledger.engine.directory import DataDirectory
from ledger.engine.directory_check import read_guard
from ledger.engine.marks import Diagnosis, fail, ok, warn
from ledger.engine.publication import read_published_size
from ledger.engine.records import FREEZE, KEY_PREFIX, Credential, LogRecord, read_retirement
from ledger.engine.recovery import check_opening
from ledger.engine.scrub import read_state
from ledger.errors import LedgerError
from ledger.notes.keys import format_verifier_key
from ledger.storage.api import HeadRecord, ReadTransaction
from ledger.storage.lmdb import LmdbStore

_US_PER_DAY: Final = 86_400_000_000
_CLOCK_SLACK_US: Final = 60_000_000
_FULL_PERCENT: Final = 80
_OLD_READER_COMMITS: Final = 10_000
_SCRUBBED_WITHIN_DAYS: Final = 3
_EXPIRES_WITHIN_DAYS: Final = 14
# The publisher's file is written now and then only.
_PUBLICATION_LAG: Final = 100_000


def diagnose_log(directory: DataDirectory, record: LogRecord, clock: Clock) -> Iterator[Diagnosis]:
    """Check one log of a data directory, in bounded time."""
    name = record.name
    try:
        guard = read_guard(directory, name)
        with closing(directory.open_store(name, read_only=True)) as store, store.read() as snapshot:
            yield from _diagnose(directory, record, store, snapshot, guard, clock)
    except LedgerError as error:
        yield fail(name, error.message, error.hint or "see the runbook on a damaged log")


def _diagnose(
    directory: DataDirectory,
    record: LogRecord,
    store: LmdbStore,
    snapshot: ReadTransaction,
    guard: tuple[int, bytes] | None,
    clock: Clock,
) -> Iterator[Diagnosis]:
    name = record.name
    finding = check_opening(snapshot, store.meta.origin, guard)
    frozen = snapshot.record(FREEZE)
    head = snapshot.head()
    if finding is not None:
        yield fail(name, finding.describe(), "see the runbook on a guard that refuses to sign, or on a damaged log")
    elif frozen is not None:
        yield fail(name, f"frozen: {frozen.decode(errors='replace')}", "see the runbook on a damaged log")
    elif head is not None:
        retired = read_retirement(snapshot.record, name)
        if retired is not None:
            yield ok(f"{name}: state", f"retired, and takes no events any more: {retired.reason}")
        yield ok(name, f"{head.tree_size} entries; head, right edge, last entries and guard agree")
    yield _signing_key(directory, record)
    yield _map(name, store)
    yield _readers(name, store)
    yield _scrubbed(directory, name, clock)
    if head is not None:
        yield _time(name, head, clock)
        yield _published(directory, name, head)
    yield from _keys(name, snapshot, clock)


def _signing_key(directory: DataDirectory, record: LogRecord) -> Diagnosis:
    name = f"{record.name}: signing key"
    try:
        key = format_verifier_key(directory.load_signer(record.name).verifier)
    except LedgerError as error:
        return fail(name, error.message, error.hint or "put the right key back")
    if key != record.verifier_key:
        return fail(name, f"it is that of {key}", f"put the key of {record.verifier_key} back")
    return ok(name, "it is the one that _system names")


def _map(name: str, store: LmdbStore) -> Diagnosis:
    used, limit = store.used_bytes(), store.map_bytes()
    percent = 100 * used // limit
    if percent >= _FULL_PERCENT:
        return warn(
            f"{name}: store", f"{used} of {limit} bytes are used", "plan a new log: see the runbook on retiring"
        )
    return ok(f"{name}: store", f"{used} of {limit} bytes are used")


def _readers(name: str, store: LmdbStore) -> Diagnosis:
    lag = store.oldest_reader_lag()
    if lag > _OLD_READER_COMMITS:
        return warn(
            f"{name}: readers",
            f"a snapshot is {lag} commits old and keeps the store growing",
            "end the program that holds it; the server clears those of dead programs",
        )
    return ok(f"{name}: readers", f"the oldest snapshot is {lag} commits old")


def _scrubbed(directory: DataDirectory, name: str, clock: Clock) -> Diagnosis:
    state = read_state(directory.scrub_path(name))
    if state.finding:
        return fail(f"{name}: scrub", state.finding, "see the runbook on a damaged log")
    days = (clock.now_us() - state.passed_at) / _US_PER_DAY
    if not state.passed_at or days > _SCRUBBED_WITHIN_DAYS:
        last = f"the last whole pass is {days:.1f} days old" if state.passed_at else "no pass was completed yet"
        return warn(f"{name}: scrub", last, "let the server run, or run `logproof scrub --run`")
    return ok(f"{name}: scrub", f"the last whole pass is {days:.1f} days old")


def _time(name: str, head: HeadRecord, clock: Clock) -> Diagnosis:
    ahead = head.last_recorded_at - clock.now_us()
    if ahead > _CLOCK_SLACK_US:
        return fail(
            f"{name}: time",
            f"the last entry is {ahead // 1_000_000} s ahead of the clock, so appends are refused",
            "set the clock right; if it is right, `logproof log confirm-clock`",
        )
    return ok(f"{name}: time", "the last entry is not ahead of the clock")


def _published(directory: DataDirectory, name: str, head: HeadRecord) -> Diagnosis:
    lag = head.tree_size - read_published_size(directory.published_path(name))
    if lag > _PUBLICATION_LAG:
        return warn(
            f"{name}: publication", f"{lag} entries behind", "if the server runs, look for the publisher in its log"
        )
    return ok(f"{name}: publication", f"kept up to {max(lag, 0)} entries before the head")


def _keys(name: str, snapshot: ReadTransaction, clock: Clock) -> Iterator[Diagnosis]:
    now = clock.now_us()
    for _, value in snapshot.records(KEY_PREFIX):
        credential = Credential.decode(value)
        days = (credential.expires_at - now) / _US_PER_DAY
        if credential.is_live(now) and credential.expires_at and days <= _EXPIRES_WITHIN_DAYS:
            yield warn(
                f"{name}: API keys",
                f"{credential.key_id} ({credential.label}) ends in {days:.0f} days",
                "rotate it with `logproof key rotate`",
            )
