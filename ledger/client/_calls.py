"""Appends without I/O: the request that is sent, and what its answer must prove.

The rule that must not break: an acknowledgement is handed out only after the commitments were recomputed from the
bytes that the caller sent, the leaf from those, and the tree head from the leaf; where the server withholds the salts,
the outcome says that the content is not proven. What the server states beside its signed note is never used for
anything but finding the proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ledger.client._shared_proof import SharedProof
from ledger.client._told import malformed
from ledger.client.values import AppendOutcome, Sections
from ledger.errors import BatchError, ContentMismatchError, InvalidProofError, MalformedError
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.leaf import (
    EVENT_TAG,
    HASH_SIZE,
    PERSONAL_TAG,
    PREVIOUS_TAG,
    Leaf,
    decode_leaf,
    leaf_prefix,
)
from ledger.merkle.hashing import hash_leaf
from ledger.notes.checkpoint import Checkpoint
from ledger.v1 import ledger_pb2, proof_pb2

_OUTCOMES: Final = {int(outcome): outcome for outcome in AppendOutcome}
_PROVING_CONTENT: Final = frozenset(outcome for outcome in AppendOutcome if outcome.proves_content)
_ZERO_HASH: Final = bytes(HASH_SIZE)

MAX_PROOF_HASHES = 64
"""Most hashes that an inclusion or consistency proof can have."""


class Acknowledged(NamedTuple):
    """A verified acknowledgement.

    Attributes:
        outcome: What the append found.
        leaf_index: Index of the leaf.
        leaf_bytes: Its bytes, the one encoding of a leaf.
        leaf_hash: 32 bytes.
        event_salt: Salt of the event commitment, 16 bytes; empty where the outcome does not prove the content.
        personal_salt: Salt of the personal commitment, 16 bytes; empty where there is none.
    """

    outcome: AppendOutcome
    leaf_index: int
    leaf_bytes: bytes
    leaf_hash: bytes
    event_salt: bytes
    personal_salt: bytes


def append_batch_request(log: str, batch: Sequence[Sections], trusted_size: int) -> ledger_pb2.AppendBatchRequest:
    """Return the request for several events, asking for all that is needed to verify the answer."""
    return ledger_pb2.AppendBatchRequest(
        log=log, sections=[_message(item) for item in batch], options=_options(trusted_size)
    )


def append_events_request(log: str, events: Sequence[Sections], trusted_size: int) -> ledger_pb2.AppendStreamRequest:
    """Return the message of a stream for events that are decided each for itself."""
    return ledger_pb2.AppendStreamRequest(
        log=log, events=[_message(item) for item in events], options=_options(trusted_size)
    )


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
    return verify_acknowledgements(batch, answers, response.inclusion_proof, checkpoint, new_ids=new_ids)


def verify_acknowledgements(
    batch: Sequence[Sections],
    answers: Sequence[ledger_pb2.Acknowledgement],
    inclusion_proof: proof_pb2.BatchInclusionProof,
    checkpoint: Checkpoint,
    *,
    new_ids: Sequence[bool],
) -> tuple[list[Acknowledged], SharedProof]:
    """Verify the acknowledgements of several events and the proof that they share.

    Args:
        batch: What was sent, at least one.
        answers: The acknowledgement of each.
        inclusion_proof: The proof; only its hashes are looked at.
        checkpoint: The checkpoint that came with it, its signature verified.
        new_ids: For each event, whether its id was made for this append.

    Raises:
        VerificationError: Something in the answers does not hold.
    """
    acknowledged: list[Acknowledged] = []
    # The entries of one commit begin alike, so after the first there is little that has to be read.
    beginning = b""
    for sections, answer, new_id in zip(batch, answers, new_ids, strict=True):
        item = _like_the_last(sections, answer, beginning) if beginning else None
        if item is None:
            item, beginning = _verify_acknowledgement(sections, answer, new_id=new_id)
        acknowledged.append(item)
    leaf_hashes: dict[int, bytes] = {}
    for item in acknowledged:
        if leaf_hashes.setdefault(item.leaf_index, item.leaf_hash) != item.leaf_hash:
            raise ContentMismatchError(f"two different leaves are acknowledged at leaf index {item.leaf_index}")
    proof = SharedProof(leaf_hashes, checkpoint.tree_size, checkpoint.root_hash, inclusion_proof.hashes)
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


def _like_the_last(sections: Sections, answer: ledger_pb2.Acknowledgement, beginning: bytes) -> Acknowledged | None:
    """Return the acknowledgement of an event whose leaf is all that it must be; None where it takes a closer look.

    Such a leaf is the beginning, a hash that is not zero, and the commitments to what was sent. It is accepted without
    being taken apart exactly where `_verify_acknowledgement` accepts it.

    Args:
        sections: What was sent.
        answer: The acknowledgement.
        beginning: Bytes of a good leaf up to its previous leaf hash.
    """
    outcome = _OUTCOMES.get(answer.outcome)
    event_salt, personal_salt, personal = answer.event_salt, answer.personal_salt, sections.personal
    if (
        outcome not in _PROVING_CONTENT
        or len(event_salt) != SALT_SIZE
        or len(personal_salt) != (SALT_SIZE if personal else 0)
    ):
        return None
    rest = EVENT_TAG + commit_event(event_salt, sections.event)
    if personal:
        rest += PERSONAL_TAG + commit_personal(personal_salt, personal)
    leaf = answer.leaf
    begin = len(beginning)
    end = begin + HASH_SIZE
    if not leaf.startswith(beginning) or leaf[end:] != rest or leaf[begin:end] == _ZERO_HASH:
        return None
    return Acknowledged(outcome, answer.leaf_index, leaf, hash_leaf(leaf), event_salt, personal_salt)


def _verify_acknowledgement(
    sections: Sections, answer: ledger_pb2.Acknowledgement, *, new_id: bool
) -> tuple[Acknowledged, bytes]:
    """Return the acknowledgement, and the bytes of its leaf up to the previous leaf hash."""
    outcome = _OUTCOMES.get(answer.outcome)
    if outcome is None:
        raise ContentMismatchError(f"the server acknowledges with the unknown outcome {answer.outcome}")
    leaf_bytes = answer.leaf
    try:
        leaf = decode_leaf(leaf_bytes)
    except MalformedError as error:
        raise malformed("leaf", error) from error
    beginning = leaf_prefix(leaf.recorded_at, leaf.principal, leaf.catalogue) + PREVIOUS_TAG
    leaf_hash = hash_leaf(leaf_bytes)
    if outcome not in _PROVING_CONTENT:
        if new_id:
            raise ContentMismatchError(
                f"the server answers {outcome.name} to an event id that was made for this append",
                hint="it did not store the event that was sent",
            )
        return Acknowledged(outcome, answer.leaf_index, leaf_bytes, leaf_hash, b"", b""), beginning
    _check_commitments(sections, answer, leaf)
    acknowledged = Acknowledged(
        outcome, answer.leaf_index, leaf_bytes, leaf_hash, answer.event_salt, answer.personal_salt
    )
    return acknowledged, beginning


def _check_commitments(sections: Sections, answer: ledger_pb2.Acknowledgement, leaf: Leaf) -> None:
    event_salt, personal_salt = answer.event_salt, answer.personal_salt
    problem = ""
    if len(event_salt) != SALT_SIZE:
        problem = f"comes with an event salt of {len(event_salt)} bytes"
    elif commit_event(event_salt, sections.event) != leaf.event_commitment:
        problem = "does not commit to the event that was sent"
    elif not sections.personal:
        if leaf.personal_commitment is not None or personal_salt:
            problem = "has a personal section, and none was sent"
    elif len(personal_salt) != SALT_SIZE:
        problem = f"comes with a personal salt of {len(personal_salt)} bytes"
    elif commit_personal(personal_salt, sections.personal) != leaf.personal_commitment:
        problem = "does not commit to the personal data that was sent"
    if problem:
        raise ContentMismatchError(f"the leaf acknowledged at index {answer.leaf_index} {problem}")


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


def check_refusal(refused: BatchError, batch_size: int) -> None:
    """Return if a refusal is of the batch that was sent; raise otherwise.

    Args:
        refused: What the server refused, ascending by position.
        batch_size: How many events were sent.

    Raises:
        ContentMismatchError: It refuses what was not sent.
    """
    last = refused.problems[-1].position
    if last >= batch_size:
        raise ContentMismatchError(f"{batch_size} events were sent, and the server refuses one at position {last}")
