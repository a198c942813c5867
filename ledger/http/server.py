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
"""Most connections at a time; more are closed at once."""

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
        self._connections = 0
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
        self._connections += 1
        try:
            # A peer that goes away, stalls, or says what is no HTTP, gets no answer.
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, ssl.SSLError):
                if self._connections <= MAX_CONNECTIONS:
                    answer, is_head = await self._answer(reader)
                    writer.write(_encode(answer, is_head=is_head))
                    async with asyncio.timeout(REQUEST_SECONDS):
                        await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    await writer.wait_closed()
            self._connections -= 1

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[HttpAnswer, bool]:
        """Read a request; return its answer, and whether only the headers are wanted."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = _parse(await reader.readuntil(_END_OF_HEADERS))
        except asyncio.LimitOverrunError:
            return _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), False
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
