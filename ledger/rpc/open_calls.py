"""Calls that need no credential: health and the schema. Anybody may make them, so few may be open at a time.

The rule that must not break: each such call has one of these places from before its message is waited for until it has
left the server, and all of them are far fewer than the calls that gRPC takes: so who has no credential cannot keep out
who has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError

from ledger.errors import LedgerError, MalformedError, QuotaExceededError
from ledger.rpc.errors import refusal_of, refuse
from ledger.rpc.limits import CallLimits
from ledger.rpc.patience import first_message, only_message
from ledger.rpc.quotas import address_of

_RETRY_SECONDS = 1.0

Q = TypeVar("Q")
R = TypeVar("R")
_Behaviour = Callable[[Any, Any], Any]


class OpenCalls:
    """Keeps calls without a credential within their bounds. Lives on the event loop."""

    def __init__(self, limits: CallLimits, refused: Callable[[str], None]) -> None:
        """Begin with none.

        Args:
            limits: How many at a time, and how long one may take to bring its message.
            refused: Told the reason of each refusal.
        """
        self._limits = limits
        self._refused = refused
        # By address. Those that answer once have places of their own, so that watchers keep no probe out.
        self._plain: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()

    def bounded(self, handler: grpc.RpcMethodHandler[Q, R]) -> grpc.RpcMethodHandler[Q, R]:
        """Return a handler that lets no more calls in than there are places, and waits for no message for long."""
        # As if every method took a stream: so the place comes before the message, and the message not too late.
        parse = cast("Callable[[bytes], Any]", handler.request_deserializer)
        if not handler.response_streaming:
            plain = cast("_Behaviour", handler.unary_unary)

            async def answer(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, R]) -> R:
                async def work() -> R:
                    self._enter(self._plain, context)
                    data = await only_message(requests, self._limits.first_message_seconds)
                    return cast("R", await plain(_parsed(data, parse), context))

                return await self._guard(context, work)

            return grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)

        async def stream(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, R]) -> None:
            async def work() -> None:
                self._enter(self._streams, context)
                first = await self._first(requests, parse)
                if handler.request_streaming:
                    both = cast("_Behaviour", handler.stream_stream)
                    async for message in both(_all(first, requests, parse), context):
                        await context.write(message)
                else:
                    await cast("_Behaviour", handler.unary_stream)(first, context)

            await self._guard(context, work)

        return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)

    def _enter(self, open_calls: Counter[str], context: grpc.aio.ServicerContext[bytes, R]) -> None:
        """Take a place until the call has left the server altogether, its answer taken by the other end."""
        address, _ = address_of(context.peer())
        for count, limit, whose in (
            (open_calls[address], self._limits.open_calls_of_address, "of this address"),
            (open_calls.total(), self._limits.open_calls, "of all addresses"),
        ):
            if count >= limit:
                raise QuotaExceededError(
                    f"{count} calls without a credential are open {whose}, which is the limit",
                    hint="end one first, or retry after a pause",
                    metadata={"quota": "calls without a credential", "limit": str(limit)},
                    retry_seconds=_RETRY_SECONDS,
                )
        open_calls[address] += 1

        def leave(_context: object) -> None:
            open_calls[address] -= 1
            if not open_calls[address]:
                del open_calls[address]

        # gRPC's types know the blocking server's contexts only.
        context.add_done_callback(cast("Any", leave))

    async def _first(self, requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]) -> Any:  # noqa: ANN401 - any method's
        return _parsed(await first_message(requests, self._limits.first_message_seconds), parse)

    async def _guard(self, context: grpc.aio.ServicerContext[bytes, R], work: Callable[[], Awaitable[Q]]) -> Q:
        """Do the work of a call, and answer an error of ours as a status."""
        try:
            return await work()
        except LedgerError as error:
            refusal = refusal_of(error)
        self._refused(refusal.reason)
        return await refuse(context, refusal)


async def _all(
    first: object, requests: AsyncIterator[bytes], parse: Callable[[bytes], object]
) -> AsyncIterator[object]:
    yield first
    async for data in requests:
        yield _parsed(data, parse)


def _parsed(data: bytes, parse: Callable[[bytes], Any]) -> Any:  # noqa: ANN401 - any method's
    try:
        return parse(data)
    except DecodeError:
        raise MalformedError("the message is no request of this method") from None
