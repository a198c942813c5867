"""How commands name one entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import click

_HASH_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Which:
    """One entry, by exactly one of these.

    Attributes:
        leaf_index: Its index.
        event_id: Id of its event.
        leaf_hash: Its leaf hash, 32 bytes.
    """

    leaf_index: int | None
    event_id: str | None
    leaf_hash: bytes | None


def one_entry(leaf_index: int | None, event_id: str | None, leaf_hash: str | None) -> Which:
    """Return the entry that the options of a command name.

    Raises:
        click.UsageError: They name none, or more than one, or the hash is not 64 hexadecimal digits.
    """
    if sum(value is not None for value in (leaf_index, event_id, leaf_hash)) != 1:
        raise click.UsageError("name the entry by its index, by --event-id or by --leaf-hash")
    if leaf_hash is None:
        return Which(leaf_index, event_id, None)
    try:
        decoded = bytes.fromhex(leaf_hash)
    except ValueError:
        decoded = b""
    if len(leaf_hash) != _HASH_DIGITS or not decoded:
        raise click.UsageError(f"--leaf-hash takes {_HASH_DIGITS} hexadecimal digits")
    return Which(None, None, decoded)
