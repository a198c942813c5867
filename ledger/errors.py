"""Everything that can go wrong, as one tree.

Two audiences: wrong use of a function is `ValueError` or `TypeError` and is never caught; the world (input, peers,
disks, forged proofs) is `LedgerError`. Each class has one `reason`, stable and unique, that programs act on; the
message is for people and names the cause, the value and the limit; `hint` says what to do next. This module knows
no transport: `ledger/rpc/errors.py` maps each class to a gRPC status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

_OFFSET: Final = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One rule that one field of the input breaks.

    Attributes:
        field: Path of the field, such as `event.actor.id`.
        description: The rule, the limit and what was found, in words.
    """

    field: str
    description: str


class LedgerError(Exception):
    """Base of every error that is about the world, not about wrong use."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        """Keep the message, what to do next, and the message's variables for programs.

        Args:
            message: Cause, value and limit.
            hint: What the reader should do next; may be empty.
            metadata: The variables of the message under lower-camel keys.
            retry_seconds: When it is worth trying again, where that is known better than for the class as a whole.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.metadata = dict(metadata or {})
        self.retry_seconds = retry_seconds


def another(error: LedgerError) -> LedgerError:
    """Return an error that says the same, for one more caller.

    An exception keeps the frames that it went through. Raised for two callers at once it would keep those of both, and
    what the one does with them would befall the other.
    """
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    copied.__cause__ = error.__cause__
    return copied


# Input


class MalformedError(LedgerError):
    """Bytes or text do not have the form that they should have."""

    reason = "MALFORMED"


class InvalidRequestError(LedgerError):
    """A field of a request breaks a rule."""

    reason = "REQUEST_INVALID"

    def __init__(self, violations: Sequence[FieldViolation], *, hint: str = "") -> None:
        """Keep all violations, the first of them as the message."""
        first = violations[0]
        super().__init__(f"{first.field}: {first.description}", hint=hint, metadata={"field": first.field})
        self.violations = tuple(violations)


class InvalidEventError(InvalidRequestError):
    """An event section breaks the strict-bytes rule or a limit."""

    reason = "EVENT_INVALID"


class NewerSchemaError(InvalidEventError):
    """A section names a schema version that this reader does not know, so its content was not read."""

    reason = "SCHEMA_NEWER"

    def __init__(self, field: str, schema: int, known: int) -> None:
        """Keep the version that the section names and the newest one known."""
        super().__init__(
            [FieldViolation(field, f"is schema version {schema}; the newest one known here is {known}")],
            hint="read it with a newer version; servers are upgraded before clients",
        )
        self.schema = schema


class InvalidFilterError(LedgerError):
    """A filter is not well-formed, names something that there is not, or is beyond a limit."""

    reason = "FILTER_INVALID"

    @property
    def offset(self) -> int | None:
        """Place of the first character that does not fit, from 0; None where it is about no place in a text."""
        text = self.metadata.get("offset", "")
        return int(text) if _OFFSET.fullmatch(text) else None


class EventTooLargeError(LedgerError):
    """A section is larger than its limit."""

    reason = "EVENT_TOO_LARGE"


class BatchTooLargeError(LedgerError):
    """A batch has more events or bytes than its limit."""

    reason = "BATCH_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class BatchProblem:
    """Why one position of a batch was refused.

    Attributes:
        position: Position in the batch, from 0.
        error: The error that the event would get alone.
    """

    position: int
    error: LedgerError


class BatchError(LedgerError):
    """Events of a batch were refused, so none was appended."""

    def __init__(self, problems: Sequence[BatchProblem], batch_size: int) -> None:
        """Keep all problems, ascending by position."""
        first = problems[0]
        super().__init__(
            f"{len(problems)} of {batch_size} events were refused, so none was appended; "
            f"the first is at position {first.position}: {first.error.message}",
            hint="set the refused events aside and send the rest again",
            metadata={"refused": str(len(problems)), "batchSize": str(batch_size), "position": str(first.position)},
        )
        self.problems = tuple(problems)
        self.batch_size = batch_size


class BatchInvalidError(BatchError):
    """Events of a batch are invalid."""

    reason = "BATCH_INVALID"


