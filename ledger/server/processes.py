"""The serving process's side of its children: start them, feed them, watch them, and start them again.

A slow or dead child never slows an append. Names of logs that grew wait for the publisher, and are told at most so many
times a second, because it has the same cores and the same disk as the writer. The scrubber is told nothing but when to
end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections import deque
from collections.abc import Callable

from ledger.engine.directory import DataDirectory
from ledger.errors import IndexBehindError, PublicationBehindError

_LOGGER = logging.getLogger(__name__)
_RESTART_SECONDS = (0.1, 1.0, 5.0)
_PACE_SECONDS = 0.05
_END_SECONDS = 5.0
# What damaged pages do to a process that reads them.
_FAULT_SIGNALS = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE}


class ChildProcess:
    """A program of this package that runs for as long as the server does. Lives on one event loop."""

    def __init__(
        self, module: str, directory: DataDirectory, lock_descriptor: int, *, after_seconds: float = 0.0
    ) -> None:
        """Keep the parts; `start` starts the process.

        Args:
            module: Name of the module to run.
            directory: The data directory.
            lock_descriptor: Descriptor of the owner lock, which the process inherits.
            after_seconds: How long to wait before it is started.
        """
        self._after_seconds = after_seconds
        self._module = module
        self._directory = directory
        self._lock_descriptor = lock_descriptor
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the process and keep it running."""
        self._task = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """Close the process's input and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def take_in(self, log: str, message: dict[str, str | int]) -> None:
        """Take in what the process tells of a log."""
        raise NotImplementedError

    async def feed(self, process: asyncio.subprocess.Process) -> None:
        """Tell the process what it should know, until cancelled."""
        del process

    def arguments(self) -> list[str]:
        """Return what the process is given beside the directory and the map size."""
        return []

    async def ended(self, exit_code: int) -> None:
        """Take note that the process ended by itself; a negative code is the number of a signal."""
        del exit_code

    async def _supervise(self) -> None:
        failures = 0
        await asyncio.sleep(self._after_seconds)
        while True:
            told = False
            try:
                told = await self._run_once()
            except (OSError, ValueError, KeyError):
                # It could not be started, or told what cannot be read.
                _LOGGER.exception("a process of the server failed", extra={"program": self._module})
            failures = 0 if told else failures + 1
            pause = _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS) - 1)]
            _LOGGER.error(
                "a process of the server ended and is started again",
                extra={"program": self._module, "pause_seconds": pause},
            )
            await asyncio.sleep(pause)

    async def _run_once(self) -> bool:
        """Run the process until it ends; return whether it told anything."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            str(self._directory.path),
            str(self._directory.map_size),
            *self.arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(self._lock_descriptor,),
            # Ctrl-C is for the server, which ends this process by its pipe.
            start_new_session=True,
        )
        feeder = asyncio.create_task(self.feed(process))
        try:
            told = await self._listen(process)
        finally:
            feeder.cancel()
            await _end(process)
        await self.ended(process.returncode or 0)
        return told

    async def _listen(self, process: asyncio.subprocess.Process) -> bool:
        """Take in what the process tells until it ends; return whether it told anything."""
        if process.stdout is None:
            raise RuntimeError(f"{self._module} was started without a pipe")
        told = False
        while line := await process.stdout.readline():
            message = json.loads(line)
            told = True
            await self.take_in(message["log"], message)
        return told


class FollowerProcess(ChildProcess):
    """A process that follows all logs, and how far it is with each."""

    def __init__(
        self, module: str, directory: DataDirectory, lock_descriptor: int, names: Callable[[], list[str]]
    ) -> None:
        """Keep the parts; `start` starts the process.

        Args:
            module: Name of the module to run.
            directory: The data directory.
            lock_descriptor: Descriptor of the owner lock, which the process inherits.
            names: Returns the names of all logs.
        """
        super().__init__(module, directory, lock_descriptor)
        self._names = names
        self._loop = asyncio.get_running_loop()
        self._sizes: dict[str, int] = {}
        self._changed = asyncio.Condition()
        # Added to by any thread. The flag is set before the loop is woken and cleared before it looks: what is added
        # after that wakes it again.
        self._grown: deque[str] = deque()
        self._is_woken = False
        self._has_grown = asyncio.Event()

    def grew(self, name: str) -> None:
        """Tell that a log has a new head. Callable from any thread."""
        self._grown.append(name)
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: the server is stopping
                self._loop.call_soon_threadsafe(self._has_grown.set)

    def size(self, log: str) -> int:
        """Return how far it is with a log, as a tree size; 0 until it is known."""
        return self._sizes.get(log, 0)

    async def is_at(self, log: str, at_least: int, timeout_seconds: float) -> bool:
        """Return whether it comes so far with a log within the time."""
        self.grew(log)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: log in self._sizes and self.size(log) >= at_least)
                return True
        return False

    async def came_to(self, log: str, size: int) -> None:
        """Take in how far it is with a log."""
        async with self._changed:
            self._sizes[log] = size
            self._changed.notify_all()

    async def feed(self, process: asyncio.subprocess.Process) -> None:
        """Tell it which logs grew."""
        if process.stdin is None:
            raise RuntimeError("a follower was started without a pipe")
        self._grown.extend(self._names())
        self._has_grown.set()
        while True:
            await self._has_grown.wait()
            self._has_grown.clear()
            self._is_woken = False
            names = {self._grown.popleft() for _ in range(len(self._grown))}
            process.stdin.write("".join(f"{name}\n" for name in sorted(names)).encode())
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
            await asyncio.sleep(_PACE_SECONDS)


