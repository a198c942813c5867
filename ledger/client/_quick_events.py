"""The sections of a common event straight from the words of a call, in a fraction of the time.

What most calls say is written as bytes without values and messages in between, and each rule is looked at where its
value is written. The rule that must not break: the bytes are those that `build_event` and `encode_sections` give, for
none but what those accept. So this way cannot refuse: of whatever it is not certain goes the other way, which decides
and words the refusal. A property test compares the two.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Final

from ledger.client._events import EventFields, to_microseconds
from ledger.errors import InvalidEventError
from ledger.events.actions import ACTION_MAX_BYTES, ACTION_PATTERN, is_reserved
from ledger.events.checks import (
    BOOT_ID_SIZE,
    EVENT_ID_PATTERN,
    FIELD_CHANGES_MAX,
    METADATA_KEY_PATTERN,
    METADATA_MAX_KEYS,
    PATH_MAX_BYTES,
    TARGET_ID_MAX_BYTES,
    TARGET_TYPE_PATTERN,
    TARGETS_MAX,
    TEXT_MAX_BYTES,
    VALUE_MAX_BYTES,
    is_ip_address,
)
from ledger.events.event import (
    EVENT_MAX_BYTES,
    PERSONAL_MAX_BYTES,
    SCHEMA_VERSION,
    TIME_MAX,
    ActorType,
    Outcome,
    Source,
    Truth,
)
from ledger.events.flat_keys import is_personal_key
from ledger.events.ids import RESERVED_ID_PREFIX

# Personal texts by argument, in the order of their fields, with tag and limit; an address has a rule of its own.
_PERSONAL_TEXTS: Final = (
    ("email", b"\x12", TEXT_MAX_BYTES["actor_email"]),
    ("name", b"\x1a", TEXT_MAX_BYTES["actor_name"]),
    ("ip", b"\x22", 0),
    ("peer_ip", b"\x2a", 0),
    ("user_agent", b"\x32", TEXT_MAX_BYTES["user_agent"]),
    ("description", b"\x3a", TEXT_MAX_BYTES["description"]),
    ("reason", b"\x42", TEXT_MAX_BYTES["reason"]),
)
_EVENT_TEXTS: Final = {"reason_code": b"\x42", "tenant_id": b"\x82\x01", "correlation_id": b"\x8a\x01"}
_TAKEN: Final = (
    _EVENT_TEXTS.keys()
    | {name for name, _, _ in _PERSONAL_TEXTS}
    | {
        "outcome",
        "changes",
        "metadata",
        "occurred_at",
        "event_id",
    }
)
_SCHEMA: Final = bytes((0x08, SCHEMA_VERSION))
_ACTOR_TYPES: Final = {member.name.lower(): bytes((0x08, member)) for member in ActorType if member}
_OUTCOMES: Final = {member.name.lower(): member for member in Outcome if member}
_TRUE: Final = bytes((0x20, Truth.TRUE))
_FALSE: Final = bytes((0x20, Truth.FALSE))
_SHORT: Final = 1 << 7
_SHORT_LENGTHS: Final = tuple(bytes((length,)) for length in range(_SHORT))
_PERSONAL_METADATA_TAG: Final = b"\x5a"
_EVENT_METADATA_TAG: Final = b"\x72"
_PERSONAL_CHANGES_TAG: Final = b"\x52"
_EVENT_CHANGES_TAG: Final = b"\x62"

_pack_fixed: Final = struct.Struct("<Q").pack
_pack_integer: Final = struct.Struct("<q").pack
_pack_number: Final = struct.Struct("<d").pack
_matches_action: Final = ACTION_PATTERN.fullmatch
_matches_event_id: Final = EVENT_ID_PATTERN.fullmatch
_matches_key: Final = METADATA_KEY_PATTERN.fullmatch
_matches_target_type: Final = TARGET_TYPE_PATTERN.fullmatch
_is_personal: Final = lru_cache(1024)(is_personal_key)


def quick_sections(
    action: str,
    actor: object,
    targets: Sequence[object],
    fields: EventFields,
    *,
    event_id: str,
    now_us: int,
    source: Source,
) -> tuple[bytes, bytes] | None:
    """Return both sections as bytes; None where the event is not as common as that, or not good.

    Args:
        action: resource.sub_resource.verb.
        actor: `TYPE:ID`, or None.
        targets: `TYPE:ID` each.
        fields: The rest, as for `build_event`.
        event_id: Id of the event.
        now_us: The present, microseconds since 1970 in UTC.
        source: The program that reports it.
    """
    if not fields.keys() <= _TAKEN:
        return None
    try:
        event_changes, personal_changes = _changes(fields.get("changes"))
        event_metadata, personal_metadata = _metadata(fields.get("metadata"))
        event = b"".join(
            (
                _SCHEMA,
                _id(event_id),
                _action(action),
                _moment(fields.get("occurred_at"), now_us),
                b"" if actor is None else _actor(actor),
                *_targets(targets),
                _outcome(fields.get("outcome")),
                _event_text("reason_code", fields),
                *event_changes,
                *event_metadata,
                _source(source),
                _event_text("tenant_id", fields),
                _event_text("correlation_id", fields),
            )
        )
        personal = b"".join((*_personal_texts(fields), *personal_changes, *personal_metadata))
    except (InvalidEventError, KeyError, TypeError, ValueError, struct.error):
        return None
    if personal:
        personal = _SCHEMA + personal
    return (event, personal) if len(event) <= EVENT_MAX_BYTES and len(personal) <= PERSONAL_MAX_BYTES else None


# What writes a part raises where it is not certain that the part is good.


def _id(event_id: str) -> bytes:
    if not _matches_event_id(event_id) or event_id.startswith(RESERVED_ID_PREFIX):
        raise ValueError
    return _sized(b"\x12", _encoded(event_id))


def _action(action: str) -> bytes:
    if len(action) > ACTION_MAX_BYTES or not _matches_action(action) or is_reserved(action):
        raise ValueError
    return _sized(b"\x1a", _encoded(action))


def _moment(occurred_at: object, now_us: int) -> bytes:
    moment = now_us if occurred_at is None else to_microseconds(occurred_at)
    if not 0 < moment <= TIME_MAX:
        raise ValueError
    return b"\x21" + _pack_fixed(moment)


def _actor(actor: object) -> bytes:
    if type(actor) is not str:
        raise TypeError
    kind, colon, identity = actor.partition(":")
    if not colon:
        raise ValueError
    return _sized(b"\x2a", _ACTOR_TYPES[kind] + _text(b"\x12", identity, TEXT_MAX_BYTES["actor.id"]))


def _targets(targets: Sequence[object]) -> list[bytes]:
    if len(targets) > TARGETS_MAX:
        raise ValueError
    written = []
    for target in targets:
        if type(target) is not str:
            raise TypeError
        kind, colon, identity = target.partition(":")
        if not colon or not _matches_target_type(kind):
            raise ValueError
        written.append(_sized(b"\x32", _sized(b"\x0a", kind.encode()) + _text(b"\x12", identity, TARGET_ID_MAX_BYTES)))
    return written


def _outcome(outcome: object) -> bytes:
    if outcome is None:
        return b""
    if type(outcome) is not Outcome:
        if type(outcome) is not str:
            raise TypeError
        outcome = _OUTCOMES[outcome]
    return bytes((0x38, outcome)) if outcome else b""


def _event_text(name: str, fields: Mapping[str, object]) -> bytes:
    text = fields.get(name)
    return b"" if text is None else _text(_EVENT_TEXTS[name], text, TEXT_MAX_BYTES[name])


def _personal_texts(fields: Mapping[str, object]) -> list[bytes]:
    written = []
    for name, tag, max_bytes in _PERSONAL_TEXTS:
        text = fields.get(name)
        if text is None:
            continue
        if max_bytes:
            written.append(_text(tag, text, max_bytes))
        elif text:
            if type(text) is not str:
                raise TypeError
            if not is_ip_address(text):
                raise ValueError
            written.append(_sized(tag, text.encode()))
        elif type(text) is not str:
            raise TypeError
    return written


def _metadata(metadata: object) -> tuple[list[bytes], list[bytes]]:
    """Return the entries of the event section, and those of the personal section."""
    event: list[bytes] = []
    personal: list[bytes] = []
    if metadata is not None:
        if type(metadata) is not dict:
            raise TypeError
        if len(metadata) > METADATA_MAX_KEYS:
            raise ValueError
        # Good keys are ASCII, so the order of characters is that of bytes.
        for key in sorted(metadata):
            if not _matches_key(key):
                raise ValueError
            entry = _sized(b"\x0a", key.encode()) + _sized(b"\x12", _value(metadata[key]))
            if _is_personal(key):
                personal.append(_sized(_PERSONAL_METADATA_TAG, entry))
            else:
                event.append(_sized(_EVENT_METADATA_TAG, entry))
    return event, personal


def _changes(changes: object) -> tuple[list[bytes], list[bytes]]:
    """Return the changes of the event section, and those of the personal section."""
    event: list[bytes] = []
    personal: list[bytes] = []
    if changes is not None:
        if type(changes) is not dict:
            raise TypeError
        if len(changes) > FIELD_CHANGES_MAX:
            raise ValueError
        for path, pair in changes.items():
            if type(pair) is not tuple:
                raise TypeError
            old, new = pair
            change = _text(b"\x0a", path, PATH_MAX_BYTES)
            if not change:
                raise ValueError
            if old is not None:
                change += _sized(b"\x12", _value(old))
            if new is not None:
                change += _sized(b"\x1a", _value(new))
            if _is_personal(path.rpartition(".")[2]):
                personal.append(_sized(_PERSONAL_CHANGES_TAG, change))
            else:
                event.append(_sized(_EVENT_CHANGES_TAG, change))
    return event, personal


def _value(value: object) -> bytes:
    # Subclasses go the long way.
    if type(value) is str:
        # An empty text is a value too.
        return _text(b"\x0a", value, VALUE_MAX_BYTES) or b"\x0a\x00"
    if type(value) is bool:
        return _TRUE if value else _FALSE
    if type(value) is int:
        return b"\x11" + _pack_integer(value)
    if type(value) is not float:
        raise TypeError
    if not isfinite(value):
        raise ValueError
    return b"\x19" + _pack_number(value)


def _source(source: Source) -> bytes:
    written = _source_beginning(source.service, source.instance, source.version, source.sdk, source.boot_id)
    if source.sequence:
        written += b"\x31" + _pack_fixed(source.sequence)
    return _sized(b"\x7a", written)


@lru_cache(64)
def _source_beginning(service: str, instance: str, version: str, sdk: str, boot_id: bytes) -> bytes:
    if len(boot_id) not in {0, BOOT_ID_SIZE}:
        raise ValueError
    return b"".join(
        (
            _text(b"\x0a", service, TEXT_MAX_BYTES["source.service"]),
            _text(b"\x12", instance, TEXT_MAX_BYTES["source.instance"]),
            _text(b"\x1a", version, TEXT_MAX_BYTES["source.version"]),
            _text(b"\x22", sdk, TEXT_MAX_BYTES["source.sdk"]),
            _sized(b"\x2a", boot_id) if boot_id else b"",
        )
    )


def _text(tag: bytes, text: object, max_bytes: int) -> bytes:
    """Return a text field; nothing for an empty text."""
    data = _encoded(text)
    if len(data) > max_bytes:
        raise ValueError
    return _sized(tag, data) if data else b""


def _encoded(text: object) -> bytes:
    # A subclass may be anything; what it is to be taken for is decided the long way.
    if type(text) is not str:
        raise TypeError
    return text.encode()


def _sized(tag: bytes, data: bytes) -> bytes:
    """Return a field of bytes; no part of an event has 16 KiB."""
    size = len(data)
    if size < _SHORT:
        return tag + _SHORT_LENGTHS[size] + data
    return tag + bytes((size & 0x7F | 0x80, size >> 7)) + data
