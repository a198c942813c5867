"""GetEntry, BatchGetEntries and VerifyEntry: stored entries, checked against the tree before they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ledger.engine.reader import EntryRead, LogReader, View
from ledger.engine.verification import verify_entry
from ledger.rpc.binding import Call
from ledger.rpc.checks import RequestChecks
from ledger.rpc.convert import VIEWS, entry_message, verification_message
from ledger.rpc.parts import Parts
from ledger.rpc.personal import record_entries_shown, shows_personal
from ledger.v1 import ledger_pb2

MAX_RESPONSE_BYTES: Final = 3_500_000
"""Nothing larger is sent, so that clients with gRPC's default limit of 4 MiB can read it."""

# Entries read at once; with both sections at their limits they are below 10 MiB.
_CHUNK = 100
# What an entry takes in a message beside its leaf and sections, or less.
_ENTRY_OVERHEAD = 96


class Entries:
    """Reads entries."""

    def __init__(self, parts: Parts) -> None:
        """Keep the parts."""
        self._parts = parts

    def get_entry(self, call: Call, request: ledger_pb2.GetEntryRequest) -> ledger_pb2.GetEntryResponse:
        """Return one entry."""
        checks = RequestChecks()
        check_entry(checks, request)
        checks.known("view", request.view, VIEWS)
        checks.finish()
        with self._parts.registry.use(request.log) as log:
            with log.read() as reader:
                entry = reader.entry(find_entry(reader, request), VIEWS[request.view])
            if shown := shows_personal([entry]):
                record_entries_shown(log, self._parts.clock, call.caller, shown)
        return ledger_pb2.GetEntryResponse(entry=entry_message(entry))

    def batch_get_entries(
        self, call: Call, request: ledger_pb2.BatchGetEntriesRequest
    ) -> ledger_pb2.BatchGetEntriesResponse:
        """Return the entries of a list of indexes, as many as fit."""
        checks = RequestChecks()
        checks.indexes("leaf_indexes", request.leaf_indexes, ascending=False)
        checks.known("view", request.view, VIEWS)
        checks.finish()
        with self._parts.registry.use(request.log) as log:
            with log.read() as reader:
                reader.check_index(max(request.leaf_indexes))
                entries = list(fitting_entries(reader, request.leaf_indexes, VIEWS[request.view]))
            if shown := shows_personal(entries):
                record_entries_shown(log, self._parts.clock, call.caller, shown)
        return ledger_pb2.BatchGetEntriesResponse(
            entries=[entry_message(entry) for entry in entries], answered=len(entries)
        )

    def verify_entry(self, _call: Call, request: ledger_pb2.VerifyEntryRequest) -> ledger_pb2.VerifyEntryResponse:
        """Verify an entry from its stored bytes."""
        checks = RequestChecks()
        check_entry(checks, request)
        checks.finish()
        with self._parts.registry.use(request.log) as log, log.read() as reader:
            found = verify_entry(reader, find_entry(reader, request), log.verifier_key, log.origin)
        return verification_message(found)


Selecting = ledger_pb2.GetEntryRequest | ledger_pb2.GetInclusionProofRequest | ledger_pb2.VerifyEntryRequest


def check_entry(checks: RequestChecks, request: Selecting) -> None:
    """Check which entry a request names."""
    chosen = request.WhichOneof("entry")
    if chosen == "leaf_index":
        checks.index("leaf_index", request.leaf_index)
    elif chosen == "event_id":
        checks.event_id("event_id", request.event_id)
    elif chosen == "leaf_hash" and not isinstance(request, ledger_pb2.VerifyEntryRequest):
        checks.leaf_hash("leaf_hash", request.leaf_hash)
    else:
        names = [field.name for field in request.DESCRIPTOR.oneofs_by_name["entry"].fields]
        checks.refuse("entry", f"is not named; give one of {', '.join(names)}")


def find_entry(reader: LogReader, request: Selecting) -> int:
    """Return the leaf index that a checked request names; it may be beyond the tree.

    Raises:
        EntryNotFoundError: No entry has that event id or leaf hash.
    """
    chosen = request.WhichOneof("entry")
    if chosen == "event_id":
        return reader.index_of_event(request.event_id)
    if chosen == "leaf_hash" and not isinstance(request, ledger_pb2.VerifyEntryRequest):
        return reader.index_of_leaf_hash(request.leaf_hash)
    return request.leaf_index


def fitting_entries(
    reader: LogReader, leaf_indexes: Sequence[int], view: View, *, max_bytes: int = MAX_RESPONSE_BYTES
) -> Iterator[EntryRead]:
    """Yield the entries of these indexes in order, as many as fit into one response; at least one.

    Args:
        reader: A reader of the log.
        leaf_indexes: Indexes below the head's size, in any order.
        view: Which parts to read.
        max_bytes: Largest response; a single entry is always below the largest that is sent at all.
    """
    size, is_begun = 0, False
    for start in range(0, len(leaf_indexes), _CHUNK):
        chunk = leaf_indexes[start : start + _CHUNK]
        found = {entry.leaf_index: entry for entry in reader.entries(sorted(set(chunk)), view)}
        for index in chunk:
            entry = found[index]
            size += _ENTRY_OVERHEAD + len(entry.leaf) + len(entry.event.content) + len(entry.personal.content)
            if size > max_bytes and is_begun:
                return
            is_begun = True
            yield entry
