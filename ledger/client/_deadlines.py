"""When tasks stop waiting for their appends: one timer of the event loop for all deadlines within a few milliseconds.

Nearly every append is answered long before its deadline, and a timer of its own would cost more than all else that its
task does to wait. The rule that must not break: nobody is told before his deadline, and each who is left by then is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ledger.client._buffer import Waiting

STEP_SECONDS: Final = 0.005
"""How long after its deadline an append may be told of it."""


class Deadlines:
    """The deadlines of the tasks of one event loop, which alone may use it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds_left: Callable[[Waiting], float],
        expire: Callable[[Waiting], None],
    ) -> None:
        """Begin with none.

        Args:
            loop: The loop.
            seconds_left: Tells how long it is until a deadline.
            expire: Told of each append whose deadline has passed.
        """
        self._loop = loop
        self._seconds_left = seconds_left
        self._expire = expire
        # By the step that they end with.
        self._waiting: dict[int, dict[Waiting, None]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def add(self, waiting: Waiting) -> None:
        """Watch the deadline of an append until `remove`."""
        step = _step_of(waiting)
        together = self._waiting.get(step)
        if together is None:
            together = self._waiting[step] = {}
            delay = max(self._seconds_left(waiting), 0) + step * STEP_SECONDS - waiting.ends_at
            self._timers[step] = self._loop.call_later(delay, self._end, step)
        together[waiting] = None

    def remove(self, waiting: Waiting) -> None:
        """Watch it no longer, whether it was told or not."""
        step = _step_of(waiting)
        together = self._waiting.get(step)
        if together is not None:
            together.pop(waiting, None)
            if not together:
                del self._waiting[step]
                self._timers.pop(step).cancel()

    def _end(self, step: int) -> None:
        del self._timers[step]
        for waiting in self._waiting.pop(step):
            self._expire(waiting)


def _step_of(waiting: Waiting) -> int:
    return int(waiting.ends_at / STEP_SECONDS) + 1
