"""A log in memory with fixed key, salts and times, so that all that it signs and proves is the same on every run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ledger.events.commitments import commit_event, commit_personal
from ledger.events.leaf import CosignedHead, Leaf, encode_leaf, genesis_hash
from ledger.evidence import Receipt, Section, make_receipt
from ledger.merkle import CompactRange, hash_leaf, prove_consistency, prove_inclusion
from ledger.notes import Checkpoint, Ed25519Signer, sign_checkpoint

FIRST_RECORDED_AT = 1_790_000_000_000_000


class SampleLog:
    """A log that appends what it is told, false or not."""

    def __init__(self, origin: str = "log.example/sample", seed: bytes = bytes(range(32))) -> None:
        self.signer = Ed25519Signer(origin, seed)
        self.verifier = self.signer.verifier
        self.leaves: list[bytes] = []
        self.leaf_hashes: list[bytes] = []
        self.sections: list[tuple[Section, Section | None]] = []

    def append(
        self,
        event: bytes,
        personal: bytes = b"",
        *,
        previous: bytes | None = None,
        cosigned_head: CosignedHead | None = None,
    ) -> int:
        index = len(self.leaves)
        event_section = Section(_salt("event", index), event)
        personal_section = Section(_salt("personal", index), personal) if personal else None
        if previous is None:
            previous = self.leaf_hashes[-1] if index else genesis_hash(self.signer.name)
        leaf = encode_leaf(
            Leaf(
                recorded_at=FIRST_RECORDED_AT + 1_000_000 * index,
                principal=b"sample-principal",
                catalogue=1,
                previous=previous,
                event_commitment=commit_event(event_section.salt, event),
                personal_commitment=commit_personal(personal_section.salt, personal) if personal_section else None,
                cosigned_head=cosigned_head,
            )
        )
        self.leaves.append(leaf)
        self.leaf_hashes.append(hash_leaf(leaf))
        self.sections.append((event_section, personal_section))
        return index

    def root(self, size: int | None = None) -> bytes:
        return CompactRange.empty().extend(self.leaf_hashes[:size])[0].root()

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        return Checkpoint(self.signer.name, len(self.leaves) if size is None else size, self.root(size))

    def note(self, size: int | None = None) -> bytes:
        return sign_checkpoint(self.checkpoint(size), self.signer)

    def consistency(self, first_size: int, second_size: int) -> list[bytes]:
        return prove_consistency(first_size, second_size, self._read)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        return prove_inclusion(index, len(self.leaves) if size is None else size, self._read)

    def receipt(self, index: int, size: int | None = None, *, event: bool = True, personal: bool = True) -> Receipt:
        event_section, personal_section = self.sections[index]
        return Receipt(
            index,
            tuple(self.inclusion(index, size)),
            self.note(size),
            self.leaves[index],
            event_section if event else None,
            personal_section if personal else None,
        )

    def receipt_file(self, index: int, size: int | None = None, *, event: bool = True, personal: bool = True) -> bytes:
        return make_receipt(self.receipt(index, size, event=event, personal=personal))

    def _read(self, positions: Sequence[int]) -> list[bytes]:
        stored = CompactRange.empty().extend(self.leaf_hashes)[1]
        return [stored[position] for position in positions]


def _salt(kind: str, index: int) -> bytes:
    return hashlib.sha256(f"{kind} salt {index}".encode()).digest()[:16]
