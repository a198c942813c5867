"""What a call that appends must be, whichever form its events have, before they are encoded.

The rule that must not break: nothing that a caller gives is left out in silence, or taken for something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from ledger.client._events import HINT
from ledger.errors import BatchInvalidError, BatchProblem, EventTooLargeError, FieldViolation, InvalidEventError
from ledger.events.event import Event, PersonalData, Source, Target
from ledger.events.value_types import check_types, describe_type

# The years 2000 to 2100 in these units; as microseconds, all of it is in the first weeks of 1970.
_OTHER_UNITS: Final = {
    "seconds": (946_684_800, 4_102_444_800),
    "milliseconds": (946_684_800_000, 4_102_444_800_000),
}

_Given = TypeVar("_Given")
_Encoded = TypeVar("_Encoded")


def check_call(
    action: object,
    actor: object,
    targets: Sequence[object],
    event: object,
    personal: object,
    fields: Mapping[str, object],
) -> None:
    """Return if a call names either an action with its facts or a whole event, and not parts of both.

    Raises:
        InvalidEventError: It does not, so that something would be left out in silence.
    """
    if (action is None) == (event is None):
        raise _invalid("event", "give either an action, or an event")
    if event is None:
        if personal is not None:
            raise _invalid(
                "personal", "goes with an event; beside an action, say email, ip, personal_metadata and so on"
            )
        return
    beside = {"actor": actor, "targets": targets or None, **fields}
    name = next((name for name, value in beside.items() if value is not None), None)
    if name is not None:
        raise _invalid(name, "goes with an action; an event says it itself")


def check_event(event: Event, personal: PersonalData | None) -> None:
    """Return if an event that a program made can be encoded as what it was meant to say; limits are checked then.

    Raises:
        InvalidEventError: A value has another type than its field, or the time is in another unit.
    """
    violations = check_types(event, personal)
    if not violations:
        units = (unit for unit, (begin, end) in _OTHER_UNITS.items() if begin <= event.occurred_at < end)
        unit = next(units, None)
        if unit is not None:
            violations = [
                FieldViolation(
                    "event.occurred_at", f"is {event.occurred_at}, which looks like {unit}; it is microseconds"
                )
            ]
    if violations:
        raise InvalidEventError(violations, hint=HINT)


def check_flat(flat: object, personal: object) -> None:
    """Return if something can be a flat event.

    Raises:
        InvalidEventError: It is no mapping, or personal data came beside it.
    """
    if not isinstance(flat, Mapping):
        raise _invalid("event", describe_type(flat, "a ledger.Event, or a flat event as a mapping"))
    if personal is not None:
        raise _invalid("personal", "goes with a ledger.Event; a flat event has keys for it, such as actor_email")


def with_source(event: Event, source: Source) -> Event:
    """Return the event with the source where it names none, and with service and instance where it names neither."""
    if event.source is None:
        return replace(event, source=source)
    named = event.source.service or event.source.instance
    return (
        event
        if named
        else replace(event, source=replace(event.source, service=source.service, instance=source.instance))
    )


def join_targets(target: Target | str | None, targets: Sequence[Target | str]) -> list[Target | str]:
    """Return all targets of a call.

    Raises:
        InvalidEventError: `targets` is no list.
    """
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise _invalid("targets", describe_type(targets, "a list of TYPE:ID; target takes a single one"))
    return [*([] if target is None else [target]), *targets]


def encode_each(events: Sequence[_Given], encode: Callable[[_Given], _Encoded]) -> list[_Encoded]:
    """Return all events encoded.

    Args:
        events: The events.
        encode: Encodes one.

    Raises:
        InvalidEventError: `events` is no list.
        BatchInvalidError: Events break a rule; tells which.
    """
    if isinstance(events, str | bytes | Mapping) or not isinstance(events, Iterable):
        raise _invalid("events", describe_type(events, "a list of events"))
    encoded: list[_Encoded] = []
    problems: list[BatchProblem] = []
    size = 0
    for position, event in enumerate(events):
        size += 1
        try:
            encoded.append(encode(event))
        except (InvalidEventError, EventTooLargeError) as error:
            problems.append(BatchProblem(position, error))
    if problems:
        raise BatchInvalidError(problems, size)
    return encoded


def _invalid(name: str, description: str) -> InvalidEventError:
    return InvalidEventError([FieldViolation(name, description)], hint=HINT)
