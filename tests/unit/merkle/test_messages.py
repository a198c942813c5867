"""What making and checking proofs says when it refuses: which argument, its value, and what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.errors import IndexBeyondTreeError, InvalidProofError, LedgerError, MalformedError
from ledger.merkle import (
    hash_leaf,
    parse_entries_path,
    parse_tile_path,
    prove_batch_inclusion,
    prove_consistency,
    prove_inclusion,
    verify_batch_inclusion,
    verify_inclusion,
    verify_range,
)
from ledger.merkle.proofs import tree_root
from ledger.merkle.tiles import Tile

LEAF = hash_leaf(b"")
OTHER = hash_leaf(b"other")
DIFFERS = f"the root does not follow from the proof: computed {LEAF.hex()}, expected {OTHER.hex()}"


def _no_read(_positions: object) -> list[bytes]:
    raise AssertionError("nothing is read for what is refused")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verify_inclusion(LEAF, 0, 1, OTHER, []), DIFFERS),
        (lambda: verify_batch_inclusion([(0, LEAF)], 1, OTHER, []), DIFFERS),
        (lambda: verify_range(0, [LEAF], 1, OTHER, []), DIFFERS),
        (lambda: verify_batch_inclusion([], 1, OTHER, []), "a proof of no leaves proves nothing"),
        (lambda: verify_range(0, [], 1, OTHER, []), "a proof of no leaves proves nothing"),
    ],
    ids=["inclusion", "batch", "range", "empty batch", "empty range"],
)
def test_a_proof_that_does_not_hold_says_what_was_computed_and_what_expected(
    call: Callable[[], None], message: str
) -> None:
    with pytest.raises(InvalidProofError) as refused:
        call()
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (
            lambda: prove_consistency(3, 2, _no_read),
            "the first size, 3, is larger than the second, 2",
            "give the smaller size first",
        ),
        (
            lambda: prove_inclusion(2, 2, _no_read),
            "leaf index 2 is beyond the tree of size 2",
            "ask for a larger tree size, or wait until the tree has grown",
        ),
    ],
    ids=["consistency", "inclusion"],
)
def test_a_proof_that_cannot_be_made_says_what_to_do(call: Callable[[], object], message: str, hint: str) -> None:
    with pytest.raises(IndexBeyondTreeError) as refused:
        call()
    assert (refused.value.message, refused.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tree_root(-1, _no_read), "a tree size must be from 0 to 2**63 - 1"),
        (lambda: prove_inclusion(-1, 2, _no_read), "leaves must be at least one, with indexes from 0 to 2**63 - 2"),
        (
            lambda: prove_batch_inclusion([], 2, _no_read),
            "leaf indexes must be ascending, distinct, and at least one",
        ),
        (lambda: Tile(0, 10**18, 1), "the index of a tile or entry bundle must be from 0 to 10**18 - 1"),
    ],
)
def test_wrong_use_is_told_with_the_limits(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        call()
    assert str(refused.value) == message
    assert not isinstance(refused.value, LedgerError)


def test_a_path_that_names_nothing_is_shown_as_far_as_a_hundred_characters() -> None:
    path = "tile/" + "x" * 96
    for parse, what in ((parse_tile_path, "a tile"), (parse_entries_path, "an entry bundle")):
        with pytest.raises(MalformedError) as refused:
            parse(path)
        assert refused.value.message == f"{path[:-1]!r} is not the path of {what}"


def test_a_number_of_another_type_is_told_with_its_type() -> None:
    with pytest.raises(TypeError) as refused:
        verify_inclusion(LEAF, 0.0, 1, LEAF, [])  # type: ignore[arg-type]
    assert str(refused.value) == "the leaf index is a float; it must be an int"
