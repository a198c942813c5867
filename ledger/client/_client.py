"""Everything that a client does but wait for an append, which both clients do in their own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ledger.client._appending import Appending, EventInAnyForm
from ledger.client._querying import Querying
from ledger.client.admin import Administration
from ledger.client.receipt import Receipt
from ledger.client.values import LogInfo, Sections
from ledger.errors import ContentMismatchError, WrongOriginError
from ledger.events.wire import read_event


class Client(Querying, Appending, Administration):
    """A client of one log, whose calls block. Safe for use by several threads, and after a fork."""

    def append_batch(self, events: Sequence[EventInAnyForm], *, allow_unproven: bool = False) -> list[Receipt]:
        """Append up to 1,000 events, all or none, and return their verified receipts in order.

        Args:
            events: Each an event, an event with its personal data, or the flat JSON form as a mapping.
            allow_unproven: Whether receipts without proof of the content will do, see `append`.

        Raises:
            BatchTooLargeError: There are too many events or bytes.
            BatchError: Events break a rule, which is found before anything is sent, or the server refused them, so none
                was appended; tells which.
            ContentUnprovenError: For an event at least, nothing proves that it is there with the content that was
                sent; carries the receipts of all.
            StateError: The events are in the log, proven, but the new head could not be kept on disk.
            VerificationError: The server's answer does not hold.
            LedgerError: The server refused, or could not be reached in time; then repeat it.
        """
        batch, event_ids, new_ids = self.encode_all(events)
        return self.append_all_or_none(batch, event_ids, new_ids, allow_unproven=allow_unproven)

    def append_sections(
        self, batch: Sequence[Sections], *, event_ids: Sequence[str] | None = None, allow_unproven: bool = False
    ) -> list[Receipt]:
        """Append up to 1,000 events that are serialised already, all or none; for importers.

        Args:
            batch: The sections, sent and hashed as they are.
            event_ids: The ids in them, for the receipts; read from the sections where they are not given.
            allow_unproven: Whether receipts without proof of the content will do, see `append`.

        Raises:
            LedgerError: As for `append_batch`.
        """
        if event_ids is None:
            event_ids = [read_event(item.event).event_id for item in batch]
        return self.append_all_or_none(batch, event_ids, [False] * len(batch), allow_unproven=allow_unproven)

    def close(self) -> None:
        """Wait for what is being appended, and close the connection; a later call makes a new one.

        Raises:
            AppendsUnansweredError: The server did not answer in time; names the events whose outcome is not known.
        """
        try:
            self.appender.close(self._options.timeout_seconds)
        finally:
            super().close()

    def get_log(self) -> LogInfo:
        """Return the log, its tree size and root hash taken from its newest head, verified like every other.

        Raises:
            WrongOriginError: The server states another verifier key than the one that is pinned.
            StaleHeadError: The server's newest head is older than the trusted one.
            VerificationError: The head does not hold, or what is said of the log contradicts it.
            LedgerError: The server refused, or could not be reached in time.
        """
        info = self.stated_log(self.log)
        if info.verifier_key != self.verifier_key or info.origin != self.origin:
            raise WrongOriginError(
                f"the server says that log {self.log} has origin {info.origin} and key {info.verifier_key}; "
                f"{self.verifier_key} is pinned",
                hint="this is another log, or another server, than the one whose key was pinned",
            )
        checkpoint = self.checkpoint(allow_stale=False).checkpoint
        # What is published was committed before, and the head was asked for afterwards.
        if info.published_size > checkpoint.tree_size:
            raise ContentMismatchError(
                f"the server says that {info.published_size} entries of log {self.log} are published, and its newest "
                f"head covers {checkpoint.tree_size}"
            )
        return replace(info, tree_size=checkpoint.tree_size, root_hash=checkpoint.root_hash)
