from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import EventTooLargeError, InvalidEventError, LedgerError
from ledger.events import codec
from ledger.events.checks import check_reserved, check_values
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
from ledger.events.wire import read_event, read_personal
from ledger.v1 import event_pb2
from tests.support.broken_events import BROKEN_EVENTS, BROKEN_PERSONAL_DATA, LEAST_EVENT, entries
from tests.support.sections import damage, damage_bytes, encode_nodes, event_nodes, personal_nodes, sections
from tests.vectors.generate_events import FILE

_EVENT = Event(
    event_id="01890a5d-ac96-774b-bcce-b302099a8057",
    action="user.role.updated",
    occurred_at=1_771_597_800_000_000,
    actor=Actor(ActorType.USER, "user_123"),
    targets=(Target("user", "user_456"),),
    outcome=Outcome.SUCCESS,
    metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
)
_PERSONAL = PersonalData(
    actor_email="admin@company.com", ip="203.0.113.42", user_agent="Mozilla/5.0 (X11; Linux x86_64)"
)


def _strict_verdict(event: bytes, personal: bytes) -> str | None:
    """Return the event id where the strict reader and the value checks accept."""
    try:
        value = read_event(event)
        private = read_personal(personal) if personal else None
    except LedgerError:
        return None
    return None if check_values(value, private) or check_reserved(value) else value.event_id


def _verdict(event: bytes, personal: bytes) -> str | None:
    try:
        return codec.check_sections(event, personal)
    except (InvalidEventError, EventTooLargeError):
        return None


def _quick_verdict(event: bytes, personal: bytes) -> bool:
    try:
        message = codec._parse_event(event)
        return codec._is_surely_good_event(message, event) and (
            not personal or codec._is_surely_good_personal(codec._parse_personal(personal), personal, message)
        )
    except DecodeError:
        return False


@given(sections())
def test_sections_are_encoded_in_ascending_order_and_shortest_form(values: tuple[Event, PersonalData | None]) -> None:
    event, personal = values
    event_bytes, personal_bytes = codec.encode_sections(event, personal)
    assert event_bytes == encode_nodes(event_nodes(event))
    assert personal_bytes == (encode_nodes(personal_nodes(personal)) if personal else b"")


@given(sections())
def test_what_is_encoded_reads_as_the_same_values_and_is_accepted(values: tuple[Event, PersonalData | None]) -> None:
    event, personal = values
    event_bytes, personal_bytes = codec.encode_sections(event, personal)
    assert read_event(event_bytes) == event
    if personal is not None:
        assert read_personal(personal_bytes) == personal
    assert _verdict(event_bytes, personal_bytes) == _strict_verdict(event_bytes, personal_bytes)


@settings(max_examples=200)
@given(sections(), st.randoms(use_true_random=True), st.integers(0, 2))
def test_fast_path_accepts_what_the_strict_reader_accepts_of_damaged_fields(
    values: tuple[Event, PersonalData | None], rng: random.Random, times: int
) -> None:
    event, personal = values
    nodes = event_nodes(event)
    private = personal_nodes(personal) if personal else []
    for _ in range(times):
        damage(private if private and rng.random() < 0.3 else nodes, rng)
    event_bytes, personal_bytes = encode_nodes(nodes), encode_nodes(private)
    assert _verdict(event_bytes, personal_bytes) == _strict_verdict(event_bytes, personal_bytes)


@settings(max_examples=120)
@given(sections(), st.randoms(use_true_random=True), st.booleans())
def test_fast_path_accepts_what_the_strict_reader_accepts_of_damaged_bytes(
    values: tuple[Event, PersonalData | None], rng: random.Random, hit_personal: bool
) -> None:
    event_bytes, personal_bytes = codec.encode_sections(*values)
    if hit_personal and personal_bytes:
        personal_bytes = damage_bytes(personal_bytes, rng)
    else:
        event_bytes = damage_bytes(event_bytes, rng)
    assert _verdict(event_bytes, personal_bytes) == _strict_verdict(event_bytes, personal_bytes)


_RICH = replace(
    _EVENT,
    actor=Actor(ActorType.USER, "user_123", "user_9", ("admin",)),
    reason_code="policy",
    auth=Authentication(AuthMethod.PASSKEY, Truth.TRUE, "cred", "session", "idp"),
    request=Request("r" * 36, b"t" * 16, b"s" * 8, "POST", "/projects/{id}"),
    change=Change("PR 1", "e-0", ("bob",), "eve", "0123abc", "OPS-1", "1.2.3", Truth.FALSE),
    field_changes=(FieldChange("role", "member", "admin"), FieldChange("size", old=1), FieldChange("flag", new=True)),
    data=DataContext(DataClassification.RESTRICTED, 5, 6, "bucket"),
    metadata=(MetadataEntry("a", ""), MetadataEntry("b", 1), MetadataEntry("c", 1.5), MetadataEntry("d", True)),
    source=Source("api", "api-1", "1.2.3", "sdk/1", b"b" * 16, 7),
    tenant_id="tenant",
    correlation_id="correlation",
)
_RICH_PERSONAL = replace(
    _PERSONAL,
    actor_name="Ada",
    peer_ip="10.0.0.1",
    description="in words",
    reason="in more words",
    target_names=("Bob",),
    field_changes=(FieldChange("email", "a@b", "c@d"),),
    metadata=(MetadataEntry("e", "x"), MetadataEntry("f", "y")),
    original=Original("application/json", b"{}"),
)


