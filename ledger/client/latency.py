"""Latencies in a histogram of fixed size: what a percentile needs, whatever the number of calls.

Buckets are as wide as 1/32 of their value, so a percentile is at most 3.2 % above the true one, from a microsecond to
hours; nothing is cut off and nothing averaged away.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

_PRECISION_BITS: Final = 5
_STEPS: Final = 1 << _PRECISION_BITS


class LatencyHistogram:
    """Counts of latencies by bucket. For one thread at a time; those of several threads are added up at the end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counter[int] = Counter()
        self.max_us = 0

    @property
    def count(self) -> int:
        """Return how many latencies were recorded."""
        return self._counts.total()

    def record(self, latency_us: int) -> None:
        """Count a latency in microseconds, at least 0."""
        self._counts[_bucket(latency_us)] += 1
        self.max_us = max(self.max_us, latency_us)

    def add(self, other: LatencyHistogram) -> None:
        """Take over what another one has counted."""
        self._counts.update(other._counts)
        self.max_us = max(self.max_us, other.max_us)

    def percentile_us(self, share: float) -> int:
        """Return the latency that this share of the calls did not exceed, microseconds; 0 where there are none.

        Args:
            share: From 0 to 1.
        """
        left = share * self.count
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return min(_highest(bucket), self.max_us)
        return self.max_us

    def buckets(self) -> list[tuple[int, int]]:
        """Return for each bucket that is not empty its highest latency in microseconds, and its count."""
        return [(_highest(bucket), self._counts[bucket]) for bucket in sorted(self._counts)]


def _bucket(value: int) -> int:
    # Values below two rows of steps have buckets of their own; above, each doubling has one row of steps.
    shift = max(value.bit_length() - _PRECISION_BITS - 1, 0)
    return (shift << _PRECISION_BITS) + (value >> shift)


def _highest(bucket: int) -> int:
    shift = max((bucket >> _PRECISION_BITS) - 1, 0)
    return ((bucket - (shift << _PRECISION_BITS) + 1) << shift) - 1
