from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import FieldViolation, InvalidEventError
from ledger.events.event import (
    Actor,
    ActorType,
    Authentication,
    AuthMethod,
    Change,
    DataClassification,
    DataContext,
    Event,
    FieldChange,
    MetadataEntry,
    Original,
    Outcome,
    PersonalData,
    Request,
    Source,
    Target,
    Truth,
)
from ledger.events.flat import from_flat, to_flat
from ledger.events.flat_keys import FLAT_FIELDS, FLAT_KEYS, is_personal_key
from tests.support.sections import sections

_SEED = """{"action": "user.role.updated", "actor_id": "user_123", "actor_email": "admin@company.com",
 "target_type": "user", "target_id": "user_456",
 "metadata": {"old_role": "member", "new_role": "admin", "ip": "203.0.113.42", "user_agent": "Mozilla/5.0..."},
 "timestamp": "2026-02-20T14:30:00Z"}"""
_LEAST = {"event_id": "e-1", "action": "user.created", "timestamp": "2026-02-20T14:30:00Z"}
_FULL: dict[str, object] = {
    **_LEAST,
    "actor_type": "api_key",
    "actor_id": "key_1",
    "actor_on_behalf_of": "user_1",
    "actor_roles": ["admin", "auditor"],
    "actor_email": "ada@example.com",
    "actor_name": "Ada Löwe",
    "outcome": "denied",
    "reason_code": "policy",
    "reason": "not on call",
    "description": "tried to read",
    "ip": "2001:db8::1",
    "peer_ip": "10.0.0.1",
    "user_agent": "curl/8",
    "tenant_id": "t",
    "correlation_id": "c",
    "auth_method": "mfa_totp",
    "auth_mfa": True,
    "auth_credential_id": "cred",
    "auth_identity_provider": "idp",
    "session_id": "s",
    "request_id": "r",
    "request_method": "POST",
    "request_route": "/x",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "b7ad6b7169203331",
    "change_approval_reference": "PR 1",
    "change_approval_event_id": "e-0",
    "change_approvers": ["bob"],
    "change_requested_by": "eve",
    "change_commit": "0123abc",
    "change_ticket": "OPS-1",
    "change_version": "1.2.3",
    "change_emergency": False,
    "data_classification": "restricted",
    "data_record_count": 18446744073709551615,
    "data_byte_count": 1,
    "data_destination": "s3",
    "source_service": "api",
    "source_instance": "api-1",
    "source_version": "1",
    "source_sdk": "py/1",
    "source_boot_id": "00" * 15 + "ff",
    "source_sequence": 7,
    "targets": [{"type": "user", "id": "1", "name": "Zoë"}, {"type": "team"}],
    "metadata": {"a": "x", "b": -1, "c": 1.0, "d": True, "ip": "x", "reply_email": "y", "last_ip": "", "name": False},
    "personal_metadata": {"height": 1.5},
    "field_changes": [{"path": "role", "old": "member", "new": "admin"}, {"path": "flag", "new": False}],
    "personal_field_changes": [{"path": "email", "old": "a@b"}],
    "original": {"media_type": "text/plain", "content_base64": "aGk="},
}


def test_s44_flat_event_of_the_requirement_is_accepted_as_it_is_and_split() -> None:
    event, personal = from_flat(json.loads(_SEED), event_id="e-1")
    assert event == Event(
        event_id="e-1",
        action="user.role.updated",
        occurred_at=1_771_597_800_000_000,
        actor=Actor(id="user_123"),
        targets=(Target("user", "user_456"),),
        metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
    )
    assert personal == PersonalData(
        actor_email="admin@company.com",
        metadata=(MetadataEntry("ip", "203.0.113.42"), MetadataEntry("user_agent", "Mozilla/5.0...")),
    )


def test_s44_flat_event_of_the_requirement_comes_back_as_it_went_in() -> None:
    assert to_flat(*from_flat(json.loads(_SEED), event_id="e-1")) == {**json.loads(_SEED), "event_id": "e-1"}


