"""Waiting on the event loop for what a writer thread finishes.

A commit finishes many futures at once. `asyncio.wrap_future` would wake the loop for each of them, by a system call in
the writer's thread; here the first of them wakes it for all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import Future
from typing import Generic, TypeVar

R = TypeVar("R")


class Completions(Generic[R]):
    """Waits for futures of other threads. Lives on one event loop."""

    def __init__(self) -> None:
        """Belong to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._done: deque[asyncio.Future[None]] = deque()
        # Set before the loop is woken and cleared before it looks: what is added after that wakes it again.
        self._is_woken = False

    async def wait(self, future: Future[R]) -> R:
        """Return the future's result, or raise its error; a wait that is cancelled cancels the future too.

        Raises:
            LedgerError: What the future was finished with.
        """
        finished = self._loop.create_future()
        future.add_done_callback(lambda _: self._add(finished))
        try:
            await finished
        except asyncio.CancelledError:
            future.cancel()
            raise
        return future.result()

    def _add(self, finished: asyncio.Future[None]) -> None:
        """Take note of a finished future; in the thread that finished it."""
        self._done.append(finished)
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._is_woken = False
        while self._done:
            finished = self._done.popleft()
            if not finished.done():
                finished.set_result(None)
