"""Several events of one message of a stream, each decided for itself.

To the engine they are one request, so a message costs one place in the queue, one wake-up and one proof. The rule that
must not break: what is wrong with one event is the answer to that event alone; what is wrong with the message, or with
the log, is the answer to all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ledger.engine.kernel import check_batch
from ledger.engine.requests import AppendResult
from ledger.errors import LedgerError
from ledger.rpc.appends import Appends, Submitted, pairs_within_limits
from ledger.rpc.binding import Call
from ledger.rpc.convert import acknowledgement_message, checkpoint_message
from ledger.rpc.errors import refusal_of
from ledger.rpc.parts import Parts
from ledger.v1 import ledger_pb2


@dataclass(frozen=True, slots=True)
class SubmittedEvents:
    """The events of a message that wait for their commit.

    Attributes:
        count: How many the message has.
        invalid: Errors of those that were refused before the queue, by position.
        submitted: The others; None where there are none.
    """

    count: int
    invalid: Mapping[int, LedgerError]
    submitted: Submitted | None


class IndependentAppends:
    """Appends the events of messages."""

    def __init__(self, parts: Parts, appends: Appends) -> None:
        """Keep the parts."""
        self._parts = parts
        self._appends = appends

    def submit(self, call: Call, log: str, request: ledger_pb2.AppendStreamRequest) -> SubmittedEvents:
        """Check the events and queue the good ones; blocks only where the log is not open.

        Raises:
            LedgerError: The whole message was refused; nothing is queued.
        """
        self._appends.check_options(log, request.options)
        pairs = pairs_within_limits(request.events)
        entries, invalid = check_batch(self._appends.kernel, pairs)
        submitted = self._appends.queue(call, log, entries, request.options, independent=True) if entries else None
        return SubmittedEvents(len(pairs), invalid, submitted)

    async def acknowledge(self, item: SubmittedEvents, shown_size: int) -> ledger_pb2.EventResults:
        """Return the answer to a message, once what is new is durable.

        Args:
            item: The message.
            shown_size: Size of the newest checkpoint that the stream has given; 0 for none.

        Raises:
            LedgerError: All events were refused, or whether they were appended is not known.
        """
        answer = ledger_pb2.EventResults()
        if item.submitted is None:
            self._add_results(answer, item.count, item.invalid, None)
            return answer
        result = await self._parts.completions.wait(item.submitted.future)
        self._add_results(answer, item.count, item.invalid, result)
        if result.entries:
            answer.checkpoint.CopyFrom(checkpoint_message(result.head))
            proofs = item.submitted.proofs.starting_at(shown_size)
            if proofs.are_wanted:
                await self._parts.workers.run(lambda: self._appends.prove_entries(proofs, result, answer))
        return answer

    def _add_results(
        self,
        answer: ledger_pb2.EventResults,
        count: int,
        invalid: Mapping[int, LedgerError],
        result: AppendResult | None,
    ) -> None:
        """Put the answers of both, those before the queue and those of the engine, in the order of the message."""
        refused = dict(invalid)
        if result is not None and result.refused:
            # The engine counts the positions of what reached it.
            taken = [position for position in range(count) if position not in invalid]
            refused.update({taken[position]: error for position, error in result.refused.items()})
        acknowledged = iter(result.entries if result is not None else ())
        add = answer.results.add
        if not refused:
            for entry in acknowledged:
                add(acknowledgement=acknowledgement_message(entry))
            return
        for position in range(count):
            error = refused.get(position)
            if error is None:
                add(acknowledgement=acknowledgement_message(next(acknowledged)))
            else:
                add(error=stream_error(self._parts, error))


def stream_error(parts: Parts, error: Exception, events: int = 1) -> ledger_pb2.StreamError:
    """Return an error as a stream tells it, and count the events that it refuses."""
    refusal = refusal_of(error)
    parts.metrics.refused(refusal.reason, events)
    return ledger_pb2.StreamError(code=refusal.code.value[0], message=refusal.message, status=refusal.details)
