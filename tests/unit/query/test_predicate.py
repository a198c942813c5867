"""What a filter selects: random filters against an evaluator of its own, and the rules of docs/filters.md one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from ledger.events.event import Actor, Event, FieldChange, MetadataEntry, Original, Outcome, PersonalData, Target
from ledger.query import Node, Predicate, QueriedEntry, compile_predicate, parse_filter, personal_fields
from tests.support.filters import FILTERS, category_of, controls_of, entries, naive, without_personal

_EVENT = Event(
    event_id="e1",
    action="user.role.updated",
    occurred_at=1_771_597_800_000_000,
    actor=Actor(id="user_123", roles=("admin", "owner")),
    targets=(Target("user", "u1"), Target("team", "t2")),
    outcome=Outcome.SUCCESS,
    metadata=(MetadataEntry("count", 5), MetadataEntry("flag", True), MetadataEntry("text", "5")),
)
_PERSONAL = PersonalData(
    actor_email="Admin@Company.com", ip="203.0.113.42", metadata=(MetadataEntry("ip", "::ffff:10.1.2.3"),)
)
_ENTRY = QueriedEntry(7, 1_771_597_801_000_000, b"\xab" * 16, 1, _EVENT, _PERSONAL)


def _compiled(node: Node) -> Predicate:
    return compile_predicate(node, category_of=category_of, controls_of=controls_of)


@settings(max_examples=300)
@given(FILTERS, entries())
def test_a_filter_selects_what_its_definition_says(node: Node, entry: QueriedEntry) -> None:
    assert _compiled(node)(entry) is naive(node, entry)


@settings(max_examples=100)
@given(FILTERS, entries())
def test_a_filter_without_personal_fields_does_not_look_at_personal_data(node: Node, entry: QueriedEntry) -> None:
    if not personal_fields(node):
        predicate = _compiled(node)
        assert predicate(entry) is predicate(without_personal(entry))


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("action:user.role.*", True),
        ('action = "user.role.*" AND outcome = success', True),
        ("action = user.role", False),
        ("reason_code = x", False),
        ("reason_code != x", True),
        ("reason_code < x", False),
        ("reason_code >= x", False),
        ("NOT reason_code:*", True),
        ("actor_email = admin@company.COM", True),
        ("actor_email:ADMIN@*", True),
        ("actor_id = USER_123", False),
        ("metadata.count = 5", True),
        ("metadata.count = 5.0", True),
        ("metadata.count > 4.5", True),
        ('metadata.count = "5"', False),
        ("metadata.text = 5", False),
        ('metadata.text = "5"', True),
        ("metadata.flag = 1", False),
        ("metadata.flag = true", True),
        ("metadata:count", True),
        ("metadata:nothing", False),
        ("target_id = t2", True),
        ("target_id != t2", False),
        ("target_type = user AND target_id = t2", True),
        ("target = user/t2", False),
        ("target = team/t2", True),
        ("actor_roles:owner", True),
        ("actor_roles:own*", True),
        ("actor_roles:own", False),
        ("controls:CC1 AND category = user1", True),
        ('cidr(ip, "10.0.0.0/8")', True),
        ('cidr(request.ip, "203.0.113.0/24")', True),
        ('cidr(metadata.ip, "10.0.0.0/8")', True),
        ("ip = 10.1.2.3", True),
        ('ip = "::ffff:203.0.113.42"', True),
        ('cidr(peer_ip, "0.0.0.0/0")', False),
        ("leaf_index = 7 AND recorded_at > '2026-02-20T14:30:00Z'", True),
        ("leaf_index >= 7 -leaf_index > 7", True),
        ('timestamp = "2026-02-20T15:30:00+01:00"', True),
        ('occurred_at < "2026-02-20T14:30:00Z"', False),
        (f"principal = {'AB' * 16}", True),
    ],
)
def test_filters_of_the_page_select_what_it_says(text: str, passes: bool) -> None:
    assert _compiled(parse_filter(text))(_ENTRY) is passes


@pytest.mark.parametrize(("text", "needed"), [("category = x", "category_of"), ("controls:x", "controls_of")])
def test_what_the_catalogue_says_is_asked_only_where_it_is_given(text: str, needed: str) -> None:
    with pytest.raises(ValueError, match=needed):
        compile_predicate(parse_filter(text))


_SHOWN = QueriedEntry(
    0,
    1,
    b"\x01" * 16,
    1,
    Event(
        action="user.updated",
        occurred_at=1,
        targets=(Target("user", "u1"),),
        field_changes=(FieldChange("role", "member", "admin"),),
    ),
    PersonalData(
        actor_name="Ada",
        peer_ip="10.0.0.1",
        ip="10.0.0.2",
        target_names=("Bob",),
        field_changes=(FieldChange("name", None, "Bob"),),
        metadata=(MetadataEntry("ip", 5), MetadataEntry("user_email", "x"), MetadataEntry("note", 1)),
        original=Original(media_type="text/plain", content=b"x"),
    ),
)


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("action:*", "event"),
        ("timestamp:*", "event"),
        ("category:*", "event"),
        ("controls:*", "event"),
        ("target:* target_type:* target_id:* targets:*", "event"),
        ("field_changes:* field_changes:role changed_from.role=member changed_to.role=admin", "event"),
        ("actor_name:*", "personal"),
        ("ip:* peer_ip:*", "personal"),
        ("target_name = Bob", "personal"),
        ("metadata:* metadata.user_email=x", "personal"),
        ("personal_metadata:* personal_metadata.note=1", "personal"),
        ("personal_field_changes:name personal_changed_to.name=Bob -personal_changed_from.name:*", "personal"),
        ("personal_field_changes:*", "personal"),
        ("original:*", "personal"),
    ],
)
def test_a_field_has_values_while_its_section_is_there(text: str, section: str) -> None:
    predicate = _compiled(parse_filter(text))

    assert predicate(_SHOWN)
    assert not predicate(replace(_SHOWN, event=None, personal=None))
    assert predicate(replace(_SHOWN, event=None)) is (section == "personal")
    assert predicate(replace(_SHOWN, personal=None)) is (section == "event")


def test_what_the_leaf_says_is_there_without_sections() -> None:
    predicate = _compiled(parse_filter(f"leaf_index=0 recorded_at:* principal={'01' * 16}"))

    assert predicate(replace(_SHOWN, event=None, personal=None))
