"""Many entries or proofs at once, all verified under one head.

The rule that must not break: one signature and one proof stand for what was asked for, so nothing of it is handed out
of which anything does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ledger.client._reading import Reading
from ledger.client._reads import ReadEntry, read_entry
from ledger.client._shared_proof import SharedProof
from ledger.client.trust import Head
from ledger.client.values import Entry, EntryView, InclusionProof
from ledger.errors import ContentMismatchError, FieldViolation, InvalidRequestError
from ledger.v1 import ledger_pb2

_CALL_INDEXES: Final = 1_000  # the server's limit
_INDEX_LIMIT: Final = 1 << 63


class ReadingMany(Reading):
    """The reading half of a client, with many entries or proofs at once."""

    def get_batch(
        self, leaf_indexes: Sequence[int], *, view: EntryView = EntryView.EVENT, allow_incomplete: bool = False
    ) -> list[Entry]:
        """Return the entries of these indexes in the order asked for, each verified, all under one head.

        Args:
            leaf_indexes: Their indexes, in any order, any number, repeats included.
            view: Which parts; personal data needs a credential with the personal grant.
            allow_incomplete: Whether entries will do of which a section that was asked for is not shown, see `get`.

        Raises:
            IndexBeyondTreeError: An index is beyond the tree.
            IncompleteEvidenceError: A section that was asked for is not shown.
            VerificationError: Something in the answers does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        entries = self._read_many(leaf_indexes, view, allow_incomplete=allow_incomplete)
        if not entries:
            return []
        head, _ = self._prove_many({index: entry.leaf_hash for index, entry in entries.items()}, 0)
        return [entries[index].under(head) for index in leaf_indexes]

    def prove_many(self, leaf_indexes: Sequence[int], *, tree_size: int = 0) -> list[InclusionProof]:
        """Return verified inclusion proofs of many leaves, all under one head.

        Args:
            leaf_indexes: Indexes of the leaves, in any order, any number.
            tree_size: Tree size that the proofs lead to; 0 for the newest.

        Raises:
            IndexBeyondTreeError: An index or the size is beyond the tree.
            PermissionMissingError: The credential may not read leaves.
            VerificationError: A proof does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        entries = self._read_many(leaf_indexes, EntryView.LEAF, allow_incomplete=False)
        if not entries:
            return []
        head, proofs = self._prove_many({index: entry.leaf_hash for index, entry in entries.items()}, tree_size)
        return [
            InclusionProof(index, entry.leaf_bytes, entry.leaf_hash, proofs[index].inclusion(index), head)
            for index, entry in ((index, entries[index]) for index in leaf_indexes)
        ]

    def _read_many(
        self, leaf_indexes: Sequence[int], view: EntryView, *, allow_incomplete: bool
    ) -> dict[int, ReadEntry]:
        """Return the entry of each index once, its sections checked against its leaf."""
        wanted = sorted(set(leaf_indexes))
        if wanted and not 0 <= wanted[0] <= wanted[-1] < _INDEX_LIMIT:
            raise InvalidRequestError(
                [FieldViolation("leaf_indexes", f"go from {wanted[0]} to {wanted[-1]}; indexes count from 0")]
            )
        entries: dict[int, ReadEntry] = {}
        while wanted:
            given = self._read_batch(wanted[:_CALL_INDEXES], view, allow_incomplete=allow_incomplete)
            entries.update((entry.leaf_index, entry) for entry in given)
            wanted = wanted[len(given) :]
        return entries

    def _read_batch(self, leaf_indexes: Sequence[int], view: EntryView, *, allow_incomplete: bool) -> list[ReadEntry]:
        """Return the entries of these indexes, as many of the first as fit into an answer; at least one."""
        request = ledger_pb2.BatchGetEntriesRequest(
            log=self.log, leaf_indexes=leaf_indexes, view=ledger_pb2.EntryView.ValueType(view)
        )
        response = self._connection.call(lambda stubs: stubs.ledger.BatchGetEntries, request)
        batch = [read_entry(entry, view, allow_incomplete=allow_incomplete) for entry in response.entries]
        shown = [entry.leaf_index for entry in batch]
        if not batch or shown != list(leaf_indexes[: len(batch)]):
            raise ContentMismatchError(f"entries from {leaf_indexes[0]} on were asked for, and entries {shown} given")
        return batch

    def _prove_many(self, leaf_hashes: Mapping[int, bytes], tree_size: int) -> tuple[Head, dict[int, SharedProof]]:
        """Return the head that covers the leaves, and for each the proof that it shares with its neighbours."""
        indexes = list(leaf_hashes)
        proofs: dict[int, SharedProof] = {}
        head: Head | None = None
        trusted_size = self._trust.tree_size
        for start in range(0, len(indexes), _CALL_INDEXES):
            asked = indexes[start : start + _CALL_INDEXES]
            size = tree_size if head is None else head.checkpoint.tree_size
            request = ledger_pb2.BatchGetInclusionProofRequest(log=self.log, leaf_indexes=asked, tree_size=size)
            response = self._connection.call(lambda stubs: stubs.ledger.BatchGetInclusionProof, request)
            shown = self.accept(response.checkpoint)
            checkpoint = shown.checkpoint
            if size and checkpoint.tree_size != size:
                raise ContentMismatchError(
                    f"a proof for tree size {size} was asked for, and one for {checkpoint.tree_size} given"
                )
            proof = SharedProof(
                {index: leaf_hashes[index] for index in asked},
                checkpoint.tree_size,
                checkpoint.root_hash,
                response.inclusion_proof.hashes,
            )
            proofs.update(dict.fromkeys(asked, proof))
            head = head or (shown if tree_size else self.mark_stale(shown, trusted_size))
        assert head is not None
        return head, proofs
