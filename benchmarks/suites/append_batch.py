"""B1: durable appends in batches.

Prepared: every system gets its own form of the events before the clock starts, and its client encodes and sends them
inside the timing. From facts: making that form is inside the timing as well, for all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from benchmarks.driving import drive_threads
from benchmarks.lab import Case, Lab, Sample, interleave, missing_cases, number_of
from benchmarks.limits import bare_commits
from benchmarks.own import LOG, PATIENT, OwnServer, own_server
from benchmarks.peers import postgres as pg
from benchmarks.peers import umadb as uma
from benchmarks.record import Section
from benchmarks.workload import Workload, encode, encode_row
from ledger.engine.kernel import PYTHON, SWITCH, installed_kernel
from ledger.v1 import ledger_pb2

TITLE: Final = "B1: durable appends in batches"
_UNIT: Final = "events/s"
_SIZES: Final = ((1000, 1), (1000, 4), (1000, 16), (100, 1), (100, 4), (100, 16))
_UMA_SIZES: Final = ((1000, 1), (1000, 2), (1000, 4), (100, 4), (100, 16))
_KINDS: Final = ((True, "both", "both sections"), (False, "event", "event only"))
_COMMIT_DELAY: Final = "100000"


def measure(lab: Lab) -> Section:
    """Run it."""
    with ExitStack() as stack:
        server = stack.enter_context(own_server(lab.folder("append_batch"), *PATIENT))
        workload = Workload(lab.seed)
        cases = [*_own_cases(lab, server, workload), *_limit_cases(lab, workload)]
        if installed_kernel() is not PYTHON:
            off = own_server(lab.folder("append_batch_python"), *PATIENT, variables={SWITCH: "off"})
            cases += _python_cases(lab, stack.enter_context(off), Workload(lab.seed + 1))
        if reason := uma.why_missing():
            cases += missing_cases(reason, [("append_batch/umadb", "UmaDB", "append", _UNIT)])
        else:
            peer = stack.enter_context(uma.umadb(lab.folder("append_batch_umadb")))
            cases += _uma_cases(lab, peer, workload)
        if reason := pg.why_missing():
            cases += missing_cases(reason, [("append_batch/postgres", "PostgreSQL", "COPY with chain", _UNIT)])
        else:
            cases += _pg_cases(lab, stack.enter_context(pg.postgres(lab.work)), workload)
        return Section(interleave(lab, cases))


def _events(lab: Lab, size: int, in_flight: int) -> int:
    """Return how many events one run takes: whole batches, and some for each in flight."""
    return max(lab.scale.batch_events // size, 2 * in_flight if lab.scale.rounds > 1 else 1) * size


def _own_cases(lab: Lab, server: OwnServer, workload: Workload) -> Iterator[Case]:
    for personal, kind, words in _KINDS:
        for size, in_flight in _SIZES:
            yield Case(
                f"append_batch/logproof/{size}/{kind}/{in_flight}",
                "logproof",
                f"AppendBatch({size}), {in_flight} in flight, {words}",
                _UNIT,
                partial(_own_prepared, lab, server, workload, size, in_flight, personal),
            )
    yield Case(
        "append_batch_from_facts/logproof",
        "logproof",
        "AppendBatch(1000), 4 in flight, both sections, from facts",
        _UNIT,
        partial(_own_from_facts, lab, server, workload, 1000, 4),
    )


def _python_cases(lab: Lab, server: OwnServer, workload: Workload) -> Iterator[Case]:
    """The same by the Python kernel, which runs where the native one is not installed."""
    for personal, kind, words in _KINDS:
        yield Case(
            f"append_batch/python/1000/{kind}/4",
            "logproof, Python kernel",
            f"AppendBatch(1000), 4 in flight, {words}",
            _UNIT,
            partial(_own_prepared, lab, server, workload, 1000, 4, personal),
        )


def _own_prepared(
    lab: Lab, server: OwnServer, workload: Workload, size: int, in_flight: int, personal: bool, _round: int
) -> Sample:
    events = _events(lab, size, in_flight)
    requests = [
        ledger_pb2.AppendBatchRequest(log=LOG, sections=workload.sections(size, personal=personal))
        for _ in range(events // size)
    ]
    return server.append_batches(requests.__getitem__, len(requests), in_flight).sample(events)


def _own_from_facts(lab: Lab, server: OwnServer, workload: Workload, size: int, in_flight: int, _round: int) -> Sample:
    events = _events(lab, size, in_flight)
    facts = workload.facts(events)

    def request(number: int) -> ledger_pb2.AppendBatchRequest:
        part = facts[number * size : (number + 1) * size]
        return ledger_pb2.AppendBatchRequest(log=LOG, sections=map(encode, part))

    return server.append_batches(request, events // size, in_flight).sample(events)


def _limit_cases(lab: Lab, workload: Workload) -> Iterator[Case]:
    def run(size: int, number: int) -> Sample:
        values = [event + personal for event, personal in workload.pairs(lab.scale.batch_events)]
        return Sample(bare_commits(lab.folder(f"append_batch_limit_{size}_{number}"), values, size))

    for size in (1000, 100):
        yield Case(
            f"append_batch/limit/{size}",
            "LMDB alone",
            f"the same bytes, {size} in a synced commit",
            _UNIT,
            partial(run, size),
        )


def _uma_cases(lab: Lab, peer: uma.UmaDb, workload: Workload) -> Iterator[Case]:
    def prepared(size: int, clients: int, lean: bool, _round: int) -> Sample:
        events = _events(lab, size, clients)
        batches = [peer.events(workload.rows(size), lean=lean) for _ in range(events // size)]
        return _threads(peer.appenders(clients, batches.__getitem__), len(batches), events)

    def from_facts(size: int, clients: int, _round: int) -> Sample:
        events = _events(lab, size, clients)
        facts = workload.facts(events)

        def batch(number: int) -> list[Any]:
            return peer.events([encode_row(one) for one in facts[number * size : (number + 1) * size]])

        return _threads(peer.appenders(clients, batch), events // size, events)

    for size, clients in _UMA_SIZES:
        yield Case(
            f"append_batch/umadb/{size}/{clients}",
            "UmaDB",
            f"append of {size}, {number_of(clients, 'client')}",
            _UNIT,
            partial(prepared, size, clients, False),
        )
    yield Case(
        "append_batch/umadb_lean/1000/4",
        "UmaDB, lean",
        "append of 1000, 4 clients",
        _UNIT,
        partial(prepared, 1000, 4, True),
    )
    yield Case(
        "append_batch_from_facts/umadb",
        "UmaDB",
        "append of 1000, 4 clients, from facts",
        _UNIT,
        partial(from_facts, 1000, 4),
    )


def _pg_cases(lab: Lab, peer: pg.Postgres, workload: Workload) -> Iterator[Case]:
    # One table for each way, so that none pays for the rows of another.
    def run(way: str, size: int, lean: bool, _round: int) -> Sample:
        events = _events(lab, size, 1)
        batches = [workload.rows(size) for _ in range(events // size)]
        peer.new_table(trigger=False, lean=lean)
        with peer.connect() as connection:
            append = peer.copy if way == "copy" else peer.insert_many
            return _threads([lambda number: append(connection, batches[number])], len(batches), events)

    def delayed(size: int, number: int) -> Sample:
        peer.set_option("commit_delay", _COMMIT_DELAY)
        try:
            return run("copy", size, False, number)
        finally:
            peer.set_option("commit_delay", "0")

    def from_facts(size: int, _round: int) -> Sample:
        events = _events(lab, size, 1)
        facts = workload.facts(events)
        peer.new_table(trigger=False)

        with peer.connect() as connection:

            def append(number: int) -> None:
                part = facts[number * size : (number + 1) * size]
                peer.copy(connection, [encode_row(one) for one in part])

            return _threads([append], events // size, events)

    words = "chain in the program, 1 client"
    for size in (1000, 100):
        yield Case(
            f"append_batch/postgres/copy/{size}",
            "PostgreSQL",
            f"COPY of {size}, {words}",
            _UNIT,
            partial(run, "copy", size, False),
        )
    yield Case(
        "append_batch/postgres/executemany/1000",
        "PostgreSQL",
        f"executemany of 1000, {words}",
        _UNIT,
        partial(run, "executemany", 1000, False),
    )
    yield Case(
        "append_batch/postgres_lean/copy/1000",
        "PostgreSQL, lean",
        f"COPY of 1000, {words}",
        _UNIT,
        partial(run, "copy", 1000, True),
    )
    yield Case(
        "append_batch/postgres_delay/copy/1000",
        "PostgreSQL, commit_delay",
        f"COPY of 1000, {words}, commit_delay={_COMMIT_DELAY}",
        _UNIT,
        partial(delayed, 1000),
    )
    yield Case(
        "append_batch_from_facts/postgres",
        "PostgreSQL",
        f"COPY of 1000, {words}, from facts",
        _UNIT,
        partial(from_facts, 1000),
    )


def _threads(calls: list[Callable[[int], object]], count: int, events: int) -> Sample:
    return drive_threads(calls, count).sample(events)