def test_every_key_has_its_place() -> None:
    assert set(_FULL) | {"target_type", "target_id", "target_name"} == set(FLAT_KEYS)
    event, personal = from_flat(_FULL)
    assert event == Event(
        event_id="e-1",
        action="user.created",
        occurred_at=1_771_597_800_000_000,
        actor=Actor(ActorType.API_KEY, "key_1", "user_1", ("admin", "auditor")),
        targets=(Target("user", "1"), Target("team")),
        outcome=Outcome.DENIED,
        reason_code="policy",
        auth=Authentication(AuthMethod.MFA_TOTP, Truth.TRUE, "cred", "s", "idp"),
        request=Request(
            "r", bytes.fromhex("0af7651916cd43dd8448eb211c80319c"), bytes.fromhex("b7ad6b7169203331"), "POST", "/x"
        ),
        change=Change("PR 1", "e-0", ("bob",), "eve", "0123abc", "OPS-1", "1.2.3", Truth.FALSE),
        field_changes=(FieldChange("role", "member", "admin"), FieldChange("flag", new=False)),
        data=DataContext(DataClassification.RESTRICTED, (1 << 64) - 1, 1, "s3"),
        metadata=(MetadataEntry("a", "x"), MetadataEntry("b", -1), MetadataEntry("c", 1.0), MetadataEntry("d", True)),
        source=Source("api", "api-1", "1", "py/1", bytes(15) + b"\xff", 7),
        tenant_id="t",
        correlation_id="c",
    )
    assert personal == PersonalData(
        actor_email="ada@example.com",
        actor_name="Ada Löwe",
        ip="2001:db8::1",
        peer_ip="10.0.0.1",
        user_agent="curl/8",
        description="tried to read",
        reason="not on call",
        target_names=("Zoë", ""),
        field_changes=(FieldChange("email", old="a@b"),),
        metadata=(
            MetadataEntry("height", 1.5),
            MetadataEntry("ip", "x"),
            MetadataEntry("last_ip", ""),
            MetadataEntry("name", False),
            MetadataEntry("reply_email", "y"),
        ),
        original=Original("text/plain", b"hi"),
    )


def test_flat_event_in_normal_form_comes_back_as_it_went_in() -> None:
    assert to_flat(*from_flat(_FULL)) == _FULL
    single = {**_LEAST, "target_id": "1", "target_name": "n"}
    assert to_flat(*from_flat(single)) == single
    digest = {**_LEAST, "original": {"sha256": "ab" * 32, "size": 40_000}}
    assert to_flat(*from_flat(digest)) == digest


def test_types_of_metadata_come_back_as_they_went_in() -> None:
    text = json.dumps(to_flat(*from_flat(_FULL))["metadata"], sort_keys=True)
    assert text == json.dumps(_FULL["metadata"], sort_keys=True)


def _can_be_told_apart(event: Event, personal: PersonalData | None) -> bool:
    empty = (Actor(), Authentication(), Request(), Change(), DataContext(), Source())
    parts = (event.actor, event.auth, event.request, event.change, event.data, event.source)
    keys = any(is_personal_key(entry.key) for entry in event.metadata)
    names = personal is not None and personal.target_names and not any(personal.target_names)
    return not keys and not names and personal != PersonalData() and not any(part in empty for part in parts)


@given(sections())
def test_sections_come_back_from_their_flat_event(values: tuple[Event, PersonalData | None]) -> None:
    event, personal = values
    flat = to_flat(event, personal)
    if _can_be_told_apart(event, personal):
        assert from_flat(json.loads(json.dumps(flat))) == (event, personal)
    assert to_flat(*from_flat(flat)) == flat


_SCALARS = st.text(max_size=5) | st.integers() | st.booleans() | st.floats() | st.none()


