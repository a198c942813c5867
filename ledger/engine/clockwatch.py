"""Whether the wall clock may time-stamp entries.

recorded_at never decreases and is not to be trusted after a jump: a wall clock that moved by more than a minute
against the boot clock, or that stands more than a minute behind the last entry, stops appends until both clocks have
agreed again for a minute, the kernel reports a synchronised clock, or an administrator confirms it.
"""

from __future__ import annotations

from ledger.clock import Clock
from ledger.errors import ClockError

TOLERANCE_US = 60_000_000


class ClockWatch:
    """Compares the wall clock with the boot clock. Owned by one log's writer thread."""

    def __init__(self, clock: Clock) -> None:
        """Take both clocks as they stand now for agreeing."""
        self._clock = clock
        self._offset = clock.now_us() - clock.boottime_us()
        self._distrusted_since: int | None = None
        self._confirmed_behind = False

    def recorded_at(self, last_recorded_at: int) -> int:
        """Return the time to record an entry at: now, or that of the last entry if that is later.

        Args:
            last_recorded_at: Of the log's last entry, microseconds UTC; 0 for none.

        Raises:
            ClockError: The wall clock is not to be trusted.
        """
        now, boottime = self._clock.now_us(), self._clock.boottime_us()
        jumped = now - boottime - self._offset
        self._offset = now - boottime
        behind = last_recorded_at - now
        if behind <= TOLERANCE_US:
            self._confirmed_behind = False
        is_behind = behind > TOLERANCE_US and not self._confirmed_behind
        if abs(jumped) > TOLERANCE_US or (is_behind and self._distrusted_since is None):
            self._distrusted_since = boottime
        if self._distrusted_since is not None:
            agreed_for = boottime - self._distrusted_since
            agreed = agreed_for >= TOLERANCE_US and not is_behind
            if not agreed and not self._clock.is_synchronised():
                raise ClockError(
                    self._explain(behind) + "; appends wait until it can be trusted",
                    hint="check the machine's time synchronisation; `logproof log confirm-clock` confirms the time",
                    metadata={"behindMicroseconds": str(max(behind, 0)), "agreedMicroseconds": str(agreed_for)},
                )
            self._distrusted_since = None
        return max(last_recorded_at, now)

    def confirm(self) -> None:
        """Trust the wall clock as it stands, because an administrator said so."""
        self._offset = self._clock.now_us() - self._clock.boottime_us()
        self._distrusted_since = None
        self._confirmed_behind = True

    @staticmethod
    def _explain(behind: int) -> str:
        if behind > TOLERANCE_US:
            return f"the wall clock is {behind // 1_000_000} s behind the log's last entry"
        return "the wall clock jumped by more than 60 s"
