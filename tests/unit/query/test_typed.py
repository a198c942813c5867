"""Filters as typed fields are the same trees as their text, and combine with it."""

from __future__ import annotations

import pytest

from ledger.errors import InvalidFilterError
from ledger.query import EVERYTHING, TypedFilter, combine, parse_filter, personal_fields


def test_nothing_given_is_every_entry() -> None:
    assert TypedFilter().node() == EVERYTHING


def test_each_field_is_the_same_as_its_text() -> None:
    typed = TypedFilter(
        recorded_from=1_000_000,
        recorded_before=2_000_000,
        occurred_from=3_000_000,
        occurred_before=4_000_000,
        actor_ids=("a", "b"),
        actor_email="A@b",
        actions=("auth.login.*", "user.created"),
        category="access",
        control="CC6.1",
        outcome="failure",
        target_type="user",
        target_id="u1",
        ip="10.0.0.0/8",
        request_id="r",
        session_id="s",
        correlation_id="c",
        tenant_id="t",
        metadata={"k": 5, "flag": True},
    )
    text = """
        recorded_at >= "1970-01-01T00:00:01Z" recorded_at < "1970-01-01T00:00:02Z"
        timestamp >= "1970-01-01T00:00:03Z" timestamp < "1970-01-01T00:00:04Z"
        (actor_id=a OR actor_id=b) (action:auth.login.* OR action=user.created)
        actor_email="a@b" category=access outcome=failure request_id=r session_id=s correlation_id=c tenant_id=t
        controls:CC6.1 target="user/u1" cidr(ip, "10.0.0.0/8") metadata.k=5 metadata.flag=true
    """

    assert typed.node() == parse_filter(text)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (TypedFilter(target_id="u1"), "target_id=u1"),
        (TypedFilter(target_type="user"), "target_type=user"),
        (TypedFilter(ip="10.0.0.1"), "ip=10.0.0.1"),
        (TypedFilter(actor_ids=("a",)), "actor_id=a"),
        (TypedFilter(recorded_before=1_000_000), 'recorded_at < "1970-01-01T00:00:01Z"'),
    ],
)
def test_a_field_alone_is_one_comparison(typed: TypedFilter, text: str) -> None:
    assert typed.node() == parse_filter(text)


def test_typed_fields_and_text_must_both_hold() -> None:
    both = combine(TypedFilter(outcome="denied").node(), parse_filter("actor_id=a OR actor_id=b"))

    assert both == parse_filter("outcome=denied AND (actor_id=a OR actor_id=b)")
    assert combine(TypedFilter().node(), parse_filter("")) == EVERYTHING


def test_what_does_not_fit_or_is_too_much_is_refused() -> None:
    with pytest.raises(InvalidFilterError, match="success"):
        TypedFilter(outcome="sucess").node()
    with pytest.raises(InvalidFilterError, match="65 comparisons"):
        TypedFilter(actor_ids=tuple(map(str, range(65)))).node()
    half = TypedFilter(actor_ids=tuple(map(str, range(33)))).node()
    with pytest.raises(InvalidFilterError, match="66 comparisons"):
        combine(half, half)


def test_the_personal_fields_of_a_filter_are_told() -> None:
    text = "actor_email:* OR metadata.k=1 OR metadata.user_ip=x OR (NOT ip=10.0.0.1) OR personal_changed_to.p=1 OR ip:*"

    assert personal_fields(parse_filter(text)) == ("actor_email", "ip", "metadata.user_ip", "personal_changed_to.p")
    assert personal_fields(parse_filter("actor_id=a target_id=b field_changes.role:*")) == ()
