from __future__ import annotations

from dataclasses import asdict, replace
from typing import TypeAlias

import pytest
from hypothesis import given

from ledger.events.checks import TEXT_MAX_BYTES, check_reserved, check_values, is_ip_address
from ledger.events.event import (
    Actor,
    Authentication,
    Change,
    DataContext,
    Event,
    FieldChange,
    Original,
    PersonalData,
    Request,
    Source,
    Target,
)
from tests.support.broken_events import BROKEN_EVENTS, BROKEN_PERSONAL_DATA, LEAST_EVENT, entries
from tests.support.sections import sections

_Part: TypeAlias = Event | Actor | Authentication | Request | Change | DataContext | Source | Original

_EVENT = LEAST_EVENT
_PERSONAL = PersonalData()


def _found(event: Event, personal: PersonalData | None = None) -> list[tuple[str, str]]:
    return [(item.field, item.description) for item in check_values(event, personal)]


@given(sections())
def test_values_within_the_limits_are_good(values: tuple[Event, PersonalData | None]) -> None:
    assert check_values(*values) == []


def test_least_event_is_good() -> None:
    assert _found(_EVENT) == []
    assert _found(_EVENT, _PERSONAL) == []


@pytest.mark.parametrize(("event", "field", "description"), BROKEN_EVENTS)
def test_event_beyond_a_limit_names_field_limit_and_what_was_found(event: Event, field: str, description: str) -> None:
    ((found, said),) = _found(event)
    assert found == field
    assert description in said


@pytest.mark.parametrize(("personal", "field", "description"), BROKEN_PERSONAL_DATA)
def test_personal_data_beyond_a_limit_names_field_limit_and_what_was_found(
    personal: PersonalData, field: str, description: str
) -> None:
    ((found, said),) = _found(_EVENT, personal)
    assert found == field
    assert description in said


def test_limits_of_both_sections_together_are_checked() -> None:
    event = replace(_EVENT, metadata=entries("a", 60), field_changes=(FieldChange("x"),) * 60)
    personal = PersonalData(metadata=entries("a", 5), field_changes=(FieldChange("x"),) * 5)
    found = _found(event, personal)
    assert ("event.metadata", "has 65 elements; the limit is 64") in found
    assert ("event.field_changes", "has 65 elements; the limit is 64") in found
    assert ("personal.metadata[0].key", "is 'a00', which occurs twice; keys are unique") in found


def test_name_of_a_target_beyond_the_limit_is_refused() -> None:
    event = replace(_EVENT, targets=(Target("user", "1"),))
    assert _found(event, PersonalData(target_names=("",))) == []
    ((field, _),) = _found(event, PersonalData(target_names=("x" * 257,)))
    assert field == "personal.target_names[0]"


def test_all_violations_are_found_at_once() -> None:
    fields = [field for field, _ in _found(Event(), PersonalData(ip="x"))]
    assert fields == ["event.event_id", "event.action", "event.occurred_at", "personal.ip"]


def test_every_plain_text_has_a_limit_and_a_field() -> None:
    parts: dict[str, _Part] = {
        "": _EVENT,
        "actor.": Actor(),
        "auth.": Authentication(),
        "request.": Request(),
        "change.": Change(),
        "data.": DataContext(),
        "source.": Source(),
        "original.": Original(),
    }
    known = {prefix + name for prefix, part in parts.items() for name, value in asdict(part).items() if _is_text(value)}
    known |= {name for name, value in asdict(_PERSONAL).items() if _is_text(value)}
    other = {"event_id", "action", "change.approval_event_id", "change.commit", "ip", "peer_ip"}
    assert known - other == set(TEXT_MAX_BYTES)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def test_ids_and_actions_of_the_server_are_found() -> None:
    found = check_reserved(Event("ledger-1", "ledger.key.created", 1))
    assert [item.field for item in found] == ["event.event_id", "event.action"]
    assert check_reserved(_EVENT) == []


@pytest.mark.parametrize("text", ["0.0.0.0", "255.255.255.255", "203.0.113.42", "::", "2001:db8::1", "::ffff:1.2.3.4"])
def test_addresses_are_known(text: str) -> None:
    assert is_ip_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4\n", "1.2.3.4/8", "fe80::1%1", ":", "1::2::3", "a.b"],
)
def test_what_is_no_address_is_known(text: str) -> None:
    assert not is_ip_address(text)
