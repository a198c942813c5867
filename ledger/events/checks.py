"""What the values of an event may be: required fields, lengths, grammars and counts.

All violations are found at once, and each names the field, the limit and what was found. Lengths of text are in bytes
of UTF-8. The rule that must not break: this is the one statement of the limits; the server's fast path (`codec.py`)
only decides quickly what these checks decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from ledger.errors import FieldViolation
from ledger.events.actions import ACTION_RULE, RESERVED_ACTION_PREFIX, is_reserved, is_wellformed
from ledger.events.event import (
    ORIGINAL_MAX_BYTES,
    SCHEMA_VERSION,
    TIME_MAX,
    Event,
    FieldChange,
    MetadataEntry,
    Original,
    PersonalData,
    Value,
)
from ledger.events.ids import RESERVED_ID_PREFIX

EVENT_ID_PATTERN: Final = re.compile(r"[!-~]{1,64}")
"""1 to 64 printable ASCII characters without space; for `fullmatch`."""

METADATA_KEY_PATTERN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
"""Grammar of metadata keys; for `fullmatch`."""

TARGET_TYPE_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Grammar of target types; for `fullmatch`."""

COMMIT_PATTERN: Final = re.compile(r"[0-9a-fA-F]{7,64}")
"""A commit, abbreviated or whole; for `fullmatch`."""

_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4_PATTERN: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
"""Dotted quad without leading zeros; for `fullmatch`."""

METADATA_MAX_KEYS: Final = 64
"""Most metadata keys over both sections."""

FIELD_CHANGES_MAX: Final = 64
"""Most field changes over both sections."""

TARGETS_MAX: Final = 16
"""Most targets."""

ROLES_MAX: Final = 16
"""Most roles of an actor."""

APPROVERS_MAX: Final = 8
"""Most approvers of a change."""

VALUE_MAX_BYTES: Final = 2048
"""Longest text value."""

TEXT_MAX_BYTES: Final = {
    "reason_code": 64,
    "tenant_id": 128,
    "correlation_id": 128,
    "actor.id": 128,
    "actor.on_behalf_of": 128,
    "auth.credential_id": 128,
    "auth.session_id": 128,
    "auth.identity_provider": 128,
    "request.request_id": 128,
    "request.method": 256,
    "request.route": 256,
    "change.approval_reference": 512,
    "change.requested_by": 128,
    "change.ticket": 128,
    "change.version": 128,
    "data.destination": 512,
    "source.service": 128,
    "source.instance": 128,
    "source.version": 128,
    "source.sdk": 128,
    "actor_email": 254,
    "actor_name": 256,
    "user_agent": 1024,
    "description": 1024,
    "reason": 512,
    "original.media_type": 128,
}
"""Longest text of each plain text field, by its path in its section; bytes of UTF-8."""

ROLE_MAX_BYTES: Final = 128
"""Longest role, and longest id of an approver."""

TARGET_ID_MAX_BYTES: Final = 256
"""Longest target id."""

TARGET_NAME_MAX_BYTES: Final = 256
"""Longest target name."""

PATH_MAX_BYTES: Final = 256
"""Longest path of a field change."""

TRACE_ID_SIZE: Final = 16
"""Bytes of a W3C trace id."""

SPAN_ID_SIZE: Final = 8
"""Bytes of a W3C span id."""

BOOT_ID_SIZE: Final = 16
"""Bytes of a boot id."""

SHA256_SIZE: Final = 32
"""Bytes of a SHA-256 digest."""

_INTEGER_MIN: Final = -(1 << 63)
_INTEGER_MAX: Final = (1 << 63) - 1
_UNSIGNED_MAX: Final = (1 << 64) - 1
_SHOWN: Final = 80


def check_values(event: Event, personal: PersonalData | None) -> list[FieldViolation]:
    """Return every limit that the values break, those of the event section first.

    Args:
        event: The event section's value.
        personal: The personal section's value; None if there is none.

    Returns:
        The violations; empty if the values are good.
    """
    checks = _Checks()
    _check_event(checks, event)
    if personal is not None:
        _check_personal(checks, personal)
        if personal.target_names and len(personal.target_names) != len(event.targets):
            checks.refuse(
                "personal.target_names",
                f"has {len(personal.target_names)} names for {len(event.targets)} targets; one each, or none at all",
            )
    _check_changes(checks, event, personal)
    _check_metadata(checks, event, personal)
    return checks.violations


def check_reserved(event: Event) -> list[FieldViolation]:
    """Return what only the server may write: its event ids and its actions."""
    checks = _Checks()
    if event.event_id.startswith(RESERVED_ID_PREFIX):
        checks.refuse("event.event_id", f"begins with {RESERVED_ID_PREFIX!r}, which is the server's")
    if is_reserved(event.action):
        checks.refuse("event.action", f"begins with {RESERVED_ACTION_PREFIX!r}, which is the server's")
    return checks.violations


def is_ip_address(text: str) -> bool:
    """Return whether the text is an IPv4 or IPv6 address without a zone."""
    if IPV4_PATTERN.fullmatch(text):
        return True
    # An address with a zone means something on one machine only.
    if ":" not in text or "%" in text:
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


