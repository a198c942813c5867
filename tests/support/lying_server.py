"""A small gRPC server over a log in memory that tells the truth, or one lie.

It answers from whole logs (a fork and a set-back log are logs of their own), and a lie about one answer is a function
that changes the true answer before it is sent.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from types import TracebackType
from typing import NoReturn, Self, TypeVar

import grpc
from google.protobuf.message import Message

from ledger.errors import (
    ApiKeyNotFoundError,
    BatchConflictError,
    BatchProblem,
    EntryNotFoundError,
    EventIdReusedError,
    IndexBeyondTreeError,
    LedgerError,
    OverloadedError,
    UnsupportedError,
)
from ledger.events.wire import read_event
from ledger.merkle import prove_batch_inclusion, prove_range
from ledger.merkle.compact import CompactRange
from ledger.notes import format_verifier_key
from ledger.rpc.errors import DETAILS_KEY, refusal_of
from ledger.v1 import admin_pb2, admin_pb2_grpc, ledger_pb2, ledger_pb2_grpc, proof_pb2
from tests.support.sample_log import SampleLog

M = TypeVar("M", bound=Message)
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
Lie = Callable[[Message], None]

API_KEY = "sample-api-key"
ENDS_AT_ONCE = -1
"""As a stream break: the stream ends in order, without an answer."""


def truth(_answer: Message) -> None:
    """Change nothing."""


def _of_one_moment(method: Callable[[LyingServer, Q, grpc.ServicerContext], A]) -> Callable[..., A]:
    @functools.wraps(method)
    def answer(server: LyingServer, request: Q, context: grpc.ServicerContext) -> A:
        with server._lock:
            return method(server, request, context)

    return answer


def no_leaf(answer: Message) -> None:
    """Give proofs without the leaf, as to a credential that may not read leaves; no lie in itself."""
    if isinstance(answer, ledger_pb2.GetInclusionProofResponse):
        answer.leaf = b""


def old_head(server: LyingServer, size: int) -> Lie:
    """Show the log's own head of an earlier size as the newest, which is consistent with all that follows."""

    def lie(answer: Message) -> None:
        if isinstance(
            answer, ledger_pb2.GetCheckpointResponse | ledger_pb2.EventResults | ledger_pb2.VerifyEntryResponse
        ):
            answer.checkpoint.CopyFrom(server.checkpoint(size))
        if isinstance(answer, ledger_pb2.EventResults):
            indexes = sorted({item.acknowledgement.leaf_index for item in answer.results})
            answer.inclusion_proof.CopyFrom(server.batch_inclusion(indexes, size))
        if isinstance(answer, ledger_pb2.GetInclusionProofResponse):
            answer.checkpoint.CopyFrom(server.checkpoint(size))
            answer.inclusion_proof.CopyFrom(server.inclusion(answer.inclusion_proof.leaf_index, size))

    return lie


def first_leaf_for_every_event(server: LyingServer, outcome: ledger_pb2.AppendOutcome.ValueType) -> Lie:
    """Answer each append as done before, without salts, and with the first leaf of the log, whatever it holds."""

    def mislead(acknowledgement: ledger_pb2.Acknowledgement) -> None:
        acknowledgement.CopyFrom(ledger_pb2.Acknowledgement(outcome=outcome, leaf=server.log.leaves[0]))

    def lie(answer: Message) -> None:
        size = len(server.log.leaves)
        if isinstance(answer, ledger_pb2.EventResults):
            for item in answer.results:
                mislead(item.acknowledgement)
            answer.inclusion_proof.CopyFrom(server.batch_inclusion([0], size))
        if isinstance(answer, ledger_pb2.AppendBatchResponse):
            for acknowledgement in answer.acknowledgements:
                mislead(acknowledgement)
            answer.inclusion_proof.CopyFrom(server.batch_inclusion([0], size))

    return lie


def _stream_error(error: LedgerError) -> ledger_pb2.StreamError:
    refusal = refusal_of(error)
    return ledger_pb2.StreamError(code=refusal.code.value[0], message=refusal.message, status=refusal.details)