class BatchConflictError(BatchError):
    """Event ids of a batch are taken by other bytes."""

    reason = "BATCH_CONFLICT"


class EventIdReusedError(LedgerError):
    """The event id is in the log with other bytes."""

    reason = "EVENT_ID_REUSED"


# Access


class InvalidCredentialsError(LedgerError):
    """The credential is missing, malformed, unknown, expired or revoked; which one is not told."""

    reason = "CREDENTIALS_INVALID"


class PermissionMissingError(LedgerError):
    """The credential is good but does not allow this, on this log."""

    reason = "PERMISSION_MISSING"


# State


class LogNotFoundError(LedgerError):
    """The log does not exist; told only to those who may know."""

    reason = "LOG_NOT_FOUND"


class LogExistsError(LedgerError):
    """A log of that name exists."""

    reason = "LOG_EXISTS"


class ApiKeyNotFoundError(LedgerError):
    """The log has no credential of that id."""

    reason = "API_KEY_NOT_FOUND"


class EntryNotFoundError(LedgerError):
    """No entry has that event id or leaf hash."""

    reason = "ENTRY_NOT_FOUND"


class IndexBeyondTreeError(LedgerError):
    """An index or size is beyond the tree."""

    reason = "INDEX_BEYOND_TREE"


class LogReadOnlyError(LedgerError):
    """The log signs no new head and takes no appends."""

    reason = "LOG_READ_ONLY"


class LogRetiredError(LedgerError):
    """The log was ended in good order: it takes no events any more, and all else of it goes on."""

    reason = "LOG_RETIRED"


class UnsupportedError(LedgerError):
    """The server cannot do this."""

    reason = "FEATURE_DISABLED"


# Load and outcome


class QuotaExceededError(LedgerError):
    """The credential has used up its own quota, or calls without one that of their address."""

    reason = "QUOTA_EXCEEDED"


class TooManyLoginsError(LedgerError):
    """Too many bad credentials came from the caller's address, so none that is new is looked at for a while."""

    reason = "LOGINS_LIMITED"


class OverloadedError(LedgerError):
    """The server is busy: a queue is full, too many calls run, or the wait would be too long."""

    reason = "SEQUENCER_BUSY"


class StalledError(LedgerError):
    """The caller sent nothing, or took nothing, for too long, so its call was ended."""

    reason = "CALL_STALLED"


class ShuttingDownError(LedgerError):
    """The server is stopping and takes nothing new."""

    reason = "SHUTTING_DOWN"


class DeadlinePassedError(LedgerError):
    """The caller's deadline passed before the append was taken; nothing was appended."""

    reason = "DEADLINE_PASSED"


class ClockError(LedgerError):
    """The wall clock cannot be trusted, so nothing is time-stamped."""

    reason = "CLOCK"


class PublicationBehindError(LedgerError):
    """The published head does not yet have the size asked for."""

    reason = "PUBLICATION_BEHIND"


class IndexBehindError(LedgerError):
    """The index does not have the entries asked for, or not yet."""

    reason = "INDEX_BEHIND"


# Storage


class StorageError(LedgerError):
    """The storage cannot be used."""

    reason = "STORAGE_UNAVAILABLE"


class StorageFullError(StorageError):
    """Disk or map full: the write was definitely not done."""

    reason = "STORAGE_FULL"


class OutcomeUnknownError(StorageError):
    """A write failed in a way that leaves open whether it was done; safe to retry."""

    reason = "OUTCOME_UNKNOWN"


class StorageBusyError(StorageError):
    """Another process owns the data directory."""

    reason = "STORAGE_BUSY"


class StorageFormatError(StorageError):
    """The data was written by a newer version, or is not ours."""

    reason = "STORAGE_FORMAT"


class FilePermissionsError(StorageError):
    """A file with a secret may be read by others."""

    reason = "FILE_PERMISSIONS"


class CorruptionError(StorageError):
    """Stored data is in an impossible state."""

    reason = "LOG_CORRUPTED"


# Verification; never on the wire, raised by clients and offline checks


