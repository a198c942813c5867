"""Appends without I/O: the request that is sent, and what its answer must prove.

The rule that must not break: an acknowledgement is handed out only after the commitments were recomputed from the
bytes that the caller sent, the leaf from those, and the tree head from the leaf; where the server withholds the salts,
the outcome says that the content is not proven. What the server states beside its signed note is never used for
anything but finding the proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.client._shared_proof import SharedProof
from ledger.client._told import told_by_server
from ledger.client.values import AppendOutcome, Sections
from ledger.errors import ContentMismatchError, InvalidProofError
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.leaf import Leaf, decode_leaf
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.verify import verify_inclusion
from ledger.notes.checkpoint import Checkpoint
from ledger.v1 import ledger_pb2, proof_pb2

MAX_PROOF_HASHES = 64
"""Most hashes that an inclusion or consistency proof can have."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A verified acknowledgement.

    Attributes:
        outcome: What the append found.
        leaf_index: Index of the leaf.
        leaf: The leaf.
        leaf_bytes: Its bytes.
        leaf_hash: 32 bytes.
        event_salt: Salt of the event commitment, 16 bytes; empty where the outcome does not prove the content.
        personal_salt: Salt of the personal commitment, 16 bytes; empty where there is none.
    """

    outcome: AppendOutcome
    leaf_index: int
    leaf: Leaf
    leaf_bytes: bytes
    leaf_hash: bytes
    event_salt: bytes
    personal_salt: bytes


def append_request(log: str, sections: Sections, trusted_size: int) -> ledger_pb2.AppendRequest:
    """Return the request for one event, asking for all that is needed to verify the answer."""
    return ledger_pb2.AppendRequest(log=log, sections=_message(sections), options=_options(trusted_size))


def append_batch_request(log: str, batch: Sequence[Sections], trusted_size: int) -> ledger_pb2.AppendBatchRequest:
    """Return the request for several events, asking for all that is needed to verify the answer."""
    return ledger_pb2.AppendBatchRequest(
        log=log, sections=[_message(item) for item in batch], options=_options(trusted_size)
    )


def verify_append(
    sections: Sections, response: ledger_pb2.AppendResponse, checkpoint: Checkpoint, *, new_id: bool
) -> tuple[Acknowledged, tuple[bytes, ...]]:
    """Verify the answer to one append.

    Args:
        sections: What was sent.
        response: What came back.
        checkpoint: The response's checkpoint, its signature verified.
        new_id: Whether the event id was made for this append, so that nobody else can have used it.

    Returns:
        The acknowledgement and its inclusion proof.

    Raises:
        VerificationError: Something in the answer does not hold.
    """
    acknowledged = _verify_acknowledgement(sections, response.acknowledgement, new_id=new_id)
    hashes = tuple(response.inclusion_proof.hashes)
    verify_inclusion(
        acknowledged.leaf_hash, acknowledged.leaf_index, checkpoint.tree_size, checkpoint.root_hash, hashes
    )
    return acknowledged, hashes


def verify_append_batch(
    batch: Sequence[Sections],
    response: ledger_pb2.AppendBatchResponse,
    checkpoint: Checkpoint,
    *,
    new_ids: Sequence[bool],
) -> tuple[list[Acknowledged], SharedProof]:
    """Verify the answer to a batch.

    Args:
        batch: What was sent, at least one.
        response: What came back.
        checkpoint: The response's checkpoint, its signature verified.
        new_ids: For each event, whether its id was made for this append.

    Returns:
        The acknowledgements in order, and the proof that they share.

    Raises:
        VerificationError: Something in the answer does not hold.
    """
    answers = response.acknowledgements
    if len(answers) != len(batch):
        raise ContentMismatchError(f"{len(batch)} events were sent and {len(answers)} acknowledged")
    acknowledged = [
        _verify_acknowledgement(sections, answer, new_id=new_id)
        for sections, answer, new_id in zip(batch, answers, new_ids, strict=True)
    ]
    leaf_hashes: dict[int, bytes] = {}
    for item in acknowledged:
        if leaf_hashes.setdefault(item.leaf_index, item.leaf_hash) != item.leaf_hash:
            raise ContentMismatchError(f"two different leaves are acknowledged at leaf index {item.leaf_index}")
    proof = SharedProof(leaf_hashes, checkpoint.tree_size, checkpoint.root_hash, response.inclusion_proof.hashes)
    return acknowledged, proof


def consistency_hashes(proof: proof_pb2.ConsistencyProof) -> tuple[bytes, ...]:
    """Return the hashes of a consistency proof, at most 64.

    Raises:
        InvalidProofError: There are more than any proof has.
    """
    if len(proof.hashes) > MAX_PROOF_HASHES:
        raise InvalidProofError(f"a proof has {len(proof.hashes)} hashes; none has more than {MAX_PROOF_HASHES}")
    return tuple(proof.hashes)


def _message(sections: Sections) -> ledger_pb2.EventSections:
    return ledger_pb2.EventSections(event=sections.event, personal=sections.personal)


def _options(trusted_size: int) -> ledger_pb2.AppendOptions:
    return ledger_pb2.AppendOptions(
        ack_level=ledger_pb2.ACK_LEVEL_INTEGRATED, include_inclusion_proof=True, trusted_tree_size=trusted_size
    )


def _verify_acknowledgement(sections: Sections, answer: ledger_pb2.Acknowledgement, *, new_id: bool) -> Acknowledged:
    try:
        outcome = AppendOutcome(answer.outcome)
    except ValueError:
        raise ContentMismatchError(f"the server acknowledges with the unknown outcome {answer.outcome}") from None
    with told_by_server("leaf"):
        leaf = decode_leaf(answer.leaf)
    leaf_hash = hash_leaf(answer.leaf)
    if not outcome.proves_content:
        if new_id:
            raise ContentMismatchError(
                f"the server answers {outcome.name} to an event id that was made for this append",
                hint="it did not store the event that was sent",
            )
        return Acknowledged(outcome, answer.leaf_index, leaf, answer.leaf, leaf_hash, b"", b"")
    _check_commitments(sections, answer, leaf)
    return Acknowledged(
        outcome, answer.leaf_index, leaf, answer.leaf, leaf_hash, answer.event_salt, answer.personal_salt
    )


def _check_commitments(sections: Sections, answer: ledger_pb2.Acknowledgement, leaf: Leaf) -> None:
    where = f"the leaf acknowledged at index {answer.leaf_index}"
    if len(answer.event_salt) != SALT_SIZE:
        raise ContentMismatchError(f"{where} comes with an event salt of {len(answer.event_salt)} bytes")
    if commit_event(answer.event_salt, sections.event) != leaf.event_commitment:
        raise ContentMismatchError(f"{where} does not commit to the event that was sent")
    if not sections.personal:
        if leaf.personal_commitment is not None or answer.personal_salt:
            raise ContentMismatchError(f"{where} has a personal section, and none was sent")
        return
    if len(answer.personal_salt) != SALT_SIZE:
        raise ContentMismatchError(f"{where} comes with a personal salt of {len(answer.personal_salt)} bytes")
    if commit_personal(answer.personal_salt, sections.personal) != leaf.personal_commitment:
        raise ContentMismatchError(f"{where} does not commit to the personal data that was sent")


def check_places(event_ids: Sequence[str], leaf_indexes: Sequence[int]) -> None:
    """Return if different events have different places; raise otherwise.

    Raises:
        ContentMismatchError: Two event ids were acknowledged at one index.
    """
    seen: dict[int, str] = {}
    for event_id, index in zip(event_ids, leaf_indexes, strict=True):
        if seen.setdefault(index, event_id) != event_id:
            raise ContentMismatchError(
                f"the events {seen[index]} and {event_id} were both acknowledged as entry {index}"
            )