class _Checks:
    """Collects violations; each method checks one field."""

    def __init__(self) -> None:
        self.violations: list[FieldViolation] = []

    def refuse(self, path: str, description: str) -> None:
        self.violations.append(FieldViolation(path, description))

    def text(self, path: str, text: str, max_bytes: int, *, min_bytes: int = 0) -> None:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            self.refuse(path, "holds a lone surrogate, which UTF-8 cannot encode")
            return
        if size > max_bytes:
            self.refuse(path, f"has {size} bytes; the limit is {max_bytes}")
        elif size < min_bytes:
            self.refuse(path, "is empty")

    def plain(self, path: str, text: str) -> None:
        self.text(path, text, TEXT_MAX_BYTES[path.partition(".")[2]])

    def texts(self, path: str, texts: Sequence[str], max_count: int, max_bytes: int, *, min_bytes: int = 1) -> None:
        self.count(path, len(texts), max_count)
        for position, text in enumerate(texts):
            self.text(f"{path}[{position}]", text, max_bytes, min_bytes=min_bytes)

    def count(self, path: str, count: int, max_count: int) -> None:
        if count > max_count:
            self.refuse(path, f"has {count} elements; the limit is {max_count}")

    def pattern(self, path: str, text: str, pattern: re.Pattern[str], rule: str) -> None:
        if not pattern.fullmatch(text):
            self.refuse(path, f"is {_shown(text)}; {rule}")

    def sized(self, path: str, data: bytes, size: int) -> None:
        if data and len(data) != size:
            self.refuse(path, f"has {len(data)} bytes; it has {size}, or is left out")

    def number(self, path: str, number: int, minimum: int, maximum: int) -> None:
        if not minimum <= number <= maximum:
            self.refuse(path, f"is {number}; it is {minimum} to {maximum}")

    def value(self, path: str, value: Value) -> None:
        if isinstance(value, str):
            self.text(path, value, VALUE_MAX_BYTES)
        elif isinstance(value, float):
            if not math.isfinite(value):
                self.refuse(path, f"is {value}; a number is finite")
        elif not isinstance(value, bool):
            self.number(path, value, _INTEGER_MIN, _INTEGER_MAX)

    def ip(self, path: str, text: str) -> None:
        if text and not is_ip_address(text):
            self.refuse(path, f"is {_shown(text)}; it is an IPv4 or IPv6 address without a zone")

    def schema(self, path: str, schema: int) -> None:
        if schema != SCHEMA_VERSION:
            self.refuse(path, f"is {schema}; it is {SCHEMA_VERSION}")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _check_event(checks: _Checks, event: Event) -> None:
    checks.schema("event.schema", event.schema)
    checks.pattern(
        "event.event_id", event.event_id, EVENT_ID_PATTERN, "it is 1 to 64 printable ASCII characters without space"
    )
    if not is_wellformed(event.action):
        checks.refuse(
            "event.action",
            f"is {_shown(event.action)} with {len(event.action)} characters; {ACTION_RULE}",
        )
    checks.number("event.occurred_at", event.occurred_at, 1, TIME_MAX)
    checks.plain("event.reason_code", event.reason_code)
    checks.plain("event.tenant_id", event.tenant_id)
    checks.plain("event.correlation_id", event.correlation_id)
    _check_targets(checks, event)
    _check_actor(checks, event)
    _check_auth(checks, event)
    _check_request(checks, event)
    _check_change(checks, event)
    _check_data(checks, event)
    _check_source(checks, event)


def _check_targets(checks: _Checks, event: Event) -> None:
    checks.count("event.targets", len(event.targets), TARGETS_MAX)
    for position, target in enumerate(event.targets):
        path = f"event.targets[{position}]"
        if target.type:
            rule = "it is up to 64 lower-case letters, digits and underscores, a letter first"
            checks.pattern(f"{path}.type", target.type, TARGET_TYPE_PATTERN, rule)
        elif not target.id:
            checks.refuse(path, "has neither type nor id")
        checks.text(f"{path}.id", target.id, TARGET_ID_MAX_BYTES)


def _check_actor(checks: _Checks, event: Event) -> None:
    if event.actor is not None:
        checks.plain("event.actor.id", event.actor.id)
        checks.plain("event.actor.on_behalf_of", event.actor.on_behalf_of)
        checks.texts("event.actor.roles", event.actor.roles, ROLES_MAX, ROLE_MAX_BYTES)


def _check_auth(checks: _Checks, event: Event) -> None:
    if event.auth is not None:
        checks.plain("event.auth.credential_id", event.auth.credential_id)
        checks.plain("event.auth.session_id", event.auth.session_id)
        checks.plain("event.auth.identity_provider", event.auth.identity_provider)


def _check_request(checks: _Checks, event: Event) -> None:
    if event.request is not None:
        checks.plain("event.request.request_id", event.request.request_id)
        checks.sized("event.request.trace_id", event.request.trace_id, TRACE_ID_SIZE)
        checks.sized("event.request.span_id", event.request.span_id, SPAN_ID_SIZE)
        checks.plain("event.request.method", event.request.method)
        checks.plain("event.request.route", event.request.route)


