"""A small HTTP server: GET and HEAD of a few paths, one request to a connection.

The rule that must not break: whatever a peer sends or withholds costs a bounded time and memory: connections, the
request and the time for it have limits, and nothing of the request is kept.

Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

_LOGGER = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 64
"""Most connections at a time. For one more, the one whose request is awaited longest is closed, else the new one."""

MAX_REQUEST_BYTES: Final = 8192
"""Largest request line with its headers."""

REQUEST_SECONDS: Final = 5.0
"""How long a peer may take for its request, and again for reading the answer."""

_END_OF_HEADERS = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a path answers.

    Attributes:
        status: Status.
        content_type: Content type of the body.
        body: The body.
    """

    status: HTTPStatus
    content_type: str
    body: bytes


Page = Callable[[Mapping[str, str]], Awaitable[HttpAnswer]]
"""Answers a path; takes the request's headers by lower-case name."""


class HttpServer:
    """Serves pages by path. Lives on one event loop."""

    def __init__(self, pages: Mapping[str, Page], tls: ssl.SSLContext | None = None) -> None:
        """Keep the pages, by path.

        Args:
            pages: Answers by path.
            tls: The TLS identity; None for plain HTTP.
        """
        self._pages = dict(pages)
        self._tls = tls
        # By transport. Those whose request is not whole yet, oldest first, are the keys of a dict.
        self._connections: set[asyncio.WriteTransport] = set()
        self._awaited: dict[asyncio.WriteTransport, None] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port.

        Raises:
            OSError: It cannot listen there.
        """
        self._server = await asyncio.start_server(
            self._serve,
            host,
            port,
            limit=MAX_REQUEST_BYTES,
            ssl=self._tls,
            ssl_handshake_timeout=REQUEST_SECONDS if self._tls else None,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A peer that goes away, stalls, or says what is no HTTP, gets no answer.
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, ssl.SSLError):
                if self._take_place(writer.transport):
                    head = await _read_head(reader)
                    self._awaited.pop(writer.transport, None)
                    answer, is_head = await self._answer(head)
                    writer.write(_encode(answer, is_head=is_head))
                    async with asyncio.timeout(REQUEST_SECONDS):
                        await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    await writer.wait_closed()
            self._leave_place(writer.transport)

    def _take_place(self, transport: asyncio.WriteTransport) -> bool:
        """Return whether a new connection has a place; who holds places silently gives the oldest up."""
        if len(self._connections) >= MAX_CONNECTIONS and self._awaited:
            oldest = next(iter(self._awaited))
            self._leave_place(oldest)
            oldest.abort()
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(transport)
        self._awaited[transport] = None
        return True

    def _leave_place(self, transport: asyncio.WriteTransport) -> None:
        self._connections.discard(transport)
        self._awaited.pop(transport, None)

    async def _answer(self, head: bytes | None) -> tuple[HttpAnswer, bool]:
        """Return the answer to a request, and whether only the headers are wanted."""
        if head is None:
            return _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), False
        request = _parse(head)
        if request is None:
            return _plain(HTTPStatus.BAD_REQUEST), False
        is_head = request.method == "HEAD"
        page = self._pages.get(request.path)
        if page is None:
            return _plain(HTTPStatus.NOT_FOUND), is_head
        if request.method not in {"GET", "HEAD"}:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED), False
        try:
            return await page(request.headers), is_head
        except Exception:
            _LOGGER.exception("a page failed", extra={"path": request.path})
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR), is_head


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    """Return a request as far as the empty line; None where it is too long."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await reader.readuntil(_END_OF_HEADERS)
    except asyncio.LimitOverrunError:
        return None


def _parse(head: bytes) -> _Request | None:
    """Return the request in these bytes, which end with an empty line; None where they are none of HTTP/1."""
    request_line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            return None
        headers[name.lower()] = value.strip()
    return _Request(words[0], words[1].partition("?")[0], headers)


def _plain(status: HTTPStatus) -> HttpAnswer:
    return HttpAnswer(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())


def _encode(answer: HttpAnswer, *, is_head: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(["Allow: GET, HEAD"] if answer.status is HTTPStatus.METHOD_NOT_ALLOWED else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if is_head else answer.body)
