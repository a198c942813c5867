from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedError
from ledger.merkle import (
    TILE_WIDTH,
    CompactRange,
    Tile,
    entries_path,
    entry_bundles_at,
    parse_entries_path,
    parse_tile_path,
    stored_index,
    tiles_at,
)
from tests.support import naive_tree
from tests.support.trees import StoredTree, numbered_leaves

LEVELS = st.integers(0, 63)
INDEXES = st.integers(0, 10**18 - 1) | st.integers(0, 2000)
WIDTHS = st.integers(1, 256)


@given(LEVELS, INDEXES, WIDTHS)
def test_each_tile_has_one_path_and_each_path_one_tile(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_tile_path(tile.path()) == tile
    assert parse_entries_path(entries_path(index, width)) == (index, width)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0, 256), "tile/0/000"),
        (Tile(0, 999, 256), "tile/0/999"),
        (Tile(1, 1000, 256), "tile/1/x001/000"),
        (Tile(9, 1_234_067, 89), "tile/9/x001/x234/067.p/89"),
        (Tile(10, 1_000_000, 1), "tile/10/x001/x000/000.p/1"),
        (Tile(63, 10**18 - 1, 255), "tile/63/x999/x999/x999/x999/x999/999.p/255"),
    ],
)
def test_paths_have_groups_of_three_digits(tile: Tile, path: str) -> None:
    assert tile.path() == path
    assert parse_tile_path(path) == tile
    assert entries_path(tile.index, tile.width) == path.replace(f"tile/{tile.level}/", "tile/entries/")


WRONG_ENDS = [
    "",
    "/",
    "/0",
    "/00",
    "/0000",
    "/x00",
    "/x000",
    "/x000/001",  # leading zeros
    "/x000/x001/000",
    "/001/002",
    "/x001",
    "/x001/",
    "/x001/x002",
    "/x0001/002",
    "/x01/002",
    "/X001/002",
    "/x001//002",
    "/-01",
    "/+01",
    "/0_1",
    "/ 01",
    "/001 ",
    "/001\n",
    "/\n001",
    "/\N{ARABIC-INDIC DIGIT ZERO}01",  # a digit, but not of these ten
    "/x00\N{FULLWIDTH DIGIT ONE}/000",
    "/001.p",
    "/001.p/",
    "/001.p/0",
    "/001.p/01",
    "/001.p/256",
    "/001.p/257",
    "/001.p/1000",
    "/001.p/-1",
    "/001.p/+1",
    "/001.p/1\n",
    "/001.p/\N{ARABIC-INDIC DIGIT THREE}",
    "/001.p/1/",
    "/001p/1",
    "/001/p/1",
    "/001,p/1",
    "/001.P/1",
    "/001.p/1.p/1",
    "/../001",
    "/001?x",
    "/001%2ep/1",
    "/x001/x000/x000/x000/x000/x000/000",  # seven groups
    "/x018/x446/x744/x073/x709/x551/616",  # 2**64
]


@pytest.mark.parametrize("end", WRONG_ENDS)
def test_any_other_spelling_is_refused(end: str) -> None:
    with pytest.raises(MalformedError, match="not the path of a tile"):
        parse_tile_path(f"tile/0{end}")
    with pytest.raises(MalformedError, match="not the path of an entry bundle"):
        parse_entries_path(f"tile/entries{end}")


@pytest.mark.parametrize(
    "path", ["", "tile", "tile/64/000", "tile/00/000", "tile/01/000", "tile/-1/000", "tile/100/000", "tile/x/000"]
)
def test_a_wrong_level_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        parse_tile_path(path)


@pytest.mark.parametrize("path", ["/tile/0/000", "tile/8/0/000", "TILE/0/000", "x/tile/0/000", "tile//000", "0/000"])
def test_a_path_of_other_form_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        parse_tile_path(path)
    with pytest.raises(MalformedError):
        parse_entries_path(path.replace("/0/", "/entries/"))


def test_tiles_and_entry_bundles_are_not_mixed_up() -> None:
    with pytest.raises(MalformedError):
        parse_tile_path("tile/entries/000")
    with pytest.raises(MalformedError):
        parse_entries_path("tile/0/000")


def test_a_refusal_shows_the_beginning_of_what_was_refused() -> None:
    with pytest.raises(MalformedError) as caught:
        parse_tile_path("x" * 10_000)
    assert caught.value.message.startswith("'xxx")
    assert len(caught.value.message) < 200


@given(st.text(alphabet="0123x/.p-", max_size=30))
def test_whatever_is_parsed_formats_to_the_same_text(end: str) -> None:
    try:
        index, width = parse_entries_path(f"tile/entries/{end}")
    except MalformedError:
        return
    assert entries_path(index, width) == f"tile/entries/{end}"


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 10**18, 1), (0, 0, 0), (0, 0, 257)]
)
def test_coordinates_out_of_range_are_wrong_use(level: int, index: int, width: int) -> None:
    with pytest.raises(ValueError, match="must be from"):
        Tile(level, index, width)
    if level == 0:
        with pytest.raises(ValueError, match="must be from"):
            entries_path(index, width)


def test_a_path_that_is_no_text_is_wrong_use() -> None:
    path: Any = b"tile/0/000"
    with pytest.raises(TypeError):
        parse_tile_path(path)
    with pytest.raises(TypeError):
        parse_entries_path(path)


# Which tiles there are


def naive_tiles(tree_size: int) -> list[Tile]:
    tiles = []
    level = 0
    while 256**level <= tree_size:
        hashes = tree_size // 256**level
        tiles += [Tile(level, index, min(256, hashes - 256 * index)) for index in range((hashes + 255) // 256)]
        level += 1
    return tiles


@pytest.mark.parametrize("tree_size", [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000])
def test_the_tiles_of_a_tree(tree_size: int) -> None:
    assert list(tiles_at(tree_size)) == naive_tiles(tree_size)
    bundles = [(tile.index, tile.width) for tile in naive_tiles(tree_size) if tile.level == 0]
    assert list(entry_bundles_at(tree_size)) == bundles


def test_a_large_tree_is_walked_without_being_listed() -> None:
    assert next(iter(tiles_at(2**60))) == Tile(0, 0, TILE_WIDTH)
    assert next(iter(entry_bundles_at(2**60))) == (0, TILE_WIDTH)


# What stands in them


def test_tiles_gathered_from_the_store_hold_the_hashes_of_the_tree() -> None:
    leaves = numbered_leaves(700)
    tree = StoredTree(leaves)
    for tile in tiles_at(len(leaves)):
        width = 256**tile.level
        expected = [
            naive_tree.mth(leaves[number * width : (number + 1) * width])
            for number in range(256 * tile.index, 256 * tile.index + tile.width)
        ]
        assert tree.read(tile.stored_indexes()) == expected


def test_a_partial_tile_is_a_prefix_of_the_full_one() -> None:
    full = Tile(2, 7, 256).stored_indexes()
    assert full[0] == stored_index(16, 7 * 256)
    for width in (1, 100, 255):
        assert Tile(2, 7, width).stored_indexes() == full[:width]


def test_a_full_tile_joins_to_one_hash_of_the_tile_above() -> None:
    tree = StoredTree(numbered_leaves(512))
    below, _ = CompactRange.empty().extend(tree.read(Tile(0, 1, 256).stored_indexes()))
    assert [below.root()] == tree.read(Tile(1, 0, 2).stored_indexes())[1:]
