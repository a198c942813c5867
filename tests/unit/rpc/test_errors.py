from __future__ import annotations

import base64
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from ledger import errors
from ledger.errors import (
    BatchConflictError,
    BatchInvalidError,
    BatchProblem,
    CorruptionError,
    EventIdReusedError,
    EventTooLargeError,
    FieldViolation,
    InvalidEventError,
    InvalidRequestError,
    LedgerError,
    LogNotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    QuotaExceededError,
    RemoteError,
    ServerUnreachableError,
    StorageError,
    StorageFullError,
    VerificationError,
)
from ledger.rpc.errors import MAX_TRAILER_BYTES, STATUS_TABLE, Refusal, refusal_of
from tests.support.documentation import ROOT

# Raised by clients and by offline checks alone.
_NEVER_SENT = (
    LedgerError,
    VerificationError,
    RemoteError,
    ServerUnreachableError,
    errors.AppendsUnansweredError,
    errors.BufferFullError,
    errors.StateError,
    errors.StateUnreadableError,
)


def _all_classes() -> list[type[LedgerError]]:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in kinds if issubclass(kind, LedgerError)]


def _is_sent(kind: type[LedgerError]) -> bool:
    # BatchError is the base of two; a batch is refused as one of these.
    return kind not in _NEVER_SENT and not issubclass(kind, VerificationError) and kind is not errors.BatchError


def _details(refusal: Refusal) -> status_pb2.Status:
    return status_pb2.Status.FromString(refusal.details)


def _info(refusal: Refusal) -> error_details_pb2.ErrorInfo:
    found = error_details_pb2.ErrorInfo()
    assert _details(refusal).details[0].Unpack(found)
    return found


def _violations(refusal: Refusal) -> list[error_details_pb2.BadRequest.FieldViolation]:
    for detail in _details(refusal).details:
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request):
            return list(request.field_violations)
    return []


