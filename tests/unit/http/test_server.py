from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from http import HTTPStatus

import pytest

from ledger.http.pages import operator_pages
from ledger.http.server import MAX_CONNECTIONS, MAX_REQUEST_BYTES, HttpAnswer, HttpServer
from ledger.telemetry.metrics import LogGauges, Metrics


async def _failing(_headers: Mapping[str, str]) -> HttpAnswer:
    raise RuntimeError("secret")


def _pages(*, takes_appends: bool = True) -> HttpServer:
    metrics = Metrics(lambda: [LogGauges("default", 1, 5, 4, 3, is_read_only=not takes_appends)])
    return HttpServer({**operator_pages(metrics, lambda: takes_appends), "/failing": _failing})


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    try:
        return await reader.read()
    except ConnectionResetError:  # closed before it read all
        return b""
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def _answer(request: bytes, server: HttpServer | None = None) -> bytes:
    async def scenario() -> bytes:
        http = server or _pages()
        port = await http.start("127.0.0.1", 0)
        try:
            return await _ask(port, request)
        finally:
            await http.stop()

    return asyncio.run(scenario())


def _get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def _status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("takes_appends", "words"), [(True, b"ok\n"), (False, b"serving; not every log takes appends\n")]
)
def test_health_tells_whether_every_log_takes_appends(takes_appends: bool, words: bytes) -> None:
    answer = _answer(_get("/healthz"), _pages(takes_appends=takes_appends))

    assert (_status(answer), _body(answer)) == (200, words)


def test_metrics_are_shown_in_the_format_of_prometheus() -> None:
    answer = _answer(_get("/metrics"))

    assert b"Content-Type: text/plain; version=" in answer
    assert b'logproof_tree_size_entries{log="default"} 5.0\n' in _body(answer)


def test_metrics_are_shown_as_openmetrics_to_those_who_ask() -> None:
    answer = _answer(_get("/metrics", "Accept: application/openmetrics-text; version=1.0.0"))

    assert b"Content-Type: application/openmetrics-text" in answer
    assert _body(answer).endswith(b"# EOF\n")


def test_head_answers_with_the_headers_alone() -> None:
    answer = _answer(_get("/healthz", method="HEAD"))

    assert b"Content-Length: 3\r\n" in answer
    assert _body(answer) == b""


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (_get("/"), HTTPStatus.NOT_FOUND),
        (_get("/healthz/"), HTTPStatus.NOT_FOUND),
        (_get("/../healthz"), HTTPStatus.NOT_FOUND),
        (_get("/healthz?x=1"), HTTPStatus.OK),
        (_get("/healthz", method="POST"), HTTPStatus.METHOD_NOT_ALLOWED),
        (b"\x00\xff\x00\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /healthz\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /healthz HTTP/2.0\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (_get("/healthz", "X: " + "x" * MAX_REQUEST_BYTES), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_what_cannot_be_served_has_its_status(request_bytes: bytes, status: HTTPStatus) -> None:
    assert _status(_answer(request_bytes)) == status


def test_a_page_that_fails_tells_nothing_of_why(caplog: pytest.LogCaptureFixture) -> None:
    answer = _answer(_get("/failing"))

    assert _status(answer) == HTTPStatus.INTERNAL_SERVER_ERROR
    assert b"secret" not in answer
    assert caplog.records[0].message == "a page failed"


def test_a_peer_that_goes_away_in_the_middle_leaves_the_others_served() -> None:
    async def scenario() -> bytes:
        http = _pages()
        port = await http.start("127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hea")
        await _close(writer)
        try:
            return await _ask(port, _get("/healthz"))
        finally:
            await http.stop()

    assert _status(asyncio.run(scenario())) == HTTPStatus.OK


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\n"])
def test_a_probe_is_answered_however_many_connections_are_held_without_a_whole_request(said: bytes) -> None:
    async def scenario() -> tuple[bytes, bytes, bytes]:
        http = _pages()
        port = await http.start("127.0.0.1", 0)
        silent = []
        for _ in range(300):
            silent.append(await asyncio.open_connection("127.0.0.1", port))
            silent[-1][1].write(said)
        probed = await _ask(port, _get("/healthz"))
        given_up = await silent[0][0].read()
        silent[-1][1].write(_get("/healthz")[len(said) :])
        kept = await silent[-1][0].read()
        for _, writer in silent:
            await _close(writer)
        await http.stop()
        return probed, given_up, kept

    probed, given_up, kept = asyncio.run(scenario())

    assert (_status(probed), given_up, _status(kept)) == (HTTPStatus.OK, b"", HTTPStatus.OK)


def test_connections_above_the_limit_are_closed_at_once_where_all_others_wait_for_their_answer() -> None:
    async def scenario() -> tuple[bytes, list[bytes]]:
        go_on, asked = asyncio.Event(), asyncio.Semaphore(0)

        async def slow(_headers: Mapping[str, str]) -> HttpAnswer:
            asked.release()
            await go_on.wait()
            return HttpAnswer(HTTPStatus.OK, "text/plain", b"done")

        http = HttpServer({"/slow": slow})
        port = await http.start("127.0.0.1", 0)
        answers = [asyncio.create_task(_ask(port, _get("/slow"))) for _ in range(MAX_CONNECTIONS)]
        for _ in answers:
            await asked.acquire()
        refused = await _ask(port, _get("/slow"))
        go_on.set()
        served = await asyncio.gather(*answers)
        await http.stop()
        return refused, served

    refused, served = asyncio.run(scenario())

    assert refused == b""
    assert {_status(answer) for answer in served} == {HTTPStatus.OK}