def copy_of(log: SampleLog, size: int | None = None) -> SampleLog:
    """Return a log with the same key and the same first entries."""
    made = SampleLog(log.signer.name, log.signer.seed)
    made.leaves = log.leaves[:size]
    made.leaf_hashes = log.leaf_hashes[:size]
    made.sections = log.sections[:size]
    return made


class LyingServer(ledger_pb2_grpc.LedgerServiceServicer):
    """The server; `log` and `lie` may be changed at any time."""

    def __init__(self, log: SampleLog | None = None, *, credentials: grpc.ServerCredentials | None = None) -> None:
        self.log = log if log is not None else SampleLog()
        self.lie: Lie = truth
        self.failures: list[LedgerError] = []
        self.streams = 0  # of appends
        self.may_answer = threading.Event()  # cleared, streams of appends are read and not answered
        self.may_answer.set()
        self.received = threading.Semaphore(0)  # released for each message of a stream of appends
        self.refused_messages: list[LedgerError] = []  # answers to the next messages of streams of appends
        self.lost_answers: list[LedgerError] = []  # what breaks a stream of appends once the next messages are done
        self.stream_ends: list[bool] = []  # after which messages a stream of appends ends
        self.extra_answers: list[bool] = []  # after which messages a stream of appends has an answer too many
        self.stream_breaks: list[int] = []  # after how many messages the next streams break
        self.batch_fits = 1000  # entries of an answer to BatchGetEntries
        self.requests: list[Message] = []
        self._lock = threading.RLock()  # an answer is of one moment
        self._grown = threading.Condition(self._lock)
        self._server = grpc.server(ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(self, self._server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(_Admin(self), self._server)
        if credentials is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def verifier_key(self) -> str:
        return format_verifier_key(self.log.verifier)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.may_answer.set()
        self._server.stop(0).wait()

    # Appends

    def AppendStream(
        self, request_iterator: Iterator[ledger_pb2.AppendStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[ledger_pb2.AppendStreamResponse]:
        self.streams += 1
        shown = 0
        messages: Queue[ledger_pb2.AppendStreamRequest | None] = Queue()
        threading.Thread(target=self._read_on, args=(request_iterator, messages)).start()
        while (request := messages.get()) is not None:
            while context.is_active() and not self.may_answer.wait(0.02):
                pass
            with self._lock:
                self._receive(request, context)
                if self.refused_messages:
                    answer = ledger_pb2.AppendStreamResponse(error=_stream_error(self.refused_messages.pop(0)))
                else:
                    answer, shown = self._append_events(request, context, shown)
            if self.lost_answers:
                self._abort(context, self.lost_answers.pop(0))
            yield answer
            if self.extra_answers and self.extra_answers.pop(0):
                yield answer
            if self.stream_ends and self.stream_ends.pop(0):
                return

    def _read_on(
        self,
        requests: Iterator[ledger_pb2.AppendStreamRequest],
        messages: Queue[ledger_pb2.AppendStreamRequest | None],
    ) -> None:
        """Take messages while earlier ones are not answered, as the real server does."""
        try:
            for request in requests:
                messages.put(request)
                self.received.release()
        except grpc.RpcError:
            pass
        finally:
            messages.put(None)

    def _append_events(
        self, request: ledger_pb2.AppendStreamRequest, context: grpc.ServicerContext, shown: int
    ) -> tuple[ledger_pb2.AppendStreamResponse, int]:
        results = ledger_pb2.EventResults()
        for sections in request.events:
            try:
                results.results.add(acknowledgement=self._append(sections))
            except EventIdReusedError as error:
                results.results.add(error=_stream_error(error))
        indexes = sorted(
            {item.acknowledgement.leaf_index for item in results.results if item.HasField("acknowledgement")}
        )
        size = len(self.log.leaves)
        first = max(request.options.trusted_tree_size, shown)
        if indexes:
            results.checkpoint.CopyFrom(self.checkpoint())
            results.inclusion_proof.CopyFrom(self.batch_inclusion(indexes, size))
            if first > size:
                beyond = IndexBeyondTreeError(f"the trusted tree size {first} is beyond the newest head, {size}")
                return ledger_pb2.AppendStreamResponse(error=_stream_error(beyond)), shown
            proof = self.consistency(first, size, context)
            if proof is not None:
                results.consistency_proof.CopyFrom(proof)
        return ledger_pb2.AppendStreamResponse(results=self._send(results)), size

    @_of_one_moment
    def AppendBatch(
        self, request: ledger_pb2.AppendBatchRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.AppendBatchResponse:
        self._receive(request, context)
        self._check_batch(request.sections, context)
        acknowledgements = [self._append(sections) for sections in request.sections]
        indexes = sorted({item.leaf_index for item in acknowledgements})
        size = len(self.log.leaves)
        return self._send(
            ledger_pb2.AppendBatchResponse(
                acknowledgements=acknowledgements,
                checkpoint=self.checkpoint(),
                inclusion_proof=self.batch_inclusion(indexes, size),
                consistency_proof=self.consistency(request.options.trusted_tree_size, size, context),
            )
        )

    # Reads

    @_of_one_moment
    def GetEntry(
        self, request: ledger_pb2.GetEntryRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetEntryResponse:
        self._receive(request, context)
        index = self._find(request, context)
        return self._send(ledger_pb2.GetEntryResponse(entry=self.entry(index, request.view)))

    def ReadEntries(
        self, request: ledger_pb2.ReadEntriesRequest, context: grpc.ServicerContext
    ) -> Iterator[ledger_pb2.ReadEntriesResponse]:
        self._receive(request, context)
        breaks_after = self.stream_breaks.pop(0) if self.stream_breaks else None
        if breaks_after == ENDS_AT_ONCE:
            return
        begin, number = request.begin, 0
        end = request.end or (1 << 62 if request.follow else len(self.log.leaves))
        while begin < end and self._wait_for(begin, context):
            if number == breaks_after:
                self._abort(context, OverloadedError("busy"))
            stop = min(begin + 3, end, len(self.log.leaves))
            entries = [self.entry(index, request.view) for index in range(begin, stop)]
            yield self._send(ledger_pb2.ReadEntriesResponse(entries=entries))
            begin, number = stop, number + 1

    def _wait_for(self, index: int, context: grpc.ServicerContext) -> bool:
        """Wait until the entry is there; return False once nobody reads any more."""
        with self._grown:
            while len(self.log.leaves) <= index and context.is_active():
                self._grown.wait(0.05)
        return context.is_active()

    @_of_one_moment
    def GetCheckpoint(
        self, request: ledger_pb2.GetCheckpointRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetCheckpointResponse:
        self._receive(request, context)
        size = self._size(request.tree_size, context)
        return self._send(
            ledger_pb2.GetCheckpointResponse(
                checkpoint=self.checkpoint(size),
                consistency_proof=self.consistency(request.consistent_from, size, context),
            )
        )

    @_of_one_moment
    def GetInclusionProof(
        self, request: ledger_pb2.GetInclusionProofRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetInclusionProofResponse:
        self._receive(request, context)
        size = self._size(request.tree_size, context)
        index = self._find(request, context)
        if index >= size:
            self._abort(context, IndexBeyondTreeError(f"leaf index {index} is beyond the tree of size {size}"))
        return self._send(
            ledger_pb2.GetInclusionProofResponse(
                inclusion_proof=self.inclusion(index, size),
                leaf=self.log.leaves[index],
                checkpoint=self.checkpoint(size),
            )
        )

    @_of_one_moment
    def GetRangeProof(
        self, request: ledger_pb2.GetRangeProofRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetRangeProofResponse:
        self._receive(request, context)
        size = self._size(request.tree_size, context)
        hashes = prove_range(request.begin, request.end, size, self._read)
        return self._send(
            ledger_pb2.GetRangeProofResponse(
                range_proof=proof_pb2.RangeProof(begin=request.begin, end=request.end, tree_size=size, hashes=hashes),
                checkpoint=self.checkpoint(size),
            )
        )

    @_of_one_moment
    def GetConsistencyProof(
        self, request: ledger_pb2.GetConsistencyProofRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetConsistencyProofResponse:
        self._receive(request, context)
        second = self._size(request.second_size, context)
        return self._send(
            ledger_pb2.GetConsistencyProofResponse(
                consistency_proof=self.consistency(request.first_size, second, context),
                checkpoint=self.checkpoint(second),
            )
        )

    @_of_one_moment
    def VerifyEntry(
        self, request: ledger_pb2.VerifyEntryRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.VerifyEntryResponse:
        self._receive(request, context)
        return self._send(
            ledger_pb2.VerifyEntryResponse(
                verdict=ledger_pb2.VERDICT_VERIFIED,
                leaf_index=self._find(request, context),
                checks=[ledger_pb2.VerificationCheck(name="leaf_hash", passed=True, detail="recomputed")],
                checkpoint=self.checkpoint(),
            )
        )

    @_of_one_moment
    def GetServerInfo(
        self, request: ledger_pb2.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetServerInfoResponse:
        self._receive(request, context)
        return self._send(ledger_pb2.GetServerInfoResponse(version="1.2.3", schema_version=1, max_batch_events=1000))

    @_of_one_moment
    def BatchGetEntries(
        self, request: ledger_pb2.BatchGetEntriesRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.BatchGetEntriesResponse:
        self._receive(request, context)
        if max(request.leaf_indexes) >= len(self.log.leaves):
            self._abort(context, IndexBeyondTreeError("an index is beyond the tree"))
        entries = [self.entry(index, request.view) for index in request.leaf_indexes[: self.batch_fits]]
        return self._send(ledger_pb2.BatchGetEntriesResponse(entries=entries, answered=len(entries)))

    @_of_one_moment
    def BatchGetInclusionProof(
        self, request: ledger_pb2.BatchGetInclusionProofRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.BatchGetInclusionProofResponse:
        self._receive(request, context)
        size = request.tree_size or len(self.log.leaves)
        return self._send(
            ledger_pb2.BatchGetInclusionProofResponse(
                inclusion_proof=self.batch_inclusion(list(request.leaf_indexes), size),
                checkpoint=self.checkpoint(size),
            )
        )

    def Append(self, request: ledger_pb2.AppendRequest, context: grpc.ServicerContext) -> NoReturn:
        del request
        self._abort(context, UnsupportedError("not here"))

    # What answers are made of

    def checkpoint(self, size: int | None = None) -> proof_pb2.Checkpoint:
        checkpoint = self.log.checkpoint(size)
        return proof_pb2.Checkpoint(
            note=self.log.note(size), tree_size=checkpoint.tree_size, root_hash=checkpoint.root_hash
        )

    def inclusion(self, index: int, size: int) -> proof_pb2.InclusionProof:
        return proof_pb2.InclusionProof(leaf_index=index, tree_size=size, hashes=self.log.inclusion(index, size))

    def batch_inclusion(self, indexes: list[int], size: int) -> proof_pb2.BatchInclusionProof:
        return proof_pb2.BatchInclusionProof(
            leaf_indexes=indexes, tree_size=size, hashes=prove_batch_inclusion(indexes, size, self._read)
        )

    def consistency(self, first: int, second: int, context: grpc.ServicerContext) -> proof_pb2.ConsistencyProof | None:
        if not first:
            return None
        if first > second:
            self._abort(context, IndexBeyondTreeError(f"the first size {first} is above the second size {second}"))
        return proof_pb2.ConsistencyProof(
            first_size=first, second_size=second, hashes=self.log.consistency(first, second)
        )

    def entry(self, index: int, view: int) -> proof_pb2.Entry:
        event, personal = self.log.sections[index]
        withheld = proof_pb2.Section(state=proof_pb2.SECTION_STATE_WITHHELD)
        present = proof_pb2.SECTION_STATE_PRESENT
        shown_event = proof_pb2.Section(state=present, content=event.content, salt=event.salt)
        if personal is None:
            shown_personal = proof_pb2.Section(state=proof_pb2.SECTION_STATE_NONE)
        elif view == ledger_pb2.ENTRY_VIEW_FULL:
            shown_personal = proof_pb2.Section(state=present, content=personal.content, salt=personal.salt)
        else:
            shown_personal = withheld
        return proof_pb2.Entry(
            leaf_index=index,
            leaf=self.log.leaves[index],
            event=withheld if view == ledger_pb2.ENTRY_VIEW_LEAF else shown_event,
            personal=shown_personal,
        )

    def _append(self, sections: ledger_pb2.EventSections) -> ledger_pb2.Acknowledgement:
        event_id = read_event(sections.event).event_id
        outcome = ledger_pb2.APPEND_OUTCOME_APPENDED
        index = self._index_of(event_id)
        if index is None:
            index = self.log.append(sections.event, sections.personal)
            self._grown.notify_all()
        elif self._stored(index) != (sections.event, sections.personal):
            raise EventIdReusedError(f"the event id {event_id} is in the log with other bytes")
        else:
            outcome = ledger_pb2.APPEND_OUTCOME_DUPLICATE
        event, personal = self.log.sections[index]
        return ledger_pb2.Acknowledgement(
            outcome=outcome,
            leaf_index=index,
            leaf=self.log.leaves[index],
            event_salt=event.salt,
            personal_salt=personal.salt if personal is not None else b"",
        )

    def _check_batch(self, batch: Sequence[ledger_pb2.EventSections], context: grpc.ServicerContext) -> None:
        contents = {
            read_event(event.content).event_id: self._stored(index)
            for index, (event, _) in enumerate(self.log.sections)
        }
        problems = []
        for position, sections in enumerate(batch):
            event_id = read_event(sections.event).event_id
            sent = (sections.event, sections.personal)
            if contents.setdefault(event_id, sent) != sent:
                problems.append(BatchProblem(position, EventIdReusedError(f"the event id {event_id} is taken")))
        if problems and len(batch) == 1:
            self._abort(context, problems[0].error)
        if problems:
            self._abort(context, BatchConflictError(problems, len(batch)))

    def _stored(self, index: int) -> tuple[bytes, bytes]:
        event, personal = self.log.sections[index]
        return event.content, personal.content if personal is not None else b""

    def _index_of(self, event_id: str) -> int | None:
        for index, (event, _) in enumerate(self.log.sections):
            if read_event(event.content).event_id == event_id:
                return index
        return None

    def _find(
        self,
        request: ledger_pb2.GetEntryRequest | ledger_pb2.GetInclusionProofRequest | ledger_pb2.VerifyEntryRequest,
        context: grpc.ServicerContext,
    ) -> int:
        which = request.WhichOneof("entry")
        index: int | None
        if which == "event_id":
            index = self._index_of(request.event_id)
        elif isinstance(request, ledger_pb2.VerifyEntryRequest) or which == "leaf_index":
            index = request.leaf_index
        else:
            found = request.leaf_hash
            index = self.log.leaf_hashes.index(found) if found in self.log.leaf_hashes else None
        if index is None:
            self._abort(context, EntryNotFoundError("no entry has that event id or leaf hash"))
        if index >= len(self.log.leaves):
            self._abort(context, IndexBeyondTreeError(f"leaf index {index} is beyond the tree"))
        return index

    def _size(self, size: int, context: grpc.ServicerContext) -> int:
        newest = len(self.log.leaves)
        if size > newest:
            self._abort(context, IndexBeyondTreeError(f"tree size {size} is beyond the newest head, {newest}"))
        return size or newest

    def _read(self, positions: Sequence[int]) -> list[bytes]:
        stored = CompactRange.empty().extend(self.log.leaf_hashes)[1]
        return [stored[position] for position in positions]

    def _receive(self, request: Message, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        if self.failures:
            self._abort(context, self.failures.pop(0))

    def _send(self, answer: M) -> M:
        self.lie(answer)
        return answer

    def _abort(self, context: grpc.ServicerContext, error: LedgerError) -> NoReturn:
        refusal = refusal_of(error)
        context.set_trailing_metadata(((DETAILS_KEY, refusal.details),))
        context.abort(refusal.code, refusal.message)
        raise AssertionError


class _Admin(admin_pb2_grpc.AdminServiceServicer):
    """The administration of one log, as a client sees it."""

    def __init__(self, server: LyingServer) -> None:
        self._server = server
        self._keys: list[admin_pb2.ApiKey] = []

    def GetLog(self, request: admin_pb2.GetLogRequest, context: grpc.ServicerContext) -> admin_pb2.GetLogResponse:
        self._server._receive(request, context)
        return self._server._send(admin_pb2.GetLogResponse(log=self._log(request.name)))

    def ListLogs(self, request: admin_pb2.ListLogsRequest, context: grpc.ServicerContext) -> admin_pb2.ListLogsResponse:
        self._server._receive(request, context)
        return admin_pb2.ListLogsResponse(logs=[self._log("default"), self._log("other")])

    def CreateLog(
        self, request: admin_pb2.CreateLogRequest, context: grpc.ServicerContext
    ) -> admin_pb2.CreateLogResponse:
        self._server._receive(request, context)
        return admin_pb2.CreateLogResponse(log=self._log(request.name))

    def RetireLog(
        self, request: admin_pb2.RetireLogRequest, context: grpc.ServicerContext
    ) -> admin_pb2.RetireLogResponse:
        self._server._receive(request, context)
        log = self._log(request.name)
        log.state, log.state_reason = admin_pb2.LOG_STATE_RETIRED, request.reason
        return self._server._send(admin_pb2.RetireLogResponse(log=log, last_head=self._server.checkpoint().note))

    def CreateApiKey(
        self, request: admin_pb2.CreateApiKeyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.CreateApiKeyResponse:
        self._server._receive(request, context)
        made = admin_pb2.ApiKey(
            key_id=f"key{len(self._keys)}",
            principal=b"sample-principal",
            label=request.label,
            roles=request.roles,
            personal=request.personal,
            created_at=1_790_000_000_000_000,
            expires_at=1_790_000_000_000_000 + request.expires_in_days * 86_400_000_000,
            certificate_name=request.certificate_name,
        )
        self._keys.append(made)
        return admin_pb2.CreateApiKeyResponse(
            api_key=made, secret="" if request.certificate_name else f"secret-of-{made.key_id}"
        )

    def ListApiKeys(
        self, request: admin_pb2.ListApiKeysRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ListApiKeysResponse:
        self._server._receive(request, context)
        return self._server._send(admin_pb2.ListApiKeysResponse(api_keys=self._keys))

    def RotateApiKey(
        self, request: admin_pb2.RotateApiKeyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.RotateApiKeyResponse:
        self._server._receive(request, context)
        made = admin_pb2.ApiKey(key_id=f"{request.key_id}-new", principal=b"sample-principal", created_at=1)
        return admin_pb2.RotateApiKeyResponse(api_key=made, secret=f"secret-of-{made.key_id}")

    def RevokeApiKey(
        self, request: admin_pb2.RevokeApiKeyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.RevokeApiKeyResponse:
        self._server._receive(request, context)
        for key in self._keys:
            if key.key_id == request.key_id:
                key.revoked_at = 1_790_000_000_000_001
                return self._server._send(admin_pb2.RevokeApiKeyResponse(api_key=key))
        return self._server._abort(context, ApiKeyNotFoundError(f"the log has no key {request.key_id}"))

    def ConfirmClock(
        self, request: admin_pb2.ConfirmClockRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ConfirmClockResponse:
        self._server._receive(request, context)
        return admin_pb2.ConfirmClockResponse(leaf_index=4)

    def _log(self, name: str) -> admin_pb2.Log:
        log = self._server.log
        return admin_pb2.Log(
            name=name,
            origin=log.signer.name,
            verifier_key=self._server.verifier_key,
            tree_size=len(log.leaves),
            root_hash=log.root(),
            published_size=len(log.leaves),
            state=admin_pb2.LOG_STATE_ACTIVE,
            guard="strict",
        )
