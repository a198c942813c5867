"""B9: what durability costs, and that it is there: syncs are counted from outside, and the server is killed under load.

Leaving out the sync is a limit that this benchmark measures on LMDB alone; the product has no such mode.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing, suppress
from functools import partial
from typing import Any, Final

import grpc

from benchmarks.driving import drive_tasks, run
from benchmarks.lab import Case, Lab, Sample, interleave
from benchmarks.limits import bare_commits
from benchmarks.own import LOG, OwnServer, count_lost
from benchmarks.record import Section
from benchmarks.suites.latency import event_id_of
from benchmarks.workload import Workload
from ledger.v1 import ledger_pb2
from tests.support.sync_trace import SyncTrace, strace_command

TITLE: Final = "B9: what durability costs, and that it is there"
_KILLED_CALLERS: Final = 16
_TRACED_CALLERS: Final = 64
_CALL_SECONDS: Final = 5.0


def measure(lab: Lab) -> Section:
    """Run it."""
    workload = Workload(lab.seed)
    rows = interleave(lab, list(_limit_cases(lab, workload)))
    facts: dict[str, float | str] = {}
    facts |= _count_syncs(lab, workload)
    facts |= _kill(lab, workload)
    return Section(rows, facts=facts)


def _limit_cases(lab: Lab, workload: Workload) -> list[Case]:
    def run(size: int, sync: bool, number: int) -> Sample:
        count = lab.scale.batch_events if size > 1 else lab.scale.calls
        values = [event + personal for event, personal in workload.pairs(count)]
        folder = lab.folder(f"durability_{size}_{sync}_{number}")
        return Sample(bare_commits(folder, values, size, sync=sync))

    return [
        Case(
            f"durability/lmdb/{size}/{'sync' if sync else 'nosync'}",
            "LMDB alone",
            f"{size} values a commit, {'synced' if sync else 'not synced'}",
            "values/s",
            partial(run, size, sync),
        )
        for size in (1, 100, 1000)
        for sync in (True, False)
    ]


def _count_syncs(lab: Lab, workload: Workload) -> dict[str, float | str]:
    """Let many callers append under strace; tell how many events each synced commit carried."""
    strace = shutil.which("strace")
    traces = (
        strace is not None
        and not subprocess.run([strace, "-qq", "-e", "trace=none", "true"], capture_output=True, check=False).returncode
    )
    if strace is None or not traces:
        return {"syncs": "not counted: strace is not installed, or may not trace here"}
    folder = lab.folder("durability_traced")
    out = folder / "trace"
    with closing(OwnServer(folder, wrapper=strace_command(strace, out))) as server:
        sections = workload.sections(lab.scale.calls)
        trace = SyncTrace(out)
        server.append_each(sections, _TRACED_CALLERS)
        server.served.stop()
        store = trace.counts(server.store_path, "data.mdb")
        guard = trace.counts(server.served.data, f"{LOG}.guard")
    lab.say(f"  {len(sections)} events: {store['sync']} syncs of the store, {guard['sync']} of the guard")
    return {
        "traced_events": len(sections),
        "traced_store_syncs": store["sync"],
        "traced_store_synchronous_writes": store["synchronous write"],
        "traced_guard_syncs": guard["sync"],
        "traced_events_per_commit": len(sections) / max(guard["sync"], 1),
    }


def _kill(lab: Lab, workload: Workload) -> dict[str, float | str]:
    """Kill the server again and again while callers append; then look for every event that was acknowledged."""
    acknowledged: dict[bytes, int] = {}
    with closing(OwnServer(lab.folder("durability_killed"))) as server:
        for number in range(lab.scale.kills):
            _append_until_killed(server, workload.sections(lab.scale.calls * 4), acknowledged, number)
            server.served.start()
        server.served.stop()
        lost = count_lost(server.store_path, acknowledged)
    lab.say(f"  killed {lab.scale.kills} times: {len(acknowledged)} acknowledged, {lost} lost")
    return {"kills": lab.scale.kills, "kill_acknowledged": len(acknowledged), "kill_lost": lost}


def _append_until_killed(
    server: OwnServer, sections: list[ledger_pb2.EventSections], acknowledged: dict[bytes, int], number: int
) -> None:
    """Append from many callers; the process is killed when a share of the events, another each time, is acknowledged."""
    enough = len(acknowledged) + len(sections) * (1 + number % 5) // 10

    def answered(sent: int, answer: Any) -> None:
        acknowledged[event_id_of(sections[sent].event)] = answer.acknowledgement.leaf_index
        if len(acknowledged) == enough:
            server.served.process.kill()

    metadata = (("authorization", f"Bearer {server.served.api_key}"),)

    async def drive() -> None:
        async with server.stub() as stub:

            async def call(sent: int) -> None:
                request = ledger_pb2.AppendRequest(log=LOG, sections=sections[sent])
                answered(sent, await stub.Append(request, metadata=metadata, timeout=_CALL_SECONDS))

            await drive_tasks(call, len(sections), _KILLED_CALLERS)

    with suppress(grpc.RpcError):
        run(drive())
    server.served.kill()
