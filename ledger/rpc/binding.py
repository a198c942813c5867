"""From behaviours to gRPC handlers: what every call goes through, whatever it asks for.

In this order: whether there is room for it, who calls, the message, whether it is allowed, the behaviour, the answer or
the error, the count. The rule that must not break: a behaviour runs after its rule was checked, and in a thread; what
has to wait for something else is handed back and awaited on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from ledger.auth.roles import Permission
from ledger.engine.access import Caller
from ledger.errors import (
    DeadlinePassedError,
    FieldViolation,
    InvalidCredentialsError,
    InvalidRequestError,
    MalformedError,
    OverloadedError,
    QuotaExceededError,
    ShuttingDownError,
    StalledError,
    TooManyLoginsError,
)
from ledger.rpc.admission import lane_of
from ledger.rpc.authentication import Authenticator, Context, Identity
from ledger.rpc.errors import refusal_of, refuse
from ledger.rpc.limits import Lane
from ledger.rpc.parts import Parts
from ledger.rpc.patience import only_message, timely_messages
from ledger.rpc.rules import RULES, Rule, check_rules
from ledger.v1 import ledger_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

DEFAULT_DEADLINE_US: Final = 10_000_000
"""How long a call may wait that names no deadline, microseconds."""

MAX_DEADLINE_US: Final = 30_000_000
"""How long any call may wait for one thing, microseconds."""

_US_PER_SECOND = 1_000_000
_STREAMS = frozenset({Lane.APPEND_STREAM, Lane.READ_STREAM})
_SMALL_ANSWER_BYTES = 64 * 1024
# What a stream may hold whose other end takes nothing.
_UNKNOWN_SIZE = 1024 * 1024
_COLLECT_EVERY_BYTES = 64 * 1024 * 1024
# What the runtime of protobuf says then; only this tells it from bytes that are no message.
_NO_MEMORY = "alloc failed"
# What keeps the server within its limits.
_BY_LIMITS = (DeadlinePassedError, OverloadedError, QuotaExceededError, StalledError, TooManyLoginsError)

M = TypeVar("M", bound=Message)
R = TypeVar("R")
Later = Callable[[], Awaitable[M]]
"""The rest of a behaviour, to be awaited on the event loop. Dropping it leaves nothing behind."""


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        authenticator: Checks its rule.
        rule: What it needs.
        identity: Who makes it.
        ends_at: Boot-clock microseconds of its deadline; None for none.
        gives_up_at: Until when it may wait for its turn, the same; by its deadline, or by ours.
        events: How many events it brings, for the count of refusals.
    """

    authenticator: Authenticator
    rule: Rule
    identity: Identity
    ends_at: int | None
    gives_up_at: int
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

    def check_deadline(self, now_us: int) -> None:
        """Return if it is still worth doing.

        Raises:
            DeadlinePassedError: It waited for too long; nothing was done.
        """
        if self.gives_up_at <= now_us:
            raise DeadlinePassedError(
                "the call waited for its turn until its deadline had passed; nothing was done",
                hint="retry with a longer deadline",
            )

    def wait_until(self, now_us: int) -> int:
        """Return until when something may be waited for, boot-clock microseconds."""
        return _gives_up_at(now_us, self.ends_at)


def _gives_up_at(now_us: int, ends_at: int | None) -> int:
    return min(now_us + DEFAULT_DEADLINE_US if ends_at is None else ends_at, now_us + MAX_DEADLINE_US)


