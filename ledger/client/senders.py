"""Ways to append under load: by the SDK, which verifies every answer, or by bare calls, which show the server alone.

The rule that must not break: bare calls look at no answer, so nothing that came of them is ever shown as verified.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

import grpc
from google.rpc import error_details_pb2, status_pb2

from ledger.client._status import error_of
from ledger.client.connection import open_channel
from ledger.client.load import MadeEvent
from ledger.client.options import Options
from ledger.client.sync import Ledger
from ledger.client.values import Sections
from ledger.errors import RemoteError, ServerUnreachableError
from ledger.v1 import ledger_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub


class VerifyingSender:
    """Appends by the SDK as programs use it: each answer verified, each head kept, what may pass tried again in time."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the client, which stays the caller's."""
        self._ledger = ledger

    def send(self, batch: Sequence[MadeEvent]) -> None:
        """Append events, and verify that they are in the log.

        Raises:
            LedgerError: They were refused, not answered in time, or the answer does not hold.
        """
        if len(batch) == 1:
            self._ledger.append(event=batch[0].event, personal=batch[0].personal)
        else:
            self._ledger.append_sections([made.sections for made in batch])

    def close(self) -> None:
        """Release nothing."""


class BareSender:
    """Appends by one call each time: `Append` for one event, `AppendBatch` for more."""

    def __init__(self, options: Options) -> None:
        """Keep the settings; the connection is made by the first call."""
        self._options = options
        self._channel = open_channel(options)
        self._stub = LedgerServiceStub(self._channel)
        self._metadata = _credential(options)

    def send(self, batch: Sequence[MadeEvent]) -> None:
        """Append events.

        Raises:
            LedgerError: They were refused, or not answered in time.
        """
        log, timeout = self._options.log, self._options.timeout_seconds
        sections = [_message(made.sections) for made in batch]
        try:
            if len(sections) == 1:
                request = ledger_pb2.AppendRequest(log=log, sections=sections[0])
                self._stub.Append(request, timeout=timeout, metadata=self._metadata)
            else:
                self._stub.AppendBatch(
                    ledger_pb2.AppendBatchRequest(log=log, sections=sections), timeout=timeout, metadata=self._metadata
                )
        except grpc.RpcError as error:
            raise error_of(error, self._options.address) from error

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class StreamSender:
    """Appends on one long-lived stream, one event a message."""

    def __init__(self, options: Options) -> None:
        """Open the stream."""
        self._options = options
        self._channel = open_channel(options)
        self._messages: SimpleQueue[ledger_pb2.AppendStreamRequest | None] = SimpleQueue()
        # Answers come in the order of the messages, so both are queued under one lock.
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()
        self._broken: ServerUnreachableError | None = None
        call = LedgerServiceStub(self._channel).AppendStream(self._requests(), metadata=_credential(options))
        self._reader = threading.Thread(target=self._read, args=(call,), name="logproof-bench-stream", daemon=True)
        self._reader.start()

    def send(self, batch: Sequence[MadeEvent]) -> None:
        """Append events, each as a message of its own.

        Raises:
            LedgerError: One was refused, or not answered in time.
        """
        answers = [self._put(made.sections) for made in batch]
        for answer in answers:
            try:
                answer.result(self._options.timeout_seconds)
            except TimeoutError as error:
                raise ServerUnreachableError("the stream did not answer in time") from error

    def close(self) -> None:
        """End the stream and close the connection."""
        self._messages.put(None)
        self._reader.join(self._options.timeout_seconds)
        self._channel.close()

    def _put(self, sections: Sections) -> Future[None]:
        message = ledger_pb2.AppendStreamRequest(log=self._options.log, sections=_message(sections))
        answer: Future[None] = Future()
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._waiting.append(answer)
            self._messages.put(message)
        return answer

    def _requests(self) -> Iterator[ledger_pb2.AppendStreamRequest]:
        while (message := self._messages.get()) is not None:
            yield message

    def _read(self, call: Iterator[ledger_pb2.AppendStreamResponse]) -> None:
        ended = "the server ended the stream"
        try:
            for response in call:
                answer = self._waiting.popleft()
                if response.HasField("error"):
                    answer.set_exception(_stream_error(response.error))
                else:
                    answer.set_result(None)
        except grpc.RpcError as error:
            ended = error_of(error, self._options.address).message
        with self._lock:
            self._broken = ServerUnreachableError(ended, hint="run it again; calls without --stream connect anew")
            left = list(self._waiting)
        for answer in left:
            answer.set_exception(self._broken)


def _stream_error(error: ledger_pb2.StreamError) -> RemoteError:
    code = next(code.name for code in grpc.StatusCode if code.value[0] == error.code)
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(error.status).details:
        if detail.Unpack(info):
            break
    return RemoteError(error.message, code=code, remote_reason=info.reason)


def _message(sections: Sections) -> ledger_pb2.EventSections:
    return ledger_pb2.EventSections(event=sections.event, personal=sections.personal)


def _credential(options: Options) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {options.api_key}"),) if options.api_key is not None else ()
