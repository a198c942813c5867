"""What the HTTP port shows: whether the server is well, and its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus

from ledger.http.server import HttpAnswer, Page
from ledger.telemetry.metrics import Metrics


def operator_pages(metrics: Metrics, takes_appends: Callable[[], bool]) -> dict[str, Page]:
    """Return `/healthz` and `/metrics`.

    Args:
        metrics: What `/metrics` shows.
        takes_appends: Whether every open log takes appends. `/healthz` tells it in words: a log that is read-only
            stays so until an operator acts, and starting the server again would only take the other logs down.
    """

    async def healthz(_headers: Mapping[str, str]) -> HttpAnswer:
        words = b"ok\n" if takes_appends() else b"serving; not every log takes appends\n"
        return HttpAnswer(HTTPStatus.OK, "text/plain; charset=utf-8", words)

    async def exposition(headers: Mapping[str, str]) -> HttpAnswer:
        body, content_type = await asyncio.to_thread(metrics.exposition, headers.get("accept", ""))
        return HttpAnswer(HTTPStatus.OK, content_type, body)

    return {"/healthz": healthz, "/metrics": exposition}