@given(
    st.dictionaries(
        st.sampled_from(FLAT_KEYS),
        _SCALARS | st.lists(_SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), _SCALARS, max_size=2),
        max_size=5,
    )
)
def test_any_object_is_accepted_with_nothing_lost_or_refused_with_a_field(flat: dict[str, object]) -> None:
    refused: list[FieldViolation] = []
    try:
        event, personal = from_flat({**_LEAST, **flat})
    except InvalidEventError as error:
        event, personal, refused = Event(), None, list(error.violations)
    if refused:
        assert all(item.field.partition("[")[0].partition(".")[0] in FLAT_KEYS for item in refused)
        return
    kept = {key: value for key, value in {**_LEAST, **flat}.items() if value not in ({}, [])}
    assert to_flat(event, personal) == kept


@pytest.mark.parametrize(
    ("fields", "key", "description"),
    [
        ({"actr_id": "x"}, "actr_id", "is no key of a flat event; actor_id is; further facts belong in metadata"),
        ({"zzzzzz\n": 1}, r"zzzzzz\n", "is no key of a flat event; further facts belong in metadata"),
        ({"actor_id": 5}, "actor_id", "is a whole number; it is text"),
        ({"actor_id": None}, "actor_id", "is null; leave the key out"),
        ({"actor_id": ""}, "actor_id", "is empty; leave the key out"),
        ({"actor_id": {}}, "actor_id", "is an object; it is text"),
        ({"actor_id": b"x"}, "actor_id", "is of another type; it is text"),
        ({"actor_roles": "admin"}, "actor_roles", "is text; it is a list"),
        ({"actor_roles": [True]}, "actor_roles[0]", "is true or false; it is text"),
        ({"actor_type": "person"}, "actor_type", "is 'person'; it is one of user, service, api_key, system"),
        ({"actor_type": "USER"}, "actor_type", "is 'USER'"),
        ({"actor_type": "unspecified"}, "actor_type", "is 'unspecified'"),
        ({"outcome": 1}, "outcome", "is a whole number; it is text"),
        ({"auth_mfa": "yes"}, "auth_mfa", "is text; it is true or false"),
        ({"data_record_count": 0}, "data_record_count", "is 0, which stands for not said"),
        ({"data_record_count": 1.0}, "data_record_count", "is a number with decimals; it is a whole number"),
        ({"data_record_count": True}, "data_record_count", "is true or false"),
        ({"data_record_count": -1}, "data_record_count", "is -1; it is 0 to 18446744073709551615"),
        ({"trace_id": "XY"}, "trace_id", "is 'XY'; it is pairs of lower-case hexadecimal digits"),
        ({"trace_id": "abc"}, "trace_id", "is 'abc'"),
        ({"trace_id": "abcd"}, "trace_id", "has 2 bytes; it has 16"),
        ({"timestamp": 5}, "timestamp", "is a whole number; it is text"),
        ({"timestamp": "today"}, "timestamp", "RFC 3339"),
        ({"metadata": []}, "metadata", "is a list; it is an object"),
        ({"metadata": {"k": None}}, "metadata.k", "is null"),
        ({"metadata": {"k": [1]}}, "metadata.k", "is a list; it is text, a number, true or false"),
        ({"metadata": {"k": {}}}, "metadata.k", "is an object"),
        ({"metadata": {5: "x"}}, "metadata.5", "is a key of another type; it is text"),
        ({"metadata": {"k": 1 << 63}}, "metadata.k", "is 9223372036854775808; it is -9223372036854775808 to"),
        ({"metadata": {"k": float("nan")}}, "metadata.k", "is nan"),
        ({"metadata": {"é": 1}}, r"metadata.\xe9", "it is a letter"),
        ({"metadata": {"my_ip": "x" * 2049}}, "metadata.my_ip", "has 2049 bytes; the limit is 2048"),
        ({"personal_metadata": {"k": 1 << 64}}, "personal_metadata.k", "is 18446744073709551616"),
        ({"metadata": {"k": 1}, "personal_metadata": {"k": 1}}, "personal_metadata.k", "is in metadata too"),
        ({"targets": {}}, "targets", "is an object; it is a list"),
        ({"targets": ["x"]}, "targets[0]", "is text; it is an object"),
        ({"targets": [{"kind": "x", "id": "1"}]}, "targets[0].kind", "is not known there; type, id, name are"),
        ({"targets": [{"type": "User"}]}, "targets[0].type", "is 'User'"),
        ({"targets": [{}]}, "targets[0]", "has neither type nor id"),
        ({"targets": [{"id": "1", "name": "x" * 257}]}, "targets[0].name", "the limit is 256"),
        ({"targets": [], "target_id": "1"}, "targets", "stands beside target_type, target_id or target_name"),
        ({"target_type": "User"}, "target_type", "is 'User'"),
        ({"target_id": ""}, "target_id", "is empty"),
        ({"target_name": "x"}, "target_id", "has neither type nor id"),
        ({"target_id": "1", "target_name": "x" * 257}, "target_name", "the limit is 256"),
        ({"field_changes": [{"old": 1}]}, "field_changes[0].path", "is missing"),
        ({"field_changes": [{"path": "x", "new": None}]}, "field_changes[0].new", "is null"),
        ({"field_changes": [{"path": "x" * 257}]}, "field_changes[0].path", "the limit is 256"),
        ({"personal_field_changes": [{"path": "x" * 257}]}, "personal_field_changes[0].path", "the limit is 256"),
        ({"original": "x"}, "original", "is text; it is an object"),
        ({"original": {"content_base64": "?"}}, "original.content_base64", "is not base64"),
        ({"original": {"content_base64": "aGl="}}, "original.content_base64", "is not base64 in its one form"),
        ({"original": {"size": 5}}, "original", "either the content"),
        ({"action": "x"}, "action", "is 'x' with 1 characters"),
        ({"action": "ledger.key.created"}, "action", "which is the server's"),
        ({"event_id": "ledger-1"}, "event_id", "which is the server's"),
        ({"actor_email": "\ud800"}, "actor_email", "lone surrogate"),
        ({"change_approvers": ["x" * 129]}, "change_approvers[0]", "the limit is 128"),
    ],
)
def test_refusal_names_the_key_as_it_was_written(fields: dict[str, object], key: str, description: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        from_flat({**_LEAST, **fields})
    assert [item.field for item in caught.value.violations] == [key]
    assert description in caught.value.violations[0].description


def test_all_refusals_come_at_once() -> None:
    with pytest.raises(InvalidEventError) as caught:
        from_flat({"actor_id": 1, "metadata": {"k": None}})
    assert [item.field for item in caught.value.violations] == ["actor_id", "timestamp", "metadata.k"]


def test_time_and_id_are_filled_in_only_where_the_object_has_none() -> None:
    event, personal = from_flat({"action": "a.b"}, event_id="mine", now_us=5)
    assert (event.event_id, event.occurred_at, personal) == ("mine", 5, None)
    event, _ = from_flat(_LEAST, event_id="mine", now_us=5)
    assert (event.event_id, event.occurred_at) == ("e-1", 1_771_597_800_000_000)


def test_missing_id_and_action_are_refused() -> None:
    with pytest.raises(InvalidEventError) as caught:
        from_flat({}, now_us=5)
    assert [item.field for item in caught.value.violations] == ["event_id", "action"]


def test_empty_metadata_and_lists_say_nothing() -> None:
    empty: dict[str, object] = {"metadata": {}, "targets": [], "field_changes": [], "actor_roles": []}
    event, personal = from_flat({**_LEAST, **empty})
    assert (event, personal) == (from_flat(_LEAST)[0], None)


def test_time_that_has_no_text_is_shown_as_microseconds() -> None:
    assert to_flat(Event("e", "a.b", 1 << 63))["timestamp"] == 1 << 63


def test_personal_data_are_not_shown_when_they_are_not_given() -> None:
    event, _ = from_flat(_FULL)
    hidden = {key for key, path in FLAT_FIELDS.items() if path.startswith("personal.")}
    hidden |= {"personal_metadata", "personal_field_changes", "original"}
    assert set(to_flat(event)) == set(_FULL) - hidden
