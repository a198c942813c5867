"""Sections by the protobuf runtime: the fast path of the server and the encoder of clients and importers.

The only importer of the generated event messages. The rule that must not break: `check_sections` accepts exactly what
the strict reader (`wire.py`) and the value checks (`checks.py`) accept. It is built so that it cannot refuse by
itself: where its quick checks are not certain, the strict reader and the value checks decide and word the refusal. That
it never accepts more is held by a differential property test, and rests on one fact: the runtime parses leniently, but
what it drops, merges or shortens no longer has the size of the bytes received.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError, Message

from ledger.errors import InvalidEventError, MalformedError
from ledger.events.actions import is_reserved, is_wellformed
from ledger.events.checks import (
    APPROVERS_MAX,
    BOOT_ID_SIZE,
    COMMIT_PATTERN,
    EVENT_ID_PATTERN,
    FIELD_CHANGES_MAX,
    IPV4_PATTERN,
    METADATA_KEY_PATTERN,
    METADATA_MAX_KEYS,
    PATH_MAX_BYTES,
    ROLE_MAX_BYTES,
    ROLES_MAX,
    SHA256_SIZE,
    SPAN_ID_SIZE,
    TARGET_ID_MAX_BYTES,
    TARGET_NAME_MAX_BYTES,
    TARGET_TYPE_PATTERN,
    TARGETS_MAX,
    TEXT_MAX_BYTES,
    TRACE_ID_SIZE,
    VALUE_MAX_BYTES,
    check_reserved,
    check_values,
    is_ip_address,
)
from ledger.events.event import (
    EVENT_MAX_BYTES,
    ORIGINAL_MAX_BYTES,
    PERSONAL_MAX_BYTES,
    SCHEMA_VERSION,
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
    Truth,
    Value,
)
from ledger.events.ids import RESERVED_ID_PREFIX
from ledger.events.wire import check_size, read_event, read_personal
from ledger.v1 import event_pb2

_parse_event: Final = event_pb2.Event.FromString
_parse_personal: Final = event_pb2.PersonalData.FromString
_NO_PERSONAL: Final = event_pb2.PersonalData()
_matches_client_id: Final = re.compile(f"(?!{RESERVED_ID_PREFIX}){EVENT_ID_PATTERN.pattern}").fullmatch
_matches_ipv4: Final = IPV4_PATTERN.fullmatch
_INFINITY: Final = float("inf")
_ACTOR_TYPES: Final = frozenset(int(member) for member in ActorType)
_OUTCOMES: Final = frozenset(int(member) for member in Outcome)
_AUTH_METHODS: Final = frozenset(int(member) for member in AuthMethod)
_CLASSIFICATIONS: Final = frozenset(int(member) for member in DataClassification)
_TRUTHS: Final = frozenset(int(member) for member in Truth)
# Most words of a grammar that are kept.
_WORDS_MAX: Final = 4096
# Smaller than any section is large, so that no sum with it looks like a size.
_BAD: Final = -(1 << 40)
# The limits of the quick checks by size; ids and names of a source share one.
_ID_MAX_BYTES: Final = TEXT_MAX_BYTES["actor.id"]
_ROUTE_MAX_BYTES: Final = TEXT_MAX_BYTES["request.route"]
_EMAIL_MAX_BYTES: Final = TEXT_MAX_BYTES["actor_email"]
_USER_AGENT_MAX_BYTES: Final = TEXT_MAX_BYTES["user_agent"]
# Characters that fit such a limit whatever they are: most texts are that short, and a call less for each counts.
_SHORT_ID: Final = _ID_MAX_BYTES // 4
_SHORT_EMAIL: Final = _EMAIL_MAX_BYTES // 4
_SHORT_USER_AGENT: Final = _USER_AGENT_MAX_BYTES // 4
_SHORT_TARGET_ID: Final = TARGET_ID_MAX_BYTES // 4
_SHORT_VALUE: Final = VALUE_MAX_BYTES // 4
_TRACE_ID_SIZES: Final = frozenset({0, TRACE_ID_SIZE})
_SPAN_ID_SIZES: Final = frozenset({0, SPAN_ID_SIZE})
_BOOT_ID_SIZES: Final = frozenset({0, BOOT_ID_SIZE})


class _Words(set[str]):
    """Words of a grammar that were found good before: programs say few different ones, and say them all the time.

    Only good ones are kept, so all are short; and so many at most. Threads may look at it and add to it at once.
    """

    def __init__(self, is_good: Callable[[str], object]) -> None:
        super().__init__()
        self._is_good = is_good

    def learn(self, word: str) -> bool:
        """Return whether a word that is not among them is good, and keep it then."""
        if not self._is_good(word):
            return False
        if len(self) >= _WORDS_MAX:
            self.clear()
        self.add(word)
        return True


_ACTIONS: Final = _Words(lambda word: is_wellformed(word) and not is_reserved(word))
_TARGET_TYPES: Final = _Words(TARGET_TYPE_PATTERN.fullmatch)
_KEYS: Final = _Words(METADATA_KEY_PATTERN.fullmatch)


def check_sections(event: bytes, personal: bytes, *, internal: bool = False) -> str:
    """Return the event id of good sections; raise for others.

    Args:
        event: Event section, at most 32 KiB.
        personal: Personal section, at most 60 KiB; empty for none.
        internal: Whether the server itself wrote them, so that reserved ids and actions are allowed.

    Raises:
        EventTooLargeError: A section is larger than its limit.
        InvalidEventError: The bytes break the strict-bytes rule, or values break limits; with all violations of the
            limits, or the first of the strict-bytes rule.
    """
    if len(event) <= EVENT_MAX_BYTES and len(personal) <= PERSONAL_MAX_BYTES:
        try:
            message = _parse_event(event)
            if _is_surely_good_event(message, event) and (
                not personal or _is_surely_good_personal(_parse_personal(personal), personal, message)
            ):
                return message.event_id
        except DecodeError:
            pass
    return _check_strictly(event, personal, internal=internal)


class Facts(NamedTuple):
    """What entries are found by, out of both sections; empty text, 0 and empty tuples for what is not said.

    Attributes:
        occurred_at: When it happened, microseconds since 1970 in UTC.
        action: The action.
        outcome: Number of the outcome.
        texts: Ids of the actor, of whom it acted for, session, request, correlation and tenant; reference of the
            approval, and commit.
        actor_email: E-mail address of the actor.
        ip: IP address.
        targets: Type and id of each target.
        metadata: Keys and values of the event section.
        personal_metadata: Keys and values of the personal section.
    """

    occurred_at: int
    action: str
    outcome: int
    texts: tuple[str, ...]
    actor_email: str
    ip: str
    targets: Sequence[tuple[str, str]]
    metadata: Sequence[tuple[str, Value]]
    personal_metadata: Sequence[tuple[str, Value]]


def read_facts(event: bytes, personal: bytes) -> Facts:
    """Return what sections say that were checked when they were appended; many times quicker than the strict reader.

    Args:
        event: Event section.
        personal: Personal section; empty where there is none.

    Raises:
        MalformedError: The bytes are no section.
    """
    try:
        message = _parse_event(event)
        private = _parse_personal(personal) if personal else _NO_PERSONAL
    except DecodeError as error:
        raise MalformedError("a stored section cannot be read") from error
    actor, change = message.actor, message.change
    return Facts(
        message.occurred_at,
        message.action,
        message.outcome,
        (
            actor.id,
            actor.on_behalf_of,
            message.auth.session_id,
            message.request.request_id,
            message.correlation_id,
            message.tenant_id,
            change.approval_reference,
            change.commit,
        ),
        private.actor_email,
        private.ip,
        [(target.type, target.id) for target in message.targets],
        _values(message.metadata),
        _values(private.metadata),
    )


def encode_sections(event: Event, personal: PersonalData | None) -> tuple[bytes, bytes]:
    """Return both sections as bytes, the personal one empty if there is none.

    Raises:
        EventTooLargeError: A section would be larger than its limit.
        InvalidEventError: Values break limits; with all violations.
    """
    violations = check_values(event, personal)
    if violations:
        raise InvalidEventError(violations)
    event_bytes = encode_event(event)
    personal_bytes = encode_personal(personal) if personal is not None else b""
    check_size(event_bytes, "event", EVENT_MAX_BYTES)
    check_size(personal_bytes, "personal", PERSONAL_MAX_BYTES)
    return event_bytes, personal_bytes


def encode_event(event: Event) -> bytes:
    """Return the event section of an event whose values are good, fields ascending."""
    return event_pb2.Event(
        schema=event_pb2.Schema.ValueType(event.schema),
        event_id=event.event_id,
        action=event.action,
        occurred_at=event.occurred_at,
        actor=_actor(event.actor),
        targets=[event_pb2.Target(type=target.type, id=target.id) for target in event.targets],
        outcome=event_pb2.Outcome.ValueType(event.outcome),
        reason_code=event.reason_code,
        auth=_auth(event.auth),
        request=_request(event.request),
        change=_change(event.change),
        field_changes=_field_changes(event.field_changes),
        data=_data(event.data),
        metadata=_metadata(event.metadata),
        source=_source(event.source),
        tenant_id=event.tenant_id,
        correlation_id=event.correlation_id,
    ).SerializeToString()


def encode_personal(personal: PersonalData) -> bytes:
    """Return the personal section of personal data whose values are good, fields ascending."""
    return event_pb2.PersonalData(
        schema=event_pb2.Schema.ValueType(personal.schema),
        actor_email=personal.actor_email,
        actor_name=personal.actor_name,
        ip=personal.ip,
        peer_ip=personal.peer_ip,
        user_agent=personal.user_agent,
        description=personal.description,
        reason=personal.reason,
        target_names=personal.target_names,
        field_changes=_field_changes(personal.field_changes),
        metadata=_metadata(personal.metadata),
        original=_original(personal.original),
    ).SerializeToString()


def _check_strictly(event: bytes, personal: bytes, *, internal: bool) -> str:
    event_value = read_event(event)
    personal_value = read_personal(personal) if personal else None
    violations = check_values(event_value, personal_value)
    if not internal:
        violations += check_reserved(event_value)
    if violations:
        raise InvalidEventError(violations)
    return event_value.event_id


# The quick checks: each is certain that the strict reader and the value checks accept, or says no and leaves it to
# them; as they do with what is the server's own. Sizes are what fields take in their shortest form, or less: an ASCII text below 128 bytes takes two bytes more
# than its characters, and any other text more than that. What the runtime drops, merges or shortens takes at least as
# many bytes as what it keeps. So where the sizes of the fields looked at add up to the section's size, the bytes are
# the shortest form of just those fields; where they do not, the runtime's own count decides, and all other fields are
# looked at. Negative enums, the one value that may be received shorter than it is counted, are never good.


def _is_surely_good_event(event: event_pb2.Event, data: bytes) -> bool:
    event_id = event.event_id
    action = event.action
    outcome = event.outcome
    if not (
        event.schema == SCHEMA_VERSION
        and _matches_client_id(event_id)
        and (action in _ACTIONS or _ACTIONS.learn(action))
        and 0 < event.occurred_at <= TIME_MAX
        and outcome in _OUTCOMES
    ):
        return False
    size = len(data)
    # Two bytes for the schema, nine for the time, two before each of id and action.
    seen = 15 + len(event_id) + len(action) + (2 if outcome else 0)
    seen += _actor_size(event.actor)
    if seen != size:
        seen += _targets_size(event.targets[:])
    if seen != size:
        seen += _metadata_size(event.metadata[:])
    if seen != size and event.HasField("source"):
        seen += _source_size(event.source)
    if seen != size and event.HasField("request"):
        seen += _request_size(event.request)
    if seen != size and event.HasField("auth"):
        seen += _auth_size(event.auth)
    return seen == size or (seen > 0 and _is_shortest_form(event, data) and _are_other_event_fields_good(event))


def _is_surely_good_personal(personal: event_pb2.PersonalData, data: bytes, event: event_pb2.Event) -> bool:
    if personal.schema != SCHEMA_VERSION:
        return False
    size = len(data)
    seen = 2
    email = personal.actor_email
    if email:
        length = len(email)
        seen += 2 + length if length <= _SHORT_EMAIL or _fits(email, _EMAIL_MAX_BYTES) else _BAD
    ip = personal.ip
    if ip:
        seen += 2 + len(ip) if _matches_ipv4(ip) or is_ip_address(ip) else _BAD
    user_agent = personal.user_agent
    if user_agent:
        length = len(user_agent)
        seen += 2 + length if length <= _SHORT_USER_AGENT or _fits(user_agent, _USER_AGENT_MAX_BYTES) else _BAD
    if seen != size and personal.metadata:
        seen += _metadata_size(personal.metadata[:], [entry.key for entry in event.metadata])
    return seen == size or (
        seen > 0 and _is_shortest_form(personal, data) and _are_other_personal_fields_good(personal, event)
    )


def _actor_size(actor: event_pb2.Actor) -> int:
    """Return the size of an actor, 0 where there is none, or nothing of what is looked at in it."""
    actor_type = actor.type
    actor_id = actor.id
    length = len(actor_id)
    if actor_type not in _ACTOR_TYPES or not (length <= _SHORT_ID or _fits(actor_id, _ID_MAX_BYTES)):
        return _BAD
    if length:
        return (6 if actor_type else 4) + length
    return 4 if actor_type else 0


# Repeated fields come as lists, because walking over the runtime's own sequences takes longer.


def _targets_size(targets: Sequence[event_pb2.Target]) -> int:
    size = 0
    for target in targets:
        target_type = target.type
        target_id = target.id
        length = len(target_id)
        if not (
            (target_type in _TARGET_TYPES or _TARGET_TYPES.learn(target_type))
            and (length <= _SHORT_TARGET_ID or _fits(target_id, TARGET_ID_MAX_BYTES))
        ):
            return _BAD
        size += 4 + len(target_type) + (2 + length if length else 0)
    return size if len(targets) <= TARGETS_MAX else _BAD


def _metadata_size(entries: Sequence[event_pb2.MetadataEntry], taken: Sequence[str] = ()) -> int:
    """Return the size of metadata beside which these keys are taken."""
    size = 0
    previous = ""
    for entry in entries:
        key = entry.key
        value = entry.value
        length = len(value.text)
        value_size = 2 + length if 0 < length <= _SHORT_VALUE else _value_size(value)
        # Keys of one section ascend, so they differ.
        if key <= previous or not (key in _KEYS or _KEYS.learn(key)) or key in taken:
            return _BAD
        previous = key
        size += 6 + len(key) + value_size
    return size if len(entries) + len(taken) <= METADATA_MAX_KEYS else _BAD


def _value_size(value: event_pb2.Value) -> int:
    text = value.text
    if text:
        return 2 + len(text) if _fits(text, VALUE_MAX_BYTES) else _BAD
    kind = value.WhichOneof("kind")
    if kind == "integer":
        return 9
    if kind == "number":
        return 9 if -_INFINITY < value.number < _INFINITY else _BAD
    if kind == "truth":
        return 2 if value.truth and value.truth in _TRUTHS else _BAD
    return 2 if kind == "text" else _BAD


def _source_size(source: event_pb2.Source) -> int:
    service = source.service
    instance = source.instance
    version = source.version
    sdk = source.sdk
    boot_id = source.boot_id
    if not (
        _fits(service, _ID_MAX_BYTES)
        and _fits(instance, _ID_MAX_BYTES)
        and _fits(version, _ID_MAX_BYTES)
        and _fits(sdk, _ID_MAX_BYTES)
        and len(boot_id) in _BOOT_ID_SIZES
    ):
        return _BAD
    present = bool(service) + bool(instance) + bool(version) + bool(sdk) + bool(boot_id)
    texts = len(service) + len(instance) + len(version) + len(sdk) + len(boot_id)
    return 2 + 2 * present + texts + (9 if source.sequence else 0)


def _request_size(request: event_pb2.Request) -> int:
    request_id = request.request_id
    trace_id = request.trace_id
    span_id = request.span_id
    method = request.method
    route = request.route
    if not (
        _fits(request_id, _ID_MAX_BYTES)
        and len(trace_id) in _TRACE_ID_SIZES
        and len(span_id) in _SPAN_ID_SIZES
        and _fits(method, _ROUTE_MAX_BYTES)
        and _fits(route, _ROUTE_MAX_BYTES)
    ):
        return _BAD
    present = bool(request_id) + bool(trace_id) + bool(span_id) + bool(method) + bool(route)
    return 2 + 2 * present + len(request_id) + len(trace_id) + len(span_id) + len(method) + len(route)


def _auth_size(auth: event_pb2.Authentication) -> int:
    credential_id = auth.credential_id
    session_id = auth.session_id
    provider = auth.identity_provider
    if not (
        auth.method in _AUTH_METHODS
        and auth.mfa in _TRUTHS
        and _fits(credential_id, _ID_MAX_BYTES)
        and _fits(session_id, _ID_MAX_BYTES)
        and _fits(provider, _ID_MAX_BYTES)
    ):
        return _BAD
    present = bool(auth.method) + bool(auth.mfa) + bool(credential_id) + bool(session_id) + bool(provider)
    return 2 + 2 * present + len(credential_id) + len(session_id) + len(provider)


def _fits(text: str, max_bytes: int) -> bool:
    # A character takes at most four bytes; a longer text that is not ASCII is left to the value checks.
    length = len(text)
    return length * 4 <= max_bytes or (length <= max_bytes and text.isascii())


def _is_shortest_form(message: Message, data: bytes) -> bool:
    message.DiscardUnknownFields()
    return message.ByteSize() == len(data)


def _are_other_event_fields_good(event: event_pb2.Event) -> bool:
    return (
        _fits(event.reason_code, TEXT_MAX_BYTES["reason_code"])
        and _fits(event.tenant_id, TEXT_MAX_BYTES["tenant_id"])
        and _fits(event.correlation_id, TEXT_MAX_BYTES["correlation_id"])
        and (not event.HasField("actor") or _is_good_rest_of_actor(event.actor))
        and (not event.HasField("change") or _is_good_change(event.change))
        and (not event.HasField("data") or _is_good_data(event.data))
        and len(event.field_changes) <= FIELD_CHANGES_MAX
        and all(_is_good_field_change(change) for change in event.field_changes)
    )


def _are_other_personal_fields_good(personal: event_pb2.PersonalData, event: event_pb2.Event) -> bool:
    names = personal.target_names
    peer_ip = personal.peer_ip
    return (
        _fits(personal.actor_name, TEXT_MAX_BYTES["actor_name"])
        and (not peer_ip or is_ip_address(peer_ip))
        and _fits(personal.description, TEXT_MAX_BYTES["description"])
        and _fits(personal.reason, TEXT_MAX_BYTES["reason"])
        and (not names or len(names) == len(event.targets))
        and all(_fits(name, TARGET_NAME_MAX_BYTES) for name in names)
        and len(personal.field_changes) + len(event.field_changes) <= FIELD_CHANGES_MAX
        and all(_is_good_field_change(change) for change in personal.field_changes)
        and (not personal.HasField("original") or _is_good_original(personal.original))
    )


def _is_good_original(original: event_pb2.Original) -> bool:
    content = original.content
    sha256 = original.sha256
    size = original.size
    return _fits(original.media_type, TEXT_MAX_BYTES["original.media_type"]) and (
        (0 < len(content) <= ORIGINAL_MAX_BYTES and not sha256 and not size)
        or (not content and len(sha256) == SHA256_SIZE and size > 0)
    )


def _is_good_rest_of_actor(actor: event_pb2.Actor) -> bool:
    roles = actor.roles
    return (
        _fits(actor.on_behalf_of, TEXT_MAX_BYTES["actor.on_behalf_of"])
        and len(roles) <= ROLES_MAX
        and all(role and _fits(role, ROLE_MAX_BYTES) for role in roles)
    )


def _is_good_change(change: event_pb2.Change) -> bool:
    approvers = change.approvers
    return (
        _fits(change.approval_reference, TEXT_MAX_BYTES["change.approval_reference"])
        and (not change.approval_event_id or EVENT_ID_PATTERN.fullmatch(change.approval_event_id) is not None)
        and len(approvers) <= APPROVERS_MAX
        and all(approver and _fits(approver, ROLE_MAX_BYTES) for approver in approvers)
        and _fits(change.requested_by, TEXT_MAX_BYTES["change.requested_by"])
        and (not change.commit or COMMIT_PATTERN.fullmatch(change.commit) is not None)
        and _fits(change.ticket, TEXT_MAX_BYTES["change.ticket"])
        and _fits(change.version, TEXT_MAX_BYTES["change.version"])
        and change.emergency in _TRUTHS
    )


def _is_good_data(data: event_pb2.DataContext) -> bool:
    return data.classification in _CLASSIFICATIONS and _fits(data.destination, TEXT_MAX_BYTES["data.destination"])


def _is_good_field_change(change: event_pb2.FieldChange) -> bool:
    path = change.path
    return (
        path != ""
        and _fits(path, PATH_MAX_BYTES)
        and (not change.HasField("old") or _value_size(change.old) > 0)
        and (not change.HasField("new") or _value_size(change.new) > 0)
    )


def _actor(actor: Actor | None) -> event_pb2.Actor | None:
    return (
        None
        if actor is None
        else event_pb2.Actor(
            type=event_pb2.ActorType.ValueType(actor.type),
            id=actor.id,
            on_behalf_of=actor.on_behalf_of,
            roles=actor.roles,
        )
    )


def _auth(auth: Authentication | None) -> event_pb2.Authentication | None:
    return (
        None
        if auth is None
        else event_pb2.Authentication(
            method=event_pb2.AuthMethod.ValueType(auth.method),
            mfa=event_pb2.Truth.ValueType(auth.mfa),
            credential_id=auth.credential_id,
            session_id=auth.session_id,
            identity_provider=auth.identity_provider,
        )
    )


def _request(request: Request | None) -> event_pb2.Request | None:
    return (
        None
        if request is None
        else event_pb2.Request(
            request_id=request.request_id,
            trace_id=request.trace_id,
            span_id=request.span_id,
            method=request.method,
            route=request.route,
        )
    )


def _change(change: Change | None) -> event_pb2.Change | None:
    return (
        None
        if change is None
        else event_pb2.Change(
            approval_reference=change.approval_reference,
            approval_event_id=change.approval_event_id,
            approvers=change.approvers,
            requested_by=change.requested_by,
            commit=change.commit,
            ticket=change.ticket,
            version=change.version,
            emergency=event_pb2.Truth.ValueType(change.emergency),
        )
    )


def _data(data: DataContext | None) -> event_pb2.DataContext | None:
    return (
        None
        if data is None
        else event_pb2.DataContext(
            classification=event_pb2.DataClassification.ValueType(data.classification),
            record_count=data.record_count,
            byte_count=data.byte_count,
            destination=data.destination,
        )
    )


def _source(source: Source | None) -> event_pb2.Source | None:
    return (
        None
        if source is None
        else event_pb2.Source(
            service=source.service,
            instance=source.instance,
            version=source.version,
            sdk=source.sdk,
            boot_id=source.boot_id,
            sequence=source.sequence,
        )
    )


def _original(original: Original | None) -> event_pb2.Original | None:
    return (
        None
        if original is None
        else event_pb2.Original(
            media_type=original.media_type, content=original.content, sha256=original.sha256, size=original.size
        )
    )


def _metadata(entries: Iterable[MetadataEntry]) -> list[event_pb2.MetadataEntry]:
    return [event_pb2.MetadataEntry(key=entry.key, value=_value(entry.value)) for entry in entries]


def _field_changes(changes: Iterable[FieldChange]) -> list[event_pb2.FieldChange]:
    return [
        event_pb2.FieldChange(
            path=change.path,
            old=None if change.old is None else _value(change.old),
            new=None if change.new is None else _value(change.new),
        )
        for change in changes
    ]


def _value(value: Value) -> event_pb2.Value:
    if isinstance(value, str):
        return event_pb2.Value(text=value)
    if isinstance(value, bool):
        return event_pb2.Value(truth=event_pb2.TRUTH_TRUE if value else event_pb2.TRUTH_FALSE)
    if isinstance(value, int):
        return event_pb2.Value(integer=value)
    return event_pb2.Value(number=value)


def _values(entries: Iterable[event_pb2.MetadataEntry]) -> list[tuple[str, Value]]:
    return [(entry.key, _read_value(entry.value)) for entry in entries]


def _read_value(value: event_pb2.Value) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "truth":
        return value.truth == event_pb2.TRUTH_TRUE
    return getattr(value, kind) if kind else ""
