"""B5: proofs out of the grown log: within a read transaction, and by the batch call.

Proofs of smaller trees come from the same store, which is deeper than a store of their own would be.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Final

from benchmarks.lab import Case, Lab, Sample, interleave, missing_cases
from benchmarks.limits import node_hashes_per_second
from benchmarks.own import OwnServer, reading
from benchmarks.peers import pymerkle as pym
from benchmarks.record import Curve, Row, Section, percentile
from benchmarks.suites.growth import FOLDER
from ledger.merkle.proofs import prove_consistency, prove_inclusion
from ledger.storage.lmdb import LmdbStore

TITLE: Final = "B5: proofs"
_BATCH: Final = 100
_SMALLEST: Final = 1_000


def measure(lab: Lab) -> Section:
    """Run it.

    Raises:
        FileNotFoundError: The log that B4 grows is not there.
    """
    grown = lab.work / FOLDER
    if not grown.is_dir():
        raise FileNotFoundError("B5 reads the log that B4 grows: run both, `--only growth --only proofs`")
    with ExitStack() as stack:
        server = stack.enter_context(closing(OwnServer(grown)))
        store = stack.enter_context(reading(server.store_path))
        cases = list(_own_cases(lab, store, server))
        if reason := pym.why_missing():
            cases += missing_cases(reason, [("proofs/pymerkle", "pymerkle", "inclusion proof", "us")])
        else:
            cases += _peer_cases(lab)
        rows = interleave(lab, cases)
        limit = Row("proofs/limit", "hashlib", "hash of an interior node", "us", [1e6 / node_hashes_per_second()])
        return Section([*rows, limit], [_curve(rows)])


def _sizes(lab: Lab) -> list[int]:
    """Return the tree sizes: powers of ten up to the grown log, and the log itself."""
    sizes = [size for size in (10**exponent for exponent in range(3, 8)) if _SMALLEST <= size < lab.scale.growth]
    return [*sizes, lab.scale.growth]


def _time_each(prove: Callable[[int], object], places: list[int]) -> Sample:
    """Time each proof alone; the figure is the median, microseconds."""
    taken = []
    for place in places:
        begin = time.perf_counter()
        prove(place)
        taken.append(time.perf_counter() - begin)
    return Sample(percentile(taken, 0.5) * 1e6, {"p99_us": percentile(taken, 0.99) * 1e6})


def _own_cases(lab: Lab, store: LmdbStore, server: OwnServer) -> Iterator[Case]:
    def run(kind: str, size: int, number: int) -> Sample:
        chosen = random.Random(lab.seed + number)
        places = [chosen.randrange(1, size) for _ in range(lab.scale.proofs)]
        with store.read() as snapshot:
            if kind == "inclusion":
                return _time_each(lambda place: prove_inclusion(place, size, snapshot.hashes), places)
            return _time_each(lambda place: prove_consistency(place, size, snapshot.hashes), places)

    def batches(number: int) -> Sample:
        chosen = random.Random(lab.seed + number)
        count = lab.scale.proofs * 4 // _BATCH
        wanted = [sorted(chosen.sample(range(lab.scale.growth), _BATCH)) for _ in range(count)]
        return server.prove_batches(wanted, 4).sample(count * _BATCH)

    for kind in ("inclusion", "consistency"):
        for size in _sizes(lab):
            yield Case(
                f"proofs/logproof/{kind}/{size}",
                "logproof",
                f"{kind} proof, random leaf of {size:,}, in a read transaction",
                "us",
                partial(run, kind, size),
            )
    yield Case(
        "proofs/batch",
        "logproof",
        f"BatchGetInclusionProof({_BATCH}), random leaves of {lab.scale.growth:,}, 4 in flight",
        "proofs/s",
        batches,
    )


def _peer_cases(lab: Lab) -> Iterator[Case]:
    def run(tree: Any, kind: str, size: int, number: int) -> Sample:
        chosen = random.Random(lab.seed + number)
        places = [chosen.randrange(1, size) for _ in range(max(lab.scale.proofs // 5, 10))]
        return _time_each(tree.prove_inclusion if kind == "inclusion" else tree.prove_consistency, places)

    for size in lab.scale.proof_sizes:
        entries = [b"%032d" % number for number in range(size)]
        folder = lab.folder(f"proofs_pymerkle_{size}")
        trees = (("memory", pym.memory_tree(entries)), ("sqlite", pym.sqlite_tree(folder / "tree.db", entries)))
        for name, tree in trees:
            for kind in ("inclusion", "consistency"):
                yield Case(
                    f"proofs/pymerkle_{name}/{kind}/{size}",
                    f"pymerkle, {'SqliteTree' if name == 'sqlite' else 'InmemoryTree'}",
                    f"{kind} proof, random leaf of {size:,}",
                    "us",
                    partial(run, tree, kind, size),
                )


def _curve(rows: list[Row]) -> Curve:
    curve = Curve("proofs", "Inclusion proof of a random leaf, median", "tree size", "us")
    for row in rows:
        parts = row.key.split("/")
        if parts[2:3] == ["inclusion"] and row.runs:
            curve.lines.setdefault(row.system, []).append((float(parts[3]), row.median))
    return curve