def _check_change(checks: _Checks, event: Event) -> None:
    change = event.change
    if change is None:
        return
    checks.plain("event.change.approval_reference", change.approval_reference)
    if change.approval_event_id:
        rule = "it is an event id: 1 to 64 printable ASCII characters without space"
        checks.pattern("event.change.approval_event_id", change.approval_event_id, EVENT_ID_PATTERN, rule)
    checks.texts("event.change.approvers", change.approvers, APPROVERS_MAX, ROLE_MAX_BYTES)
    checks.plain("event.change.requested_by", change.requested_by)
    if change.commit:
        checks.pattern("event.change.commit", change.commit, COMMIT_PATTERN, "it is 7 to 64 hexadecimal digits")
    checks.plain("event.change.ticket", change.ticket)
    checks.plain("event.change.version", change.version)


def _check_data(checks: _Checks, event: Event) -> None:
    if event.data is not None:
        checks.number("event.data.record_count", event.data.record_count, 0, _UNSIGNED_MAX)
        checks.number("event.data.byte_count", event.data.byte_count, 0, _UNSIGNED_MAX)
        checks.plain("event.data.destination", event.data.destination)


def _check_source(checks: _Checks, event: Event) -> None:
    if event.source is not None:
        checks.plain("event.source.service", event.source.service)
        checks.plain("event.source.instance", event.source.instance)
        checks.plain("event.source.version", event.source.version)
        checks.plain("event.source.sdk", event.source.sdk)
        checks.sized("event.source.boot_id", event.source.boot_id, BOOT_ID_SIZE)
        checks.number("event.source.sequence", event.source.sequence, 0, _UNSIGNED_MAX)


def _check_personal(checks: _Checks, personal: PersonalData) -> None:
    checks.schema("personal.schema", personal.schema)
    checks.plain("personal.actor_email", personal.actor_email)
    checks.plain("personal.actor_name", personal.actor_name)
    checks.ip("personal.ip", personal.ip)
    checks.ip("personal.peer_ip", personal.peer_ip)
    checks.plain("personal.user_agent", personal.user_agent)
    checks.plain("personal.description", personal.description)
    checks.plain("personal.reason", personal.reason)
    checks.texts("personal.target_names", personal.target_names, TARGETS_MAX, TARGET_NAME_MAX_BYTES, min_bytes=0)
    if personal.original is not None:
        _check_original(checks, personal.original)


def _check_original(checks: _Checks, original: Original) -> None:
    checks.plain("personal.original.media_type", original.media_type)
    content_size = len(original.content)
    if content_size > ORIGINAL_MAX_BYTES:
        limit = f"the limit is {ORIGINAL_MAX_BYTES}, above which its SHA-256 and size stand for it"
        checks.refuse("personal.original.content", f"has {content_size} bytes; {limit}")
    checks.sized("personal.original.sha256", original.sha256, SHA256_SIZE)
    checks.number("personal.original.size", original.size, 0, _UNSIGNED_MAX)
    if bool(original.content) == bool(original.sha256) or bool(original.sha256) != bool(original.size):
        checks.refuse("personal.original", "holds either the content, or its SHA-256 and size")


def _sections(
    event: Event, personal: PersonalData | None
) -> Iterable[tuple[str, Sequence[FieldChange], Sequence[MetadataEntry]]]:
    yield "event", event.field_changes, event.metadata
    if personal is not None:
        yield "personal", personal.field_changes, personal.metadata


def _check_changes(checks: _Checks, event: Event, personal: PersonalData | None) -> None:
    total = 0
    for section, changes, _ in _sections(event, personal):
        total += len(changes)
        for position, change in enumerate(changes):
            path = f"{section}.field_changes[{position}]"
            checks.text(f"{path}.path", change.path, PATH_MAX_BYTES, min_bytes=1)
            if change.old is not None:
                checks.value(f"{path}.old", change.old)
            if change.new is not None:
                checks.value(f"{path}.new", change.new)
    checks.count("event.field_changes", total, FIELD_CHANGES_MAX)


def _check_metadata(checks: _Checks, event: Event, personal: PersonalData | None) -> None:
    taken: set[str] = set()
    total = 0
    for section, _, entries in _sections(event, personal):
        total += len(entries)
        previous = ""
        for position, entry in enumerate(entries):
            path = f"{section}.metadata[{position}]"
            rule = "it is a letter, then up to 63 letters, digits, underscores, dots and hyphens"
            checks.pattern(f"{path}.key", entry.key, METADATA_KEY_PATTERN, rule)
            if entry.key in taken:
                checks.refuse(f"{path}.key", f"is {_shown(entry.key)}, which occurs twice; keys are unique")
            elif entry.key < previous:
                order = f"comes after {_shown(previous)}; keys are in order of their bytes"
                checks.refuse(f"{path}.key", f"is {_shown(entry.key)} and {order}")
            taken.add(entry.key)
            previous = entry.key
            checks.value(f"{path}.value", entry.value)
    checks.count("event.metadata", total, METADATA_MAX_KEYS)
