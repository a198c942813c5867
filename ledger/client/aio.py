"""The client for asyncio: the names of the synchronous one, each to be awaited.

Appends of many tasks travel together, as those of threads do, and cost no thread each. All other calls run in a few
threads of the client's own, through the very code of the synchronous client. The rule that must not break: nothing
blocks the event loop, and nothing is verified in another way than there.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, Unpack, cast
from weakref import WeakSet

from ledger.client._buffer import Waiting
from ledger.client._client import Client
from ledger.client._deadlines import Deadlines
from ledger.client._event_checks import join_targets
from ledger.client._events import EventFields
from ledger.client._querying import MAX_PAGE
from ledger.client.connection import Cancellation, Connection
from ledger.client.options import DEFAULT_LOG, MoreOptions, Options, options_from_env
from ledger.client.receipt import Receipt
from ledger.client.trust import Head
from ledger.client.values import Entry, EntryView
from ledger.clock import Clock
from ledger.events.event import Actor, Event, PersonalData, Target
from ledger.query.typed import TypedFilter

CALL_THREADS: Final = 16
"""Calls other than `append` that are made at the same time; the rest wait."""

HAND_OVER_EVENTS: Final = 32
"""Events of one turn of the loop that are handed over without waiting for its end, so that the server can begin."""

# All asyncio clients of this process, for the hook that runs after a fork.
_LEDGERS: WeakSet[AsyncLedger] = WeakSet()

P = ParamSpec("P")
R = TypeVar("R")


def _in_thread(
    call: Callable[Concatenate[Client, P], R],
) -> Callable[Concatenate[AsyncLedger, P], Coroutine[Any, Any, R]]:
    """Return a blocking call as one to be awaited; it goes on in its thread where the awaiting task is cancelled."""

    @functools.wraps(call)
    async def run(ledger: AsyncLedger, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await ledger._run(functools.partial(call, ledger._client, *args, **kwargs))  # noqa: SLF001 - its method

    return run


class AsyncLedger:
    """A client of one log for the tasks of one event loop. After a fork, for those of a new loop of the child."""

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
        """Check the settings, which are those of `Ledger`; the connection is made by the first call.

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
        """Return a client with these settings, see `Ledger.from_options`.

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
        self._client = Client(options, clock=clock, pinned=pinned, connect=connect, tell=self._tell)
        # All below belongs to the event loop.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._fresh: list[Waiting] = []  # what the tasks of this turn of the loop append
        self._deadlines: Deadlines  # made with the loop
        self._knows_history = False
        _LEDGERS.add(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def log(self) -> str:
        """Name of the log."""
        return self._client.log

    @property
    def origin(self) -> str:
        """Origin of the log, from the pinned key."""
        return self._client.origin

    @property
    def verifier_key(self) -> str:
        """Verifier key that everything is checked with."""
        return self._client.verifier_key

    @property
    def trusted_head(self) -> Head | None:
        """The newest head that this client trusts; None before the first."""
        return self._client.trusted_head

    async def append(
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
        """Append one event, and return its verified receipt; arguments and errors are those of `Ledger.append`.

        A task that is cancelled leaves open whether its event is in the log, unless it was not sent yet; `close` tells
        of those whose outcome stayed unknown.
        """
        loop = self._own_loop()
        if not self._knows_history:
            await self._run(self._client.open_history)
            self._knows_history = True
        waiting = self._client.prepare(
            action, actor, join_targets(target, targets), event, personal, fields, timeout_seconds
        )
        ended: asyncio.Future[None] = loop.create_future()
        waiting.handle = ended
        # Tasks that are ready in the same turn of the loop share a message, and one look at the lock.
        self._fresh.append(waiting)
        if len(self._fresh) == 1:
            loop.call_soon(self._put_fresh)
        elif len(self._fresh) == HAND_OVER_EVENTS:
            self._put_fresh()
        deadlines = self._deadlines
        deadlines.add(waiting)
        try:
            await ended
        except asyncio.CancelledError:
            self._client.appender.leave(waiting, is_cancelled=True)
            raise
        finally:
            deadlines.remove(waiting)
        return self._client.receipt_of(waiting, allow_unproven=allow_unproven)

    async def read_entries(
        self,
        begin: int = 0,
        end: int | None = None,
        *,
        view: EntryView = EntryView.EVENT,
        follow: bool = False,
        allow_incomplete: bool = False,
    ) -> AsyncGenerator[Entry, None]:
        """Yield the entries [begin, end) in order; arguments and errors are those of `Ledger.read_entries`."""
        loop = self._own_loop()
        cancellation = Cancellation()
        batches = self._client.read_batches(
            begin, end, view=view, follow=follow, allow_incomplete=allow_incomplete, cancellation=cancellation
        )
        # A thread of its own: a log that is followed may have nothing to say for long.
        thread = ThreadPoolExecutor(1, thread_name_prefix="logproof reader")
        try:
            while (batch := await loop.run_in_executor(thread, next, batches, None)) is not None:
                for entry in batch:
                    yield entry
        finally:
            cancellation.cancel()
            thread.submit(batches.close)
            thread.shutdown(wait=False)

    async def tail(
        self,
        since: int | None = None,
        *,
        view: EntryView = EntryView.EVENT,
        follow: bool = True,
        allow_incomplete: bool = False,
    ) -> AsyncGenerator[Entry, None]:
        """Yield the newest entries, and go on as they come; arguments and errors are those of `Ledger.tail`.

        Without `since` it begins after the head that is the newest at its first step.
        """
        head = await self.checkpoint(allow_stale=False)
        begin = head.checkpoint.tree_size if since is None else since
        read = self.read_entries(begin, view=view, follow=follow, allow_incomplete=allow_incomplete)
        async with aclosing(read) as entries:
            async for entry in entries:
                yield entry

    async def query(
        self,
        text: str = "",
        *,
        where: TypedFilter | None = None,
        ascending: bool = False,
        limit: int | None = None,
        view: EntryView = EntryView.EVENT,
        at_least: int = 0,
    ) -> AsyncGenerator[Entry, None]:
        """Yield the entries that pass a filter; arguments and errors are those of `Ledger.query`."""
        remaining, token = limit, ""
        while remaining is None or remaining > 0:
            page = await self.query_page(
                text,
                where=where,
                ascending=ascending,
                page_size=MAX_PAGE if remaining is None else min(remaining, MAX_PAGE),
                page_token=token,
                view=view,
                at_least=at_least,
            )
            for entry in page.entries:
                yield entry
            token = page.next_page_token
            if not token:
                return
            if remaining is not None:
                remaining -= len(page.entries)

    append_batch = _in_thread(Client.append_batch)
    append_sections = _in_thread(Client.append_sections)
    checkpoint = _in_thread(Client.checkpoint)
    trust_head = _in_thread(Client.trust_head)
    get = _in_thread(Client.get)
    get_batch = _in_thread(Client.get_batch)
    query_page = _in_thread(Client.query_page)
    count = _in_thread(Client.count)
    get_log = _in_thread(Client.get_log)
    prove_inclusion = _in_thread(Client.prove_inclusion)
    prove_many = _in_thread(Client.prove_many)
    prove_consistency = _in_thread(Client.prove_consistency)
    prove_range = _in_thread(Client.prove_range)
    verify_entry = _in_thread(Client.verify_entry)
    server_info = _in_thread(Client.server_info)
    create_log = _in_thread(Client.create_log)
    retire_log = _in_thread(Client.retire_log)
    list_logs = _in_thread(Client.list_logs)
    stated_log = _in_thread(Client.stated_log)
    create_key = _in_thread(Client.create_key)
    list_keys = _in_thread(Client.list_keys)
    rotate_key = _in_thread(Client.rotate_key)
    revoke_key = _in_thread(Client.revoke_key)
    confirm_clock = _in_thread(Client.confirm_clock)

    async def close(self) -> None:
        """Wait for what is being appended, and close the connection; a later call makes a new one.

        Raises:
            AppendsUnansweredError: The server did not answer in time; names the events whose outcome is not known.
        """
        self._own_loop()
        self._put_fresh()
        try:
            await self._run(self._client.close)
        finally:
            threads, self._threads = self._threads, None
            if threads is not None:
                threads.shutdown()

    async def _run(self, work: Callable[[], R]) -> R:
        loop = self._own_loop()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(CALL_THREADS, thread_name_prefix="logproof call")
        return await loop.run_in_executor(self._threads, work)

    def leave_parent(self) -> None:
        """Forget the loop and the threads of the process that this one was forked from."""
        self._loop, self._threads, self._fresh = None, None, []

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, to which everything here belongs.

        Raises:
            RuntimeError: The client is in use by another loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("an AsyncLedger is for the tasks of one event loop; make one for each")
            self._loop, self._threads, self._fresh = loop, None, []
            self._deadlines = Deadlines(loop, self._client.seconds_left, self._expire)
        return loop

    def _put_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        if fresh:
            self._client.appender.put(fresh)

    def _expire(self, waiting: Waiting) -> None:
        self._client.appender.leave(waiting)
        _end_all((waiting,))

    def _tell(self, ended: Sequence[Waiting]) -> None:
        """Wake the tasks of a message, by one call for all; from a thread of the appender."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(_end_all, ended)


def _after_fork() -> None:
    for ledger in list(_LEDGERS):
        ledger.leave_parent()


os.register_at_fork(after_in_child=_after_fork)


def _end_all(waiting: Sequence[Waiting]) -> None:
    for item in waiting:
        ended = cast("asyncio.Future[None]", item.handle)
        if not ended.done():
            ended.set_result(None)
