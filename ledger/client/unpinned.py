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


def connect_unpinned(options: Options, *, connect: Callable[[Options], Connection] = Connection) -> Ledger:
    """Return a client that verifies under the key which the server states.

    A server can sign anything with a key of its own making; against a key that is pinned it cannot. Only a change of
    key or history between two uses of the same key would show.

    Args:
        options: Settings without a verifier key.
        connect: Makes the connection.

    Raises:
        LedgerError: The server refused, could not be reached in time, or stated no good key.
    """
    admin = Administration(options, connect)
    try:
        stated = admin.stated_log(options.log)
    finally:
        admin.close()
    return Ledger.from_options(replace(options, verifier_key=stated.verifier_key), pinned=False, connect=connect)
