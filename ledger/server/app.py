"""The composition root: takes the data directory, puts the parts together, serves, and stops in order.

Stopping: health says so, nothing new is taken, calls end or are ended, logs finish what is queued, and only then is
the directory given up. The rule that must not break: what was acknowledged is on the disk long before any of that, so
an end without it, by kill or power cut, loses nothing either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import grpc

from ledger.clock import Clock, SystemClock
from ledger.engine.access import Access
from ledger.engine.administration import Administration
from ledger.engine.directory import ADMIN_KEY, DEFAULT_LOG, SYSTEM_LOG, DataDirectory
from ledger.engine.kernel import installed_kernel
from ledger.engine.registry import Hooks, LogRegistry
from ledger.engine.room import Room
from ledger.engine.sequencer import RandomSource, StepResult
from ledger.errors import LedgerError, StorageError
from ledger.http.pages import operator_pages
from ledger.http.server import HttpServer
from ledger.rpc.admin_service import ADMIN_SERVICE, admin_behaviours
from ledger.rpc.admission import Admission
from ledger.rpc.authentication import Authenticator
from ledger.rpc.binding import Binder
from ledger.rpc.completion import Completions
from ledger.rpc.growth import Growth
from ledger.rpc.ledger_service import LEDGER_SERVICE, ledger_behaviours
from ledger.rpc.parts import Parts, Workers
from ledger.rpc.publication import Indexed, Published
from ledger.rpc.query_service import QUERY_SERVICE, query_behaviours
from ledger.rpc.quotas import FailedLogins, Quotas
from ledger.rpc.rules import check_rules
from ledger.server.config import Address, ServerConfig
from ledger.server.data import owned, prepare_directory, tidy_directory
from ledger.server.health import HEALTH_SERVICE, Health, add_health, watch_logs
from ledger.server.listening import cannot_listen, check_can_listen
from ledger.server.options import MAX_CONCURRENT_RPCS, server_options
from ledger.server.processes import IndexerProcess, PublisherProcess, ScrubberProcess
from ledger.server.reflection import REFLECTION_SERVICE, Reflection, add_reflection
from ledger.server.tls import Certificates
from ledger.storage.files import short_lived_filesystem
from ledger.storage.owner import OwnerLock
from ledger.telemetry.metrics import LogGauges, Metrics

_LOGGER = logging.getLogger(__name__)
_LAST_ANSWERS_SECONDS = 1.0
_US_PER_SECOND = 1_000_000
_CHILDREN_END_SECONDS = 10.0
READY: Final = "ready"
"""The line that tells that calls are answered from now on."""


class Publication(Published, Protocol):
    """What keeps the published heads up to date."""

    def start(self) -> None:
        """Begin; for the event loop."""

    async def stop(self) -> None:
        """End, and wait for the end."""

    def grew(self, name: str) -> None:
        """Tell that a log has a new head. Thread-safe."""


class Indexing(Indexed, Protocol):
    """What keeps the indexes up to date."""

    def start(self) -> None:
        """Begin; for the event loop."""

    async def stop(self) -> None:
        """End, and wait for the end."""


MakeIndexer = Callable[[DataDirectory, int, Callable[[], list[str]]], Indexing]
"""Makes it from the directory, the owner lock's descriptor, and the names of the logs."""

MakePublication = Callable[
    [DataDirectory, int, Callable[[], list[str]], Callable[[str, str], None]],
    Publication,
]
"""Makes it from the directory, the owner lock's descriptor, the names of the logs, and what to call on a mismatch."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a server answers.

    Attributes:
        listen: Where gRPC listens, with the port that it has.
        http: Where HTTP listens; None for nowhere.
    """

    listen: Address
    http: Address | None


