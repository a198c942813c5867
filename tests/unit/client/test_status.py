"""Errors as the server sends them come back as what they are."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import grpc
import pytest

from ledger.client._status import error_of, failure_of
from ledger.errors import (
    BatchConflictError,
    BatchInvalidError,
    BatchProblem,
    CorruptionError,
    EntryNotFoundError,
    EventIdReusedError,
    EventTooLargeError,
    FieldViolation,
    InvalidCredentialsError,
    InvalidEventError,
    LedgerError,
    LogNotFoundError,
    LogReadOnlyError,
    LogRetiredError,
    OverloadedError,
    PermissionMissingError,
    RemoteError,
    ServerUnreachableError,
    StorageFullError,
)
from ledger.rpc.errors import DETAILS_KEY, refusal_of


class Trailer(NamedTuple):
    key: str
    value: str | bytes


class Failed(grpc.RpcError):
    """What grpc raises for a call that failed."""

    def __init__(self, code: grpc.StatusCode, message: str, details: bytes | None = None) -> None:
        self._code, self._message, self._details = code, message, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> Any:
        return (Trailer("other", "x"), Trailer(DETAILS_KEY, self._details)) if self._details is not None else ()


def _sent(error: Exception) -> grpc.RpcError:
    refusal = refusal_of(error)
    return Failed(refusal.code, refusal.message, refusal.details)


@pytest.mark.parametrize(
    "kind",
    [
        EntryNotFoundError,
        EventIdReusedError,
        EventTooLargeError,
        InvalidCredentialsError,
        LogNotFoundError,
        LogReadOnlyError,
        LogRetiredError,
        OverloadedError,
        PermissionMissingError,
    ],
)
def test_error_of_a_known_reason_is_of_its_class(kind: type[LedgerError]) -> None:
    sent = kind("what happened", hint="what to do", metadata={"log": "acme"})

    found = error_of(_sent(sent), "127.0.0.1:1")

    assert type(found) is kind
    assert (found.message, found.hint, found.metadata["log"]) == ("what happened", "what to do", "acme")


def test_invalid_event_names_every_field() -> None:
    violations = [FieldViolation("event.action", "is bad"), FieldViolation("event.actor.id", "is long")]

    found = error_of(_sent(InvalidEventError(violations)), "127.0.0.1:1")

    assert isinstance(found, InvalidEventError)
    assert list(found.violations) == violations


@pytest.mark.parametrize("kind", [BatchInvalidError, BatchConflictError])
def test_refused_batch_tells_all_positions_and_describes_the_first(
    kind: type[BatchInvalidError | BatchConflictError],
) -> None:
    problems = [BatchProblem(0, EventIdReusedError("taken")), BatchProblem(3, EventTooLargeError("too large"))]
    problems += [BatchProblem(n, InvalidEventError([FieldViolation("event.action", "bad")])) for n in range(5, 900, 7)]

    found = error_of(_sent(kind(problems, 1000)), "127.0.0.1:1")

    assert isinstance(found, kind)
    assert [problem.position for problem in found.problems] == [problem.position for problem in problems]
    assert found.batch_size == 1000
    assert [type(problem.error) for problem in found.problems[:3]] == [
        EventIdReusedError,
        EventTooLargeError,
        InvalidEventError,
    ]
    described = found.problems[2].error
    assert isinstance(described, InvalidEventError)
    assert described.violations == (FieldViolation("event.action", "bad"),)
    last = EventIdReusedError if kind is BatchConflictError else InvalidEventError
    assert type(found.problems[-1].error) is last


def test_storage_of_the_server_is_not_mistaken_for_ours() -> None:
    for sent in (StorageFullError("no space on /dev/x"), CorruptionError("leaf 5 is wrong")):
        found = error_of(_sent(sent), "127.0.0.1:1")

        assert isinstance(found, RemoteError)
        assert found.remote_reason == sent.reason
        assert "/dev/x" not in found.message


def test_unforeseen_error_of_the_server_gives_its_incident() -> None:
    found = error_of(_sent(RuntimeError("secret")), "127.0.0.1:1")

    assert isinstance(found, RemoteError)
    assert found.code == "INTERNAL"
    assert "incident" in found.metadata
    assert "secret" not in found.message


def test_retry_delay_of_the_server_is_read() -> None:
    assert failure_of(_sent(OverloadedError("busy"))).retry_after_seconds == pytest.approx(0.2)
    assert failure_of(_sent(LogNotFoundError("none"))).retry_after_seconds is None


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_no_answer_is_unreachable(code: grpc.StatusCode) -> None:
    found = error_of(Failed(code, "failed to connect to all addresses; last error: UNKNOWN: refused"), "host:1")

    assert isinstance(found, ServerUnreachableError)
    assert found.message == "the server at host:1 did not answer: refused"


def test_certificate_trouble_points_to_the_authority() -> None:
    found = error_of(Failed(grpc.StatusCode.UNAVAILABLE, "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED"), "host:1")

    assert "--tls-ca" in found.hint


@pytest.mark.parametrize("details", [b"\xff\xff", b""])
def test_details_that_cannot_be_read_are_left_aside(details: bytes) -> None:
    found = error_of(Failed(grpc.StatusCode.NOT_FOUND, "none", details), "host:1")

    assert isinstance(found, RemoteError)
    assert found.code == "NOT_FOUND"


def test_details_of_another_status_are_left_aside() -> None:
    refusal = refusal_of(PermissionMissingError("no"))
    found = error_of(Failed(grpc.StatusCode.NOT_FOUND, "none", refusal.details), "host:1")

    assert cast("RemoteError", found).remote_reason == ""
