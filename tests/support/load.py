"""An open-loop load generator: calls begin when they are due, whether those before them were answered or not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from ledger.v1 import ledger_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import new_sections

CONNECTIONS = 8
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))


@dataclass
class Outcome:
    """What became of the calls of one run.

    Attributes:
        acknowledged: Leaf index of each acknowledged event, by the event's bytes.
        refused: How many calls were refused, by status and whether they said when to come back.
    """

    acknowledged: dict[bytes, int] = field(default_factory=dict)
    refused: Counter[tuple[str, bool]] = field(default_factory=Counter)


class Load:
    """Calls of AppendBatch, or of Append, over several connections."""

    def __init__(self, address: str, api_key: str, *, batch: int) -> None:
        """Make the connections; a batch of 1 is a plain Append."""
        self._channels = [grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(CONNECTIONS)]
        self._stubs = [LedgerServiceStub(channel) for channel in self._channels]
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._batch = batch

    async def close(self) -> None:
        """End the connections."""
        for channel in self._channels:
            await channel.close()

    async def capacity(self, callers: int, seconds: float) -> float:
        """Return how many calls a second a number of callers get done, each waiting for its answer."""
        outcome, begin = Outcome(), time.perf_counter()

        async def call_again(caller: int) -> None:
            while time.perf_counter() - begin < seconds:
                await self._call(caller, outcome, self._request())

        await asyncio.gather(*(call_again(caller) for caller in range(callers)))
        return len(outcome.acknowledged) / self._batch / (time.perf_counter() - begin)

    async def offer(self, per_second: float, seconds: float) -> Outcome:
        """Begin so many calls a second for so long; return when all have ended."""
        requests = [self._request() for _ in range(int(per_second * seconds))]
        outcome, begin, running = Outcome(), time.perf_counter(), []
        for number, request in enumerate(requests):
            due = begin + number / per_second
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            elif number % 16 == 0:
                await asyncio.sleep(0)
            running.append(asyncio.create_task(self._call(number, outcome, request)))
        await asyncio.gather(*running)
        return outcome

    def _request(self) -> ledger_pb2.AppendRequest | ledger_pb2.AppendBatchRequest:
        sections = [new_sections() for _ in range(self._batch)]
        if self._batch == 1:
            return ledger_pb2.AppendRequest(log="default", sections=sections[0])
        return ledger_pb2.AppendBatchRequest(log="default", sections=sections)

    async def _call(
        self,
        number: int,
        outcome: Outcome,
        request: ledger_pb2.AppendRequest | ledger_pb2.AppendBatchRequest,
    ) -> None:
        stub = self._stubs[number % len(self._stubs)]
        try:
            if isinstance(request, ledger_pb2.AppendRequest):
                response = await stub.Append(request, metadata=self._metadata)
                sections, acknowledgements = [request.sections], [response.acknowledgement]
            else:
                batch = await stub.AppendBatch(request, metadata=self._metadata)
                sections, acknowledgements = list(request.sections), list(batch.acknowledgements)
        except grpc.aio.AioRpcError as error:
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            outcome.refused[error.code().name, b"RetryInfo" in bytes(details)] += 1
            return
        for one, acknowledgement in zip(sections, acknowledgements, strict=True):
            outcome.acknowledged[one.event] = acknowledgement.leaf_index


def resident_bytes(process: int) -> int:
    """Return the anonymous memory of a process that is resident."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def descriptors(process: int) -> int:
    """Return how many descriptors a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))
