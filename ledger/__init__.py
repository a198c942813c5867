"""Logproof Ledger: an append-only audit log whose entries anyone can verify offline.

Importing this package loads none of its parts: each public name loads on first use, so that a verifier never pays
for gRPC and a client never needs what only the server does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.client import AsyncLedger, Ledger
    from ledger.errors import LedgerError, VerificationError
    from ledger.events.event import (
        Actor,
        ActorType,
        Authentication,
        AuthMethod,
        Change,
        DataClassification,
        DataContext,
        Event,
        FieldChange,
        MetadataEntry,
        Original,
        Outcome,
        PersonalData,
        Request,
        Source,
        Target,
        Truth,
    )
    from ledger.evidence.many_receipts import verify_receipts
    from ledger.evidence.receipts import verify_receipt
    from ledger.evidence.trusted import TrustedLog

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "ActorType",
    "AsyncLedger",
    "AuthMethod",
    "Authentication",
    "Change",
    "DataClassification",
    "DataContext",
    "Event",
    "FieldChange",
    "Ledger",
    "LedgerError",
    "MetadataEntry",
    "Original",
    "Outcome",
    "PersonalData",
    "Request",
    "Source",
    "Target",
    "TrustedLog",
    "Truth",
    "VerificationError",
    "verify_receipt",
    "verify_receipts",
]

_HOMES = {
    "Actor": "ledger.events.event",
    "ActorType": "ledger.events.event",
    "AsyncLedger": "ledger.client",
    "AuthMethod": "ledger.events.event",
    "Authentication": "ledger.events.event",
    "Change": "ledger.events.event",
    "DataClassification": "ledger.events.event",
    "DataContext": "ledger.events.event",
    "Event": "ledger.events.event",
    "FieldChange": "ledger.events.event",
    "Ledger": "ledger.client",
    "LedgerError": "ledger.errors",
    "MetadataEntry": "ledger.events.event",
    "Original": "ledger.events.event",
    "Outcome": "ledger.events.event",
    "PersonalData": "ledger.events.event",
    "Request": "ledger.events.event",
    "Source": "ledger.events.event",
    "Target": "ledger.events.event",
    "TrustedLog": "ledger.evidence.trusted",
    "Truth": "ledger.events.event",
    "VerificationError": "ledger.errors",
    "verify_receipt": "ledger.evidence.receipts",
    "verify_receipts": "ledger.evidence.many_receipts",
}

# Hidden from type checkers, for which it would make every misspelt name a good one.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name."""
        if name not in _HOMES:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Tell the public names, loaded or not."""
    return sorted({*globals(), *__all__})
