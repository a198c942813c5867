"""Checkpoints and proofs.

The rule that must not break: a proof is made from one snapshot and comes with the signed head that it leads to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ledger.auth.roles import Permission
from ledger.engine.reader import LogReader, View
from ledger.errors import IndexBeyondTreeError, PermissionMissingError, PublicationBehindError
from ledger.rpc.binding import Call, Later
from ledger.rpc.checks import RequestChecks
from ledger.rpc.convert import checkpoint_message
from ledger.rpc.entries import check_entry, find_entry
from ledger.rpc.parts import Parts
from ledger.v1 import ledger_pb2, proof_pb2

MAX_PUBLICATION_WAIT_SECONDS: Final = 10.0
"""How long a call waits for a published size."""

# The publisher may see a commit before its head is signed; that takes milliseconds.
_SIGNING_SECONDS = 1.0
_KINDS = frozenset(ledger_pb2.HeadKind.values())
_US_PER_SECOND = 1_000_000
R = TypeVar("R")


class Proofs:
    """Serves checkpoints and proofs."""

    def __init__(self, parts: Parts) -> None:
        """Keep the parts."""
        self._parts = parts

    # Checkpoints

    def get_checkpoint(
        self, call: Call, request: ledger_pb2.GetCheckpointRequest
    ) -> ledger_pb2.GetCheckpointResponse | Later[ledger_pb2.GetCheckpointResponse]:
        """Return a committed or published head."""
        checks = RequestChecks()
        checks.known("kind", request.kind, _KINDS)
        for field in ("tree_size", "consistent_from", "at_least"):
            checks.index(field, getattr(request, field))
        is_published = request.kind == ledger_pb2.HEAD_KIND_PUBLISHED
        if request.at_least and not is_published:
            checks.refuse("at_least", "is for the published head; every size up to the newest is committed")
        if request.tree_size and request.consistent_from > request.tree_size:
            checks.refuse("consistent_from", f"is {request.consistent_from}, above tree_size {request.tree_size}")
        checks.finish()
        if is_published:
            return lambda: self._published(call, request)
        return self._read(request.log, lambda reader: _checkpoint(reader, request, request.tree_size))

    async def _published(
        self, call: Call, request: ledger_pb2.GetCheckpointRequest
    ) -> ledger_pb2.GetCheckpointResponse:
        now = self._parts.clock.boottime_us()
        seconds = min((call.wait_until(now) - now) / _US_PER_SECOND, MAX_PUBLICATION_WAIT_SECONDS)
        # A log begins with its own entry, so a published size of 0 says that nothing is known yet.
        size = await self._parts.published.wait(request.log, max(request.at_least, 1), seconds)

        def read(reader: LogReader) -> ledger_pb2.GetCheckpointResponse:
            newest = min(size, reader.head.tree_size)
            if newest < max(request.at_least, 1):
                raise PublicationBehindError(
                    f"the published head has size {newest}, not yet {request.at_least}", hint="retry after a pause"
                )
            if request.tree_size > newest:
                raise IndexBeyondTreeError(
                    f"tree size {request.tree_size} is beyond the published head, whose size is {newest}",
                    hint="wait for it with at_least",
                    metadata={"treeSize": str(request.tree_size), "newestTreeSize": str(newest)},
                )
            return _checkpoint(reader, request, request.tree_size or newest)

        return await self._parts.workers.run(lambda: self._read_grown(request.log, size, read))

    def _read_grown(self, log: str, tree_size: int, work: Callable[[LogReader], R]) -> R:
        with self._parts.registry.use(log) as opened:
            opened.wait_for_growth(tree_size - 1, _SIGNING_SECONDS)
            with opened.read() as reader:
                return work(reader)

    # Proofs

    def get_inclusion_proof(
        self, call: Call, request: ledger_pb2.GetInclusionProofRequest
    ) -> ledger_pb2.GetInclusionProofResponse:
        """Return the inclusion proof of one leaf; the leaf too, for those who may read leaves."""
        checks = RequestChecks()
        check_entry(checks, request)
        checks.index("tree_size", request.tree_size)
        checks.finish()
        shows_leaf = self._may_read_leaves(call, request.log)

        def prove(reader: LogReader) -> ledger_pb2.GetInclusionProofResponse:
            index = find_entry(reader, request)
            head = reader.checkpoint(request.tree_size)
            hashes = reader.inclusion_proof(index, head.tree_size)
            return ledger_pb2.GetInclusionProofResponse(
                inclusion_proof=proof_pb2.InclusionProof(leaf_index=index, tree_size=head.tree_size, hashes=hashes),
                leaf=reader.entry(index, View.LEAF).leaf if shows_leaf else b"",
                checkpoint=checkpoint_message(head),
            )

        return self._read(request.log, prove)

    def batch_get_inclusion_proof(
        self, _call: Call, request: ledger_pb2.BatchGetInclusionProofRequest
    ) -> ledger_pb2.BatchGetInclusionProofResponse:
        """Return one inclusion proof for several leaves."""
        checks = RequestChecks()
        checks.indexes("leaf_indexes", request.leaf_indexes, ascending=True)
        checks.index("tree_size", request.tree_size)
        checks.finish()

        def prove(reader: LogReader) -> ledger_pb2.BatchGetInclusionProofResponse:
            head = reader.checkpoint(request.tree_size)
            indexes = list(request.leaf_indexes)
            hashes = reader.batch_inclusion_proof(indexes, head.tree_size)
            return ledger_pb2.BatchGetInclusionProofResponse(
                inclusion_proof=proof_pb2.BatchInclusionProof(
                    leaf_indexes=indexes, tree_size=head.tree_size, hashes=hashes
                ),
                checkpoint=checkpoint_message(head),
            )

        return self._read(request.log, prove)

    def get_range_proof(
        self, _call: Call, request: ledger_pb2.GetRangeProofRequest
    ) -> ledger_pb2.GetRangeProofResponse:
        """Return the proof that a range of leaves is complete."""
        checks = RequestChecks()
        checks.range(request.begin, request.end)
        checks.index("tree_size", request.tree_size)
        checks.finish()

        def prove(reader: LogReader) -> ledger_pb2.GetRangeProofResponse:
            head = reader.checkpoint(request.tree_size)
            hashes = reader.range_proof(request.begin, request.end, head.tree_size)
            return ledger_pb2.GetRangeProofResponse(
                range_proof=proof_pb2.RangeProof(
                    begin=request.begin, end=request.end, tree_size=head.tree_size, hashes=hashes
                ),
                checkpoint=checkpoint_message(head),
            )

        return self._read(request.log, prove)

    def get_consistency_proof(
        self, _call: Call, request: ledger_pb2.GetConsistencyProofRequest
    ) -> ledger_pb2.GetConsistencyProofResponse:
        """Return the proof that one tree is a prefix of another."""
        checks = RequestChecks()
        checks.size("first_size", request.first_size)
        checks.index("second_size", request.second_size)
        if request.second_size and request.first_size > request.second_size:
            checks.refuse("first_size", f"is {request.first_size}, above second_size {request.second_size}")
        checks.finish()

        def prove(reader: LogReader) -> ledger_pb2.GetConsistencyProofResponse:
            head = reader.checkpoint(request.second_size)
            return ledger_pb2.GetConsistencyProofResponse(
                consistency_proof=_consistency(reader, request.first_size, head.tree_size),
                checkpoint=checkpoint_message(head),
            )

        return self._read(request.log, prove)

    # Parts

    def _read(self, log: str, work: Callable[[LogReader], R]) -> R:
        with self._parts.registry.use(log) as opened, opened.read() as reader:
            return work(reader)

    def _may_read_leaves(self, call: Call, log: str) -> bool:
        try:
            self._parts.access.authorise(call.caller, log, Permission.READ_LEAVES)
        except PermissionMissingError:
            return False
        return True


def _checkpoint(
    reader: LogReader, request: ledger_pb2.GetCheckpointRequest, tree_size: int
) -> ledger_pb2.GetCheckpointResponse:
    head = reader.checkpoint(tree_size)
    response = ledger_pb2.GetCheckpointResponse(checkpoint=checkpoint_message(head))
    if request.consistent_from:
        response.consistency_proof.CopyFrom(_consistency(reader, request.consistent_from, head.tree_size))
    return response


def _consistency(reader: LogReader, first_size: int, second_size: int) -> proof_pb2.ConsistencyProof:
    hashes = reader.consistency_proof(first_size, second_size)
    return proof_pb2.ConsistencyProof(first_size=first_size, second_size=second_size, hashes=hashes)
