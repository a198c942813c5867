"""Appends of many callers, coalesced into messages on one long-lived stream.

Three threads share the work while there is any: gRPC's own takes the next message from `_messages`; the reader verifies
the answers; the keeper puts the trusted head on disk, once for all that wait, and wakes the callers. None is left when
nothing has been appended for a while, or after `close`.

A message goes at once when nothing is under way. What comes while one is under way gathers, for a few milliseconds at
most. The rule that must not break: a caller gets one answer; what is sent again has the same bytes; and nothing is
handed out that was not verified, and its head kept.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakSet

import grpc

from ledger.client._answers import Answers, Proven
from ledger.client._buffer import Buffer, Place, Waiting
from ledger.client._forking import inside_grpc
from ledger.client._keeper import Keeper
from ledger.client._status import error_of, failure_of
from ledger.client._unanswered import error_without_answer, own_copy
from ledger.client.connection import AppendCall, Connection
from ledger.client.retry import Failure, retry_delay
from ledger.errors import (
    AppendsUnansweredError,
    ContentMismatchError,
    LedgerError,
    ServerUnreachableError,
    StateError,
)
from ledger.events.event import BATCH_MAX_EVENTS
from ledger.v1 import ledger_pb2

MAX_IN_FLIGHT: Final = 4
"""Messages that are under way at the same time."""

LINGER_SECONDS: Final = 0.002
"""Longest time that an append waits for others, and only while a message is under way."""

IDLE_SECONDS: Final = 10.0
"""How long a stream without appends is kept open."""

_NEVER: Final = 1 << 62
_END_SECONDS: Final = 1.0
_UNREACHABLE: Final = Failure("UNAVAILABLE", "", None)

# Appenders of this process that may have something under way, for its end.
_APPENDERS: WeakSet[Appender] = WeakSet()


@dataclass(slots=True, eq=False)
class _Message:
    """A message that is under way."""

    events: list[Waiting]
    sent_at: float
    trusted_size: int = 0


@dataclass(slots=True)
class _Stream:
    """One stream. The first two are guarded by the appender's lock, the third belongs to the reading thread."""

    under_way: deque[_Message] = field(default_factory=deque)
    is_over: bool = False
    shown_size: int = 0


class _DistrustedError(Exception):
    """An answer did not hold, so what the server believes to have shown is not what is trusted here."""


