"""Where logs lie on the disk: the store, the guard that knows its newest head, and the lock of the process that writes.

What a store does is said in `api`; the engines `lmdb` and `memory` are imported by name, by whoever opens one.
"""

from __future__ import annotations

from ledger.storage.api import (
    EntryBatch,
    HeadRecord,
    ReadTransaction,
    SectionKind,
    Store,
    StoreMeta,
    TableCounts,
    WriteTransaction,
)
from ledger.storage.guard import HighWaterGuard
from ledger.storage.owner import OwnerLock

__all__ = [
    "EntryBatch",
    "HeadRecord",
    "HighWaterGuard",
    "OwnerLock",
    "ReadTransaction",
    "SectionKind",
    "Store",
    "StoreMeta",
    "TableCounts",
    "WriteTransaction",
]
