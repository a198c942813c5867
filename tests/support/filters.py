"""Random filters and entries that they select, and an evaluator of its own that knows only flat events."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ledger.events.event import (
    Actor,
    Change,
    Event,
    FieldChange,
    MetadataEntry,
    Original,
    Outcome,
    PersonalData,
    Request,
    Target,
    Truth,
)
from ledger.events.flat import to_flat
from ledger.events.timestamps import parse_timestamp
from ledger.query import EVERYTHING, FIELDS, And, Comparison, FieldType, Node, Not, Operator, Or, QueriedEntry
from ledger.query.fields import MAP_FIELDS, resolve
from ledger.query.nodes import all_of, any_of, negated
from tests.support.sections import VALUES, sections

TIMES = st.sampled_from([1, 1_700_000_000_000_000, 1_700_000_000_000_001, 253_402_300_799_999_999])
_ADDRESSES = ["10.0.0.1", "10.255.0.1", "11.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "2001:DB8:0::2", "fe80::1%eth0"]
_NETWORKS = ["10.0.0.0/8", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/32", "::/0"]
# Few words, so that filters and entries meet.
_WORDS = ["user", "user.role", "user.role.updated", "u/1", "A@B.c", "a@b.C", "\u00c9@x", "\u00e9@x", "x*", 'q"\\', "1"]
_TEXTS = st.sampled_from(_WORDS) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
_NUMBERS = st.sampled_from([0, 1, -1, 5, 2**63 - 1, 0.5, 1e300, -2.5, 5.0]) | st.floats(
    allow_nan=False, allow_infinity=False
)
_KEYS = ["k", "email", "a.b-c", "ip", "x_ip"]


def category_of(action: str, version: int) -> str | None:
    """Stand for the catalogue."""
    return f"{action.partition('.')[0]}{version}" if version != 2 else None


def controls_of(action: str, version: int) -> Sequence[str]:
    """Stand for the catalogue."""
    return [f"CC{version}", action]


def _field_names() -> st.SearchStrategy[str]:
    keys = {"metadata": _KEYS, "personal_metadata": ["k", "a.b-c"]}
    mapped = [f"{head}.{key}" for head in MAP_FIELDS for key in keys.get(head, ["p", "a b", '"*\\', "x.y"])]
    return st.sampled_from([*FIELDS, *mapped])


def _value(draw: st.DrawFn, name: str, operator: Operator) -> Any:  # noqa: PLR0911 - a table
    field = resolve(name)
    if operator is Operator.PRESENT:
        return None
    if operator is Operator.CIDR:
        return draw(st.sampled_from(_NETWORKS))
    if field.type is FieldType.ENUM:
        return draw(st.sampled_from(sorted(field.members or {})))
    if field.type is FieldType.HEX:
        return draw(st.sampled_from(["00", "ab", "FF"])) * field.size
    if field.type is FieldType.ANY:
        if operator is Operator.PREFIX:
            return draw(_TEXTS)
        if operator is Operator.EQUALS:
            return draw(_TEXTS | _NUMBERS | st.booleans() | st.just(""))
        return draw(_TEXTS | _NUMBERS)
    others: dict[FieldType, st.SearchStrategy[Any]] = {
        FieldType.TIME: TIMES,
        FieldType.INTEGER: st.sampled_from([0, 1, 7, 2**64 - 1]),
        FieldType.TRUTH: st.booleans(),
        FieldType.ADDRESS: st.sampled_from([text for text in _ADDRESSES if "%" not in text]),
    }
    return draw(others.get(field.type, _TEXTS))


@st.composite
def comparisons_(draw: st.DrawFn) -> Comparison:
    """Return a comparison over any field."""
    name = draw(_field_names())
    operator = draw(st.sampled_from(sorted(resolve(name).operators, key=lambda found: found.value)))
    return Comparison(name, operator, _value(draw, name, operator))


FILTERS: st.SearchStrategy[Node] = st.just(EVERYTHING) | st.recursive(
    comparisons_(),
    lambda inner: (
        inner.map(negated)
        | st.lists(inner, min_size=2, max_size=3).map(lambda nodes: all_of(*nodes))
        | st.lists(inner, min_size=2, max_size=3).map(lambda nodes: any_of(*nodes))
    ),
    max_leaves=8,
)


@st.composite
def entries(draw: st.DrawFn) -> QueriedEntry:
    """Return an entry: any sections, or ones made of the words that filters use; each may be gone."""
    event: Event | None
    if draw(st.integers(0, 2)) == 0:
        event, personal = draw(sections())
    else:
        value = VALUES | _TEXTS | _NUMBERS
        changes = st.lists(
            st.builds(FieldChange, st.sampled_from(["p", "a b", "x.y"]), st.none() | value, st.none() | value),
            max_size=2,
        ).map(tuple)
        keys = draw(st.lists(st.sampled_from(_KEYS), unique=True, max_size=4))
        found = [MetadataEntry(key, draw(value | st.sampled_from(_ADDRESSES))) for key in keys]
        targets = draw(st.lists(st.builds(Target, st.sampled_from(["", "u", "user"]), _TEXTS), max_size=2).map(tuple))
        event = Event(
            event_id=draw(_TEXTS),
            action=draw(st.sampled_from(_WORDS)),
            occurred_at=draw(TIMES),
            actor=draw(st.none() | st.builds(Actor, id=_TEXTS, roles=st.lists(_TEXTS, max_size=2).map(tuple))),
            targets=targets,
            outcome=draw(st.sampled_from(Outcome)),
            request=draw(st.none() | st.builds(Request, trace_id=st.sampled_from([b"", b"\xab" * 16, bytes(16)]))),
            change=draw(st.none() | st.builds(Change, emergency=st.sampled_from(Truth))),
            field_changes=draw(changes),
            metadata=tuple(entry for entry in found if entry.key in {"k", "a.b-c"}),
        )
        personal = PersonalData(
            actor_email=draw(st.just("") | _TEXTS),
            ip=draw(st.sampled_from(["", *_ADDRESSES])),
            peer_ip=draw(st.sampled_from(["", *_ADDRESSES])),
            target_names=draw(st.sampled_from([(), ("", *_WORDS)[: len(targets)]])),
            field_changes=draw(changes),
            metadata=tuple(entry for entry in found if entry.key not in {"k", "a.b-c"}),
            original=draw(st.none() | st.just(Original(media_type="text/plain", content=b"x"))),
        )
    return QueriedEntry(
        leaf_index=draw(st.integers(0, 8)),
        recorded_at=draw(TIMES),
        principal=draw(st.sampled_from([bytes(15) + b"\x01", b"\xab" * 16])),
        catalogue=draw(st.integers(1, 3)),
        event=draw(st.just(event) | st.none()) if draw(st.booleans()) else event,
        personal=draw(st.just(personal) | st.none()),
    )


# The evaluator: values of a field out of the flat event as JSON, questions by name.


def naive(node: Node, entry: QueriedEntry) -> bool:
    """Return whether an entry passes a filter, by its definition on docs/filters.md."""
    if isinstance(node, And):
        return min([naive(operand, entry) for operand in node.operands], default=True)
    if isinstance(node, Or):
        return max(naive(operand, entry) for operand in node.operands)
    if isinstance(node, Not):
        return not naive(node.operand, entry)
    found = [value for value in _values(node.field, entry) if value is not None]
    return any(_answer(node, resolve(node.field).type, value) for value in found)


def _values(name: str, entry: QueriedEntry) -> list[Any]:  # noqa: C901, PLR0911 - the table of the page
    flat = to_flat(entry.event or Event(), entry.personal)
    of_leaf: dict[str, Any] = {
        "leaf_index": entry.leaf_index,
        "recorded_at": entry.recorded_at,
        "principal": entry.principal.hex(),
    }
    if name in of_leaf:
        return [of_leaf[name]]
    if name == "timestamp":
        return [parse_timestamp(str(flat["timestamp"]))] if entry.event else []
    if name == "category":
        return [category_of(entry.event.action, entry.catalogue)] if entry.event else []
    if name == "controls":
        return list(controls_of(entry.event.action, entry.catalogue)) if entry.event else []
    if name.startswith("target"):
        # Names stand with their targets in the flat event, and on their own where the event is gone.
        if name == "target_name":
            return [found for found in (entry.personal.target_names if entry.personal else ()) if found]
        listed: Any = flat.get("targets") or [{part: flat.get(f"target_{part}") for part in ("type", "id")}]
        listed = [found for found in listed if entry.event and entry.event.targets]
        if name == "targets":
            return list(listed)
        if name == "target":
            return [f"{found.get('type') or ''}/{found.get('id') or ''}" for found in listed]
        return [found.get(name.removeprefix("target_")) for found in listed]
    if name == "ip":
        metadata: Any = flat.get("metadata", {})
        return [flat.get("ip"), metadata.get("ip") if _in_personal(entry, "ip") else None]
    head, dot, key = name.partition(".")
    if not dot:
        found = flat.get(name)
        return found if isinstance(found, list) and name not in MAP_FIELDS else [found]
    if head.endswith("metadata"):
        values: Any = flat.get(head, {})
        return [values.get(key)]
    listed_changes = "personal_field_changes" if head.startswith("personal") else "field_changes"
    part = {"m": "old", "o": "new", "s": "path"}[head[-1]]
    changes: Any = flat.get(listed_changes, [])
    return [change.get(part) for change in changes if change["path"] == key]


def _in_personal(entry: QueriedEntry, key: str) -> bool:
    return entry.personal is not None and any(found.key == key for found in entry.personal.metadata)


def _address(text: object) -> Any:
    try:
        found = ipaddress.ip_address(str(text).partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _answer(node: Comparison, kind: FieldType, found: Any) -> bool:
    wanted: Any = node.value
    if kind is FieldType.ADDRESS or node.operator is Operator.CIDR:
        address = _address(found) if isinstance(found, str) else None
        if address is None or wanted is None:
            return address is not None
        if node.operator is Operator.CIDR:
            return address in ipaddress.ip_network(wanted)
        return bool(address == _address(wanted))
    if node.operator is Operator.PRESENT:
        return True
    if kind is FieldType.EMAIL:
        found = "".join(chr(ord(sign) + 32) if "A" <= sign <= "Z" else sign for sign in found)
    numbers = (int, float)
    same = type(found) is type(wanted) or (type(found) in numbers and type(wanted) in numbers)
    questions: dict[Operator, Callable[[], bool]] = {
        Operator.EQUALS: lambda: found == wanted,
        Operator.LESS: lambda: found < wanted,
        Operator.LESS_OR_EQUAL: lambda: found <= wanted,
        Operator.GREATER: lambda: found > wanted,
        Operator.GREATER_OR_EQUAL: lambda: found >= wanted,
        Operator.PREFIX: lambda: found[: len(wanted)] == wanted,
    }
    return same and questions[node.operator]()


def without_personal(entry: QueriedEntry) -> QueriedEntry:
    """Return an entry whose personal data are not looked at."""
    return replace(entry, personal=None)
