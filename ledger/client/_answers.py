"""What the answers of a stream of appends prove.

The rule that must not break: an answer is believed whole or not at all. One signature and one proof stand for all
events of a message, so nothing of a message is handed out of which anything does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ledger.client._calls import (
    Acknowledged,
    append_events_request,
    check_places,
    consistency_hashes,
    verify_acknowledgements,
)
from ledger.client._shared_proof import SharedProof
from ledger.client._status import error_of
from ledger.client.trust import Head, HeadSource, Trust
from ledger.client.values import Sections
from ledger.errors import ContentMismatchError, IndexBeyondTreeError, LedgerError
from ledger.v1 import ledger_pb2


class Proven(NamedTuple):
    """What the answer proves of one event.

    Attributes:
        acknowledged: The verified acknowledgement.
        proof: The proof that it shares with the others of the message.
        head: The verified head that covers it.
        trusted_size: Size of the head that was trusted when the event was sent.
    """

    acknowledged: Acknowledged
    proof: SharedProof
    head: Head
    trusted_size: int


class SentEvent(Protocol):
    """An event as far as its answer is checked against it."""

    @property
    def sections(self) -> Sections:
        """What was sent."""

    @property
    def event_id(self) -> str:
        """Its id."""

    @property
    def new_id(self) -> bool:
        """Whether the id was made for this append."""


class Server(HeadSource, Protocol):
    """What is asked of the server beside the stream."""

    def check_rollback(self, trusted_size: int) -> None:
        """Raise if the server's newest head is below what is trusted."""


class Answers:
    """Makes the messages of one log, and verifies what comes back."""

    def __init__(self, log: str, address: str, trust: Callable[[], Trust], server: Server) -> None:
        """Keep the parts.

        Args:
            log: Name of the log.
            address: Where the server is called, for messages.
            trust: Gives what is trusted of the log.
            server: The server, where an answer is not enough.
        """
        self._log = log
        self._address = address
        self._trust = trust
        self._server = server

    def request(self, events: Sequence[SentEvent]) -> tuple[ledger_pb2.AppendStreamRequest, int]:
        """Return the message, and the size of the head that is trusted now."""
        trusted_size = self._trust().tree_size
        return append_events_request(self._log, [event.sections for event in events], trusted_size), trusted_size

    def verify(
        self, events: Sequence[SentEvent], results: ledger_pb2.EventResults, trusted_size: int, shown_size: int
    ) -> list[Proven | LedgerError]:
        """Verify an answer, and trust its head; `keep` has to follow before anything of it is handed out.

        Args:
            events: What was sent.
            results: What came back.
            trusted_size: Size of the head that was trusted when it was sent.
            shown_size: Size of the newest head that the stream has shown before.

        Returns:
            For each event what is proven of it, or why the server refused it.

        Raises:
            VerificationError: Something in the answer does not hold.
            LedgerError: A proof that was missing could not be fetched.
        """
        if len(results.results) != len(events):
            raise ContentMismatchError(f"{len(events)} events were sent and {len(results.results)} answered")
        answers: list[ledger_pb2.Acknowledgement] = []
        acknowledged_events: list[SentEvent] = []
        for event, result in zip(events, results.results, strict=True):
            if result.HasField("acknowledgement"):
                answers.append(result.acknowledgement)
                acknowledged_events.append(event)
            elif not result.HasField("error"):
                raise ContentMismatchError(f"the server says nothing of what became of the event {event.event_id}")
        if not answers:
            return [error_of(result.error, self._address) for result in results.results]
        trust = self._trust()
        checkpoint = trust.open(results.checkpoint.note).checkpoint
        acknowledged, proof = verify_acknowledgements(
            [event.sections for event in acknowledged_events],
            answers,
            results.inclusion_proof,
            checkpoint,
            new_ids=[event.new_id for event in acknowledged_events],
        )
        check_places([event.event_id for event in acknowledged_events], [item.leaf_index for item in acknowledged])
        proven_from = max(trusted_size, shown_size)
        hashes = consistency_hashes(results.consistency_proof) if proven_from else None
        head = trust.advance(results.checkpoint.note, hashes, proven_from, self._server)
        proven = iter(acknowledged)
        return [
            Proven(next(proven), proof, head, trusted_size)
            if result.HasField("acknowledgement")
            else error_of(result.error, self._address)
            for result in results.results
        ]

    def keep(self) -> None:
        """Put the newest trusted head on disk.

        Raises:
            StateError: It could not be kept; it is trusted by this process.
            LedgerError: It contradicts what another process has put there.
        """
        self._trust().keep(self._server)

    def refusal(self, error: ledger_pb2.StreamError, trusted_size: int) -> LedgerError:
        """Return the error of a message that was refused whole."""
        refused = error_of(error, self._address)
        if isinstance(refused, IndexBeyondTreeError):
            try:
                self._server.check_rollback(trusted_size)
            except LedgerError as found:
                return found
        return refused
