from __future__ import annotations

from dataclasses import fields as dataclass_fields
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any, cast
from uuid import UUID

import pytest

from ledger.client._event_checks import check_event
from ledger.client._events import EventFields, build_event
from ledger.errors import EventTooLargeError, InvalidEventError
from ledger.events.codec import encode_sections
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
)
from ledger.events.flat import from_flat
from ledger.events.flat_keys import FLAT_KEYS


def _build(
    action: str = "a.b", actor: str | Actor = "user:u1", targets: tuple[str, ...] = (), **fields: object
) -> tuple[Event, PersonalData | None]:
    given: EventFields = fields  # type: ignore[assignment]
    return build_event(action, actor, targets, given, event_id="id-1", now_us=1_000_000, source=Source(sdk="sdk"))


def test_words_become_the_event() -> None:
    event, personal = _build(
        "user.role.updated",
        "user:user_123",
        ("user:user_456", "project:p:1"),
        outcome="denied",
        changes={"role": ("member", "admin"), "gone": (1, None)},
        metadata={"b": 2, "a": True},
        reason_code="policy",
    )

    assert personal is None
    assert event == Event(
        event_id="id-1",
        action="user.role.updated",
        occurred_at=1_000_000,
        actor=Actor(ActorType.USER, "user_123"),
        targets=(Target("user", "user_456"), Target("project", "p:1")),
        outcome=Outcome.DENIED,
        reason_code="policy",
        field_changes=(FieldChange("role", "member", "admin"), FieldChange("gone", 1, None)),
        metadata=(MetadataEntry("a", value=True), MetadataEntry("b", 2)),
        source=Source(sdk="sdk"),
    )
    encode_sections(event, personal)


def test_what_identifies_a_person_is_moved_to_the_personal_section() -> None:
    event, personal = _build(
        changes={"profile.email": ("a@x", "b@x"), "role": ("a", "b")},
        personal_changes={"nickname": (None, "al")},
        metadata={"ip": "192.0.2.1", "contact_email": "a@x", "plan": "pro"},
        personal_metadata={"shoe_size": 44},
        email="a@x",
        name="Al",
        ip="192.0.2.1",
        user_agent="curl",
        description="words",
        reason="because",
        target_names=(),
    )

    assert event.metadata == (MetadataEntry("plan", "pro"),)
    assert event.field_changes == (FieldChange("role", "a", "b"),)
    assert personal == PersonalData(
        actor_email="a@x",
        actor_name="Al",
        ip="192.0.2.1",
        user_agent="curl",
        description="words",
        reason="because",
        field_changes=(FieldChange("profile.email", "a@x", "b@x"), FieldChange("nickname", None, "al")),
        metadata=(
            MetadataEntry("contact_email", "a@x"),
            MetadataEntry("ip", "192.0.2.1"),
            MetadataEntry("shoe_size", 44),
        ),
    )


