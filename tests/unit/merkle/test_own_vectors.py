"""Our own vectors, made by the naive tree, against the package."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import InvalidProofError
from ledger.merkle import (
    CompactRange,
    hash_leaf,
    verify_batch_inclusion,
    verify_consistency,
    verify_inclusion,
    verify_range,
)

FOLDER = Path(__file__).parents[2] / "vectors"


def load(kind: str) -> Any:
    return json.loads((FOLDER / f"{kind}.json").read_bytes())


def hashes(values: list[str]) -> list[bytes]:
    return [b64decode(value) for value in values]


def check_inclusion(case: Any) -> None:
    leaf_hash, root = hashes([case["leaf_hash"], case["root"]])
    verify_inclusion(leaf_hash, case["leaf_index"], case["tree_size"], root, hashes(case["proof"]))


def check_consistency(case: Any) -> None:
    old, new = hashes([case["old_root"], case["new_root"]])
    verify_consistency(case["old_size"], old, case["new_size"], new, hashes(case["proof"]))


def check_batch(case: Any) -> None:
    leaves = list(zip(case["leaf_indexes"], hashes(case["leaf_hashes"]), strict=True))
    verify_batch_inclusion(leaves, case["tree_size"], b64decode(case["root"]), hashes(case["proof"]))


def check_range(case: Any) -> None:
    leaves, root = hashes(case["leaf_hashes"]), b64decode(case["root"])
    verify_range(case["begin"], leaves, case["tree_size"], root, hashes(case["proof"]))


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("inclusion", check_inclusion),
        ("consistency", check_consistency),
        ("batch", check_batch),
        ("range", check_range),
    ],
)
def test_every_case_is_judged_as_it_says(kind: str, check: Callable[[Any], None]) -> None:
    wrong = []
    for case in load(kind):
        try:
            check(case)
            accepted = True
        except InvalidProofError:
            accepted = False
        if accepted != case["ok"]:
            wrong.append(case["case"])
    assert wrong == []


@pytest.mark.parametrize("kind", ["inclusion", "consistency", "batch", "range"])
def test_cases_are_told_apart_by_name_and_are_of_both_sorts(kind: str) -> None:
    cases = load(kind)
    assert len({case["case"] for case in cases}) == len(cases)
    assert {case["ok"] for case in cases} == {True, False}


def test_the_tree_has_these_roots_and_stored_hashes() -> None:
    vector = load("tree")
    tree = CompactRange.empty()
    stored: list[bytes] = []
    roots = [tree.root()]
    for leaf, leaf_hash in zip(vector["leaves"], vector["leaf_hashes"], strict=True):
        assert hash_leaf(b64decode(leaf)) == b64decode(leaf_hash)
        tree, completed = tree.append(b64decode(leaf_hash))
        stored += completed
        roots.append(tree.root())
    assert roots == hashes(vector["root_at_size"])
    assert stored == hashes(vector["stored_hashes"])
