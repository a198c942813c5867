"""What a failed call means: the error that the server names, as the class that stands for it here.

The rule that must not break: a reason that is not known here is still told with its code, message and details; and
nothing that the server says becomes a verification error, which only this side can find.
"""

from __future__ import annotations

import base64
import re
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from ledger.client.retry import Failure
from ledger.errors import (
    ApiKeyNotFoundError,
    BatchConflictError,
    BatchError,
    BatchInvalidError,
    BatchProblem,
    BatchTooLargeError,
    ClockError,
    DeadlinePassedError,
    EntryNotFoundError,
    EventIdReusedError,
    EventTooLargeError,
    FieldViolation,
    IndexBehindError,
    IndexBeyondTreeError,
    InvalidCredentialsError,
    InvalidEventError,
    InvalidFilterError,
    InvalidRequestError,
    LedgerError,
    LogExistsError,
    LogNotFoundError,
    LogReadOnlyError,
    LogRetiredError,
    OverloadedError,
    PermissionMissingError,
    PublicationBehindError,
    QuotaExceededError,
    RemoteError,
    ServerUnreachableError,
    ShuttingDownError,
    StalledError,
    TooManyLoginsError,
    UnsupportedError,
)
from ledger.v1 import ledger_pb2

_BY_REASON: Final[dict[str, type[LedgerError]]] = {
    error.reason: error
    for error in (
        ApiKeyNotFoundError,
        BatchTooLargeError,
        ClockError,
        DeadlinePassedError,
        EntryNotFoundError,
        EventIdReusedError,
        EventTooLargeError,
        IndexBeyondTreeError,
        InvalidCredentialsError,
        InvalidFilterError,
        LogExistsError,
        LogNotFoundError,
        LogReadOnlyError,
        LogRetiredError,
        OverloadedError,
        PermissionMissingError,
        IndexBehindError,
        PublicationBehindError,
        QuotaExceededError,
        ShuttingDownError,
        StalledError,
        TooManyLoginsError,
        UnsupportedError,
    )
}
_WITH_VIOLATIONS: Final[dict[str, type[InvalidRequestError]]] = {
    error.reason: error for error in (InvalidEventError, InvalidRequestError)
}
_BATCH: Final[dict[str, type[BatchError]]] = {error.reason: error for error in (BatchInvalidError, BatchConflictError)}
_POSITION: Final = re.compile(r"sections\[([0-9]{1,4})\]\.?(.*)", re.DOTALL)
# What grpc says before the one thing that tells why.
_SEVERAL: Final = re.compile(r"^failed to connect to all addresses; last error: (?:[A-Z]+: )?(?:ipv[46]:\S+: )?")
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_DETAILS_KEY: Final = "grpc-status-details-bin"
_UNREACHABLE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})


def failure_of(error: grpc.RpcError | ledger_pb2.StreamError) -> Failure:
    """Return what decides whether the call, or the message of a stream, is made again."""
    details = _Details(error)
    return Failure(details.code, details.reason, details.retry_after_seconds, details.message)


def error_of(error: grpc.RpcError | ledger_pb2.StreamError, address: str) -> LedgerError:
    """Return the error that a failed call, or a failed message of a stream, means.

    Args:
        error: What grpc raised, or the server answered within a stream.
        address: Where the server was called, for the message.
    """
    details = _Details(error)
    if not details.reason:
        if details.code in _UNREACHABLE:
            return ServerUnreachableError(
                f"the server at {address} did not answer: {_SEVERAL.sub('', details.message)}",
                hint=_unreachable_hint(details.message),
            )
        return RemoteError(
            f"the server at {address} answered {details.code}: {details.message}", code=details.code, remote_reason=""
        )
    if details.reason in _BATCH:
        return _batch_error(_BATCH[details.reason], details)
    with_violations = _WITH_VIOLATIONS.get(details.reason)
    if with_violations is not None and details.violations:
        return with_violations(details.violations, hint=details.hint)
    specific = _BY_REASON.get(details.reason)
    if specific is not None:
        return specific(details.message, hint=details.hint, metadata=details.metadata)
    return RemoteError(
        details.message,
        code=details.code,
        remote_reason=details.reason,
        hint=details.hint,
        metadata=details.metadata,
        violations=details.violations,
    )


