"""Many receipts at once: each head's signature is checked once, and of their proofs only what differs.

The rule that must not break: a receipt is accepted exactly where `verify_receipt` accepts its place and commitments;
what a section says is not read here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ledger.errors import ContentMismatchError
from ledger.events.commitments import commit_event, commit_personal
from ledger.events.leaf import Leaf, decode_leaf
from ledger.evidence.receipts import Receipt, Section, check_place, parse_receipt
from ledger.merkle import InclusionVerifier, hash_leaf
from ledger.notes import Checkpoint, Verifier, open_checkpoint


class ProvenReceipt(NamedTuple):
    """What a receipt proves without its content being read.

    Attributes:
        leaf_index: Index of the entry.
        checkpoint: The signed head that covers it.
        leaf: The entry's leaf.
        event: Event section, which is the one that the leaf commits to; None if it is not shown.
        personal: Personal section, likewise; None if there is none or it is not shown.
    """

    leaf_index: int
    checkpoint: Checkpoint
    leaf: Leaf
    event: Section | None
    personal: Section | None


def verify_receipts(
    receipts: Iterable[bytes | Receipt], verifier: Verifier, *, origin: str | None = None
) -> list[ProvenReceipt]:
    """Verify receipts of one log, and return what they prove in their order; raise at the first that does not hold.

    Sections are proven to be those that were appended. To read one, use `ledger.events.wire`, or `verify_receipt`.

    Args:
        receipts: Receipt files, or parsed receipts; best with few different heads.
        verifier: The key of the log, pinned.
        origin: Origin of the log, where it is not the name of the key.

    Raises:
        MalformedError: A file, its checkpoint or its leaf does not have its form.
        InvalidSignatureError: The log did not sign a checkpoint.
        WrongOriginError: A checkpoint is of another log.
        InvalidProofError: A leaf is not in the tree at its index.
        ContentMismatchError: A section is not what its leaf commits to, or a leaf is not one for its index.
    """
    heads: dict[bytes, tuple[Checkpoint, InclusionVerifier]] = {}
    proven: list[ProvenReceipt] = []
    for item in receipts:
        receipt = parse_receipt(item) if isinstance(item, bytes) else item
        head = heads.get(receipt.checkpoint_note)
        if head is None:
            checkpoint = open_checkpoint(receipt.checkpoint_note, verifier, origin).checkpoint
            head = checkpoint, InclusionVerifier(checkpoint.tree_size, checkpoint.root_hash)
            heads[receipt.checkpoint_note] = head
        proven.append(_prove(receipt, *head))
    return proven


def _prove(receipt: Receipt, checkpoint: Checkpoint, inclusion: InclusionVerifier) -> ProvenReceipt:
    leaf = decode_leaf(receipt.leaf)
    inclusion.verify(hash_leaf(receipt.leaf), receipt.leaf_index, receipt.hashes)
    check_place(leaf, receipt, checkpoint)
    event, personal = receipt.event, receipt.personal
    if event is not None and commit_event(event.salt, event.content) != leaf.event_commitment:
        raise ContentMismatchError(f"the event section of index {receipt.leaf_index} is not the one of its leaf")
    if personal is not None and commit_personal(personal.salt, personal.content) != leaf.personal_commitment:
        raise ContentMismatchError(f"the personal section of index {receipt.leaf_index} is not the one of its leaf")
    return ProvenReceipt(receipt.leaf_index, checkpoint, leaf, event, personal)
