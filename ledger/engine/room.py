"""Room on the disk: client appends stop while there is still enough for administration, heads and recovery.

A ballast file holds space back: an operator whose disk is full deletes it, and the next start with room makes it again.
"""

from __future__ import annotations

import os
from pathlib import Path

from ledger.clock import Clock
from ledger.engine.directory import BALLAST
from ledger.errors import StorageFullError

LOW_WATER_BYTES = 1024**3
BALLAST_BYTES = 64 * 1024**2
_LOOK_EVERY_US = 1_000_000


class Room:
    """Watches the free space of the volume that a data directory is on. Thread-safe; looks at most once a second."""

    def __init__(self, path: Path, clock: Clock, low_water_bytes: int = LOW_WATER_BYTES) -> None:
        """Watch a directory's volume; below `low_water_bytes` of free space `check` refuses."""
        self._path = path
        self._clock = clock
        self._low_water_bytes = low_water_bytes
        # Replaced whole, so that threads see a pair that belongs together: when it was looked, and what was free.
        self._seen: tuple[int, int] | None = None

    def check(self) -> None:
        """Return if a client's append may be taken.

        Raises:
            StorageFullError: The volume is below the low-water mark.
        """
        free = self.free_bytes()
        if free < self._low_water_bytes:
            raise StorageFullError(
                f"{free} bytes are free on the volume of the data; appends stop below {self._low_water_bytes}",
                hint="make room on that volume; appends go on by themselves",
                metadata={"freeBytes": str(free), "lowWaterBytes": str(self._low_water_bytes)},
            )

    def free_bytes(self) -> int:
        """Return the bytes that were free on the volume within the last second."""
        now, seen = self._clock.boottime_us(), self._seen
        if seen is None or now - seen[0] >= _LOOK_EVERY_US:
            volume = os.statvfs(self._path)
            seen = self._seen = (now, volume.f_bavail * volume.f_frsize)
        return seen[1]

    def hold_ballast(self) -> bool:
        """Make the ballast file where it is missing and there is room for it; return whether it is there."""
        path = self._path / BALLAST
        if path.exists():
            return True
        if self.free_bytes() < self._low_water_bytes + BALLAST_BYTES:
            return False
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
        except OSError:
            path.unlink()
            return False
        finally:
            os.close(descriptor)
        return True
