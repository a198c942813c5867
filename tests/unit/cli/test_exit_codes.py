from __future__ import annotations

import errno
import os

import click
import pytest

from ledger import errors
from ledger.cli.exit_codes import ExitCode, ending_of
from ledger.errors import (
    BatchInvalidError,
    BatchProblem,
    FieldViolation,
    ForkError,
    InvalidRequestError,
    LedgerError,
    NewerSchemaError,
    RemoteError,
)


def _classes(base: type[LedgerError] = LedgerError) -> list[type[LedgerError]]:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, base)]
    return [kind for kind in found if kind is not LedgerError]


def _make(kind: type[LedgerError]) -> LedgerError:  # noqa: PLR0911 - one for each way in which they are made
    if kind is NewerSchemaError:
        return NewerSchemaError("event", 2, 1)
    if issubclass(kind, InvalidRequestError):
        return kind([FieldViolation("field", "is bad")])
    if issubclass(kind, errors.BatchError):
        return kind([BatchProblem(0, InvalidRequestError([FieldViolation("field", "is bad")]))], 1)
    if issubclass(kind, errors.AppendsUnansweredError):
        return kind(["event-1"])
    if issubclass(kind, ForkError):
        return ForkError("forked", b"first", b"second")
    if issubclass(kind, RemoteError):
        return RemoteError("refused", code="NOT_FOUND", remote_reason="X")
    return kind("what happened", hint="what to do")


@pytest.mark.parametrize("kind", _classes(), ids=lambda kind: kind.__name__)
def test_every_error_has_an_ending(kind: type[LedgerError]) -> None:
    ending = ending_of(_make(kind))

    assert ending is not None
    assert ending.code not in {ExitCode.GOOD, ExitCode.INTERNAL}
    assert ending.message


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("VerificationError", 1),
        ("InvalidProofError", 1),
        ("RollbackError", 1),
        ("ContentMismatchError", 1),
        ("MalformedError", 2),
        ("InvalidEventError", 2),
        ("EventIdReusedError", 2),
        ("EntryNotFoundError", 3),
        ("LogNotFoundError", 3),
        ("IndexBeyondTreeError", 3),
        ("PolicyNotMetError", 3),
        ("IncompleteEvidenceError", 3),
        ("ContentUnprovenError", 3),
        ("StaleHeadError", 1),
        ("StateError", 74),
        ("StateUnreadableError", 74),
        ("InvalidCredentialsError", 4),
        ("PermissionMissingError", 4),
        ("ServerUnreachableError", 5),
        ("OverloadedError", 5),
        ("QuotaExceededError", 5),
        ("ForkError", 6),
        ("StorageError", 74),
        ("CorruptionError", 74),
        ("StorageBusyError", 74),
    ],
)
def test_error_ends_with_its_code(kind: str, code: int) -> None:
    ending = ending_of(_make(getattr(errors, kind)))

    assert ending is not None
    assert ending.code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("INVALID_ARGUMENT", 2),
        ("NOT_FOUND", 3),
        ("UNAUTHENTICATED", 4),
        ("PERMISSION_DENIED", 4),
        ("UNAVAILABLE", 5),
        ("RESOURCE_EXHAUSTED", 5),
        ("DATA_LOSS", 74),
        ("INTERNAL", 70),
        ("SOMETHING_NEW", 70),
    ],
)
def test_answer_with_a_reason_that_is_not_known_ends_by_its_status(status: str, code: int) -> None:
    ending = ending_of(RemoteError("refused", code=status, remote_reason="NEW_REASON"))

    assert ending is not None
    assert (ending.code, ending.reason) == (code, "NEW_REASON")


def test_all_violations_are_told() -> None:
    ending = ending_of(InvalidRequestError([FieldViolation("a", "is bad"), FieldViolation("b", "is worse")]))

    assert ending is not None
    assert "a: is bad" in ending.message
    assert "b: is worse" in ending.message


def test_refused_batch_is_bad_input() -> None:
    ending = ending_of(_make(BatchInvalidError))

    assert ending is not None
    assert ending.code == 2


def test_wrong_usage_and_missing_files_are_bad_input() -> None:
    for error in (
        click.UsageError("no"),
        click.FileError("f"),
        FileNotFoundError(2, "No such file", "f"),
        PermissionError(13, "Permission denied", "f"),
    ):
        ending = ending_of(error)
        assert ending is not None
        assert ending.code == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_disk_that_fails_is_no_bad_input(number: int) -> None:
    ending = ending_of(OSError(number, os.strerror(number), "f"))

    assert ending is not None
    assert (ending.code, ending.message) == (74, f"f: {os.strerror(number)}")


@pytest.mark.parametrize(
    ("reason", "code"),
    [("FILE_PERMISSIONS", 74), ("STORAGE_FORMAT", 74), ("LOG_READ_ONLY", 2)],
)
def test_storage_of_the_server_is_told_apart_from_other_preconditions(reason: str, code: int) -> None:
    ending = ending_of(RemoteError("refused", code="FAILED_PRECONDITION", remote_reason=reason))

    assert ending is not None
    assert ending.code == code


def test_what_nobody_foresaw_has_no_ending() -> None:
    assert ending_of(ValueError("bug")) is None
    assert ending_of(OSError("no file in it")) is None
    assert ending_of(LedgerError("bare")) is None
