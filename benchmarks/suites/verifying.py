"""B6: what a verifier does: receipts, a whole exported log, the store itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.lab import Case, Lab, Sample, interleave, missing_cases
from benchmarks.own import LOG, OwnServer, own_server, reading
from benchmarks.peers import postgres as pg
from benchmarks.peers import pymerkle as pym
from benchmarks.record import Section
from benchmarks.workload import Workload
from ledger.client import Receipt
from ledger.client.values import Sections
from ledger.engine.fsck import check_log
from ledger.evidence.many_receipts import verify_receipts
from ledger.evidence.receipts import parse_receipt, verify_receipt
from ledger.evidence.tile_log import verify_tile_log
from ledger.notes import parse_verifier_key
from ledger.storage.guard import HighWaterGuard
from ledger.v1 import ledger_pb2
from tests.support.served import run_logproof

TITLE: Final = "B6: verification"
_RECEIPTS: Final = 1000


def measure(lab: Lab) -> Section:
    """Run it."""
    with ExitStack() as stack:
        server = stack.enter_context(own_server(lab.folder("verifying")))
        workload = Workload(lab.seed)
        for _ in range(lab.scale.verify_entries // 1000):
            request = ledger_pb2.AppendBatchRequest(log=LOG, sections=workload.sections(1000))
            server.append_batches(lambda _number, request=request: request, 1, 1)  # type: ignore[misc]
        receipts = _receipts(server, workload)
        tiles = _export(server)
        server.served.stop()
        cases = list(_own_cases(server, receipts, tiles))
        if reason := pym.why_missing():
            cases += missing_cases(reason, [("verifying/pymerkle", "pymerkle", "inclusion proofs", "proofs/s")])
        else:
            cases += _pymerkle_cases(lab)
        if reason := pg.why_missing():
            cases += missing_cases(reason, [("verifying/postgres", "PostgreSQL", "full chain re-hash", "entries/s")])
        else:
            cases += _pg_cases(lab, stack.enter_context(pg.postgres(lab.work)), workload)
        return Section(interleave(lab, cases))


def _receipts(server: OwnServer, workload: Workload) -> list[bytes]:
    """Return receipts under one head, as files."""
    client = server.served.client()
    made: list[Receipt] = client.append_sections([Sections(*pair) for pair in workload.pairs(_RECEIPTS)])
    return [receipt.to_tlog_proof() for receipt in made]


def _export(server: OwnServer) -> Path:
    folder = server.served.folder / "tiles"
    done = run_logproof("export", "tiles", folder, environment=server.served.environment, timeout_seconds=600)
    assert done.returncode == 0, done.stderr
    return folder


def _rate(count: int, work: Callable[[], object]) -> Sample:
    begin = time.perf_counter()
    work()
    return Sample(count / (time.perf_counter() - begin))


def _own_cases(server: OwnServer, receipts: list[bytes], tiles: Path) -> Iterator[Case]:
    verifier = parse_verifier_key(server.served.verifier_key())

    def one_by_one(_round: int) -> Sample:
        def work() -> None:
            for data in receipts:
                verify_receipt(data, verifier)

        return _rate(len(receipts), work)

    def under_one_head(_round: int) -> Sample:
        return _rate(len(receipts), lambda: verify_receipts(receipts, verifier))

    def parsed_before(_round: int) -> Sample:
        parsed = [parse_receipt(data) for data in receipts]
        return _rate(len(receipts), lambda: verify_receipts(parsed, verifier))

    def audit(_round: int) -> Sample:
        begin = time.perf_counter()
        opened = verify_tile_log(lambda path: _fetch(tiles, path), verifier)
        return Sample(opened.checkpoint.tree_size / (time.perf_counter() - begin))

    def check(_round: int) -> Sample:
        with reading(server.store_path) as store:
            guard = HighWaterGuard.open(server.served.data / "guard" / f"{LOG}.guard", store.meta.origin)
            value = guard.value
            guard.close()
            begin = time.perf_counter()
            report = check_log(store, value)
            seconds = time.perf_counter() - begin
        assert report.is_clean, report.findings
        return Sample(report.tree_size / seconds)

    yield Case("verifying/receipts/each", "logproof", "receipts, each with its signature", "receipts/s", one_by_one)
    yield Case(
        "verifying/receipts/one_head",
        "logproof",
        "receipts from files under one head, its signature once",
        "receipts/s",
        under_one_head,
    )
    yield Case(
        "verifying/receipts/parsed",
        "logproof",
        "the same, the files parsed before",
        "receipts/s",
        parsed_before,
    )
    yield Case("verifying/audit", "logproof", "a whole exported log, from its tiles and bundles", "entries/s", audit)
    yield Case("verifying/fsck", "logproof", "fsck: everything from leaves and sections", "entries/s", check)


def _fetch(folder: Path, path: str) -> bytes:
    try:
        return (folder / path).read_bytes()
    except FileNotFoundError:
        raise LookupError(path) from None


def _pymerkle_cases(lab: Lab) -> Iterator[Case]:
    count = lab.scale.verify_entries
    tree = pym.memory_tree([b"%032d" % number for number in range(count)])
    chosen = random.Random(lab.seed)
    proofs = [(index, tree.prove_inclusion(index)) for index in (chosen.randrange(1, count) for _ in range(_RECEIPTS))]

    def run(_round: int) -> Sample:
        def work() -> None:
            for index, proof in proofs:
                pym.verify(tree, index, proof)

        return _rate(len(proofs), work)

    yield Case("verifying/pymerkle", "pymerkle", f"inclusion proofs alone, tree of {count:,}", "proofs/s", run)


def _pg_cases(lab: Lab, peer: pg.Postgres, workload: Workload) -> Iterator[Case]:
    # What jsonb gives back is not the text that the program hashed.
    peer.new_table(trigger=False, lean=True)
    with peer.connect() as connection:
        for _ in range(lab.scale.verify_entries // 1000):
            peer.copy(connection, workload.rows(1000))

    def run(_round: int) -> Sample:
        begin = time.perf_counter()
        count = peer.rehash()
        return Sample(count / (time.perf_counter() - begin))

    yield Case("verifying/postgres", "PostgreSQL", "full chain re-hash in the database", "entries/s", run)
