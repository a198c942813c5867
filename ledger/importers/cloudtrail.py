"""AWS CloudTrail records, mapped to events.

The mapping is `docs/cloudtrail.md`, row by row. What has no row, and a value that is too long for its field or of
another type than its row says, stands in the `original` alone, which is the record byte for byte. The rule that must
not break: the sections depend on the record and `MAPPING_VERSION` alone, and a change to them needs a new version. A
new version changes the records that it is about and no other: each keeps the bytes, and names the version, since which
records like it are mapped as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from ledger.errors import MalformedError
from ledger.events.actions import ACTION_MAX_BYTES
from ledger.events.checks import (
    ROLE_MAX_BYTES,
    TARGET_ID_MAX_BYTES,
    TARGET_NAME_MAX_BYTES,
    TARGET_TYPE_PATTERN,
    TARGETS_MAX,
    TEXT_MAX_BYTES,
    VALUE_MAX_BYTES,
    is_ip_address,
)
from ledger.events.event import (
    ORIGINAL_MAX_BYTES,
    Actor,
    ActorType,
    Authentication,
    AuthMethod,
    Event,
    MetadataEntry,
    Original,
    Outcome,
    PersonalData,
    Request,
    Source,
    Target,
    Truth,
)
from ledger.events.ids import derived_event_id
from ledger.events.timestamps import parse_timestamp
from ledger.importers.cloudtrail_fields import Fields, fitting
from ledger.importers.cloudtrail_files import UnreadableRecord, split_file
from ledger.importers.cloudtrail_insights import INSIGHT_ACTOR, insight_action, insight_metadata, is_insight
from ledger.importers.cloudtrail_shapes import describe_wrapper
from ledger.importers.cloudtrail_tables import (
    ACTOR_TYPES,
    AUTH_METHODS_BY_IDENTITY,
    AUTH_METHODS_BY_KEY_PREFIX,
    DENIED_CODES,
    METADATA,
    PERSONAL_METADATA,
    TARGET_PARAMETERS,
)
from ledger.importers.records import MappedRecord, encode_record

__all__ = ["MAPPING_VERSION", "MappedRecord", "UnreadableRecord", "action_of", "map_record", "split_file"]

MAPPING_VERSION: Final = 2
"""Version of the mapping that `docs/cloudtrail.md` describes; 2 brought Insights, and the names of services in China."""

MEDIA_TYPE: Final = "application/json"
"""Media type of the original."""

_FIRST_VERSION: Final = 1
_AWS_DOMAIN: Final = ".amazonaws.com"
_AWS_DOMAIN_IN_CHINA: Final = ".amazonaws.com.cn"
_NOT_WORD: Final = re.compile("[^A-Za-z0-9]+")
_ACRONYM_END: Final = re.compile("([A-Z]+)([A-Z][a-z])")
_WORD_START: Final = re.compile("([a-z0-9])([A-Z])")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_ARN_PARTS: Final = 6
_OTHER_TARGET: Final = "aws_resource"


def map_record(record: object, raw: bytes) -> MappedRecord:
    """Return the sections of a CloudTrail record.

    Args:
        record: The record's JSON value, as `split_file` gives it.
        raw: The record's bytes in its file.

    Raises:
        MalformedError: It is no CloudTrail record; says why.
        InvalidEventError: The mapped event breaks a limit.
        EventTooLargeError: A section would be larger than its limit.
    """
    if isinstance(record, UnreadableRecord):
        raise MalformedError(record.reason)
    if not isinstance(record, dict):
        raise MalformedError("is JSON, but not an object")
    wrapper = describe_wrapper(record)
    if wrapper is not None:
        raise MalformedError(wrapper)
    fields = Fields(record)
    is_of_insights = is_insight(fields)
    moment = fields.required("eventTime")
    try:
        occurred_at = parse_timestamp(moment)
    except MalformedError as error:
        raise MalformedError(f"eventTime {error.message}") from error
    foreign = fields.text("eventID", VALUE_MAX_BYTES).encode() or raw
    targets, target_names = _targets(fields)
    event = Event(
        event_id=derived_event_id(occurred_at, foreign),
        action=insight_action(fields)
        if is_of_insights
        else action_of(fields.required("eventSource"), fields.required("eventName")),
        occurred_at=occurred_at,
        actor=INSIGHT_ACTOR if is_of_insights else _actor(fields),
        targets=targets,
        outcome=Outcome.UNSPECIFIED if is_of_insights else _outcome(fields),
        reason_code=fields.text("errorCode", TEXT_MAX_BYTES["reason_code"]),
        auth=_auth(fields),
        request=_request(fields),
        metadata=_metadata(fields, insight_metadata(fields) if is_of_insights else {}),
        source=_source(fields, is_of_insights=is_of_insights),
        correlation_id=fields.text("sharedEventID", TEXT_MAX_BYTES["correlation_id"]),
    )
    return encode_record(event, _personal(fields, target_names, raw))


def action_of(event_source: str, event_name: str) -> str:
    """Return the action for a CloudTrail event: `aws`, the service, and the event's name, all in lower case with _.

    Args:
        event_source: Such as `ec2.amazonaws.com`.
        event_name: Such as `DescribeDBInstances`, which becomes `describe_db_instances`.

    Raises:
        MalformedError: Nothing of a name is left, or the action would be longer than 128 characters.
    """
    domain = _AWS_DOMAIN_IN_CHINA if _is_in_china(event_source) else _AWS_DOMAIN
    service = _segment("eventSource", event_source.lower().removesuffix(domain))
    action = f"aws.{service}.{_segment('eventName', event_name)}"
    if len(action) > ACTION_MAX_BYTES:
        raise MalformedError(f"eventName makes an action of {len(action)} characters; the limit is {ACTION_MAX_BYTES}")
    return action


def _is_in_china(event_source: object) -> bool:
    return isinstance(event_source, str) and event_source.lower().endswith(_AWS_DOMAIN_IN_CHINA)


def _source(fields: Fields, *, is_of_insights: bool) -> Source:
    is_of_this_version = is_of_insights or _is_in_china(fields.get("eventSource"))
    version = MAPPING_VERSION if is_of_this_version else _FIRST_VERSION
    return Source(service="aws-cloudtrail", sdk=f"logproof-cloudtrail/{version}")


def _segment(field: str, name: str) -> str:
    words = _WORD_START.sub(r"\1_\2", _ACRONYM_END.sub(r"\1_\2", _NOT_WORD.sub("_", name))).strip("_").lower()
    if not words:
        raise MalformedError(f"{field} is {name[:80]!a}, in which there is no letter or digit")
    return words if words[0].isalpha() else f"x{words}"


def _actor(fields: Fields) -> Actor:
    principal = fields.text("userIdentity.principalId", VALUE_MAX_BYTES).partition(":")[0]
    invoked_by = fields.text("userIdentity.invokedBy", TEXT_MAX_BYTES["actor.id"])
    account = fields.text("userIdentity.accountId", TEXT_MAX_BYTES["actor.id"])
    issuer_is_role = fields.get("userIdentity.sessionContext.sessionIssuer.type") == "Role"
    role = fields.text("userIdentity.sessionContext.sessionIssuer.userName", ROLE_MAX_BYTES) if issuer_is_role else ""
    return Actor(
        type=_actor_type(fields),
        id=fitting(principal, TEXT_MAX_BYTES["actor.id"]) or invoked_by or account,
        on_behalf_of=fields.text("userIdentity.onBehalfOf.userId", TEXT_MAX_BYTES["actor.on_behalf_of"]),
        roles=(role,) if role else (),
    )


def _actor_type(fields: Fields) -> ActorType:
    identity = fields.get("userIdentity.type")
    invoked = isinstance(fields.get("userIdentity.invokedBy"), str)
    if identity == "AWSAccount" and fields.get("userIdentity.accountId") == "ANONYMOUS_PRINCIPAL":
        return ActorType.ANONYMOUS
    if identity == "AssumedRole" and "/AWSReservedSSO_" in fields.text("userIdentity.arn", VALUE_MAX_BYTES):
        return ActorType.USER
    if isinstance(identity, str) and identity in ACTOR_TYPES:
        return ACTOR_TYPES[identity]
    return ActorType.SERVICE if invoked else ActorType.UNKNOWN


def _outcome(fields: Fields) -> Outcome:
    code = fields.get("errorCode")
    if isinstance(code, str) and code.rpartition(".")[2] in DENIED_CODES:
        return Outcome.DENIED
    refused_login = fields.get("responseElements.ConsoleLogin") == "Failure"
    if code or fields.get("errorMessage") or refused_login:
        return Outcome.FAILURE
    return Outcome.SUCCESS


def _auth(fields: Fields) -> Authentication | None:
    key = fields.text("userIdentity.accessKeyId", TEXT_MAX_BYTES["auth.credential_id"])
    identity = fields.get("userIdentity.type")
    method = AUTH_METHODS_BY_KEY_PREFIX.get(key[:4], AuthMethod.UNSPECIFIED)
    if isinstance(identity, str):
        method = AUTH_METHODS_BY_IDENTITY.get(identity, method)
    mfa = fields.get("userIdentity.sessionContext.attributes.mfaAuthenticated")
    if mfa is None:
        mfa = {"Yes": "true", "No": "false"}.get(fields.text("additionalEventData.MFAUsed", VALUE_MAX_BYTES))
    limit = TEXT_MAX_BYTES["auth.identity_provider"]
    auth = Authentication(
        method=method,
        mfa={"true": Truth.TRUE, "false": Truth.FALSE}.get(mfa if isinstance(mfa, str) else "", Truth.UNSPECIFIED),
        credential_id=key,
        identity_provider=fields.text("userIdentity.identityProvider", limit)
        or fields.text("userIdentity.sessionContext.webIdFederationData.federatedProvider", limit),
    )
    return None if auth == Authentication() else auth


def _request(fields: Fields) -> Request | None:
    request_id = fields.text("requestID", TEXT_MAX_BYTES["request.request_id"])
    return Request(request_id=request_id) if request_id else None


def _metadata(fields: Fields, found: dict[str, str | bool]) -> tuple[MetadataEntry, ...]:
    for key, path in METADATA.items():
        value = fields.get(path)
        if isinstance(value, bool):
            found[key] = value
        elif text := fitting(value, VALUE_MAX_BYTES):
            found[key] = text
    if is_ip_address(str(found.get("aws_source_address", ""))):
        del found["aws_source_address"]
    return tuple(MetadataEntry(key, found[key]) for key in sorted(found))


def _targets(fields: Fields) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Return the targets and, aligned with them, their names; no names if none has one."""
    found: dict[tuple[Target, str], None] = {}
    resources = fields.get("resources")
    for resource in resources if isinstance(resources, list) else []:
        if isinstance(resource, dict):
            found |= dict.fromkeys(_resource_target(Fields(resource)))
    event_source = str(fields.get("eventSource"))
    if _is_in_china(event_source):
        event_source = event_source.removesuffix(".cn")
    for path, target_type in TARGET_PARAMETERS.get(event_source, {}).items():
        for value in _parameter_values(fields, path):
            found |= dict.fromkeys(_named_target(target_type, value))
    targets = list(found)[:TARGETS_MAX]
    names = tuple(name for _, name in targets)
    return tuple(target for target, _ in targets), names if any(names) else ()


