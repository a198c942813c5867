"""The two clients behind the names of the synchronous one, so that one suite tests both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, cast

from ledger.client import AsyncLedger, Ledger
from ledger.client.connection import Connection
from ledger.client.options import Options

KINDS: Final = ("sync", "asyncio")


class Clients:
    """Makes clients of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def new(self, address: str, **options: Any) -> Ledger:
        """Return a client, as its class does."""
        if self.kind == "sync":
            return Ledger(address, **options)
        return _blocking(lambda: AsyncLedger(address, **options))

    def from_env(self, environment: Mapping[str, str]) -> Ledger:
        """Return a client with the settings of an environment."""
        if self.kind == "sync":
            return Ledger.from_env(environment)
        return _blocking(lambda: AsyncLedger.from_env(environment))

    def from_options(self, options: Options, connect: Callable[[Options], Connection] = Connection) -> Ledger:
        """Return a client with these settings."""
        if self.kind == "sync":
            return Ledger.from_options(options, connect=connect)
        return _blocking(lambda: AsyncLedger.from_options(options, connect=connect))


class Blocking:
    """An asyncio client on a loop of its own thread; each call waits for its result."""

    def __init__(self, make: Callable[[], AsyncLedger]) -> None:
        self._ledger = make()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop of a test")
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._ledger, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            result = value(*arguments, **named)
            if inspect.iscoroutine(result):
                return self.wait(result)
            return self._each(result)

        return call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client, and end the loop."""
        if self._loop.is_closed():
            return
        try:
            self.wait(self._ledger.close())
            self.wait(self._loop.shutdown_asyncgens())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _each(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def next_item() -> Any:
            return await anext(items, None)

        while (item := self.wait(next_item())) is not None:
            yield item


def _blocking(make: Callable[[], AsyncLedger]) -> Ledger:
    return cast("Ledger", Blocking(make))