def test_rich_events_need_no_strict_reading() -> None:
    assert _quick_verdict(*codec.encode_sections(_RICH, _RICH_PERSONAL))
    digest = replace(_RICH_PERSONAL, original=Original("", b"", b"h" * 32, 40_000))
    assert _quick_verdict(*codec.encode_sections(_RICH, digest))
    assert _quick_verdict(*codec.encode_sections(_RICH, PersonalData(original=Original("", b"x" * 32768))))


def _has_bytes(event: Event) -> bool:
    try:
        codec.encode_event(event)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("event", [event for event, _, _ in BROKEN_EVENTS if _has_bytes(event)])
@pytest.mark.parametrize("base", [LEAST_EVENT, _RICH], ids=["alone", "among others"])
def test_event_beyond_one_limit_is_refused(event: Event, base: Event) -> None:
    broken = {name: value for name, value in _values(event).items() if value != _values(LEAST_EVENT)[name]}
    with pytest.raises(InvalidEventError):
        codec.check_sections(codec.encode_event(replace(base, **broken)), b"")


@pytest.mark.parametrize("personal", [personal for personal, _, _ in BROKEN_PERSONAL_DATA])
@pytest.mark.parametrize("base", [PersonalData(), _RICH_PERSONAL], ids=["alone", "among others"])
def test_personal_data_beyond_one_limit_are_refused(personal: PersonalData, base: PersonalData) -> None:
    broken = {name: value for name, value in _values(personal).items() if value != _values(PersonalData())[name]}
    event = codec.encode_event(replace(_RICH, targets=()) if personal.target_names else _RICH)
    with pytest.raises(InvalidEventError):
        codec.check_sections(event, codec.encode_personal(replace(base, **broken)))


def _values(section: Event | PersonalData) -> dict[str, Any]:
    return {field.name: getattr(section, field.name) for field in fields(section)}


def test_name_of_a_target_beyond_the_limit_is_refused() -> None:
    personal = replace(_RICH_PERSONAL, target_names=("x" * 257,))
    with pytest.raises(InvalidEventError, match="257 bytes"):
        codec.check_sections(codec.encode_event(_RICH), codec.encode_personal(personal))


_VECTORS = json.loads(FILE.read_bytes())["sections"]


@pytest.mark.parametrize("vector", _VECTORS, ids=[f"{v['kind']}: {v['case']}" for v in _VECTORS])
def test_server_accepts_and_refuses_what_the_vectors_say(vector: dict[str, Any]) -> None:
    data = base64.b64decode(vector["section"])
    names = vector.get("flat", {}).get("targets") or ("target_name" in vector.get("flat", {}))
    targets = tuple(Target("any") for _ in names) if isinstance(names, list) else (Target("any"),) * names
    event = codec.encode_event(replace(LEAST_EVENT, targets=targets))
    accepted = _verdict(data, b"") if vector["kind"] == "event" else _verdict(event, data)
    assert (accepted is not None) == (vector["ok"] and not vector["beyond"])


def test_limits_of_both_sections_together_are_held() -> None:
    event = replace(LEAST_EVENT, metadata=entries("a", 60), field_changes=(FieldChange("x"),) * 60)
    for personal in (
        PersonalData(metadata=entries("b", 5)),
        PersonalData(metadata=entries("a", 1)),
        PersonalData(field_changes=(FieldChange("x"),) * 5),
    ):
        with pytest.raises(InvalidEventError):
            codec.check_sections(codec.encode_event(event), codec.encode_personal(personal))
    good = PersonalData(metadata=entries("b", 4), field_changes=(FieldChange("x"),) * 4)
    assert codec.check_sections(codec.encode_event(event), codec.encode_personal(good)) == "e-1"


def test_typical_events_need_no_strict_reading() -> None:
    source = Source("api", "api-1", "1.2.3", "logproof-python/1", b"b" * 16, 7)
    for event in (_EVENT, replace(_EVENT, source=source), replace(_EVENT, targets=(), metadata=())):
        for personal in (None, _PERSONAL, PersonalData(actor_name="Ada"), PersonalData(ip="2001:db8::1")):
            assert _quick_verdict(*codec.encode_sections(event, personal))


@settings(max_examples=60)
@given(sections())
def test_quick_checks_are_certain_of_ascii_events(values: tuple[Event, PersonalData | None]) -> None:
    event_bytes, personal_bytes = codec.encode_sections(*values)
    plain = all(target.type for target in values[0].targets)
    if plain and event_bytes.isascii() and personal_bytes.isascii():
        assert _quick_verdict(event_bytes, personal_bytes)


