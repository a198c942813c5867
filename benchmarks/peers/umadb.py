"""UmaDB: an event store with a gRPC server in Rust, durable before it answers, without tamper evidence.

Started by its own command with its default settings; its client is a blocking one, so callers are threads. Events
have actor and target as tags, which are its query index; lean ones have none.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from benchmarks.workload import StoredEvent
from tests.support.served import free_port

_START_SECONDS: Final = 20.0


class UmaDb:
    """A running server."""

    def __init__(self, address: str, pid: int) -> None:
        """Connect to it."""
        import umadb

        self._umadb: Any = umadb
        self._address = address
        self.pid = pid
        self.version = importlib.metadata.version("umadb")

    def client(self) -> Any:
        """Return a new client."""
        return self._umadb.Client(url=f"http://{self._address}")

    def events(self, rows: Sequence[StoredEvent], *, lean: bool = False) -> list[Any]:
        """Return events in the form that its client takes; lean ones can be found by their type alone."""
        event = self._umadb.Event
        return [
            event(
                event_type=row.action,
                data=row.json.encode(),
                tags=None if lean else [f"actor:{row.actor}", f"target:{row.target}"],
                uuid=UUID(row.event_id),
            )
            for row in rows
        ]

    def appenders(self, count: int, batch: Callable[[int], list[Any]]) -> list[Callable[[int], object]]:
        """Return so many callers that append the batch of a number, each with a client of its own."""

        def caller() -> Callable[[int], object]:
            client = self.client()
            return lambda number: client.append(batch(number))

        return [caller() for _ in range(count)]


def why_missing() -> str:
    """Return why UmaDB cannot be run here; empty where it can."""
    try:
        import umadb  # noqa: F401 - only whether it is there
    except ImportError:
        return "not installed (pip install 'logproof[bench]')"
    return "" if _command() is not None else "its command `umadb` is not beside this Python"


@contextmanager
def umadb(folder: Path) -> Iterator[UmaDb]:
    """Give a running server with an empty database in a new directory, and end it."""
    command = _command()
    assert command is not None
    address = f"127.0.0.1:{free_port()}"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [command, "--listen", address, "--db-path", str(folder / "uma.db")], stdout=log, stderr=log
        )
    try:
        server = UmaDb(address, process.pid)
        _wait(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(server: UmaDb) -> None:
    begin = time.perf_counter()
    while True:
        try:
            server.client().head()
        except Exception:  # its transport errors are no class of their own while it starts
            if time.perf_counter() - begin > _START_SECONDS:
                raise
            time.sleep(0.05)
        else:
            return


def _command() -> str | None:
    beside = Path(sys.executable).with_name("umadb")
    return str(beside) if beside.exists() else shutil.which("umadb")
