"""The one table from our errors to gRPC statuses, and the form that an error has on the wire.

Every error is a google.rpc.Status with exactly one ErrorInfo, whose reason programs act on. The rule that must not
break: details travel as trailers, so a whole status stays below 4 KiB; and what nobody foresaw, or what names files
of the server, is told as an incident number alone.

Source: AIP-193; RFC 9113 section 6.5.2 leaves the limit of trailers to the peer, and gRPC's own is 8 KiB.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from ledger.errors import (
    ApiKeyNotFoundError,
    BatchConflictError,
    BatchError,
    BatchInvalidError,
    BatchTooLargeError,
    ClockError,
    CorruptionError,
    DeadlinePassedError,
    EntryNotFoundError,
    EventIdReusedError,
    EventTooLargeError,
    FilePermissionsError,
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
    MalformedError,
    NewerSchemaError,
    OutcomeUnknownError,
    OverloadedError,
    PermissionMissingError,
    PublicationBehindError,
    QuotaExceededError,
    ShuttingDownError,
    StalledError,
    StorageBusyError,
    StorageError,
    StorageFormatError,
    StorageFullError,
    TooManyLoginsError,
    UnsupportedError,
)

_LOGGER = logging.getLogger(__name__)

ERROR_DOMAIN: Final = "logproof"
"""Domain of every ErrorInfo."""

MAX_TRAILER_BYTES: Final = 4096
"""Largest error as it travels: message, and details in base64."""

DETAILS_KEY: Final = "grpc-status-details-bin"
"""Metadata key of the serialised google.rpc.Status."""

BATCH_POSITIONS: Final = 20
"""Positions of a refused batch that are described; the bitmap has all."""

_MAX_MESSAGE_BYTES: Final = 768
_MAX_VALUE_BYTES: Final = 256
_MAX_DESCRIPTION_BYTES: Final = 240
_MAX_FIELD_BYTES: Final = 120
# What a private error may still tell: which entry is damaged, and nothing of the server's files.
_PUBLIC_KEYS: Final = frozenset({"leafIndex", "part", "treeSize"})
# Names of the trailers, the status code, and what separates them.
_FRAME_BYTES: Final = 96


@dataclass(frozen=True, slots=True)
class Row:
    """How one class of errors is told.

    Attributes:
        code: The canonical status code.
        retry_seconds: When to try again, for RetryInfo; None where that cannot help.
        resource: Kind of the thing that was not found, for ResourceInfo; empty where nothing was looked for.
        resource_key: Key of its name in the error's metadata.
        is_private: Whether the message names what only the operator may know, so that another is sent.
        is_logged: Whether the private message goes to the server's own log; not where the engine has logged it, or
            where it would be told with every call for as long as it lasts.
    """

    code: grpc.StatusCode
    retry_seconds: float | None = None
    resource: str = ""
    resource_key: str = ""
    is_private: bool = False
    is_logged: bool = True


STATUS_TABLE: Final[dict[type[LedgerError], Row]] = {
    MalformedError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    InvalidRequestError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    InvalidEventError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    NewerSchemaError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    InvalidFilterError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    EventTooLargeError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    BatchTooLargeError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    BatchInvalidError: Row(grpc.StatusCode.INVALID_ARGUMENT),
    BatchConflictError: Row(grpc.StatusCode.ALREADY_EXISTS),
    EventIdReusedError: Row(grpc.StatusCode.ALREADY_EXISTS),
    InvalidCredentialsError: Row(grpc.StatusCode.UNAUTHENTICATED),
    PermissionMissingError: Row(grpc.StatusCode.PERMISSION_DENIED),
    LogNotFoundError: Row(grpc.StatusCode.NOT_FOUND, resource="log", resource_key="log"),
    LogExistsError: Row(grpc.StatusCode.ALREADY_EXISTS, resource="log", resource_key="log"),
    ApiKeyNotFoundError: Row(grpc.StatusCode.NOT_FOUND, resource="api key", resource_key="keyId"),
    EntryNotFoundError: Row(grpc.StatusCode.NOT_FOUND, resource="entry", resource_key="eventId"),
    IndexBeyondTreeError: Row(grpc.StatusCode.OUT_OF_RANGE),
    LogReadOnlyError: Row(grpc.StatusCode.FAILED_PRECONDITION),
    LogRetiredError: Row(grpc.StatusCode.FAILED_PRECONDITION),
    UnsupportedError: Row(grpc.StatusCode.UNIMPLEMENTED),
    QuotaExceededError: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_seconds=10.0),
    TooManyLoginsError: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_seconds=60.0),
    OverloadedError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=0.2),
    StalledError: Row(grpc.StatusCode.ABORTED),
    ShuttingDownError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=1.0),
    DeadlinePassedError: Row(grpc.StatusCode.DEADLINE_EXCEEDED),
    ClockError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=60.0),
    IndexBehindError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=1.0),
    PublicationBehindError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=1.0),
    StorageError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=5.0, is_private=True),
    StorageFullError: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_seconds=60.0, is_private=True, is_logged=False),
    OutcomeUnknownError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=0.5, is_private=True, is_logged=False),
    StorageBusyError: Row(grpc.StatusCode.UNAVAILABLE, retry_seconds=5.0, is_private=True),
    StorageFormatError: Row(grpc.StatusCode.FAILED_PRECONDITION, is_private=True),
    FilePermissionsError: Row(grpc.StatusCode.FAILED_PRECONDITION, is_private=True),
    CorruptionError: Row(grpc.StatusCode.DATA_LOSS, is_private=True),
}
"""Every class of errors that a call may be answered with."""

_PRIVATE_MESSAGES: Final[dict[type[LedgerError], tuple[str, str]]] = {
    StorageError: ("the storage of the log cannot be used", "retry; the operator finds the cause under the incident"),
    StorageFullError: (
        "the disk is full or the log's store has reached its size limit; nothing was appended",
        "retry with the same bytes once the operator has made room; reads and proofs go on",
    ),
    OutcomeUnknownError: (
        "the commit failed, and whether it was done is not known",
        "retry with the same bytes and event ids: what was done is found, what was not is done once",
    ),
    StorageFormatError: (
        "the files of the log have a format that this server does not read",
        "do not retry; the operator starts the version that wrote them, or a later one",
    ),
    FilePermissionsError: (
        "others may read or change a file that the log depends on, so it is not used",
        "do not retry; the operator finds the file under the incident",
    ),
    CorruptionError: (
        "stored data of the log is not what was written",
        "do not retry; the operator runs `logproof fsck` and finds the cause under the incident",
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as it is sent.

    Attributes:
        code: The status code.
        message: For people.
        reason: For programs; also a label of metrics.
        details: The serialised google.rpc.Status, with code and message.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    details: bytes


def refusal_of(error: Exception) -> Refusal:
    """Return how an error is sent; what nobody foresaw is logged with its traceback and sent as an incident number."""
    if isinstance(error, MemoryError):
        error = OverloadedError(
            "the server has no memory left for this call",
            hint="retry after a pause with the same bytes and event ids: what was done is found",
            retry_seconds=1.0,
        )
    if isinstance(error, LedgerError):
        row = next((STATUS_TABLE[kind] for kind in type(error).__mro__ if kind in STATUS_TABLE), None)
        if row is not None:
            return _private(error, row) if row.is_private else _public(error, row)
    incident = _new_incident()
    _LOGGER.error("a call failed", exc_info=error, extra={"incident": incident})
    return _build(
        grpc.StatusCode.INTERNAL,
        f"internal error, incident {incident}",
        error_details_pb2.ErrorInfo(
            reason=LedgerError.reason,
            domain=ERROR_DOMAIN,
            metadata={"incident": incident, "hint": "give the incident's number to the server's operator"},
        ),
    )


async def refuse(context: grpc.aio.ServicerContext[Any, Any], refusal: Refusal) -> NoReturn:
    """Answer a call with an error."""
    try:
        await context.abort(refusal.code, refusal.message, ((DETAILS_KEY, refusal.details),))
    except grpc.aio.AbortError as aborted:
        # gRPC keeps this error with the call, and its frames the call, with what was received of its message: a flood
        # of refused batches would fill the memory before the collector looks.
        asyncio.get_running_loop().call_soon(aborted.with_traceback, None)
        raise


def _public(error: LedgerError, row: Row) -> Refusal:
    metadata = dict(error.metadata)
    violations: list[error_details_pb2.BadRequest.FieldViolation] = []
    if isinstance(error, BatchError):
        metadata["bitmap"] = base64.b64encode(_bitmap(error)).decode()
        violations = [*_batch_violations(error)]
    elif isinstance(error, InvalidRequestError):
        metadata["violationCount"] = str(len(error.violations))
        violations = [_violation(found.field, found.description, error.reason) for found in error.violations]
    if error.hint:
        metadata["hint"] = error.hint
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=ERROR_DOMAIN,
        metadata={name: _shortened(value, _MAX_VALUE_BYTES) for name, value in metadata.items()},
    )
    return _build(row.code, error.message, info, *_more(error, row), violations=violations)


def _private(error: LedgerError, row: Row) -> Refusal:
    """Tell what the caller can act on; the rest is for the server's own log, under an incident's number."""
    kind = next(kind for kind in type(error).__mro__ if kind in _PRIVATE_MESSAGES)
    message, hint = _PRIVATE_MESSAGES[kind]
    metadata = {name: value for name, value in error.metadata.items() if name in _PUBLIC_KEYS} | {"hint": hint}
    if "leafIndex" in metadata:
        message += f", at entry {metadata['leafIndex']}"
    if row.is_logged:
        metadata["incident"] = _new_incident()
        message = f"{message} (incident {metadata['incident']})"
        _LOGGER.error(
            "storage failed a call",
            exc_info=error,
            extra={"incident": metadata["incident"], "reason": error.reason},
        )
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata)
    return _build(row.code, message, info, *_more(error, row))


def _more(error: LedgerError, row: Row) -> Iterator[Message]:
    seconds = row.retry_seconds if error.retry_seconds is None else error.retry_seconds
    if seconds is not None:
        nanos = int(seconds * 1_000_000_000)
        delay = Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)
        yield error_details_pb2.RetryInfo(retry_delay=delay)
    if row.code is grpc.StatusCode.FAILED_PRECONDITION:
        yield error_details_pb2.PreconditionFailure(violations=[_precondition(error, row)])
    if isinstance(error, QuotaExceededError):
        failure = error_details_pb2.QuotaFailure()
        failure.violations.add(
            subject=_shortened(error.metadata.get("credential", ""), _MAX_VALUE_BYTES),
            description=_shortened(error.message, _MAX_DESCRIPTION_BYTES),
        )
        yield failure
    name = error.metadata.get(row.resource_key) if row.resource else None
    if name is not None:
        yield error_details_pb2.ResourceInfo(
            resource_type=row.resource, resource_name=_shortened(name, _MAX_VALUE_BYTES)
        )


def _precondition(error: LedgerError, row: Row) -> error_details_pb2.PreconditionFailure.Violation:
    kind = next(kind for kind in type(error).__mro__ if kind in _PRIVATE_MESSAGES) if row.is_private else None
    description = error.message if kind is None else _PRIVATE_MESSAGES[kind][0]
    return error_details_pb2.PreconditionFailure.Violation(
        type=error.reason,
        subject=_shortened(error.metadata.get("log", ""), _MAX_VALUE_BYTES),
        description=_shortened(description, _MAX_DESCRIPTION_BYTES),
    )


def _batch_violations(error: BatchError) -> Iterator[error_details_pb2.BadRequest.FieldViolation]:
    """Describe the first refused positions, each by the first rule that it breaks."""
    for problem in error.problems[:BATCH_POSITIONS]:
        field, description = f"sections[{problem.position}]", problem.error.message
        if isinstance(problem.error, InvalidRequestError):
            first = problem.error.violations[0]
            field, description = f"{field}.{first.field}", first.description
        elif isinstance(problem.error, EventIdReusedError):
            field = f"{field}.event.event_id"
        yield _violation(field, description, problem.error.reason)


def _bitmap(error: BatchError) -> bytes:
    """Return a bit for each position of the batch, the first in the lowest bit; 1 for refused."""
    bits = bytearray((error.batch_size + 7) // 8)
    for problem in error.problems:
        bits[problem.position // 8] |= 1 << (problem.position % 8)
    return bytes(bits)


def _violation(field: str, description: str, reason: str) -> error_details_pb2.BadRequest.FieldViolation:
    return error_details_pb2.BadRequest.FieldViolation(
        field=_shortened(field, _MAX_FIELD_BYTES),
        description=_shortened(description, _MAX_DESCRIPTION_BYTES),
        reason=reason,
    )


def _build(
    code: grpc.StatusCode,
    message: str,
    info: error_details_pb2.ErrorInfo,
    *more: Message,
    violations: Iterable[error_details_pb2.BadRequest.FieldViolation] = (),
) -> Refusal:
    """Put a status together, with as many violations as fit."""
    text = _shortened(message, _MAX_MESSAGE_BYTES, encoded=True)
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in (info, *more):
        status.details.add().Pack(detail)
    request = error_details_pb2.BadRequest()
    for violation in violations:
        request.field_violations.append(violation)
        longer = status_pb2.Status()
        longer.CopyFrom(status)
        longer.details.add().Pack(request)
        if _trailer_bytes(longer) > MAX_TRAILER_BYTES:
            del request.field_violations[-1]
            break
    if request.field_violations:
        status.details.add().Pack(request)
    return Refusal(code, text, info.reason, status.SerializeToString())


def _trailer_bytes(status: status_pb2.Status) -> int:
    details: int = (status.ByteSize() + 2) // 3 * 4
    return _FRAME_BYTES + _percent_encoded_bytes(status.message) + details


def _percent_encoded_bytes(text: str) -> int:
    """Return how long a message is in its trailer. Source: gRPC over HTTP/2, Percent-Encoded."""
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())


def _shortened(text: str, max_bytes: int, *, encoded: bool = False) -> str:
    """Return a text that is not longer than its limit, cut between characters."""
    measure = _percent_encoded_bytes if encoded else _utf8_bytes
    if measure(text) <= max_bytes:
        return text
    length = bisect_right(range(min(len(text), max_bytes)), max_bytes - 3, key=lambda end: measure(text[:end])) - 1
    return f"{text[:length]}..."


def _utf8_bytes(text: str) -> int:
    return len(text.encode())


def _new_incident() -> str:
    return secrets.token_hex(6)
