"""Writes the vectors of the tree, one file per kind.

`python -m tests.vectors.generate` writes all of them beside this file. Each kind is one function that returns what
the file holds, with hashes as bytes; add it to KINDS. No function may depend on time, chance or the code under test.
Vectors that need the package's own code have a module of their own, `generate_<kind>.py`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support import naive_tree
from tests.vectors.generate_receipts import receipts

FOLDER = Path(__file__).resolve().parent

_LEAVES = [b"leaf %d" % index for index in range(21)]
_HASHES = [naive_tree.leaf(data) for data in _LEAVES]
_FOREIGN = naive_tree.leaf(b"not in the tree")


def tree() -> Any:
    """One tree: leaf hashes, its root at each size, its stored hashes."""
    return {
        "leaves": _LEAVES,
        "leaf_hashes": _HASHES,
        "root_at_size": [_root(size) for size in range(len(_LEAVES) + 1)],
        "stored_hashes": naive_tree.stored(_HASHES),
    }


def inclusion() -> Any:
    """Inclusion proofs: all of small trees, and damaged ones."""
    cases = [_inclusion(f"leaf {index} of {size}", index, size) for size in range(1, 9) for index in range(size)]
    cases += [_inclusion(f"leaf {index} of 21", index, 21) for index in (0, 15, 16, 20)]
    unbound = _inclusion("accepted with a wrong tree size: a proof does not bind it", 0, 3)
    cases.append({**unbound, "tree_size": 4})
    too_long = {"proof": [_FOREIGN] * 64, "ok": False}
    cases.append({**_inclusion("64 hashes, more than any tree has", 3, 5), **too_long})
    for index, size in ((0, 1), (2, 3), (4, 7), (5, 8)):
        good = _inclusion("", index, size)
        where = f"leaf {index} of {size}, "
        for damage, proof in _damaged(naive_tree.path(index, _HASHES[:size])):
            cases.append({**good, "case": where + damage, "proof": proof, "ok": False})
        for damage, change in (
            ("index + 1", {"leaf_index": index + 1}),
            ("index - 1", {"leaf_index": index - 1}),
            ("index = size", {"leaf_index": size}),
            ("size 0", {"tree_size": 0}),
            ("size = index", {"tree_size": index}),
            ("another leaf", {"leaf_hash": _FOREIGN}),
            ("leaf hash of 31 bytes", {"leaf_hash": _HASHES[index][:31]}),
            ("leaf hash of 33 bytes", {"leaf_hash": _HASHES[index] + b"\x00"}),
            ("root of another size", {"root": _root(size + 1)}),
            ("root of 31 bytes", {"root": _root(size)[:31]}),
            ("root with the last bit changed", {"root": _flipped(_root(size), 255)}),
        ):
            cases.append({**good, "case": where + damage, **change, "ok": False})
    empty = {"leaf_index": 0, "tree_size": 0, "leaf_hash": _root(0), "root": _root(0), "proof": [], "ok": False}
    cases.append({"type": "inclusion", "case": "the empty tree holds nothing", **empty})
    return cases


def consistency() -> Any:
    """Consistency proofs: all of small trees, damaged ones, and trees that are no prefix."""
    cases = [_consistency(f"{old} to {new}", old, new) for new in range(9) for old in range(new + 1)]
    cases += [_consistency(f"{old} to 21", old, 21) for old in (13, 16, 19, 20)]
    too_long = {"proof": [_FOREIGN] * 65, "ok": False}
    cases.append({**_consistency("65 hashes, more than any tree has", 3, 5), **too_long})
    for old, new in ((1, 2), (3, 5), (4, 8), (6, 7)):
        good = _consistency("", old, new)
        where = f"{old} to {new}, "
        for damage, proof in _damaged(naive_tree.proof(old, _HASHES[:new])):
            cases.append({**good, "case": where + damage, "proof": proof, "ok": False})
        inserted = [_FOREIGN, *_HASHES[: new - 1]]
        changed = [_FOREIGN, *_HASHES[1:new]]
        changes: list[tuple[str, dict[str, Any]]] = [
            ("empty proof", {"proof": []}),
            ("old size + 1", {"old_size": old + 1}),
            ("old size - 1", {"old_size": old - 1}),
            ("sizes exchanged", {"old_size": new, "new_size": old}),
            ("roots exchanged", {"old_root": _root(new), "new_root": _root(old)}),
            ("old root of another size", {"old_root": _root(old - 1)}),
            ("new root of another size", {"new_root": _root(new - 1)}),
            ("old root of 31 bytes", {"old_root": _root(old)[:31]}),
            ("new root of 33 bytes", {"new_root": _root(new) + b"\x00"}),
            ("a leaf inserted in front", _to_other_tree(old, inserted)),
            ("the first leaf changed", _to_other_tree(old, changed)),
        ]
        for damage, change in changes:
            cases.append({**good, "case": where + damage, **change, "ok": False})
    for new, change in (
        (2, {"case": "another root of size 0", "old_root": _root(1)}),
        (0, {"case": "another root of size 0, to size 0", "old_root": _root(1)}),
        (2, {"case": "a proof from size 0", "proof": [_root(2)]}),
    ):
        cases.append({**_consistency("", 0, new), **change, "ok": False})
    return cases


def batch() -> Any:
    """Proofs of several leaves at once."""
    cases = []
    for size, indexes in ((1, [0]), (2, [0, 1]), (5, [4]), (7, [0, 6]), (8, [1, 2, 5]), (21, [0, 7, 8, 20])):
        good = {
            "type": "batch_inclusion",
            "case": f"leaves {indexes} of {size}",
            "tree_size": size,
            "leaf_indexes": indexes,
            "leaf_hashes": [_HASHES[index] for index in indexes],
            "root": _root(size),
            "proof": naive_tree.rest(indexes, _HASHES[:size]),
            "ok": True,
        }
        cases.append(good)
        if size == len(_LEAVES):
            continue  # good only: small trees show the damage as well, in fewer bytes
        for damage, proof in _damaged(naive_tree.rest(indexes, _HASHES[:size])):
            cases.append({**good, "case": f"{good['case']}, {damage}", "proof": proof, "ok": False})
        for damage, change in (
            ("an index beyond the tree", {"leaf_indexes": [*indexes[:-1], size]}),
            ("another leaf", {"leaf_hashes": [_FOREIGN, *(_HASHES[index] for index in indexes[1:])]}),
            ("the last leaf twice", {"leaf_indexes": [*indexes, indexes[-1]], "leaf_hashes": _twice(indexes)}),
            ("no leaves, the root as proof", {"leaf_indexes": [], "leaf_hashes": [], "proof": [_root(size)]}),
        ):
            cases.append({**good, "case": f"{good['case']}, {damage}", **change, "ok": False})
    return cases


def leaf_range() -> Any:
    """Proofs that a stretch of leaves is whole."""
    cases = []
    for size, begin, end in ((1, 0, 1), (4, 0, 4), (5, 1, 3), (7, 3, 7), (8, 5, 6), (21, 3, 18)):
        hashes = _HASHES[begin:end]
        good = {
            "type": "range",
            "case": f"leaves [{begin}, {end}) of {size}",
            "tree_size": size,
            "begin": begin,
            "leaf_hashes": hashes,
            "root": _root(size),
            "proof": naive_tree.rest(range(begin, end), _HASHES[:size]),
            "ok": True,
        }
        cases.append(good)
        if size == len(_LEAVES):
            continue  # good only: small trees show the damage as well, in fewer bytes
        for damage, proof in _damaged(naive_tree.rest(range(begin, end), _HASHES[:size])):
            cases.append({**good, "case": f"{good['case']}, {damage}", "proof": proof, "ok": False})
        for damage, change in (
            ("begin + 1", {"begin": begin + 1}),
            ("begin - 1", {"begin": begin - 1}),
            ("the first leaf left out", {"leaf_hashes": hashes[1:]}),
            ("the last leaf left out", {"leaf_hashes": hashes[:-1]}),
            ("a leaf in the middle replaced", {"leaf_hashes": _with_foreign(hashes)}),
            ("a leaf added", {"leaf_hashes": [*hashes, _FOREIGN]}),
            ("no leaves, the root as proof", {"leaf_hashes": [], "proof": [_root(size)]}),
        ):
            cases.append({**good, "case": f"{good['case']}, {damage}", **change, "ok": False})
    return cases


KINDS: dict[str, Callable[[], Any]] = {
    "tree": tree,
    "inclusion": inclusion,
    "consistency": consistency,
    "batch": batch,
    "range": leaf_range,
    "receipts": receipts,
}


def render(kind: str) -> bytes:
    """The bytes of a kind's file."""
    return (json.dumps(KINDS[kind](), indent=1, default=_base64) + "\n").encode("ascii")


