"""From behaviours to gRPC handlers: what every call goes through, whatever it asks for.

In this order: who calls, the message, whether it is allowed, the behaviour, the answer or the error, the count. The
rule that must not break: a behaviour runs after its rule was checked, and in a thread; what has to wait for something
else is handed back and awaited on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from ledger.auth.roles import Permission
from ledger.engine.access import Caller
from ledger.errors import (
    FieldViolation,
    InvalidCredentialsError,
    InvalidRequestError,
    MalformedError,
    ShuttingDownError,
)
from ledger.rpc.authentication import Authenticator, Identity
from ledger.rpc.errors import DETAILS_KEY, refusal_of
from ledger.rpc.parts import Parts
from ledger.rpc.rules import RULES, Rule, check_rules

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

DEFAULT_DEADLINE_US: Final = 10_000_000
"""How long a call may wait that names no deadline, microseconds."""

MAX_DEADLINE_US: Final = 30_000_000
"""How long any call may wait for one thing, microseconds."""

_US_PER_SECOND = 1_000_000

M = TypeVar("M", bound=Message)
R = TypeVar("R")
Later = Callable[[], Awaitable[M]]
"""The rest of a behaviour, to be awaited on the event loop. Dropping it leaves nothing behind."""

Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        authenticator: Checks its rule.
        rule: What it needs.
        identity: Who makes it.
        ends_at: Boot-clock microseconds of its deadline; None for none.
        events: How many events it brings, for the count of refusals.
    """

    authenticator: Authenticator
    rule: Rule
    identity: Identity
    ends_at: int | None
    events: int = 1
    _caller: Caller | None = field(default=None, init=False)

    @property
    def caller(self) -> Caller:
        """Return who makes the call; only once it is authorised."""
        if self._caller is None:
            raise RuntimeError("the call was not authorised")
        return self._caller

    def authorise(self, request: Message) -> None:
        """Check that the request is allowed; blocks.

        Raises:
            LedgerError: It is not; see `Access.authorise`.
        """
        self._caller = self.authenticator.authorise(self.identity, self.rule, request)

    def was_found_good(self, log: str) -> bool:
        """Return whether the call is authorised already by a check of a moment ago, which its rule must allow."""
        self._caller = self.authenticator.found_good(self.identity, self.rule, log)
        return self._caller is not None

    def wait_until(self, now_us: int) -> int:
        """Return until when something may be waited for, boot-clock microseconds."""
        ends_at = now_us + DEFAULT_DEADLINE_US if self.ends_at is None else self.ends_at
        return min(ends_at, now_us + MAX_DEADLINE_US)


def parse_request(kind: type[M], data: bytes) -> M:
    """Return the message in these bytes.

    A field that is not known is refused: to ignore it could change what the caller meant.

    Raises:
        MalformedError: The bytes are no such message.
        InvalidRequestError: It has fields that are not known.
    """
    try:
        message = kind.FromString(data)
    except DecodeError as error:
        raise MalformedError(
            f"the request is no {kind.DESCRIPTOR.full_name}: {error}",
            hint="check that the client was made from the server's schema, and that its texts are UTF-8",
        ) from error
    received = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != received:
        violation = FieldViolation(
            "request", f"{kind.DESCRIPTOR.full_name} has a field that this server does not know, and it is not ignored"
        )
        raise InvalidRequestError([violation], hint="upgrade the server first; GetServerInfo tells its version")
    return message


