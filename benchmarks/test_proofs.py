"""B5: proofs out of the store at several sizes, against what the hash function alone would allow.

The tree is stored as the product stores it; a proof reads packed hashes in one read transaction. Growth of the tree
must not show: a proof is about log2(n) look-ups.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figures
from ledger.merkle.compact import CompactRange
from ledger.merkle.proofs import prove_batch_inclusion, prove_consistency, prove_inclusion
from ledger.merkle.verify import verify_consistency, verify_inclusion
from ledger.storage.api import EntryBatch, HeadRecord, StoreMeta
from ledger.storage.lmdb import LmdbStore, create_store

_BATCH = 4000
_SAMPLES = 200


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Iterator[dict[int, LmdbStore]]:
    sizes = [1_000, 100_000, 1_000_000] if full else [1_000, 20_000]
    stores = {size: _tree(tmp_path_factory.mktemp("tree") / "store", size) for size in sizes}
    yield stores
    for store in stores.values():
        store.close()


def _tree(path: Path, size: int) -> LmdbStore:
    head = HeadRecord(0, hashlib.sha256(b"").digest(), (), bytes(32), 0)
    create_store(path, StoreMeta("bench.example/tree", 1), head)
    store = LmdbStore.open(path)
    tree = CompactRange.empty()
    for begin in range(0, size, _BATCH):
        count = min(_BATCH, size - begin)
        hashes = [hashlib.sha256(b"%d" % index).digest() for index in range(begin, begin + count)]
        tree, stored = tree.extend(hashes)
        after = HeadRecord(tree.tree_size, tree.root(), tree.hashes, hashes[-1], 1)
        ids = [b"%012d" % index for index in range(begin, begin + count)]
        with store.write() as transaction:
            transaction.append(EntryBatch(begin, [b"."] * count, [b"."] * count, [b""] * count, ids, stored, after))
    return store


def _node_hashes_per_second(benchmark_rounds: int = 200_000) -> float:
    import timeit

    data = b"\x01" + bytes(64)
    return benchmark_rounds / min(
        timeit.repeat(lambda: hashlib.sha256(data).digest(), number=benchmark_rounds, repeat=3)
    )


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_a_proof_costs_the_same_at_every_size(
    benchmark: BenchmarkFixture, trees: dict[int, LmdbStore], figures: Figures, kind: str
) -> None:
    chosen = random.Random(1)
    limit = _node_hashes_per_second()

    def prove(store: LmdbStore, size: int) -> int:
        total = 0
        with store.read() as snapshot:
            for _ in range(_SAMPLES):
                place = chosen.randrange(1, size)
                proof = (
                    prove_inclusion(place, size, snapshot.hashes)
                    if kind == "inclusion"
                    else prove_consistency(place, size, snapshot.hashes)
                )
                total += len(proof)
        return total

    import timeit

    for size, store in trees.items():
        hashes = prove(store, size)
        seconds = min(timeit.repeat(partial(prove, store, size), number=1, repeat=7)) / _SAMPLES
        needed = hashes / _SAMPLES / limit
        figures.add(
            f"B5 {kind} proof, tree of {size:,}, random leaf",
            f"{seconds * 1e6:.0f} us",
            f"{needed / seconds:.2f} of the rate of its node hashes alone",
        )
    size, store = max(trees.items())
    benchmark.extra_info["tree_size"] = size
    benchmark(prove, store, size)


def test_a_batch_proof_shares_its_nodes(
    benchmark: BenchmarkFixture, trees: dict[int, LmdbStore], figures: Figures
) -> None:
    size, store = max(trees.items())
    indexes = sorted(random.Random(2).sample(range(size), 100))

    def prove() -> int:
        with store.read() as snapshot:
            return len(prove_batch_inclusion(indexes, size, snapshot.hashes))

    shared = benchmark(prove)
    with store.read() as snapshot:
        single = sum(len(prove_inclusion(index, size, snapshot.hashes)) for index in indexes)
    figures.add(f"B5 batch proof of 100 random leaves of {size:,}", f"{shared} hashes", f"{single} in single proofs")
    assert shared < single


def test_proofs_verify_faster_than_they_are_made(
    benchmark: BenchmarkFixture, trees: dict[int, LmdbStore], figures: Figures
) -> None:
    size, store = max(trees.items())
    with store.read() as snapshot:
        head = snapshot.head()
        assert head is not None
        index = size // 3
        proof = prove_inclusion(index, size, snapshot.hashes)
        leaf_hash = hashlib.sha256(b"%d" % index).digest()
        consistency = prove_consistency(index, size, snapshot.hashes)
        first = CompactRange.empty().extend([hashlib.sha256(b"%d" % n).digest() for n in range(index)])[0].root()
    verify_consistency(index, first, size, head.root_hash, consistency)
    benchmark(verify_inclusion, leaf_hash, index, size, head.root_hash, proof)
    figures.add(f"B5 verify an inclusion proof, tree of {size:,}", f"{len(proof)} hashes", "see the table above")
