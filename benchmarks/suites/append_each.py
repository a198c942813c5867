"""B2: one event a call, from 1 to 256 callers, and by the SDK, which makes batches of them behind the scenes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks.driving import drive_threads
from benchmarks.lab import Case, Lab, Sample, interleave, missing_cases, number_of
from benchmarks.limits import NullServer, durable_commits, null_server
from benchmarks.own import PATIENT, OwnServer, own_server
from benchmarks.peers import postgres as pg
from benchmarks.peers import umadb as uma
from benchmarks.record import Section
from benchmarks.workload import Workload

TITLE: Final = "B2: one event a call"
_UNIT: Final = "events/s"
_CALLERS: Final = (1, 16, 64, 256)
_SDK_CALLERS: Final = 64


def measure(lab: Lab) -> Section:
    """Run it."""
    with ExitStack() as stack:
        server = stack.enter_context(own_server(lab.folder("append_each"), *PATIENT))
        null = stack.enter_context(null_server())
        workload = Workload(lab.seed)
        cases = [*_own_cases(lab, server, workload), *_limit_cases(lab, null)]
        if reason := uma.why_missing():
            cases += missing_cases(reason, [("append_each/umadb", "UmaDB", "append of 1", _UNIT)])
        else:
            cases += _uma_cases(lab, stack.enter_context(uma.umadb(lab.folder("append_each_umadb"))), workload)
        if reason := pg.why_missing():
            cases += missing_cases(
                reason, [("append_each/postgres", "PostgreSQL", "INSERT, chain in a trigger", _UNIT)]
            )
        else:
            cases += _pg_cases(lab, stack.enter_context(pg.postgres(lab.work)), workload)
        rows = interleave(lab, cases)
    return Section(rows)


def _calls(lab: Lab, callers: int) -> int:
    return lab.scale.calls // 5 if callers == 1 else lab.scale.calls


def _own_cases(lab: Lab, server: OwnServer, workload: Workload) -> Iterator[Case]:
    def each(callers: int, _round: int) -> Sample:
        sections = workload.sections(_calls(lab, callers))
        return server.append_each(sections, callers).sample(len(sections))

    def sdk(_round: int) -> Sample:
        facts = workload.facts(2 * _calls(lab, _SDK_CALLERS))
        return server.append_by_sdk(facts, _SDK_CALLERS).sample(len(facts))

    for callers in _CALLERS:
        yield Case(
            f"append_each/logproof/{callers}",
            "logproof",
            f"Append, {number_of(callers, 'caller')}",
            _UNIT,
            partial(each, callers),
        )
    yield Case(
        f"append_each/sdk/{_SDK_CALLERS}",
        "logproof SDK",
        f"append() from facts, {_SDK_CALLERS} tasks of AsyncLedger, receipts verified",
        _UNIT,
        sdk,
    )


def _limit_cases(lab: Lab, null: NullServer) -> Iterator[Case]:
    def call(callers: int, _round: int) -> Sample:
        count = _calls(lab, callers)
        return null.call(count, callers).sample(count)

    def commit(number: int) -> Sample:
        count = _calls(lab, 1)
        return durable_commits(lab.folder(f"append_each_commits_{number}"), count).sample(count)

    for callers in _CALLERS:
        yield Case(
            f"append_each/null/{callers}",
            "null handler",
            f"empty gRPC call, {number_of(callers, 'caller')}",
            "calls/s",
            partial(call, callers),
        )
    yield Case(
        "append_each/commit", "store and guard alone", "one entry a synced commit, guard synced after it", _UNIT, commit
    )


def _uma_cases(lab: Lab, peer: uma.UmaDb, workload: Workload) -> Iterator[Case]:
    def each(clients: int, lean: bool, _round: int) -> Sample:
        events = peer.events(workload.rows(_calls(lab, clients)), lean=lean)
        return drive_threads(peer.appenders(clients, lambda number: [events[number]]), len(events)).sample(len(events))

    for clients in _CALLERS:
        words = f"append of 1, {number_of(clients, 'client')}"
        yield Case(f"append_each/umadb/{clients}", "UmaDB", words, _UNIT, partial(each, clients, False))
    yield Case("append_each/umadb_lean/64", "UmaDB, lean", "append of 1, 64 clients", _UNIT, partial(each, 64, True))


def _pg_cases(lab: Lab, peer: pg.Postgres, workload: Workload) -> Iterator[Case]:
    def each(clients: int, lean: bool, _round: int) -> Sample:
        # With the chain in a trigger more clients make it slower, so fewer rows say as much.
        rows = workload.rows(max(_calls(lab, clients) // (3 if clients > 16 else 1), clients))
        peer.new_table(trigger=True, lean=lean)
        with peer.inserters(clients, rows) as inserters:
            return drive_threads(inserters, len(rows)).sample(len(rows))

    words = "INSERT, chain in a trigger"
    for clients in _CALLERS:
        yield Case(
            f"append_each/postgres/{clients}",
            "PostgreSQL",
            f"{words}, {number_of(clients, 'client')}",
            _UNIT,
            partial(each, clients, False),
        )
    yield Case(
        "append_each/postgres_lean/64", "PostgreSQL, lean", f"{words}, 64 clients", _UNIT, partial(each, 64, True)
    )
