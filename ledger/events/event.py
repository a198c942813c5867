"""An audit event as two values: what happened, and what a person may ask to have erased.

The dataclasses mirror the messages of `proto/ledger/v1/event.proto`, field by field and name by name, so that one
table (`wire.py`) reads them and one document describes them. The rule that must not break: a value says exactly what
its section's bytes say; what is absent in the bytes is empty, 0 or None here, and nothing is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

SCHEMA_VERSION: Final = 1
"""Version of the section schema that this package writes and reads."""

EVENT_MAX_BYTES: Final = 32 * 1024
"""Largest event section."""

PERSONAL_MAX_BYTES: Final = 60 * 1024
"""Largest personal section."""

BATCH_MAX_EVENTS: Final = 1000
"""Most events of a batch, or of one message of a stream."""

BATCH_MAX_BYTES: Final = 4 * 1024 * 1024
"""Largest batch, bytes of both sections of all its events."""

ORIGINAL_MAX_BYTES: Final = 32 * 1024
"""Largest imported record that is kept byte for byte."""

TIME_MAX: Final = 253_402_300_799_999_999
"""Last microsecond of the year 9999, counted from 1970 in UTC."""

Value: TypeAlias = str | int | float | bool
"""One typed value: text, whole number of 64 bits, finite double, or yes/no."""


class Truth(IntEnum):
    """Yes or no, where "not said" must be told apart from "no"."""

    UNSPECIFIED = 0
    TRUE = 1
    FALSE = 2


class ActorType(IntEnum):
    """Kind of the party that acted."""

    UNSPECIFIED = 0
    USER = 1
    SERVICE = 2
    API_KEY = 3
    SYSTEM = 4
    ANONYMOUS = 5
    UNKNOWN = 6


class Outcome(IntEnum):
    """How the action ended."""

    UNSPECIFIED = 0
    SUCCESS = 1
    FAILURE = 2
    DENIED = 3
    ERROR = 4
    PENDING = 5


class AuthMethod(IntEnum):
    """How the actor proved who it is."""

    UNSPECIFIED = 0
    PASSWORD = 1
    MFA_TOTP = 2
    MFA_PUSH = 3
    PASSKEY = 4
    SSO_SAML = 5
    SSO_OIDC = 6
    OAUTH = 7
    API_KEY = 8
    MTLS = 9
    SESSION = 10
    RECOVERY = 11
    NONE = 12


class DataClassification(IntEnum):
    """How sensitive the data of an event is."""

    UNSPECIFIED = 0
    PUBLIC = 1
    INTERNAL = 2
    CONFIDENTIAL = 3
    PERSONAL = 4
    RESTRICTED = 5


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """One metadata key with its value.

    Attributes:
        key: Key, unique over both sections together.
        value: Value.
    """

    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that changed.

    Attributes:
        path: Dotted path of the field.
        old: Value before; None when the field was not set.
        new: Value after; None when the field was removed.
    """

    path: str
    old: Value | None = None
    new: Value | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted.

    Attributes:
        type: Kind of actor.
        id: Opaque id, no personal data.
        on_behalf_of: Id of the party that the actor acted for.
        roles: Roles held at that time.
    """

    type: ActorType = ActorType.UNSPECIFIED
    id: str = ""
    on_behalf_of: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What was acted on.

    Attributes:
        type: Kind of target.
        id: Opaque id, no personal data.
    """

    type: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Authentication:
    """How the actor was authenticated.

    Attributes:
        method: Method.
        mfa: Whether a second factor was used.
        credential_id: Id of the credential, never its secret.
        session_id: Id of the session.
        identity_provider: Identity provider.
    """

    method: AuthMethod = AuthMethod.UNSPECIFIED
    mfa: Truth = Truth.UNSPECIFIED
    credential_id: str = ""
    session_id: str = ""
    identity_provider: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """The request that carried the action.

    Attributes:
        request_id: Id of the request.
        trace_id: W3C trace id, 16 bytes, or empty.
        span_id: W3C span id, 8 bytes, or empty.
        method: Method, such as POST.
        route: Route, such as /projects/{id}.
    """

    request_id: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""
    method: str = ""
    route: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What authorised a change.

    Attributes:
        approval_reference: Reference of the approval, such as a pull request.
        approval_event_id: Event id of the approval in this log.
        approvers: Ids of those who approved.
        requested_by: Id of who asked.
        commit: Commit, hexadecimal.
        ticket: Ticket.
        version: Version deployed.
        emergency: Whether it was an emergency change.
    """

    approval_reference: str = ""
    approval_event_id: str = ""
    approvers: tuple[str, ...] = ()
    requested_by: str = ""
    commit: str = ""
    ticket: str = ""
    version: str = ""
    emergency: Truth = Truth.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class DataContext:
    """What data an action touched.

    Attributes:
        classification: Classification.
        record_count: Number of records.
        byte_count: Number of bytes.
        destination: Where the data went.
    """

    classification: DataClassification = DataClassification.UNSPECIFIED
    record_count: int = 0
    byte_count: int = 0
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The program that reported the event.

    Attributes:
        service: Service.
        instance: Instance of the service.
        version: Version of the service.
        sdk: SDK and its version.
        boot_id: Random id of this run of the instance, 16 bytes, or empty.
        sequence: Number of the event within this run, from 1; 0 when not said.
    """

    service: str = ""
    instance: str = ""
    version: str = ""
    sdk: str = ""
    boot_id: bytes = b""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """The event section: what happened, without personal data.

    Attributes:
        event_id: Unique in the log; 1 to 64 printable ASCII characters without space.
        action: resource.sub_resource.verb.
        occurred_at: When it happened by the source's clock, microseconds since 1970 in UTC.
        actor: Who acted.
        targets: What was acted on.
        outcome: How it ended.
        reason_code: Short code for the reason.
        auth: How the actor was authenticated.
        request: The request that carried the action.
        change: What authorised the change.
        field_changes: What changed.
        data: What data was touched.
        metadata: Further facts, in order of their keys' UTF-8 bytes.
        source: Who reported it.
        tenant_id: The customer's customer.
        correlation_id: Joins events that belong together.
        schema: Schema version of the section.
    """

    event_id: str = ""
    action: str = ""
    occurred_at: int = 0
    actor: Actor | None = None
    targets: tuple[Target, ...] = ()
    outcome: Outcome = Outcome.UNSPECIFIED
    reason_code: str = ""
    auth: Authentication | None = None
    request: Request | None = None
    change: Change | None = None
    field_changes: tuple[FieldChange, ...] = ()
    data: DataContext | None = None
    metadata: tuple[MetadataEntry, ...] = ()
    source: Source | None = None
    tenant_id: str = ""
    correlation_id: str = ""
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Original:
    """The record that an importer read.

    Attributes:
        media_type: Media type of the content.
        content: The record byte for byte, at most 32 KiB; empty above that.
        sha256: SHA-256 of the record, 32 bytes, where the content is absent; else empty.
        size: Size of the record in bytes, where the content is absent; else 0.
    """

    media_type: str = ""
    content: bytes = b""
    sha256: bytes = b""
    size: int = 0


@dataclass(frozen=True, slots=True)
class PersonalData:
    """The personal section: what a person may ask to have erased.

    Attributes:
        actor_email: E-mail address of the actor.
        actor_name: Name of the actor.
        ip: IP address the request came from.
        peer_ip: IP address of the peer, such as a proxy.
        user_agent: User agent.
        description: Description in words.
        reason: Reason in words.
        target_names: Names of the targets, aligned with the event's targets.
        field_changes: Changes of personal fields.
        metadata: Personal metadata, in order of their keys' UTF-8 bytes.
        original: The record that an importer read.
        schema: Schema version of the section.
    """

    actor_email: str = ""
    actor_name: str = ""
    ip: str = ""
    peer_ip: str = ""
    user_agent: str = ""
    description: str = ""
    reason: str = ""
    target_names: tuple[str, ...] = ()
    field_changes: tuple[FieldChange, ...] = ()
    metadata: tuple[MetadataEntry, ...] = ()
    original: Original | None = None
    schema: int = SCHEMA_VERSION
