"""How commands name one entry."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import click

from ledger.merkle.ranges import MAX_TREE_SIZE

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


def entry_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command INDEX or --index, --event-id, --leaf-hash; it gets them as `which`."""

    @functools.wraps(command)
    def with_which(
        *, index: int | None, named_index: int | None, event_id: str | None, leaf_hash: str | None, **values: object
    ) -> None:
        command(which=_one_entry(index, named_index, event_id, leaf_hash), **values)

    kind = click.IntRange(min=0, max=MAX_TREE_SIZE)
    for parameter in reversed(
        (
            click.argument("index", required=False, type=kind, metavar="[INDEX]"),
            click.option("--index", "named_index", type=kind, metavar="INDEX", help="Index of the entry, as INDEX."),
            click.option("--event-id", metavar="ID", help="Id of the event, instead of the index."),
            click.option("--leaf-hash", metavar="HEX", help="Leaf hash, instead of the index."),
        )
    ):
        with_which = parameter(with_which)
    return with_which


def _one_entry(index: int | None, named_index: int | None, event_id: str | None, leaf_hash: str | None) -> Which:
    """Return the entry that the options of a command name.

    Raises:
        click.UsageError: They name none, or more than one, or the hash is not 64 hexadecimal digits.
    """
    if sum(value is not None for value in (index, named_index, event_id, leaf_hash)) != 1:
        raise click.UsageError("name the entry by its index, by --event-id or by --leaf-hash")
    if leaf_hash is None:
        return Which(named_index if index is None else index, event_id, None)
    try:
        decoded = bytes.fromhex(leaf_hash)
    except ValueError:
        decoded = b""
    if len(leaf_hash) != _HASH_DIGITS or not decoded:
        raise click.UsageError(f"--leaf-hash takes {_HASH_DIGITS} hexadecimal digits")
    return Which(None, None, decoded)
