"""What the machine, LMDB and gRPC allow at best: the same work with everything left out that makes an audit log."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Final

import grpc
import lmdb

from benchmarks.driving import Timing, drive_tasks, run
from ledger.merkle.compact import CompactRange
from ledger.storage.api import EntryBatch, HeadRecord, StoreMeta
from ledger.storage.guard import HighWaterGuard
from ledger.storage.lmdb import LmdbStore, create_store
from tests.support.children import read_line, start_python

_ORIGIN: Final = "benchmarks.example/limits"
_NULL_SERVER: Final = """
import asyncio, grpc
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


class NullServer:
    """A gRPC server whose one handler does nothing, in a process of its own."""

    def __init__(self, process: Popen[str]) -> None:
        """Take over a started process."""
        self._address = f"127.0.0.1:{read_line(process)}"

    def call(self, count: int, in_flight: int) -> Timing:
        """Make calls of 300 bytes each, so many at a time."""

        async def drive() -> Timing:
            async with grpc.aio.insecure_channel(self._address) as channel:
                call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/n.N/Call")
                return await drive_tasks(lambda _number: call(b"x" * 300), count, in_flight)

        return run(drive())


@contextmanager
def null_server() -> Iterator[NullServer]:
    """Give a running null server, and end it."""
    with start_python(_NULL_SERVER) as process:
        try:
            yield NullServer(process)
        finally:
            process.kill()


def bare_commits(folder: Path, values: Sequence[bytes], size: int, *, sync: bool = True) -> float:
    """Return how many values a second LMDB alone commits, so many in a transaction.

    Args:
        folder: A new directory.
        values: The values.
        size: Values of one transaction.
        sync: False leaves out the sync, which the product never does: what the sync costs is seen by that.
    """
    environment = lmdb.open(str(folder), map_size=16 << 30, sync=sync)
    started = time.perf_counter()
    for begin in range(0, len(values), size):
        with environment.begin(write=True) as transaction:
            for number, value in enumerate(values[begin : begin + size], start=begin):
                transaction.put(number.to_bytes(8, "big"), value, append=True)
    seconds = time.perf_counter() - started
    environment.close()
    return len(values) / seconds


def durable_commits(folder: Path, count: int) -> Timing:
    """Commit one entry at a time as the product's store and guard do it, and nothing else.

    Args:
        folder: A new directory.
        count: How many.
    """
    head = HeadRecord(0, hashlib.sha256(b"").digest(), (), bytes(32), 0)
    create_store(folder / "store", StoreMeta(_ORIGIN, 1), head)
    tree = CompactRange.empty()
    latencies = []
    with (
        closing(LmdbStore.open(folder / "store")) as store,
        closing(HighWaterGuard.create(folder / "guard", _ORIGIN, head)) as guard,
    ):
        started = time.perf_counter()
        for index in range(count):
            tree, hashes = tree.extend([hashlib.sha256(index.to_bytes(8, "big")).digest()])
            after = HeadRecord(index + 1, tree.root(), tree.hashes, hashes[0], 1)
            batch = EntryBatch(
                index, [bytes(160)], [bytes(166)], [bytes(91)], [b"%036d" % index], b"".join(hashes), after
            )
            begin = time.perf_counter()
            with store.write() as transaction:
                transaction.append(batch)
            guard.advance(after.tree_size, after.root_hash)
            latencies.append(time.perf_counter() - begin)
        seconds = time.perf_counter() - started
    return Timing(seconds, latencies)


def node_hashes_per_second() -> float:
    """Return how many interior nodes a second the hash function alone computes."""
    data = b"\x01" + bytes(64)
    count, best = 100_000, float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(count):
            hashlib.sha256(data).digest()
        best = min(best, time.perf_counter() - begin)
    return count / best
