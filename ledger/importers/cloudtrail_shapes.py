"""What else comes as JSON from where CloudTrail records come from: digest files, and records inside of something.

The rule that must not break: only what cannot be a record is taken for anything else, so that no record is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# The key that holds the records, and what to do about it.
_WRAPPERS: Final[Mapping[str, tuple[type, str]]] = {
    "detail": (dict, "is an EventBridge event with the record inside; `jq -c .detail FILE` takes the records out"),
    "logEvents": (
        list,
        "is a message of CloudWatch Logs with the records inside; `jq -r '.logEvents[].message' FILE` takes them out",
    ),
    "Events": (
        list,
        "is an answer of lookup-events with the records inside; `jq -r '.Events[].CloudTrailEvent' FILE` takes them out",
    ),
    "events": (
        list,
        "is an answer of CloudWatch Logs with the records inside; `jq -r '.events[].message' FILE` takes them out",
    ),
}
_OF_A_RECORD: Final = frozenset({"eventTime", "eventSource", "eventName", "insightDetails"})


def is_digest(value: object) -> bool:
    """Return whether a JSON value is a digest file: the hashes of log files, which CloudTrail delivers beside them."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("digestS3Bucket"), str)
        and isinstance(value.get("logFiles"), list)
        and not value.keys() & _OF_A_RECORD
    )


def describe_wrapper(value: Mapping[str, object]) -> str | None:
    """Return in words what holds records and is none, and how to take them out; None for anything else."""
    if value.keys() & _OF_A_RECORD:
        return None
    for key, (kind, words) in _WRAPPERS.items():
        if isinstance(value.get(key), kind):
            return words
    return None
