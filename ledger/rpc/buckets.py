"""Token buckets: how much each of many may do, in bounded memory.

A bucket fills at a steady rate up to its burst. What is asked for is given as long as there is anything in it, and may
leave a debt: so a request that is larger than the burst is possible, and has to be waited out afterwards. The rule that
must not break: the table never grows above its size, and who is dropped from it was the least recently seen.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from ledger.clock import Clock

MAX_BUCKETS: Final = 4096
"""Most buckets of a table."""

_US_PER_SECOND = 1_000_000

K = TypeVar("K", bound=Hashable)


class Buckets(Generic[K]):
    """A bucket for each key, full until it is first used. Thread-safe."""

    def __init__(self, clock: Clock, *, max_buckets: int = MAX_BUCKETS) -> None:
        """Begin with no bucket in use.

        Args:
            clock: The clock.
            max_buckets: Most buckets that are remembered.
        """
        self._clock = clock
        self._max_buckets = max_buckets
        self._lock = threading.Lock()  # guards _levels
        # What is in each bucket, and when that was so in boot-clock microseconds; least recently used first.
        self._levels: OrderedDict[K, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        with self._lock:
            return len(self._levels)

    def wait_seconds(self, key: K, *, per_second: float, burst: float) -> float:
        """Return how long the bucket of this key stays empty; 0 where something can be taken now.

        Args:
            key: Whose bucket.
            per_second: How quickly it fills; above 0.
            burst: How much it holds.
        """
        with self._lock:
            return _wait(self._level(key, per_second, burst)[0], per_second)

    def take(self, key: K, amount: float, *, per_second: float, burst: float) -> float:
        """Take from the bucket of this key if there is anything in it; otherwise return how long it stays empty.

        Args:
            key: Whose bucket.
            amount: How much; it may be more than there is, which then has to come back first.
            per_second: How quickly the bucket fills; above 0.
            burst: How much it holds.
        """
        with self._lock:
            level, now = self._level(key, per_second, burst)
            wait = _wait(level, per_second)
            self._levels[key] = (level if wait else level - amount, now)
            self._levels.move_to_end(key)
            if len(self._levels) > self._max_buckets:
                self._levels.popitem(last=False)
            return wait

    def give_back(self, key: K, amount: float, *, per_second: float, burst: float) -> None:
        """Put back what was taken and not needed."""
        with self._lock:
            if key in self._levels:
                level, now = self._level(key, per_second, burst)
                self._levels[key] = (min(level + amount, burst), now)

    def _level(self, key: K, per_second: float, burst: float) -> tuple[float, int]:
        now = self._clock.boottime_us()
        level, at = self._levels.get(key, (burst, now))
        return min(burst, level + (now - at) / _US_PER_SECOND * per_second), now


def _wait(level: float, per_second: float) -> float:
    # At least a whole token, so that who waits this long is not sent away again at once.
    return 0.0 if level > 0 else max(1 - level, 1) / per_second
