"""The errors of appends that have no answer, in words that say whether the event may be in the log."""

from __future__ import annotations

from ledger.client._buffer import Place, Waiting
from ledger.errors import BufferFullError, DeadlinePassedError, LedgerError, ServerUnreachableError

_AGAIN = "append it again with the same event id and bytes: what was done is found, what was not is done once"


def error_without_answer(waiting: Waiting, place: Place, address: str, last_error: LedgerError | None) -> LedgerError:
    """Return why an append has no answer.

    Args:
        waiting: The append.
        place: Where it was when its caller left.
        address: Where the server is called.
        last_error: What the last attempt to send anything ended with, if none has succeeded since.
    """
    metadata = {"eventId": waiting.event_id}
    if last_error is not None:
        error = own_copy(last_error)
        error.metadata.update(metadata)
        return error
    if waiting.was_sent:
        return ServerUnreachableError(
            f"the server at {address} did not answer in time; whether the event {waiting.event_id} is in the log is "
            "not known",
            hint=_AGAIN,
            metadata=metadata,
        )
    if place is Place.OUTSIDE:
        return BufferFullError(
            f"the buffer of appends had no room in time; the event {waiting.event_id} was not sent",
            hint="append less at a time, or wait longer; the server at the other end is slower than what comes",
            metadata=metadata,
        )
    return DeadlinePassedError(
        f"the deadline passed before the event {waiting.event_id} was sent; nothing was appended",
        hint="retry with the same bytes, and a longer deadline",
        metadata=metadata,
    )


def own_copy(error: LedgerError) -> LedgerError:
    """Return the same error for one more caller: who raises it adds a traceback of his own."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    copy.metadata = dict(error.metadata)
    copy.__cause__ = error
    return copy
