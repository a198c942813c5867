"""Page tokens: where a query goes on, sealed for who asked it.

The rule that must not break: a token is good only for the query that it came from, asked by the same credential, for a
day; whatever else is presented is refused with what is wrong, and never guessed at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Final

from ledger.errors import FieldViolation, InvalidRequestError

LIFETIME_US: Final = 86_400_000_000
"""How long a token is good, microseconds."""

_DOMAIN: Final = b"logproof/page/v1\0"
_SEAL_BYTES: Final = 16
_MAX_CHARACTERS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a query goes on.

    Attributes:
        tree_size: Size of the tree that is queried.
        cursor: As `ledger.index.queries.Page` has it.
        ends_at: When the token ends, microseconds since 1970 in UTC.
    """

    tree_size: int
    cursor: int
    ends_at: int


def seal(place: Place, query: bytes, key: bytes) -> str:
    """Return the token of a place.

    Args:
        place: The place.
        query: What identifies the query.
        key: What only the server knows of the credential.
    """
    body = json.dumps([place.tree_size, place.cursor, place.ends_at]).encode()
    return base64.urlsafe_b64encode(_seal(body, query, key) + body).decode().rstrip("=")


def unseal(token: str, query: bytes, key: bytes, now_us: int) -> Place:
    """Return the place of a token.

    Args:
        token: The token, as it was presented.
        query: What identifies the query that it is presented with.
        key: What only the server knows of the credential that presents it.
        now_us: The present, microseconds since 1970 in UTC.

    Raises:
        InvalidRequestError: It is no token of this query and credential, or too old.
    """
    try:
        data = base64.b64decode(token[:_MAX_CHARACTERS] + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise _refused("is no token of this server") from None
    found, body = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
    if not hmac.compare_digest(found, _seal(body, query, key)):
        raise _refused("is not of this query by this credential: log, filter, order and view must be as before")
    place = Place(*json.loads(body))
    if place.ends_at < now_us:
        raise _refused("is older than a day")
    return place


def _seal(body: bytes, query: bytes, key: bytes) -> bytes:
    message = _DOMAIN + hashlib.sha256(query).digest() + body
    return hmac.digest(hashlib.sha256(_DOMAIN + key).digest(), message, "sha256")[:_SEAL_BYTES]


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        [FieldViolation("page_token", why)], hint="ask for the first page again, without a token"
    )
