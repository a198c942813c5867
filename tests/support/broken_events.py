"""Events and personal data that break one limit each: the value, the field, and words of the violation."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ledger.events.event import (
    TIME_MAX,
    Actor,
    Authentication,
    Change,
    DataContext,
    Event,
    FieldChange,
    MetadataEntry,
    Original,
    PersonalData,
    Request,
    Source,
    Target,
)

LEAST_EVENT: Final = Event("e-1", "user.role.updated", 1)
_LEAST_PERSONAL: Final = PersonalData()


def entries(prefix: str, count: int) -> tuple[MetadataEntry, ...]:
    """So many metadata entries in order."""
    return tuple(MetadataEntry(f"{prefix}{number:02}", number) for number in range(count))


BROKEN_EVENTS: Final[list[tuple[Event, str, str]]] = [
    (replace(LEAST_EVENT, schema=2), "event.schema", "is 2; it is 1"),
    (replace(LEAST_EVENT, event_id=""), "event.event_id", "is ''; it is 1 to 64 printable ASCII"),
    (replace(LEAST_EVENT, event_id="x" * 65), "event.event_id", "is 'xxx"),
    (replace(LEAST_EVENT, event_id="a b"), "event.event_id", "is 'a b'"),
    (replace(LEAST_EVENT, event_id="a\n"), "event.event_id", r"is 'a\n'"),
    (replace(LEAST_EVENT, event_id="é"), "event.event_id", r"is '\xe9'"),
    (replace(LEAST_EVENT, action="User.created"), "event.action", "is 'User.created' with 12 characters"),
    (replace(LEAST_EVENT, action="a." + "b" * 127), "event.action", "with 129 characters"),
    (replace(LEAST_EVENT, occurred_at=0), "event.occurred_at", "is 0; it is 1 to 253402300799999999"),
    (replace(LEAST_EVENT, occurred_at=TIME_MAX + 1), "event.occurred_at", "is 253402300800000000"),
    (replace(LEAST_EVENT, reason_code="x" * 65), "event.reason_code", "has 65 bytes; the limit is 64"),
    (replace(LEAST_EVENT, reason_code="é" * 33), "event.reason_code", "has 66 bytes; the limit is 64"),
    (replace(LEAST_EVENT, reason_code="\ud800"), "event.reason_code", "lone surrogate"),
    (replace(LEAST_EVENT, tenant_id="x" * 129), "event.tenant_id", "has 129 bytes; the limit is 128"),
    (replace(LEAST_EVENT, correlation_id="x" * 129), "event.correlation_id", "the limit is 128"),
    (replace(LEAST_EVENT, actor=Actor(id="x" * 129)), "event.actor.id", "the limit is 128"),
    (replace(LEAST_EVENT, actor=Actor(on_behalf_of="x" * 129)), "event.actor.on_behalf_of", "the limit is 128"),
    (replace(LEAST_EVENT, actor=Actor(roles=("",))), "event.actor.roles[0]", "is empty"),
    (replace(LEAST_EVENT, actor=Actor(roles=("x" * 129,))), "event.actor.roles[0]", "the limit is 128"),
    (replace(LEAST_EVENT, actor=Actor(roles=("r",) * 17)), "event.actor.roles", "has 17 elements; the limit is 16"),
    (replace(LEAST_EVENT, targets=(Target(),)), "event.targets[0]", "has neither type nor id"),
    (replace(LEAST_EVENT, targets=(Target("User", "1"),)), "event.targets[0].type", "is 'User'"),
    (replace(LEAST_EVENT, targets=(Target("u" * 65),)), "event.targets[0].type", "up to 64"),
    (replace(LEAST_EVENT, targets=(Target("user", "x" * 257),)), "event.targets[0].id", "the limit is 256"),
    (replace(LEAST_EVENT, targets=(Target("user"),) * 17), "event.targets", "has 17 elements; the limit is 16"),
    (replace(LEAST_EVENT, auth=Authentication(credential_id="x" * 129)), "event.auth.credential_id", "128"),
    (replace(LEAST_EVENT, auth=Authentication(session_id="x" * 129)), "event.auth.session_id", "128"),
    (replace(LEAST_EVENT, auth=Authentication(identity_provider="x" * 129)), "event.auth.identity_provider", "128"),
    (replace(LEAST_EVENT, request=Request(request_id="x" * 129)), "event.request.request_id", "128"),
    (replace(LEAST_EVENT, request=Request(trace_id=b"x" * 15)), "event.request.trace_id", "has 15 bytes; it has 16"),
    (replace(LEAST_EVENT, request=Request(span_id=b"x" * 16)), "event.request.span_id", "has 16 bytes; it has 8"),
    (replace(LEAST_EVENT, request=Request(method="x" * 257)), "event.request.method", "256"),
    (replace(LEAST_EVENT, request=Request(route="x" * 257)), "event.request.route", "256"),
    (replace(LEAST_EVENT, change=Change(approval_reference="x" * 513)), "event.change.approval_reference", "512"),
    (replace(LEAST_EVENT, change=Change(approval_event_id="a b")), "event.change.approval_event_id", "an event id"),
    (replace(LEAST_EVENT, change=Change(approvers=("a",) * 9)), "event.change.approvers", "limit is 8"),
    (replace(LEAST_EVENT, change=Change(approvers=("",))), "event.change.approvers[0]", "is empty"),
    (replace(LEAST_EVENT, change=Change(requested_by="x" * 129)), "event.change.requested_by", "128"),
    (replace(LEAST_EVENT, change=Change(commit="abcdef")), "event.change.commit", "7 to 64 hexadecimal"),
    (replace(LEAST_EVENT, change=Change(commit="g" * 7)), "event.change.commit", "7 to 64 hexadecimal"),
    (replace(LEAST_EVENT, change=Change(ticket="x" * 129)), "event.change.ticket", "128"),
    (replace(LEAST_EVENT, change=Change(version="x" * 129)), "event.change.version", "128"),
    (replace(LEAST_EVENT, data=DataContext(destination="x" * 513)), "event.data.destination", "512"),
    (replace(LEAST_EVENT, data=DataContext(record_count=1 << 64)), "event.data.record_count", "18446744073709551615"),
    (replace(LEAST_EVENT, data=DataContext(byte_count=-1)), "event.data.byte_count", "is -1; it is 0 to"),
    (replace(LEAST_EVENT, source=Source(service="x" * 129)), "event.source.service", "128"),
    (replace(LEAST_EVENT, source=Source(instance="x" * 129)), "event.source.instance", "128"),
    (replace(LEAST_EVENT, source=Source(version="x" * 129)), "event.source.version", "128"),
    (replace(LEAST_EVENT, source=Source(sdk="x" * 129)), "event.source.sdk", "128"),
    (replace(LEAST_EVENT, source=Source(boot_id=b"x")), "event.source.boot_id", "has 1 bytes; it has 16"),
    (replace(LEAST_EVENT, source=Source(sequence=-1)), "event.source.sequence", "is -1"),
    (replace(LEAST_EVENT, field_changes=(FieldChange(""),)), "event.field_changes[0].path", "is empty"),
    (replace(LEAST_EVENT, field_changes=(FieldChange("x" * 257),)), "event.field_changes[0].path", "256"),
    (replace(LEAST_EVENT, field_changes=(FieldChange("x", old="y" * 2049),)), "event.field_changes[0].old", "2048"),
    (replace(LEAST_EVENT, field_changes=(FieldChange("x", new=1 << 63),)), "event.field_changes[0].new", "-9223372036"),
    (
        replace(LEAST_EVENT, field_changes=(FieldChange("x"),) * 65),
        "event.field_changes",
        "65 elements; the limit is 64",
    ),
    (replace(LEAST_EVENT, metadata=(MetadataEntry("1", 1),)), "event.metadata[0].key", "is '1'; it is a letter"),
    (replace(LEAST_EVENT, metadata=(MetadataEntry("k" * 65, 1),)), "event.metadata[0].key", "up to 63"),
    (replace(LEAST_EVENT, metadata=(MetadataEntry("k\n", 1),)), "event.metadata[0].key", r"is 'k\n'"),
    (replace(LEAST_EVENT, metadata=(MetadataEntry("k", "x" * 2049),)), "event.metadata[0].value", "2048"),
    (
        replace(LEAST_EVENT, metadata=(MetadataEntry("k", "\N{GRINNING FACE}" * 513),)),
        "event.metadata[0].value",
        "2052",
    ),
    (replace(LEAST_EVENT, field_changes=(FieldChange("x", new="y" * 2049),)), "event.field_changes[0].new", "2048"),
    (replace(LEAST_EVENT, metadata=(MetadataEntry("k", -(1 << 63) - 1),)), "event.metadata[0].value", "is -922"),
    (replace(LEAST_EVENT, metadata=(MetadataEntry("k", float("inf")),)), "event.metadata[0].value", "is inf"),
    (replace(LEAST_EVENT, metadata=entries("b", 1) + entries("a", 1)), "event.metadata[1].key", "after 'b00'"),
    (replace(LEAST_EVENT, metadata=entries("a", 1) * 2), "event.metadata[1].key", "is 'a00', which occurs twice"),
    (replace(LEAST_EVENT, metadata=entries("a", 65)), "event.metadata", "has 65 elements; the limit is 64"),
]

BROKEN_PERSONAL_DATA: Final[list[tuple[PersonalData, str, str]]] = [
    (replace(_LEAST_PERSONAL, schema=2), "personal.schema", "is 2; it is 1"),
    (replace(_LEAST_PERSONAL, actor_email="x" * 255), "personal.actor_email", "254"),
    (replace(_LEAST_PERSONAL, actor_name="x" * 257), "personal.actor_name", "256"),
    (replace(_LEAST_PERSONAL, ip="localhost"), "personal.ip", "is 'localhost'; it is an IPv4 or IPv6 address"),
    (replace(_LEAST_PERSONAL, peer_ip="fe80::1%eth0"), "personal.peer_ip", "without a zone"),
    (replace(_LEAST_PERSONAL, user_agent="x" * 1025), "personal.user_agent", "1024"),
    (replace(_LEAST_PERSONAL, description="x" * 1025), "personal.description", "1024"),
    (replace(_LEAST_PERSONAL, reason="x" * 513), "personal.reason", "512"),
    (replace(_LEAST_PERSONAL, target_names=("a",)), "personal.target_names", "has 1 names for 0 targets"),
    (replace(_LEAST_PERSONAL, field_changes=(FieldChange(""),)), "personal.field_changes[0].path", "is empty"),
    (replace(_LEAST_PERSONAL, metadata=(MetadataEntry("", 1),)), "personal.metadata[0].key", "is ''"),
    (replace(_LEAST_PERSONAL, original=Original()), "personal.original", "either the content, or its SHA-256 and size"),
    (replace(_LEAST_PERSONAL, original=Original(size=1)), "personal.original", "either the content"),
    (replace(_LEAST_PERSONAL, original=Original(sha256=b"h" * 32)), "personal.original", "either the content"),
    (replace(_LEAST_PERSONAL, original=Original("", b"c", b"h" * 32, 1)), "personal.original", "either the content"),
    (
        replace(_LEAST_PERSONAL, original=Original("", b"", b"h", 1)),
        "personal.original.sha256",
        "has 1 bytes; it has 32",
    ),
    (replace(_LEAST_PERSONAL, original=Original("x" * 129, b"c")), "personal.original.media_type", "128"),
    (replace(_LEAST_PERSONAL, original=Original("", b"c" * 32769)), "personal.original.content", "has 32769 bytes"),
]
