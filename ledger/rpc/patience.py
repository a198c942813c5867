"""Waiting for what the other end sends, and not for ever: a call that brings nothing gives its place up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from ledger.errors import MalformedError, StalledError


async def only_message(messages: AsyncIterator[bytes], within_seconds: float) -> bytes:
    """Return the one message of a call, and let go of what brings them.

    Raises:
        StalledError: It did not come in time.
        MalformedError: The call ended without one.
    """
    iterator = aiter(messages)
    try:
        return await first_message(iterator, within_seconds)
    finally:
        await _close(iterator)


async def first_message(messages: AsyncIterator[bytes], within_seconds: float) -> bytes:
    """Return the first message of a call.

    Raises:
        StalledError: It did not come in time.
        MalformedError: The call ended without one.
    """
    try:
        async with asyncio.timeout(within_seconds):
            return await anext(messages)
    except TimeoutError:
        raise _stalled("the call brought no message", within_seconds) from None
    except StopAsyncIteration:
        raise MalformedError("the call brought no message", hint="send one request, and then end the call") from None


async def timely_messages(
    messages: AsyncIterator[bytes], first_within_seconds: float, within_seconds: float
) -> AsyncIterator[bytes]:
    """Yield the messages of a stream.

    Args:
        messages: The stream.
        first_within_seconds: How long the first may take.
        within_seconds: How long each of the others may take after it is waited for.

    Raises:
        StalledError: One did not come in time.
    """
    limit = first_within_seconds
    iterator = aiter(messages)
    try:
        while True:
            try:
                async with asyncio.timeout(limit):
                    message = await anext(iterator)
            except TimeoutError:
                raise _stalled("the stream brought no message", limit) from None
            except StopAsyncIteration:
                return
            yield message
            limit = within_seconds
    finally:
        await _close(iterator)


async def _close(iterator: AsyncIterator[bytes]) -> None:
    """End an iterator that is a generator: one that waits for ever keeps its call, with all that it has received."""
    if isinstance(iterator, AsyncGenerator):
        await iterator.aclose()


def _stalled(what: str, seconds: float) -> StalledError:
    return StalledError(
        f"{what} within {seconds:g} s, so it was ended",
        hint="open it again when there is something to send",
        metadata={"limitSeconds": f"{seconds:g}"},
    )
