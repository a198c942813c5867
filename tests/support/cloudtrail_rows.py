"""The documented rows of the CloudTrail mapping as predicates: what a row promises, stated once more, from the page alone."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from ledger.events.event import Event, MetadataEntry, Original, PersonalData, Target
from ledger.importers.cloudtrail import action_of
from tests.support.documentation import ROOT

DOCUMENT = (ROOT / "docs" / "cloudtrail.md").read_text("utf-8")


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


def table(heading: str) -> list[list[str]]:
    """The rows of the tables below a heading, without code marks."""
    section = re.split(r"^#+ ", DOCUMENT.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in row] for row in rows]


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


def actor_type(row: Mapped) -> str:
    identity = row.record.get("userIdentity") or {}
    kind = identity.get("type")
    if kind == "AWSAccount" and identity.get("accountId") == "ANONYMOUS_PRINCIPAL":
        return "ANONYMOUS"
    if kind == "AssumedRole" and "/AWSReservedSSO_" in identity.get("arn", ""):
        return "USER"
    known = dict(table("Actor types"))
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
    denials = re.findall(r"`(\w+)`", DOCUMENT.split("### Codes of denial", 1)[1].split("###", 1)[0])
    if code.split(".")[-1] in denials:
        return "DENIED"
    refused = (row.record.get("responseElements") or {}).get("ConsoleLogin") == "Failure"
    return "FAILURE" if code or row.record.get("errorMessage") or refused else "SUCCESS"


def method(row: Mapped) -> str:
    rows = dict(table("Authentication"))
    key = row.text("userIdentity.accessKeyId", 128)[:4]
    return _first(rows.get(row.text("userIdentity.type", 2048), ""), rows.get(key, "")) or "UNSPECIFIED"


def mfa(row: Mapped) -> str:
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
    for source, parameter, kind in table("Targets"):
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
    for key, path in table("Metadata"):
        value: Any = row.record
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, bool) or (isinstance(value, str) and 0 < len(value.encode()) <= 2048):
            expected[key] = value
    if _is_address(expected.get("aws_source_address", "")):
        del expected["aws_source_address"]
    return list(row.event.metadata) == [MetadataEntry(key, expected[key]) for key in sorted(expected)]


def _personal_metadata(row: Mapped) -> bool:
    found = {key: row.text(path, 2048) for key, path in table("Personal metadata")}
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


ROWS: dict[str, Callable[[Mapped], bool]] = {
    "event.event_id": _event_id,
    "event.action": lambda row: (
        row.event.action == action_of(row.record["eventSource"], row.record["eventName"])
        and row.event.action.replace("_", "").split(".")[2]
        in {prefix + re.sub("[^a-z0-9]", "", row.record["eventName"].lower()) for prefix in ("", "x")}
    ),
    "event.occurred_at": lambda row: (
        row.event.occurred_at == int(datetime.fromisoformat(row.record["eventTime"]).timestamp()) * 1_000_000
    ),
    "event.actor.type": lambda row: _actor(row, "type").name == actor_type(row),
    "event.actor.id": lambda row: _actor(row, "id") == _actor_id(row),
    "event.actor.on_behalf_of": lambda row: (
        _actor(row, "on_behalf_of") == row.text("userIdentity.onBehalfOf.userId", 128)
    ),
    "event.actor.roles": lambda row: _actor(row, "roles") == _roles(row),
    "event.targets": _targets,
    "event.outcome": lambda row: row.event.outcome.name == _outcome(row),
    "event.reason_code": lambda row: row.event.reason_code == row.text("errorCode", 64),
    "event.auth.method": lambda row: (_auth(row, "method") or UNSAID).name == method(row),
    "event.auth.mfa": lambda row: (_auth(row, "mfa") or UNSAID).name == mfa(row),
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


def failed_rows(row: Mapped) -> list[str]:
    """Return the fields whose row does not hold."""
    return [field for field, holds in ROWS.items() if not holds(row)]
