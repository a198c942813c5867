"""The only reader of time.

Everything that needs the time takes a `Clock`, so that tests move it and a simulation owns it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from typing import Protocol

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class Clock(Protocol):
    """Wall-clock time and the clock that no one can set."""

    def now_us(self) -> int:
        """Return the wall-clock time, microseconds since 1970 in UTC."""

    def boottime_us(self) -> int:
        """Return microseconds since boot, counting suspension; never decreases, never set."""

    def is_synchronised(self) -> bool:
        """Return whether the kernel reports that the wall clock is synchronised."""


class _Timex(ctypes.Structure):
    # struct timex of adjtimex(2); the padding covers what is not read here.
    _fields_ = (("modes", ctypes.c_uint), ("_pad", ctypes.c_char * 252))


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Return the wall-clock time, microseconds since 1970 in UTC."""
        return time.time_ns() // 1000

    def boottime_us(self) -> int:
        """Return microseconds since boot, counting suspension."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def is_synchronised(self) -> bool:
        """Return whether adjtimex(2) reports a synchronised clock; False where it cannot be asked."""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            buffer = _Timex()
            return int(libc.adjtimex(ctypes.byref(buffer))) not in {-1, _TIME_ERROR}
        except (OSError, AttributeError):
            return False


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_us: int = 1_700_000_000_000_000, *, synchronised: bool = False) -> None:
        """Start at `now_us`, with the boot clock at 0."""
        self._now_us = now_us
        self._boottime_us = 0
        self.synchronised = synchronised

    def now_us(self) -> int:
        """Return the time it was moved to."""
        return self._now_us

    def boottime_us(self) -> int:
        """Return how far it was advanced."""
        return self._boottime_us

    def is_synchronised(self) -> bool:
        """Return what the test set."""
        return self.synchronised

    def advance(self, microseconds: int) -> None:
        """Let time pass on both clocks."""
        self._now_us += microseconds
        self._boottime_us += microseconds

    def step_wall(self, microseconds: int) -> None:
        """Set the wall clock forward or back, as an operator or NTP would."""
        self._now_us += microseconds