def test_time_of_any_zone_is_kept_to_the_microsecond() -> None:
    moment = datetime(2026, 2, 20, 15, 30, 0, 123_457, tzinfo=timezone(timedelta(hours=1)))
    event, _ = _build(occurred_at=moment)

    assert event.occurred_at == 1_771_597_800_123_457
    assert _build(occurred_at=moment.astimezone(UTC))[0].occurred_at == event.occurred_at


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"actor": "user_123"}, "actor"),
        ({"actor": "robot:x"}, "actor"),
        ({"targets": ("nothing",)}, "target"),
        ({"outcome": "fine"}, "outcome"),
        ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at"),  # noqa: DTZ001
        ({"metadata": {"ip": "192.0.2.1"}, "personal_metadata": {"ip": "192.0.2.2"}}, "metadata.ip"),
        ({"emial": "a@x"}, "emial"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(fields: dict[str, object], name: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        _build(**fields)  # type: ignore[arg-type]
    assert caught.value.violations[0].field == name


@pytest.mark.parametrize(
    ("fields", "name", "says"),
    [
        ({"email": 5}, "email", "is of type int; it is text"),
        ({"name": ["Al"]}, "name", "is of type list; it is text"),
        ({"ip": IPv4Address("192.0.2.1")}, "ip", "is of type IPv4Address; it is text"),
        ({"user_agent": b"x"}, "user_agent", "is of type bytes; it is text"),
        ({"tenant_id": 5}, "tenant_id", "is of type int; it is text"),
        ({"reason_code": UUID(int=1)}, "reason_code", "is of type UUID; it is text"),
        ({"actor": 5}, "actor", "is of type int; it is TYPE:ID"),
        ({"actor": Actor(type="user")}, "actor.type", "it is of type ledger.ActorType"),  # type: ignore[arg-type]
        ({"actor": Actor(roles="admin")}, "actor.roles", "it is a tuple"),  # type: ignore[arg-type]
        ({"targets": (5,)}, "target", "is of type int; it is TYPE:ID"),
        ({"outcome": 2}, "outcome", "2 is not one of success"),
        ({"outcome": ["denied"]}, "outcome", "is not one of"),
        ({"auth": {"method": "passkey"}}, "auth", "is of type dict; it is of type ledger.Authentication"),
        ({"auth": Authentication(mfa=True)}, "auth.mfa", "it is of type ledger.Truth"),  # type: ignore[arg-type]
        ({"request": "r"}, "request", "it is of type ledger.Request"),
        ({"request": Request(trace_id="00" * 16)}, "request.trace_id", "it is bytes"),  # type: ignore[arg-type]
        ({"change": Change(approvers=("u", None))}, "change.approvers[1]", "is None; it is text"),  # type: ignore[arg-type]
        ({"data": DataContext(record_count=True)}, "data.record_count", "it is a whole number"),
        ({"occurred_at": "2026-02-20T14:30:00Z"}, "occurred_at", "it is a datetime with its time zone"),
        ({"occurred_at": 1_771_597_800}, "occurred_at", "it is a datetime with its time zone"),
        ({"target_names": "AB"}, "target_names", "is of type str; it is a list of names"),
        ({"target_names": [5]}, "target_names[0]", "is of type int; it is text"),
        ({"metadata": {"x": None}}, "metadata.x", "is None; it is text, a whole number"),
        ({"metadata": {"x": UUID(int=1)}}, "metadata.x", "is of type UUID; it is text"),
        ({"metadata": {"x": Decimal("1.10")}}, "metadata.x", "is of type Decimal"),
        ({"metadata": {"x": {"y": 1}}}, "metadata.x", "is of type dict"),
        ({"metadata": {5: "x"}}, "metadata", "has a key that is of type int; it is text"),
        ({"metadata": [("a", 1)]}, "metadata", "is of type list; it is a mapping"),
        ({"personal_metadata": {"x": b""}}, "personal_metadata.x", "is of type bytes"),
        ({"changes": {"country": "DE"}}, "changes.country", "is of type str; it is a pair"),
        ({"changes": {"country": ("DE",)}}, "changes.country", "it is a pair"),
        ({"changes": {"country": ("DE", b"AT")}}, "changes.country.new", "is of type bytes"),
        ({"changes": {"country": {"old": "DE", "new": "AT"}}}, "changes.country", "it is a pair"),
        ({"changes": "x"}, "changes", "is of type str; it is a mapping"),
        ({"personal_changes": {"x": 5}}, "personal_changes.x", "it is a pair"),
    ],
    ids=str,
)
def test_another_type_is_refused_by_name_and_never_turned_into_something_else(
    fields: dict[str, object], name: str, says: str
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        _build(**fields)  # type: ignore[arg-type]
    (violation,) = caught.value.violations
    assert violation.field == name
    assert says in violation.description


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    wrong: Any = {"email": 1, "ip": 2, "metadata": {"a": None}}
    of_no_type: Any = object()
    with pytest.raises(InvalidEventError) as caught:
        build_event(of_no_type, "x", (), wrong, event_id=of_no_type, now_us=1, source=Source())
    assert {violation.field for violation in caught.value.violations} == {
        "actor",
        "metadata.a",
        "event_id",
        "action",
        "email",
        "ip",
    }


def test_none_stands_for_left_out() -> None:
    nothing: Any = dict.fromkeys(name for name in EventFields.__annotations__ if name != "event_id")
    assert _build(**nothing) == _build()


def test_lists_do_where_tuples_do() -> None:
    event, personal = _build(changes={"role": ["a", None]}, targets=("user:u",), target_names=["Al"])
    assert event.field_changes == (FieldChange("role", "a", None),)
    assert personal == PersonalData(target_names=("Al",))


def test_text_that_utf8_cannot_encode_is_refused_by_the_limits() -> None:
    event, personal = _build(metadata={"\ud800": "x"})
    with pytest.raises(InvalidEventError):
        encode_sections(event, personal)


_ODD: list[Any] = [
    5,
    -1,
    1 << 70,
    2.5,
    float("nan"),
    True,
    "",
    "x",
    "\ud800",
    "a:b",
    b"x",
    object(),
    UUID(int=1),
    Decimal(1),
    IPv4Address("192.0.2.1"),
    date(2026, 2, 20),
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    [],
    [None],
    ["x"],
    (1, 2),
    {},
    {"a": None},
    {"a": 1},
    {"a": (1, 2)},
    {"a": ("\ud800", None)},
    {"\ud800": "x"},
    {"": 1},
    {5: 5},
    {("a",): ("b", "c")},
    Outcome.DENIED,
    Actor(),
    Target(),
    Request(),
    Event(),
    PersonalData(),
    Actor,
    iter(()),
]


@pytest.mark.parametrize("name", ["action", "actor", "targets", *EventFields.__annotations__])
def test_whatever_a_caller_gives_is_an_event_or_an_invalid_one(name: str) -> None:
    for odd in _ODD:
        given: Any = {"action": "a.b", "actor": "user:u1", "targets": ()}
        given |= {name: (odd,) if name == "targets" else odd}
        given = {key: value for key, value in given.items() if key != "event_id"}
        event_id = odd if name == "event_id" else "id-1"
        fields = {key: value for key, value in given.items() if key not in {"action", "actor", "targets"}}
        try:
            made = build_event(
                given["action"],
                given["actor"],
                given["targets"],
                cast("EventFields", fields),
                event_id=event_id,
                now_us=1,
                source=Source(),
            )
            encode_sections(*made)
        except (InvalidEventError, EventTooLargeError):
            continue


@pytest.mark.parametrize("field", [field.name for field in dataclass_fields(Event)])
def test_whatever_an_event_holds_is_encoded_or_refused(field: str) -> None:
    for odd in _ODD:
        given: Any = {"event_id": "id-1", "action": "a.b", "occurred_at": 1, field: odd}
        try:
            event = Event(**given)
            check_event(event, None)
            encode_sections(event, None)
        except (InvalidEventError, EventTooLargeError):
            continue


@pytest.mark.parametrize("key", FLAT_KEYS)
def test_whatever_a_flat_event_holds_is_encoded_or_refused(key: str) -> None:
    parts = [[{part: odd}] for part in ("type", "path", "old") for odd in (5, object())]
    for odd in [*_ODD, *parts, {"content_base64": 5}, {"sha256": None}]:
        flat: dict[str, object] = {"action": "a.b", key: odd}
        try:
            encode_sections(*from_flat(flat, event_id="id-1", now_us=1))
        except (InvalidEventError, EventTooLargeError):
            continue


@pytest.mark.parametrize("key", [5, None, ("a",), b"action"])
def test_key_of_a_flat_event_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(InvalidEventError):
        from_flat({"action": "a.b", key: "x"}, event_id="id-1", now_us=1)
