"""When a failed call is made again, and after how long.

The rule that must not break: a retry sends the same bytes under the same event ids, so that an append whose outcome
is unknown is in the log once, however often it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FIRST_DELAY_SECONDS: Final = 0.1
"""Longest wait before the first retry."""

LONGEST_DELAY_SECONDS: Final = 5.0
"""Longest wait before any retry, unless the server asks for more."""

# What may pass by itself. A full disk does not, within the time of a call.
_PASSING: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED"})
_NOT_PASSING: Final = frozenset({"STORAGE_FULL", "LOG_READ_ONLY"})
# What gRPC says of a call that is too large, with the code of one for which there is no place now, which passes.
_TOO_LARGE: Final = ("message larger than max", "metadata size exceeds")


@dataclass(frozen=True, slots=True)
class Failure:
    """What decides about a retry.

    Attributes:
        code: Name of the status code.
        reason: Reason that the server gave; empty where it gave none.
        retry_after_seconds: How long the server asks to wait; None where it does not say.
        message: What was said, which decides only where gRPC gave no reason.
    """

    code: str
    reason: str
    retry_after_seconds: float | None
    message: str = ""


def retry_delay(failure: Failure, attempt: int, remaining_seconds: float, jitter: Callable[[], float]) -> float | None:
    """Return how long to wait before the next attempt, in seconds, or None to give up.

    The wait doubles with each attempt and is cut by up to half at random, so that many clients of a server that
    comes back do not come back at once; a server that says how long to wait is waited for at least that long.

    Args:
        failure: What the last attempt ended with.
        attempt: How many attempts have failed, from 1.
        remaining_seconds: Time left for the call.
        jitter: Returns a random number in [0, 1).
    """
    if failure.code not in _PASSING or failure.reason in _NOT_PASSING:
        return None
    if failure.code == "RESOURCE_EXHAUSTED" and failure.retry_after_seconds is None and not _has_no_place(failure):
        return None
    doubled: float = min(FIRST_DELAY_SECONDS * 2 ** min(attempt - 1, 16), LONGEST_DELAY_SECONDS)
    delay = doubled * (0.5 + jitter() / 2)
    if failure.retry_after_seconds is not None:
        delay = max(delay, failure.retry_after_seconds)
    return delay if delay < remaining_seconds else None


def _has_no_place(failure: Failure) -> bool:
    """Return whether gRPC itself refused a call because too many run."""
    message = failure.message.lower()
    return not failure.reason and not any(text in message for text in _TOO_LARGE)
