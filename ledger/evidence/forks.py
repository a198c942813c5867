"""Evidence that a log forked, for a third party who trusts nothing but the log's key.

Two heads of one log contradict each other when they have one size and different roots, or when the leaves of the
larger one do not begin with those of the smaller. The rule that must not break: evidence accuses only if it proves
its claim by itself; whatever does not is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ledger.errors import InvalidProofError, MalformedError
from ledger.evidence.json_text import load_json
from ledger.merkle import HASH_SIZE, CompactRange
from ledger.notes import OpenedCheckpoint, Verifier, open_checkpoint

_TYPE = "logproof-fork/v1"


def format_fork_evidence(
    first: bytes,
    second: bytes,
    first_leaf_hashes: Sequence[bytes] | None = None,
    second_leaf_hashes: Sequence[bytes] | None = None,
) -> bytes:
    """Return an evidence file: JSON with both signed notes.

    Args:
        first: Signed note of one head.
        second: Signed note of the other.
        first_leaf_hashes: All leaf hashes (32 bytes each) of the first tree; needed if the sizes differ.
        second_leaf_hashes: All leaf hashes of the second tree.
    """
    evidence: dict[str, object] = {"type": _TYPE, "first_note": first.decode(), "second_note": second.decode()}
    for name, leaf_hashes in (("first_leaf_hashes", first_leaf_hashes), ("second_leaf_hashes", second_leaf_hashes)):
        if leaf_hashes is not None:
            evidence[name] = [leaf_hash.hex() for leaf_hash in leaf_hashes]
    return json.dumps(evidence, indent=1, ensure_ascii=False).encode() + b"\n"


def verify_fork_evidence(data: bytes, verifier: Verifier, *, origin: str | None = None) -> None:
    """Return if the evidence file proves that the log forked; raise otherwise.

    Args:
        data: The evidence file.
        verifier: The key of the log.
        origin: Origin of the log, where it is not the name of the key.

    Raises:
        MalformedError: The file, or a note in it, does not have its form.
        InvalidSignatureError: The log did not sign both notes.
        WrongOriginError: A note is of another log.
        InvalidProofError: The two heads do not contradict each other, or it is not shown that they do.
    """
    evidence = load_json(data, "fork evidence")
    if not isinstance(evidence, dict) or evidence.get("type") != _TYPE:
        raise MalformedError(f"fork evidence is a JSON object of type {_TYPE}")
    first, second = (
        open_checkpoint(_note(evidence.get(name)), verifier, origin) for name in ("first_note", "second_note")
    )
    _verify_contradiction(
        first, _hashes(evidence.get("first_leaf_hashes")), second, _hashes(evidence.get("second_leaf_hashes"))
    )


def fork_from_leaves(
    verifier: Verifier,
    first: bytes,
    first_leaf_hashes: Sequence[bytes],
    second: bytes,
    second_leaf_hashes: Sequence[bytes],
    *,
    origin: str | None = None,
) -> bytes:
    """Return the evidence file of two heads that contradict each other, whatever their sizes.

    Args:
        verifier: The key of the log.
        first: Signed note of one head.
        first_leaf_hashes: All leaf hashes (32 bytes each) of its tree.
        second: Signed note of the other head.
        second_leaf_hashes: All leaf hashes of its tree.
        origin: Origin of the log, where it is not the name of the key.

    Raises:
        MalformedError: A note does not have its form.
        InvalidSignatureError: The log did not sign both notes.
        WrongOriginError: A note is of another log.
        InvalidProofError: The leaf hashes do not lead to the roots, or the heads agree.
    """
    opened = [open_checkpoint(note, verifier, origin) for note in (first, second)]
    _verify_contradiction(opened[0], first_leaf_hashes, opened[1], second_leaf_hashes)
    if opened[0].checkpoint.tree_size == opened[1].checkpoint.tree_size:
        return format_fork_evidence(first, second)
    return format_fork_evidence(first, second, first_leaf_hashes, second_leaf_hashes)


def _verify_contradiction(
    first: OpenedCheckpoint,
    first_leaf_hashes: Sequence[bytes],
    second: OpenedCheckpoint,
    second_leaf_hashes: Sequence[bytes],
) -> None:
    first_head, second_head = first.checkpoint, second.checkpoint
    if first_head.tree_size == second_head.tree_size:
        if first_head.root_hash == second_head.root_hash:
            raise InvalidProofError(f"both notes have the same root for tree size {first_head.tree_size}")
        return
    for head, hashes in ((first_head, first_leaf_hashes), (second_head, second_leaf_hashes)):
        if len(hashes) != head.tree_size or CompactRange.empty().extend(hashes)[0].root() != head.root_hash:
            raise InvalidProofError(
                f"{len(hashes)} leaf hashes do not lead to the root of the head of size {head.tree_size}"
            )
    common = min(first_head.tree_size, second_head.tree_size)
    if list(first_leaf_hashes[:common]) == list(second_leaf_hashes[:common]):
        raise InvalidProofError(
            f"the heads of sizes {first_head.tree_size} and {second_head.tree_size} agree on all leaves they share"
        )


def _note(value: object) -> bytes:
    if not isinstance(value, str):
        raise MalformedError("fork evidence has both notes as text")
    return value.encode("utf-8", "surrogatepass")


def _hashes(value: object) -> list[bytes]:
    if value is None:
        return []
    try:
        if isinstance(value, list):
            hashes = [bytes.fromhex(text) for text in value]
            if [leaf_hash.hex() for leaf_hash in hashes] == value and {HASH_SIZE}.issuperset(map(len, hashes)):
                return hashes
    except (TypeError, ValueError):
        pass
    raise MalformedError("the leaf hashes of fork evidence are a list of 32 bytes each in lower-case hex")
