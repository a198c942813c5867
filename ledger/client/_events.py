"""An event from the words of a call: `actor="user:user_123"`, `changes={"role": ("member", "admin")}`.

The rule that must not break: what identifies a person goes to the section that can be erased, so keys and paths named
like an e-mail address, a name, an IP address or a user agent are moved there and never left in the event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypedDict

from ledger.errors import FieldViolation, InvalidEventError
from ledger.events.event import (
    Actor,
    ActorType,
    Authentication,
    Change,
    DataContext,
    Event,
    FieldChange,
    MetadataEntry,
    Outcome,
    PersonalData,
    Request,
    Source,
    Target,
    Value,
)
from ledger.events.flat_keys import is_personal_key

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class EventFields(TypedDict, total=False):
    """What an append may say beside the action, the actor and the targets.

    Attributes:
        outcome: How the action ended: an `Outcome`, or its name such as `denied`.
        changes: For each path that changed, its value before and after; None where there was or is none.
        metadata: Further facts: text, integers of 64 bits, finite numbers, yes or no.
        occurred_at: When it happened, with its time zone; the present if left out.
        event_id: Id that makes a repeated append the same one; made here if left out.
        reason_code: Short code for the reason.
        auth: How the actor was authenticated.
        request: The request that carried the action.
        change: What authorised the change.
        data: What data was touched.
        tenant_id: The customer's customer.
        correlation_id: Joins events that belong together.
        email: E-mail address of the actor; personal.
        name: Name of the actor; personal.
        ip: IP address the request came from; personal.
        peer_ip: IP address of the peer, such as a proxy; personal.
        user_agent: User agent; personal.
        description: Description in words; personal.
        reason: Reason in words; personal.
        target_names: Names of the targets, in their order; personal.
        personal_changes: Like `changes`, for fields that hold personal data.
        personal_metadata: Like `metadata`, for personal data.
    """

    outcome: Outcome | str
    changes: Mapping[str, tuple[Value | None, Value | None]]
    metadata: Mapping[str, Value]
    occurred_at: datetime
    event_id: str
    reason_code: str
    auth: Authentication
    request: Request
    change: Change
    data: DataContext
    tenant_id: str
    correlation_id: str
    email: str
    name: str
    ip: str
    peer_ip: str
    user_agent: str
    description: str
    reason: str
    target_names: Sequence[str]
    personal_changes: Mapping[str, tuple[Value | None, Value | None]]
    personal_metadata: Mapping[str, Value]


def build_event(
    action: str,
    actor: Actor | str | None,
    targets: Sequence[Target | str],
    fields: EventFields,
    *,
    event_id: str,
    now_us: int,
    source: Source,
) -> tuple[Event, PersonalData | None]:
    """Return the two sections' values.

    Args:
        action: resource.sub_resource.verb.
        actor: `TYPE:ID`, such as `user:user_123`, or the value; None if it is not said.
        targets: `TYPE:ID` each, or the values.
        fields: The rest.
        event_id: Id of the event.
        now_us: The present, microseconds since 1970 in UTC.
        source: The program that reports it.

    Raises:
        InvalidEventError: Something cannot be read; limits are checked when the event is encoded.
    """
    unknown = sorted(set(fields) - EventFields.__annotations__.keys())
    if unknown:
        raise _invalid(
            unknown[0], f"is not a field of an event; the fields are {', '.join(EventFields.__annotations__)}"
        )
    changes, personal_changes = _split_changes(fields.get("changes", {}), fields.get("personal_changes", {}))
    metadata, personal_metadata = _split_metadata(fields.get("metadata", {}), fields.get("personal_metadata", {}))
    occurred_at = fields.get("occurred_at")
    event = Event(
        event_id=event_id,
        action=action,
        occurred_at=now_us if occurred_at is None else to_microseconds(occurred_at),
        actor=_actor(actor),
        targets=tuple(_target(target) for target in targets),
        outcome=_outcome(fields.get("outcome", Outcome.UNSPECIFIED)),
        reason_code=fields.get("reason_code", ""),
        auth=fields.get("auth"),
        request=fields.get("request"),
        change=fields.get("change"),
        field_changes=changes,
        data=fields.get("data"),
        metadata=metadata,
        source=source,
        tenant_id=fields.get("tenant_id", ""),
        correlation_id=fields.get("correlation_id", ""),
    )
    personal = PersonalData(
        actor_email=fields.get("email", ""),
        actor_name=fields.get("name", ""),
        ip=fields.get("ip", ""),
        peer_ip=fields.get("peer_ip", ""),
        user_agent=fields.get("user_agent", ""),
        description=fields.get("description", ""),
        reason=fields.get("reason", ""),
        target_names=tuple(fields.get("target_names", ())),
        field_changes=personal_changes,
        metadata=personal_metadata,
    )
    return event, None if personal == PersonalData() else personal


def to_microseconds(moment: datetime) -> int:
    """Return microseconds since 1970 in UTC.

    Raises:
        InvalidEventError: The time has no time zone.
    """
    if moment.tzinfo is None:
        raise _invalid("occurred_at", "has no time zone; give one, such as datetime.now(UTC)")
    return (moment - _EPOCH) // _MICROSECOND


def _actor(actor: Actor | str | None) -> Actor | None:
    if actor is None or isinstance(actor, Actor):
        return actor
    kind, colon, identity = actor.partition(":")
    names = {member.name.lower(): member for member in ActorType if member is not ActorType.UNSPECIFIED}
    if not colon or kind not in names:
        raise _invalid("actor", f"{actor!r} is not TYPE:ID with one of the types {', '.join(names)}")
    return Actor(type=names[kind], id=identity)


def _target(target: Target | str) -> Target:
    if isinstance(target, Target):
        return target
    kind, colon, identity = target.partition(":")
    if not colon:
        raise _invalid("target", f"{target!r} is not TYPE:ID, such as user:user_456")
    return Target(type=kind, id=identity)


def _outcome(outcome: Outcome | str) -> Outcome:
    if isinstance(outcome, Outcome):
        return outcome
    names = {member.name.lower(): member for member in Outcome if member is not Outcome.UNSPECIFIED}
    if outcome not in names:
        raise _invalid("outcome", f"{outcome!r} is not one of {', '.join(names)}")
    return names[outcome]


def _split_changes(
    changes: Mapping[str, tuple[Value | None, Value | None]],
    personal: Mapping[str, tuple[Value | None, Value | None]],
) -> tuple[tuple[FieldChange, ...], tuple[FieldChange, ...]]:
    kept = [(path, pair) for path, pair in changes.items() if not is_personal_key(path.rpartition(".")[2])]
    moved = [(path, pair) for path, pair in changes.items() if is_personal_key(path.rpartition(".")[2])]
    return (
        tuple(FieldChange(path, old, new) for path, (old, new) in kept),
        tuple(FieldChange(path, old, new) for path, (old, new) in [*moved, *personal.items()]),
    )


def _split_metadata(
    metadata: Mapping[str, Value], personal: Mapping[str, Value]
) -> tuple[tuple[MetadataEntry, ...], tuple[MetadataEntry, ...]]:
    moved = {key: value for key, value in metadata.items() if is_personal_key(key)}
    kept = {key: value for key, value in metadata.items() if key not in moved}
    both = moved.keys() & personal.keys()
    if both:
        raise _invalid(f"metadata.{min(both)}", "is given twice, once as personal metadata")
    return _sorted_entries(kept), _sorted_entries({**moved, **personal})


def _sorted_entries(metadata: Mapping[str, Value]) -> tuple[MetadataEntry, ...]:
    return tuple(MetadataEntry(key, metadata[key]) for key in sorted(metadata, key=str.encode))


def _invalid(name: str, description: str) -> InvalidEventError:
    return InvalidEventError([FieldViolation(name, description)])
