"""An event from the words of a call: `actor="user:user_123"`, `changes={"role": ("member", "admin")}`.

The rule that must not break: what identifies a person goes to the section that can be erased, so keys and paths named
like an e-mail address, a name, an IP address or a user agent are moved there and never left in the event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypedDict, TypeVar

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
from ledger.events.value_types import VALUE_TYPES, check_types, describe_type, is_value

HINT: Final = "docs/integrator.md says what an event says, and of which types"
"""Where to read on, for whoever gave something else."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SIDES: Final = 2
_ACTOR_TYPES: Final = {member.name.lower(): member for member in ActorType if member is not ActorType.UNSPECIFIED}
_OUTCOMES: Final = {member.name.lower(): member for member in Outcome if member is not Outcome.UNSPECIFIED}
# Arguments that are not named like the fields that they fill.
_ARGUMENTS: Final = {"actor_email": "email", "actor_name": "name"}

_Given = TypeVar("_Given")


class EventFields(TypedDict, total=False):
    """What an append may say beside the action, the actor and the targets; None stands for left out.

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

    outcome: Outcome | str | None
    changes: Mapping[str, tuple[Value | None, Value | None]] | None
    metadata: Mapping[str, Value] | None
    occurred_at: datetime | None
    event_id: str | None
    reason_code: str | None
    auth: Authentication | None
    request: Request | None
    change: Change | None
    data: DataContext | None
    tenant_id: str | None
    correlation_id: str | None
    email: str | None
    name: str | None
    ip: str | None
    peer_ip: str | None
    user_agent: str | None
    description: str | None
    reason: str | None
    target_names: Sequence[str] | None
    personal_changes: Mapping[str, tuple[Value | None, Value | None]] | None
    personal_metadata: Mapping[str, Value] | None


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
        fields: The rest; None stands for left out.
        event_id: Id of the event.
        now_us: The present, microseconds since 1970 in UTC.
        source: The program that reports it.

    Raises:
        InvalidEventError: Something cannot be read, or has another type than its field; names every such field. Limits
            are checked when the event is encoded.
    """
    words = _Words()
    unknown = sorted(set(fields) - EventFields.__annotations__.keys())
    for name in unknown:
        words.refuse(name, f"is not a field of an event; the fields are {', '.join(EventFields.__annotations__)}")
    changes, personal_changes = words.changes(fields)
    metadata, personal_metadata = words.metadata(fields)
    occurred_at = fields.get("occurred_at")
    event = Event(
        event_id=event_id,
        action=action,
        occurred_at=now_us if occurred_at is None else words.moment(occurred_at),
        actor=words.actor(actor),
        targets=tuple(words.target(target) for target in targets),
        outcome=words.outcome(_or(fields.get("outcome"), Outcome.UNSPECIFIED)),
        reason_code=_or(fields.get("reason_code"), ""),
        auth=fields.get("auth"),
        request=fields.get("request"),
        change=fields.get("change"),
        field_changes=changes,
        data=fields.get("data"),
        metadata=metadata,
        source=source,
        tenant_id=_or(fields.get("tenant_id"), ""),
        correlation_id=_or(fields.get("correlation_id"), ""),
    )
    personal = PersonalData(
        actor_email=_or(fields.get("email"), ""),
        actor_name=_or(fields.get("name"), ""),
        ip=_or(fields.get("ip"), ""),
        peer_ip=_or(fields.get("peer_ip"), ""),
        user_agent=_or(fields.get("user_agent"), ""),
        description=_or(fields.get("description"), ""),
        reason=_or(fields.get("reason"), ""),
        target_names=words.target_names(_or(fields.get("target_names"), ())),
        field_changes=personal_changes,
        metadata=personal_metadata,
    )
    for found in check_types(event, personal):
        name = found.field.partition(".")[2]
        words.refuse(_ARGUMENTS.get(name, name), found.description)
    if words.violations:
        raise InvalidEventError(words.violations, hint=HINT)
    return event, None if personal == PersonalData() else personal


def to_microseconds(moment: object) -> int:
    """Return microseconds since 1970 in UTC.

    Raises:
        InvalidEventError: It is no datetime, or has no time zone.
    """
    wanted = "a datetime with its time zone, such as datetime.now(UTC)"
    if not isinstance(moment, datetime):
        raise InvalidEventError([FieldViolation("occurred_at", describe_type(moment, wanted))], hint=HINT)
    if moment.tzinfo is None:
        raise InvalidEventError([FieldViolation("occurred_at", f"has no time zone; it is {wanted}")], hint=HINT)
    return (moment - _EPOCH) // _MICROSECOND