def main() -> None:
    for kind in KINDS:
        (FOLDER / f"{kind}.json").write_bytes(render(kind))


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _root(size: int) -> bytes:
    return naive_tree.mth(_HASHES[:size])


def _inclusion(case: str, index: int, size: int) -> dict[str, Any]:
    return {
        "type": "inclusion",
        "case": case,
        "tree_size": size,
        "leaf_index": index,
        "leaf_hash": _HASHES[index],
        "root": _root(size),
        "proof": naive_tree.path(index, _HASHES[:size]),
        "ok": True,
    }


def _consistency(case: str, old: int, new: int) -> dict[str, Any]:
    return {
        "type": "consistency",
        "case": case,
        "old_size": old,
        "new_size": new,
        "old_root": _root(old),
        "new_root": _root(new),
        "proof": naive_tree.proof(old, _HASHES[:new]),
        "ok": True,
    }


def _to_other_tree(old: int, hashes: list[bytes]) -> dict[str, Any]:
    return {"new_root": naive_tree.mth(hashes), "proof": naive_tree.proof(old, hashes)}


def _twice(indexes: list[int]) -> list[bytes]:
    return [_HASHES[index] for index in [*indexes, indexes[-1]]]


def _with_foreign(hashes: list[bytes]) -> list[bytes]:
    middle = len(hashes) // 2
    return [*hashes[:middle], _FOREIGN, *hashes[middle + 1 :]]


def _flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value) ^ 1 << (8 * len(value) - 1 - bit)).to_bytes(len(value))


def _damaged(proof: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Every way in which a list of hashes is spoilt, with its name."""
    yield "a hash added at the end", [*proof, _FOREIGN]
    yield "a hash added in front", [_FOREIGN, *proof]
    for at, value in enumerate(proof):
        before, after = proof[:at], proof[at + 1 :]
        yield f"hash {at} missing", [*before, *after]
        yield f"hash {at} twice", [*before, value, value, *after]
        yield f"hash {at} replaced", [*before, _FOREIGN, *after]
        yield f"hash {at} with the first bit changed", [*before, _flipped(value, 0), *after]
        yield f"hash {at} with the last bit changed", [*before, _flipped(value, 255), *after]
        yield f"hash {at} of 31 bytes", [*before, value[:31], *after]
        yield f"hash {at} of 33 bytes", [*before, value + b"\x00", *after]
        yield f"hash {at} empty", [*before, b"", *after]
        if after:
            yield f"hashes {at} and {at + 1} exchanged", [*before, after[0], value, *after[1:]]


if __name__ == "__main__":
    main()
