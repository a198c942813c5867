"""What a command ends with: the one place where errors become exit codes.

The rule that must not break: programs act on these numbers, so an error never changes its code, and 0 means that
every check which the given trust inputs allow has passed.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import click

from ledger.cli.output import OutputError, describe_os_error
from ledger.errors import (
    ApiKeyNotFoundError,
    AppendsUnansweredError,
    BatchError,
    BatchTooLargeError,
    BufferFullError,
    ClockError,
    ContentUnprovenError,
    DeadlinePassedError,
    EntryNotFoundError,
    EventIdReusedError,
    EventTooLargeError,
    FieldViolation,
    FilePermissionsError,
    ForkError,
    IncompleteEvidenceError,
    IndexBehindError,
    IndexBeyondTreeError,
    InvalidCredentialsError,
    InvalidFilterError,
    InvalidRequestError,
    LedgerError,
    LogExistsError,
    LogNotFoundError,
    LogReadOnlyError,
    LogRetiredError,
    MalformedError,
    OverloadedError,
    PermissionMissingError,
    PolicyNotMetError,
    PublicationBehindError,
    QuotaExceededError,
    RemoteError,
    ServerUnreachableError,
    ShuttingDownError,
    StalledError,
    StateError,
    StateUnreadableError,
    StorageError,
    StorageFormatError,
    TooManyLoginsError,
    UnsupportedError,
    VerificationError,
)


class ExitCode(IntEnum):
    """The exit codes of `logproof`."""

    GOOD = 0
    VERIFICATION_FAILED = 1
    BAD_INPUT = 2
    INCOMPLETE = 3
    """Not found, incomplete evidence, or verified below the level that was required."""
    NOT_PERMITTED = 4
    UNREACHABLE = 5
    """The server cannot be reached, is overloaded, or takes nothing now."""
    FORK = 6
    INTERNAL = 70
    STORAGE = 74
    INTERRUPTED = 130
    """Ended by Ctrl-C, as shells number it."""
    PIPE_CLOSED = 141
    """Whoever read the output stopped reading, as shells number it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ends when an error stops it.

    Attributes:
        code: Exit code.
        message: What happened.
        hint: What to do next; may be empty.
        reason: The error's stable reason, for programs.
    """

    code: ExitCode
    message: str
    hint: str
    reason: str


# The first class that fits counts, so a subclass stands before its base.
_BY_CLASS: Final[tuple[tuple[type[LedgerError], ExitCode], ...]] = (
    (ForkError, ExitCode.FORK),
    (PolicyNotMetError, ExitCode.INCOMPLETE),
    (IncompleteEvidenceError, ExitCode.INCOMPLETE),
    (ContentUnprovenError, ExitCode.INCOMPLETE),
    (VerificationError, ExitCode.VERIFICATION_FAILED),
    (InvalidRequestError, ExitCode.BAD_INPUT),
    (MalformedError, ExitCode.BAD_INPUT),
    (InvalidFilterError, ExitCode.BAD_INPUT),
    (EventTooLargeError, ExitCode.BAD_INPUT),
    (BatchTooLargeError, ExitCode.BAD_INPUT),
    (BatchError, ExitCode.BAD_INPUT),
    (EventIdReusedError, ExitCode.BAD_INPUT),
    (LogExistsError, ExitCode.BAD_INPUT),
    (LogRetiredError, ExitCode.BAD_INPUT),
    (UnsupportedError, ExitCode.BAD_INPUT),
    (LogNotFoundError, ExitCode.INCOMPLETE),
    (ApiKeyNotFoundError, ExitCode.INCOMPLETE),
    (EntryNotFoundError, ExitCode.INCOMPLETE),
    (IndexBeyondTreeError, ExitCode.INCOMPLETE),
    (InvalidCredentialsError, ExitCode.NOT_PERMITTED),
    (PermissionMissingError, ExitCode.NOT_PERMITTED),
    (ServerUnreachableError, ExitCode.UNREACHABLE),
    (OverloadedError, ExitCode.UNREACHABLE),
    (StalledError, ExitCode.UNREACHABLE),
    (TooManyLoginsError, ExitCode.UNREACHABLE),
    (QuotaExceededError, ExitCode.UNREACHABLE),
    (ShuttingDownError, ExitCode.UNREACHABLE),
    (DeadlinePassedError, ExitCode.UNREACHABLE),
    (ClockError, ExitCode.UNREACHABLE),
    (IndexBehindError, ExitCode.UNREACHABLE),
    (PublicationBehindError, ExitCode.UNREACHABLE),
    (LogReadOnlyError, ExitCode.UNREACHABLE),
    (BufferFullError, ExitCode.UNREACHABLE),
    (AppendsUnansweredError, ExitCode.UNREACHABLE),
    (StateError, ExitCode.STORAGE),
    (StateUnreadableError, ExitCode.STORAGE),
    (StorageError, ExitCode.STORAGE),
)

# What to do about it on the command line, where the server's hint speaks to programs.
_HINTS: Final[dict[type[LedgerError], str]] = {
    InvalidCredentialsError: "give a live API key of this log with --api-key-file FILE or LOGPROOF_API_KEY; "
    "the log's administrator makes them",
}

# What the server says of its own storage: its class stands for ours alone, and its status is that of input, too.
_BY_REMOTE_REASON: Final = {
    FilePermissionsError.reason: ExitCode.STORAGE,
    StorageFormatError.reason: ExitCode.STORAGE,
}

# For what the server says with a reason that this version does not know.
_BY_STATUS: Final = {
    "INVALID_ARGUMENT": ExitCode.BAD_INPUT,
    "ALREADY_EXISTS": ExitCode.BAD_INPUT,
    "FAILED_PRECONDITION": ExitCode.BAD_INPUT,
    "UNIMPLEMENTED": ExitCode.BAD_INPUT,
    "NOT_FOUND": ExitCode.INCOMPLETE,
    "OUT_OF_RANGE": ExitCode.INCOMPLETE,
    "UNAUTHENTICATED": ExitCode.NOT_PERMITTED,
    "PERMISSION_DENIED": ExitCode.NOT_PERMITTED,
    "UNAVAILABLE": ExitCode.UNREACHABLE,
    "RESOURCE_EXHAUSTED": ExitCode.UNREACHABLE,
    "DEADLINE_EXCEEDED": ExitCode.UNREACHABLE,
    "ABORTED": ExitCode.UNREACHABLE,
    "CANCELLED": ExitCode.UNREACHABLE,
    "DATA_LOSS": ExitCode.STORAGE,
}

# A disk that fails or is full is not what was given wrong.
_DISK_FAULTS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def ending_of(error: Exception) -> Ending | None:
    """Return how a command ends with this error; None for one that nobody foresaw."""
    if isinstance(error, RemoteError):
        code = _BY_REMOTE_REASON.get(error.remote_reason) or _BY_STATUS.get(error.code, ExitCode.INTERNAL)
        return Ending(code, _with_violations(error.message, error.violations), error.hint, error.remote_reason)
    if isinstance(error, LedgerError):
        return _ending_of_ours(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return Ending(ExitCode.BAD_INPUT, f"name a command\n\n{error.format_message()}", "", "USAGE")
    if isinstance(error, click.ClickException):
        return Ending(ExitCode.BAD_INPUT, error.format_message(), _usage_hint(error), "USAGE")
    return _ending_of_pythons(error)


def _ending_of_pythons(error: Exception) -> Ending | None:
    if isinstance(error, OutputError):
        return Ending(ExitCode.STORAGE, str(error), "", "OUTPUT")
    if isinstance(error, UnicodeError):
        return Ending(
            ExitCode.BAD_INPUT, f"a setting or a file holds what is no text in UTF-8: {error}", "", "NOT_TEXT"
        )
    if isinstance(error, OSError) and error.strerror is not None:
        code = ExitCode.STORAGE if error.errno in _DISK_FAULTS else ExitCode.BAD_INPUT
        return Ending(code, describe_os_error(error), "", "FILE")
    return None


def _ending_of_ours(error: LedgerError) -> Ending | None:
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            violations = error.violations if isinstance(error, InvalidRequestError) else ()
            return Ending(
                code, _with_violations(error.message, violations), _HINTS.get(type(error), error.hint), error.reason
            )
    return None


def _with_violations(message: str, violations: tuple[FieldViolation, ...]) -> str:
    # The first one is the message already.
    more = "".join(f"\n  {found.field}: {found.description}" for found in violations[1:])
    return message + more


def _usage_hint(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"`{error.ctx.command_path} --help` tells more"
    return ""
