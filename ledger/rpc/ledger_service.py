"""LedgerService: which behaviour answers which method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from ledger import __version__
from ledger.engine.kernel import installed_kernel
from ledger.events.event import (
    BATCH_MAX_BYTES,
    BATCH_MAX_EVENTS,
    EVENT_MAX_BYTES,
    PERSONAL_MAX_BYTES,
    SCHEMA_VERSION,
)
from ledger.rpc.append_stream import AppendStreams
from ledger.rpc.appends import Appends
from ledger.rpc.binding import Call
from ledger.rpc.entries import Entries
from ledger.rpc.parts import Parts
from ledger.rpc.proofs import Proofs
from ledger.rpc.read_stream import ReadStreams
from ledger.v1 import ledger_pb2

LEDGER_SERVICE: Final[ServiceDescriptor] = ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"]
"""Descriptor of the service."""


def ledger_behaviours(parts: Parts) -> dict[str, Callable[..., object]]:
    """Return the behaviours of LedgerService, by method."""
    appends, entries, proofs = Appends(parts), Entries(parts), Proofs(parts)
    return {
        "GetServerInfo": _server_info,
        "Append": appends.append,
        "AppendBatch": appends.append_batch,
        "AppendStream": AppendStreams(parts, appends).append_stream,
        "GetEntry": entries.get_entry,
        "BatchGetEntries": entries.batch_get_entries,
        "ReadEntries": ReadStreams(parts).read_entries,
        "GetCheckpoint": proofs.get_checkpoint,
        "GetInclusionProof": proofs.get_inclusion_proof,
        "BatchGetInclusionProof": proofs.batch_get_inclusion_proof,
        "GetRangeProof": proofs.get_range_proof,
        "GetConsistencyProof": proofs.get_consistency_proof,
        "VerifyEntry": entries.verify_entry,
    }


def _server_info(_call: Call, _request: ledger_pb2.GetServerInfoRequest) -> ledger_pb2.GetServerInfoResponse:
    return ledger_pb2.GetServerInfoResponse(
        version=__version__,
        schema_version=SCHEMA_VERSION,
        max_event_bytes=EVENT_MAX_BYTES,
        max_personal_bytes=PERSONAL_MAX_BYTES,
        max_batch_events=BATCH_MAX_EVENTS,
        max_batch_bytes=BATCH_MAX_BYTES,
        kernel=installed_kernel().name,
    )
