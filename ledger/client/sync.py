"""The synchronous client: ten lines from nothing to a verified receipt.

The rule that must not break: `append` returns only what was proven, and raises otherwise; there is no call that skips
the verification, and no setting that switches it off. A receipt that proves the place of an event and not its content
is handed out only to who asked for such.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypedDict, Unpack

from ledger import __version__
from ledger.client._calls import (
    Acknowledged,
    append_batch_request,
    append_request,
    check_places,
    verify_append,
    verify_append_batch,
)
from ledger.client._event_checks import (
    check_call,
    check_event,
    check_flat,
    encode_each,
    join_targets,
    with_source,
)
from ledger.client._events import EventFields, build_event
from ledger.client._reading import Reading
from ledger.client._shared_proof import SharedProof
from ledger.client.admin import Administration
from ledger.client.connection import Connection
from ledger.client.options import DEFAULT_LOG, Options, options_from_env
from ledger.client.receipt import Receipt, require_content
from ledger.client.trust import Head
from ledger.client.values import LogInfo, Sections, sections_size
from ledger.clock import Clock, SystemClock
from ledger.errors import (
    BatchTooLargeError,
    IndexBeyondTreeError,
    InvalidEventError,
    StateError,
    WrongOriginError,
)
from ledger.events.checks import check_reserved
from ledger.events.codec import encode_sections
from ledger.events.event import Actor, Event, PersonalData, Source, Target
from ledger.events.flat import from_flat
from ledger.events.ids import ID_RANDOM_BYTES, new_event_id
from ledger.events.wire import read_event
from ledger.v1 import ledger_pb2, proof_pb2

MAX_BATCH_EVENTS: Final = 1_000
"""Most events of a batch."""

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Largest batch, bytes of both sections together."""

_SDK: Final = f"logproof-python/{__version__}"
_BOOT_ID_BYTES: Final = 16
_PAIR: Final = 2


class MoreOptions(TypedDict, total=False):
    """The settings of `Options` beyond address, log, API key and verifier key."""

    tls_ca: str | Path | None
    tls_cert: str | Path | None
    tls_key: str | Path | None
    timeout_seconds: float
    state: str | Path | None
    service: str
    instance: str


