"""What the services need to know of the followers; the server process that watches them provides it."""

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


class Indexed(Protocol):
    """How far each log was indexed by another process."""

    def grew(self, name: str) -> None:
        """Have a log looked at. Thread-safe."""

    def size(self, log: str) -> int:
        """Return how many entries of a log are indexed; 0 until it is known. Thread-safe."""

    async def wait(self, log: str, at_least: int, timeout_seconds: float) -> int:
        """Return how many entries of a log are indexed once it is known and there are so many. For the event loop.

        Raises:
            IndexBehindError: There are not within the time.
        """
