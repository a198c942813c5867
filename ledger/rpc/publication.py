"""What the services need to know of publication; the server process that watches the publisher provides it."""

from __future__ import annotations

from typing import Protocol


class Published(Protocol):
    """How far each log was recomputed from its leaves by another process."""

    def size(self, log: str) -> int:
        """Return the published size of a log; 0 until it is known. Thread-safe."""

    async def wait(self, log: str, at_least: int, timeout_seconds: float) -> int:
        """Return the published size of a log once it is known and has at least this size. For the event loop.

        Raises:
            PublicationBehindError: It has not within the time.
        """
