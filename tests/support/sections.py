"""Random section bytes for tests: good values, their shortest form, and that form damaged in one place or two.

The encoder here is independent of the protobuf runtime and of the codec: it walks the tables of the strict reader, so
that the bytes of one can be compared with those of the other, and so that it can write what no runtime would write.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from hypothesis import strategies as st

from ledger.events.checks import TEXT_MAX_BYTES
from ledger.events.event import (
    TIME_MAX,
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
    Value,
)
from ledger.events.schema import EVENT, PERSONAL_DATA, Field, Kind, Message

# Good values


def _texts(max_bytes: int, *, min_size: int = 0) -> st.SearchStrategy[str]:
    """Texts that fit, often empty, short, or just at the limit."""
    return st.one_of(
        st.just("x" * min_size),
        st.text(st.characters(codec="utf-8"), min_size=min_size, max_size=min(max_bytes // 4, 12)),
        st.sampled_from([max_bytes, max_bytes - 1, max_bytes // 4 + 1, 127, 128]).map(
            lambda n: "a" * min(n, max_bytes)
        ),
        st.just("é" * (max_bytes // 2)),
        st.just("\N{GRINNING FACE}" * (max_bytes // 4)),
    )


def _plain(path: str) -> st.SearchStrategy[str]:
    return _texts(TEXT_MAX_BYTES[path])


VALUES: st.SearchStrategy[Value] = st.one_of(
    _texts(2048),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
_KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,8}", fullmatch=True) | st.sampled_from(["ip", "k" * 64, "user_agent"])
EVENT_IDS = st.from_regex(r"[!-~]{1,64}", fullmatch=True)
ACTIONS = st.from_regex(r"[a-z][a-z0-9]{0,5}(?:_[a-z0-9]{1,3}){0,2}(?:\.[a-z][a-z0-9]{0,5}){1,3}", fullmatch=True)
_FIXED64 = st.integers(0, (1 << 64) - 1)
_TARGETS = st.builds(Target, st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), _texts(256)) | st.builds(
    Target, st.just(""), _texts(256, min_size=1)
)
_FIELD_CHANGES = st.lists(
    st.builds(FieldChange, _texts(256, min_size=1), st.none() | VALUES, st.none() | VALUES), max_size=3
).map(tuple)
IP_ADDRESSES = st.ip_addresses().map(str)


def _metadata(keys: Sequence[str], values: Callable[[], Value]) -> tuple[MetadataEntry, ...]:
    return tuple(MetadataEntry(key, values()) for key in sorted(keys))


@st.composite
def sections(draw: st.DrawFn) -> tuple[Event, PersonalData | None]:
    """Values of both sections that break no limit."""
    keys = draw(st.lists(_KEYS, max_size=6, unique=True))
    public, private = keys[: len(keys) // 2], keys[len(keys) // 2 :]
    plain = draw(st.booleans())
    absent = st.none()
    event = Event(
        event_id=draw(EVENT_IDS),
        action=draw(ACTIONS),
        occurred_at=draw(st.integers(1, TIME_MAX)),
        actor=draw(
            absent
            | st.builds(
                Actor,
                st.sampled_from(ActorType),
                _plain("actor.id"),
                st.just("") if plain else _plain("actor.on_behalf_of"),
                st.just(()) if plain else st.lists(_texts(128, min_size=1), max_size=3).map(tuple),
            )
        ),
        targets=tuple(draw(st.lists(_TARGETS, max_size=3))),
        outcome=draw(st.sampled_from(Outcome)),
        metadata=_metadata(public, lambda: draw(VALUES)),
    )
    if not plain:
        event = replace(
            event,
            reason_code=draw(_plain("reason_code")),
            auth=draw(
                absent
                | st.builds(
                    Authentication,
                    st.sampled_from(AuthMethod),
                    st.sampled_from(Truth),
                    _plain("auth.credential_id"),
                    _plain("auth.session_id"),
                    _plain("auth.identity_provider"),
                )
            ),
            request=draw(
                absent
                | st.builds(
                    Request,
                    _plain("request.request_id"),
                    st.sampled_from([b"", bytes(16), b"t" * 16]),
                    st.sampled_from([b"", b"s" * 8]),
                    _plain("request.method"),
                    _plain("request.route"),
                )
            ),
            change=draw(
                absent
                | st.builds(
                    Change,
                    _plain("change.approval_reference"),
                    st.just("") | EVENT_IDS,
                    st.lists(_texts(128, min_size=1), max_size=2).map(tuple),
                    _plain("change.requested_by"),
                    st.just("") | st.from_regex(r"[0-9a-f]{7,64}", fullmatch=True),
                    _plain("change.ticket"),
                    _plain("change.version"),
                    st.sampled_from(Truth),
                )
            ),
            field_changes=draw(_FIELD_CHANGES),
            data=draw(
                absent
                | st.builds(
                    DataContext, st.sampled_from(DataClassification), _FIXED64, _FIXED64, _plain("data.destination")
                )
            ),
            source=draw(
                absent
                | st.builds(
                    Source,
                    _plain("source.service"),
                    _plain("source.instance"),
                    _plain("source.version"),
                    _plain("source.sdk"),
                    st.sampled_from([b"", b"b" * 16]),
                    _FIXED64,
                )
            ),
            tenant_id=draw(_plain("tenant_id")),
            correlation_id=draw(_plain("correlation_id")),
        )
    if not private and draw(st.booleans()):
        return event, None
    personal = PersonalData(
        actor_email=draw(_plain("actor_email")),
        ip=draw(st.just("") | IP_ADDRESSES),
        user_agent=draw(_plain("user_agent")),
        metadata=_metadata(private, lambda: draw(VALUES)),
    )
    if not plain:
        names = draw(st.booleans())
        personal = replace(
            personal,
            actor_name=draw(_plain("actor_name")),
            peer_ip=draw(st.just("") | IP_ADDRESSES),
            description=draw(_plain("description")),
            reason=draw(_plain("reason")),
            target_names=tuple(draw(_texts(256)) for _ in event.targets) if names else (),
            field_changes=draw(_FIELD_CHANGES),
            original=draw(
                absent
                | st.builds(Original, _plain("original.media_type"), st.binary(min_size=1, max_size=20))
                | st.builds(
                    Original, _plain("original.media_type"), st.just(b""), st.just(b"h" * 32), st.integers(1, 1 << 40)
                )
            ),
        )
    return event, personal


# Bytes

Content: TypeAlias = "bytes | list[Node]"


@dataclass
class Node:
    """One field in a section: its tag's bytes, and its content with or without a length before it."""

    number: int
    wire_type: int
    content: Content
    field: Field | None = None
    padding: int = 0  # bytes by which tag, length or enum is longer than it need be
    padded: str = ""

    def encode(self) -> bytes:
        tag = _varint(self.number << 3 | self.wire_type, self.padding if self.padded == "tag" else 0)
        content = self.content if isinstance(self.content, bytes) else encode_nodes(self.content)
        if self.wire_type == 2:
            return tag + _varint(len(content), self.padding if self.padded == "length" else 0) + content
        return tag + content


