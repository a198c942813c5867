"""The tables of the section messages: number, name and kind of every field.

The strict reader walks them, and a test compares them with `proto/ledger/v1/event.proto`. The rule that must not break:
a field has one of the few kinds named here, so that the only varints in a section are tags, lengths and enums below 128.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Generic, TypeVar

from ledger.events.event import (
    SCHEMA_VERSION,
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
)

T_co = TypeVar("T_co", covariant=True)


class WireType(IntEnum):
    """How the bytes of a field are delimited."""

    VARINT = 0
    FIXED64 = 1
    LENGTH = 2
    FIXED32 = 5


class Kind(Enum):
    """What a field holds: its wire type, and its name in the schema."""

    ENUM = (WireType.VARINT, "enum")
    UNSIGNED = (WireType.FIXED64, "fixed64")
    SIGNED = (WireType.FIXED64, "sfixed64")
    DOUBLE = (WireType.FIXED64, "double")
    STRING = (WireType.LENGTH, "string")
    BYTES = (WireType.LENGTH, "bytes")
    MESSAGE = (WireType.LENGTH, "message")

    def __init__(self, wire_type: WireType, label: str) -> None:
        """Name the parts."""
        self.wire_type = wire_type
        self.label = label


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a message's table.

    Attributes:
        name: Name of the field.
        kind: What it holds.
        repeated: Whether it may occur more than once.
        members: For an enum, the values of the schema and what they are read as.
        message: For a message, its table.
    """

    name: str
    kind: Kind
    repeated: bool = False
    members: Mapping[int, int] | None = None
    message: Message[object] | None = None


@dataclass(frozen=True, slots=True)
class Message(Generic[T_co]):
    """The table of one message.

    Attributes:
        name: Name of the message in the schema.
        fields: The fields by number.
        build: Makes the value from the fields that were present.
        oneof: Whether exactly one of the fields is set; then a default is a value like any other.
        required: Fields without which no value can be made.
    """

    name: str
    fields: Mapping[int, Field]
    build: Callable[..., T_co]
    oneof: bool = False
    required: tuple[str, ...] = ()


def _text(name: str, *, repeated: bool = False) -> Field:
    return Field(name, Kind.STRING, repeated=repeated)


def _enum(name: str, members: type[IntEnum]) -> Field:
    return Field(name, Kind.ENUM, members={member.value: member for member in members})


def _message(name: str, message: Message[object], *, repeated: bool = False) -> Field:
    return Field(name, Kind.MESSAGE, repeated=repeated, message=message)


def _numbered(*fields: Field) -> Mapping[int, Field]:
    return dict(enumerate(fields, start=1))


def _branch(**branches: object) -> object:
    (value,) = branches.values()
    return value


_SCHEMA: Final = Field("schema", Kind.ENUM, members={SCHEMA_VERSION: SCHEMA_VERSION})

VALUE: Final = Message(
    "Value",
    _numbered(
        _text("text"),
        Field("integer", Kind.SIGNED),
        Field("number", Kind.DOUBLE),
        Field("truth", Kind.ENUM, members={Truth.TRUE.value: True, Truth.FALSE.value: False}),
    ),
    _branch,
    oneof=True,
)

METADATA_ENTRY: Final = Message(
    "MetadataEntry", _numbered(_text("key"), _message("value", VALUE)), MetadataEntry, required=("key", "value")
)

FIELD_CHANGE: Final = Message(
    "FieldChange",
    _numbered(_text("path"), _message("old", VALUE), _message("new", VALUE)),
    FieldChange,
    required=("path",),
)

ACTOR: Final = Message(
    "Actor",
    _numbered(_enum("type", ActorType), _text("id"), _text("on_behalf_of"), _text("roles", repeated=True)),
    Actor,
)

TARGET: Final = Message("Target", _numbered(_text("type"), _text("id")), Target)

AUTHENTICATION: Final = Message(
    "Authentication",
    _numbered(
        _enum("method", AuthMethod),
        _enum("mfa", Truth),
        _text("credential_id"),
        _text("session_id"),
        _text("identity_provider"),
    ),
    Authentication,
)

REQUEST: Final = Message(
    "Request",
    _numbered(
        _text("request_id"),
        Field("trace_id", Kind.BYTES),
        Field("span_id", Kind.BYTES),
        _text("method"),
        _text("route"),
    ),
    Request,
)

CHANGE: Final = Message(
    "Change",
    _numbered(
        _text("approval_reference"),
        _text("approval_event_id"),
        _text("approvers", repeated=True),
        _text("requested_by"),
        _text("commit"),
        _text("ticket"),
        _text("version"),
        _enum("emergency", Truth),
    ),
    Change,
)

DATA_CONTEXT: Final = Message(
    "DataContext",
    _numbered(
        _enum("classification", DataClassification),
        Field("record_count", Kind.UNSIGNED),
        Field("byte_count", Kind.UNSIGNED),
        _text("destination"),
    ),
    DataContext,
)

SOURCE: Final = Message(
    "Source",
    _numbered(
        _text("service"),
        _text("instance"),
        _text("version"),
        _text("sdk"),
        Field("boot_id", Kind.BYTES),
        Field("sequence", Kind.UNSIGNED),
    ),
    Source,
)

EVENT: Final = Message(
    "Event",
    _numbered(
        _SCHEMA,
        _text("event_id"),
        _text("action"),
        Field("occurred_at", Kind.UNSIGNED),
        _message("actor", ACTOR),
        _message("targets", TARGET, repeated=True),
        _enum("outcome", Outcome),
        _text("reason_code"),
        _message("auth", AUTHENTICATION),
        _message("request", REQUEST),
        _message("change", CHANGE),
        _message("field_changes", FIELD_CHANGE, repeated=True),
        _message("data", DATA_CONTEXT),
        _message("metadata", METADATA_ENTRY, repeated=True),
        _message("source", SOURCE),
        _text("tenant_id"),
        _text("correlation_id"),
    ),
    Event,
    required=("schema",),
)

ORIGINAL: Final = Message(
    "Original",
    _numbered(
        _text("media_type"),
        Field("content", Kind.BYTES),
        Field("sha256", Kind.BYTES),
        Field("size", Kind.UNSIGNED),
    ),
    Original,
)

PERSONAL_DATA: Final = Message(
    "PersonalData",
    _numbered(
        _SCHEMA,
        _text("actor_email"),
        _text("actor_name"),
        _text("ip"),
        _text("peer_ip"),
        _text("user_agent"),
        _text("description"),
        _text("reason"),
        _text("target_names", repeated=True),
        _message("field_changes", FIELD_CHANGE, repeated=True),
        _message("metadata", METADATA_ENTRY, repeated=True),
        _message("original", ORIGINAL),
    ),
    PersonalData,
    required=("schema",),
)