class Binder:
    """Makes handlers."""

    def __init__(self, parts: Parts, authenticator: Authenticator) -> None:
        """Keep the parts."""
        self._parts = parts
        self._authenticator = authenticator
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until no call runs, or the time is over; once `Growth.stop` was called, none begins."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()

    def service(
        self, service: ServiceDescriptor, behaviours: Mapping[str, Callable[..., object]]
    ) -> grpc.GenericRpcHandler:
        """Return the handler of a service.

        Args:
            service: The service.
            behaviours: One for each method, by its name. Of a plain method: called in a thread with the call and the
                request, it returns the response, or a `Later`. Of a method that answers with a stream: an asynchronous
                generator of the call and the request. Of one that takes a stream as well: of the call and the bytes
                of each message; it authorises the call by the first.

        Raises:
            ValueError: A method has no rule or no behaviour, or a behaviour has no method.
        """
        check_rules([service])
        methods = {method.name: method for method in service.methods}
        if set(methods) != set(behaviours):
            raise ValueError(f"{service.full_name}: behaviours and methods differ: {set(methods) ^ set(behaviours)}")
        return grpc.method_handlers_generic_handler(
            service.full_name,
            {name: self._handler(service, methods[name], behaviour) for name, behaviour in behaviours.items()},
        )

    def _handler(
        self, service: ServiceDescriptor, method: MethodDescriptor, behaviour: Callable[..., object]
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        name = f"{service.full_name}/{method.name}"
        kind = GetMessageClass(method.input_type)
        if not method.server_streaming:
            return grpc.unary_unary_rpc_method_handler(self._unary(name, kind, behaviour))
        answers = cast("Callable[[Call, object], AsyncGenerator[Message, None]]", behaviour)
        if not method.client_streaming:
            return grpc.unary_stream_rpc_method_handler(self._server_stream(name, kind, answers))
        return grpc.stream_stream_rpc_method_handler(self._both_streams(name, answers))

    def _unary(
        self, name: str, kind: type[Message], behaviour: Callable[..., object]
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        rule = RULES[name]

        async def handle(data: bytes, context: Context) -> bytes:
            async def work(call: Call) -> bytes:
                request = parse_request(kind, data)

                def allowed() -> object:
                    call.authorise(request)
                    return behaviour(call, request)

                if rule.is_light and self._needs_no_thread(call, request):
                    result = behaviour(call, request)
                else:
                    result = await self._parts.workers.run(allowed, is_slow=rule.is_slow)
                response = result if isinstance(result, Message) else await cast("Later[Message]", result)()
                return response.SerializeToString()

            return await self._guard(name, context, work)

        return handle

    def _needs_no_thread(self, call: Call, request: Message) -> bool:
        log = call.rule.log_of(request, home="")
        return self._parts.registry.is_open(log) and call.was_found_good(log)

    def _server_stream(
        self, name: str, kind: type[Message], answers: Callable[[Call, Message], AsyncGenerator[Message, None]]
    ) -> Callable[[bytes, Context], Awaitable[None]]:
        async def handle(data: bytes, context: Context) -> None:
            async def work(call: Call) -> None:
                request = parse_request(kind, data)
                await self._parts.workers.run(lambda: call.authorise(request))
                async with contextlib.aclosing(answers(call, request)) as messages:
                    async for message in messages:
                        await context.write(message.SerializeToString())

            await self._guard(name, context, work)

        return handle

    def _both_streams(
        self, name: str, answers: Callable[[Call, AsyncIterator[bytes]], AsyncGenerator[Message, None]]
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
            async def work(call: Call) -> None:
                async with contextlib.aclosing(answers(call, requests)) as messages:
                    async for message in messages:
                        await context.write(message.SerializeToString())

            await self._guard(name, context, work)

        return handle

    async def _guard(self, name: str, context: Context, work: Callable[[Call], Awaitable[R]]) -> R:
        """Do the work of a call, count it, and answer an error as a status."""
        clock, metrics = self._parts.clock, self._parts.metrics
        started = clock.boottime_us()
        code = grpc.StatusCode.OK
        events = 1
        self._running += 1
        self._idle.clear()
        try:
            if self._parts.growth.stopping.is_set():
                raise ShuttingDownError("the server is stopping", hint="retry with the same bytes")  # noqa: TRY301
            remaining = cast("float | None", context.time_remaining())
            ends_at = None if remaining is None else started + int(remaining * _US_PER_SECOND)
            identity = self._authenticator.identity(context.auth_context())
            call = Call(self._authenticator, RULES[name], identity, ends_at)
            try:
                return await work(call)
            finally:
                events = call.events
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as error:  # noqa: BLE001 - the one place that turns errors into statuses
            if isinstance(error, InvalidCredentialsError):
                metrics.authentication_failed()
            refusal = refusal_of(error)
            code = refusal.code
        finally:
            metrics.called(name, code.name, clock.boottime_us() - started)
            self._running -= 1
            if not self._running:
                self._idle.set()
        if RULES[name].permission is Permission.APPEND:
            metrics.refused(refusal.reason, events)
        return await context.abort(refusal.code, refusal.message, ((DETAILS_KEY, refusal.details),))
