from __future__ import annotations

import hashlib

import pytest

from ledger.merkle import EMPTY_ROOT, HASH_SIZE, hash_children, hash_leaf
from ledger.merkle.hashing import join_subtrees, split_hashes
from tests.support import naive_tree


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert len(EMPTY_ROOT) == HASH_SIZE


def test_hashes_one_after_another_are_taken_apart() -> None:
    hashes = [hash_leaf(b"a"), hash_leaf(b"b"), hash_leaf(b"c")]
    assert split_hashes(b"".join(hashes)) == hashes
    assert split_hashes(b"") == []


@pytest.mark.parametrize("data", [b"", b"\x00", b"leaf", bytes(100_000)])
def test_a_leaf_hash_has_its_prefix(data: bytes) -> None:
    assert hash_leaf(data) == hashlib.sha256(b"\x00" + data).digest()


def test_a_leaf_that_looks_like_a_node_hashes_to_something_else() -> None:
    left, right = hash_leaf(b"left"), hash_leaf(b"right")
    assert hash_leaf(b"\x01" + left + right) != hash_children(left, right)
    assert hash_leaf(left + right) != hash_children(left, right)


def test_children_are_ordered() -> None:
    left, right = hash_leaf(b"left"), hash_leaf(b"right")
    assert hash_children(left, right) != hash_children(right, left)


def test_subtrees_join_from_the_right() -> None:
    a, b, c = (hash_leaf(name) for name in (b"a", b"b", b"c"))
    assert join_subtrees([]) == EMPTY_ROOT
    assert join_subtrees([a]) == a
    assert join_subtrees((a, b, c)) == naive_tree.node(a, naive_tree.node(b, c))
