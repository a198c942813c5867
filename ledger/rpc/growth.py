"""Tells streams that follow a log that it has grown, or that the server stops, without a thread for each of them."""

from __future__ import annotations

import asyncio
import contextlib


class Growth:
    """Who waits for which log. Lives on one event loop; `grew` may be called from any thread."""

    def __init__(self) -> None:
        """Belong to the running event loop."""
        self._loop = asyncio.get_running_loop()
        # Changed on the loop alone; other threads only look whether a log is in it.
        self._waiting: dict[str, asyncio.Event] = {}
        self._stopping = asyncio.Event()

    @property
    def stopping(self) -> asyncio.Event:
        """Return what is set once the server stops: long calls end then."""
        return self._stopping

    def grew(self, log: str) -> None:
        """Tell that a log has a new head."""
        if log in self._waiting:
            with contextlib.suppress(RuntimeError):  # the loop has ended: the server has stopped
                self._loop.call_soon_threadsafe(self._wake, log)

    def expect(self, log: str) -> asyncio.Event:
        """Return what is set when the log next grows; look at the log after this and before `wait`."""
        event = self._waiting.setdefault(log, asyncio.Event())
        if self._stopping.is_set():
            event.set()
        return event

    async def wait(self, expected: asyncio.Event, timeout_seconds: float) -> None:
        """Return when the event is set or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await expected.wait()

    def stop(self) -> None:
        """Wake everyone, for good."""
        self._stopping.set()
        for log in list(self._waiting):
            self._wake(log)

    def _wake(self, log: str) -> None:
        event = self._waiting.pop(log, None)
        if event is not None:
            event.set()