class _Details:
    """The parts of a status and of its details, AIP-193."""

    def __init__(self, error: grpc.RpcError | ledger_pb2.StreamError) -> None:
        if isinstance(error, ledger_pb2.StreamError):
            self.code = _CODES.get(error.code, "UNKNOWN")
            self.message = error.message
            details = _details_in(error.status, error.code)
        else:
            self.code = error.code().name
            self.message = error.details() or "no reason was given"
            details = _details_of(error)
        self.reason = ""
        self.hint = ""
        self.metadata: dict[str, str] = {}
        self.violations: tuple[FieldViolation, ...] = ()
        self.violation_reasons: tuple[str, ...] = ()
        self.retry_after_seconds: float | None = None
        for detail in details:
            info = error_details_pb2.ErrorInfo()
            request = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                self.reason = info.reason
                self.metadata = dict(info.metadata)
                self.hint = self.metadata.pop("hint", "")
            elif detail.Unpack(request):
                self.violations = tuple(
                    FieldViolation(violation.field, violation.description) for violation in request.field_violations
                )
                self.violation_reasons = tuple(violation.reason for violation in request.field_violations)
            elif detail.Unpack(retry):
                self.retry_after_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9


def _batch_error(kind: type[BatchError], details: _Details) -> LedgerError:
    """Return the error with a problem for each refused position: described where the server does, by kind where not."""
    described: dict[int, LedgerError] = {}
    for violation, reason in zip(details.violations, details.violation_reasons, strict=True):
        match = _POSITION.fullmatch(violation.field)
        if match is not None:
            described[int(match[1])] = _problem(reason, match[2], violation.description)
    try:
        batch_size = int(details.metadata.get("batchSize", ""))
        bitmap = base64.b64decode(details.metadata.get("bitmap", ""), validate=True)
    except ValueError:
        batch_size, bitmap = 0, b""
    refused = {position for position in range(8 * len(bitmap)) if bitmap[position // 8] >> position % 8 & 1}
    other = EventIdReusedError.reason if kind is BatchConflictError else InvalidEventError.reason
    problems = [
        BatchProblem(
            position,
            described.get(position) or _problem(other, "event", "the event is refused; sent alone it says why"),
        )
        for position in sorted(refused | described.keys())
    ]
    if not problems:
        return RemoteError(
            details.message,
            code=details.code,
            remote_reason=details.reason,
            hint=details.hint,
            metadata=details.metadata,
            violations=details.violations,
        )
    return kind(problems, max(batch_size, problems[-1].position + 1))


def _problem(reason: str, field: str, description: str) -> LedgerError:
    if reason == EventIdReusedError.reason:
        return EventIdReusedError(description)
    if reason == EventTooLargeError.reason:
        return EventTooLargeError(description)
    return InvalidEventError([FieldViolation(field, description)])


def _details_of(error: grpc.RpcError) -> list[PackedMessage]:
    for trailer in error.trailing_metadata() or ():
        if trailer.key == _DETAILS_KEY:
            return _details_in(trailer.value, error.code().value[0])
    return []


def _details_in(data: bytes, code: int) -> list[PackedMessage]:
    try:
        status = status_pb2.Status.FromString(data)
    except DecodeError:
        return []
    # Where code and status disagree, the details are not those of this status.
    return list(status.details) if status.code == code else []


def _unreachable_hint(message: str) -> str:
    lowered = message.lower()
    if "certificate" in lowered or "ssl" in lowered or "handshake" in lowered:
        return "check that the server speaks TLS and that --tls-ca names the authority that signed its certificate"
    return "check the address (LOGPROOF_ADDRESS or --address), and that the server runs; it is safe to try again"
