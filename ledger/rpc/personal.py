"""Who saw personal data: an entry of the log, durable before the data is shown.

The rule that must not break: where that entry cannot be written, nothing personal is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.auth.api_keys import credentials_refused
from ledger.auth.roles import Permission
from ledger.clock import Clock
from ledger.engine.access import Caller
from ledger.engine.log import Log
from ledger.engine.reader import EntryRead, SectionState
from ledger.engine.records import KEY_PREFIX, Credential
from ledger.engine.requests import AdminRequest
from ledger.engine.sequencer import SERVER_PRINCIPAL
from ledger.errors import PermissionMissingError
from ledger.events.checks import VALUE_MAX_BYTES
from ledger.events.event import Event, MetadataEntry, Target, Value
from ledger.storage.api import ReadTransaction

PERSONAL_READ: Final = "ledger.personal.read"
"""Action of the entries."""

RECORD_EVERY_US: Final = 60_000_000
"""How long an entry holds for a stream that goes on, microseconds."""


def shows_personal(entries: Sequence[EntryRead]) -> list[int]:
    """Return the leaf indexes of those entries whose personal section is shown."""
    return [entry.leaf_index for entry in entries if entry.personal.state is SectionState.PRESENT]


def record_entries_shown(log: Log, clock: Clock, caller: Caller, leaf_indexes: Sequence[int]) -> None:
    """Record, durably, that a caller is shown the personal sections of these entries; blocks.

    Raises:
        LedgerError: It could not be recorded, so they must not be shown.
    """
    metadata: dict[str, Value] = {"count": len(leaf_indexes)}
    for number, text in enumerate(_in_parts(_ranges(leaf_indexes)), 1):
        metadata[f"leaf_indexes_{number}"] = text
    _record(log, clock, caller, metadata)


def record_range_shown(log: Log, clock: Clock, caller: Caller, begin: int, end: int, count_before: int) -> None:
    """Record, durably, that a stream goes on to show the personal sections of a range; blocks.

    Args:
        log: The log.
        clock: The clock.
        caller: Who reads.
        begin: Index of the next entry to be shown.
        end: Index after the last that may be shown; 0 where the stream follows the log without end.
        count_before: Personal sections that the stream showed since its last record.

    Raises:
        LedgerError: It could not be recorded, so they must not be shown.
    """
    metadata: dict[str, Value] = {"begin": begin, "shown_before": count_before}
    if end:
        metadata["end"] = end
    _record(log, clock, caller, metadata)


def record_stream_ended(log: Log, clock: Clock, caller: Caller, end: int, count_before: int) -> None:
    """Record, durably, how many personal sections a stream showed since its last record; blocks.

    Args:
        log: The log.
        clock: The clock.
        caller: Who read; the credential may have ended since.
        end: Index after the last entry of the stream.
        count_before: Personal sections that the stream showed since its last record.

    Raises:
        LedgerError: It could not be recorded.
    """
    _record(log, clock, caller, {"begin": end, "end": end, "shown_before": count_before}, is_over=True)


def _record(log: Log, clock: Clock, caller: Caller, metadata: dict[str, Value], *, is_over: bool = False) -> None:
    # The reader need not be an administrator, so the server writes the entry and names the reader in it.
    metadata |= {"credential_id": caller.key_id, "principal": caller.principal.hex()}
    event = Event(
        action=PERSONAL_READ,
        targets=(Target(type="log", id=log.name),),
        metadata=tuple(MetadataEntry(key=key, value=metadata[key]) for key in sorted(metadata)),
    )

    def still_allowed(transaction: ReadTransaction) -> None:
        value = transaction.record(KEY_PREFIX + caller.key_id)
        credential = None if value is None else Credential.decode(value)
        if credential is None or not credential.is_live(clock.now_us()):
            raise credentials_refused()
        if not credential.allows(Permission.READ_PERSONAL):
            raise PermissionMissingError("the credential lacks the permission 'read_personal' on this log")

    log.administer(AdminRequest("", SERVER_PRINCIPAL, [event], None if is_over else still_allowed))


def _ranges(leaf_indexes: Sequence[int]) -> list[str]:
    """Return indexes as ranges: `3-7`, `9`."""
    runs: list[list[int]] = []
    for index in sorted(set(leaf_indexes)):
        if runs and runs[-1][1] + 1 == index:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]


def _in_parts(ranges: Sequence[str]) -> list[str]:
    """Return the ranges with commas, in as few texts as the limit of one value allows."""
    parts = [ranges[0]]
    for text in ranges[1:]:
        if len(parts[-1]) + 1 + len(text) > VALUE_MAX_BYTES:
            parts.append(text)
        else:
            parts[-1] += f",{text}"
    return parts