class _Words:
    """Reads the words of a call, and collects what cannot be read; what it then returns stands for nothing."""

    def __init__(self) -> None:
        self.violations: list[FieldViolation] = []

    def refuse(self, name: str, description: str) -> None:
        self.violations.append(FieldViolation(name, description))

    def actor(self, actor: object) -> Actor | None:
        if actor is None or isinstance(actor, Actor):
            return actor
        if not isinstance(actor, str):
            self.refuse("actor", describe_type(actor, "TYPE:ID, such as user:user_123, or of type ledger.Actor"))
            return None
        kind, colon, identity = actor.partition(":")
        if not colon or kind not in _ACTOR_TYPES:
            self.refuse("actor", f"{actor!r} is not TYPE:ID with one of the types {', '.join(_ACTOR_TYPES)}")
            return None
        return Actor(type=_ACTOR_TYPES[kind], id=identity)

    def target(self, target: object) -> Target:
        if isinstance(target, Target):
            return target
        if not isinstance(target, str):
            self.refuse("target", describe_type(target, "TYPE:ID, such as user:user_456, or of type ledger.Target"))
            return Target()
        kind, colon, identity = target.partition(":")
        if not colon:
            self.refuse("target", f"{target!r} is not TYPE:ID, such as user:user_456")
        return Target(type=kind, id=identity)

    def target_names(self, names: object) -> tuple[str, ...]:
        if not isinstance(names, tuple | list):
            self.refuse("target_names", describe_type(names, "a list of names"))
            return ()
        return tuple(names)

    def outcome(self, outcome: object) -> Outcome:
        if isinstance(outcome, Outcome):
            return outcome
        if not isinstance(outcome, str) or outcome not in _OUTCOMES:
            self.refuse("outcome", f"{outcome!r} is not one of {', '.join(_OUTCOMES)}")
            return Outcome.UNSPECIFIED
        return _OUTCOMES[outcome]

    def moment(self, moment: object) -> int:
        try:
            return to_microseconds(moment)
        except InvalidEventError as error:
            self.violations += error.violations
            return 0

    def changes(self, fields: EventFields) -> tuple[tuple[FieldChange, ...], tuple[FieldChange, ...]]:
        all_changes = self.pairs("changes", _or(fields.get("changes"), {}))
        moved = [change for change in all_changes if is_personal_key(change.path.rpartition(".")[2])]
        kept = [change for change in all_changes if not is_personal_key(change.path.rpartition(".")[2])]
        return tuple(kept), (*moved, *self.pairs("personal_changes", _or(fields.get("personal_changes"), {})))

    def pairs(self, name: str, changes: object) -> list[FieldChange]:
        found: list[FieldChange] = []
        for path, pair in self.items(name, changes):
            at = f"{name}.{path}"
            if not isinstance(pair, tuple | list) or len(pair) != _SIDES:
                self.refuse(at, describe_type(pair, "a pair: the value before, and the value after"))
                continue
            for side, value in zip(("old", "new"), pair, strict=True):
                if value is not None and not is_value(value):
                    self.refuse(f"{at}.{side}", describe_type(value, f"{VALUE_TYPES}, or None where there is none"))
                    break
            else:
                found.append(FieldChange(path, *pair))
        return found

    def metadata(self, fields: EventFields) -> tuple[tuple[MetadataEntry, ...], tuple[MetadataEntry, ...]]:
        kept = self.values("metadata", _or(fields.get("metadata"), {}))
        personal = self.values("personal_metadata", _or(fields.get("personal_metadata"), {}))
        moved = {key: value for key, value in kept.items() if is_personal_key(key)}
        for key in sorted(moved.keys() & personal.keys()):
            self.refuse(f"metadata.{key}", "is given twice, once as personal metadata")
        return (
            _sorted_entries({key: value for key, value in kept.items() if key not in moved}),
            _sorted_entries({**moved, **personal}),
        )

    def values(self, name: str, metadata: object) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key, value in self.items(name, metadata):
            if is_value(value):
                found[key] = value
            else:
                self.refuse(f"{name}.{key}", describe_type(value, VALUE_TYPES))
        return found

    def items(self, name: str, mapping: object) -> Iterator[tuple[str, object]]:
        if not isinstance(mapping, Mapping):
            self.refuse(name, describe_type(mapping, "a mapping"))
            return
        for key, value in mapping.items():
            if isinstance(key, str):
                yield key, value
            else:
                self.refuse(name, f"has a key that {describe_type(key, 'text')}")


def _or(value: _Given | None, default: _Given) -> _Given:
    # Not `or`: an empty value of another type is refused like any other.
    return default if value is None else value


def _sorted_entries(metadata: Mapping[str, Value]) -> tuple[MetadataEntry, ...]:
    # Surrogates sort here like characters; what cannot be encoded is refused by name later.
    return tuple(
        MetadataEntry(key, metadata[key])
        for key in sorted(metadata, key=lambda key: key.encode("utf-8", "surrogatepass"))
    )
