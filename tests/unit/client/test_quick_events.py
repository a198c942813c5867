from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client._events import build_event
from ledger.client._quick_events import quick_sections
from ledger.errors import EventTooLargeError, InvalidEventError
from ledger.events.checks import check_reserved
from ledger.events.codec import encode_sections
from ledger.events.event import Outcome, Source

_TEXTS = st.text(max_size=6) | st.sampled_from(("x" * 70_000, "a b", "203.0.113.42", "::1", "\ud800"))
_ODD = st.sampled_from((None, 5, 1.5, True, b"x", bytearray(b"x"), ("a",), ["a", "b"], {"a": 1}, Outcome.DENIED))
_VALUES = _ODD | _TEXTS | st.booleans() | st.integers(-(1 << 65), 1 << 65) | st.floats()
_KEYS = st.sampled_from(("a", "b.c", "ip", "user_agent", "peer_ip", "work_email", "Bad Key", ""))
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "outcome": _ODD | st.sampled_from((*Outcome, "success", "denied", "nonsense")),
        "metadata": _ODD | st.dictionaries(_KEYS, _VALUES, max_size=4),
        "changes": _ODD
        | st.dictionaries(_KEYS, _ODD | st.tuples(st.none() | _VALUES, st.none() | _VALUES), max_size=3),
        **dict.fromkeys(
            (
                "reason_code",
                "tenant_id",
                "correlation_id",
                "email",
                "name",
                "ip",
                "peer_ip",
                "user_agent",
                "description",
                "reason",
            ),
            _ODD | _TEXTS,
        ),
    },
)
_ACTORS = st.none() | st.sampled_from(("user:u1", "service:", "nobody:x", "user", "api_key:a:b"))
_TARGETS = st.lists(st.sampled_from(("user:u2", "db.table:t", "nothing", "Bad:x", "a:")), max_size=3)
_ACTIONS = st.sampled_from(("user.role.updated", "a.b", "Bad", "", "ledger.key.created"))


def _slowly(action: str, actor: str | None, targets: list[str], fields: Any, **rest: Any) -> tuple[bytes, bytes]:
    event, personal = build_event(action, actor, targets, fields, **rest)
    violations = check_reserved(event)
    if violations:
        raise InvalidEventError(violations)
    return encode_sections(event, personal)


@given(_ACTIONS, _ACTORS, _TARGETS, _FIELDS, st.booleans())
def test_short_way_gives_the_bytes_of_the_long_way_or_leaves_it_the_event(
    action: str, actor: str | None, targets: list[str], fields: Any, numbered: bool
) -> None:
    source = (
        Source(sdk="sdk/1", service="billing", boot_id=bytes(range(16)), sequence=7) if numbered else Source(sdk="s")
    )
    rest: dict[str, Any] = {"event_id": "e1", "now_us": 1_790_000_000_000_000, "source": source}

    quick = quick_sections(action, actor, targets, fields, **rest)

    try:
        slow = _slowly(action, actor, targets, fields, **rest)
    except (InvalidEventError, EventTooLargeError):
        assert quick is None
    else:
        assert quick == slow


@pytest.mark.parametrize("fields", [{"target_names": ["x"]}, {"request": None}, {"no_such_field": 1}])
def test_what_is_less_common_is_left_to_the_long_way(fields: Any) -> None:
    assert quick_sections("a.b", None, [], fields, event_id="e", now_us=1, source=Source(sdk="s")) is None
