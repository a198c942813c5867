"""The text form of an offline inclusion proof: index, hashes, checkpoint, and data of the application.

The rule that must not break: every line is read and has one spelling, and nothing in the extra data is believed: it is
not signed, and counts only once its hash is proven to be in the tree.

Source: C2SP tlog-proof v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ledger.errors import MalformedError
from ledger.merkle import HASH_SIZE, MAX_TREE_SIZE
from ledger.notes.encoding import decode_base64, encode_base64, parse_decimal

_HEADER = "c2sp.org/tlog-proof@v1"
_EXTRA = "extra "
_INDEX = "index "
# ceil(log2) of the largest tree size.
_MAX_HASHES = 63
# Proofs of neighbours have most of their hashes in common; about 200 kB.
_HASHES_KEPT = 1024
_ONE_SIZE = frozenset({HASH_SIZE})


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as it is written; nothing of it is verified.

    Attributes:
        leaf_index: Index of the leaf, 0 to 2**63 - 1.
        hashes: Sibling hashes from leaf to root, 32 bytes each, at most 63.
        checkpoint_note: Signed checkpoint, not empty; any text here.
        extra: Data of the application, not empty; None if there is none.
    """

    leaf_index: int
    hashes: tuple[bytes, ...]
    checkpoint_note: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse what has no text form."""
        if not 0 <= self.leaf_index <= MAX_TREE_SIZE:
            raise MalformedError(f"the leaf index of a proof is {self.leaf_index}; the limits are 0 and 2**63 - 1")
        if len(self.hashes) > _MAX_HASHES or not _ONE_SIZE.issuperset(map(len, self.hashes)):
            raise MalformedError(f"a proof has up to {_MAX_HASHES} hashes of {HASH_SIZE} bytes each")
        if not self.checkpoint_note:
            raise MalformedError("a proof has no checkpoint after an empty line")
        if self.extra is not None and not self.extra:
            raise MalformedError("the extra data of a proof is empty; without any, the line is left out")


def parse_tlog_proof(data: bytes) -> TlogProof:
    """Read a proof without verifying it.

    Args:
        data: The proof file.

    Raises:
        MalformedError: Any line before the checkpoint does not have its form.
    """
    head, _, note = data.partition(b"\n\n")
    try:
        header, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise MalformedError(f"a proof has a byte that is not ASCII at offset {error.start}") from None
    if header != _HEADER:
        raise MalformedError(f"a proof begins with the line {_HEADER}, not {header[:80]!r}")
    extra = None
    if lines and lines[0].startswith(_EXTRA):
        extra = decode_base64(lines.pop(0).removeprefix(_EXTRA), "the extra data of a proof")
    if not lines or not lines[0].startswith(_INDEX):
        raise MalformedError("a proof has no index line where it belongs")
    index = parse_decimal(lines.pop(0).removeprefix(_INDEX), "the leaf index of a proof")
    if len(lines) > _MAX_HASHES:
        raise MalformedError(f"a proof has {len(lines)} hashes; the limit is {_MAX_HASHES}")
    return TlogProof(index, tuple(map(_decode_hash, lines)), note, extra)


def format_tlog_proof(proof: TlogProof) -> bytes:
    """Return the bytes of a proof file; the inverse of `parse_tlog_proof`."""
    lines = [_HEADER]
    if proof.extra is not None:
        lines.append(_EXTRA + encode_base64(proof.extra))
    lines.append(f"{_INDEX}{proof.leaf_index}")
    lines.extend(map(encode_base64, proof.hashes))
    return "\n".join((*lines, "", "")).encode("ascii") + proof.checkpoint_note


@lru_cache(_HASHES_KEPT)
def _decode_hash(line: str) -> bytes:
    value = decode_base64(line, "a hash of a proof")
    # Here and not later, so that no long line is kept.
    if len(value) != HASH_SIZE:
        raise MalformedError(f"a hash of a proof has {len(value)} bytes instead of {HASH_SIZE}")
    return value
