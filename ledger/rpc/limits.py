"""What calls may cost: how many at a time, for how long they may stay silent, and how much one credential may append.

Every bound of the services that an operator or a test may want another value for is here; docs/operator.md has them
with what a caller sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final


class Lane(Enum):
    """What kind of call it is: each kind has places of its own, so that none can take those of another."""

    APPEND = "append"
    BATCH = "batch"
    READ = "read"
    ADMINISTRATION = "administration"
    APPEND_STREAM = "append stream"
    READ_STREAM = "read stream"


PLACES: Final[Mapping[Lane, int]] = MappingProxyType(
    {
        Lane.APPEND: 512,
        # Each may bring 5 MiB, which are held before anything can be checked.
        Lane.BATCH: 32,
        Lane.READ: 256,
        Lane.ADMINISTRATION: 32,
        Lane.APPEND_STREAM: 128,
        Lane.READ_STREAM: 128,
    }
)
"""Calls of each kind at a time, of all connections together."""

OF_CREDENTIAL: Final[Mapping[Lane, int]] = MappingProxyType(
    {Lane.READ: 128, Lane.APPEND_STREAM: 32, Lane.READ_STREAM: 32}
)
"""Calls of each kind at a time that one credential may make; a reader that takes no answers keeps no others out."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How much one credential may append.

    Attributes:
        events_per_second: Events, in the long run; 0 for no limit.
        bytes_per_second: Bytes of the requests that bring them; 0 for no limit.
        burst_seconds: How many seconds' worth may come at once after a pause.
    """

    events_per_second: float = 200_000
    bytes_per_second: float = 128 * 1024 * 1024
    burst_seconds: float = 5


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """How many bad credentials are looked at from one address.

    Attributes:
        burst: At once.
        per_second: In the long run.
        loopback_factor: How many times that is allowed from this machine, where a proxy may stand for many clients.
    """

    burst: float = 30
    per_second: float = 0.5
    loopback_factor: float = 20


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of calls.

    Attributes:
        places: Calls of each kind at a time.
        of_credential: How many of these one credential may take, where it could keep them for long.
        open_calls: Calls at a time that need no credential, of those that answer once and of streams each.
        open_calls_of_address: How many of these one address may make.
        max_wait_seconds: How long an append may be expected to take before it is refused as too much.
        quick_calls: Appends of each kind that are let in whatever the expected wait.
        first_message_seconds: How long a call may take to bring its message, or the first one of a stream.
        idle_stream_seconds: How long a stream of appends may bring nothing.
        write_seconds: How long a message of a stream of answers may take to be taken.
        rates: How much one credential may append.
        logins: How many bad credentials are looked at from one address.
    """

    places: Mapping[Lane, int] = field(default_factory=lambda: PLACES)
    of_credential: Mapping[Lane, int] = field(default_factory=lambda: OF_CREDENTIAL)
    open_calls: int = 64
    open_calls_of_address: int = 16
    max_wait_seconds: float = 0.02
    quick_calls: Mapping[Lane, int] = field(default_factory=lambda: MappingProxyType({Lane.APPEND: 64, Lane.BATCH: 4}))
    first_message_seconds: float = 5
    idle_stream_seconds: float = 300
    write_seconds: float = 30
    rates: RateLimits = field(default_factory=RateLimits)
    logins: LoginLimits = field(default_factory=LoginLimits)
