"""What both clients do to append: the event from the words of a call, and the receipt from what was proven.

The rule that must not break: a receipt is made of what was verified, and raises where that is less than was asked for.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ledger import __version__
from ledger.client._answers import Answers
from ledger.client._appender import Appender
from ledger.client._buffer import Waiting
from ledger.client._calls import (
    Acknowledged,
    append_batch_request,
    check_places,
    check_refusal,
    verify_append_batch,
)
from ledger.client._event_checks import check_call, check_event, check_flat, encode_each, with_source
from ledger.client._events import EventFields, build_event
from ledger.client._quick_events import quick_sections
from ledger.client._session import Session
from ledger.client._shared_proof import SharedProof
from ledger.client.connection import Connection
from ledger.client.options import Options, check_timeout
from ledger.client.receipt import Receipt, require_content
from ledger.client.trust import Head
from ledger.client.values import Sections, sections_size
from ledger.clock import Clock, SystemClock
from ledger.errors import (
    BatchError,
    BatchTooLargeError,
    IndexBeyondTreeError,
    InvalidEventError,
    StateError,
)
from ledger.events.checks import check_reserved
from ledger.events.codec import encode_sections
from ledger.events.event import BATCH_MAX_BYTES, BATCH_MAX_EVENTS, Actor, Event, PersonalData, Source, Target
from ledger.events.flat import from_flat
from ledger.events.ids import ID_RANDOM_BYTES, new_event_id

_SDK: Final = f"logproof-python/{__version__}"
_BOOT_ID_BYTES: Final = 16
_PAIR: Final = 2

EventInAnyForm = Event | Mapping[str, object] | tuple[Event, PersonalData | None]
"""An event, an event with its personal data, or the flat JSON form as a mapping."""


_PARTS_DRAWN: Final = 256
# Drawn and not used yet; taken from and added to by any thread, each time at once. A child draws its own.
_RANDOM_PARTS: Final[deque[bytes]] = deque()
os.register_at_fork(after_in_child=_RANDOM_PARTS.clear)


class Appending(Session):
    """The appending half of a client, as far as nobody waits."""

    def __init__(
        self,
        options: Options,
        *,
        clock: Clock | None = None,
        pinned: bool = True,
        connect: Callable[[Options], Connection] = Connection,
        tell: Callable[[Sequence[Waiting]], None],
    ) -> None:
        """Check the options; nothing is connected or read yet.

        Args:
            options: The settings.
            clock: Tells when an event happened that does not say.
            pinned: Whether the verifier key came from the caller, not from the server.
            connect: Makes the connection.
            tell: Wakes the callers of appends that have ended.

        Raises:
            InvalidRequestError: There is no verifier key, or it is not one of a log.
        """
        super().__init__(options, pinned=pinned, connect=connect)
        self._clock = clock if clock is not None else SystemClock()
        self._tell = tell
        self._counting = threading.Lock()  # guards _boot_id and _sequence
        self._begin_process()

    def _begin_process(self) -> None:
        self._boot_id = os.urandom(_BOOT_ID_BYTES)
        self._sequence = 0
        answers = Answers(self.log, self._options.address, lambda: self._trust, self)
        self.appender = Appender(self._connection, answers, self._tell, self._options.timeout_seconds)

    def leave_parent(self) -> None:
        """Forget what belongs to the process that this one was forked from, and count events from 1 again."""
        super().leave_parent()
        self._abandoned.append(self.appender)
        self._counting = threading.Lock()
        self._begin_process()

    def prepare(
        self,
        action: str | None,
        actor: Actor | str | None,
        targets: Sequence[Target | str],
        event: Event | Mapping[str, object] | None,
        personal: PersonalData | None,
        fields: EventFields,
        timeout_seconds: float | None,
    ) -> Waiting:
        """Return what is to be appended, see `Ledger.append`.

        Raises:
            InvalidEventError: The event breaks a rule; names every field.
            InvalidRequestError: The time is not above 0, or longer than a day.
        """
        check_call(action, actor, targets, event, personal, fields)
        if event is not None:
            sections, event_id, new_id = self._encode(event, personal)
        else:
            assert action is not None
            given_id = fields.get("event_id")
            new_id = given_id is None
            event_id = self._new_id() if given_id is None else given_id
            now_us, source = self._clock.now_us(), self._source(numbered=new_id)
            quick = quick_sections(action, actor, targets, fields, event_id=event_id, now_us=now_us, source=source)
            sections = (
                Sections(*quick)
                if quick is not None
                else _encode(
                    *build_event(action, actor, targets, fields, event_id=event_id, now_us=now_us, source=source)
                )
            )
        # What is trusted is read from the disk now, where a fault of the directory is told to the caller.
        self.open_history()
        timeout = self._options.timeout_seconds
        if timeout_seconds is not None:
            check_timeout(timeout_seconds)
            timeout = timeout_seconds
        return Waiting(sections, event_id, new_id, self._connection.now() + timeout)

    def seconds_left(self, waiting: Waiting) -> float:
        """Return how long the caller of an append still waits."""
        return waiting.ends_at - self._connection.now()

    def receipt_of(self, waiting: Waiting, *, allow_unproven: bool) -> Receipt:
        """Return the receipt of an append that has ended, or raise why there is none."""
        answer, error = waiting.answer, waiting.error
        if answer is None:
            assert error is not None
            raise error
        if isinstance(error, StateError):
            raise _done_but_not_kept(error, [answer.acknowledged]) from error
        head = self.mark_stale(answer.head, answer.trusted_size)
        receipt = self._receipt(waiting.event_id, waiting.sections, answer.acknowledged, head, answer.proof)
        if not allow_unproven:
            require_content([receipt])
        return receipt

    def encode_all(self, events: Sequence[EventInAnyForm]) -> tuple[list[Sections], list[str], list[bool]]:
        """Return the sections of events, their ids, and whether those were made here.

        Raises:
            InvalidEventError: It is no list of events.
            BatchInvalidError: Events break a rule; tells which.
        """
        encoded = encode_each(events, self._encode_item)
        return (
            [sections for sections, _, _ in encoded],
            [event_id for _, event_id, _ in encoded],
            [new_id for _, _, new_id in encoded],
        )

    def append_all_or_none(
        self, batch: Sequence[Sections], event_ids: Sequence[str], new_ids: Sequence[bool], *, allow_unproven: bool
    ) -> list[Receipt]:
        """Append a batch, see `Ledger.append_batch`."""
        if not batch:
            return []
        if len(batch) > BATCH_MAX_EVENTS or sections_size(batch) > BATCH_MAX_BYTES:
            raise BatchTooLargeError(
                f"the batch has {len(batch)} events of {sections_size(batch)} bytes together; "
                f"the limits are {BATCH_MAX_EVENTS} and {BATCH_MAX_BYTES}",
                hint="send it in parts",
            )
        trusted_size = self._trust.tree_size
        try:
            response = self._connection.call(
                lambda stubs: stubs.ledger.AppendBatch, append_batch_request(self.log, batch, trusted_size)
            )
        except IndexBeyondTreeError:
            self.check_rollback(trusted_size)
            raise
        except BatchError as error:
            check_refusal(error, len(batch))
            raise
        checkpoint = self._trust.open(response.checkpoint.note).checkpoint
        acknowledged, proof = verify_append_batch(batch, response, checkpoint, new_ids=new_ids)
        check_places(event_ids, [item.leaf_index for item in acknowledged])
        try:
            head = self.accept(response.checkpoint, response.consistency_proof, trusted_size)
        except StateError as error:
            raise _done_but_not_kept(error, acknowledged) from error
        head = self.mark_stale(head, trusted_size)
        receipts = [
            self._receipt(event_id, sections, item, head, proof)
            for event_id, sections, item in zip(event_ids, batch, acknowledged, strict=True)
        ]
        if not allow_unproven:
            require_content(receipts)
        return receipts

    def _receipt(
        self, event_id: str, sections: Sections, acknowledged: Acknowledged, head: Head, proof: SharedProof
    ) -> Receipt:
        return Receipt(
            event_id,
            acknowledged.outcome,
            acknowledged.leaf_index,
            acknowledged.leaf_bytes,
            head,
            sections,
            acknowledged.event_salt,
            acknowledged.personal_salt,
            proof,
            self._verifier,
        )

    def _encode(self, event: Event | Mapping[str, object], personal: PersonalData | None) -> tuple[Sections, str, bool]:
        """Return the sections, the event id, and whether the id was made here."""
        if isinstance(event, Event):
            check_event(event, personal)
            return _encode(event, personal), event.event_id, False
        check_flat(event, personal)
        new_id = "event_id" not in event
        built, built_personal = from_flat(event, event_id=self._new_id(), now_us=self._clock.now_us())
        if new_id:
            built = with_source(built, self._source(numbered=True))
        return _encode(built, built_personal), built.event_id, new_id

    def _encode_item(self, item: EventInAnyForm) -> tuple[Sections, str, bool]:
        return self._encode(*item) if isinstance(item, tuple) and len(item) == _PAIR else self._encode(item, None)

    def _new_id(self) -> str:
        return new_event_id(self._clock.now_us() // 1000, _random_part())

    def _source(self, *, numbered: bool) -> Source:
        # An id that the caller chose is there to make a repeated append the same; a number would make it another.
        if not numbered:
            return Source(service=self._options.service, instance=self._options.instance, sdk=_SDK)
        with self._counting:
            self._sequence += 1
            boot_id, sequence = self._boot_id, self._sequence
        return Source(
            service=self._options.service,
            instance=self._options.instance,
            sdk=_SDK,
            boot_id=boot_id,
            sequence=sequence,
        )


def _random_part() -> bytes:
    """Return the random bytes of one new id; asking the system for each would take longer than all else in it."""
    try:
        return _RANDOM_PARTS.popleft()
    except IndexError:
        drawn = os.urandom(_PARTS_DRAWN * ID_RANDOM_BYTES)
        parts = [drawn[offset : offset + ID_RANDOM_BYTES] for offset in range(0, len(drawn), ID_RANDOM_BYTES)]
        _RANDOM_PARTS.extend(parts[1:])
        return parts[0]


def _encode(event: Event, personal: PersonalData | None) -> Sections:
    violations = check_reserved(event)
    if violations:
        raise InvalidEventError(violations)
    return Sections(*encode_sections(event, personal))


def _done_but_not_kept(error: StateError, acknowledged: Sequence[Acknowledged]) -> StateError:
    indexes = sorted({item.leaf_index for item in acknowledged})
    where = f"leaf index {indexes[0]}" if len(indexes) == 1 else f"leaf indexes {indexes[0]} to {indexes[-1]}"
    return StateError(
        f"the append is done, durable and verified at {where}; but the new head could not be kept: {error.message}",
        hint=f"{error.hint}; appending again with the same event ids finds what is there",
        metadata={"leafIndex": str(indexes[0])},
    )
