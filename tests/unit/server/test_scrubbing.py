"""The scrubber as a process: it goes over every log, tells what it finds, and is no danger to its server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ledger.clock import SystemClock
from ledger.engine.scrub import PAGE_ENTRIES, ScrubState, read_state, write_state
from ledger.server.processes import ScrubberProcess
from tests.support.engine_lab import make_entry
from tests.support.engine_server import MAP_SIZE, EngineServer
from tests.support.storage_edit import delete_row, flip_byte, index_key, row_keys


@dataclass
class Told:
    """What a scrubber process told, and an event for each kind."""

    passed: dict[str, int] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    mismatches: list[tuple[str, str]] = field(default_factory=list)
    found: asyncio.Event = field(default_factory=asyncio.Event)
    all_passed: asyncio.Event = field(default_factory=asyncio.Event)

    def progress(self, log: str, entries: int, passed_at: int) -> None:
        self.entries[log] = self.entries.get(log, 0) + entries
        if passed_at:
            self.passed[log] = passed_at
        if len(self.passed) == 2:
            self.all_passed.set()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    made = EngineServer(tmp_path / "data")
    made.append(*(make_entry(number) for number in range(30)))
    made.close()
    yield made
    made.close()


def _scrub(server: EngineServer, until: str) -> Told:
    """Run the process until it told what is waited for."""

    async def run() -> Told:
        told = Told()
        loop = asyncio.get_running_loop()

        def mismatch(log: str, reason: str) -> None:
            told.mismatches.append((log, reason))
            loop.call_soon_threadsafe(told.found.set)

        lock = os.open(server.path / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        process = ScrubberProcess(server.directory, lock, told.progress, mismatch, after_seconds=0)
        process.start()
        try:
            async with asyncio.timeout(60):
                await getattr(told, until).wait()
        finally:
            await process.stop()
            os.close(lock)
        return told

    return asyncio.run(run())


def test_every_log_is_gone_over_and_the_pass_is_kept(server: EngineServer) -> None:
    told = _scrub(server, "all_passed")
    assert told.entries == {"_system": 3, "default": 32}
    assert told.mismatches == []
    assert read_state(server.directory.scrub_path("default")).passed_size == 32


def test_the_first_wrong_entry_is_told(server: EngineServer) -> None:
    flip_byte(server.store_path(), "event_sections", index_key(9), -1)
    log, reason = _scrub(server, "found").mismatches[0]
    assert log == "default"
    assert "(entry 9)" in reason
    assert read_state(server.directory.scrub_path("default")).wrong_index == 9


def test_an_entry_that_somebody_suspects_is_looked_at_before_a_pass_is_due(server: EngineServer) -> None:
    flip_byte(server.store_path(), "leaves", index_key(9), -1)
    done = ScrubState(passed_at=SystemClock().now_us(), passed_size=32)
    write_state(server.directory.scrub_path("default"), done)
    server.directory.suspect_path("default").write_text("9\n")
    assert "(entry 9)" in _scrub(server, "found").mismatches[0][1]
    assert not server.directory.suspect_path("default").exists()


_SHORT_TURNS = """
import sys
from ledger.server import scrubber
scrubber._TURN_PAGES = 1
scrubber._REST = 0
scrubber.main()
"""


def test_a_record_that_is_missing_is_found_though_the_pass_takes_several_turns(server: EngineServer) -> None:
    server.open()
    server.append(*(make_entry(number) for number in range(100, 100 + 2 * PAGE_ENTRIES)))
    server.close()
    key = next(key for key in row_keys(server.store_path(), "records") if key.startswith(b"key/"))
    delete_row(server.store_path(), "records", key)
    command = [sys.executable, "-c", _SHORT_TURNS, str(server.path), str(MAP_SIZE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = (json.loads(line) for line in process.stdout)
        ends = (line for line in told if line.get("passed_at") or "mismatch" in line)
        found = next(line for line in ends if line["log"] == "default")
        process.stdin.close()
    assert found == {"log": "default", "mismatch": f"the record {key.decode()} is missing"}


def test_a_store_whose_pages_are_gone_is_damage(server: EngineServer) -> None:
    data = server.store_path() / "data.mdb"
    with data.open("r+b") as file:
        file.truncate(8192)
    log, reason = _scrub(server, "found").mismatches[0]
    assert log == "default"
    assert "was cut: it has 8192 bytes" in reason


def test_pages_that_kill_the_process_twice_at_one_place_are_damage(server: EngineServer) -> None:
    async def run() -> tuple[list[tuple[str, str]], list[str]]:
        mismatches: list[tuple[str, str]] = []
        process = ScrubberProcess(
            server.directory, 0, lambda *_: None, lambda *told: mismatches.append(told), after_seconds=0
        )
        for log, position, code in (
            ("default", 500, -signal.SIGKILL),
            ("default", 500, -signal.SIGSEGV),
            ("default", 1000, -signal.SIGSEGV),
            ("default", 1000, 0),
        ):
            await process.take_in(log, {"log": log, "position": position, "entries": 0, "passed_at": 0})
            await process.ended(code)
        assert mismatches == []
        await process.ended(-signal.SIGSEGV)
        return mismatches, process.arguments()

    mismatches, skipped = asyncio.run(run())
    assert mismatches == [("default", "reading the entries from 1000 on ends the process with SIGSEGV")]
    assert skipped == ["default"]
