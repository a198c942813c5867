"""B1 and B2: appends over gRPC against a real server in a process of its own, client and server on the same cores.

Everything is on: synced commits, guard, exactly-once, salts, chain, read-back, signature. The limits of the same run:
for batches, synced LMDB commits of the bare values; for single events, a gRPC handler that does nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import grpc
import lmdb
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figures
from ledger.clock import SystemClock
from ledger.events.codec import encode_sections
from ledger.events.event import Actor, ActorType, Event, MetadataEntry, Outcome, PersonalData, Target
from ledger.events.ids import new_event_id
from ledger.v1 import ledger_pb2, ledger_pb2_grpc
from tests.support.served import Served

_OPTIONS = (("grpc.max_receive_message_length", 8 << 20), ("grpc.max_send_message_length", 8 << 20))


def _sections(count: int, *, personal: bool) -> list[ledger_pb2.EventSections]:
    """Return events of about 320 bytes of JSON, with ids in order of time."""
    result = []
    start = SystemClock().now_us() // 1000
    for number in range(count):
        event = Event(
            event_id=new_event_id(start + number // 100, os.urandom(10)),
            action="user.role.updated",
            occurred_at=start * 1000 + number,
            actor=Actor(type=ActorType.USER, id=f"user_{number % 2000}"),
            targets=(Target("project", f"project_{number % 21_000}"),),
            outcome=Outcome.SUCCESS,
            metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
        )
        data = PersonalData(actor_email=f"user{number % 2000}@example.com", ip="203.0.113.42", user_agent="Mozilla/5.0")
        sent = encode_sections(event, data if personal else None)
        result.append(ledger_pb2.EventSections(event=sent[0], personal=sent[1]))
    return result


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served"))
    yield server
    server.close()


async def _drive(work: Sequence[Callable[[], Awaitable[object]]], in_flight: int) -> float:
    """Run calls, so many at a time; return the seconds it took."""
    todo = iter(work)

    async def worker() -> None:
        for call in todo:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return time.perf_counter() - started


async def _append_batches(
    address: str, api_key: str, sections: list[ledger_pb2.EventSections], size: int, in_flight: int
) -> float:
    requests = [
        ledger_pb2.AppendBatchRequest(log="default", sections=sections[begin : begin + size])
        for begin in range(0, len(sections), size)
    ]
    metadata = (("authorization", f"Bearer {api_key}"),)
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        return await _drive([partial(stub.AppendBatch, request, metadata=metadata) for request in requests], in_flight)


async def _append_single(address: str, api_key: str, sections: list[ledger_pb2.EventSections], in_flight: int) -> float:
    metadata = (("authorization", f"Bearer {api_key}"),)
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        requests = [ledger_pb2.AppendRequest(log="default", sections=one) for one in sections]
        return await _drive([partial(stub.Append, request, metadata=metadata) for request in requests], in_flight)


def _bare_commits_per_second(folder: Path, values: list[bytes], size: int) -> float:
    environment = lmdb.open(str(folder), map_size=4 << 30)
    started = time.perf_counter()
    for begin in range(0, len(values), size):
        with environment.begin(write=True) as transaction:
            for number, value in enumerate(values[begin : begin + size], start=begin):
                transaction.put(number.to_bytes(8, "big"), value, append=True)
    seconds = time.perf_counter() - started
    environment.close()
    return len(values) / seconds


@pytest.mark.parametrize("personal", [True, False], ids=["both sections", "event only"])
@pytest.mark.parametrize(("size", "in_flight"), [(1000, 1), (1000, 4), (100, 4), (100, 16)])
def test_b1_append_batch(
    benchmark: BenchmarkFixture,
    served: Served,
    figures: Figures,
    full: bool,
    tmp_path: Path,
    size: int,
    in_flight: int,
    personal: bool,
) -> None:
    rounds, count = (5, 40 * size * in_flight) if full else (1, 2 * size * in_flight)
    prepared = [_sections(count, personal=personal) for _ in range(rounds)]
    seconds = []

    def run() -> None:
        batch = prepared.pop()
        seconds.append(asyncio.run(_append_batches(served.address, served.api_key, batch, size, in_flight)))

    values = [one.event + one.personal for one in prepared[0]]
    benchmark.pedantic(run, rounds=rounds)  # type: ignore[no-untyped-call]
    rate = count / sorted(seconds)[len(seconds) // 2]
    limit = _bare_commits_per_second(tmp_path, values, size)
    kind = "both sections" if personal else "event only"
    figures.add(
        f"B1 AppendBatch({size}), {in_flight} in flight, {kind}",
        f"{rate:,.0f} events/s",
        f"{rate / limit:.2f} of bare synced commits ({limit:,.0f}/s)",
    )


@pytest.mark.parametrize("in_flight", [1, 16, 64])
def test_b2_append_one_event_a_call(
    benchmark: BenchmarkFixture, served: Served, figures: Figures, full: bool, in_flight: int
) -> None:
    rounds, count = (5, 2000) if full else (1, 100)
    prepared = [_sections(count, personal=True) for _ in range(rounds)]
    seconds = []

    def run() -> None:
        seconds.append(asyncio.run(_append_single(served.address, served.api_key, prepared.pop(), in_flight)))

    benchmark.pedantic(run, rounds=rounds)  # type: ignore[no-untyped-call]
    rate = count / sorted(seconds)[len(seconds) // 2]
    limit = _null_calls_per_second(count, in_flight)
    figures.add(
        f"B2 Append, {in_flight} in flight",
        f"{rate:,.0f} events/s",
        f"{rate / limit:.2f} of a null handler ({limit:,.0f}/s)",
    )


_NULL_SERVER = """
import asyncio, grpc, sys
async def main():
    async def call(request, context):
        return b""
    handler = grpc.method_handlers_generic_handler("n.N", {"Call": grpc.unary_unary_rpc_method_handler(call)})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()
asyncio.run(main())
"""


def _null_calls_per_second(count: int, in_flight: int) -> float:
    from tests.support.children import read_line, start_python

    with start_python(_NULL_SERVER) as process:
        try:
            address = f"127.0.0.1:{read_line(process)}"

            async def drive() -> float:
                async with grpc.aio.insecure_channel(address) as channel:
                    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/n.N/Call")
                    return await _drive([partial(call, b"x" * 300)] * count, in_flight)

            return count / asyncio.run(drive())
        finally:
            process.kill()