class VerificationError(LedgerError):
    """Something that should prove a fact does not."""

    reason = "VERIFICATION_FAILED"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
        first_note: bytes = b"",
        second_note: bytes = b"",
    ) -> None:
        """Keep the two signed notes that the failure is about, the trusted one first; empty where it is about none."""
        super().__init__(message, hint=hint, metadata=metadata)
        self.first_note = first_note
        self.second_note = second_note


class InvalidProofError(VerificationError):
    """The hashes do not lead to the root, or the proof has the wrong length."""

    reason = "PROOF_INVALID"


class InvalidSignatureError(VerificationError):
    """A note has no valid signature of a known key, or an invalid one."""

    reason = "SIGNATURE_INVALID"


class WrongOriginError(VerificationError):
    """A checkpoint is of another log."""

    reason = "ORIGIN_MISMATCH"


class ContentMismatchError(VerificationError):
    """A leaf or section is not what was sent, committed to or asked for."""

    reason = "CONTENT_MISMATCH"


class RollbackError(VerificationError):
    """A log showed a smaller head than before, without proof that it is a prefix."""

    reason = "ROLLBACK"


class PolicyNotMetError(VerificationError):
    """What was verified is below the level that was asked for."""

    reason = "LEVEL_NOT_MET"


class IncompleteEvidenceError(VerificationError):
    """Something that the verification needs is not there, so it neither passed nor failed."""

    reason = "EVIDENCE_INCOMPLETE"


class ForkError(VerificationError):
    """Two heads of one log contradict each other; carries the evidence."""

    reason = "FORK"

    def __init__(self, message: str, first_note: bytes, second_note: bytes, *, hint: str = "") -> None:
        """Keep both signed notes, which a third party can check."""
        super().__init__(message, hint=hint, first_note=first_note, second_note=second_note)


class StaleHeadError(VerificationError):
    """The newest head that a server gives is older than the trusted one, where all that is trusted was asked for."""

    reason = "HEAD_STALE"


class ContentUnprovenError(VerificationError):
    """An event id is proven to be in the log, and nothing proves that it is there with the content that was sent."""

    reason = "CONTENT_UNPROVEN"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
        receipt: object = None,
        receipts: Sequence[object] = (),
    ) -> None:
        """Keep what was proven.

        Args:
            message: Cause, value and limit.
            hint: What the reader should do next.
            metadata: The variables of the message.
            receipt: The `ledger.client.Receipt` of the first such event: it proves a place in the log alone.
            receipts: The receipts of all events of the call, in their order.
        """
        super().__init__(message, hint=hint, metadata=metadata)
        self.receipt = receipt
        self.receipts = tuple(receipts)


# Client


class ServerUnreachableError(LedgerError):
    """The server did not answer, or answered that it is overloaded."""

    reason = "SERVER_UNREACHABLE"


class BufferFullError(LedgerError):
    """The client's buffer of appends had no room until the deadline; the event was not sent."""

    reason = "BUFFER_FULL"


class AppendsUnansweredError(LedgerError):
    """A client was closed before the server had answered all appends; carries the ids of their events."""

    reason = "APPENDS_UNANSWERED"

    def __init__(self, event_ids: Sequence[str]) -> None:
        """Keep the ids, in the order in which the events were appended."""
        shown = ", ".join(event_ids[:3]) + (" and more" if len(event_ids) > 3 else "")
        super().__init__(
            f"{len(event_ids)} events have an unknown outcome, because the server did not answer in time: {shown}",
            hint="append them again with the same ids and bytes: what was done is found, what was not is done once",
            metadata={"events": str(len(event_ids))},
        )
        self.event_ids = tuple(event_ids)


class StateError(LedgerError):
    """The call was done and its answer verified, but the newest trusted head could not be kept on disk."""

    reason = "STATE_NOT_KEPT"


class StateUnreadableError(LedgerError):
    """What is trusted cannot be read from disk; nothing was asked of the server."""

    reason = "STATE_UNREADABLE"


class RemoteError(LedgerError):
    """The server refused a call; carries what it said."""

    reason = "REMOTE"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        remote_reason: str,
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        """Keep the status code's name, the server's reason, and its details."""
        super().__init__(message, hint=hint, metadata=metadata)
        self.code = code
        self.remote_reason = remote_reason
        self.violations = tuple(violations)
