"""A real server in this process: its own thread and loop, a real socket, real storage in a temporary directory."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from ledger.clock import Clock
from ledger.engine.directory import ADMIN_KEY, DataDirectory
from ledger.engine.log import Limits
from ledger.errors import IndexBehindError, PublicationBehindError
from ledger.rpc.limits import CallLimits
from ledger.server.app import LedgerServer, MakeIndexer, Serving
from ledger.server.config import Address, ConnectionLimits, ServerConfig, TlsFiles
from ledger.server.processes import IndexerProcess
from ledger.v1.admin_pb2_grpc import AdminServiceStub
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from ledger.v1.query_pb2_grpc import QueryServiceStub

MAP_SIZE = 256 * 1024**2


class ToldPublication:
    """Publishes what a test says, instead of a process that recomputes."""

    def __init__(
        self,
        _directory: DataDirectory,
        _descriptor: int,
        _names: Callable[[], list[str]],
        on_mismatch: Callable[[str, str], None],
    ) -> None:
        self.on_mismatch = on_mismatch
        self._loop = asyncio.get_running_loop()
        self._sizes: dict[str, int] = {}
        self._changed = asyncio.Condition()

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""

    def grew(self, name: str) -> None:
        """Take no note of it."""

    def publish(self, log: str, size: int) -> None:
        """Say that a log is published up to a size; from the test's thread."""
        asyncio.run_coroutine_threadsafe(self._publish(log, size), self._loop).result()

    async def _publish(self, log: str, size: int) -> None:
        async with self._changed:
            self._sizes[log] = size
            self._changed.notify_all()

    def size(self, log: str) -> int:
        """Return what the test said."""
        return self._sizes.get(log, 0)

    async def wait(self, log: str, at_least: int, timeout_seconds: float) -> int:
        """Return what the test says within the time."""
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: self.size(log) >= at_least)
        except TimeoutError as error:
            raise PublicationBehindError(f"size {self.size(log)}, not yet {at_least}") from error
        return self.size(log)


class ToldIndexing:
    """Indexes nothing by itself; says what a test says, instead of a process that follows the logs."""

    def __init__(self, _directory: DataDirectory, _descriptor: int, _names: Callable[[], list[str]]) -> None:
        self.asked: list[str] = []
        self._sizes: dict[str, int] = {}

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""

    def grew(self, name: str) -> None:
        """Take note of it."""
        self.asked.append(name)

    def tell(self, log: str, size: int) -> None:
        """Say that a log is indexed up to a size."""
        self._sizes[log] = size

    def size(self, log: str) -> int:
        """Return what the test said."""
        return self._sizes.get(log, 0)

    async def wait(self, log: str, at_least: int, _timeout_seconds: float) -> int:
        """Return what the test said, without waiting."""
        if self.size(log) < at_least:
            raise IndexBehindError(f"size {self.size(log)}, not yet {at_least}")
        return self.size(log)


