"""Which calls are let in: a bounded number of each kind, and of appends no more than can soon be done.

The rule that must not break: it is decided before the message of a call is read, so that refusing costs little; and
each kind of call has its own places, so that neither readers nor followers keep an append out.

How long an append will take is reckoned from what is in progress and how quickly appends of its kind were finished of
late (Little's law). What would take much longer than it has to is refused at once, with when to come back: so what is
let in stays quick, however much more comes. A slow disk is no overload: where every commit takes long, so may an append.
Where only some do, as when the writer waits for other threads in a flood, they may not: to let more in then would make
each take longer still. Nor is a burst: how quickly a few calls came one after the other does not tell how quickly many
are done at a time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from ledger.auth.roles import Permission
from ledger.clock import Clock
from ledger.errors import OverloadedError, QuotaExceededError
from ledger.rpc.limits import CallLimits, Lane
from ledger.rpc.rules import Rule

_LOOK_US: Final = 100_000
_COMMITS_TO_WAIT: Final = 3
_COMMITS_TO_TELL: Final = 8
_SMOOTHING: Final = 0.3
_SHORTEST_RETRY_SECONDS: Final = 0.05
_US_PER_SECOND: Final = 1_000_000


def lane_of(method: str, rule: Rule) -> Lane:
    """Return which kind of call a method is.

    Args:
        method: `package.Service/Method`.
        rule: Its rule.
    """
    name = method.rpartition("/")[2]
    if rule.permission is Permission.APPEND:
        return {"AppendBatch": Lane.BATCH, "AppendStream": Lane.APPEND_STREAM}.get(name, Lane.APPEND)
    if rule.is_slow:
        return Lane.ADMINISTRATION
    return Lane.READ_STREAM if name == "ReadEntries" else Lane.READ


@dataclass(slots=True)
class _Pace:
    """How quickly calls of one kind were finished of late, counting only what ran while there were enough at a time.

    Attributes:
        enough: How many have to run for their rate to tell what can be done.
        to_count: How many of those that run are still to be counted: all from when there were enough, until as many
            have ended; so the end of a burst, when fewer run, belongs to it.
    """

    enough: int
    running: int = 0
    of_credential: Counter[Hashable] = field(default_factory=Counter)
    to_count: int = 0
    finished: int = 0
    busy_us: int = 0
    looked_at: int = 0
    per_second: float = 0.0

    def pass_time(self, now: int) -> None:
        """Take note of the time since the last change."""
        if self.to_count:
            self.busy_us += now - self.looked_at
        self.looked_at = now
        if self.busy_us >= _LOOK_US and self.finished:
            rate = self.finished * _US_PER_SECOND / self.busy_us
            self.per_second = _mixed(self.per_second, rate)
            self.finished = self.busy_us = 0

    def begin(self) -> None:
        """Take note of one more call."""
        self.running += 1
        if self.running >= self.enough:
            self.to_count = self.running

    def end(self, now: int) -> None:
        """Take note of one call less."""
        if self.to_count:
            self.finished += 1
        self.pass_time(now)
        self.to_count = max(self.to_count - 1, 0)
        self.running -= 1


class Admission:
    """Lets calls in, and out again. Lives on the event loop, but for `committed` and `running`."""

    def __init__(self, clock: Clock, limits: CallLimits) -> None:
        """Begin with no calls.

        Args:
            clock: The clock.
            limits: How many calls of each kind, and how long an append may take.
        """
        self._clock = clock
        self._limits = limits
        self._paces = {lane: _Pace(limits.quick_calls.get(lane, 1)) for lane in Lane}
        # Microseconds of the newest commits; writer threads add to it.
        self._commits: deque[int] = deque([0], _COMMITS_TO_TELL)

    def enter(self, lane: Lane) -> None:
        """Let a call in; `leave` must follow.

        Raises:
            OverloadedError: All places of its kind are taken, or it is an append that would take too long.
        """
        pace = self._paces[lane]
        pace.pass_time(self._clock.boottime_us())
        places = self._limits.places[lane]
        if pace.running >= places:
            raise OverloadedError(
                f"{pace.running} calls of the kind '{lane.value}' run; the limit is {places}",
                hint="retry after a pause",
                metadata={"kind": lane.value, "limit": str(places)},
                retry_seconds=_retry_seconds(pace),
            )
        quick = self._limits.quick_calls.get(lane)
        if quick is not None and pace.running >= quick and pace.per_second:
            wait = pace.running / pace.per_second
            if wait > max(self._limits.max_wait_seconds, _COMMITS_TO_WAIT * self._disk_seconds()):
                raise OverloadedError(
                    f"an append would take about {wait:.3f} s, which is too long; nothing was appended",
                    hint="retry after a pause with the same bytes, and send fewer at a time",
                    metadata={"kind": lane.value, "waitSeconds": f"{wait:.3f}"},
                    retry_seconds=_retry_seconds(pace),
                )
        pace.begin()

    def leave(self, lane: Lane) -> None:
        """Take note that a call that was let in has ended."""
        self._paces[lane].end(self._clock.boottime_us())

    def enter_as(self, lane: Lane, credential: Hashable) -> bool:
        """Count a call of a credential where one may have only so many; return whether `leave_as` must follow.

        Raises:
            QuotaExceededError: It has as many as one credential may.
        """
        most = self._limits.of_credential.get(lane)
        if most is None:
            return False
        running = self._paces[lane].of_credential
        if running[credential] >= most:
            raise QuotaExceededError(
                f"the credential has {most} calls of the kind '{lane.value}' under way, which is the limit",
                hint="end one first; an answer that is not taken keeps its call under way",
                metadata={"quota": lane.value, "limit": str(most)},
            )
        running[credential] += 1
        return True

    def leave_as(self, lane: Lane, credential: Hashable) -> None:
        """Take note that a call of a credential has ended."""
        running = self._paces[lane].of_credential
        running[credential] -= 1
        if not running[credential]:
            del running[credential]

    def committed(self, microseconds: int) -> None:
        """Take note of how long the disk took for a commit, without what its entries took before it. Thread-safe."""
        self._commits.append(microseconds)

    def _disk_seconds(self) -> float:
        """Return what the disk takes for a commit at least: the quickest of late had to wait for nothing else."""
        return min(self._commits.copy()) / _US_PER_SECOND

    def running(self) -> dict[str, int]:
        """Return how many calls of each kind run. Thread-safe."""
        return {lane.value: pace.running for lane, pace in self._paces.items()}


def _retry_seconds(pace: _Pace) -> float:
    """Return when what runs now will be done."""
    return max(pace.running / pace.per_second if pace.per_second else 0.0, _SHORTEST_RETRY_SECONDS)


def _mixed(old: float, new: float) -> float:
    return old + _SMOOTHING * (new - old) if old else new
