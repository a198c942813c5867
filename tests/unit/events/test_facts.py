"""What is read quickly of stored sections and leaves is what the strict readers read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError
from ledger.events.codec import encode_event, encode_personal, read_facts
from ledger.events.event import Event, PersonalData
from ledger.events.leaf import Leaf, decode_leaf, encode_leaf, peek_leaf
from tests.support.sections import sections


@given(sections())
def test_facts_are_those_of_the_sections(both: tuple[Event, PersonalData | None]) -> None:
    event, personal = both
    private = personal or PersonalData()
    facts = read_facts(encode_event(event), encode_personal(personal) if personal is not None else b"")

    actor, auth, request, change = event.actor, event.auth, event.request, event.change
    assert (facts.occurred_at, facts.action, facts.outcome) == (event.occurred_at, event.action, event.outcome)
    assert facts.texts == (
        actor.id if actor else "",
        actor.on_behalf_of if actor else "",
        auth.session_id if auth else "",
        request.request_id if request else "",
        event.correlation_id,
        event.tenant_id,
        change.approval_reference if change else "",
        change.commit if change else "",
    )
    assert (facts.actor_email, facts.ip) == (private.actor_email, private.ip)
    assert facts.targets == [(target.type, target.id) for target in event.targets]
    assert facts.metadata == [(entry.key, entry.value) for entry in event.metadata]
    assert facts.personal_metadata == [(entry.key, entry.value) for entry in private.metadata]


def test_what_is_no_section_has_no_facts() -> None:
    with pytest.raises(MalformedError, match="cannot be read"):
        read_facts(b"\xff", b"")


@pytest.mark.parametrize("catalogue", [1, 127, 128, 2**32 - 1])
@given(recorded_at=st.integers(1, 2**64 - 1))
def test_a_peek_at_a_leaf_tells_what_decoding_it_does(catalogue: int, recorded_at: int) -> None:
    data = encode_leaf(Leaf(recorded_at, b"p" * 16, catalogue, b"q" * 32, b"e" * 32))

    leaf = decode_leaf(data)
    assert peek_leaf(data) == (leaf.recorded_at, leaf.catalogue)


def test_a_peek_at_what_is_too_short_is_refused() -> None:
    with pytest.raises(MalformedError):
        peek_leaf(b"\x08\x01")
