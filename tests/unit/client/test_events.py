from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ledger.client._events import EventFields, build_event
from ledger.errors import InvalidEventError
from ledger.events.codec import encode_sections
from ledger.events.event import (
    Actor,
    ActorType,
    Event,
    FieldChange,
    MetadataEntry,
    Outcome,
    PersonalData,
    Source,
    Target,
)


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