def _travelling_bytes(refusal: Refusal) -> int:
    trailers = {
        "grpc-status": str(refusal.code.value[0]),
        "grpc-message": quote(refusal.message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        "grpc-status-details-bin": base64.b64encode(refusal.details).decode(),
    }
    return sum(len(name) + len(value) for name, value in trailers.items())


def test_every_error_that_a_call_can_meet_has_its_own_row() -> None:
    without = [kind.__name__ for kind in _all_classes() if _is_sent(kind) and kind not in STATUS_TABLE]

    assert without == []


def test_no_error_of_clients_or_offline_checks_has_a_row() -> None:
    assert [kind.__name__ for kind in STATUS_TABLE if not _is_sent(kind)] == []


def test_reasons_are_unique_but_for_the_base_of_batch_errors() -> None:
    kinds = [kind for kind in _all_classes() if kind is not errors.BatchError]

    assert len({kind.reason for kind in kinds}) == len(kinds)


def test_the_page_of_errors_tells_class_code_and_reason_of_each_row() -> None:
    lines = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    told = {tuple(row[:3]) for row in cells if len(row) >= 4 and row[3]}

    for kind, row in STATUS_TABLE.items():
        assert (f"`{kind.__name__}`", f"`{row.code.name}`", f"`{kind.reason}`") in told


def test_an_error_is_sent_with_reason_domain_metadata_and_hint() -> None:
    refusal = refusal_of(LogNotFoundError("there is no log 'x'", hint="list the logs", metadata={"log": "x"}))

    info = _info(refusal)
    assert (refusal.code, refusal.message) == (grpc.StatusCode.NOT_FOUND, "there is no log 'x'")
    assert (info.reason, info.domain) == ("LOG_NOT_FOUND", "logproof")
    assert dict(info.metadata) == {"log": "x", "hint": "list the logs"}
    assert _details(refusal).code == grpc.StatusCode.NOT_FOUND.value[0]
    assert _details(refusal).message == refusal.message


def test_what_can_be_tried_again_says_when() -> None:
    found = error_details_pb2.RetryInfo()

    assert any(detail.Unpack(found) for detail in _details(refusal_of(OverloadedError("busy"))).details)
    assert found.retry_delay.nanos == 200_000_000


@pytest.mark.parametrize(
    "kind", [kind for kind, row in STATUS_TABLE.items() if row.code is grpc.StatusCode.FAILED_PRECONDITION]
)
def test_what_must_be_put_right_first_is_told_as_a_precondition(kind: type[LedgerError]) -> None:
    refusal = refusal_of(kind("/secret/path", metadata={"log": "acme"}))
    found = error_details_pb2.PreconditionFailure()

    assert any(detail.Unpack(found) for detail in _details(refusal).details)
    (violation,) = found.violations
    assert (violation.type, violation.subject) == (kind.reason, "acme")
    assert violation.description
    assert not _info(refusal).metadata.get("hint", "").startswith("retry")
    assert (b"/secret" in refusal.details) is not STATUS_TABLE[kind].is_private


def test_all_violations_of_a_request_are_sent() -> None:
    error = InvalidRequestError([FieldViolation("begin", "is 5"), FieldViolation("end", "is 4")])

    assert [found.field for found in _violations(refusal_of(error))] == ["begin", "end"]


def _invalid(position: int, field: str = "event.action", description: str = "is empty") -> BatchProblem:
    return BatchProblem(position, InvalidEventError([FieldViolation(field, description)]))


def test_a_refused_batch_names_positions_fields_and_reasons_and_marks_all_of_them() -> None:
    problems = [_invalid(1), BatchProblem(9, EventTooLargeError("event is 40000 bytes; the limit is 32768"))]

    refusal = refusal_of(BatchInvalidError(problems, 20))

    found = [(violation.field, violation.description, violation.reason) for violation in _violations(refusal)]
    assert found == [
        ("sections[1].event.action", "is empty", "EVENT_INVALID"),
        ("sections[9]", "event is 40000 bytes; the limit is 32768", "EVENT_TOO_LARGE"),
    ]
    bits = base64.b64decode(_info(refusal).metadata["bitmap"])
    assert [place for place in range(20) if bits[place // 8] >> place % 8 & 1] == [1, 9]
    assert (len(bits), _info(refusal).metadata["refused"]) == (3, "2")


def test_a_conflicting_batch_names_the_event_ids() -> None:
    error = BatchConflictError([BatchProblem(4, EventIdReusedError("event id x is in the log with other bytes"))], 5)

    refusal = refusal_of(error)

    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert _violations(refusal)[0].field == "sections[4].event.event_id"


def test_a_batch_in_which_all_is_wrong_fits_and_describes_at_most_twenty_positions() -> None:
    plain = refusal_of(BatchInvalidError([_invalid(position) for position in range(1000)], 1000))
    wordy = refusal_of(BatchInvalidError([_invalid(n, "event.metadata", "x" * 4000) for n in range(1000)], 1000))

    assert len(_violations(plain)) == 20
    assert 1 <= len(_violations(wordy)) < 20
    for refusal in (plain, wordy):
        assert _travelling_bytes(refusal) <= MAX_TRAILER_BYTES
        assert len(base64.b64decode(_info(refusal).metadata["bitmap"])) == 125


_WORDS = st.text(st.characters(codec="utf-8"), max_size=3000)


@given(_WORDS, st.lists(st.tuples(_WORDS, _WORDS), min_size=1, max_size=30), st.dictionaries(st.just("a"), _WORDS))
def test_no_error_is_larger_than_its_limit_and_no_character_is_cut(
    hint: str, violations: list[tuple[str, str]], metadata: dict[str, str]
) -> None:
    error = InvalidEventError([FieldViolation(*found) for found in violations], hint=hint)
    error.metadata.update(metadata)

    refusal = refusal_of(error)

    assert _travelling_bytes(refusal) <= MAX_TRAILER_BYTES
    for violation, (field, description) in zip(_violations(refusal), violations, strict=False):
        for shown, whole in ((violation.field, field), (violation.description, description)):
            assert shown == whole or (shown.endswith("...") and whole.startswith(shown[:-3]))


def test_what_nobody_foresaw_is_told_as_an_incident_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    refusal = refusal_of(RuntimeError("a password and a path"))

    incident = _info(refusal).metadata["incident"]
    assert refusal.code is grpc.StatusCode.INTERNAL
    assert refusal.message == f"internal error, incident {incident}"
    assert b"password" not in refusal.details
    assert caplog.records[0].__dict__["incident"] == incident
    assert caplog.records[0].exc_info is not None


def test_an_error_that_is_never_sent_is_told_as_an_incident() -> None:
    assert refusal_of(VerificationError("secret")).code is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("error", "code", "is_logged"),
    [
        (StorageError("/data/x cannot be read"), grpc.StatusCode.UNAVAILABLE, True),
        (CorruptionError("/data/x is wrong", metadata={"path": "/data/x"}), grpc.StatusCode.DATA_LOSS, True),
        (StorageFullError("/data/x is full"), grpc.StatusCode.RESOURCE_EXHAUSTED, False),
        (OutcomeUnknownError("/data/x failed"), grpc.StatusCode.UNAVAILABLE, False),
    ],
    ids=["storage", "corruption", "full", "unknown"],
)
def test_a_failure_of_storage_names_no_file_of_the_server(
    error: LedgerError, code: grpc.StatusCode, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = refusal_of(error)

    assert (refusal.code, refusal.reason) == (code, error.reason)
    assert b"/data/x" not in refusal.details
    incidents = [record.__dict__["incident"] for record in caplog.records]
    assert incidents == ([_info(refusal).metadata["incident"]] if is_logged else [])


def test_a_damaged_entry_is_named() -> None:
    assert _info(refusal_of(CorruptionError("wrong", metadata={"leafIndex": "7"}))).metadata["leafIndex"] == "7"


def test_a_call_that_found_no_memory_is_told_to_come_back() -> None:
    refusal = refusal_of(MemoryError())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SEQUENCER_BUSY")
    assert _info(refusal).metadata["hint"].startswith("retry")


def test_a_quota_is_named_with_whose_it_is_and_when_there_is_room_again() -> None:
    refusal = refusal_of(QuotaExceededError("used up", metadata={"credential": "key-1"}, retry_seconds=2.5))
    quota, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()

    assert any(detail.Unpack(quota) for detail in _details(refusal).details)
    assert any(detail.Unpack(retry) for detail in _details(refusal).details)
    assert [(found.subject, found.description) for found in quota.violations] == [("key-1", "used up")]
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (2, 500_000_000)
