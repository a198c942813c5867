"""The synchronous client: ten lines from nothing to a verified receipt.

The rule that must not break: `append` returns only what was proven, and raises otherwise; there is no call that skips
the verification, and no setting that switches it off. A receipt that proves the place of an event and not its content
is handed out only to who asked for such.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, Unpack, cast

from ledger.client._buffer import Waiting
from ledger.client._client import Client
from ledger.client._event_checks import join_targets
from ledger.client._events import EventFields
from ledger.client.connection import Connection
from ledger.client.options import DEFAULT_LOG, MoreOptions, Options, options_from_env
from ledger.client.receipt import Receipt
from ledger.clock import Clock
from ledger.events.event import Actor, Event, PersonalData, Target


class Ledger(Client):
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
        super().__init__(options, clock=clock, pinned=pinned, connect=connect, tell=_wake)

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
        timeout_seconds: float | None = None,
        **fields: Unpack[EventFields],
    ) -> Receipt:
        """Append one event, and return its verified receipt.

        Safe to repeat with the same `event_id` and the same content: the event is in the log once. Where the server
        says that the id is there already and withholds the salts (written by another principal, expired, or imported
        under another mapping), it names a leaf that can be proven to be in the log, and not what the leaf holds.

        What many threads append at the same time travels together, and each gets its own receipt or error.

        Args:
            action: resource.sub_resource.verb, such as `user.role.updated`.
            actor: Who acted: `TYPE:ID`, such as `user:user_123`.
            target: What was acted on: `TYPE:ID`.
            targets: The same, for more than one.
            event: Instead of all the above, an event, or the flat JSON form as a mapping.
            personal: The personal data that belongs to `event`.
            allow_unproven: Whether a receipt without proof of the content will do; `proves_content` tells it.
            timeout_seconds: Time that this append may take with all its retries; that of the client if left out.
            fields: Further facts, see `EventFields`.

        Returns:
            The receipt: durable in the log, its place and its content proven; its place alone only with
            `allow_unproven`.

        Raises:
            InvalidEventError: The event breaks a rule; names every field.
            EventIdReusedError: The id is in the log with other content.
            ContentUnprovenError: The server says that the id is in the log, and does not prove with which content;
                carries the receipt.
            BufferFullError: More is appended than the server takes, and there was no room in time; nothing was sent.
            DeadlinePassedError: The event was not sent in time, for certain.
            StateError: The event is in the log, proven, but the new head could not be kept on disk.
            VerificationError: The server's answer does not hold. Whatever the server did, nothing is proven.
            LedgerError: The server refused, or could not be reached in time; then repeat it with the same id, which
                the error's metadata have as `eventId` where whether it was appended is not known.
        """
        waiting = self.prepare(action, actor, join_targets(target, targets), event, personal, fields, timeout_seconds)
        answered = threading.Lock()
        answered.acquire()
        waiting.handle = answered
        self.appender.put((waiting,))
        try:
            if not answered.acquire(timeout=max(self.seconds_left(waiting), 0)):
                self.appender.leave(waiting)
        except BaseException:
            self.appender.leave(waiting, is_cancelled=True)
            raise
        return self.receipt_of(waiting, allow_unproven=allow_unproven)


def _wake(ended: Sequence[Waiting]) -> None:
    for waiting in ended:
        cast("threading.Lock", waiting.handle).release()
