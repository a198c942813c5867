"""The client SDK: appends events and hands out nothing of the server's that it could verify and did not.

The rule that must not break: this package reaches neither the storage nor the engine, so that whoever only appends
or verifies installs and imports neither. Names load on first use; `Ledger` is what pays for gRPC.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.client.aio import AsyncLedger
    from ledger.client.options import Options
    from ledger.client.receipt import Receipt
    from ledger.client.sync import Ledger
    from ledger.client.trust import StaleHeadWarning

__all__ = ["AsyncLedger", "Ledger", "Options", "Receipt", "StaleHeadWarning"]

# Read by gRPC when it is first imported, which is later: its threads then stand still while a process forks. Without it,
# a child that is forked while something is under way shares what they were waiting on, and may crash.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")

_HOMES = {
    "AsyncLedger": "ledger.client.aio",
    "Ledger": "ledger.client.sync",
    "Options": "ledger.client.options",
    "Receipt": "ledger.client.receipt",
    "StaleHeadWarning": "ledger.client.trust",
}

# Hidden from type checkers, for which it would make every misspelt name a good one.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name when it is first asked for."""
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
