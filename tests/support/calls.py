"""What tests of the services send, and what a refused call said."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ledger.events.codec import encode_event, encode_personal
from ledger.events.event import Actor, ActorType, Event, MetadataEntry, Outcome, PersonalData, Target
from ledger.events.ids import new_event_id
from ledger.v1 import ledger_pb2

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
        trailer_bytes: Size of the details as they travelled, before base64.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_seconds: float | None
    trailer_bytes: int


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


def told(error: grpc.RpcError) -> Failure:
    """Return what the error of a call says; it must follow AIP-193."""
    assert isinstance(error, grpc.Call)
    reason, metadata, fields, retry = "", {}, {}, None
    status = rpc_status.from_call(error)
    kinds = [] if status is None else [detail.TypeName() for detail in status.details]
    assert len(kinds) == len(set(kinds))
    for detail in () if status is None else status.details:
        info, request, delay = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        if detail.Unpack(info):
            assert info.domain == "logproof"
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(request):
            fields = {violation.field: violation.description for violation in request.field_violations}
        elif detail.Unpack(delay):
            retry = delay.retry_delay.seconds + delay.retry_delay.nanos / 1e9
    size = 0 if status is None else status.ByteSize()
    return Failure(error.code(), error.details() or "", reason, metadata, fields, retry, size)