def parse_request(kind: type[M], data: bytes) -> M:
    """Return the message in these bytes.

    A field that is not known is refused: to ignore it could change what the caller meant.

    Raises:
        MalformedError: The bytes are no such message.
        InvalidRequestError: It has fields that are not known.
        MemoryError: There is no memory for it, which the runtime of protobuf tells in its own words.
    """
    try:
        message = kind.FromString(data)
        received = message.ByteSize()
    except EncodeError as error:
        raise MemoryError from error
    except DecodeError as error:
        if _NO_MEMORY in str(error):
            raise MemoryError from error
        raise MalformedError(
            f"the request is no {kind.DESCRIPTOR.full_name}: {error}",
            hint="check that the client was made from the server's schema, and that its texts are UTF-8",
        ) from error
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
        self._lingering_bytes = 0
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
        # As if every method took a stream: so the credential comes before the message, and the message not too late.
        if not method.server_streaming:
            return grpc.stream_unary_rpc_method_handler(self._unary(name, kind, behaviour))
        answers = cast("Callable[[Call, object], AsyncGenerator[Message, None]]", behaviour)
        if not method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(self._server_stream(name, kind, answers))
        return grpc.stream_stream_rpc_method_handler(self._both_streams(name, answers))

    def _unary(
        self, name: str, kind: type[Message], behaviour: Callable[..., object]
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]:
        rule = RULES[name]
        appends = rule.permission is Permission.APPEND

        async def handle(requests: AsyncIterator[bytes], context: Context) -> bytes:
            async def work(call: Call) -> bytes:
                data = await only_message(requests, self._parts.limits.first_message_seconds)
                size = len(data)
                request = parse_request(kind, data)
                del data

                def run() -> object:
                    if appends:
                        self._charge(call, request, size)
                    return behaviour(call, request)

                def allowed() -> object:
                    call.check_deadline(self._parts.clock.boottime_us())
                    call.authorise(request)
                    return run()

                if rule.is_light and self._needs_no_thread(call, request):
                    result = run()
                else:
                    result = await self._parts.workers.run(allowed, is_slow=rule.is_slow, appends=appends)
                response = result if isinstance(result, Message) else await cast("Later[Message]", result)()
                return response.SerializeToString()

            return await self._guard(name, context, work)

        return handle

    def _charge(self, call: Call, request: Message, size: int) -> None:
        events = len(request.sections) if isinstance(request, ledger_pb2.AppendBatchRequest) else 1
        call.events = max(events, 1)
        self._parts.quotas.take(call.identity, call.caller.key_id, events=events, size=size)

    def _needs_no_thread(self, call: Call, request: Message) -> bool:
        log = call.rule.log_of(request, home="")
        return self._parts.registry.is_open(log) and call.was_found_good(log)

    def _server_stream(
        self, name: str, kind: type[Message], answers: Callable[[Call, Message], AsyncGenerator[Message, None]]
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
            async def work(call: Call) -> None:
                request = parse_request(kind, await only_message(requests, self._parts.limits.first_message_seconds))
                await self._parts.workers.run(lambda: call.authorise(request))
                await self._write(answers(call, request), context)

            await self._guard(name, context, work)

        return handle

    def _both_streams(
        self, name: str, answers: Callable[[Call, AsyncIterator[bytes]], AsyncGenerator[Message, None]]
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        limits, quotas = self._parts.limits, self._parts.quotas

        async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
            async def work(call: Call) -> None:
                async def paced() -> AsyncIterator[bytes]:
                    timely = timely_messages(requests, limits.first_message_seconds, limits.idle_stream_seconds)
                    async for data in timely:
                        await quotas.pace(call.identity, events=1, size=len(data))
                        yield data

                await self._write(answers(call, paced()), context)

            await self._guard(name, context, work)

        return handle

    async def _write(self, answers: AsyncGenerator[Message, None], context: Context) -> None:
        """Send messages one after the other: no more than one waits for a reader that is slow."""
        limit = self._parts.limits.write_seconds
        # By itself: gRPC could not end a stream whose first message, with which it would go otherwise, is not taken.
        await context.send_initial_metadata(())
        async with contextlib.aclosing(answers) as messages:
            async for message in messages:
                try:
                    async with asyncio.timeout(limit):
                        await context.write(message.SerializeToString())
                except TimeoutError:
                    raise StalledError(
                        f"an answer was not taken within {limit:g} s, so the stream was ended",
                        hint="ask again from after the last answer that came",
                        metadata={"limitSeconds": f"{limit:g}"},
                    ) from None

    async def _guard(self, name: str, context: Context, work: Callable[[Call], Awaitable[R]]) -> R:
        """Do the work of a call, count it, and answer an error as a status."""
        clock, metrics, admission = self._parts.clock, self._parts.metrics, self._parts.admission
        lane = lane_of(name, RULES[name])
        started = clock.boottime_us()
        code = grpc.StatusCode.OK
        events = 1
        self._running += 1
        self._idle.clear()
        leaves: list[Callable[[], None]] = []
        lingering = _UNKNOWN_SIZE if lane in _STREAMS else 0
        try:
            if self._parts.growth.stopping.is_set():
                raise ShuttingDownError("the server is stopping", hint="retry with the same bytes")  # noqa: TRY301
            admission.enter(lane)
            leaves.append(lambda: admission.leave(lane))
            remaining = cast("float | None", context.time_remaining())
            ends_at = None if remaining is None else started + int(remaining * _US_PER_SECOND)
            identity = await self._authenticator.identify(context)
            if admission.enter_as(lane, identity):
                leaves.append(lambda: admission.leave_as(lane, identity))
            call = Call(self._authenticator, RULES[name], identity, ends_at, _gives_up_at(started, ends_at))
            try:
                answer = await work(call)
            finally:
                events = call.events
            if isinstance(answer, bytes) and len(answer) > _SMALL_ANSWER_BYTES:
                lingering = len(answer)
            return answer  # noqa: TRY300 - an error of what comes before is answered below
        except asyncio.CancelledError:
            code, lingering = grpc.StatusCode.CANCELLED, 0
            raise
        except Exception as error:  # noqa: BLE001 - the one place that turns errors into statuses
            if isinstance(error, InvalidCredentialsError):
                metrics.authentication_failed()
            refusal = refusal_of(error)
            if isinstance(error, _BY_LIMITS):
                metrics.call_refused(refusal.reason)
            code = refusal.code
            # An error that a future keeps holds its frames, and they the message, until the collector looks.
            traceback.clear_frames(error.__traceback__)
        finally:
            self._leave(leaves, context, lingering)
            metrics.called(name, code.name, clock.boottime_us() - started)
            self._running -= 1
            if not self._running:
                self._idle.set()
        if RULES[name].permission is Permission.APPEND:
            metrics.refused(refusal.reason, events)
        return await refuse(context, refusal)

    def _leave(self, leaves: Sequence[Callable[[], None]], context: Context, lingering: int) -> None:
        """Give a call's places back: now, or once a large answer or the end of a stream was taken by the other end.

        Args:
            leaves: Give one place back each.
            context: The call's.
            lingering: Bytes that the call may hold after its end; 0 for none to speak of.
        """
        for leave in leaves:
            if lingering:
                # gRPC's types know the blocking server's contexts only.
                context.add_done_callback(cast("Any", functools.partial(_ignoring_context, leave)))
            else:
                leave()
        # gRPC keeps a call with such a callback in a cycle, and its bytes with it. The collector counts objects, and
        # these are few.
        self._lingering_bytes += lingering
        if self._lingering_bytes >= _COLLECT_EVERY_BYTES:
            self._lingering_bytes = 0
            gc.collect()


def _ignoring_context(do: Callable[[], None], _context: object) -> None:
    do()