class LedgerServer:
    """One server. `run` blocks; the rest may be called from any thread."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        say: Callable[[str], None],
        on_ready: Callable[[Serving], None] = lambda _serving: None,
        clock: Clock | None = None,
        random: RandomSource = os.urandom,
        make_publication: MakePublication = PublisherProcess,
        make_indexer: MakeIndexer = IndexerProcess,
    ) -> None:
        """Keep the settings; nothing is touched yet.

        Args:
            config: Settings.
            say: Told, a line at a time, what people should know.
            on_ready: Called once calls are answered.
            clock: The clock; None for the machine's.
            random: Returns so many random bytes.
            make_publication: Makes what publishes.
            make_indexer: Makes what indexes.
        """
        self._config = config
        self._say = say
        self._on_ready = on_ready
        self._clock = clock if clock is not None else SystemClock()
        self._random = random
        self._make_publication = make_publication
        self._make_indexer = make_indexer
        # Guards the three below.
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: StorageError | None = None
        self._stop_requested = False
        # Set on the loop before the first call is served, read by writer threads.
        self._grown: tuple[Callable[[str], None], ...] = ()
        self._metrics: Metrics | None = None
        self._admission: Admission | None = None

    def run(self) -> None:
        """Serve until stopped.

        Raises:
            LedgerError: The server cannot start, or a log's store cannot even be read any more.
        """
        config = self._config
        certificates = None if config.tls is None else Certificates(config.tls)
        if not config.data.exists():
            # A new server that cannot listen makes nothing; one that takes over waits for the lock of the old one first.
            for setting, wanted in (("listen", config.listen), ("http", config.http)):
                if wanted is not None:
                    check_can_listen(setting, wanted)
        with owned(config, self._say) as lock:
            directory = prepare_directory(config, self._clock, self._say)
            room = Room(directory.path, self._clock)
            hooks = Hooks(stepped=self._stepped, unreadable=self._unreadable)
            registry = LogRegistry(
                directory,
                self._clock,
                self._random,
                limits=config.limits,
                hooks=hooks,
                relaxed_guard=config.relaxed_guard,
                room=room,
            )
            try:
                registry.start()
                administration = Administration(registry, self._clock, self._random)
                administration.reconcile()
                tidy_directory(directory, registry)
                if not room.hold_ballast():
                    self._say(f"warning: no room for the ballast file in {directory.path}; the disk is nearly full")
                asyncio.run(self._serve(registry, administration, lock, certificates, room))
            finally:
                registry.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for an orderly end."""
        with self._lock:
            self._stop_requested = True
            if self._loop is not None and self._stopping is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended already
                    self._loop.call_soon_threadsafe(self._stopping.set)

    # What the engine tells; in writer threads

    def _stepped(self, log: str, result: StepResult, microseconds: int) -> None:
        if self._metrics is not None:
            self._metrics.stepped(log, result.appended, microseconds, result.reused_ids)
        if result.appended:
            if self._admission is not None:
                self._admission.committed(result.commit_us)
            for grew in self._grown:
                grew(log)

    def _unreadable(self, log: str, reason: str) -> None:
        _LOGGER.critical("a log's store cannot be read any more; the server stops", extra={"log": log})
        with self._lock:
            self._failure = self._failure or StorageError(
                f"the store of the log {log} cannot be read any more: {reason}",
                hint="check the disk; then start the server again, which checks what is there",
            )
        self.stop()

    # On the event loop

    async def _serve(
        self,
        registry: LogRegistry,
        administration: Administration,
        lock: OwnerLock,
        certificates: Certificates | None,
        room: Room,
    ) -> None:
        stopping = asyncio.Event()
        with self._lock:
            self._loop, self._stopping = asyncio.get_running_loop(), stopping
            if self._stop_requested:
                stopping.set()
        with self._signals():
            growth = Growth()
            publication = self._make_publication(
                registry.directory,
                lock.fileno(),
                lambda: [SYSTEM_LOG, *registry.names()],
                _freezer(registry, "publisher"),
            )
            indexer = self._make_indexer(registry.directory, lock.fileno(), lambda: [SYSTEM_LOG, *registry.names()])
            limits = self._config.calls
            admission = self._admission = Admission(self._clock, limits)
            passes: dict[str, int] = {}
            self._metrics = metrics = Metrics(
                lambda: _gauges(registry, publication, indexer, passes),
                admission.running,
                lambda: None if certificates is None else certificates.gauges(),
                room.free_bytes,
            )
            scrubber = self._scrubber(registry, lock, metrics, passes)
            self._grown = (growth.grew, publication.grew, indexer.grew)
            parts = Parts(
                registry=registry,
                access=Access(registry, self._clock),
                administration=administration,
                published=publication,
                indexed=indexer,
                clock=self._clock,
                workers=Workers(),
                growth=growth,
                completions=Completions(),
                metrics=metrics,
                limits=limits,
                admission=admission,
                quotas=Quotas(self._clock, limits.rates),
                logins=FailedLogins(self._clock, limits.logins),
            )
            health = Health()
            try:
                async with (
                    self._grpc(parts, health, certificates) as listen,
                    self._http(parts, certificates) as http,
                    _background(watch_logs(registry, health)),
                ):
                    publication.start()
                    indexer.start()
                    scrubber.start()
                    self._announce(Serving(listen, http), registry)
                    await stopping.wait()
                    self._say("stopping: no new calls; waiting for those that run")
                    await health.enter_graceful_shutdown()
                    growth.stop()
            finally:
                # What does not end must not keep the server from ending.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHILDREN_END_SECONDS):
                        await asyncio.gather(publication.stop(), indexer.stop(), scrubber.stop())
                await asyncio.to_thread(parts.workers.close)

    def _scrubber(
        self, registry: LogRegistry, lock: OwnerLock, metrics: Metrics, passes: dict[str, int]
    ) -> ScrubberProcess:
        """Return the scrubber; `passes` is told when the last whole pass of each log ended, microseconds UTC."""
        freeze = _freezer(registry, "scrubber")

        def progressed(log: str, entries: int, passed_at: int) -> None:
            metrics.scrubbed(log, entries)
            passes[log] = passed_at

        def mismatched(log: str, reason: str) -> None:
            metrics.scrub_mismatch(log)
            freeze(log, reason)

        return ScrubberProcess(
            registry.directory,
            lock.fileno(),
            progressed,
            mismatched,
            after_seconds=self._config.scrub_after_seconds,
        )

    @contextlib.asynccontextmanager
    async def _grpc(self, parts: Parts, health: Health, certificates: Certificates | None) -> AsyncIterator[Address]:
        """Serve gRPC; yields where. At the end, calls may go on for a while and are then ended."""
        takes_certificates = self._config.tls is not None and self._config.tls.client_ca is not None
        authenticator = Authenticator(parts, takes_certificates=takes_certificates)
        server = grpc.aio.server(
            interceptors=[authenticator],
            options=server_options(self._config.connections),
            maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
            compression=grpc.Compression.NoCompression,
        )
        check_rules([LEDGER_SERVICE, QUERY_SERVICE, ADMIN_SERVICE, HEALTH_SERVICE, REFLECTION_SERVICE])
        binder = Binder(parts, authenticator)
        server.add_generic_rpc_handlers(
            [
                binder.service(LEDGER_SERVICE, ledger_behaviours(parts)),
                binder.service(QUERY_SERVICE, query_behaviours(parts)),
                binder.service(ADMIN_SERVICE, admin_behaviours(parts)),
            ]
        )
        add_health(server, health)
        if self._config.reflection:
            add_reflection(server, Reflection([LEDGER_SERVICE, QUERY_SERVICE, ADMIN_SERVICE, HEALTH_SERVICE]))
        address = self._config.listen
        check_can_listen("listen", address)
        try:
            if certificates is None:
                port = server.add_insecure_port(str(address))
            else:
                port = server.add_secure_port(str(address), certificates.credentials())
        except RuntimeError as error:
            raise cannot_listen("listen", address) from error
        await server.start()
        try:
            yield replace(address, port=port)
            # Calls that are on their way are still answered, with when to come back; gRPC would just cancel them.
            await asyncio.sleep(self._config.linger_seconds)
            await binder.drain(self._config.drain_seconds)
        finally:
            await server.stop(_LAST_ANSWERS_SECONDS)

    @contextlib.asynccontextmanager
    async def _http(self, parts: Parts, certificates: Certificates | None) -> AsyncIterator[Address | None]:
        """Serve HTTP, if asked for; yields where."""
        address = self._config.http
        if address is None:
            yield None
            return
        pages = operator_pages(parts.metrics, parts.registry.take_appends)
        server = HttpServer(pages, None if certificates is None else certificates.http_context())
        try:
            port = await server.start(address.host, address.port)
        except OSError as error:
            raise cannot_listen("http", address) from error
        try:
            yield replace(address, port=port)
        finally:
            await server.stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT end the server in order, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _announce(self, serving: Serving, registry: LogRegistry) -> None:
        """Tell people what they need to go on, and programs that they can begin."""
        directory = registry.directory
        scheme = "" if self._config.tls is None else "https://"
        self._say(f"gRPC on {scheme}{serving.listen}")
        if serving.http is not None:
            self._say(f"HTTP on {scheme or 'http://'}{serving.http}: /healthz, /metrics")
        self._say(f"kernel: {installed_kernel().name}")
        pin = ""
        for log in registry.open_logs():
            if log.name == DEFAULT_LOG:
                pin = f" LOGPROOF_VERIFIER_KEY='{log.verifier_key}'"
                self._say(f"verifier key of the log {log.name}: {log.verifier_key}")
            if log.read_only_reason:
                self._say(f"warning: the log {log.name} is read-only: {log.read_only_reason}")
        for name, problem in registry.problems().items():
            self._say(f"warning: the log {name} cannot be opened: {problem}")
        if not directory.guard_is_separate:
            self._say(
                "warning: the high-water guards are on the volume of the data, so a restore of both to an older state "
                "cannot be detected; --guard-dir names a directory on another volume"
            )
        kind = short_lived_filesystem(directory.path)
        if kind:
            self._say(f"warning: the data is {kind}; keep it on a volume of its own")
        if self._config.relaxed_guard:
            self._say("warning: the guards are written once a second; a crash may set them back by as much")
        key = directory.path / ADMIN_KEY
        if key.exists():
            self._say(f"first API key: {key} (gone after it is rotated)")
            self._say(
                f'next: export LOGPROOF_ADDRESS={scheme}{serving.listen} LOGPROOF_API_KEY="$(cat {key})"{pin}; '
                "logproof log show default"
            )
        self._say(READY)
        self._on_ready(serving)


def _gauges(
    registry: LogRegistry, published: Published, indexed: Indexed, passes: Mapping[str, int]
) -> list[LogGauges]:
    usages = [(log, log.usage()) for log in registry.open_logs()]
    return [
        LogGauges(
            name=log.name,
            queued_entries=log.queued_entries,
            tree_size=log.signed_head().tree_size,
            published_size=published.size(log.name),
            indexed_size=indexed.size(log.name),
            is_read_only=bool(log.read_only_reason),
            room_bytes=usage.room_bytes,
            free_bytes=usage.free_bytes,
            reader_lag=usage.reader_lag,
            scrubbed_at=passes.get(log.name, 0) / _US_PER_SECOND,
        )
        for log, usage in usages
    ]


def _freezer(registry: LogRegistry, finder: str) -> Callable[[str, str], None]:
    def freeze(name: str, reason: str) -> None:
        """Make a log read-only, for good, in which something is wrong; blocks."""
        try:
            with registry.use(name) as log:
                log.freeze(f"the {finder} found: {reason}", durably=True)
        except LedgerError:
            _LOGGER.exception("a log that does not add up could not be frozen", extra={"log": name, "reason": reason})

    return freeze


@contextlib.asynccontextmanager
async def _background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run something beside the block, and end it with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