def _resource_target(resource: Fields) -> Iterator[tuple[Target, str]]:
    arn = resource.text("ARN", TARGET_ID_MAX_BYTES) or resource.text("ARNPrefix", TARGET_ID_MAX_BYTES)
    parts = arn.split(":", _ARN_PARTS - 1)
    declared = resource.text("type", VALUE_MAX_BYTES)
    if not declared and len(parts) == _ARN_PARTS:
        # S3 has no kind before the name: a bucket, and what is in it.
        kind = "bucket" if parts[2] == "s3" else re.split("[/:]", parts[5])[0] if re.search("[/:]", parts[5]) else ""
        declared = f"aws_{parts[2]}_{kind}"
    target_type = _NOT_WORD.sub("_", declared).strip("_").lower()
    is_type = TARGET_TYPE_PATTERN.fullmatch(target_type) is not None
    yield from _named_target(target_type if is_type else _OTHER_TARGET, arn)


def _named_target(target_type: str, value: str) -> Iterator[tuple[Target, str]]:
    # Names of users are names of people; they go where they can be erased.
    if target_type == "aws_iam_user":
        name = fitting(value, TARGET_NAME_MAX_BYTES)
        if name:
            yield Target(target_type), name
    elif identifier := fitting(value, TARGET_ID_MAX_BYTES):
        yield Target(target_type, identifier), ""


