"""Parts of the path alone, by pytest-benchmark: for whoever changes one of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import closing

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.workload import Workload, encode
from ledger.events.codec import check_sections
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.proofs import prove_batch_inclusion, prove_consistency, prove_inclusion
from ledger.merkle.verify import verify_consistency, verify_inclusion
from ledger.storage.api import EntryBatch, HeadRecord, StoreMeta
from ledger.storage.lmdb import LmdbStore, create_store

_SIZE = 20_000
_BATCH = 4_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LmdbStore]:
    path = tmp_path_factory.mktemp("tree") / "store"
    head = HeadRecord(0, hashlib.sha256(b"").digest(), (), bytes(32), 0)
    create_store(path, StoreMeta("bench.example/tree", 1), head)
    tree = CompactRange.empty()
    with closing(LmdbStore.open(path)) as opened:
        for begin in range(0, _SIZE, _BATCH):
            hashes = [_leaf_hash(index) for index in range(begin, begin + _BATCH)]
            tree, stored = tree.extend(hashes)
            after = HeadRecord(tree.tree_size, tree.root(), tree.hashes, hashes[-1], 1)
            ids = [b"%012d" % index for index in range(begin, begin + _BATCH)]
            column = [b"."] * _BATCH
            with opened.write() as transaction:
                transaction.append(EntryBatch(begin, column, column, [b""] * _BATCH, ids, b"".join(stored), after))
        yield opened


def _leaf_hash(index: int) -> bytes:
    return hash_leaf(b"%d" % index)


def test_encode_an_event(benchmark: BenchmarkFixture) -> None:
    facts = Workload(1).facts(1)[0]

    assert benchmark(encode, facts).event


def test_check_both_sections(benchmark: BenchmarkFixture) -> None:
    event, personal = Workload(1).pairs(1)[0]

    assert benchmark(check_sections, event, personal)


def test_hash_a_leaf(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(hash_leaf, bytes(160))) == 32


def test_extend_a_tree_by_a_batch(benchmark: BenchmarkFixture) -> None:
    hashes = [_leaf_hash(index) for index in range(1000)]

    assert benchmark(CompactRange.empty().extend, hashes)[0].tree_size == 1000


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_prove_one(benchmark: BenchmarkFixture, store: LmdbStore, kind: str) -> None:
    place = random.Random(1).randrange(1, _SIZE)
    prove = prove_inclusion if kind == "inclusion" else prove_consistency
    with store.read() as snapshot:
        assert benchmark(prove, place, _SIZE, snapshot.hashes)


def test_prove_a_batch_with_shared_nodes(benchmark: BenchmarkFixture, store: LmdbStore) -> None:
    indexes = sorted(random.Random(2).sample(range(_SIZE), 100))
    with store.read() as snapshot:
        shared = benchmark(prove_batch_inclusion, indexes, _SIZE, snapshot.hashes)
        single = sum(len(prove_inclusion(index, _SIZE, snapshot.hashes)) for index in indexes)

    assert len(shared) < single


def test_verify_one(benchmark: BenchmarkFixture, store: LmdbStore) -> None:
    with store.read() as snapshot:
        head = snapshot.head()
        assert head is not None
        index = _SIZE // 3
        proof = prove_inclusion(index, _SIZE, snapshot.hashes)
        consistency = prove_consistency(index, _SIZE, snapshot.hashes)
    first = CompactRange.empty().extend([_leaf_hash(n) for n in range(index)])[0].root()
    verify_consistency(index, first, _SIZE, head.root_hash, consistency)

    benchmark(verify_inclusion, _leaf_hash(index), index, _SIZE, head.root_hash, proof)
