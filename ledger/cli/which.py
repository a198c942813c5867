"""How commands name one entry."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import click

from ledger.cli.numbers import Number
from ledger.merkle.ranges import MAX_TREE_SIZE

_HASH_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Which:
    """One entry, by exactly one of these; or several by their indexes.

    Attributes:
        leaf_index: Its index.
        event_id: Id of its event.
        leaf_hash: Its leaf hash, 32 bytes.
        several: The indexes of several entries; then the others are None.
    """

    leaf_index: int | None = None
    event_id: str | None = None
    leaf_hash: bytes | None = None
    several: tuple[int, ...] = ()


def entry_options(*, several: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command INDEX or --index, --event-id, --leaf-hash; it gets them as `which`.

    Args:
        several: Whether it also takes several entries, by their indexes.
    """
    return functools.partial(_with_options, most=-1 if several else 1)


def _with_options(command: Callable[..., None], most: int) -> Callable[..., None]:
    @functools.wraps(command)
    def with_which(
        *,
        index: int | tuple[int, ...] | None,
        named_index: int | None,
        event_id: str | None,
        leaf_hash: str | None,
        **values: object,
    ) -> None:
        indexes = index if isinstance(index, tuple) else () if index is None else (index,)
        command(which=_which(indexes, named_index, event_id, leaf_hash), **values)

    kind = Number(min=0, max=MAX_TREE_SIZE)
    metavar = "[INDEX]" if most == 1 else "[INDEX]..."
    for parameter in reversed(
        (
            click.argument("index", required=False, type=kind, nargs=most, metavar=metavar),
            click.option("--index", "named_index", type=kind, metavar="INDEX", help="Index of the entry, as INDEX."),
            click.option("--event-id", metavar="ID", help="Id of the event, instead of the index."),
            click.option("--leaf-hash", metavar="HEX", help="Leaf hash, instead of the index."),
        )
    ):
        with_which = parameter(with_which)
    return with_which


def _which(indexes: tuple[int, ...], named_index: int | None, event_id: str | None, leaf_hash: str | None) -> Which:
    """Return the entry that the options of a command name, or the entries.

    Raises:
        click.UsageError: They name none, or one in two ways, or the hash is not 64 hexadecimal digits.
    """
    if sum(value is not None for value in (indexes or None, named_index, event_id, leaf_hash)) != 1:
        raise click.UsageError("name the entry by its index, by --event-id or by --leaf-hash")
    if len(indexes) > 1:
        return Which(several=indexes)
    if leaf_hash is None:
        return Which(leaf_index=indexes[0] if indexes else named_index, event_id=event_id)
    try:
        decoded = bytes.fromhex(leaf_hash)
    except ValueError:
        decoded = b""
    if len(leaf_hash) != _HASH_DIGITS or not decoded:
        raise click.UsageError(f"--leaf-hash takes {_HASH_DIGITS} hexadecimal digits")
    return Which(leaf_hash=decoded)