def _parameter_values(fields: Fields, path: str) -> list[str]:
    """Return the texts at a path of the request's parameters; `[]` stands for every element of a list."""
    before, is_list, after = path.partition("[]")
    value = fields.get(f"requestParameters.{before}")
    elements: list[object] = [value]
    if is_list:
        elements = value if isinstance(value, list) else []
    if after:
        elements = [element.get(after.removeprefix(".")) for element in elements if isinstance(element, dict)]
    return [element for element in elements if isinstance(element, str)]


def _personal(fields: Fields, target_names: tuple[str, ...], raw: bytes) -> PersonalData:
    address = fields.text("sourceIPAddress", VALUE_MAX_BYTES)
    name = fields.text("userIdentity.userName", TEXT_MAX_BYTES["actor_email"])
    if not name:
        session = fields.text("userIdentity.principalId", VALUE_MAX_BYTES).partition(":")[2]
        name = fitting(session, TEXT_MAX_BYTES["actor_email"])
    is_email = _EMAIL.fullmatch(name) is not None
    metadata = {key: fields.text(path, VALUE_MAX_BYTES) for key, path in PERSONAL_METADATA.items()}
    return PersonalData(
        actor_email=name if is_email else "",
        actor_name="" if is_email else name,
        ip=address if is_ip_address(address) else "",
        user_agent=fields.text("userAgent", TEXT_MAX_BYTES["user_agent"]),
        reason=fields.text("errorMessage", TEXT_MAX_BYTES["reason"]),
        target_names=target_names,
        metadata=tuple(MetadataEntry(key, metadata[key]) for key in sorted(metadata) if metadata[key]),
        original=_original(raw),
    )


def _original(raw: bytes) -> Original:
    if len(raw) <= ORIGINAL_MAX_BYTES:
        return Original(media_type=MEDIA_TYPE, content=raw)
    return Original(media_type=MEDIA_TYPE, sha256=hashlib.sha256(raw).digest(), size=len(raw))
