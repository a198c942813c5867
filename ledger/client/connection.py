"""The channel to the server: made when first needed, with retries.

The rule that must not break: a call that is made again sends the same bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Final, Protocol, TypeAlias, TypeVar

import grpc

from ledger.client._forking import Cancellable, inside_grpc, stand_still_at_forks
from ledger.client._status import error_of, failure_of
from ledger.client.options import Options
from ledger.client.retry import Failure, retry_delay
from ledger.clock import Clock, SystemClock
from ledger.errors import FieldViolation, InvalidRequestError, LedgerError, ServerUnreachableError
from ledger.v1 import ledger_pb2
from ledger.v1.admin_pb2_grpc import AdminServiceStub
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from ledger.v1.query_pb2_grpc import QueryServiceStub

MAX_MESSAGE_BYTES: Final = 5 * 1024 * 1024
"""Largest message that is sent or taken; above every limit of the server, so that its own answer arrives."""

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Retries are made here, where it is known which calls are safe; a server that is back is found again quickly.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A server whose machine is gone says nothing: a stream that follows a quiet log would wait for it for ever.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
)
# Far above the bundles of all public authorities.
_MAX_TLS_FILE_BYTES: Final = 4 * 1024 * 1024
# A proxy would see an unencrypted API key.
_PLAIN_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)

# A stream that follows a log and ends without an error, which no server of ours does.
_ENDED: Final = Failure("UNAVAILABLE", "", None)

Q = TypeVar("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Stubs:
    """The services of one channel."""

    ledger: LedgerServiceStub
    query: QueryServiceStub
    admin: AdminServiceStub


class Cancellation:
    """Ends a stream from another thread than the one that reads it. Thread-safe."""

    def __init__(self) -> None:
        """Begin with no stream."""
        self._lock = threading.Lock()  # guards both below
        self._call: Cancellable | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """End the stream at once, and every later one."""
        with self._lock:
            self._is_cancelled = True
            call = self._call
        if call is not None:
            call.cancel()

    def begin(self, call: Cancellable) -> None:
        """Take note of the stream that is read now."""
        with self._lock:
            self._call = call
            is_cancelled = self._is_cancelled
        if is_cancelled:
            call.cancel()


class _Answers(Cancellable, Protocol[R_co]):
    """A stream of answers."""

    def __iter__(self) -> Iterator[R_co]:
        """Yield the answers as they come."""


AppendCall: TypeAlias = _Answers[ledger_pb2.AppendStreamResponse]
"""A stream of appends."""


class _ForkedError(Exception):
    """A stream was ended because the process forked, and is to be asked for again."""


class Connection:
    """Calls to one server under one credential. Safe for use by several threads; not after a fork."""

    def __init__(
        self,
        options: Options,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] | None = None,
        on_retry: Callable[[LedgerError, float], None] | None = None,
    ) -> None:
        """Keep the settings; nothing is connected yet.

        Args:
            options: Where the server is, and the credential.
            clock: Measures the time that a call takes.
            sleep: Waits between attempts, seconds.
            jitter: Returns a random number in [0, 1).
            on_retry: Told of each failed attempt that is made again, and of the wait in seconds.
        """
        self._options = options
        self._clock = clock if clock is not None else SystemClock()
        self._sleep = sleep
        self._jitter = jitter if jitter is not None else SystemRandom().random
        self._on_retry = on_retry
        self._lock = threading.Lock()  # guards _channel and _stubs
        self._channel: grpc.Channel | None = None
        self._stubs: Stubs | None = None
        self._metadata = (("authorization", f"Bearer {options.api_key}"),) if options.api_key is not None else ()

    def call(self, choose: Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Q, R]], request: Q) -> R:
        """Make a call that is safe to repeat, and repeat it while that can help and the time allows.

        Args:
            choose: Picks the method.
            request: The request, sent unchanged in every attempt.

        Raises:
            LedgerError: The server refused, or could not be reached in time.
        """
        begin = self.now()
        attempt = 0
        while True:
            attempt += 1
            remaining = self._options.timeout_seconds - (self.now() - begin)
            try:
                with inside_grpc():
                    return choose(self._connected())(request, timeout=max(remaining, 0.001), metadata=self._metadata)
            except grpc.RpcError as rpc_error:
                remaining = self._options.timeout_seconds - (self.now() - begin)
                error = error_of(rpc_error, self._options.address)
                self._wait_or_raise(error, failure_of(rpc_error), attempt, remaining)

    def stream(
        self,
        choose: Callable[[Stubs], grpc.UnaryStreamMultiCallable[Q, R]],
        next_request: Callable[[], Q | None],
        *,
        endless: bool = False,
        cancellation: Cancellation | None = None,
    ) -> Iterator[R]:
        """Read streams one after the other until nothing is left to ask for.

        A stream that breaks is asked for again, from where the caller then stands.

        Args:
            choose: Picks the method.
            next_request: Returns the request for what is still missing; None when nothing is.
            endless: Whether a stream follows the log; otherwise it must end within the time of a call.
            cancellation: Lets another thread end the stream.

        Raises:
            LedgerError: The server refused, could not be reached in time, or ended a stream without an answer.
        """
        begin = self.now()
        attempt = 0
        while (request := next_request()) is not None:
            timeout = None if endless else self._options.timeout_seconds
            with inside_grpc():
                call = choose(self._connected())(request, timeout=timeout, metadata=self._metadata)
            if cancellation is not None:
                cancellation.begin(call)
            answered = False
            try:
                with closing(_messages_of(call)) as messages:
                    for message in messages:
                        begin, attempt, answered = self.now(), 0, True
                        yield message
            except _ForkedError:
                continue
            except grpc.RpcError as rpc_error:
                failed, failure = error_of(rpc_error, self._options.address), failure_of(rpc_error)
            else:
                if answered and not endless:
                    continue
                failed, failure = self._ended_without_answer(), _ENDED
                if not endless:
                    raise failed
            if endless and not attempt:
                # It may have been silent for long before it broke, because there was nothing to tell.
                begin = self.now()
            attempt += 1
            self._wait_or_raise(failed, failure, attempt, self._options.timeout_seconds - (self.now() - begin))

    def append_stream(self, messages: Iterator[ledger_pb2.AppendStreamRequest]) -> AppendCall:
        """Open a stream of appends, inside gRPC; it is for the caller to open another where it breaks."""
        return self._connected().ledger.AppendStream(messages, metadata=self._metadata)

    def jitter(self) -> float:
        """Return a random number in [0, 1)."""
        return self._jitter()

    def tell_of_retry(self, error: LedgerError, delay_seconds: float) -> None:
        """Tell whoever wants to know that something is sent again, and after how long."""
        if self._on_retry is not None:
            self._on_retry(error, delay_seconds)

    @property
    def address(self) -> str:
        """Where the server is called, for messages."""
        return self._options.address

    def now(self) -> float:
        """Return seconds since boot, counting suspension."""
        return self._clock.boottime_us() / 1e6

    def close(self) -> None:
        """Close the channel; a later call makes a new one."""
        with self._lock:
            channel, self._channel, self._stubs = self._channel, None, None
        if channel is not None:
            with inside_grpc():
                channel.close()

    def _wait_or_raise(self, error: LedgerError, failure: Failure, attempt: int, remaining_seconds: float) -> None:
        delay = retry_delay(failure, attempt, remaining_seconds, self._jitter)
        if delay is None:
            raise error
        self.tell_of_retry(error, delay)
        self._sleep(delay)

    def _ended_without_answer(self) -> ServerUnreachableError:
        return ServerUnreachableError(
            f"the server at {self._options.address} ended a stream without an answer",
            hint="it may be stopping; the call can be made again safely",
        )

    def _connected(self) -> Stubs:
        with self._lock:
            if self._stubs is None:
                self._channel = open_channel(self._options)
                stand_still_at_forks()
                self._stubs = Stubs(
                    LedgerServiceStub(self._channel), QueryServiceStub(self._channel), AdminServiceStub(self._channel)
                )
            return self._stubs


def _messages_of(call: _Answers[R]) -> Generator[R, None, None]:
    """Yield the messages of a stream, and end it; between them its reader may fork.

    Raises:
        grpc.RpcError: The stream broke.
        _ForkedError: It was ended because the process forked.
    """
    messages = iter(call)
    try:
        while True:
            with inside_grpc() as passage:
                passage.begin(call)
                try:
                    message = next(messages)
                except StopIteration:
                    return
                except grpc.RpcError:
                    if passage.was_interrupted:
                        raise _ForkedError from None
                    raise
            yield message
    finally:
        with inside_grpc():
            call.cancel()


def open_channel(options: Options) -> grpc.Channel:
    """Return a channel to the server, not connected yet.

    Raises:
        InvalidRequestError: A file of the TLS settings cannot be read.
    """
    if not options.tls:
        return grpc.insecure_channel(options.target, options=(*_CHANNEL_OPTIONS, *_PLAIN_OPTIONS))
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(options.tls_ca, "tls_ca"),
        private_key=_read(options.tls_key, "tls_key"),
        certificate_chain=_read(options.tls_cert, "tls_cert"),
    )
    return grpc.secure_channel(options.target, credentials, options=_CHANNEL_OPTIONS)


def _read(path: str | Path | None, name: str) -> bytes | None:
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_TLS_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a NUL is the latter
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidRequestError([FieldViolation(name, f"{str(path)!r} cannot be read: {why}")]) from error
    if len(data) > _MAX_TLS_FILE_BYTES:
        raise InvalidRequestError([FieldViolation(name, f"{path} has more than {_MAX_TLS_FILE_BYTES} bytes")])
    return data
