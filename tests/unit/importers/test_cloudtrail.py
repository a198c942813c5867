"""Each documented row of the CloudTrail mapping, held against every record; what a row promises is restated here."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import MalformedError
from ledger.events.codec import check_sections
from ledger.events.event import (
    Actor,
    ActorType,
    Event,
    MetadataEntry,
    Original,
    Outcome,
    PersonalData,
    Source,
    Target,
)
from ledger.events.wire import read_event, read_personal
from ledger.importers import cloudtrail_insights, cloudtrail_tables
from ledger.importers.cloudtrail import MAPPING_VERSION, UnreadableRecord, action_of, map_record, split_file
from ledger.importers.cloudtrail_shapes import is_digest
from tests.support.shared import shared_path

_ROOT = Path(__file__).resolve().parents[3]
_SAMPLE = _ROOT / "tests" / "data" / "cloudtrail-sample.json"
_DOCUMENT = (_ROOT / "docs" / "cloudtrail.md").read_text("utf-8")


@dataclass(frozen=True)
class Mapped:
    """A record of a file beside what it was mapped to."""

    record: dict[str, Any]
    raw: bytes
    event_id: str
    event: Event
    personal: PersonalData

    def text(self, path: str, limit: int) -> str:
        value: Any = self.record
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, str) and len(value.encode()) <= limit else ""

    def name(self) -> str:
        user = self.text("userIdentity.userName", 254)
        session = self.text("userIdentity.principalId", 2048).partition(":")[2]
        return user or (session if len(session.encode()) <= 254 else "")


def _table(heading: str) -> list[list[str]]:
    """The rows of the tables below a heading, without code marks."""
    section = re.split(r"^#+ ", _DOCUMENT.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in row] for row in rows]


def _mapped(data: bytes) -> Iterator[Mapped]:
    for _, raw, record in split_file(data):
        assert isinstance(record, dict)
        found = map_record(record, raw)
        assert check_sections(found.event, found.personal) == found.event_id
        yield Mapped(record, raw, found.event_id, read_event(found.event), read_personal(found.personal))


def _records(file: Path) -> list[Any]:
    parsed = json.loads(file.read_bytes())
    return list(parsed["Records"] if isinstance(parsed, dict) else parsed)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _first(*texts: str) -> str:
    return next((text for text in texts if text), "")


def _event_id(row: Mapped) -> bool:
    parsed = uuid.UUID(row.event_id)
    moment = datetime.strptime(row.record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    foreign = row.record["eventID"].encode() if "eventID" in row.record else row.raw
    digest = hashlib.sha256(b"logproof/derived-id/v1\0" + foreign).digest()
    tail = int.from_bytes(digest[:10], "big") & (1 << 62) - 1
    return (
        row.event.event_id == row.event_id
        and parsed.version == 8
        and parsed.int >> 80 == int(moment.timestamp()) * 1000
        and parsed.int & (1 << 62) - 1 == tail
    )


def _actor_type(row: Mapped) -> str:
    identity = row.record.get("userIdentity") or {}
    kind = identity.get("type")
    if kind == "AWSAccount" and identity.get("accountId") == "ANONYMOUS_PRINCIPAL":
        return "ANONYMOUS"
    if kind == "AssumedRole" and "/AWSReservedSSO_" in identity.get("arn", ""):
        return "USER"
    known = dict(_table("Actor types"))
    return known.get(kind or "", "SERVICE" if "invokedBy" in identity else "UNKNOWN")


def _actor_id(row: Mapped) -> str:
    principal = row.text("userIdentity.principalId", 2048).split(":", maxsplit=1)[0]
    return _first(
        principal if len(principal) <= 128 else "",
        row.text("userIdentity.invokedBy", 128),
        row.text("userIdentity.accountId", 128),
    )


def _outcome(row: Mapped) -> str:
    code = row.record.get("errorCode") or ""
    denials = re.findall(r"`(\w+)`", _DOCUMENT.split("### Codes of denial", 1)[1].split("###", 1)[0])
    if code.split(".")[-1] in denials:
        return "DENIED"
    refused = (row.record.get("responseElements") or {}).get("ConsoleLogin") == "Failure"
    return "FAILURE" if code or row.record.get("errorMessage") or refused else "SUCCESS"


def _method(row: Mapped) -> str:
    rows = dict(_table("Authentication"))
    key = row.text("userIdentity.accessKeyId", 128)[:4]
    return _first(rows.get(row.text("userIdentity.type", 2048), ""), rows.get(key, "")) or "UNSPECIFIED"


def _mfa(row: Mapped) -> str:
    attributes = ((row.record.get("userIdentity") or {}).get("sessionContext") or {}).get("attributes") or {}
    console = (row.record.get("additionalEventData") or {}).get("MFAUsed")
    said = str(attributes.get("mfaAuthenticated", {"Yes": "true", "No": "false"}.get(str(console))))
    return {"true": "TRUE", "false": "FALSE"}.get(said, "UNSPECIFIED")


def _expected_targets(row: Mapped) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for resource in row.record.get("resources") or []:
        arn = resource.get("ARN") or resource.get("ARNPrefix") or ""
        kind = resource.get("type")
        if not kind:
            service, rest = arn.split(":", 5)[2], arn.split(":", 5)[5]
            words = re.split("[/:]", rest)
            kind = f"aws_{service}_{'bucket' if service == 's3' else words[0] if len(words) > 1 else ''}"
        found.append((re.sub("[^a-z0-9]+", "_", kind.lower()).strip("_"), arn))
    parameters = row.record.get("requestParameters") or {}
    for source, parameter, kind in _table("Targets"):
        if source != row.record["eventSource"]:
            continue
        values: list[Any] = [parameters]
        for step in parameter.split("."):
            many = step.endswith("[]")
            values = [value[step.removesuffix("[]")] for value in values if step.removesuffix("[]") in value]
            values = [element for value in values for element in value] if many else values
        found += [(kind, value) for value in values if isinstance(value, str)]
    fitting = [(kind, value) for kind, value in found if value and len(value.encode()) <= 256]
    return list(dict.fromkeys(fitting))[:16]


def _targets(row: Mapped) -> bool:
    expected = [Target(kind, "" if kind == "aws_iam_user" else value) for kind, value in _expected_targets(row)]
    return list(row.event.targets) == expected


def _target_names(row: Mapped) -> bool:
    names = [value if kind == "aws_iam_user" else "" for kind, value in _expected_targets(row)]
    return list(row.personal.target_names) == (names if any(names) else [])


def _metadata(row: Mapped) -> bool:
    expected: dict[str, Any] = {}
    for key, path in _table("Metadata"):
        value: Any = row.record
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, bool) or (isinstance(value, str) and 0 < len(value.encode()) <= 2048):
            expected[key] = value
    if _is_address(expected.get("aws_source_address", "")):
        del expected["aws_source_address"]
    return list(row.event.metadata) == [MetadataEntry(key, expected[key]) for key in sorted(expected)]


def _personal_metadata(row: Mapped) -> bool:
    found = {key: row.text(path, 2048) for key, path in _table("Personal metadata")}
    return list(row.personal.metadata) == [MetadataEntry(key, found[key]) for key in sorted(found) if found[key]]


def _original(row: Mapped) -> bool:
    if len(row.raw) <= 32 * 1024:
        expected = Original("application/json", row.raw)
        return row.personal.original == expected and json.loads(expected.content) == row.record
    return row.personal.original == Original("application/json", b"", hashlib.sha256(row.raw).digest(), len(row.raw))


def _provider(row: Mapped) -> str:
    federated = "userIdentity.sessionContext.webIdFederationData.federatedProvider"
    return _first(row.text("userIdentity.identityProvider", 128), row.text(federated, 128))


def _roles(row: Mapped) -> tuple[str, ...]:
    issuer = "userIdentity.sessionContext.sessionIssuer"
    role = row.text(f"{issuer}.userName", 128) if row.text(f"{issuer}.type", 2048) == "Role" else ""
    return (role,) if role else ()


def _has_email(row: Mapped) -> bool:
    return re.fullmatch(r"[^@\s]+@[^@\s]+", row.name()) is not None


def _auth(row: Mapped, name: str) -> Any:
    return getattr(row.event.auth, name) if row.event.auth else None


def _actor(row: Mapped, name: str) -> Any:
    assert row.event.actor is not None
    return getattr(row.event.actor, name)


_ROWS: dict[str, Callable[[Mapped], bool]] = {
    "event.event_id": _event_id,
    "event.action": lambda row: (
        row.event.action == action_of(row.record["eventSource"], row.record["eventName"])
        and row.event.action.replace("_", "").split(".")[2]
        in {prefix + re.sub("[^a-z0-9]", "", row.record["eventName"].lower()) for prefix in ("", "x")}
    ),
    "event.occurred_at": lambda row: (
        row.event.occurred_at == int(datetime.fromisoformat(row.record["eventTime"]).timestamp()) * 1_000_000
    ),
    "event.actor.type": lambda row: _actor(row, "type").name == _actor_type(row),
    "event.actor.id": lambda row: _actor(row, "id") == _actor_id(row),
    "event.actor.on_behalf_of": lambda row: (
        _actor(row, "on_behalf_of") == row.text("userIdentity.onBehalfOf.userId", 128)
    ),
    "event.actor.roles": lambda row: _actor(row, "roles") == _roles(row),
    "event.targets": _targets,
    "event.outcome": lambda row: row.event.outcome.name == _outcome(row),
    "event.reason_code": lambda row: row.event.reason_code == row.text("errorCode", 64),
    "event.auth.method": lambda row: (_auth(row, "method") or UNSAID).name == _method(row),
    "event.auth.mfa": lambda row: (_auth(row, "mfa") or UNSAID).name == _mfa(row),
    "event.auth.credential_id": lambda row: (
        (_auth(row, "credential_id") or "") == row.text("userIdentity.accessKeyId", 128)
    ),
    "event.auth.identity_provider": lambda row: (_auth(row, "identity_provider") or "") == _provider(row),
    "event.request.request_id": lambda row: (
        (row.event.request.request_id if row.event.request else "") == row.text("requestID", 128)
    ),
    "event.correlation_id": lambda row: row.event.correlation_id == row.text("sharedEventID", 128),
    "event.metadata": _metadata,
    "event.source.service": lambda row: row.event.source is not None and row.event.source.service == "aws-cloudtrail",
    "event.source.sdk": lambda row: row.event.source is not None and row.event.source.sdk == "logproof-cloudtrail/1",
    "personal.actor_email": lambda row: row.personal.actor_email == (row.name() if _has_email(row) else ""),
    "personal.actor_name": lambda row: row.personal.actor_name == ("" if _has_email(row) else row.name()),
    "personal.ip": lambda row: (
        row.personal.ip == (row.text("sourceIPAddress", 64) if _is_address(row.text("sourceIPAddress", 64)) else "")
    ),
    "personal.user_agent": lambda row: row.personal.user_agent == row.text("userAgent", 1024),
    "personal.reason": lambda row: row.personal.reason == row.text("errorMessage", 512),
    "personal.target_names": _target_names,
    "personal.metadata": _personal_metadata,
    "personal.original": _original,
}


class UNSAID:
    """Stands for what an event without authentication says of it."""

    name = "UNSPECIFIED"


def _check(file: Path) -> int:
    data = file.read_bytes()
    rows = list(_mapped(data))
    assert [row.record for row in rows] == _records(file)
    for row in rows:
        assert row.raw in data
        failed = [field for field, holds in _ROWS.items() if not holds(row)]
        assert not failed, f"{file.name}: {row.event_id}: {failed}"
    return len(rows)


def test_every_documented_row_is_tested() -> None:
    assert [row[0] for row in _table("Fields")] == list(_ROWS)


def test_every_row_holds_for_every_record_of_the_sample() -> None:
    assert _check(_SAMPLE) == 7


@pytest.mark.parametrize(("folder", "count"), [("cloudtrail-invictus", 2013), ("cloudtrail-stratus", 253)])
def test_every_row_holds_for_every_real_record(folder: str, count: int) -> None:
    files = sorted(shared_path(f"data/{folder}").glob("*.json"))
    assert sum(_check(file) for file in files) == count


def test_sample_has_what_the_rows_speak_of() -> None:
    rows = list(_mapped(_SAMPLE.read_bytes()))
    assert {row.event.outcome.name for row in rows} == {"SUCCESS", "FAILURE", "DENIED"}
    assert {_actor_type(row) for row in rows} == {"USER", "SERVICE", "ANONYMOUS"}
    assert {_method(row) for row in rows} == {"API_KEY", "SESSION", "SSO_OIDC", "UNSPECIFIED"}
    assert {_mfa(row) for row in rows} == {"TRUE", "FALSE", "UNSPECIFIED"}
    assert {bool(row.personal.actor_email) for row in rows} == {True, False}
    assert {row.personal.original.content == b"" for row in rows if row.personal.original} == {True, False}
    assert any(row.personal.target_names for row in rows)
    assert any(":" in row.personal.ip for row in rows)
    assert any(not row.raw.isascii() for row in rows)


def test_documented_tables_are_the_ones_in_use() -> None:
    assert dict(_table("Metadata")) == cloudtrail_tables.METADATA
    assert dict(_table("Personal metadata")) == cloudtrail_tables.PERSONAL_METADATA
    assert dict(_table("Actor types")) == {key: actor.name for key, actor in cloudtrail_tables.ACTOR_TYPES.items()}
    methods = dict(cloudtrail_tables.AUTH_METHODS_BY_IDENTITY) | dict(cloudtrail_tables.AUTH_METHODS_BY_KEY_PREFIX)
    assert dict(_table("Authentication")) == {key: method.name for key, method in methods.items()}
    denials = _DOCUMENT.split("### Codes of denial", 1)[1].split("###", 1)[0]
    assert set(re.findall(r"`(\w+)`", denials)) == cloudtrail_tables.DENIED_CODES
    assert {(source, parameter, kind) for source, parameter, kind in _table("Targets")} == {
        (source, parameter, kind)
        for source, parameters in cloudtrail_tables.TARGET_PARAMETERS.items()
        for parameter, kind in parameters.items()
    }
    assert f"version {MAPPING_VERSION}," in _DOCUMENT


def test_mapped_bytes_of_this_version_do_not_change() -> None:
    digest = hashlib.sha256()
    for _, raw, record in split_file(_SAMPLE.read_bytes()):
        mapped = map_record(record, raw)
        digest.update(hashlib.sha256(mapped.event).digest() + hashlib.sha256(mapped.personal).digest())
    assert digest.hexdigest() == "93ee72a2726e2b95334b17eb370f195e1b8b7b1ec452df19203e5ace2e3d765c"


@pytest.mark.parametrize(
    ("source", "name", "action"),
    [
        ("ec2.amazonaws.com", "DescribeDBInstances", "aws.ec2.describe_db_instances"),
        ("resource-explorer-2.amazonaws.com", "ListIndexes", "aws.resource_explorer_2.list_indexes"),
        ("lambda.amazonaws.com", "GetFunction20150331v2", "aws.lambda.get_function20150331v2"),
        ("iam.amazonaws.com", "ListMFADevices", "aws.iam.list_mfa_devices"),
        ("s3.amazonaws.com", "REST.GET.OBJECT", "aws.s3.rest_get_object"),
        ("signin.amazonaws.com", "ConsoleLogin", "aws.signin.console_login"),
        ("partner.example.com", "-2 Dinge größer", "aws.partner_example_com.x2_dinge_gr_er"),
        ("EC2.AMAZONAWS.COM", "x", "aws.ec2.x"),
        ("ecs-tasks.amazonaws.com.cn", "RunTask", "aws.ecs_tasks.run_task"),
    ],
)
def test_names_become_an_action(source: str, name: str, action: str) -> None:
    assert action_of(source, name) == action


_LEAST: dict[str, Any] = {
    "eventTime": "2026-02-20T14:30:00Z",
    "eventSource": "ec2.amazonaws.com",
    "eventName": "StopInstances",
}


_INSIGHT: dict[str, Any] = {
    "eventVersion": "1.09",
    "eventTime": "2026-02-20T14:30:00Z",
    "awsRegion": "eu-west-1",
    "eventID": "0f8a",
    "eventType": "AwsCloudTrailInsight",
    "recipientAccountId": "123456789012",
    "sharedEventID": "12ed-33",
    "insightDetails": {
        "state": "Start",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "StopInstances",
        "errorCode": "AccessDenied",
        "insightType": "ApiErrorRateInsight",
        "insightContext": {"statistics": {"baseline": {"average": 0.5}, "insight": {"average": 7}}},
    },
    "eventCategory": "Insight",
}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (UnreadableRecord("is not JSON"), "is not JSON"),
        ([], "is JSON, but not an object"),
        ({}, "eventTime is missing"),
        ({**_LEAST, "eventTime": 5}, "eventTime is not text"),
        ({**_LEAST, "eventTime": "yesterday"}, "eventTime is 'yesterday'; it is an RFC 3339 time"),
        ({"detail-type": "AWS API Call via CloudTrail", "detail": _LEAST}, "jq -c .detail"),
        ({"messageType": "DATA_MESSAGE", "logEvents": []}, "jq -r '.logEvents[].message'"),
        ({"Events": [{"CloudTrailEvent": "{}"}]}, "jq -r '.Events[].CloudTrailEvent'"),
        ({"events": [{"message": "{}"}]}, "jq -r '.events[].message'"),
        (
            {**_INSIGHT, "insightDetails": {"state": "Middle"}},
            "insightDetails.state is 'Middle'; it is one of Start, End",
        ),
        ({**_INSIGHT, "insightDetails": {}}, "insightDetails.state is missing"),
        ({**_INSIGHT, "eventName": "x"}, "eventSource is missing"),
        ({**_LEAST, "eventSource": None}, "eventSource is missing"),
        ({**_LEAST, "eventName": ""}, "eventName is not text"),
        ({**_LEAST, "eventName": "…"}, r"eventName is '\u2026', in which there is no letter or digit"),
        ({**_LEAST, "eventName": "x" * 200}, "eventName makes an action of 208 characters; the limit is 128"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(record: object, message: str) -> None:
    with pytest.raises(MalformedError, match=re.escape(message)):
        map_record(record, b"{}")


def test_a_missing_field_is_named_once() -> None:
    with pytest.raises(MalformedError) as caught:
        map_record({}, b"{}")
    assert caught.value.message == "eventTime is missing"


def test_an_insight_is_an_event_of_cloudtrail_and_names_the_call_in_its_metadata() -> None:
    raw = json.dumps(_INSIGHT).encode()
    mapped = map_record(_INSIGHT, raw)
    assert check_sections(mapped.event, mapped.personal) == mapped.event_id
    event, personal = read_event(mapped.event), read_personal(mapped.personal)
    rows = dict(_table("Insights"))
    assert event.action == "aws.cloudtrail.insight_start"
    assert rows["event.action"].startswith(event.action)
    assert event.actor == Actor(ActorType.SERVICE, "cloudtrail.amazonaws.com")
    assert event.outcome is Outcome.UNSPECIFIED
    assert event.correlation_id == _INSIGHT["sharedEventID"]
    assert event.source == Source(service="aws-cloudtrail", sdk="logproof-cloudtrail/2")
    assert {entry.key: entry.value for entry in event.metadata} == {
        "aws_event_category": "Insight",
        "aws_event_id": "0f8a",
        "aws_event_type": "AwsCloudTrailInsight",
        "aws_event_version": "1.09",
        "aws_insight_error_code": "AccessDenied",
        "aws_insight_event_name": "StopInstances",
        "aws_insight_event_source": "ec2.amazonaws.com",
        "aws_insight_state": "Start",
        "aws_insight_type": "ApiErrorRateInsight",
        "aws_recipient_account_id": "123456789012",
        "aws_region": "eu-west-1",
    }
    assert personal.original == Original("application/json", raw)
    ended = {**_INSIGHT, "insightDetails": {"state": "End"}}
    assert read_event(map_record(ended, b"{}").event).action == "aws.cloudtrail.insight_end"


def test_documented_rows_of_insights_are_the_ones_in_use() -> None:
    rows = {key: made for key, made in _table("Insights") if key.startswith("aws_")}
    assert rows == cloudtrail_insights.INSIGHT_METADATA


def test_a_record_with_a_call_of_its_own_is_mapped_as_ever_whatever_else_it_holds() -> None:
    record = {**_LEAST, "insightDetails": {"state": "Start"}, "detail": {}, "logFiles": [], "digestS3Bucket": "b"}
    event = read_event(map_record(record, b"{}").event)
    assert event == read_event(map_record(_LEAST, b"{}").event)
    assert event.source == Source(service="aws-cloudtrail", sdk="logproof-cloudtrail/1")
    assert not is_digest(record)


def test_a_service_in_china_is_mapped_as_elsewhere_under_a_version_of_its_own() -> None:
    parameters = {"requestParameters": {"instanceId": "i-1"}}
    here = read_event(map_record({**_LEAST, **parameters}, b"{}").event)
    there = read_event(map_record({**_LEAST, **parameters, "eventSource": "ec2.amazonaws.com.cn"}, b"{}").event)
    assert (there.action, there.targets) == (here.action, here.targets)
    assert there.source == Source(service="aws-cloudtrail", sdk="logproof-cloudtrail/2")


@pytest.mark.parametrize(
    "odd",
    [
        {"userIdentity": "x", "resources": {}, "requestParameters": [], "errorCode": 5, "eventID": 7},
        {"userIdentity": {"type": [], "principalId": "\ud800", "accessKeyId": "x" * 200, "invokedBy": ""}},
        {
            "resources": [
                None,
                {},
                {"ARN": "x" * 300},
                {"type": "9 lives", "ARN": "a"},
                {"ARN": "arn:aws:sns:r:1:topic"},
            ]
        },
        {"requestParameters": {"instancesSet": {"items": [1, {"instanceId": 2}]}, "instanceId": "i" * 300}},
        {"eventSource": "ssm.amazonaws.com", "requestParameters": {"instanceIds": ["i-1", 2, "i-2"]}},
        {"userAgent": "x" * 1025, "errorMessage": "x" * 513, "errorCode": "x" * 65, "readOnly": "true"},
        {"resources": [{"type": "AWS::EC2::Instance", "ARN": f"arn-{number}"} for number in range(30)]},
        {"eventSource": "iam.amazonaws.com", "requestParameters": {"userName": "x" * 300}},
        {"sourceIPAddress": "fe80::1%eth0", "awsRegion": "x" * 2049},
    ],
)
def test_values_without_a_place_stand_in_the_original_alone(odd: dict[str, Any]) -> None:
    record = {**_LEAST, **odd}
    raw = json.dumps(record).encode()
    mapped = map_record(record, raw)
    assert check_sections(mapped.event, mapped.personal) == mapped.event_id
    original = read_personal(mapped.personal).original
    assert original is not None
    assert original.content == raw


def test_targets_that_are_odd_are_mapped_as_far_as_they_go() -> None:
    resources = [None, {"type": "9 lives", "ARN": "a"}, {"ARN": "arn:aws:sns:r:1:topic"}, {"ARN": "b"}]
    parameters = {"instanceIds": ["i-1", 2, "i-1"]}
    record = {**_LEAST, "eventSource": "ssm.amazonaws.com", "resources": resources, "requestParameters": parameters}
    assert read_event(map_record(record, b"{}").event).targets == (
        Target("aws_resource", "a"),
        Target("aws_sns", "arn:aws:sns:r:1:topic"),
        Target("aws_resource", "b"),
        Target("aws_ec2_instance", "i-1"),
    )


def test_record_without_an_id_gets_one_from_its_bytes() -> None:
    assert map_record(_LEAST, b"{}").event_id == map_record(_LEAST, b"{}").event_id
    assert map_record(_LEAST, b"{}").event_id != map_record(_LEAST, b"{ }").event_id
