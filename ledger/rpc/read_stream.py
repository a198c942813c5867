"""ReadEntries: entries in order of their index, page by page, for as long as the caller wants and may.

Each page has a snapshot of its own, so that a slow reader keeps nothing from being freed. The rule that must not break:
a credential that ends stops its streams within a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from ledger.engine.reader import View
from ledger.errors import IndexBeyondTreeError, LedgerError, ShuttingDownError
from ledger.rpc.binding import Call
from ledger.rpc.checks import RequestChecks
from ledger.rpc.convert import VIEWS, entry_message
from ledger.rpc.entries import fitting_entries
from ledger.rpc.parts import Parts
from ledger.rpc.personal import RECORD_EVERY_US, record_range_shown, record_stream_ended, shows_personal
from ledger.v1 import ledger_pb2

_LOGGER = logging.getLogger(__name__)

MAX_PAGE: Final = 1000
"""Most entries of one message."""

MAX_PAGE_BYTES: Final = 1_000_000
"""Largest message, but for a single entry that is larger; what a reader that stalls keeps in memory."""

LOOK_SECONDS: Final = 0.02
"""How long a stream that has shown all there is waits at least before it looks again."""

LOOKS_PER_SECOND: Final = 1000
"""How often all streams together look for new entries: the more follow, the later each sees them."""

RECHECK_US: Final = 1_000_000
"""How long a credential is taken for good, microseconds; also how long a stream waits for growth at a time."""


@dataclass(slots=True)
class _Position:
    """Where a stream stands.

    Attributes:
        next: Index of the next entry.
        end: Index after the last; 0 for none.
        checked_at: When the credential was last checked, boot-clock microseconds.
        recorded_at: When a personal read was last recorded, the same; None for never.
        shown: Personal sections shown since then.
        has_caught_up: Whether there was nothing more when it was last looked.
    """

    next: int
    end: int
    checked_at: int
    recorded_at: int | None = None
    shown: int = 0
    has_caught_up: bool = False

    @property
    def is_at_end(self) -> bool:
        return bool(self.end) and self.next >= self.end


class ReadStreams:
    """Serves ReadEntries."""

    def __init__(self, parts: Parts) -> None:
        """Keep the parts."""
        self._parts = parts
        self._followers = 0

    async def read_entries(
        self, call: Call, request: ledger_pb2.ReadEntriesRequest
    ) -> AsyncGenerator[ledger_pb2.ReadEntriesResponse, None]:
        """Stream entries.

        Raises:
            LedgerError: The range is not there, the credential has ended, or the server stops.
        """
        checks = RequestChecks()
        checks.index("begin", request.begin)
        checks.index("end", request.end)
        checks.known("view", request.view, VIEWS)
        if request.end and request.begin > request.end:
            checks.refuse("begin", f"is {request.begin}, above end, which is {request.end}")
        checks.finish()
        growth, workers, clock = self._parts.growth, self._parts.workers, self._parts.clock
        end = request.end if request.follow else await workers.run(lambda: self._end(request))
        if end == request.begin and not request.follow:
            return
        position = _Position(request.begin, end, clock.boottime_us())
        self._followers += request.follow
        try:
            while not position.is_at_end:
                if growth.stopping.is_set():
                    raise ShuttingDownError("the server is stopping", hint=f"read on from {position.next}")
                grown, looked_at = growth.expect(request.log), clock.boottime_us()
                page = await workers.run(lambda: self._page(call, request, position))
                if page.entries:
                    yield page
                if position.has_caught_up and not position.is_at_end:
                    await growth.wait(grown, RECHECK_US / 1_000_000)
                    await self._let_others_look(looked_at)
        finally:
            self._followers -= request.follow
            if position.shown:
                await asyncio.shield(workers.run(lambda: self._record_end(call, request.log, position), is_slow=True))

    async def _let_others_look(self, looked_at: int) -> None:
        """Wait, so that what followers cost grows neither with how often the log does, nor with how many they are."""
        pause = max(LOOK_SECONDS, self._followers / LOOKS_PER_SECOND)
        rest = pause - (self._parts.clock.boottime_us() - looked_at) / 1_000_000
        if rest > 0:
            await self._parts.growth.wait(self._parts.growth.stopping, rest)

    def _end(self, request: ledger_pb2.ReadEntriesRequest) -> int:
        """Return where a stream ends that does not follow the log."""
        with self._parts.registry.use(request.log) as log:
            size = log.signed_head().tree_size
        if request.end > size or request.begin > size:
            field, value = ("end", request.end) if request.end > size else ("begin", request.begin)
            raise IndexBeyondTreeError(
                f"{field} is {value}, beyond the tree of size {size}",
                hint="read up to the tree size, or follow the log",
                metadata={field: str(value), "treeSize": str(size)},
            )
        return request.end or size

    def _record_end(self, call: Call, name: str, position: _Position) -> None:
        """Record how many personal sections a stream has shown that is over; blocks."""
        try:
            with self._parts.registry.use(name) as log:
                record_stream_ended(log, self._parts.clock, call.caller, position.next, position.shown)
        except LedgerError:
            # What was shown was announced before it was; only its count is not told.
            _LOGGER.warning("the end of a personal read was not recorded", exc_info=True, extra={"log": name})

    def _page(
        self, call: Call, request: ledger_pb2.ReadEntriesRequest, position: _Position
    ) -> ledger_pb2.ReadEntriesResponse:
        """Return the next message, empty where there is nothing yet, and move the position; blocks."""
        now = self._parts.clock.boottime_us()
        if now - position.checked_at >= RECHECK_US:
            call.authorise(request)
            position.checked_at = now
        view = VIEWS[request.view]
        with self._parts.registry.use(request.log) as log:
            with log.read() as reader:
                size = reader.head.tree_size
                end = min(position.next + MAX_PAGE, size, position.end or size)
                entries = list(fitting_entries(reader, range(position.next, end), view, max_bytes=MAX_PAGE_BYTES))
            shown = len(shows_personal(entries)) if view is View.FULL else 0
            if shown and (position.recorded_at is None or now - position.recorded_at >= RECORD_EVERY_US):
                record_range_shown(log, self._parts.clock, call.caller, position.next, position.end, position.shown)
                position.recorded_at, position.shown = now, 0
        position.shown += shown
        position.next += len(entries)
        position.has_caught_up = position.next >= size
        return ledger_pb2.ReadEntriesResponse(entries=[entry_message(entry) for entry in entries])
