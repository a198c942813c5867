"""Where the tiles of a log are read from: a directory, or a server of files.

The rule that must not break: whatever the other side sends, no more than a bounded number of bytes is read, within a
bounded time, and only by HTTP.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger.cli.files import open_file
from ledger.errors import FieldViolation, InvalidProofError, InvalidRequestError, ServerUnreachableError
from ledger.evidence.tile_log import Fetch

MAX_RESOURCE_BYTES: Final = 32 * 1024 * 1024
"""Largest resource that is read: above a bundle of 256 entries of 65,535 bytes."""

_TIMEOUT_SECONDS: Final = 30
_NOT_THERE: Final = frozenset({404, 410})


def open_tile_source(place: str) -> Fetch:
    """Return a function that reads a resource of the log by its path.

    Args:
        place: A directory, or an http or https URL.

    Raises:
        InvalidRequestError: It is a URL of another kind.
        NotADirectoryError: It is not a directory.
    """
    scheme, separator, _ = place.partition("://")
    if not separator:
        directory = Path(place)
        if not directory.is_dir():
            raise NotADirectoryError(20, "there is no such directory", place)
        return lambda path: _read_file(directory / path, path)
    if scheme not in {"http", "https"}:
        raise InvalidRequestError([FieldViolation("url", f"{place} is neither http:// nor https://")])
    return lambda path: _read_url(f"{place.rstrip('/')}/{path}", path)


def _read_file(file: Path, path: str) -> bytes:
    try:
        with open_file(file) as opened:
            return _bounded(opened.read(MAX_RESOURCE_BYTES + 1), path)
    except (FileNotFoundError, NotADirectoryError):
        raise LookupError(path) from None


def _read_url(url: str, path: str) -> bytes:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        # The scheme was checked; redirects stay within http and https.
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            return _bounded(response.read(MAX_RESOURCE_BYTES + 1), path)
    except HTTPError as error:
        if error.code in _NOT_THERE:
            raise LookupError(path) from None
        raise ServerUnreachableError(f"{url} answered {error.code} {error.reason}") from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise ServerUnreachableError(f"{url} could not be read: {error}") from error


def _bounded(data: bytes, path: str) -> bytes:
    if len(data) > MAX_RESOURCE_BYTES:
        raise InvalidProofError(f"{path} has more than {MAX_RESOURCE_BYTES} bytes", metadata={"path": path})
    return data
