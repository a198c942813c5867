"""A log of audit records from files: put into a running server, taken out of it whole, and then held without it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from ledger.client.values import Entry, EntryView
from ledger.evidence.proof_json import ConsistencyClaim, InclusionClaim
from ledger.evidence.receipts import Receipt, Section, make_receipt
from ledger.importers.cloudtrail_files import UnreadableRecord, split_file
from ledger.notes import open_checkpoint, parse_verifier_key
from ledger.notes.checkpoint import Checkpoint
from ledger.v1 import ledger_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.served import Served, run_logproof

_BATCH = 1000


@dataclass(frozen=True)
class BatchProof:
    """One proof that several leaves are in the tree."""

    indexes: tuple[int, ...]
    hashes: tuple[bytes, ...]


@dataclass(frozen=True)
class TakenLog:
    """What a server gave out of one log, all under one head.

    Attributes:
        key: Verifier key, from the server's own files.
        records: The records of the files, each with its bytes.
        entries: Every entry with both sections.
        old_note: A signed head from before the last records came.
        note: The signed head.
        inclusion: The inclusion proof of every entry.
        batches: Batch proofs of every entry, neighbours and far apart.
        consistency: From the old head to the new one.
        receipts: The receipt of every entry, with both sections.
        tiles: Folder of the exported log.
    """

    key: str
    records: list[tuple[dict[str, object], bytes]]
    entries: list[Entry]
    old_note: bytes
    note: bytes
    inclusion: list[InclusionClaim]
    batches: list[BatchProof]
    consistency: ConsistencyClaim
    receipts: list[bytes]
    tiles: Path

    def open(self, note: bytes) -> Checkpoint:
        """Return what a head states, its signature verified."""
        return open_checkpoint(note, parse_verifier_key(self.key)).checkpoint

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the newest head."""
        return self.open(self.note)


def import_records(served: Served, source: Path) -> dict[str, int]:
    """Import CloudTrail files and return the summary."""
    done = run_logproof(
        "import",
        "--from",
        "cloudtrail",
        source,
        "--format",
        "json",
        environment=served.environment,
        timeout_seconds=300,
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, int] = json.loads(done.stdout)
    return summary


def records_of(folders: Iterable[Path]) -> Iterator[tuple[dict[str, object], bytes]]:
    """Yield every record of the files of folders, with its bytes."""
    for folder in folders:
        for file in sorted(folder.glob("*.json")):
            for _, raw, record in split_file(file.read_bytes()):
                assert not isinstance(record, UnreadableRecord)
                assert isinstance(record, dict)
                yield record, raw


def take_log(served: Served, folders: Sequence[Path], old_note: bytes, out: Path) -> TakenLog:
    """Take the log `default` out of a server whole; what is returned needs the server no more."""
    key = served.verifier_key()
    exported = run_logproof("export", "tiles", out, environment=served.environment)
    assert exported.returncode == 0, exported.stderr
    note = (out / "checkpoint").read_bytes()
    head = open_checkpoint(note, parse_verifier_key(key)).checkpoint
    old = open_checkpoint(old_note, parse_verifier_key(key)).checkpoint
    with served.client() as client:
        entries = list(client.read_entries(0, head.tree_size, view=EntryView.FULL))
        consistency = client.prove_consistency(old.tree_size, head.tree_size).hashes
    with grpc.insecure_channel(served.address) as channel:
        proofs = _Proofs(LedgerServiceStub(channel), served.api_key, head.tree_size)
        inclusion = [
            InclusionClaim(index, head.tree_size, entry.leaf_hash, head.root_hash, proofs.inclusion(index))
            for index, entry in enumerate(entries)
        ]
        batches = [proofs.batch(indexes) for indexes in _groups(head.tree_size)]
    return TakenLog(
        key,
        list(records_of(folders)),
        entries,
        old_note,
        note,
        inclusion,
        batches,
        ConsistencyClaim(old.tree_size, head.tree_size, old.root_hash, head.root_hash, consistency),
        [_receipt(entry, claim, note) for entry, claim in zip(entries, inclusion, strict=True)],
        out,
    )


def _groups(tree_size: int) -> list[range]:
    """Return ranges that hold each index twice: among its neighbours, and far from all others."""
    apart = -(-tree_size // _BATCH)
    near = [range(begin, min(begin + _BATCH, tree_size)) for begin in range(0, tree_size, _BATCH)]
    return near + [range(first, tree_size, apart) for first in range(apart)]


class _Proofs:
    def __init__(self, stub: LedgerServiceStub, api_key: str, tree_size: int) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._size = tree_size

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        request = ledger_pb2.GetInclusionProofRequest(log="default", leaf_index=index, tree_size=self._size)
        return tuple(self._stub.GetInclusionProof(request, metadata=self._metadata).inclusion_proof.hashes)

    def batch(self, indexes: range) -> BatchProof:
        request = ledger_pb2.BatchGetInclusionProofRequest(log="default", leaf_indexes=indexes, tree_size=self._size)
        proof = self._stub.BatchGetInclusionProof(request, metadata=self._metadata).inclusion_proof
        return BatchProof(tuple(proof.leaf_indexes), tuple(proof.hashes))


def _receipt(entry: Entry, claim: InclusionClaim, note: bytes) -> bytes:
    sections = [
        Section(section.salt, section.content) if section.content else None
        for section in (entry.event_section, entry.personal_section)
    ]
    return make_receipt(Receipt(entry.leaf_index, claim.proof, note, entry.leaf_bytes, *sections))
