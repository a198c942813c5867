"""The keys of a flat event, and the field of a section that each one is.

The rule that must not break: one key is one field, so that a flat event and its sections say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ledger.events.event import Event, PersonalData
from ledger.events.schema import EVENT, PERSONAL_DATA, Field, Message

FLAT_FIELDS: Final[Mapping[str, str]] = {
    "event_id": "event.event_id",
    "action": "event.action",
    "actor_type": "event.actor.type",
    "actor_id": "event.actor.id",
    "actor_on_behalf_of": "event.actor.on_behalf_of",
    "actor_roles": "event.actor.roles",
    "actor_email": "personal.actor_email",
    "actor_name": "personal.actor_name",
    "outcome": "event.outcome",
    "reason_code": "event.reason_code",
    "reason": "personal.reason",
    "description": "personal.description",
    "ip": "personal.ip",
    "peer_ip": "personal.peer_ip",
    "user_agent": "personal.user_agent",
    "tenant_id": "event.tenant_id",
    "correlation_id": "event.correlation_id",
    "auth_method": "event.auth.method",
    "auth_mfa": "event.auth.mfa",
    "auth_credential_id": "event.auth.credential_id",
    "auth_identity_provider": "event.auth.identity_provider",
    "session_id": "event.auth.session_id",
    "request_id": "event.request.request_id",
    "request_method": "event.request.method",
    "request_route": "event.request.route",
    "trace_id": "event.request.trace_id",
    "span_id": "event.request.span_id",
    "change_approval_reference": "event.change.approval_reference",
    "change_approval_event_id": "event.change.approval_event_id",
    "change_approvers": "event.change.approvers",
    "change_requested_by": "event.change.requested_by",
    "change_commit": "event.change.commit",
    "change_ticket": "event.change.ticket",
    "change_version": "event.change.version",
    "change_emergency": "event.change.emergency",
    "data_classification": "event.data.classification",
    "data_record_count": "event.data.record_count",
    "data_byte_count": "event.data.byte_count",
    "data_destination": "event.data.destination",
    "source_service": "event.source.service",
    "source_instance": "event.source.instance",
    "source_version": "event.source.version",
    "source_sdk": "event.source.sdk",
    "source_boot_id": "event.source.boot_id",
    "source_sequence": "event.source.sequence",
}
"""Flat keys that hold one field of a section, and that field's path."""

PERSONAL_METADATA_KEYS: Final = frozenset({"ip", "user_agent", "email", "name"})
"""Metadata keys that are personal."""

PERSONAL_METADATA_ENDINGS: Final = ("_ip", "_email")
"""How other metadata keys that are personal end."""

TARGET_KEYS: Final[Mapping[str, str]] = {"target_type": "type", "target_id": "id", "target_name": "name"}
"""Flat keys of a single target, and its parts."""

CHANGE_KEYS: Final = ("path", "old", "new")
"""Parts of a field change."""

ORIGINAL_KEYS: Final = ("media_type", "content_base64", "sha256", "size")
"""Parts of an original."""

FLAT_KEYS: Final = (
    *FLAT_FIELDS,
    "timestamp",
    *TARGET_KEYS,
    "targets",
    "metadata",
    "personal_metadata",
    "field_changes",
    "personal_field_changes",
    "original",
)
"""All keys of a flat event."""

_KEY_OF_PATH: Final = {path: key for key, path in FLAT_FIELDS.items()} | {"event.occurred_at": "timestamp"}
_INDEXED: Final = re.compile(r"(event|personal)\.(targets|target_names|metadata|field_changes)\[([0-9]+)\](\..+)?")


def _paths(message: Message[object], prefix: str) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for field in message.fields.values():
        fields[f"{prefix}.{field.name}"] = field
        if field.message is not None and not field.repeated:
            fields |= _paths(field.message, f"{prefix}.{field.name}")
    return fields


FIELDS: Final[Mapping[str, Field]] = _paths(EVENT, "event") | _paths(PERSONAL_DATA, "personal")
"""Every field of both sections that is not inside a repeated message, by its path."""


def is_personal_key(key: str) -> bool:
    """Return whether a metadata key goes to the personal section by its name."""
    return key in PERSONAL_METADATA_KEYS or key.endswith(PERSONAL_METADATA_ENDINGS)


def enum_names(field: Field) -> dict[int, str]:
    """Return the flat names of an enum's values, without the one for not said."""
    members = (field.members or {}).items()
    return {number: str(getattr(member, "name", "")).lower() for number, member in members if number}


def flat_name(path: str, event: Event, personal: PersonalData | None, *, has_single_target: bool) -> str:
    """Return the flat key for the path of a field.

    Args:
        path: Path as the value checks name it.
        event: The event that was checked.
        personal: The personal data that were checked.
        has_single_target: Whether the flat event gave its target as `target_*`.
    """
    indexed = _INDEXED.fullmatch(path)
    if indexed is None:
        name, bracket, rest = path.partition("[")
        return _KEY_OF_PATH.get(name, name.partition(".")[2]) + bracket + rest
    section, field, index, part = indexed[1], indexed[2], int(indexed[3]), indexed[4] or ""
    if field == "metadata":
        entries = event.metadata if section == "event" or personal is None else personal.metadata
        key = entries[index].key
        named = section == "event" or is_personal_key(key)
        return f"{'metadata' if named else 'personal_metadata'}.{ascii(key)[1:-1]}"
    if field == "field_changes":
        return f"{field if section == 'event' else 'personal_field_changes'}[{index}]{part}"
    part = ".name" if field == "target_names" else part
    if has_single_target:
        return f"target_{part[1:] or 'id'}"
    return f"targets[{index}]{part}"
