"""B3: latency of single appends that come when they come, and what happens at four times the capacity.

Calls are due at the times of a Poisson process, and a call's latency counts from the moment it was due: a server that
stalls is not excused by a client that waits. Overload is offered in batches, because a client on the same two cores
cannot send four times as many single calls as the server takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from benchmarks.driving import Timing, arrivals, open_loop_threads
from benchmarks.lab import Case, Lab, Sample, interleave, missing_cases
from benchmarks.own import LOG, OwnServer, count_lost, own_server
from benchmarks.peers import postgres as pg
from benchmarks.record import Row, Section, percentile
from benchmarks.workload import Workload
from ledger.v1 import ledger_pb2

TITLE: Final = "B3: latency in an open loop, and overload"
_SHARES: Final = (25, 50, 75)
_CAPACITY_CALLERS: Final = 64
_PG_CLIENTS: Final = 16
_OVERLOAD: Final = 4.0
_OVERLOAD_BATCH: Final = 100


def measure(lab: Lab) -> Section:
    """Run it."""
    with ExitStack() as stack:
        server = stack.enter_context(own_server(lab.folder("latency")))
        workload = Workload(lab.seed)
        sections = workload.sections(lab.scale.calls)
        capacity = len(sections) / server.append_each(sections, _CAPACITY_CALLERS).seconds
        lab.say(f"  capacity with {_CAPACITY_CALLERS} callers: {capacity:,.0f} events/s")
        cases = list(_own_cases(lab, server, workload, capacity))
        if reason := pg.why_missing():
            cases += missing_cases(reason, [("latency/postgres", "PostgreSQL", "INSERT, chain in a trigger", "ms")])
        else:
            cases += _pg_cases(lab, stack.enter_context(pg.postgres(lab.work)), workload, capacity)
        rows = interleave(lab, cases)
        overload, facts = _overload(lab, server, workload)
        return Section([*rows, *overload], facts={"capacity_events_per_s": capacity, **facts})


def _p99(timing: Timing) -> Sample:
    return Sample(timing.quantiles()["p99_ms"], timing.quantiles())


def _own_cases(lab: Lab, server: OwnServer, workload: Workload, capacity: float) -> Iterator[Case]:
    def load(share: int, number: int) -> Sample:
        due = arrivals(capacity * share / 100, lab.scale.open_loop_seconds, lab.seed + number)
        requests = [ledger_pb2.AppendRequest(log=LOG, sections=one) for one in workload.sections(len(due))]
        return _p99(server.append_when_due(requests, due))

    for share in _SHARES:
        yield Case(
            f"latency/logproof/{share}",
            "logproof",
            f"Append at {share} % of its capacity, p99",
            "ms",
            partial(load, share),
        )


def _pg_cases(lab: Lab, peer: pg.Postgres, workload: Workload, capacity: float) -> Iterator[Case]:
    def load(share: int, number: int) -> Sample:
        due = arrivals(capacity * share / 100, lab.scale.open_loop_seconds, lab.seed + number)
        rows = workload.rows(len(due))
        peer.new_table(trigger=True)
        with peer.inserters(_PG_CLIENTS, rows) as inserters:
            return _p99(open_loop_threads(inserters, due))

    for share in _SHARES:
        yield Case(
            f"latency/postgres/{share}",
            "PostgreSQL",
            f"the load of {share} %, chain in a trigger, {_PG_CLIENTS} clients, p99",
            "ms",
            partial(load, share),
        )


def _overload(lab: Lab, server: OwnServer, workload: Workload) -> tuple[list[Row], dict[str, float | str]]:
    """Offer half of what it can take and four times that, and look at memory and at every acknowledged event."""
    acknowledged: dict[bytes, int] = {}
    size = _OVERLOAD_BATCH
    count = max(lab.scale.batch_events // size // 2, 4)
    warm = [ledger_pb2.AppendBatchRequest(log=LOG, sections=workload.sections(size)) for _ in range(count)]
    capacity = count * size / server.append_batches(warm.__getitem__, count, 4).seconds
    half = Row("overload/half", "logproof", f"AppendBatch({size}) at half its capacity, p99", "ms")
    over = Row(
        "overload/over",
        "logproof",
        f"AppendBatch({size}) at {_OVERLOAD:.0f} times its capacity, p99 of accepted calls",
        "ms",
    )
    refused: dict[str, int] = {}
    offered, late, memory = [], [], [server.resident_bytes() / 1e6]
    for number in range(lab.scale.rounds):
        for row, rate in ((half, 0.5), (over, _OVERLOAD)):
            due = arrivals(rate * capacity / size, lab.scale.open_loop_seconds / 2, lab.seed + number)
            batches = [workload.pairs(size) for _ in due]
            timing = server.append_batches_when_due(
                [_serialise(batch) for batch in batches], due, partial(_remember, acknowledged, batches)
            )
            row.runs.append(timing.quantiles()["p99_ms"])
            for name, value in timing.quantiles().items():
                row.details.setdefault(name, []).append(value)
            if row is over:
                memory.append(server.resident_bytes() / 1e6)
                late.append(percentile(timing.lateness, 0.99) * 1e3)
                offered.append(len(due) * size / timing.sent_seconds / capacity)
                for reason, times in timing.failures.items():
                    refused[reason] = refused.get(reason, 0) + times
        lab.say(f"  round {number + 1}: half {half.runs[-1]:,.1f} ms, overload {over.runs[-1]:,.1f} ms, {refused}")
    server.served.stop()
    return [half, over], {
        "overload_capacity_events_per_s": capacity,
        # What could be sent in the time, not what was meant to be.
        "overload_offered_times": min(offered),
        # Part of each latency, and not the server's.
        "overload_client_late_p99_ms": max(late),
        "overload_acknowledged": len(acknowledged),
        "overload_lost": count_lost(server.store_path, acknowledged),
        "overload_refused_calls": sum(refused.values()),
        "overload_refused_reasons": ", ".join(f"{reason} {times}" for reason, times in sorted(refused.items()))
        or "none",
        # The first round takes what a full queue needs; after it nothing may grow.
        "overload_memory_before_mb": memory[0],
        "overload_memory_first_mb": memory[1],
        "overload_memory_last_mb": memory[-1],
    }


def _serialise(batch: Sequence[tuple[bytes, bytes]]) -> bytes:
    sections = [ledger_pb2.EventSections(event=event, personal=personal) for event, personal in batch]
    return ledger_pb2.AppendBatchRequest(log=LOG, sections=sections).SerializeToString()


def _remember(
    acknowledged: dict[bytes, int], batches: Sequence[Sequence[tuple[bytes, bytes]]], number: int, answer: Any
) -> None:
    """Note the index of each acknowledged event by its id."""
    for (event, _), told in zip(batches[number], answer.acknowledgements, strict=True):
        acknowledged[event_id_of(event)] = told.leaf_index


def event_id_of(event: bytes) -> bytes:
    """Return the id in an event section of the workload: field 2, 36 characters, after the schema version."""
    assert event[2:4] == b"\x12\x24", event[:4]
    return event[4:40]
