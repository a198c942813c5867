"""Who asks what: queries as entries of the log, one for a credential and minute.

A credential's first query of a minute is recorded before its answer; how many followed in that minute stands in the
record of its next one. A query that shows nothing personal is answered even where the record cannot be written, which a
metric counts; one that does is refused.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.clock import Clock
from ledger.engine.access import Caller
from ledger.engine.log import Log
from ledger.engine.requests import AdminRequest
from ledger.engine.sequencer import SERVER_PRINCIPAL
from ledger.errors import LedgerError
from ledger.events.checks import VALUE_MAX_BYTES
from ledger.events.event import Event, MetadataEntry, Target, Value

QUERY_EXECUTED: Final = "ledger.query.executed"
"""Action of the entries."""

_EVERY_US: Final = 60_000_000
_REMEMBERED: Final = 10_000


@dataclass(slots=True)
class _Minute:
    began_at: int
    followed: int = 0


class QueryRecords:
    """Records queries. Thread-safe; blocks until a record is durable."""

    def __init__(self, clock: Clock, on_unrecorded: Callable[[str], None]) -> None:
        """Keep the parts; `on_unrecorded` is told the name of a log whose queries could not be recorded."""
        self._clock = clock
        self._on_unrecorded = on_unrecorded
        self._lock = threading.Lock()
        self._minutes: OrderedDict[tuple[str, str], _Minute] = OrderedDict()

    def record(self, log: Log, caller: Caller, filter_text: str, *, shows_personal: bool) -> None:
        """Take note of a query, before it is answered.

        Args:
            log: The log.
            caller: Who asks.
            filter_text: The filter in its canonical text.
            shows_personal: Whether the filter or the answer tells something personal.

        Raises:
            LedgerError: It could not be recorded, and tells something personal.
        """
        key = (log.name, caller.key_id)
        now = self._clock.boottime_us()
        with self._lock:
            minute = self._minutes.get(key)
            if minute is not None and now - minute.began_at < _EVERY_US and not shows_personal:
                minute.followed += 1
                return
            followed = minute.followed if minute is not None else 0
            # Until it is recorded; meanwhile others of this minute count with it.
            self._minutes[key] = current = _Minute(now)
            self._minutes.move_to_end(key)
            if len(self._minutes) > _REMEMBERED:
                self._minutes.popitem(last=False)
        try:
            log.administer(AdminRequest("", SERVER_PRINCIPAL, [_event(log.name, caller, filter_text, followed)], None))
        except LedgerError:
            with self._lock:
                # None that was answered is forgotten, and the next one tries again.
                current.followed += followed + (not shows_personal)
                current.began_at = now - _EVERY_US
            if shows_personal:
                raise
            self._on_unrecorded(log.name)


def _event(log: str, caller: Caller, filter_text: str, followed: int) -> Event:
    # What a filter asks for may be personal, such as an e-mail address: the entry must not keep it for ever.
    metadata: dict[str, Value] = {"credential_id": caller.key_id, "principal": caller.principal.hex()}
    if followed:
        metadata["queries_since_last_record"] = followed
    if filter_text:
        metadata["filter"] = filter_text.encode()[:VALUE_MAX_BYTES].decode(errors="ignore")
    return Event(
        action=QUERY_EXECUTED,
        targets=(Target(type="log", id=log),),
        metadata=tuple(MetadataEntry(key=key, value=metadata[key]) for key in sorted(metadata)),
    )
