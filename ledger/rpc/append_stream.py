"""AppendStream: messages of one event or several are queued as they come and answered in their order.

Several messages are in flight at once, so those of one stream share commits. The rule that must not break: answers
come in the order of the messages, one for each, and an error is the answer to its message alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

from ledger.errors import FieldViolation, InvalidRequestError, ShuttingDownError
from ledger.events.event import BATCH_MAX_EVENTS
from ledger.rpc.appends import Appends, Submitted
from ledger.rpc.binding import Call, parse_request
from ledger.rpc.independent import IndependentAppends, SubmittedEvents, stream_error
from ledger.rpc.parts import Parts
from ledger.v1 import ledger_pb2

MAX_IN_FLIGHT: Final = 64
"""Messages of one stream that wait for their answers; the next is taken when one was answered."""

MAX_IN_FLIGHT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of them; one message may be larger."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """A message that was refused before the queue, and how many events it brings."""

    error: Exception
    events: int = 1


_Item = Submitted | SubmittedEvents | _Refused


class AppendStreams:
    """Serves AppendStream."""

    def __init__(self, parts: Parts, appends: Appends) -> None:
        """Keep the parts."""
        self._parts = parts
        self._appends = appends

    async def append_stream(
        self, call: Call, messages: AsyncIterator[bytes]
    ) -> AsyncGenerator[ledger_pb2.AppendStreamResponse, None]:
        """Answer the messages of one stream.

        Raises:
            LedgerError: The stream may not append to the log of its first message, or the server stops.
        """
        stream = _Stream(self._parts, self._appends, call)
        stopping = self._parts.growth.stopping
        reader = asyncio.create_task(stream.read(messages))
        # When the server stops, what was read is still answered.
        stopper = asyncio.create_task(_cancel_after(stopping, reader))
        try:
            while (taken := await stream.pending.get()) is not None:
                item, size = taken
                answer = await stream.answer(item)
                del item, taken
                yield answer
                stream.window.release(size)
            if stopping.is_set():
                raise ShuttingDownError("the server is stopping", hint="send what was not answered again as it was")
            await reader
        finally:
            reader.cancel()
            stopper.cancel()
            await asyncio.gather(reader, stopper, return_exceptions=True)


class _Window:
    """What one stream may have in flight, in messages and bytes: one that takes no answers must not fill the memory."""

    def __init__(self) -> None:
        self._messages = 0
        self._bytes = 0
        self._released = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait until there is place for a message; one alone always has it. For one task."""
        while self._messages and (self._messages >= MAX_IN_FLIGHT or self._bytes + size > MAX_IN_FLIGHT_BYTES):
            self._released.clear()
            await self._released.wait()
        self._messages += 1
        self._bytes += size

    def release(self, size: int) -> None:
        """Give the place of a message back, once its answer was taken."""
        self._messages -= 1
        self._bytes -= size
        self._released.set()


class _Stream:
    """One stream: what was read of it and is not answered yet."""

    def __init__(self, parts: Parts, appends: Appends, call: Call) -> None:
        self.pending: asyncio.Queue[tuple[_Item, int] | None] = asyncio.Queue()
        self.window = _Window()
        self._parts = parts
        self._appends = appends
        self._independent = IndependentAppends(parts, appends)
        self._call = call
        self._log = ""
        self._shown_size = 0  # of the newest checkpoint that was given

    async def read(self, messages: AsyncIterator[bytes]) -> None:
        """Queue the messages until they end."""
        try:
            async for data in messages:
                await self.window.take(len(data))
                self.pending.put_nowait((await self._take(data), len(data)))
        finally:
            self.pending.put_nowait(None)

    async def _take(self, data: bytes) -> _Item:
        """Queue what a message brings, or return why not.

        Raises:
            LedgerError: It is the first message, and the stream is refused.
        """
        try:
            request = parse_request(ledger_pb2.AppendStreamRequest, data)
        except Exception as error:  # noqa: BLE001 - the answer to this message
            return _Refused(error)
        if len(request.events) > 1:
            # The message was paced as one event.
            more = min(len(request.events), BATCH_MAX_EVENTS) - 1
            await self._parts.quotas.pace(self._call.identity, events=more, size=0)
        if not self._log:
            await self._parts.workers.run(lambda: self._call.authorise(request))
            self._log = request.log
        try:
            if self._parts.registry.is_open(self._log):
                return self._submit(request)
            return await self._parts.workers.run(lambda: self._submit(request))
        except Exception as error:  # noqa: BLE001 - the answer to this message
            return _Refused(error, max(len(request.events), 1))

    def _submit(self, request: ledger_pb2.AppendStreamRequest) -> Submitted | SubmittedEvents:
        if request.log not in {"", self._log}:
            raise InvalidRequestError(
                [FieldViolation("log", f"is {request.log[:80]!r}; the stream's first message named {self._log!r}")]
            )
        if not request.events:
            return self._appends.submit(self._call, self._log, request.sections, request.options)
        if request.HasField("sections"):
            raise InvalidRequestError([FieldViolation("events", "is given together with sections; give one of them")])
        return self._independent.submit(self._call, self._log, request)

    async def answer(self, item: _Item) -> ledger_pb2.AppendStreamResponse:
        """Return the answer to a message, once there is one."""
        try:
            if isinstance(item, Submitted):
                response = await self._appends.acknowledge(item)
                self._shown_size = max(self._shown_size, response.checkpoint.tree_size)
                return ledger_pb2.AppendStreamResponse(response=response)
            if isinstance(item, SubmittedEvents):
                results = await self._independent.acknowledge(item, self._shown_size)
                self._shown_size = max(self._shown_size, results.checkpoint.tree_size)
                return ledger_pb2.AppendStreamResponse(results=results)
        except Exception as error:  # noqa: BLE001 - the answer to this message
            events = item.count if isinstance(item, SubmittedEvents) else 1
            item = _Refused(error, events)
        return ledger_pb2.AppendStreamResponse(error=stream_error(self._parts, item.error, item.events))


async def _cancel_after(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    await event.wait()
    task.cancel()
