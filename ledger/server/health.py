"""gRPC health: whether the server answers, and whether all its open logs take appends.

Asked without a credential, so it tells a status and nothing else, and few may watch it at a time.
"""

from __future__ import annotations

import asyncio
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from ledger.engine.registry import LogRegistry
from ledger.errors import QuotaExceededError
from ledger.rpc.ledger_service import LEDGER_SERVICE

HEALTH_SERVICE: Final[ServiceDescriptor] = health_pb2.DESCRIPTOR.services_by_name["Health"]
"""Descriptor of the service."""

MAX_WATCHERS: Final = 32
"""Most calls that watch at a time."""

LOOK_SECONDS: Final = 1.0
"""How often the logs are looked at."""

_STATUS = health_pb2.HealthCheckResponse


class Health(health.aio.HealthServicer):  # type: ignore[misc] # untyped
    """The status of the server as a whole, and of LedgerService."""

    def __init__(self) -> None:
        """Begin as serving."""
        super().__init__()
        self._watchers = 0

    async def Watch(  # noqa: N802 - the name of the method
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        """Tell the status of a service now and when it changes."""
        if self._watchers >= MAX_WATCHERS:
            raise QuotaExceededError(
                f"{MAX_WATCHERS} calls watch already",
                hint="use Check",
                metadata={"quota": "watchers", "limit": str(MAX_WATCHERS)},
            )
        self._watchers += 1
        try:
            await super().Watch(request, context)
        finally:
            self._watchers -= 1

    async def show(self, *, takes_appends: bool) -> None:
        """Tell whether every open log takes appends."""
        status = _STATUS.SERVING if takes_appends else _STATUS.NOT_SERVING
        await self.set(LEDGER_SERVICE.full_name, status)


def add_health(server: grpc.aio.Server, servicer: Health) -> None:
    """Serve health."""
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)


async def watch_logs(registry: LogRegistry, servicer: Health) -> None:
    """Keep the status of LedgerService up to date, until cancelled."""
    while True:
        await servicer.show(takes_appends=registry.take_appends())
        await asyncio.sleep(LOOK_SECONDS)
