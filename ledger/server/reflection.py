"""Server reflection: the schema for tools such as grpcurl. Off unless asked for, and no secret: the schema is public.

Asked without a credential, so few may ask at a time, and none for long without a question.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection,
    reflection_pb2,
    reflection_pb2_grpc,
)

from ledger.errors import QuotaExceededError

REFLECTION_SERVICE: Final[ServiceDescriptor] = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
"""Descriptor of the service."""

MAX_ASKERS: Final = 32
"""Most calls that ask at a time."""

QUESTION_SECONDS: Final = 10.0
"""How long a call may take for its next question."""


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc] # untyped
    """Tells the schema of some services."""

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        """Tell of these services, and of reflection itself."""
        super().__init__([service.full_name for service in (*services, REFLECTION_SERVICE)])
        self._askers = 0

    async def ServerReflectionInfo(  # noqa: N802 - the name of the method
        self,
        request_iterator: AsyncIterator[reflection_pb2.ServerReflectionRequest],
        unused_context: grpc.aio.ServicerContext[bytes, bytes],
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Answer questions until there are no more."""
        context = unused_context
        if self._askers >= MAX_ASKERS:
            raise QuotaExceededError(
                f"{MAX_ASKERS} calls ask for the schema already",
                hint="retry after a pause",
                metadata={"quota": "askers for the schema", "limit": str(MAX_ASKERS)},
            )
        self._askers += 1
        try:
            async for answer in super().ServerReflectionInfo(_timely(request_iterator), context):
                yield answer
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the call brought no question in time")
        finally:
            self._askers -= 1


def add_reflection(server: grpc.aio.Server, servicer: Reflection) -> None:
    """Serve reflection."""
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)


async def _timely(
    questions: AsyncIterator[reflection_pb2.ServerReflectionRequest],
) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    while True:
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                question = await anext(questions)
        except StopAsyncIteration:
            return
        yield question
