"""The product under test: `logproof serve` as an operator starts it, driven through its public interfaces."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from benchmarks.driving import Timing, drive_tasks, open_loop_tasks, run
from benchmarks.workload import AGENT, Facts
from ledger.client import AsyncLedger, Receipt
from ledger.storage.lmdb import LmdbStore
from ledger.v1 import ledger_pb2, ledger_pb2_grpc
from tests.support.served import Served

_OPTIONS: Final = (("grpc.max_receive_message_length", 8 << 20), ("grpc.max_send_message_length", 8 << 20))
_CALL_SECONDS: Final = 30.0
LOG: Final = "default"
PATIENT: Final = ("--max-wait", "60")
"""Options for what is measured with more calls under way than the server would let in where quick answers count."""


class OwnServer:
    """A running server with an empty log, and load on it."""

    def __init__(
        self, folder: Path, *options: str, wrapper: Sequence[str] = (), variables: Mapping[str, str] | None = None
    ) -> None:
        """Start it."""
        self.served = Served(folder, *options, wrapper=wrapper, variables=variables)
        self._metadata = (("authorization", f"Bearer {self.served.api_key}"),)

    @property
    def store_path(self) -> Path:
        """Return the directory of the log's store."""
        current = self.served.data / "logs" / LOG / "CURRENT"
        return current.parent / current.read_text().strip()

    def close(self) -> None:
        """End it."""
        self.served.close()

    def restart(self) -> float:
        """Stop and start the process; return the seconds until it is ready and has given the log's head, verified."""
        self.served.stop()
        begin = time.perf_counter()
        self.served.start()
        ready = time.perf_counter() - begin
        self.served.client().checkpoint()
        self.first_head_seconds = time.perf_counter() - begin
        return ready

    def append_batches(
        self, request: Callable[[int], ledger_pb2.AppendBatchRequest], count: int, flying: int
    ) -> Timing:
        """Send batches, so many at a time; `request` is called inside the timing."""

        async def drive() -> Timing:
            async with self.stub() as stub:
                return await drive_tasks(
                    lambda number: stub.AppendBatch(request(number), metadata=self._metadata, timeout=_CALL_SECONDS),
                    count,
                    flying,
                )

        return run(drive())

    def append_each(self, sections: Sequence[ledger_pb2.EventSections], flying: int) -> Timing:
        """Send one event a call, so many at a time."""
        requests = [ledger_pb2.AppendRequest(log=LOG, sections=one) for one in sections]

        async def drive() -> Timing:
            async with self.stub() as stub:
                return await drive_tasks(
                    lambda number: stub.Append(requests[number], metadata=self._metadata, timeout=_CALL_SECONDS),
                    len(requests),
                    flying,
                )

        return run(drive())

    def append_when_due(self, requests: Sequence[ledger_pb2.AppendRequest], due: Sequence[float]) -> Timing:
        """Send each event when it is due, one a call."""

        async def drive() -> Timing:
            async with self.stub() as stub:
                return await open_loop_tasks(
                    lambda number: stub.Append(requests[number], metadata=self._metadata, timeout=_CALL_SECONDS),
                    due,
                    self.reason_of,
                )

        return run(drive())

    def append_batches_when_due(
        self, requests: Sequence[bytes], due: Sequence[float], answered: Callable[[int, Any], None]
    ) -> Timing:
        """Send each batch when it is due.

        Args:
            requests: Serialised, so that this process can offer more than the server takes.
            due: When to send each, seconds from the start.
            answered: Told of each batch that was acknowledged, with the answer.
        """

        async def drive() -> Timing:
            async with grpc.aio.insecure_channel(self.served.address, options=_OPTIONS) as channel:
                append: Any = channel.unary_unary(
                    "/ledger.v1.LedgerService/AppendBatch",
                    response_deserializer=ledger_pb2.AppendBatchResponse.FromString,
                )

                async def call(number: int) -> None:
                    answered(number, await append(requests[number], metadata=self._metadata, timeout=_CALL_SECONDS))

                return await open_loop_tasks(call, due, self.reason_of)

        return run(drive())

    def append_by_sdk(self, facts: Sequence[Facts], callers: int) -> Timing:
        """Append by the SDK, one event a call from so many callers, each with its own verified receipt."""

        async def drive() -> Timing:
            served = self.served
            async with AsyncLedger(
                served.address,
                api_key=served.api_key,
                verifier_key=served.verifier_key(),
                state=served.folder / "state",
            ) as client:
                return await drive_tasks(lambda number: _append(client, facts[number]), len(facts), callers)

        return run(drive())

    def prove_batches(self, batches: Sequence[Sequence[int]], flying: int) -> Timing:
        """Fetch shared inclusion proofs, one call for each batch of ascending indexes."""
        requests = [ledger_pb2.BatchGetInclusionProofRequest(log=LOG, leaf_indexes=batch) for batch in batches]

        async def drive() -> Timing:
            async with self.stub() as stub:
                return await drive_tasks(
                    lambda number: stub.BatchGetInclusionProof(requests[number], metadata=self._metadata),
                    len(requests),
                    flying,
                )

        return run(drive())

    @asynccontextmanager
    async def stub(self) -> AsyncIterator[Any]:
        """Give the asynchronous stub of the service."""
        async with grpc.aio.insecure_channel(self.served.address, options=_OPTIONS) as channel:
            yield ledger_pb2_grpc.LedgerServiceStub(channel)

    @staticmethod
    def reason_of(error: Exception) -> str:
        """Return the reason that the server gave for a failure."""
        if not isinstance(error, grpc.aio.AioRpcError):
            return type(error).__name__
        info = error_details_pb2.ErrorInfo()
        packed = error.trailing_metadata().get("grpc-status-details-bin")
        for detail in status_pb2.Status.FromString(packed).details if isinstance(packed, bytes) else ():
            if detail.Unpack(info):
                return str(info.reason)
        return str(error.code().name)

    def resident_bytes(self) -> int:
        """Return the anonymous memory of the serving process: what is its own, without the mapped store."""
        return memory_of(self.served.process.pid)


@contextmanager
def own_server(folder: Path, *options: str, variables: Mapping[str, str] | None = None) -> Iterator[OwnServer]:
    """Give a running server, and end it."""
    with closing(OwnServer(folder, *options, variables=variables)) as server:
        yield server


def _append(client: AsyncLedger, facts: Facts) -> Coroutine[Any, Any, Receipt]:
    """Append an event as a program does that has only the facts."""
    return client.append(
        facts.action,
        actor=f"user:{facts.actor}",
        target=f"project:{facts.target}",
        email=facts.email,
        metadata={"old_role": "member", "new_role": "admin", "ip": facts.ip, "user_agent": AGENT},
    )


@contextmanager
def reading(path: Path) -> Iterator[LmdbStore]:
    """Open a store beside the server, as `fsck` does."""
    with closing(LmdbStore.open(path, read_only=True)) as store:
        yield store


def memory_of(pid: int) -> int:
    """Return RssAnon of a process, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no RssAnon")


def count_lost(path: Path, acknowledged: dict[bytes, int]) -> int:
    """Return how many acknowledged events a stopped server's store does not hold at the index that was told."""
    ids = list(acknowledged)
    lost = 0
    with reading(path) as store:
        for begin in range(0, len(ids), 10_000):
            part = ids[begin : begin + 10_000]
            with store.read() as snapshot:
                found = snapshot.indexes_of(part)
            lost += sum(index != acknowledged[event_id] for event_id, index in zip(part, found, strict=True))
    return lost
