"""What every client is made of: its settings and its connection.

The rule that must not break: connection, locks and counters belong to the process that made them, because gRPC's
threads do not survive a fork; a child makes its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakSet

from ledger.client.connection import Connection
from ledger.client.options import Options

# All clients of this process, for the hook that runs after a fork.
_CALLERS: WeakSet[Caller] = WeakSet()


class Caller:
    """A client as far as calling goes. Safe for use by several threads, and after a fork."""

    def __init__(self, options: Options, connect: Callable[[Options], Connection] = Connection) -> None:
        """Keep the settings; nothing is connected yet.

        Args:
            options: Where the server is, and the credential.
            connect: Makes the connection.
        """
        self._options = options
        self._connect = connect
        self._connection = connect(options)
        self._abandoned: list[object] = []  # touched in a newly forked child only
        _CALLERS.add(self)

    @property
    def log(self) -> str:
        """Name of the log."""
        return self._options.log

    def close(self) -> None:
        """Close the connection; a later call makes a new one."""
        self._connection.close()

    def leave_parent(self) -> None:
        """Forget what belongs to the process that this one was forked from; called in the child, by its only thread."""
        # The parent's channel is kept, unused: closing it would wait for threads that do not exist in this process.
        self._abandoned.append(self._connection)
        self._connection = self._connect(self._options)


def _after_fork() -> None:
    for caller in list(_CALLERS):
        caller.leave_parent()


os.register_at_fork(after_in_child=_after_fork)
