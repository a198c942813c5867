"""Whether the server can listen where it is told to, before anything depends on it.

The rule that must not break: this only asks; whoever listens in the end still meets the refusal of the system itself.
"""

from __future__ import annotations

import socket

from ledger.errors import LedgerError
from ledger.server.config import Address, invalid_setting


def check_can_listen(setting: str, address: Address) -> None:
    """Return if the address is this machine's, and its port free.

    gRPC tells the same by a line of its own on stderr, and only once it is to listen.

    Args:
        setting: Name of the setting, for the message.
        address: The address.

    Raises:
        InvalidRequestError: The server could not listen there.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise cannot_listen(setting, address) from error
    problem: OSError | None = None
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As gRPC does: connections that ended a moment ago keep no port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
        except OSError as error:
            problem = error
        else:
            return
    raise cannot_listen(setting, address) from problem


def cannot_listen(setting: str, address: Address) -> LedgerError:
    """Return the error of a server that cannot listen there."""
    return invalid_setting(
        setting,
        f"cannot listen on {address}: another program has the port, or the address is not one of this machine",
        "stop that program, or choose another port; `ss -ltnp` shows who listens",
    )
