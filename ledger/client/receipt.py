"""What an append returns: the proof that an event is in the log, which can be saved and verified anywhere.

The rule that must not break: a receipt exists only for an acknowledgement that was verified, and what it saves
verifies offline with the log's key alone. Whether that includes the content, `proves_content` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ledger.client._shared_proof import SharedProof
from ledger.client.state import write_atomically
from ledger.client.trust import Head
from ledger.client.values import AppendOutcome, Sections
from ledger.errors import ContentUnprovenError
from ledger.events.leaf import Leaf, decode_leaf
from ledger.evidence.levels import Level
from ledger.evidence.receipts import Receipt as ReceiptContent
from ledger.evidence.receipts import Section, VerifiedReceipt, make_receipt, verify_receipt
from ledger.notes.checkpoint import Checkpoint
from ledger.notes.note import Verifier

_RECEIPT_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Receipt:
    """A verified acknowledgement of one event.

    Attributes:
        event_id: Id of the event.
        outcome: Whether it was appended now, or was in the log already.
        leaf_index: Index of its leaf.
        leaf_bytes: The leaf's bytes, which were hashed.
        head: The verified head that covers it.
        sections: What was sent.
        event_salt: Salt of the event commitment, 16 bytes; empty where the server withholds it.
        personal_salt: Salt of the personal commitment, 16 bytes; empty where there is none.
    """

    event_id: str
    outcome: AppendOutcome
    leaf_index: int
    leaf_bytes: bytes
    head: Head
    sections: Sections = field(repr=False)
    event_salt: bytes = field(repr=False)
    personal_salt: bytes = field(repr=False)
    _proof: tuple[bytes, ...] | SharedProof = field(repr=False)
    _verifier: Verifier = field(repr=False)

    @property
    def leaf(self) -> Leaf:
        """The leaf, read from its bytes: few who append look at it."""
        return decode_leaf(self.leaf_bytes)

    @property
    def checkpoint(self) -> Checkpoint:
        """The verified checkpoint that covers the entry."""
        return self.head.checkpoint

    @property
    def level(self) -> Level:
        """What the verification rests on."""
        return self.head.level

    @property
    def proves_content(self) -> bool:
        """Whether the leaf is proven to hold the bytes that were sent.

        It is not where the server says that the event was there already and withholds the salts: written by another
        principal, expired, or imported under another mapping. Then only the leaf's place in the log is proven; that
        the leaf is of this event at all is the server's word.
        """
        return self.outcome.proves_content

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Inclusion proof: sibling hashes from leaf to root, 32 bytes each."""
        return self._proof.inclusion(self.leaf_index) if isinstance(self._proof, SharedProof) else self._proof

    def to_tlog_proof(self, *, include_personal: bool = False) -> bytes:
        """Return the receipt as a C2SP tlog-proof file that verifies offline.

        Args:
            include_personal: Whether to show the personal section. Erasure in the log does not reach a copy.
        """
        shows_event = self.proves_content
        shows_personal = shows_event and include_personal and bool(self.sections.personal)
        return make_receipt(
            ReceiptContent(
                self.leaf_index,
                self.hashes,
                self.head.note,
                self.leaf_bytes,
                Section(self.event_salt, self.sections.event) if shows_event else None,
                Section(self.personal_salt, self.sections.personal) if shows_personal else None,
            )
        )

    def save(self, path: str | Path, *, include_personal: bool = False) -> None:
        """Write the receipt to a file, by habit named `.tlog-proof`; durable when it returns.

        Args:
            path: The file; replaced where it exists.
            include_personal: Whether to show the personal section. Erasure in the log does not reach a copy.

        Raises:
            OSError: The file cannot be written.
        """
        write_atomically(Path(path), self.to_tlog_proof(include_personal=include_personal), _RECEIPT_MODE)

    def verify(self) -> VerifiedReceipt:
        """Verify the receipt once more from its saved form alone, as anyone with the log's key can.

        Raises:
            VerificationError: It does not hold.
        """
        return verify_receipt(self.to_tlog_proof(include_personal=True), self._verifier)


def require_content(receipts: Sequence[Receipt]) -> None:
    """Return if each receipt proves its content.

    Args:
        receipts: The receipts of one call, in the order of its events.

    Raises:
        ContentUnprovenError: One does not; carries all.
    """
    unproven = [receipt for receipt in receipts if not receipt.proves_content]
    if not unproven:
        return
    first = unproven[0]
    how_many = f"; so it is for {len(unproven)} of {len(receipts)} events" if len(receipts) > 1 else ""
    raise ContentUnprovenError(
        f"the server answers {first.outcome.name} for the event id {first.event_id}: the leaf that it names, at leaf "
        f"index {first.leaf_index}, is in the log, but nothing proves that it holds what was sent{how_many}",
        hint="read that entry with a credential that may, and compare; or allow such receipts with allow_unproven=True",
        metadata={"eventId": first.event_id, "leafIndex": str(first.leaf_index), "outcome": first.outcome.name},
        receipt=first,
        receipts=receipts,
    )
