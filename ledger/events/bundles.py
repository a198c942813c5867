"""Entry bundles: up to 256 leaves as one file of a C2SP tlog-tiles log.

Each leaf is preceded by its length as two bytes, big-endian. The rule that must not break: a bundle holds exactly
the leaves that its place in the log calls for, and not a byte more.

Source: C2SP tlog-tiles, "Log entries".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.errors import MalformedError

BUNDLE_WIDTH: Final = 256
"""Leaves of a full bundle."""

ENTRY_MAX_BYTES: Final = 0xFFFF
"""Largest entry that two bytes of length can tell."""

_LENGTH_BYTES: Final = 2


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """Return the bundle of these leaves.

    Args:
        leaves: 1 to 256 leaves of at most 65,535 bytes each, in order of their index.

    Raises:
        ValueError: Too few, too many or too long leaves.
    """
    _check_width(len(leaves))
    parts: list[bytes] = []
    for leaf in leaves:
        if len(leaf) > ENTRY_MAX_BYTES:
            msg = f"an entry has at most {ENTRY_MAX_BYTES} bytes, not {len(leaf)}"
            raise ValueError(msg)
        parts.append(len(leaf).to_bytes(_LENGTH_BYTES, "big"))
        parts.append(leaf)
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle.

    Args:
        data: The bundle.
        width: How many entries it must hold, 1 to 256, from the tree size and the bundle's place.

    Raises:
        MalformedError: The bundle ends too early or has bytes after the last entry; names the offset.
        ValueError: `width` is out of range.
    """
    _check_width(width)
    entries: list[bytes] = []
    offset = 0
    for number in range(width):
        start = offset + _LENGTH_BYTES
        end = start + int.from_bytes(data[offset:start], "big")
        if start > len(data) or end > len(data):
            msg = f"entry bundle ends within entry {number} of {width}, which begins at offset {offset}"
            raise MalformedError(msg, metadata={"offset": str(offset)})
        entries.append(data[start:end])
        offset = end
    if offset != len(data):
        msg = f"entry bundle has {len(data) - offset} bytes after its {width} entries, from offset {offset}"
        raise MalformedError(msg, metadata={"offset": str(offset)})
    return entries


def _check_width(width: int) -> None:
    if not 1 <= width <= BUNDLE_WIDTH:
        msg = f"a bundle holds 1 to {BUNDLE_WIDTH} entries, not {width}"
        raise ValueError(msg)