class Ledger(Reading, Administration):
    """A client of one log. Safe for use by several threads, and after a fork."""

    def __init__(
        self,
        address: str,
        *,
        log: str = DEFAULT_LOG,
        api_key: str | None = None,
        verifier_key: str | None = None,
        clock: Clock | None = None,
        **options: Unpack[MoreOptions],
    ) -> None:
        """Check the settings; the connection is made by the first call.

        Args:
            address: `HOST:PORT`, or `https://HOST:PORT`.
            log: Name of the log.
            api_key: Secret of an API key.
            verifier_key: Verifier key of the log; everything is verified with it.
            clock: Tells when an event happened that does not say.
            options: Further settings, see `Options`.

        Raises:
            InvalidRequestError: A setting breaks a rule, or there is no verifier key.
        """
        self._start(Options(address, log, api_key, verifier_key, **options), clock)

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return a client with the settings of the environment, see `options_from_env`.

        Raises:
            InvalidRequestError: A setting is missing or breaks a rule.
        """
        return cls.from_options(options_from_env(environment))

    @classmethod
    def from_options(
        cls,
        options: Options,
        *,
        clock: Clock | None = None,
        pinned: bool = True,
        connect: Callable[[Options], Connection] = Connection,
    ) -> Self:
        """Return a client with these settings.

        Args:
            options: The settings.
            clock: Tells when an event happened that does not say.
            pinned: False where the verifier key came from the server: all is verified as ever, and its level is
                `UNPINNED`.
            connect: Makes the connection.

        Raises:
            InvalidRequestError: There is no verifier key.
        """
        ledger = cls.__new__(cls)
        ledger._start(options, clock, pinned=pinned, connect=connect)  # noqa: SLF001 - a second constructor
        return ledger

    def _start(
        self,
        options: Options,
        clock: Clock | None,
        *,
        pinned: bool = True,
        connect: Callable[[Options], Connection] = Connection,
    ) -> None:
        super().__init__(options, pinned=pinned, connect=connect)
        self._clock = clock if clock is not None else SystemClock()
        self._counting = threading.Lock()  # guards _boot_id and _sequence
        self._boot_id = os.urandom(_BOOT_ID_BYTES)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def append(
        self,
        action: str | None = None,
        *,
        actor: Actor | str | None = None,
        target: Target | str | None = None,
        targets: Sequence[Target | str] = (),
        event: Event | Mapping[str, object] | None = None,
        personal: PersonalData | None = None,
        allow_unproven: bool = False,
        **fields: Unpack[EventFields],
    ) -> Receipt:
        """Append one event, and return its verified receipt.

        Safe to repeat with the same `event_id` and the same content: the event is in the log once. Where the server
        says that the id is there already and withholds the salts (written by another principal, expired, or imported
        under another mapping), it names a leaf that can be proven to be in the log, and not what the leaf holds.

        Args:
            action: resource.sub_resource.verb, such as `user.role.updated`.
            actor: Who acted: `TYPE:ID`, such as `user:user_123`.
            target: What was acted on: `TYPE:ID`.
            targets: The same, for more than one.
            event: Instead of all the above, an event, or the flat JSON form as a mapping.
            personal: The personal data that belongs to `event`.
            allow_unproven: Whether a receipt without proof of the content will do; `proves_content` tells it.
            fields: Further facts, see `EventFields`.

        Returns:
            The receipt: durable in the log, its place and its content proven; its place alone only with
            `allow_unproven`.

        Raises:
            InvalidEventError: The event breaks a rule; names every field.
            EventIdReusedError: The id is in the log with other content.
            ContentUnprovenError: The server says that the id is in the log, and does not prove with which content;
                carries the receipt.
            StateError: The event is in the log, proven, but the new head could not be kept on disk.
            VerificationError: The server's answer does not hold. Whatever the server did, nothing is proven.
            LedgerError: The server refused, or could not be reached in time; then repeat it with the same id.
        """
        all_targets = join_targets(target, targets)
        check_call(action, actor, all_targets, event, personal, fields)
        if event is not None:
            return self._append(*self._encode(event, personal), allow_unproven=allow_unproven)
        assert action is not None
        given_id = fields.get("event_id")
        built, built_personal = build_event(
            action,
            actor,
            all_targets,
            fields,
            event_id=given_id if given_id is not None else self._new_id(),
            now_us=self._clock.now_us(),
            source=self._source(numbered=given_id is None),
        )
        return self._append(
            _encode(built, built_personal), built.event_id, given_id is None, allow_unproven=allow_unproven
        )

    def append_batch(
        self,
        events: Sequence[Event | Mapping[str, object] | tuple[Event, PersonalData | None]],
        *,
        allow_unproven: bool = False,
    ) -> list[Receipt]:
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
        encoded = encode_each(events, self._encode_item)
        return self._append_batch(
            [sections for sections, _, _ in encoded],
            [event_id for _, event_id, _ in encoded],
            [new_id for _, _, new_id in encoded],
            allow_unproven=allow_unproven,
        )

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
        return self._append_batch(batch, event_ids, [False] * len(batch), allow_unproven=allow_unproven)

    def get_log(self) -> LogInfo:
        """Return the log, its tree size and root hash taken from its newest head, verified like every other.

        Raises:
            WrongOriginError: The server states another verifier key than the one that is pinned.
            StaleHeadError: The server's newest head is older than the trusted one.
            VerificationError: The head does not hold.
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
        return replace(info, tree_size=checkpoint.tree_size, root_hash=checkpoint.root_hash)

    def _append(
        self,
        sections: Sections,
        event_id: str,
        new_id: bool,  # noqa: FBT001 - spread from a tuple
        *,
        allow_unproven: bool,
    ) -> Receipt:
        trusted_size = self._trust.tree_size
        try:
            response = self._connection.call(
                lambda stubs: stubs.ledger.Append, append_request(self.log, sections, trusted_size)
            )
        except IndexBeyondTreeError:
            self.check_rollback(trusted_size)
            raise
        checkpoint = self._trust.open(response.checkpoint.note).checkpoint
        acknowledged, hashes = verify_append(sections, response, checkpoint, new_id=new_id)
        head = self._accept_covering(response, trusted_size, [acknowledged])
        receipt = self._receipt(event_id, sections, acknowledged, head, hashes)
        if not allow_unproven:
            require_content([receipt])
        return receipt

    def _append_batch(
        self, batch: Sequence[Sections], event_ids: Sequence[str], new_ids: Sequence[bool], *, allow_unproven: bool
    ) -> list[Receipt]:
        if not batch:
            return []
        if len(batch) > MAX_BATCH_EVENTS or sections_size(batch) > MAX_BATCH_BYTES:
            raise BatchTooLargeError(
                f"the batch has {len(batch)} events of {sections_size(batch)} bytes together; "
                f"the limits are {MAX_BATCH_EVENTS} and {MAX_BATCH_BYTES}",
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
        checkpoint = self._trust.open(response.checkpoint.note).checkpoint
        acknowledged, proof = verify_append_batch(batch, response, checkpoint, new_ids=new_ids)
        check_places(event_ids, [item.leaf_index for item in acknowledged])
        head = self._accept_covering(response, trusted_size, acknowledged)
        receipts = [
            self._receipt(event_id, sections, item, head, proof)
            for event_id, sections, item in zip(event_ids, batch, acknowledged, strict=True)
        ]
        if not allow_unproven:
            require_content(receipts)
        return receipts

    def _accept_covering(
        self,
        response: ledger_pb2.AppendResponse | ledger_pb2.AppendBatchResponse,
        trusted_size: int,
        acknowledged: Sequence[Acknowledged],
    ) -> Head:
        proof: proof_pb2.ConsistencyProof = response.consistency_proof
        try:
            head = self.accept(response.checkpoint, proof, trusted_size)
        except StateError as error:
            indexes = sorted({item.leaf_index for item in acknowledged})
            where = f"leaf index {indexes[0]}" if len(indexes) == 1 else f"leaf indexes {indexes[0]} to {indexes[-1]}"
            raise StateError(
                f"the append is done, durable and verified at {where}; but the new head could not be kept: "
                f"{error.message}",
                hint=f"{error.hint}; appending again with the same event ids finds what is there",
                metadata={"leafIndex": str(indexes[0])},
            ) from error
        return self.mark_stale(head, trusted_size)

    def _receipt(
        self,
        event_id: str,
        sections: Sections,
        acknowledged: Acknowledged,
        head: Head,
        proof: tuple[bytes, ...] | SharedProof,
    ) -> Receipt:
        return Receipt(
            event_id,
            acknowledged.outcome,
            acknowledged.leaf_index,
            acknowledged.leaf,
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

    def _encode_item(
        self, item: Event | Mapping[str, object] | tuple[Event, PersonalData | None]
    ) -> tuple[Sections, str, bool]:
        return self._encode(*item) if isinstance(item, tuple) and len(item) == _PAIR else self._encode(item, None)

    def _new_id(self) -> str:
        return new_event_id(self._clock.now_us() // 1000, os.urandom(ID_RANDOM_BYTES))

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

    def leave_parent(self) -> None:
        """Forget what belongs to the process that this one was forked from, and count events from 1 again."""
        super().leave_parent()
        self._counting = threading.Lock()
        self._boot_id = os.urandom(_BOOT_ID_BYTES)
        self._sequence = 0


def _encode(event: Event, personal: PersonalData | None) -> Sections:
    violations = check_reserved(event)
    if violations:
        raise InvalidEventError(violations)
    return Sections(*encode_sections(event, personal))