class Appender:
    """The stream of one client. Safe for use by several threads; not after a fork."""

    def __init__(
        self,
        connection: Connection,
        answers: Answers,
        tell: Callable[[Sequence[Waiting]], None],
        timeout_seconds: float,
    ) -> None:
        """Keep the parts; nothing is connected, and no thread started, before the first append.

        Args:
            connection: To the server.
            answers: Makes messages and verifies answers.
            tell: Wakes the callers of appends that have ended; called without a lock.
            timeout_seconds: How long a message may be under way before the stream counts as broken.
        """
        self._connection = connection
        self._answers = answers
        self._tell = tell
        self.timeout_seconds = timeout_seconds
        self._failures = 0  # attempts since the last that did not fail; belongs to the reading thread
        lock = threading.Lock()  # guards all below, and the places of all appends; never held during I/O
        self._changed = threading.Condition(lock)  # for the threads of the stream
        self._emptied = threading.Condition(lock)  # for who closes
        self._buffer = Buffer()
        self._wake_at = _NEVER  # how many queued events the waiting thread wants to be woken for
        self._thread: threading.Thread | None = None
        self._stream: _Stream | None = None
        self._call: AppendCall | None = None
        self._closing = False
        self._paused_until = 0.0
        self._last_error: LedgerError | None = None  # of an attempt, if none has succeeded since
        self._unknown: dict[Waiting, None] = {}  # appends of whose outcome nobody has been told, in order

    def put(self, events: Sequence[Waiting]) -> None:
        """Take appends in; `tell` is called for each, unless its caller leaves before."""
        now = self._connection.now()
        with self._changed:
            for waiting in events:
                self._buffer.put(waiting, now)
            if self._thread is None:
                _APPENDERS.add(self)
                self._thread = threading.Thread(target=self._run, name="logproof appender", daemon=True)
                self._thread.start()
            elif self._buffer.queued_events >= self._wake_at:
                self._changed.notify_all()

    def leave(self, waiting: Waiting, *, is_cancelled: bool = False) -> None:
        """Let a caller go that waits no longer: with the error that says why, or with the answer that has come by now.

        Args:
            waiting: Its append. If it is under way it may still be done, and the answer is for nobody.
            is_cancelled: Whether nobody looks at the error, so that `close` has to tell of the event.
        """
        now = self._connection.now()
        with self._changed:
            place = waiting.place
            if not self._buffer.end(waiting, now):
                return
            if is_cancelled and waiting.was_sent:
                self._unknown[waiting] = None
            under_way = self._stream.under_way if self._stream is not None else None
            call = self._call if under_way and now - under_way[0].sent_at >= self.timeout_seconds else None
            last_error = self._last_error
            self._notice_room()
        if call is not None:
            with inside_grpc():
                call.cancel()  # the stream is opened again for the others
        waiting.error = error_without_answer(waiting, place, self._connection.address, last_error)

    def close(self, timeout_seconds: float) -> None:
        """Wait until everything is answered, and end the threads; a later append starts them again.

        Raises:
            AppendsUnansweredError: There are events of whose outcome nobody was told, in this time or before.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._emptied.wait_for(lambda: self._buffer.is_empty, timeout_seconds)
            thread = self._thread
        self._end_all()
        if thread is not None:
            thread.join(_END_SECONDS)
            with self._changed:
                call = self._call
            if call is not None:
                with inside_grpc():
                    call.cancel()
            thread.join()
        with self._changed:
            self._closing = False
            unknown, self._unknown = self._unknown, {}
        if unknown:
            raise AppendsUnansweredError([waiting.event_id for waiting in unknown])

    def _end_all(self) -> None:
        """Answer whoever still waits, because the client is closed."""
        now = self._connection.now()
        with self._changed:
            under_way = self._stream.under_way if self._stream is not None else ()
            sent = [waiting for message in under_way for waiting in message.events]
            places = {waiting: waiting.place for waiting in [*sent, *self._buffer.all_waiting()]}
            left = [waiting for waiting in places if self._buffer.end(waiting, now)]
            self._unknown.update({waiting: None for waiting in left if waiting.was_sent})
            last_error = self._last_error
            self._notice_room()
        for waiting in left:
            waiting.error = error_without_answer(waiting, places[waiting], self._connection.address, last_error)
        if left:
            self._tell(left)

    # The sending thread, which is gRPC's

    def _messages(self, stream: _Stream) -> Iterator[ledger_pb2.AppendStreamRequest]:
        while (message := self._next_message(stream)) is not None:
            try:
                request, message.trusted_size = self._answers.request(message.events)
            except LedgerError as error:
                with self._changed:
                    stream.under_way.remove(message)
                self._end_with(message.events, error)
                continue
            yield request

    def _next_message(self, stream: _Stream) -> _Message | None:
        """Wait for the next message; None when the stream is to end."""
        with self._changed:
            while not stream.is_over:
                wait_seconds, wake_at = self._how_long_to_gather(stream)
                if wait_seconds <= 0:
                    message = _Message(self._buffer.take(), self._connection.now())
                    stream.under_way.append(message)
                    return message
                is_idle = not stream.under_way and not self._buffer.queued_events
                if is_idle and self._closing:
                    return None
                if not self._wait(wait_seconds, wake_at) and is_idle and not self._buffer.queued_events:
                    return None
        return None

    def _how_long_to_gather(self, stream: _Stream) -> tuple[float, int]:
        """Return for how many seconds to wait, and how many queued events end the wait."""
        queued, under_way = self._buffer.queued_events, len(stream.under_way)
        if not queued:
            return IDLE_SECONDS, 1
        if under_way >= MAX_IN_FLIGHT:
            return IDLE_SECONDS, _NEVER
        now = self._connection.now()
        if now < self._paused_until:
            return self._paused_until - now, _NEVER
        if not under_way or self._buffer.fills_a_message:
            return 0.0, 0
        return self._buffer.queued_since + LINGER_SECONDS - now, BATCH_MAX_EVENTS

    def _wait(self, seconds: float | None, wake_at: int) -> bool:
        """Wait for a change, with the lock; return False where the time passed without one."""
        self._wake_at = wake_at
        woken = self._changed.wait(seconds)
        self._wake_at = _NEVER
        return woken

    # The reading thread

    def _run(self) -> None:
        keeper = Keeper(self._answers.keep, self._finish)
        try:
            while self._has_work():
                self._serve(keeper)
        except BaseException:
            # Nobody may wait for a thread that is gone.
            with self._changed:
                self._thread = None
            self._end_all()
            raise
        finally:
            keeper.close()

    def _has_work(self) -> bool:
        """Wait until something is to be sent; return False, and let the thread end, where nothing is left."""
        with self._changed:
            while not self._buffer.is_empty:
                pause = self._paused_until - self._connection.now()
                if not self._buffer.queued_events:
                    self._wait(None, 1)
                elif pause > 0:
                    self._wait(pause, _NEVER)
                else:
                    return True
            self._thread = None
            return False

    def _serve(self, keeper: Keeper) -> None:
        """Run one stream to its end, and see to what it left unanswered."""
        stream = _Stream()
        error: LedgerError | None = None
        failure: Failure | None = _UNREACHABLE
        call, was_interrupted = None, False
        try:
            with inside_grpc() as passage:
                try:
                    call = self._connection.append_stream(self._messages(stream))
                    passage.begin(call)
                    with self._changed:
                        self._stream, self._call = stream, call
                    for answer in call:
                        self._take_answer(stream, answer, keeper)
                finally:
                    was_interrupted = passage.was_interrupted
                    if call is not None:
                        call.cancel()
        except grpc.RpcError as rpc_error:
            error, failure = error_of(rpc_error, self._connection.address), failure_of(rpc_error)
            if was_interrupted:
                error = failure = None
        except LedgerError as local_error:
            error, failure = local_error, Failure("", local_error.reason, None)
        except _DistrustedError:
            failure = None
        except BaseException:
            # Back to the queue, where whoever ends the thread finds them.
            self._send_again(self._end_stream(stream, is_broken=False))
            raise
        finally:
            # However it ends: what gRPC's thread took into a call that nobody reads is not lost.
            lost = self._end_stream(stream, is_broken=error is not None)
        if failure is None:
            self._send_again(lost)
        elif lost:
            self._retry_or_fail(lost, error or self._ended_early(), failure)

    def _end_stream(self, stream: _Stream, *, is_broken: bool) -> list[Waiting]:
        """Return the appends that a stream leaves unanswered; of one that broke, those that it was opened for."""
        with self._changed:
            stream.is_over = True
            self._stream = self._call = None
            self._changed.notify_all()
            lost = [waiting for message in stream.under_way for waiting in message.events]
            return lost if lost or not is_broken else self._buffer.take()

    def _ended_early(self) -> LedgerError:
        return ServerUnreachableError(
            f"the server at {self._connection.address} ended a stream without an answer",
            hint="it may be stopping; the call can be made again safely",
        )

    def _take_answer(self, stream: _Stream, answer: ledger_pb2.AppendStreamResponse, keeper: Keeper) -> None:
        """Verify an answer and pass it on.

        Raises:
            _DistrustedError: It does not hold, or answers nothing.
        """
        with self._changed:
            if not stream.under_way:
                # Each stream may begin so: without a pause they would follow one another as fast as they can be opened.
                self._failures += 1
                pause = retry_delay(_UNREACHABLE, self._failures, math.inf, self._connection.jitter)
                self._paused_until = self._connection.now() + (pause or 0.0)
                raise _DistrustedError
            message = stream.under_way.popleft()
            goes_on = bool(stream.under_way) or self._buffer.queued_events > 0
            self._changed.notify_all()
        events = message.events
        if answer.HasField("error"):
            error = self._answers.refusal(answer.error, message.trusted_size)
            self._retry_or_fail(events, error, failure_of(answer.error))
            return
        try:
            outcomes = self._verified(stream, message, answer)
        except LedgerError as error:
            self._end_with(events, error)
            raise _DistrustedError from error
        except BaseException:
            with self._changed:
                stream.under_way.appendleft(message)
            raise
        proven = next((item for item in outcomes if isinstance(item, Proven)), None)
        if proven is not None:
            stream.shown_size = max(stream.shown_size, proven.head.checkpoint.tree_size)
        self._failures = 0
        with self._changed:
            self._last_error = None
        keeper.put(events, outcomes, at_once=not goes_on)

    def _verified(
        self, stream: _Stream, message: _Message, answer: ledger_pb2.AppendStreamResponse
    ) -> Sequence[Proven | LedgerError]:
        if not answer.HasField("results"):
            raise ContentMismatchError("the server answers several events as if they were one")
        return self._answers.verify(message.events, answer.results, message.trusted_size, stream.shown_size)

    def _retry_or_fail(self, events: Sequence[Waiting], error: LedgerError, failure: Failure) -> None:
        """Let appends be sent again where that can help and their callers wait long enough; end the others."""
        self._failures += 1
        share = self._connection.jitter()
        now = self._connection.now()
        failed: list[Waiting] = []
        again: list[Waiting] = []
        pause = 0.0
        for waiting in events:
            delay = retry_delay(failure, self._failures, waiting.ends_at - now, lambda: share)
            if delay is None:
                failed.append(waiting)
            else:
                again.append(waiting)
                pause = delay
        with self._changed:
            self._last_error = error
            self._paused_until = now + pause
        self._send_again(again)
        self._end_with(failed, error)
        if again:
            # Last, because it may raise whatever the program raises.
            self._connection.tell_of_retry(error, pause)

    def _send_again(self, events: Sequence[Waiting]) -> None:
        with self._changed:
            for waiting in reversed(events):
                if waiting.place is Place.SENT:
                    self._buffer.put_back(waiting)
            self._notice_room()

    def _end_with(self, events: Sequence[Waiting], error: LedgerError) -> None:
        if events:
            self._finish(events, [own_copy(error) for _ in events], None)

    # Whoever ends an append

    def _finish(
        self, events: Sequence[Waiting], outcomes: Sequence[Proven | LedgerError], not_kept: StateError | None
    ) -> None:
        """Give each append its outcome, and wake those who still wait for theirs."""
        now = self._connection.now()
        told: list[Waiting] = []
        with self._changed:
            for waiting, outcome in zip(events, outcomes, strict=True):
                if self._buffer.end(waiting, now):
                    if isinstance(outcome, Proven):
                        waiting.answer, waiting.error = outcome, not_kept
                    else:
                        waiting.error = outcome
                    told.append(waiting)
                elif isinstance(outcome, Proven):
                    self._unknown.pop(waiting, None)
            self._notice_room()
        if told:
            self._tell(told)

    def _notice_room(self) -> None:
        """Wake, with the lock, whoever waits for what left the buffer or came back to it."""
        if self._buffer.is_empty:
            self._emptied.notify_all()
            self._changed.notify_all()
        elif self._buffer.queued_events >= self._wake_at:
            self._changed.notify_all()


def _finish_at_exit() -> None:
    """Wait for what is under way when the program ends without closing its clients, and warn of what is not known."""
    for appender in list(_APPENDERS):
        try:
            appender.close(appender.timeout_seconds)
        except AppendsUnansweredError as error:
            warnings.warn(error.message, RuntimeWarning, stacklevel=1)


atexit.register(_finish_at_exit)
# What was under way in the parent is the parent's.
os.register_at_fork(after_in_child=_APPENDERS.clear)