def encode_nodes(nodes: list[Node]) -> bytes:
    """Write the fields one after another."""
    return b"".join(node.encode() for node in nodes)


def _varint(value: int, padding: int = 0) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    if padding:
        encoded[-1] |= 0x80
        encoded += b"\x80" * (padding - 1) + b"\x00"
    return bytes(encoded)


def event_nodes(event: Event) -> list[Node]:
    """The fields of an event in ascending order."""
    return _nodes(EVENT, event)


def personal_nodes(personal: PersonalData) -> list[Node]:
    """The fields of personal data in ascending order."""
    return _nodes(PERSONAL_DATA, personal)


def _nodes(message: Message[object], value: object) -> list[Node]:
    if message.oneof:
        number, branch = next(
            (number, field)
            for number, field in message.fields.items()
            if {bool: "truth", str: "text", int: "integer", float: "number"}[type(value)] == field.name
        )
        if isinstance(value, bool):
            value = Truth.TRUE if value else Truth.FALSE
        return [_node(number, branch, value)]
    nodes = []
    for number, field in message.fields.items():
        content = getattr(value, field.name)
        if field.repeated:
            nodes += [_node(number, field, element) for element in content]
        elif content is not None if field.message is not None else content:
            nodes.append(_node(number, field, content))
    return nodes


def _node(number: int, field: Field, value: object) -> Node:
    content: Content
    if field.message is not None:
        content = _nodes(field.message, value)
    elif isinstance(value, str):
        content = value.encode()
    elif isinstance(value, bytes):
        content = value
    elif isinstance(value, float):
        content = struct.pack("<d", value)
    else:
        assert isinstance(value, int)
        content = _varint(value) if field.kind is Kind.ENUM else (value % (1 << 64)).to_bytes(8, "little")
    return Node(number, field.kind.wire_type, content, field)


