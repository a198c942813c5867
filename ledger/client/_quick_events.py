"""The sections of a common event straight from the words of a call, in a third of the time.

What most calls say is put into the message without the values of `events.event` in between. The rule that must not
break: the bytes are those that `build_event` and the codec give, and the check is the server's own. So this way cannot
refuse: what it does not take, or the check does not accept, goes the other way, which words the refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ledger.client._events import EventFields, to_microseconds
from ledger.errors import EventTooLargeError, InvalidEventError
from ledger.events.codec import check_sections
from ledger.events.event import SCHEMA_VERSION, Outcome, Source, Value
from ledger.events.flat_keys import is_personal_key
from ledger.v1 import event_pb2

_EVENT_TEXTS: Final = frozenset({"reason_code", "tenant_id", "correlation_id"})
_PERSONAL_TEXTS: Final = {
    "email": "actor_email",
    "name": "actor_name",
    "ip": "ip",
    "peer_ip": "peer_ip",
    "user_agent": "user_agent",
    "description": "description",
    "reason": "reason",
}
_TAKEN: Final = _EVENT_TEXTS | _PERSONAL_TEXTS.keys() | {"outcome", "changes", "metadata", "occurred_at", "event_id"}
_SCHEMA: Final = event_pb2.Schema.ValueType(SCHEMA_VERSION)
_ACTOR_TYPES: Final = {
    name.removeprefix("ACTOR_TYPE_").lower(): event_pb2.ActorType.ValueType(number)
    for name, number in event_pb2.ActorType.items()
    if number
}
_OUTCOMES: Final = {
    name.removeprefix("OUTCOME_").lower(): event_pb2.Outcome.ValueType(number)
    for name, number in event_pb2.Outcome.items()
    if number
}
_VALUE_TYPES: Final = frozenset({str, bool, int, float})
_is_personal: Final = lru_cache(1024)(is_personal_key)


def quick_sections(
    action: str,
    actor: object,
    targets: Sequence[object],
    fields: EventFields,
    *,
    event_id: str,
    now_us: int,
    source: Source,
) -> tuple[bytes, bytes] | None:
    """Return both sections as bytes; None where the event is not as common as that, or not good.

    Args:
        action: resource.sub_resource.verb.
        actor: `TYPE:ID`, or None.
        targets: `TYPE:ID` each.
        fields: The rest, as for `build_event`.
        event_id: Id of the event.
        now_us: The present, microseconds since 1970 in UTC.
        source: The program that reports it.
    """
    if not fields.keys() <= _TAKEN:
        return None
    try:
        event = event_pb2.Event(schema=_SCHEMA, event_id=_text(event_id), action=_text(action))
        personal = event_pb2.PersonalData()
        occurred_at = fields.get("occurred_at")
        event.occurred_at = now_us if occurred_at is None else to_microseconds(occurred_at)
        if actor is not None:
            kind, _, identity = _text(actor).partition(":")
            event.actor.type = _ACTOR_TYPES[kind]
            event.actor.id = identity
        for target in targets:
            kind, colon, identity = _text(target).partition(":")
            if not colon:
                return None
            event.targets.add(type=kind, id=identity)
        _add_source(event.source, source)
        if fields:
            _add_fields(event, personal, fields)
        event_bytes = event.SerializeToString()
        personal_bytes = personal.SerializeToString()
        if personal_bytes:
            personal.schema = _SCHEMA
            personal_bytes = personal.SerializeToString()
        check_sections(event_bytes, personal_bytes)
    except (InvalidEventError, EventTooLargeError, KeyError, TypeError, ValueError):
        return None
    return event_bytes, personal_bytes


def _add_source(message: event_pb2.Source, source: Source) -> None:
    message.sdk = source.sdk
    if source.service:
        message.service = source.service
    if source.instance:
        message.instance = source.instance
    if source.boot_id:
        message.boot_id = source.boot_id
        message.sequence = source.sequence


def _add_fields(event: event_pb2.Event, personal: event_pb2.PersonalData, fields: EventFields) -> None:
    for name, value in fields.items():
        if value is None:
            continue
        if name in _PERSONAL_TEXTS:
            setattr(personal, _PERSONAL_TEXTS[name], _text(value))
        elif name in _EVENT_TEXTS:
            setattr(event, name, _text(value))
    outcome = fields.get("outcome")
    if outcome is not None:
        if isinstance(outcome, Outcome):
            event.outcome = event_pb2.Outcome.ValueType(outcome)
        else:
            event.outcome = _OUTCOMES[_text(outcome)]
    changes = fields.get("changes")
    if changes is not None:
        _add_changes(event, personal, changes)
    metadata = fields.get("metadata")
    if metadata is not None:
        _add_metadata(event, personal, metadata)


def _add_metadata(event: event_pb2.Event, personal: event_pb2.PersonalData, metadata: object) -> None:
    if type(metadata) is not dict:
        raise TypeError
    for key in sorted(metadata, key=str.encode):
        section = personal if _is_personal(key) else event
        _set_value(section.metadata.add(key=key).value, metadata[key])


def _add_changes(event: event_pb2.Event, personal: event_pb2.PersonalData, changes: object) -> None:
    if type(changes) is not dict:
        raise TypeError
    for path, pair in changes.items():
        if type(pair) is not tuple:
            raise TypeError
        old, new = pair
        section = personal if _is_personal(_text(path).rpartition(".")[2]) else event
        change = section.field_changes.add(path=path)
        if old is not None:
            _set_value(change.old, old)
        if new is not None:
            _set_value(change.new, new)


def _set_value(message: event_pb2.Value, value: Value) -> None:
    if type(value) not in _VALUE_TYPES:
        raise TypeError
    if isinstance(value, str):
        message.text = value
    elif isinstance(value, bool):
        message.truth = event_pb2.TRUTH_TRUE if value else event_pb2.TRUTH_FALSE
    elif isinstance(value, int):
        message.integer = value
    else:
        message.number = value


def _text(value: object) -> str:
    # The runtime takes bytes and subclasses for text as well; what they are to be taken for is decided the long way.
    if type(value) is not str:
        raise TypeError
    return value