class LiveServer:
    """A server that runs in a thread, and channels to it."""

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        http: bool = False,
        tls: TlsFiles | None = None,
        guard: Path | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        linger_seconds: float = 0.0,
        drain_seconds: float = 5.0,
        calls: CallLimits | None = None,
        connections: ConnectionLimits | None = None,
        reflection: bool = False,
        scrub_after_seconds: float = 3600.0,
        indexes: bool = False,
    ) -> None:
        self.data = data
        self.said: list[str] = []
        self._config = ServerConfig(
            data=data,
            listen=Address("127.0.0.1", port),
            http=Address("127.0.0.1", 0) if http else None,
            guard=guard,
            origin_prefix="logs.example/live",
            tls=tls,
            limits=limits or Limits(),
            map_size=MAP_SIZE,
            owner_wait_seconds=0.2,
            linger_seconds=linger_seconds,
            drain_seconds=drain_seconds,
            calls=calls or CallLimits(),
            connections=connections or ConnectionLimits(),
            reflection=reflection,
            scrub_after_seconds=scrub_after_seconds,
        )
        self._clock = clock
        # The real indexer is a process, so that most tests do without.
        self._make_indexer: MakeIndexer = IndexerProcess if indexes else ToldIndexing
        self._channels: list[grpc.Channel] = []
        self.start()

    def start(self) -> None:
        """Start, or start again on the same directory."""
        self._outcome: list[BaseException] = []
        self._serving: Serving | None = None
        ready = threading.Event()

        def on_ready(serving: Serving) -> None:
            self._serving = serving
            ready.set()

        def make(*arguments: object) -> ToldPublication:
            self.publication = ToldPublication(*arguments)  # type: ignore[arg-type]
            return self.publication

        self.server = LedgerServer(
            self._config,
            say=self.said.append,
            on_ready=on_ready,
            clock=self._clock,
            make_publication=make,
            make_indexer=self._make_indexer,
        )

        def run() -> None:
            try:
                self.server.run()
            except BaseException as error:  # noqa: BLE001 - raised again by `stop`
                self._outcome.append(error)
            finally:
                ready.set()

        self._thread = threading.Thread(target=run, name="live server")
        self._thread.start()
        ready.wait()
        if self._serving is None:
            self._thread.join()
            raise self._outcome[0]

    def stop(self) -> None:
        """Stop in order; raises what the server ended with."""
        self.server.stop()
        self._thread.join()
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        if self._outcome:
            raise self._outcome.pop()

    def wait(self) -> None:
        """Wait for a server that stops by itself; raises what it ended with."""
        self._thread.join()
        self.stop()

    @property
    def address(self) -> str:
        """Return where gRPC listens."""
        assert self._serving is not None
        return str(self._serving.listen)

    @property
    def http_address(self) -> str:
        """Return where HTTP listens."""
        assert self._serving is not None
        return str(self._serving.http)

    def metric(self, sample: str) -> float:
        """Return a sample of the metrics page, such as `logproof_x_total{reason="Y"}`; 0 where it is not there."""
        with urllib.request.urlopen(f"http://{self.http_address}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample), 0.0)

    @property
    def admin_key(self) -> str:
        """Return the first API key."""
        return (self.data / ADMIN_KEY).read_text().strip()

    def channel(self, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
        """Return a channel of its own, closed with the server."""
        options = (("grpc.use_local_subchannel_pool", 1),)
        if credentials is None:
            channel = grpc.insecure_channel(self.address, options=options)
        else:
            port = self.address.rpartition(":")[2]
            channel = grpc.secure_channel(f"localhost:{port}", credentials, options=options)
        self._channels.append(channel)
        return channel

    def ledger(self, key: str | None = None) -> LedgerServiceStub:
        """Return a client of LedgerService with an API key, the first one if none is given."""
        return LedgerServiceStub(self._with_key(key))

    def admin(self, key: str | None = None) -> AdminServiceStub:
        """Return a client of AdminService with an API key, the first one if none is given."""
        return AdminServiceStub(self._with_key(key))

    def query(self, key: str | None = None) -> QueryServiceStub:
        """Return a client of QueryService with an API key, the first one if none is given."""
        return QueryServiceStub(self._with_key(key))

    def _with_key(self, key: str | None) -> grpc.Channel:
        token = self.admin_key if key is None else key
        return grpc.intercept_channel(self.channel(), self.with_key(token))

    @staticmethod
    def with_key(key: str) -> _WithKey:
        """Return an interceptor that adds an API key to each call."""
        return _WithKey(key)


class _WithKey(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds an API key to each call."""

    def __init__(self, key: str) -> None:
        self._metadata = ("authorization", f"Bearer {key}")

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(self._details(client_call_details), request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(self._details(client_call_details), request)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return continuation(self._details(client_call_details), request_iterator)

    def _details(self, details: Any) -> _Details:
        return _Details(details.method, details.timeout, [*(details.metadata or ()), self._metadata])


class _Details(NamedTuple):
    """What grpc wants to know of a call."""

    method: str
    timeout: float | None
    metadata: list[tuple[str, str]]
    credentials: None = None
    wait_for_ready: bool | None = None
    compression: None = None


@contextmanager
def live_server(data: Path, **settings: object) -> Iterator[LiveServer]:
    """Run a server for a block."""
    server = LiveServer(data, **settings)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()