def test_words_that_were_good_before_make_no_others_good() -> None:
    bad = "role updated"
    good = codec._Words(str.isidentifier)
    assert not good.learn(bad)
    assert good.learn("role")
    assert "role" in good
    assert not good.learn(bad)
    assert bad not in good


def test_so_many_words_are_kept_and_no_more() -> None:
    words = codec._Words(str.isidentifier)
    for number in range(2 * codec._WORDS_MAX):
        assert words.learn(f"role_{number}")
        assert len(words) <= codec._WORDS_MAX


def test_event_id_is_returned() -> None:
    assert codec.check_sections(*codec.encode_sections(_EVENT, _PERSONAL)) == _EVENT.event_id
    assert codec.check_sections(codec.encode_event(_EVENT), b"") == _EVENT.event_id


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (replace(_EVENT, event_id="ledger-1"), "event.event_id"),
        (replace(_EVENT, action="ledger.key.created"), "event.action"),
    ],
)
def test_what_is_the_servers_is_refused_from_clients_only(event: Event, field: str) -> None:
    data = codec.encode_event(event)
    assert codec.check_sections(data, b"", internal=True) == event.event_id
    assert codec.check_sections(data + b"\x32\x03\x12\x01x", b"", internal=True) == event.event_id
    with pytest.raises(InvalidEventError) as caught:
        codec.check_sections(data, b"")
    assert [item.field for item in caught.value.violations] == [field]


def test_all_broken_limits_of_both_sections_are_told() -> None:
    event = codec.encode_event(replace(_EVENT, action="User", tenant_id="x" * 129))
    personal = codec.encode_personal(PersonalData(ip="here"))
    with pytest.raises(InvalidEventError) as caught:
        codec.check_sections(event, personal)
    assert [item.field for item in caught.value.violations] == ["event.action", "event.tenant_id", "personal.ip"]


def test_bytes_that_break_the_rule_are_told_before_limits() -> None:
    event = codec.encode_event(replace(_EVENT, action="User"))
    with pytest.raises(InvalidEventError, match=r"event\.event_id: occurs twice"):
        codec.check_sections(event + b"\x12\x01x", b"")
    with pytest.raises(InvalidEventError, match="varint that does not end"):
        codec.check_sections(event + b"\xff", b"")


def test_sections_above_their_limits_are_refused() -> None:
    event, personal = codec.encode_sections(_EVENT, _PERSONAL)
    with pytest.raises(EventTooLargeError, match="event section has 32769 bytes; the limit is 32768"):
        codec.check_sections(event.ljust(32769, b"\0"), b"")
    with pytest.raises(EventTooLargeError, match="personal section has 61441 bytes; the limit is 61440"):
        codec.check_sections(event, personal.ljust(61441, b"\0"))


def test_values_that_break_limits_are_not_encoded() -> None:
    with pytest.raises(InvalidEventError) as caught:
        codec.encode_sections(replace(_EVENT, action="x"), PersonalData(ip="x"))
    assert [item.field for item in caught.value.violations] == ["event.action", "personal.ip"]


def test_values_that_make_a_section_too_large_are_not_encoded() -> None:
    metadata = tuple(MetadataEntry(f"k{number:02}", "x" * 2048) for number in range(20))
    with pytest.raises(EventTooLargeError, match="event section has"):
        codec.encode_sections(replace(_EVENT, metadata=metadata), None)
    with pytest.raises(EventTooLargeError, match="personal section has"):
        codec.encode_sections(_EVENT, PersonalData(metadata=metadata, field_changes=_changes()))


def _changes() -> tuple[FieldChange, ...]:
    return tuple(FieldChange("path", "x" * 2048) for _ in range(12))


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda e: e + b"\x38\xff\xff\xff\xff\x0f" + b"\xa2\x06\x02ab", id="negative enum, unknown field"),
        pytest.param(lambda e: e + b"\x48\x07", id="known number, other wire type"),
        pytest.param(lambda e: e[:2] + e, id="schema twice"),
        pytest.param(lambda e: e + b"\x2a\x00", id="actor twice, merged"),
        pytest.param(lambda e: e + b"\x42\x00", id="default written out"),
        pytest.param(lambda e: e + b"\x83\x01\x84\x01", id="group"),
        pytest.param(lambda e: e + b"\x6a\x02\x08\x06", id="enum outside the schema"),
        pytest.param(lambda e: e + b"\x4a\x06\x10\xff\xff\xff\xff\x0f" + b"\xa2\x06\x02ab", id="negative enum below"),
    ],
)
def test_what_the_runtime_would_pass_over_is_refused(damaged: Callable[[bytes], bytes]) -> None:
    data = damaged(codec.encode_event(_EVENT))
    event_pb2.Event.FromString(data)
    with pytest.raises(InvalidEventError):
        codec.check_sections(data, b"")
