"""What tests of the services send, and what a refused call said."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from ledger.events.codec import encode_event, encode_personal
from ledger.events.event import Actor, ActorType, Event, MetadataEntry, Outcome, PersonalData, Target
from ledger.events.ids import new_event_id
from ledger.v1 import ledger_pb2

D = TypeVar("D", bound=Message)
_NUMBERS = itertools.count()
OCCURRED_AT = 1_790_000_000_000_000


def new_event(**changes: object) -> Event:
    """Return an event like no other."""
    number = next(_NUMBERS)
    event = Event(
        event_id=new_event_id(OCCURRED_AT // 1000 + number, number.to_bytes(10, "big")),
        action="user.role.updated",
        occurred_at=OCCURRED_AT + number,
        actor=Actor(type=ActorType.USER, id="user_123"),
        targets=(Target(type="user", id="user_456"),),
        outcome=Outcome.SUCCESS,
        metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def new_sections(*, personal: bool = True, **changes: object) -> ledger_pb2.EventSections:
    """Return the sections of an event like no other."""
    data = encode_personal(PersonalData(actor_email="admin@company.example", ip="203.0.113.42")) if personal else b""
    return ledger_pb2.EventSections(event=encode_event(new_event(**changes)), personal=data)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed.

    Attributes:
        code: Status code.
        message: Message.
        reason: Reason; empty where the status has no details.
        metadata: Metadata of the ErrorInfo.
        fields: Violated fields, each with its description.
        retry_seconds: Of RetryInfo; None where there is none.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_seconds: float | None


def failure(call: Callable[[], object]) -> Failure:
    """Make a call that must fail, and return how it did; a stream is read to its end."""
    try:
        result = call()
        if isinstance(result, Iterator):
            for _ in result:
                pass
    except grpc.RpcError as error:
        return told(error)
    raise AssertionError("the call did not fail")


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    """Make a call and return its status code."""
    try:
        call()
    except grpc.RpcError as error:
        return told(error).code
    return grpc.StatusCode.OK


def told(error: grpc.RpcError) -> Failure:
    """Return what the error of a call says; it must follow AIP-193."""
    assert isinstance(error, grpc.Call)
    data = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    assert isinstance(data, bytes)
    status = status_pb2.Status.FromString(data)
    if data:
        assert (status.code, status.message) == (error.code().value[0], error.details())
        assert len({detail.type_url for detail in status.details}) == len(status.details)
    info = _detail(status, error_details_pb2.ErrorInfo())
    request = _detail(status, error_details_pb2.BadRequest())
    retry = _detail(status, error_details_pb2.RetryInfo())
    assert not data or (info is not None and info.domain == "logproof")
    return Failure(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason if info else "",
        metadata=dict(info.metadata) if info else {},
        fields={found.field: found.description for found in request.field_violations} if request else {},
        retry_seconds=retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if retry else None,
    )


def _detail(status: status_pb2.Status, empty: D) -> D | None:
    return empty if any(detail.Unpack(empty) for detail in status.details) else None
