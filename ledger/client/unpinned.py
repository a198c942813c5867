"""For the command line of somebody who has no verifier key yet: take the key that the server states, and say so.

The rule that must not break: what is verified this way has the level UNPINNED and is never called more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ledger.client.admin import Administration
from ledger.client.connection import Connection
from ledger.client.options import Options
from ledger.client.sync import Ledger
from ledger.errors import ContentMismatchError, InvalidRequestError


def connect_unpinned(options: Options, *, connect: Callable[[Options], Connection] = Connection) -> Ledger:
    """Return a client that verifies under the key which the server states.

    A server can sign anything with a key of its own making; against a key that is pinned it cannot. Only a change of
    key or history between two uses of the same key would show.

    Args:
        options: Settings without a verifier key.
        connect: Makes the connection.

    Raises:
        ContentMismatchError: The key that the server states is none of a log.
        LedgerError: The server refused, or could not be reached in time.
    """
    admin = Administration(options, connect)
    try:
        stated = admin.stated_log(options.log)
    finally:
        admin.close()
    try:
        return Ledger.from_options(replace(options, verifier_key=stated.verifier_key), pinned=False, connect=connect)
    except InvalidRequestError as error:
        # The caller's own settings passed when the options were made.
        raise ContentMismatchError(f"what the server states of log {options.log} is no key: {error.message}") from error
