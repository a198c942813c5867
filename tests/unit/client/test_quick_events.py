from __future__ import annotations

from datetime import UTC, datetime
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

# Around where a length takes a byte more, and around the limits.
_LONG_TEXTS = st.builds(
    str.__mul__,
    st.sampled_from("xé\U0001f600"),
    st.sampled_from((31, 32, 63, 64, 65, 127, 128, 129, 254, 256, 257, 512, 1024, 2048, 2049)),
)
_TEXTS = (
    st.text(max_size=6)
    | st.sampled_from(("x" * 70_000, "a b", "203.0.113.42", "::1", "fe80::1%eth0", "\ud800"))
    | _LONG_TEXTS
)
_ODD = st.sampled_from((None, 5, 1.5, True, b"x", bytearray(b"x"), ("a",), ["a", "b"], {"a": 1}, Outcome.DENIED))
_VALUES = (
    _ODD
    | _TEXTS
    | st.booleans()
    | st.integers(-(1 << 65), 1 << 65)
    | st.floats()
    | st.sampled_from((-0.0, 1 << 63, -(1 << 63)))
)
_KEYS = st.sampled_from(("a", "b.c", "ip", "user_agent", "peer_ip", "work_email", "Bad Key", ""))
_MANY = st.integers(63, 65).map(lambda count: {f"k{number}": number for number in range(count)})
_MOMENTS = st.datetimes(timezones=st.none() | st.just(UTC))
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "outcome": _ODD | st.sampled_from((*Outcome, "success", "denied", "nonsense")),
        "metadata": _ODD | st.dictionaries(_KEYS, _VALUES, max_size=4) | _MANY,
        "changes": _ODD
        | st.dictionaries(_KEYS, _ODD | st.tuples(st.none() | _VALUES, st.none() | _VALUES), max_size=3)
        | _MANY.map(lambda many: {path: (None, number) for path, number in many.items()}),
        "occurred_at": _ODD | _MOMENTS,
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
_GOOD_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=16)
_GOOD_VALUES = (
    _GOOD_TEXTS
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
_GOOD_KEYS = st.sampled_from(("a", "b.c", "B-c", "ip", "user_agent", "peer_ip", "work_email", "email_"))
_GOOD_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "outcome": st.none() | st.sampled_from((*Outcome, "success", "denied")),
        "metadata": st.dictionaries(_GOOD_KEYS, _GOOD_VALUES, max_size=6),
        "changes": st.dictionaries(
            _GOOD_KEYS, st.tuples(st.none() | _GOOD_VALUES, st.none() | _GOOD_VALUES), max_size=3
        ),
        "occurred_at": st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001 - set beside
        "ip": st.sampled_from(("", "203.0.113.42", "::1")),
        **dict.fromkeys(
            ("reason_code", "tenant_id", "correlation_id", "email", "name", "user_agent", "description", "reason"),
            st.none() | _GOOD_TEXTS,
        ),
    },
)
# Good ones, with one field that may be anything: with several, hardly any event would be good.
_NEARLY_GOOD_FIELDS = st.tuples(
    _GOOD_FIELDS, _FIELDS, st.sampled_from(("metadata", "changes", "email", "ip", "tenant_id", "occurred_at"))
).map(lambda drawn: drawn[0] | ({drawn[2]: drawn[1][drawn[2]]} if drawn[2] in drawn[1] else {}))
_ACTORS = (
    st.none()
    | st.sampled_from(("user:u1", "service:", "nobody:x", "user", "api_key:a:b"))
    | _LONG_TEXTS.map("user:{}".format)
)
_TARGETS = st.lists(
    st.sampled_from(("user:u2", "db.table:t", "nothing", "Bad:x", "a:", ":a")) | _LONG_TEXTS.map("a:{}".format),
    max_size=3,
) | st.integers(15, 17).map(lambda count: ["a:b"] * count)
_ACTIONS = st.just("user.role.updated") | st.sampled_from(
    ("user.role.updated", "a.b", "a." + "b" * 126, "a." + "b" * 127, "Bad", "", "ledger.key.created")
)


def _slowly(action: str, actor: str | None, targets: list[str], fields: Any, **rest: Any) -> tuple[bytes, bytes]:
    event, personal = build_event(action, actor, targets, fields, **rest)
    violations = check_reserved(event)
    if violations:
        raise InvalidEventError(violations)
    return encode_sections(event, personal)


_SOURCES = st.just(Source(sdk="s")) | st.sampled_from(
    (
        Source(sdk="sdk/1", service="billing", boot_id=bytes(range(16)), sequence=7),
        Source(sdk="s"),
        Source(service="x" * 129),
        Source(instance="é" * 64, version="1", sequence=1 << 63),
        Source(boot_id=b"short"),
    )
)
_IDS = st.just("e2") | st.sampled_from(("e1", "e" * 64, "e" * 65, "", "a b", "é", "ledger-1"))


@given(_ACTIONS, _ACTORS, _TARGETS, _FIELDS | _GOOD_FIELDS | _NEARLY_GOOD_FIELDS, _SOURCES, _IDS)
def test_short_way_gives_the_bytes_of_the_long_way_or_leaves_it_the_event(
    action: str, actor: str | None, targets: list[str], fields: Any, source: Source, event_id: str
) -> None:
    rest: dict[str, Any] = {"event_id": event_id, "now_us": 1_790_000_000_000_000, "source": source}

    quick = quick_sections(action, actor, targets, fields, **rest)

    try:
        slow = _slowly(action, actor, targets, fields, **rest)
    except (InvalidEventError, EventTooLargeError):
        assert quick is None
    else:
        # A target without a type is good, and not common.
        assert quick == slow or (quick is None and ":a" in targets)


@pytest.mark.parametrize("fields", [{"target_names": ["x"]}, {"request": None}, {"no_such_field": 1}])
def test_what_is_less_common_is_left_to_the_long_way(fields: Any) -> None:
    assert quick_sections("a.b", None, [], fields, event_id="e", now_us=1, source=Source(sdk="s")) is None


def test_what_most_calls_say_is_taken() -> None:
    fields: Any = {
        "email": "a@customer.example",
        "ip": "203.0.113.42",
        "user_agent": "Mozilla/5.0",
        "outcome": "denied",
        "metadata": {"old_role": "member", "count": 3, "ratio": 0.5, "forced": True, "peer_ip": "::1"},
        "changes": {"role": ("member", "admin"), "email": (None, "b@customer.example")},
        "occurred_at": datetime(2026, 2, 25, tzinfo=UTC),
        "reason_code": "R1",
        "tenant_id": "t",
        "correlation_id": "c",
    }
    rest: dict[str, Any] = {"event_id": "e1", "now_us": 1, "source": Source(sdk="s", boot_id=bytes(16), sequence=1)}

    quick = quick_sections("user.role.updated", "user:u1", ["user:u2"], fields, **rest)

    assert quick == _slowly("user.role.updated", "user:u1", ["user:u2"], fields, **rest)


def test_actor_without_a_colon_is_left_to_the_long_way() -> None:
    rest: dict[str, Any] = {"event_id": "e", "now_us": 1, "source": Source(sdk="s")}

    assert quick_sections("a.b", "user", [], {}, **rest) is None
