"""The appends of a client that the server has not answered: what waits, and what is under way.

A buffer is bounded in events and bytes. What finds no room waits outside, in order, and costs no more than its caller
holds anyway. The rule that must not break: an append is in one place at a time, and leaves it exactly once, so that
its caller gets one answer and the event is never under way twice.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ledger.client._answers import Proven
from ledger.client.values import Sections
from ledger.errors import LedgerError
from ledger.events.event import BATCH_MAX_BYTES, BATCH_MAX_EVENTS

MAX_BUFFERED_EVENTS: Final = 10_000
"""Most events that wait or are under way."""

MAX_BUFFERED_BYTES: Final = 16 * 1024 * 1024
"""Most bytes of sections that wait or are under way."""


class Place(Enum):
    """Where an append is."""

    NEW = "new"
    """It was not taken in yet."""

    OUTSIDE = "outside"
    """It waits for room."""

    QUEUED = "queued"
    """It waits to be sent, or to be sent again."""

    SENT = "sent"
    """It is under way."""

    ENDED = "ended"
    """It has its answer, or its caller has gone."""


@dataclass(slots=True, eq=False)
class Waiting:
    """One append, and who waits for it.

    Attributes:
        sections: What is sent.
        event_id: Id of the event.
        new_id: Whether the id was made for this append.
        ends_at: Until when the caller waits, seconds since boot.
        handle: What wakes the caller.
        place: Where it is; guarded by the lock of the buffer.
        queued_at: Since when it waits to be sent, seconds since boot.
        was_sent: Whether it was under way at least once, so that the server may have it.
        answer: What the answer proves, once it has ended well.
        error: Why not, once it has ended otherwise; or beside an answer, that its head could not be kept.
    """

    sections: Sections
    event_id: str
    new_id: bool
    ends_at: float
    handle: object = None
    place: Place = Place.NEW
    queued_at: float = 0.0
    was_sent: bool = False
    answer: Proven | None = None
    error: LedgerError | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Count the bytes once."""
        self.size = self.sections.size


class Buffer:
    """The buffer of one client. Not thread-safe: its owner holds a lock."""

    def __init__(self, max_events: int = MAX_BUFFERED_EVENTS, max_bytes: int = MAX_BUFFERED_BYTES) -> None:
        """Begin with nothing.

        Args:
            max_events: Most events that wait or are under way.
            max_bytes: Most bytes of their sections; one event is let in however large it is.
        """
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._outside: OrderedDict[Waiting, None] = OrderedDict()
        self._queue: OrderedDict[Waiting, None] = OrderedDict()
        self._queued_bytes = 0
        # Of the queue, and of what is under way.
        self._events = 0
        self._bytes = 0

    @property
    def queued_events(self) -> int:
        """How many wait to be sent."""
        return len(self._queue)

    @property
    def fills_a_message(self) -> bool:
        """Whether waiting longer would not make the next message larger."""
        return len(self._queue) >= BATCH_MAX_EVENTS or self._queued_bytes >= BATCH_MAX_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._events and not self._outside

    @property
    def queued_since(self) -> float:
        """Since when the first waits to be sent; only where one does."""
        return next(iter(self._queue)).queued_at

    def put(self, waiting: Waiting, now: float) -> None:
        """Take a new append in, or let it wait outside; leave it where its caller has gone already."""
        if waiting.place is not Place.NEW:
            return
        if self._outside or not self._has_room_for(waiting):
            waiting.place = Place.OUTSIDE
            self._outside[waiting] = None
        else:
            self._let_in(waiting, now)

    def take(self) -> list[Waiting]:
        """Return the next message's worth of what waits to be sent; it is under way now."""
        taken: list[Waiting] = []
        size = 0
        queue = self._queue
        while queue and len(taken) < BATCH_MAX_EVENTS:
            waiting = next(iter(queue))
            size += waiting.size
            if taken and size > BATCH_MAX_BYTES:
                break
            del queue[waiting]
            self._queued_bytes -= waiting.size
            waiting.place = Place.SENT
            waiting.was_sent = True
            taken.append(waiting)
        return taken

    def put_back(self, waiting: Waiting) -> None:
        """Let an append that is under way be sent again, before all others."""
        waiting.place = Place.QUEUED
        self._queue[waiting] = None
        self._queue.move_to_end(waiting, last=False)
        self._queued_bytes += waiting.size

    def end(self, waiting: Waiting, now: float) -> bool:
        """Take an append out, wherever it is; return False where it had ended before."""
        place = waiting.place
        if place is Place.ENDED:
            return False
        waiting.place = Place.ENDED
        if place is Place.NEW:
            return True
        if place is Place.OUTSIDE:
            del self._outside[waiting]
            return True
        if place is Place.QUEUED:
            del self._queue[waiting]
            self._queued_bytes -= waiting.size
        self._events -= 1
        self._bytes -= waiting.size
        while self._outside and self._has_room_for(first := next(iter(self._outside))):
            del self._outside[first]
            self._let_in(first, now)
        return True

    def all_waiting(self) -> list[Waiting]:
        """Return what waits inside or outside, in order."""
        return [*self._queue, *self._outside]

    def _has_room_for(self, waiting: Waiting) -> bool:
        return not self._events or (self._events < self._max_events and self._bytes + waiting.size <= self._max_bytes)

    def _let_in(self, waiting: Waiting, now: float) -> None:
        waiting.place = Place.QUEUED
        waiting.queued_at = now
        self._queue[waiting] = None
        self._queued_bytes += waiting.size
        self._events += 1
        self._bytes += waiting.size