class PublisherProcess(FollowerProcess):
    """What the publisher has published, and the process itself."""

    def __init__(
        self,
        directory: DataDirectory,
        lock_descriptor: int,
        names: Callable[[], list[str]],
        on_mismatch: Callable[[str, str], None],
    ) -> None:
        """Keep the parts; `start` starts the process.

        Args:
            directory: The data directory.
            lock_descriptor: Descriptor of the owner lock, which the process inherits.
            names: Returns the names of all logs.
            on_mismatch: Called with a log's name and the reason, where its leaves do not lead to its root.
        """
        super().__init__("ledger.server.publisher", directory, lock_descriptor, names)
        self._on_mismatch = on_mismatch

    async def wait(self, log: str, at_least: int, timeout_seconds: float) -> int:
        """Return the published size of a log once it has at least this size.

        Raises:
            PublicationBehindError: It has not within the time.
        """
        if not await self.is_at(log, at_least, timeout_seconds):
            raise PublicationBehindError(
                f"the published head of {log} has size {self.size(log)}, not yet {at_least}",
                hint="retry after a pause; if it stays behind, see the server's log for the publisher",
                metadata={"publishedSize": str(self.size(log)), "atLeast": str(at_least)},
            )
        return self.size(log)

    async def take_in(self, log: str, message: dict[str, str | int]) -> None:
        """Take in how far it is with a log, or what is wrong with it."""
        if "tree_size" in message:
            await self.came_to(log, int(message["tree_size"]))
        elif "mismatch" in message:
            await asyncio.to_thread(self._on_mismatch, log, str(message["mismatch"]))
        else:
            _LOGGER.warning("the publisher cannot read a log", extra={"log": log, "problem": message.get("problem")})


class IndexerProcess(FollowerProcess):
    """How far each log is indexed, and the process itself."""

    def __init__(self, directory: DataDirectory, lock_descriptor: int, names: Callable[[], list[str]]) -> None:
        """Keep the parts; `start` starts the process.

        Args:
            directory: The data directory.
            lock_descriptor: Descriptor of the owner lock, which the process inherits.
            names: Returns the names of all logs.
        """
        super().__init__("ledger.server.indexer", directory, lock_descriptor, names)

    async def wait(self, log: str, at_least: int, timeout_seconds: float) -> int:
        """Return how many entries of a log are indexed, once there are at least so many.

        Raises:
            IndexBehindError: There are not within the time.
        """
        if not await self.is_at(log, at_least, timeout_seconds):
            raise IndexBehindError(
                f"the index of {log} has {self.size(log)} entries, not yet {at_least}",
                hint="retry after a pause; if it stays behind, see the server's log for the indexer",
                metadata={"indexedSize": str(self.size(log)), "atLeast": str(at_least)},
            )
        return self.size(log)

    async def take_in(self, log: str, message: dict[str, str | int]) -> None:
        """Take in how far it is with a log, or why it cannot go on."""
        if "indexed_size" in message:
            await self.came_to(log, int(message["indexed_size"]))
        else:
            _LOGGER.warning("a log cannot be indexed", extra={"log": log, "problem": message.get("problem")})


class ScrubberProcess(ChildProcess):
    """What the scrubber has found, and the process itself."""

    def __init__(
        self,
        directory: DataDirectory,
        lock_descriptor: int,
        on_progress: Callable[[str, int, int], None],
        on_mismatch: Callable[[str, str], None],
        *,
        after_seconds: float,
    ) -> None:
        """Keep the parts; `start` starts the process.

        Args:
            directory: The data directory.
            lock_descriptor: Descriptor of the owner lock, which the process inherits.
            on_progress: Called with a log's name, how many entries were found good, and when its last whole pass
                ended, microseconds UTC, 0 for never.
            on_mismatch: Called with a log's name and what is wrong.
            after_seconds: How long to wait before it is started: a start has better to do.
        """
        super().__init__("ledger.server.scrubber", directory, lock_descriptor, after_seconds=after_seconds)
        self._on_progress = on_progress
        self._on_mismatch = on_mismatch
        # Where the process is: it may be killed by what it reads there.
        self._reading: tuple[str, int] | None = None
        self._killed_at: tuple[str, int] | None = None
        self._skipped: set[str] = set()

    def arguments(self) -> list[str]:
        """Return the logs that killed the process, which it leaves out."""
        return sorted(self._skipped)

    async def take_in(self, log: str, message: dict[str, str | int]) -> None:
        """Take in how far it is with a log, or what is wrong with it."""
        if "mismatch" in message:
            await asyncio.to_thread(self._on_mismatch, log, str(message["mismatch"]))
        elif "problem" in message:
            _LOGGER.warning("the scrubber cannot read a log", extra={"log": log, "problem": message["problem"]})
        else:
            self._reading = (log, int(message["position"]))
            self._on_progress(log, int(message["entries"]), int(message["passed_at"]))

    async def ended(self, exit_code: int) -> None:
        """Freeze a log whose pages killed the process at the same place twice."""
        if exit_code not in _FAULT_SIGNALS or self._reading is None:
            return
        if self._killed_at != self._reading:
            self._killed_at = self._reading
            return
        log, position = self._reading
        self._skipped.add(log)
        name = signal.Signals(-exit_code).name
        await asyncio.to_thread(
            self._on_mismatch, log, f"reading the entries from {position} on ends the process with {name}"
        )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the process's input, and wait for its end; kill it where it does not end."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
