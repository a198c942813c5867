"""Where the bytes of a server turn out to be malformed, and the verification therefore fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.errors import ContentMismatchError, MalformedError


@contextmanager
def told_by_server(what: str) -> Iterator[None]:
    """Turn malformed bytes from the server into the failed verification that they are.

    Args:
        what: What the bytes should have been, for the message.

    Raises:
        ContentMismatchError: The block raised `MalformedError`.
    """
    try:
        yield
    except MalformedError as error:
        raise malformed(what, error) from error


def malformed(what: str, error: MalformedError) -> ContentMismatchError:
    """Return the failed verification that malformed bytes from the server are."""
    return ContentMismatchError(f"the server's {what} is malformed: {error.message}", metadata=error.metadata)
