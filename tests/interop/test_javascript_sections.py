"""The verifier in JavaScript reads sections and leaves as ours does: the same bytes, the same meaning."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError
from ledger.events.codec import encode_sections
from ledger.events.event import EVENT_MAX_BYTES, PERSONAL_MAX_BYTES, Event, PersonalData
from ledger.events.leaf import CosignedHead, decode_leaf
from ledger.events.schema import EVENT, PERSONAL_DATA, Field, Kind, Message
from tests.interop.javascript import (
    Javascript,
    RefusedError,
    SectionKind,
    one_byte_changes,
    python_form,
    python_section,
)
from tests.support.sample_log import SampleLog
from tests.support.sections import damage, damage_bytes, encode_nodes, event_nodes, personal_nodes, sections


def _both(event: bytes, personal: bytes) -> tuple[tuple[SectionKind, bytes], tuple[SectionKind, bytes]]:
    return ("event", event), ("personal", personal)


@settings(max_examples=100)
@given(sections())
def test_both_languages_read_the_same_from_good_sections(
    javascript: Javascript, values: tuple[Event, PersonalData | None]
) -> None:
    event, personal = encode_sections(*values)

    assert javascript.section("event", event) == python_form(values[0])
    if values[1] is not None:
        assert javascript.section("personal", personal) == python_form(values[1])


@settings(max_examples=150)
@given(sections(), st.randoms(use_true_random=True), st.integers(1, 2))
def test_both_languages_judge_damaged_fields_alike(
    javascript: Javascript, values: tuple[Event, PersonalData | None], rng: random.Random, times: int
) -> None:
    event, personal = values
    nodes = event_nodes(event)
    private = personal_nodes(personal) if personal else []
    for _ in range(times):
        damage(private if private and rng.random() < 0.3 else nodes, rng)
    for kind, data in _both(encode_nodes(nodes), encode_nodes(private)):
        assert javascript.section(kind, data) == python_section(kind, data)


@settings(max_examples=100)
@given(sections(), st.randoms(use_true_random=True))
def test_both_languages_judge_damaged_sections_alike(
    javascript: Javascript, values: tuple[Event, PersonalData | None], rng: random.Random
) -> None:
    for kind, data in _both(*encode_sections(*values)):
        changed = damage_bytes(data, rng)
        assert javascript.section(kind, changed) == python_section(kind, changed)


def _contents(field: Field) -> Iterator[bytes]:
    """Yield what a field may hold and what it may not; messages stay empty."""
    match field.kind:
        case Kind.ENUM:
            yield from (bytes([number]) for number in range(len(field.members or {}) + 2))
        case Kind.DOUBLE:
            yield from (struct.pack("<d", number) for number in (0.0, -0.0, 5e-324, -1e300, 1e21, float("inf")))
        case Kind.UNSIGNED | Kind.SIGNED:
            yield from (number.to_bytes(8, "little") for number in (0, 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1))
        case Kind.MESSAGE:
            yield b"\x00"
        case _:
            yield from (
                bytes([len(text)]) + text for text in (b"", b"\x00", b"a", b"\xc3\xa9", b"\xff", b"\xef\xbb\xbf")
            )


def _delimited(number: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([number << 3 | 2, len(content)]) + content


_REQUIRED = {"schema": b"\x08\x01", "key": b"\x0a\x01k", "value": b"\x12\x02\x0a\x00", "path": b"\x0a\x01k"}


def _every_field(message: Message[object]) -> Iterator[bytes]:
    """Yield messages of what is required and one field, once and twice, so that each row of each table decides."""
    for number in range(1, len(message.fields) + 3):
        field = message.fields.get(number, Field("none", Kind.STRING))
        tag = bytes([number << 3 | field.kind.wire_type]) if number < 16 else bytes([number << 3 & 0x7F | 0x82, 1])
        rest = b"".join(_REQUIRED[name] for name in message.required if name != field.name)
        for content in _contents(field):
            yield rest + tag + content
            yield rest + (tag + content) * 2
            yield from (rest + bytes([tag[0] & 0xF8 | wire_type]) + tag[1:] + content for wire_type in range(8))
        if field.message is not None:
            for inner in _every_field(field.message):
                yield rest + _delimited(number, inner)


@pytest.mark.parametrize(("kind", "message"), [("event", EVENT), ("personal", PERSONAL_DATA)])
def test_every_row_of_every_table_is_the_same_in_both_languages(
    javascript: Javascript, kind: SectionKind, message: Message[object]
) -> None:
    seen = set()
    for data in _every_field(message):
        said = javascript.section(kind, data)
        assert said == python_section(kind, data), data.hex()
        seen.add(said if isinstance(said, str) else "read")

    assert seen == {"newer", "read", "refused"}


_ENTRY = b"\x0a\x01k"  # a MetadataEntry's key, a FieldChange's path

_JUDGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "refused"),
    "schema alone": (b"\x08\x01", "read"),
    "schema last": (b"\x12\x01a\x08\x01", "read"),
    "schema twice": (b"\x08\x01\x08\x01", "refused"),
    "elements apart": (b"\x08\x01\x32\x02\x12\x00\x12\x01a\x32\x00", "refused"),
    "elements apart, without a default": (b"\x08\x01\x32\x00\x12\x01a\x32\x00", "read"),
    "metadata without value": (b"\x08\x01" + _delimited(14, _ENTRY), "refused"),
    "metadata of an empty value": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x00"), "refused"),
    "metadata of an empty text": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x02\x0a\x00"), "read"),
    "metadata of two branches": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x04\x0a\x00\x20\x01"), "refused"),
    "metadata of one branch twice": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x04\x20\x01\x20\x01"), "refused"),
    "metadata without key": (b"\x08\x01" + _delimited(14, b"\x12\x02\x0a\x00"), "refused"),
    "field change without values": (b"\x08\x01" + _delimited(12, _ENTRY), "read"),
    "field change without path": (b"\x08\x01\x62\x00", "refused"),
    "tag in two bytes": (b"\x88\x00\x01", "refused"),
    "tag of eleven bytes": (b"\x88" + b"\x80" * 9 + b"\x01\x01", "refused"),
    "length of eleven bytes": (b"\x08\x01\x12" + b"\x81" + b"\x80" * 9 + b"\x01a", "refused"),
    "length of 2^63": (b"\x08\x01\x12" + b"\x80" * 9 + b"\x01a", "refused"),
    "length of 2^64 and 1": (b"\x08\x01\x12" + b"\x81" + b"\x80" * 8 + b"\x02a", "refused"),
    "length beyond a message but not the section": (b"\x08\x01\x2a\x03\x12\x02a\x12\x01a", "refused"),
    "surrogate": (b"\x08\x01\x12\x03\xed\xa0\x80", "refused"),
    "string that begins with a byte order mark": (b"\x08\x01\x12\x04\xef\xbb\xbfa", "read"),
    "newer": (b"\x08\x02", "newer"),
    "newer, schema last": (b"\x12\x01\xff\x08\x02", "newer"),
    "newer, the last schema counts": (b"\x08\x01\x08\x7f", "newer"),
    "newer at first only": (b"\x08\x02\x08\x01", "refused"),
    "newer of wire type 5": (b"\x08\x02\x1d\x00\x00\x00\x00", "newer"),
    "newer, with a schema of another wire type after": (b"\x08\x02\x0a\x01\x01", "newer"),
    "schema of 0": (b"\x08\x00", "refused"),
    "schema of 128": (b"\x08\x80\x01", "refused"),
    "schema in two bytes": (b"\x08\x82\x00", "refused"),
    "newer with the number 2^64 - 1": (b"\x08\x02\xf8\x01" + b"\xff" * 9 + b"\x01", "newer"),
    "newer with the number 2^64": (b"\x08\x02\xf8\x01" + b"\x80" * 9 + b"\x02", "refused"),
    "newer with a number above 2^64": (b"\x08\x02\xf8\x01" + b"\xff" * 9 + b"\x7f", "refused"),
    "newer with a varint of eleven bytes": (b"\x08\x02\xf8\x01" + b"\xff" * 10 + b"\x01", "refused"),
    "newer with field number 0": (b"\x08\x02\x02\x00", "newer"),
    "newer with a group": (b"\x08\x02\x1b\x1c", "refused"),
    "newer with wire type 6": (b"\x08\x02\x1e", "refused"),
    "newer, cut off": (b"\x08\x02\x12\x02a", "refused"),
    "newer, cut off in a tag": (b"\x08\x02\x92", "refused"),
}


@pytest.mark.parametrize(("data", "expected"), _JUDGED.values(), ids=_JUDGED)
def test_the_strict_bytes_rule_is_kept_in_both_languages(javascript: Javascript, data: bytes, expected: str) -> None:
    said = javascript.section("event", data)

    assert said == python_section("event", data)
    assert (said if isinstance(said, str) else "read") == expected


@pytest.mark.parametrize(("kind", "limit"), [("event", EVENT_MAX_BYTES), ("personal", PERSONAL_MAX_BYTES)])
@pytest.mark.parametrize(("schema", "fitting"), [(b"\x08\x01", "read"), (b"\x08\x02", "newer")])
def test_a_section_above_its_limit_is_refused_whatever_it_says(
    javascript: Javascript, kind: SectionKind, limit: int, schema: bytes, fitting: str
) -> None:
    size = limit - 6
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    data = schema + b"\x12" + length + b"a" * size
    assert len(data) == limit

    for section, expected in ((data, fitting), (schema + b"\x1a\x01a" + data[2:], "refused")):
        said = javascript.section(kind, section)
        assert (said if isinstance(said, str) else "read") == expected
        assert said == python_section(kind, section)


# Leaves


def _sample_leaves() -> list[bytes]:
    log = SampleLog()
    log.append(b"\x08\x01")
    log.append(b"\x08\x01", b"\x08\x01")
    log.append(b"\x08\x01", cosigned_head=CosignedHead(1, log.root(1), 2**64 - 1))
    log.append(b"\x08\x01", b"\x08\x01", cosigned_head=CosignedHead(2**63 - 1, log.root(1), 1))
    return log.leaves


_LEAVES = _sample_leaves()


def _python_leaf(data: bytes) -> Any:
    try:
        leaf = decode_leaf(data)
    except LedgerError:
        return None
    head = leaf.cosigned_head
    return {
        "recorded_at": leaf.recorded_at,
        "principal": leaf.principal.hex(),
        "catalogue": leaf.catalogue,
        "previous": leaf.previous.hex(),
        "event_commitment": leaf.event_commitment.hex(),
        "personal_commitment": leaf.personal_commitment and leaf.personal_commitment.hex(),
        "cosigned_head": head and {"size": head.size, "root": head.root.hex(), "cosigned_at": head.cosigned_at},
    }


def _javascript_leaf(javascript: Javascript, data: bytes) -> Any:
    try:
        return javascript.call("leaf", data)
    except RefusedError:
        return None


@pytest.mark.parametrize("number", range(len(_LEAVES)))
def test_both_languages_judge_every_change_of_one_byte_of_a_leaf_alike(javascript: Javascript, number: int) -> None:
    leaf = _LEAVES[number]
    assert _javascript_leaf(javascript, leaf) == _python_leaf(leaf) is not None

    for at, changed in one_byte_changes(leaf):
        assert _javascript_leaf(javascript, changed) == _python_leaf(changed), at


@pytest.mark.parametrize(
    ("where", "content"),
    [
        (slice(1, 2), b"\x02"),
        (slice(1, 2), b"\x81\x00"),
        (slice(3, 11), bytes(8)),
        (slice(13, 29), bytes(16)),
        (slice(30, 31), b"\x00"),
        (slice(30, 31), b"\x81\x00"),
        (slice(30, 31), b"\x80\x80\x80\x80\x10"),
        (slice(33, 65), bytes(32)),
        (slice(67, 99), bytes(32)),
        (slice(99, 99), b"\x3a\x20" + bytes(32)),
        (slice(99, 99), b"\x42\x00"),
        (slice(99, 99), b"\x42\x2d\x08\x00\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\x2d\x08\x01\x12\x20" + bytes(32) + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\x2d\x08\x01\x12\x20" + b"r" * 32 + b"\x19" + bytes(8)),
        (slice(99, 99), b"\x42\x2e\x08\x01\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\xad\x00\x08\x01\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\x36\x08" + b"\x80" * 9 + b"\x01\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
    ],
)
def test_a_leaf_with_a_value_that_no_leaf_has_is_refused(javascript: Javascript, where: slice, content: bytes) -> None:
    changed = bytearray(_LEAVES[0])
    changed[where] = content

    assert _javascript_leaf(javascript, bytes(changed)) is None
    assert _python_leaf(bytes(changed)) is None


def test_a_catalogue_version_of_five_bytes_is_read(javascript: Javascript) -> None:
    changed = _LEAVES[0][:30] + b"\xff\xff\xff\xff\x0f" + _LEAVES[0][31:]

    assert javascript.call("leaf", changed)["catalogue"] == 2**32 - 1