# Damage


def _lists(nodes: list[Node]) -> list[list[Node]]:
    found = [nodes]
    for node in nodes:
        if not isinstance(node.content, bytes):
            found += _lists(node.content)
    return found


def _negative_enum(rng: random.Random) -> bytes:
    # Minus one to minus 128 as int32, in five bytes where the runtime would write ten.
    return _varint((1 << 32) - rng.randint(1, 128))


def _unknown(rng: random.Random) -> Node:
    number = rng.choice([0, 1, 2, 3, 9, 18, 19, 100, 20000, (1 << 29) - 1, 1 << 29])
    wire_type = rng.choice([0, 1, 2, 2, 2, 3, 4, 5, 6, 7])
    content = {0: b"\x01", 1: bytes(8), 2: rng.randbytes(rng.randint(0, 12)), 5: bytes(4)}.get(wire_type, b"")
    return Node(number, wire_type, content)


def damage(nodes: list[Node], rng: random.Random) -> None:  # noqa: C901, PLR0912 - a list of kinds of damage
    """Change the fields in one place, in a way that is often not allowed."""
    where = rng.choice(_lists(nodes))
    node = rng.choice(where) if where else _unknown(rng)
    kind = rng.randrange(16)
    if kind == 0:
        where.insert(rng.randint(0, len(where)), node)
    elif kind == 1:
        where.insert(rng.randint(0, len(where)), _unknown(rng))
    elif kind == 2:
        node.padded, node.padding = rng.choice(["tag", "length"]), rng.randint(1, 6)
    elif kind == 3:
        node.wire_type = rng.randrange(8)
    elif kind == 4:
        where.insert(
            0, replace(node, content=b"" if node.wire_type == 2 else bytes(8) if node.wire_type == 1 else b"\0")
        )
    elif kind == 5:
        node.content = b"" if node.wire_type == 2 else bytes(8) if node.wire_type == 1 else b"\x00"
    elif kind == 6:
        enums = [n for nodes in _lists(nodes) for n in nodes if n.wire_type == 0] or [node]
        number = rng.choice([rng.randint(0, 15), 127, 128, 300, 1 << 31, 1 << 32 | 1, (1 << 64) - 1, 1 << 70])
        rng.choice(enums).content = rng.choice([_negative_enum(rng), _varint(number), _varint(1, 1)])
    elif kind == 7:
        # A negative enum is counted five bytes longer than it was received: make up for them.
        enums = [n for nodes in _lists(nodes) for n in nodes if n.wire_type == 0] or [node]
        rng.choice(enums).content = _negative_enum(rng)
        where.append(rng.choice([Node(100, 2, b"ab"), Node(19, 2, b"ab"), Node(9, 5, bytes(4)), Node(2, 2, b"abc")]))
    elif kind == 8:
        node.content = rng.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80", b"\xe2\x82"])
    elif kind == 9:
        node.content = struct.pack("<d", rng.choice([float("nan"), float("inf"), float("-inf"), -0.0, 0.0]))
    elif kind == 10:
        rng.shuffle(where)
    elif kind == 11 and isinstance(node.content, list):
        cut = rng.randint(0, len(node.content))
        second = replace(node, content=node.content[cut:])
        node.content = node.content[:cut]
        where.insert(where.index(node) + 1, second)
    elif kind == 12:
        node.content = b"a" * rng.choice(
            [0, 1, 7, 8, 15, 16, 17, 64, 65, 127, 128, 129, 255, 256, 257, 1024, 1025, 2049]
        )
    elif kind == 13:
        where.extend([node] * rng.choice([2, 16, 64]))
    elif kind == 14 and where:
        where.remove(node)
    else:
        number = rng.randint(1, 5)
        branch = rng.choice([Node(number, 2, b""), Node(number, 0, b"\x01"), Node(number, 1, bytes(8))])
        where.append(branch)


def damage_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change, insert, remove, repeat or cut off bytes at random."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(changed))
        kind = rng.randrange(6)
        if kind == 0 and changed:
            changed[at % len(changed)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at:at] = rng.randbytes(rng.randint(1, 4))
        elif kind == 2:
            del changed[at : at + rng.randint(1, 4)]
        elif kind == 3:
            changed[at:at] = changed[at : at + rng.randint(1, 20)]
        elif kind == 4:
            del changed[at:]
        elif changed:
            changed[at % len(changed)] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, 0x0A, 0x12])
    return bytes(changed)
