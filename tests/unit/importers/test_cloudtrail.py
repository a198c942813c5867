"""Each documented row of the CloudTrail mapping, held against every record; what a row promises is restated here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import MalformedError
from ledger.events.codec import check_sections
from ledger.events.event import (
    Actor,
    ActorType,
    Original,
    Outcome,
    Source,
    Target,
)
from ledger.events.wire import read_event, read_personal
from ledger.importers import cloudtrail_insights, cloudtrail_tables
from ledger.importers.cloudtrail import MAPPING_VERSION, UnreadableRecord, action_of, map_record, split_file
from ledger.importers.cloudtrail_shapes import is_digest
from tests.support.cloudtrail_rows import DOCUMENT, ROWS, Mapped, actor_type, failed_rows, method, mfa, table
from tests.support.documentation import ROOT
from tests.support.shared import shared_path

_SAMPLE = ROOT / "tests" / "data" / "cloudtrail-sample.json"


def _mapped(data: bytes) -> Iterator[Mapped]:
    for _, raw, record in split_file(data):
        assert isinstance(record, dict)
        found = map_record(record, raw)
        assert check_sections(found.event, found.personal) == found.event_id
        yield Mapped(record, raw, found.event_id, read_event(found.event), read_personal(found.personal))


def _records(file: Path) -> list[Any]:
    parsed = json.loads(file.read_bytes())
    return list(parsed["Records"] if isinstance(parsed, dict) else parsed)


def _check(file: Path) -> int:
    data = file.read_bytes()
    rows = list(_mapped(data))
    assert [row.record for row in rows] == _records(file)
    for row in rows:
        assert row.raw in data
        assert failed_rows(row) == [], f"{file.name}: {row.event_id}"
    return len(rows)


def test_every_documented_row_is_tested() -> None:
    assert [row[0] for row in table("Fields")] == list(ROWS)


def test_every_row_holds_for_every_record_of_the_sample() -> None:
    assert _check(_SAMPLE) == 7


@pytest.mark.parametrize(("folder", "count"), [("cloudtrail-invictus", 2013), ("cloudtrail-stratus", 253)])
def test_every_row_holds_for_every_real_record(folder: str, count: int) -> None:
    files = sorted(shared_path(f"data/{folder}").glob("*.json"))
    assert sum(_check(file) for file in files) == count


def test_sample_has_what_the_rows_speak_of() -> None:
    rows = list(_mapped(_SAMPLE.read_bytes()))
    assert {row.event.outcome.name for row in rows} == {"SUCCESS", "FAILURE", "DENIED"}
    assert {actor_type(row) for row in rows} == {"USER", "SERVICE", "ANONYMOUS"}
    assert {method(row) for row in rows} == {"API_KEY", "SESSION", "SSO_OIDC", "UNSPECIFIED"}
    assert {mfa(row) for row in rows} == {"TRUE", "FALSE", "UNSPECIFIED"}
    assert {bool(row.personal.actor_email) for row in rows} == {True, False}
    assert {row.personal.original.content == b"" for row in rows if row.personal.original} == {True, False}
    assert any(row.personal.target_names for row in rows)
    assert any(":" in row.personal.ip for row in rows)
    assert any(not row.raw.isascii() for row in rows)


def test_documented_tables_are_the_ones_in_use() -> None:
    assert dict(table("Metadata")) == cloudtrail_tables.METADATA
    assert dict(table("Personal metadata")) == cloudtrail_tables.PERSONAL_METADATA
    assert dict(table("Actor types")) == {key: actor.name for key, actor in cloudtrail_tables.ACTOR_TYPES.items()}
    methods = dict(cloudtrail_tables.AUTH_METHODS_BY_IDENTITY) | dict(cloudtrail_tables.AUTH_METHODS_BY_KEY_PREFIX)
    assert dict(table("Authentication")) == {key: method.name for key, method in methods.items()}
    denials = DOCUMENT.split("### Codes of denial", 1)[1].split("###", 1)[0]
    assert set(re.findall(r"`(\w+)`", denials)) == cloudtrail_tables.DENIED_CODES
    assert {(source, parameter, kind) for source, parameter, kind in table("Targets")} == {
        (source, parameter, kind)
        for source, parameters in cloudtrail_tables.TARGET_PARAMETERS.items()
        for parameter, kind in parameters.items()
    }
    assert f"version {MAPPING_VERSION}," in DOCUMENT


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
    rows = dict(table("Insights"))
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
    rows = {key: made for key, made in table("Insights") if key.startswith("aws_")}
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
