"""B4: what grows with the log: rate, memory, disk, start-up; and what must not.

The own log grows once, through the server, in batches of 1,000 with ids in order of time. It stays on the disk for the
benchmark of proofs. Growth takes minutes, in which a machine may change its speed; so the last tenth is appended in
turns with the first tenth of a fresh log on a server of its own, slice by slice, and these two are compared.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import lmdb

from benchmarks.driving import drive_threads
from benchmarks.lab import Lab
from benchmarks.own import LOG, OwnServer
from benchmarks.peers import postgres as pg
from benchmarks.peers import umadb as uma
from benchmarks.record import Curve, Row, Section
from benchmarks.workload import Workload
from ledger.v1 import ledger_pb2

TITLE: Final = "B4: growth"
FOLDER: Final = "growth"
_BATCH: Final = 1000
_IN_FLIGHT: Final = 4
_START_ROUNDS: Final = 3


def measure(lab: Lab) -> Section:
    """Run it."""
    rate = Curve("growth_rate", "Append rate while the log grows", "entries in the log", "events/s")
    memory = Curve("growth_memory", "Memory of the serving process (RssAnon)", "entries in the log", "MB")
    start = Curve("growth_start", "Start-up until the first verified head", "entries in the log", "s")
    disk = Curve("growth_disk", "Disk while the log grows", "entries in the log", "bytes/entry")
    section = Section(curves=[rate, memory, disk, start])
    with closing(OwnServer(lab.folder(FOLDER))) as server:
        wire, fresh = _grow_own(lab, server, section.curves)
        slices = [y for _, y in rate.lines["logproof"]]
        part = len(fresh)
        for key, words, chosen in (
            ("first", "first tenth of the growth", slices[:part]),
            ("last", "last tenth of the growth", slices[-part:]),
            ("fresh", "a fresh log, in turns with that last tenth", fresh),
        ):
            section.rows.append(Row(f"growth/{key}", "logproof", f"AppendBatch(1000), {words}", "events/s", chosen))
        section.rows.append(
            Row(
                "growth/memory",
                "logproof",
                "RssAnon of the serving process, highest",
                "MB",
                [max(y for _, y in memory.lines["logproof"])],
            )
        )
        _restart(section, server, start, lab.scale.growth)
        server.served.stop()
        _measure_disk(section, server.store_path, lab.scale.growth, wire)
    with ExitStack() as stack:
        _grow_peers(lab, stack, section, rate)
    return section


def _grow_own(lab: Lab, server: OwnServer, curves: list[Curve]) -> tuple[int, list[float]]:
    """Fill the log and note a point for each slice.

    Returns:
        The bytes of all sections, and the rates of the slices of a fresh log that were appended in turns with the last.
    """
    scale = lab.scale
    wire = 0
    rates, resident, occupied, starts = (curve.lines.setdefault("logproof", []) for curve in curves)
    file = server.store_path / "data.mdb"
    begins = range(0, scale.growth, scale.slice_entries)
    alone = len(begins) - max(len(begins) // 10, 1)
    workload, other = Workload(lab.seed), Workload(lab.seed)
    fresh: list[float] = []
    beside: OwnServer | None = None
    with ExitStack() as stack:
        for number, begin in enumerate(begins):
            if number == alone:
                beside = stack.enter_context(closing(OwnServer(lab.folder("growth_fresh"))))
            entries = min(scale.slice_entries, scale.growth - begin)
            end = begin + entries
            # Each of the two goes first in every other turn.
            if beside is not None and number % 2:
                fresh.append(_append_slice(beside, other, entries)[0])
            speed, size = _append_slice(server, workload, entries)
            if beside is not None and not number % 2:
                fresh.append(_append_slice(beside, other, entries)[0])
            wire += size
            rates.append((end, speed))
            resident.append((end, server.resident_bytes() / 1e6))
            occupied.append((end, file.stat().st_blocks * 512 / end))
            if end.bit_count() == 1 or begin == 0 or end % (10 * scale.slice_entries) == 0:
                lab.say(f"  {end:,} entries: {speed:,.0f} events/s, RssAnon {resident[-1][1]:.0f} MB")
            if begin == 0:
                server.restart()
                starts.append((end, server.first_head_seconds))
    return wire, fresh


def _append_slice(server: OwnServer, workload: Workload, entries: int) -> tuple[float, int]:
    """Append so many entries; return their rate, and the bytes of their sections."""
    requests, size = [], 0
    for _ in range(entries // _BATCH):
        sections = workload.sections(_BATCH)
        size += sum(len(one.event) + len(one.personal) for one in sections)
        requests.append(ledger_pb2.AppendBatchRequest(log=LOG, sections=sections))
    timing = server.append_batches(requests.__getitem__, len(requests), _IN_FLIGHT)
    return len(requests) * _BATCH / timing.seconds, size


def _restart(section: Section, server: OwnServer, start: Curve, entries: int) -> None:
    ready, first = [], []
    for _ in range(_START_ROUNDS):
        ready.append(server.restart())
        first.append(server.first_head_seconds)
    section.rows.append(Row("growth/ready", "logproof", f"start-up until ready, {entries:,} entries", "s", ready))
    section.rows.append(
        Row("growth/start", "logproof", f"start-up until the first verified head, {entries:,} entries", "s", first)
    )
    start.lines["logproof"].append((entries, sorted(first)[1]))


def _measure_disk(section: Section, store: Path, entries: int, wire: int) -> None:
    """Note the bytes of an entry in each table, and in the whole file beyond the sections as they were sent."""
    occupied = (store / "data.mdb").stat().st_blocks * 512

    def add(key: str, work: str, value: float) -> None:
        section.rows.append(Row(key, "logproof", work, "bytes/entry", [value]))

    environment = lmdb.open(str(store), readonly=True, max_dbs=16, map_size=1 << 40)
    with environment.begin() as transaction:
        for name, _ in transaction.cursor():
            if name in {b"meta", b"records"}:
                continue
            table = environment.open_db(name, transaction, create=False)
            found = transaction.stat(table)
            pages = found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
            add(f"growth/disk/{name.decode()}", f"table `{name.decode()}`", pages * found["psize"] / entries)
    environment.close()
    add("growth/disk", "whole file", occupied / entries)
    add("growth/wire", "both sections as sent", wire / entries)
    add("growth/overhead", "whole file beyond the sections as sent", (occupied - wire) / entries)


def _grow_peers(lab: Lab, stack: ExitStack, section: Section, rate: Curve) -> None:
    scale = lab.scale
    workload = Workload(lab.seed)
    if reason := uma.why_missing():
        section.rows.append(Row("growth/umadb", "UmaDB", "append of 1000, 4 clients", "events/s", missing=reason))
    else:
        folder = lab.folder("growth_umadb")
        with uma.umadb(folder) as store:
            points = rate.lines.setdefault("UmaDB", [])
            for begin in range(0, scale.peer_growth, scale.slice_entries):
                batches = [store.events(workload.rows(_BATCH)) for _ in range(scale.slice_entries // _BATCH)]
                timing = drive_threads(store.appenders(4, batches.__getitem__), len(batches))
                points.append((begin + scale.slice_entries, scale.slice_entries / timing.seconds))
            _note_growth(section, "umadb", "UmaDB", "append of 1000, 4 clients", points)
            size = sum(path.stat().st_blocks * 512 for path in folder.rglob("uma.db*") if path.is_file())
            section.rows.append(
                Row("growth/disk/umadb", "UmaDB", "whole database", "bytes/entry", [size / scale.peer_growth])
            )
    if reason := pg.why_missing():
        section.rows.append(Row("growth/postgres", "PostgreSQL", "COPY with chain", "events/s", missing=reason))
        return
    table = stack.enter_context(pg.postgres(lab.work))
    table.new_table(trigger=False)
    points = rate.lines.setdefault("PostgreSQL", [])
    with table.connect() as connection:
        for begin in range(0, scale.peer_growth, scale.slice_entries):
            rows = [workload.rows(_BATCH) for _ in range(scale.slice_entries // _BATCH)]
            timing = drive_threads([lambda number, rows=rows: table.copy(connection, rows[number])], len(rows))  # type: ignore[misc]
            points.append((begin + scale.slice_entries, scale.slice_entries / timing.seconds))
    _note_growth(section, "postgres", "PostgreSQL", "COPY of 1000, chain in the program", points)
    size = table.bytes_on_disk()
    section.rows.append(
        Row(
            "growth/disk/postgres",
            "PostgreSQL",
            "table with its indexes",
            "bytes/entry",
            [size / scale.peer_growth],
        )
    )


def _note_growth(section: Section, key: str, system: str, work: str, points: list[tuple[float, float]]) -> None:
    part = max(len(points) // 10, 1)
    for name, words, chosen in (("first", "first", points[:part]), ("last", "last", points[-part:])):
        section.rows.append(
            Row(
                f"growth/{key}/{name}",
                system,
                f"{work}, {words} tenth of the growth",
                "events/s",
                [y for _, y in chosen],
            )
        )
