"""Inclusion and consistency proofs as JSON, one or many.

The rule that must not break: such a file brings its own roots, so a proof in it is arithmetic only; and a file that
proves nothing is not a proof.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.errors import InvalidProofError, MalformedError
from ledger.evidence.json_text import load_json
from ledger.merkle import hash_leaf, verify_consistency, verify_inclusion
from ledger.notes.encoding import decode_base64

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class InclusionClaim:
    """The claim that a leaf is in a tree, with its proof.

    Attributes:
        leaf_index: Index of the leaf.
        tree_size: Number of leaves of the tree.
        leaf_hash: Leaf hash, 32 bytes.
        root_hash: Root of the tree, 32 bytes.
        proof: Sibling hashes from leaf to root, 32 bytes each.
    """

    leaf_index: int
    tree_size: int
    leaf_hash: bytes
    root_hash: bytes
    proof: tuple[bytes, ...]

    def verify(self) -> None:
        """Return if the claim holds.

        Raises:
            InvalidProofError: It does not.
        """
        verify_inclusion(self.leaf_hash, self.leaf_index, self.tree_size, self.root_hash, self.proof)


@dataclass(frozen=True, slots=True)
class ConsistencyClaim:
    """The claim that one tree is a prefix of another, with its proof.

    Attributes:
        first_size: Number of leaves of the smaller tree.
        second_size: Number of leaves of the larger tree.
        first_root: Root of the smaller tree, 32 bytes.
        second_root: Root of the larger tree, 32 bytes.
        proof: Node hashes, 32 bytes each.
    """

    first_size: int
    second_size: int
    first_root: bytes
    second_root: bytes
    proof: tuple[bytes, ...]

    def verify(self) -> None:
        """Return if the claim holds.

        Raises:
            InvalidProofError: It does not.
        """
        verify_consistency(self.first_size, self.first_root, self.second_size, self.second_root, self.proof)


@dataclass(frozen=True, slots=True)
class ProofResult:
    """What became of one claim.

    Attributes:
        number: Number of the claim in the file, from 1.
        claim: The claim.
        error: Why it does not hold; None if it does.
    """

    number: int
    claim: InclusionClaim | ConsistencyClaim
    error: InvalidProofError | None


def parse_proofs(data: bytes) -> list[InclusionClaim | ConsistencyClaim]:
    """Read the claims of a file: an object, a list, an object with the list under `proofs`, or an object per line.

    Fields that are not part of a claim are comments, a stated expectation among them.

    Args:
        data: The file, UTF-8.

    Raises:
        MalformedError: The file is none of these, holds no claim, or a claim lacks a field or has one of another type.
    """
    items = _split(data)
    if not items:
        raise MalformedError("the file holds no proof")
    return [_read_claim(item, f"proof {number}") for number, item in enumerate(items, 1)]


def verify_proofs(data: bytes) -> list[ProofResult]:
    """Verify each claim of a file and return all results; the file as a whole holds only if no result has an error.

    Args:
        data: The file, as for `parse_proofs`.

    Raises:
        MalformedError: The file cannot be read.
    """
    results = []
    for number, claim in enumerate(parse_proofs(data), 1):
        try:
            claim.verify()
        except InvalidProofError as error:
            results.append(ProofResult(number, claim, error))
        else:
            results.append(ProofResult(number, claim, None))
    return results


def format_proofs(claims: Iterable[InclusionClaim | ConsistencyClaim]) -> bytes:
    """Return the claims as JSON, hashes in hex: an object for one, a list for any other number."""
    items = [_to_json(claim) for claim in claims]
    return json.dumps(items[0] if len(items) == 1 else items, indent=1).encode() + b"\n"


def _split(data: bytes) -> list[object]:
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    if len(lines) > 1:
        try:
            load_json(lines[0][1], "")
        except MalformedError:
            pass
        else:
            return [load_json(line, f"line {number} of the file") for number, line in lines]
    whole = load_json(data, "the file")
    if isinstance(whole, dict) and "proofs" in whole:
        whole = whole["proofs"]
        if not isinstance(whole, list):
            raise MalformedError("`proofs` is not a list")
    return whole if isinstance(whole, list) else [whole]


def _read_claim(item: object, where: str) -> InclusionClaim | ConsistencyClaim:
    if not isinstance(item, dict):
        raise MalformedError(f"{where} is not an object")
    kind = item.get("type", "inclusion" if "tree_size" in item else "consistency")
    if kind == "inclusion":
        if ("leaf_hash" in item) == ("leaf_b64" in item):
            raise MalformedError(f"{where} must have one of leaf_hash and leaf_b64")
        if "leaf_hash" in item:
            leaf_hash = _hash(item["leaf_hash"], f"leaf_hash of {where}")
        else:
            leaf_hash = hash_leaf(decode_base64(_text(item["leaf_b64"], f"leaf_b64 of {where}"), f"leaf of {where}"))
        return InclusionClaim(
            _number(item, "leaf_index", where),
            _number(item, "tree_size", where),
            leaf_hash,
            _hash(item.get("root"), f"root of {where}"),
            _hashes(item, where),
        )
    if kind == "consistency":
        return ConsistencyClaim(
            _number(item, "old_size", where),
            _number(item, "new_size", where),
            _hash(item.get("old_root"), f"old_root of {where}"),
            _hash(item.get("new_root"), f"new_root of {where}"),
            _hashes(item, where),
        )
    raise MalformedError(f"{where} has type {kind!r}; the types are inclusion and consistency")


def _number(item: Mapping[str, object], name: str, where: str) -> int:
    value = item.get(name)
    if type(value) is not int:
        raise MalformedError(f"{name} of {where} is not an integer")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{what} is not text")
    return value


def _hash(value: object, what: str) -> bytes:
    # The base64 of 32 bytes ends in "=", so it is never taken for hex. A hash of another length is read, and then
    # proves nothing.
    text = _text(value, what)
    return bytes.fromhex(text) if _HEX.fullmatch(text) else decode_base64(text, what)


def _hashes(item: Mapping[str, object], where: str) -> tuple[bytes, ...]:
    # Some writers give null for an empty list.
    values = item.get("proof", "")
    if values is None:
        return ()
    if not isinstance(values, list):
        raise MalformedError(f"proof of {where} is not a list")
    return tuple(_hash(value, f"a hash of {where}") for value in values)


def _to_json(claim: InclusionClaim | ConsistencyClaim) -> dict[str, object]:
    proof = [value.hex() for value in claim.proof]
    if isinstance(claim, InclusionClaim):
        return {
            "type": "inclusion",
            "tree_size": claim.tree_size,
            "leaf_index": claim.leaf_index,
            "leaf_hash": claim.leaf_hash.hex(),
            "root": claim.root_hash.hex(),
            "proof": proof,
        }
    return {
        "type": "consistency",
        "old_size": claim.first_size,
        "new_size": claim.second_size,
        "old_root": claim.first_root.hex(),
        "new_root": claim.second_root.hex(),
        "proof": proof,
    }
