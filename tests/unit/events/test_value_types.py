from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from ledger.events.event import (
    Actor,
    Authentication,
    Change,
    DataContext,
    Event,
    FieldChange,
    MetadataEntry,
    Original,
    PersonalData,
    Request,
    Source,
    Target,
)
from ledger.events.value_types import check_types

_EVENT = Event(
    actor=Actor(roles=("admin",)),
    targets=(Target(),),
    auth=Authentication(),
    request=Request(),
    change=Change(approvers=("user_1",)),
    field_changes=(FieldChange("a", 1, 2.5),),
    data=DataContext(),
    metadata=(MetadataEntry("a", value=True),),
    source=Source(),
)
_PERSONAL = PersonalData(
    target_names=("Zoe",),
    field_changes=(FieldChange("b", "x", None),),
    metadata=(MetadataEntry("b", "y"),),
    original=Original(),
)


def _alterations(value: Any, path: str) -> list[tuple[str, Any]]:
    """Give the value with each of its fields, at any depth, as something of no type that a field has."""
    found = []
    for field in fields(value):
        at, item = f"{path}.{field.name}", getattr(value, field.name)
        found.append((at, replace(value, **{field.name: object()})))
        if isinstance(item, tuple) and item:
            if is_dataclass(item[0]):
                found += [
                    (where, replace(value, **{field.name: (other,)}))
                    for where, other in _alterations(item[0], f"{at}[0]")
                ]
            else:
                found.append((f"{at}[0]", replace(value, **{field.name: (object(),)})))
        elif is_dataclass(item):
            found += [(where, replace(value, **{field.name: other})) for where, other in _alterations(item, at)]
    return found


_OTHER_EVENTS = _alterations(_EVENT, "event")
_OTHER_PERSONAL = _alterations(_PERSONAL, "personal")


def test_values_of_their_types_are_good() -> None:
    assert check_types(_EVENT, _PERSONAL) == []
    assert check_types(Event(), PersonalData()) == []


@pytest.mark.parametrize(("path", "event"), _OTHER_EVENTS, ids=[path for path, _ in _OTHER_EVENTS])
def test_each_field_of_an_event_is_refused_with_another_type(path: str, event: Event) -> None:
    assert [found.field for found in check_types(event, None)] == [path]


@pytest.mark.parametrize(("path", "personal"), _OTHER_PERSONAL, ids=[path for path, _ in _OTHER_PERSONAL])
def test_each_field_of_personal_data_is_refused_with_another_type(path: str, personal: PersonalData) -> None:
    assert [found.field for found in check_types(Event(), personal)] == [path]


def test_yes_and_no_are_no_numbers() -> None:
    (found,) = check_types(Event(occurred_at=True), PersonalData(original=Original(size=0)))
    assert (found.field, found.description) == ("event.occurred_at", "is of type bool; it is a whole number")
