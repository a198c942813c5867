"""Records of CloudTrail Insights: CloudTrail itself tells that calls of one kind, or their errors, are unusually many.

The rule that must not break: an Insight is not the call that it speaks of, so the action is CloudTrail's, and the name
of the call stands in the metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.errors import MalformedError
from ledger.events.checks import VALUE_MAX_BYTES
from ledger.events.event import Actor, ActorType
from ledger.importers.cloudtrail_fields import Fields

INSIGHT_ACTOR: Final = Actor(type=ActorType.SERVICE, id="cloudtrail.amazonaws.com")
"""Who found the Insight."""

INSIGHT_ACTIONS: Final[Mapping[str, str]] = {
    "Start": "aws.cloudtrail.insight_start",
    "End": "aws.cloudtrail.insight_end",
}
"""Actions by `insightDetails.state`."""

INSIGHT_METADATA: Final[Mapping[str, str]] = {
    "aws_insight_error_code": "insightDetails.errorCode",
    "aws_insight_event_name": "insightDetails.eventName",
    "aws_insight_event_source": "insightDetails.eventSource",
    "aws_insight_state": "insightDetails.state",
    "aws_insight_type": "insightDetails.insightType",
}
"""Metadata keys that only an Insight has, and the record's field that each one is."""


def is_insight(fields: Fields) -> bool:
    """Return whether the record is one of Insights: `insightDetails`, and no source and name of a call of its own."""
    return (
        isinstance(fields.get("insightDetails"), dict)
        and fields.get("eventSource") is None
        and fields.get("eventName") is None
    )


def insight_action(fields: Fields) -> str:
    """Return the action of an Insight.

    Raises:
        MalformedError: Its state is not one that is known.
    """
    state = fields.required("insightDetails.state")
    if state not in INSIGHT_ACTIONS:
        raise MalformedError(f"insightDetails.state is {state[:80]!a}; it is one of {', '.join(INSIGHT_ACTIONS)}")
    return INSIGHT_ACTIONS[state]


def insight_metadata(fields: Fields) -> dict[str, str | bool]:
    """Return the metadata that only an Insight has."""
    found = {key: fields.text(path, VALUE_MAX_BYTES) for key, path in INSIGHT_METADATA.items()}
    return {key: value for key, value in found.items() if value}
