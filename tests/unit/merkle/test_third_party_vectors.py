"""Vectors that nobody here wrote."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from ledger.errors import InvalidProofError, MalformedError
from ledger.merkle import (
    EMPTY_ROOT,
    CompactRange,
    Tile,
    entries_path,
    entry_bundles_at,
    hash_children,
    hash_leaf,
    parse_entries_path,
    parse_tile_path,
    prove_consistency,
    prove_inclusion,
    tiles_at,
    verify_consistency,
    verify_inclusion,
)
from tests.support.shared import shared_path
from tests.support.trees import StoredTree


def load(relative: str) -> Any:
    return json.loads(shared_path(f"vectors/{relative}").read_bytes())


def accepts(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except InvalidProofError:
        return False
    return True


# transparency-dev/merkle


def judge_inclusion(case: Any) -> None:
    proof = [b64decode(value) for value in case["proof"] or []]
    leaf_hash, root = b64decode(case["leafHash"] or ""), b64decode(case["root"] or "")
    verify_inclusion(leaf_hash, case["leafIdx"], case["treeSize"], root, proof)


def judge_consistency(case: Any) -> None:
    proof = [b64decode(value) for value in case["proof"] or []]
    roots = b64decode(case["root1"] or ""), b64decode(case["root2"] or "")
    verify_consistency(case["size1"], roots[0], case["size2"], roots[1], proof)


DEGENERATE = {
    # Roots of 12 bytes, equal: accepted there, refused here.
    "consistency/additional/sizes-are-equal-one-and-proof-is-empty.json",
}


@pytest.mark.parametrize(("kind", "judge"), [("inclusion", judge_inclusion), ("consistency", judge_consistency)])
def test_transparency_dev_cases_are_judged_alike_but_for_hashes_of_wrong_length(
    kind: str, judge: Callable[[Any], None]
) -> None:
    folder = shared_path("vectors/transparency-dev-merkle")
    files = sorted((folder / kind).rglob("*.json"))
    assert len(files) > 50
    disagreements = set()
    for file in files:
        case = json.loads(file.read_bytes())
        if accepts(judge, case) == case["wantErr"]:
            disagreements.add(str(file.relative_to(folder)))
    assert disagreements == {name for name in DEGENERATE if name.startswith(kind)}


def test_transparency_dev_cases_with_hashes_of_wrong_length_are_refused_for_that() -> None:
    (twelve_bytes,) = (load(f"transparency-dev-merkle/{name}") for name in DEGENERATE)
    with pytest.raises(InvalidProofError, match="a root hash has 12 bytes; it must have 32"):
        judge_consistency(twelve_bytes)
    no_bytes = load("transparency-dev-merkle/inclusion/single-entry/empty-root-and-leaf.json")
    with pytest.raises(InvalidProofError, match="the root hash has 0 bytes; it must have 32"):
        judge_inclusion(no_bytes)


# Certificate Transparency


def test_the_reference_tree_of_rfc_6962() -> None:
    reference = load("rfc6962-reference/tree8.json")
    assert bytes.fromhex(reference["empty_root"]) == EMPTY_ROOT
    for case in reference["leaf_hash"]:
        assert hash_leaf(bytes.fromhex(case["leaf"])).hex() == case["hash"]
    for case in reference["node_hash"]:
        assert hash_children(bytes.fromhex(case["left"]), bytes.fromhex(case["right"])).hex() == case["hash"]
    tree = CompactRange.empty()
    for size, leaf in enumerate(reference["leaves"], start=1):
        tree, _ = tree.append(hash_leaf(bytes.fromhex(leaf)))
        assert tree.root().hex() == reference["root_at_size"][str(size)]


def test_the_reference_consistency_proofs_of_rfc_6962() -> None:
    leaves = load("rfc6962-reference/tree8.json")["leaves"]
    tree = StoredTree([hash_leaf(bytes.fromhex(leaf)) for leaf in leaves])
    for case in load("rfc6962-reference/consistency.json"):
        old, new, proof = case["old_size"], case["new_size"], [bytes.fromhex(value) for value in case["proof"]]
        verify_consistency(old, bytes.fromhex(case["old_root"]), new, bytes.fromhex(case["new_root"]), proof)
        assert prove_consistency(old, new, tree.read) == proof


def test_known_proofs_of_the_certificate_transparency_tree() -> None:
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    tree = StoredTree([hash_leaf(bytes.fromhex(leaf)) for leaf in leaves])

    def beginnings(proof: list[bytes]) -> list[str]:
        return [value.hex()[:8] for value in proof]

    assert tree.root(8).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert beginnings(prove_inclusion(5, 8, tree.read)) == ["bc1a0643", "ca854ea1", "d37ee418"]
    assert beginnings(prove_inclusion(2, 3, tree.read)) == ["fac54203"]
    assert beginnings(prove_consistency(6, 8, tree.read)) == ["0ebc5d34", "ca854ea1", "d37ee418"]
    assert beginnings(prove_consistency(2, 5, tree.read)) == ["5f083f0a", "bc1a0643"]
    assert beginnings(prove_consistency(4, 8, tree.read)) == ["6b47aaf2"]
    assert beginnings(prove_consistency(1, 8, tree.read)) == ["96a296d2", "5f083f0a", "6b47aaf2"]


# Rekor


def test_inclusion_proofs_of_a_real_log_are_judged_as_they_should_be() -> None:
    cases = load("rekor/inclusion.json")
    assert {case["ok"] for case in cases} == {True, False}
    for case in cases:
        leaf_hash, root = hash_leaf(b64decode(case["leaf_b64"])), b64decode(case["root"])
        index, size, proof = case["leaf_index"], case["tree_size"], [b64decode(value) for value in case["proof"]]
        assert accepts(verify_inclusion, leaf_hash, index, size, root, proof) == case["ok"]
        assert not accepts(verify_inclusion, leaf_hash, index + 1, size, root, proof)
        assert not accepts(verify_inclusion, leaf_hash, index - 1, size, root, proof)
        assert not accepts(verify_inclusion, leaf_hash, index, size, root, proof[:-1])
        assert not accepts(verify_inclusion, leaf_hash, index, size, root, [*proof, proof[-1]])


# C2SP tiles


def test_tile_paths_are_those_of_other_implementations() -> None:
    paths = load("tile-paths/paths.json")
    for case in paths["tile"]:
        tile = Tile(case["level"], case["index"], case["partial"] or 256)
        assert tile.path() == case["path"]
        assert parse_tile_path(case["path"]) == tile
    for case in paths["parse_ok"]:
        expected = Tile(int(case["level"]), case["index"], case["partial"] or 256)
        assert parse_tile_path(f"tile/{case['level']}/{case['n']}") == expected
    for level, n in paths["parse_bad"]:
        with pytest.raises(MalformedError):
            parse_tile_path(f"tile/{level}/{n}")


def test_entry_bundles_are_those_of_other_implementations() -> None:
    for case in load("tile-paths/paths.json")["entries_for_index"]:
        # Some cases ask for an index that is only about to be appended; the bundle's width is that of the size.
        bundle, size = case["index"] // 256, case["size"]
        width = min(256, size - 256 * bundle)
        assert entries_path(bundle, width) == case["path"]
        assert parse_entries_path(case["path"]) == (bundle, width)


def test_a_log_of_70_000_entries_has_the_tiles_of_the_specification() -> None:
    census = load("tile-paths/paths.json")["tiles_for_size_70000"]
    found: dict[str, int] = {}
    for tile in tiles_at(70_000):
        if tile.width == 256:
            found[f"tile/{tile.level} full"] = found.get(f"tile/{tile.level} full", 0) + 1
        else:
            found[f"tile/{tile.level} partial"] = tile.width
    assert found == census


def test_hashes_stand_in_the_tiles_where_other_implementations_put_them() -> None:
    for case in load("tile-paths/paths.json")["node_to_tile"]:
        assert case["tree_level"] == 8 * case["tile_level"] + case["node_level"]
        tile = Tile(case["tile_level"], case["tile_index"], 256)
        position = Tile(case["tile_level"], case["tree_index"] // 256, 256).stored_indexes()[case["tree_index"] % 256]
        assert tile.stored_indexes()[case["node_index"]] == position


def test_a_whole_log_of_another_implementation_has_our_roots_tiles_and_proofs() -> None:
    log = shared_path("vectors/tessera-testlog/log")
    checkpoints = [(log / f"checkpoint.{size}").read_text("utf-8").splitlines() for size in range(16)]
    roots = [b64decode(lines[2]) for lines in checkpoints]
    (bundle,) = entry_bundles_at(15)
    data, leaves = (log / entries_path(*bundle)).read_bytes(), []
    while data:
        length = int.from_bytes(data[:2])
        leaves.append(hash_leaf(data[2 : 2 + length]))
        data = data[2 + length :]
    tree = StoredTree(leaves)
    for size in range(16):
        assert tree.root(size) == roots[size]
        for tile in tiles_at(size):
            assert (log / tile.path()).read_bytes() == b"".join(tree.read(tile.stored_indexes()))
        for old in range(size + 1):
            verify_consistency(old, roots[old], size, roots[size], prove_consistency(old, size, tree.read))
