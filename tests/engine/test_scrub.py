"""The scrubber goes over every byte of a log, keeps its place, and believes no finding that the store does not repeat."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.clock import ManualClock
from ledger.engine.findings import Impossible
from ledger.engine.scrub import PAGE_ENTRIES, Scrubber, ScrubState, read_state, write_state
from ledger.merkle.ranges import stored_index
from ledger.storage.lmdb import LmdbStore
from tests.engine.test_recovery import EDITS
from tests.support.engine_lab import make_entry
from tests.support.engine_server import EngineServer
from tests.support.storage_edit import delete_row, flip_byte, flip_hash, index_key, row_keys

ENTRIES = 2 * PAGE_ENTRIES + 100
GUARD_STATES = {state for state in Impossible if state.name.startswith("GUARD_")}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    made = EngineServer(tmp_path / "data")
    made.append(*(make_entry(number) for number in range(ENTRIES)))
    made.close()
    yield made
    made.close()


@pytest.fixture
def store(server: EngineServer) -> Iterator[LmdbStore]:
    opened = server.directory.open_store("default", read_only=True)
    yield opened
    opened.close()


def _pass(scrubber: Scrubber) -> ScrubState:
    """Go on to the end of the pass."""
    before = scrubber.state.passed_at
    while scrubber.state.passed_at == before and not scrubber.state.finding:
        scrubber.step()
    return scrubber.state


def test_a_pass_over_a_sound_log_covers_every_entry(store: LmdbStore, tmp_path: Path) -> None:
    clock = ManualClock()
    scrubber = Scrubber(store, clock, tmp_path / "scrub")
    checked = [scrubber.step() for _ in range(3)]
    assert checked == [PAGE_ENTRIES, PAGE_ENTRIES, ENTRIES + 2 - 2 * PAGE_ENTRIES]
    assert scrubber.state == ScrubState(passed_at=clock.now_us(), passed_size=ENTRIES + 2)
    assert read_state(tmp_path / "scrub") == scrubber.state


def test_a_pass_goes_on_where_the_last_process_stopped(store: LmdbStore, tmp_path: Path) -> None:
    first = Scrubber(store, ManualClock(), tmp_path / "scrub")
    first.step()
    first.step()
    first.keep()
    second = Scrubber(store, ManualClock(), tmp_path / "scrub")
    assert second.state.position == 2 * PAGE_ENTRIES
    assert second.step() == ENTRIES + 2 - 2 * PAGE_ENTRIES
    assert second.state.passed_size == ENTRIES + 2


@pytest.mark.parametrize("state", [s for s in EDITS if s not in GUARD_STATES], ids=lambda state: state.name.lower())
def test_scrubbing_names_each_impossible_state_of_a_store(tmp_path: Path, state: Impossible) -> None:
    server = EngineServer(tmp_path / "data")
    server.append(*(make_entry(number, personal=number % 2 == 0) for number in range(18)))
    server.close()
    EDITS[state](server)
    opened = server.directory.open_store("default", read_only=True)
    found = _pass(Scrubber(opened, ManualClock(), None))
    opened.close()
    assert found.finding
    assert not found.passed_at


@pytest.mark.parametrize("table", ["leaves", "event_sections", "personal_sections"])
@pytest.mark.parametrize("index", [2, PAGE_ENTRIES - 1, PAGE_ENTRIES, ENTRIES + 1])
def test_the_first_wrong_index_is_named(server: EngineServer, table: str, index: int) -> None:
    flip_byte(server.store_path(), table, index_key(index), -1)
    opened = server.directory.open_store("default", read_only=True)
    found = _pass(Scrubber(opened, ManualClock(), None))
    opened.close()
    assert found.wrong_index == index


def _keep(path: Path, position: int, hashes: tuple[bytes, ...]) -> None:
    write_state(path, ScrubState(position=position, hashes=hashes, started_at=5))


@pytest.mark.parametrize("position", [512, 1024, 1 << 20])
def test_a_place_of_another_history_is_no_finding(store: LmdbStore, tmp_path: Path, position: int) -> None:
    _keep(tmp_path / "scrub", position, (bytes([7] * 32),))
    scrubber = Scrubber(store, ManualClock(), tmp_path / "scrub")
    assert _pass(scrubber).passed_size == ENTRIES + 2
    assert scrubber.state.finding == ""


def test_damage_behind_the_kept_place_is_found_by_the_next_pass(server: EngineServer, tmp_path: Path) -> None:
    opened = server.directory.open_store("default", read_only=True)
    scrubber = Scrubber(opened, ManualClock(), tmp_path / "scrub")
    scrubber.step()
    scrubber.keep()
    flip_byte(server.store_path(), "event_sections", index_key(3), -1)
    assert _pass(Scrubber(opened, ManualClock(), tmp_path / "scrub")).finding == ""
    assert _pass(Scrubber(opened, ManualClock(), tmp_path / "scrub")).wrong_index == 3
    opened.close()


def test_a_damaged_inner_hash_is_found_though_no_leaf_is_wrong(server: EngineServer) -> None:
    flip_hash(server.store_path(), stored_index(3, 4))
    opened = server.directory.open_store("default", read_only=True)
    found = _pass(Scrubber(opened, ManualClock(), None))
    opened.close()
    assert "stored hash" in found.finding
    assert found.wrong_index == 39


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", json.dumps({"position": 3, "hashes": ["00"]}), json.dumps({"position": -1})]
)
def test_a_kept_place_that_cannot_be_read_is_the_beginning(tmp_path: Path, content: str) -> None:
    (tmp_path / "scrub").write_text(content)
    assert read_state(tmp_path / "scrub") == ScrubState()


def test_what_was_folded_is_kept_and_a_change_of_it_is_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "scrub"
    state = ScrubState(position=2, hashes=(bytes(32),), started_at=5, records={"key/a": b"\x01\xff"})
    write_state(path, state)
    assert read_state(path) == state
    path.write_text(path.read_text().replace("01ff", "02ff"))
    assert read_state(path) == ScrubState()


def test_a_log_that_grows_meanwhile_is_followed_to_its_head(server: EngineServer) -> None:
    server.open()
    with server.registry.use("default") as log:
        scrubber = Scrubber(log._store, ManualClock(), None)
        scrubber.step()
        server.append(*(make_entry(number) for number in range(5000, 5300)))
        assert _pass(scrubber).passed_size == ENTRIES + 302


def test_a_record_that_is_not_what_its_entries_say_is_found(server: EngineServer) -> None:
    key = next(key for key in row_keys(server.store_path(), "records") if key.startswith(b"key/"))
    delete_row(server.store_path(), "records", key)
    opened = server.directory.open_store("default", read_only=True)
    found = _pass(Scrubber(opened, ManualClock(), None))
    opened.close()
    assert found.finding == f"the record {key.decode()} is missing"


def test_a_record_is_found_by_a_pass_that_another_process_began(server: EngineServer, tmp_path: Path) -> None:
    key = next(key for key in row_keys(server.store_path(), "records") if key.startswith(b"key/"))
    delete_row(server.store_path(), "records", key)
    opened = server.directory.open_store("default", read_only=True)
    first = Scrubber(opened, ManualClock(), tmp_path / "scrub")
    first.step()
    first.keep()
    second = Scrubber(opened, ManualClock(), tmp_path / "scrub")
    assert second.state.position == PAGE_ENTRIES
    assert _pass(second).finding == f"the record {key.decode()} is missing"
    opened.close()


@pytest.mark.parametrize("others", [0, 2 * PAGE_ENTRIES])
def test_a_commit_that_was_seen_and_then_taken_back_is_no_finding(
    server: EngineServer, tmp_path: Path, others: int
) -> None:
    shutil.copytree(server.path, tmp_path / "before")
    _append(server, 5000, 2 * PAGE_ENTRIES)
    opened = server.directory.open_store("default", read_only=True)
    scrubber = Scrubber(opened, ManualClock(), None)
    for _ in range(3):
        scrubber.step()
    assert scrubber.state.position == 3 * PAGE_ENTRIES > ENTRIES + 2
    opened.close()
    shutil.rmtree(server.path)
    shutil.copytree(tmp_path / "before", server.path)
    _append(server, 9000, others)
    scrubber._store = opened = server.directory.open_store("default", read_only=True)
    assert scrubber.step() == 0
    assert _pass(scrubber).passed_size == ENTRIES + 2 + others
    assert scrubber.state.finding == ""
    opened.close()


def _append(server: EngineServer, first: int, count: int) -> None:
    """Append with a server that runs for as long."""
    server.open()
    if count:
        server.append(*(make_entry(number) for number in range(first, first + count)))
    server.close()
