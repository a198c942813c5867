"""Coordinates and paths of tiles and entry bundles.

A tile is up to 256 hashes of one level: tile (level, index) starts at the perfect subtree (8 * level, 256 * index).
A partial tile is a prefix of the full one, so any tile ever published can be made again from the store. Paths are
read strictly: each tile has exactly one path.

Source: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ledger.errors import MalformedError
from ledger.merkle.ranges import stored_index

TILE_HEIGHT = 8
"""Levels of the tree between the hashes of one tile level and the next."""

TILE_WIDTH = 1 << TILE_HEIGHT
"""Hashes of a full tile; leaves of a full entry bundle."""

_MAX_LEVEL = 63
# Six groups of three digits; a seventh would only be needed beyond 2**63.
_MAX_INDEX = 10**18 - 1

# These are the whole grammar: what they match, formatting gives back.
_INDEX = r"(?P<index>(?:x(?!000)[0-9]{3}/(?:x[0-9]{3}/){0,4})?[0-9]{3})"
_WIDTH = r"(?:\.p/(?P<width>[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?"
_TILE_PATH = re.compile(rf"tile/(?P<level>[0-9]|[1-5][0-9]|6[0-3])/{_INDEX}{_WIDTH}")
_ENTRIES_PATH = re.compile(rf"tile/entries/{_INDEX}{_WIDTH}")


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of hashes.

    Attributes:
        level: Tile level, 0 (leaf hashes) to 63.
        index: Position from 0 within the level, below 10**18.
        width: Number of hashes, 1 to 256; fewer than 256 make it a partial tile.
    """

    level: int
    index: int
    width: int

    def __post_init__(self) -> None:
        """Check the coordinates.

        Raises:
            ValueError: One is out of its range.
        """
        if not 0 <= self.level <= _MAX_LEVEL:
            raise ValueError(f"a tile level must be from 0 to {_MAX_LEVEL}")
        _check_coordinates(self.index, self.width)

    def path(self) -> str:
        """Return the path below the log's prefix, such as `tile/0/x001/x234/067.p/89`."""
        return f"tile/{self.level}/{_format_coordinates(self.index, self.width)}"

    def stored_indexes(self) -> list[int]:
        """Return where the hashes of this tile stand in the store, in the tile's order."""
        first = self.index * TILE_WIDTH
        return [stored_index(self.level * TILE_HEIGHT, index) for index in range(first, first + self.width)]


def parse_tile_path(path: str) -> Tile:
    """Return the tile that a path names.

    Raises:
        MalformedError: It is not exactly the path of a tile.
    """
    match = _TILE_PATH.fullmatch(path)
    if match is None:
        raise MalformedError(f"{path[:100]!r} is not the path of a tile")
    return Tile(int(match["level"]), *_parse_coordinates(match))


def entries_path(index: int, width: int) -> str:
    """Return the path of an entry bundle below the log's prefix, such as `tile/entries/x001/000.p/5`.

    Args:
        index: Position of the bundle from 0, below 10**18: it holds the leaves from 256 * index on.
        width: Number of leaves, 1 to 256.

    Raises:
        ValueError: One is out of its range.
    """
    _check_coordinates(index, width)
    return f"tile/entries/{_format_coordinates(index, width)}"


def parse_entries_path(path: str) -> tuple[int, int]:
    """Return index and width of the entry bundle that a path names.

    Raises:
        MalformedError: It is not exactly the path of an entry bundle.
    """
    match = _ENTRIES_PATH.fullmatch(path)
    if match is None:
        raise MalformedError(f"{path[:100]!r} is not the path of an entry bundle")
    return _parse_coordinates(match)


def tiles_at(tree_size: int) -> Iterator[Tile]:
    """Yield all tiles of a tree of this size, level by level, each level from left to right."""
    level, hash_count = 0, tree_size
    while hash_count:
        for index, width in entry_bundles_at(hash_count):
            yield Tile(level, index, width)
        level, hash_count = level + 1, hash_count >> TILE_HEIGHT


def entry_bundles_at(tree_size: int) -> Iterator[tuple[int, int]]:
    """Yield index and width of all entry bundles of a log of this size, from left to right."""
    full, partial = divmod(tree_size, TILE_WIDTH)
    for index in range(full):
        yield index, TILE_WIDTH
    if partial:
        yield full, partial


def _check_coordinates(index: int, width: int) -> None:
    if not 0 <= index <= _MAX_INDEX:
        raise ValueError("the index of a tile or entry bundle must be from 0 to 10**18 - 1")
    if not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"the width of a tile or entry bundle must be from 1 to {TILE_WIDTH}")


def _format_coordinates(index: int, width: int) -> str:
    text = f"{index % 1000:03}"
    while index >= 1000:
        index //= 1000
        text = f"x{index % 1000:03}/{text}"
    return text if width == TILE_WIDTH else f"{text}.p/{width}"


def _parse_coordinates(match: re.Match[str]) -> tuple[int, int]:
    index = int(match["index"].replace("x", "").replace("/", ""))
    return index, int(match["width"] or TILE_WIDTH)
