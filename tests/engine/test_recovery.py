"""Every impossible state that recovery names, each made by an edit of the store; fsck sees each of them as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.engine.findings import Impossible
from ledger.engine.fsck import LogReport, check_log
from ledger.errors import CorruptionError, LogReadOnlyError, StorageError
from ledger.events.leaf import Leaf, decode_leaf, encode_leaf
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.ranges import stored_count, stored_index
from ledger.storage.guard import HighWaterGuard
from ledger.storage.layout import HEAD_KEY, decode_head, encode_head
from tests.support.engine_lab import make_entry
from tests.support.engine_server import EngineServer
from tests.support.storage_edit import (
    delete_row,
    flip_byte,
    flip_hash,
    get_row,
    hash_location,
    index_key,
    row_keys,
    set_row,
)

ENTRIES = 20
DAMAGED = 9


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    made = EngineServer(tmp_path / "data")
    made.append(*(make_entry(number, personal=number % 2 == 0) for number in range(ENTRIES - 2)))
    made.close()
    yield made
    made.close()


def _set_head(store: Path, **changes: object) -> None:
    value = get_row(store, "meta", HEAD_KEY)
    assert value is not None
    set_row(store, "meta", HEAD_KEY, encode_head(replace(decode_head(value), **changes)))  # type: ignore[arg-type]


def _set_stored_hash(store: Path, position: int, value: bytes) -> None:
    key, offset = hash_location(position)
    row = get_row(store, "hashes", key)
    assert row is not None
    set_row(store, "hashes", key, row[:offset] + value + row[offset + 32 :])


def _replace_leaf(store: Path, index: int, leaf: bytes) -> None:
    """Replace a leaf together with its stored hash, which lies below the right edge."""
    set_row(store, "leaves", index_key(index), leaf)
    _set_stored_hash(store, stored_index(0, index), hash_leaf(leaf))


def _leaf(store: Path, index: int) -> Leaf:
    data = get_row(store, "leaves", index_key(index))
    assert data is not None
    return decode_leaf(data)


def _personal_index(store: Path, *, with_section: bool) -> int:
    rows = {int.from_bytes(key, "big") for key in row_keys(store, "personal_sections")}
    return min(rows) if with_section else next(index for index in range(2, ENTRIES) if index not in rows)


def _cut_last_hash(server: EngineServer) -> None:
    key, offset = hash_location(stored_count(ENTRIES) - 1)
    row = get_row(server.store_path(), "hashes", key)
    assert row is not None
    set_row(server.store_path(), "hashes", key, row[:offset])


def _add_hash(server: EngineServer) -> None:
    key, _ = hash_location(stored_count(ENTRIES))
    row = get_row(server.store_path(), "hashes", key) or b""
    set_row(server.store_path(), "hashes", key, row + bytes(32))


def _swap_event_ids(server: EngineServer) -> None:
    store = server.store_path()
    first, second = row_keys(store, "event_ids")[:2]
    values = [get_row(store, "event_ids", key) for key in (first, second)]
    assert values[0] is not None
    assert values[1] is not None
    set_row(store, "event_ids", first, values[1])
    set_row(store, "event_ids", second, values[0])


def _new_guard(server: EngineServer, tree_size: int, root_hash: bytes) -> None:
    path = server.directory.guard_file("default")
    head = get_row(server.store_path(), "meta", HEAD_KEY)
    assert head is not None
    path.unlink()
    genesis = replace(decode_head(head), tree_size=tree_size, root_hash=root_hash)
    HighWaterGuard.create(path, server.directory.origin("default"), genesis).close()


EDITS: dict[Impossible, Callable[[EngineServer], None]] = {
    Impossible.HEAD_MISSING: lambda s: delete_row(s.store_path(), "meta", HEAD_KEY),
    Impossible.HEAD_UNREADABLE: lambda s: flip_byte(s.store_path(), "meta", HEAD_KEY, 3),
    Impossible.LEAVES_MISSING: lambda s: delete_row(s.store_path(), "leaves", index_key(ENTRIES - 1)),
    Impossible.LEAVES_BEYOND_HEAD: lambda s: set_row(s.store_path(), "leaves", index_key(ENTRIES), b"x"),
    Impossible.HASHES_MISSING: _cut_last_hash,
    Impossible.HASHES_BEYOND_HEAD: _add_hash,
    Impossible.EVENT_IDS_DIFFER: lambda s: set_row(s.store_path(), "event_ids", b"zzz", index_key(3)),
    Impossible.RIGHT_EDGE_DIFFERS: lambda s: flip_hash(s.store_path(), stored_index(4, 0)),
    Impossible.ROOT_DIFFERS: lambda s: _set_head(s.store_path(), root_hash=bytes(32)),
    Impossible.LEAF_UNREADABLE: lambda s: _replace_leaf(s.store_path(), DAMAGED, b"no leaf"),
    Impossible.LEAF_HASH_DIFFERS: lambda s: flip_byte(s.store_path(), "leaves", index_key(DAMAGED), -1),
    Impossible.CHAIN_BROKEN: lambda s: _replace_leaf(
        s.store_path(), DAMAGED, encode_leaf(replace(_leaf(s.store_path(), DAMAGED), previous=bytes([7] * 32)))
    ),
    Impossible.TIME_DECREASES: lambda s: _replace_leaf(
        s.store_path(), DAMAGED, encode_leaf(replace(_leaf(s.store_path(), DAMAGED), recorded_at=1))
    ),
    Impossible.LAST_LEAF_DIFFERS: lambda s: _set_head(s.store_path(), last_leaf_hash=bytes(32)),
    Impossible.SECTION_DIFFERS: lambda s: flip_byte(s.store_path(), "event_sections", index_key(DAMAGED), -1),
    Impossible.SECTION_MISSING: lambda s: delete_row(
        s.store_path(), "personal_sections", index_key(_personal_index(s.store_path(), with_section=True))
    ),
    Impossible.SECTION_UNEXPECTED: lambda s: set_row(
        s.store_path(),
        "personal_sections",
        index_key(_personal_index(s.store_path(), with_section=False)),
        bytes(16) + b"\x08\x01",
    ),
    Impossible.EVENT_ID_MISSING: _swap_event_ids,
    Impossible.RECORD_UNREADABLE: lambda s: set_row(s.store_path(), "records", b"key/planted00001", b"{"),
    Impossible.GUARD_MISSING: lambda s: s.directory.guard_file("default").unlink(),
    Impossible.GUARD_UNREADABLE: lambda s: _zero(s.directory.guard_file("default")),
    Impossible.GUARD_AHEAD: lambda s: _new_guard(s, ENTRIES + 1, bytes([5] * 32)),
    Impossible.GUARD_FORKED: lambda s: _new_guard(s, ENTRIES, bytes([5] * 32)),
}


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _fsck(server: EngineServer) -> LogReport:
    store = server.directory.open_store("default", read_only=True)
    try:
        guard = server.directory.open_guard("default")
    except StorageError:
        guard = None
    try:
        return check_log(store, guard.value if guard else None)
    finally:
        store.close()
        if guard:
            guard.close()


def test_every_impossible_state_has_an_edit_that_makes_it() -> None:
    assert set(EDITS) == set(Impossible)


def test_an_untouched_log_opens_and_checks_clean(server: EngineServer) -> None:
    report = _fsck(server)
    assert report.is_clean
    assert report.tree_size == ENTRIES
    server.open()
    assert server.read_only_reason() == ""


@pytest.mark.parametrize("state", list(EDITS), ids=lambda state: state.name.lower())
def test_a_log_in_an_impossible_state_opens_read_only_and_says_which(server: EngineServer, state: Impossible) -> None:
    EDITS[state](server)
    server.open()
    assert server.read_only_reason().startswith(state.value)
    with pytest.raises(LogReadOnlyError):
        server.append(make_entry(99))


@pytest.mark.parametrize("state", list(EDITS), ids=lambda state: state.name.lower())
def test_fsck_names_each_impossible_state(server: EngineServer, state: Impossible) -> None:
    EDITS[state](server)
    report = _fsck(server)
    assert not report.is_clean
    expected = Impossible.GUARD_MISSING if state is Impossible.GUARD_UNREADABLE else state
    assert expected in {finding.state for finding in report.findings}


@pytest.mark.parametrize("table", ["leaves", "event_sections", "personal_sections"])
@pytest.mark.parametrize("index", [0, 1, 7, ENTRIES - 1])
def test_fsck_names_the_first_wrong_index(server: EngineServer, table: str, index: int) -> None:
    store = server.store_path()
    if get_row(store, table, index_key(index)) is None:
        index = _personal_index(store, with_section=True)
    flip_byte(store, table, index_key(index), -1)
    report = _fsck(server)
    located = [finding.leaf_index for finding in report.findings if finding.leaf_index is not None]
    assert min(located) == index


def test_a_log_with_a_damaged_entry_still_shows_its_last_head_and_its_good_entries(server: EngineServer) -> None:
    from ledger.engine.reader import View

    before = server_head(server)
    EDITS[Impossible.LEAF_HASH_DIFFERS](server)
    server.open()
    with server.registry.use("default") as log, log.read() as reader:
        assert reader.checkpoint() == before
        assert reader.entry(DAMAGED - 1, View.EVENT).event.content
        with pytest.raises(CorruptionError) as refused:
            reader.entry(DAMAGED, View.LEAF)
    assert refused.value.metadata["leafIndex"] == str(DAMAGED)


@pytest.mark.parametrize("state", [Impossible.GUARD_AHEAD, Impossible.GUARD_FORKED, Impossible.GUARD_MISSING])
def test_data_that_its_guard_does_not_vouch_for_is_not_signed(server: EngineServer, state: Impossible) -> None:
    EDITS[state](server)
    server.open()
    with server.registry.use("default") as log, log.read() as reader, pytest.raises(LogReadOnlyError):
        reader.checkpoint()


def test_entries_that_the_guard_does_not_know_yet_are_hashed_again_however_many(tmp_path: Path) -> None:
    server = EngineServer(tmp_path / "data")
    head = server.append(make_entry(0)).head
    for begin in range(1, 2401, 800):
        server.append(*(make_entry(number) for number in range(begin, begin + 800)))
    server.close()
    # As after a crash between the commit of these groups and their reading back.
    _new_guard(server, head.tree_size, head.root_hash)
    flip_byte(server.store_path(), "event_sections", index_key(head.tree_size), -1)

    server.open()

    assert server.read_only_reason().startswith(Impossible.SECTION_DIFFERS.value)
    server.close()


def test_an_edited_record_is_found_against_its_entries(server: EngineServer) -> None:
    store = server.store_path("default")
    key = next(key for key in row_keys(store, "records") if key.startswith(b"key/"))
    value = get_row(store, "records", key)
    assert value is not None
    set_row(store, "records", key, value.replace(b'"personal":true', b'"personal":false'))
    report = _fsck(server)
    assert report.findings == ()
    assert report.record_faults == (f"the record {key.decode()} is not what its entries say",)


def test_a_record_without_an_entry_is_found(server: EngineServer) -> None:
    store = server.store_path()
    key = next(key for key in row_keys(store, "records") if key.startswith(b"key/"))
    value = get_row(store, "records", key)
    assert value is not None
    set_row(store, "records", b"key/planted00001", value)
    assert _fsck(server).record_faults == ("the record key/planted00001 has no entry",)


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"{}", b'{"key_id": 5}'])
def test_a_record_that_cannot_be_read_stops_its_log_and_no_other(server: EngineServer, value: bytes) -> None:
    store = server.store_path()
    key = next(key for key in row_keys(store, "records") if key.startswith(b"key/"))
    set_row(store, "records", key, value)
    server.open()
    assert key.decode() in server.read_only_reason()
    with server.registry.use("_system") as system:
        assert system.read_only_reason == ""


def test_a_record_of_a_log_that_cannot_be_read_ends_the_start_and_is_named(server: EngineServer) -> None:
    set_row(server.store_path("_system"), "records", b"log/default", b"{")
    with pytest.raises(CorruptionError, match="log/default"):
        server.open()


def server_head(server: EngineServer) -> object:
    server.open()
    with server.registry.use("default") as log:
        head = log.signed_head()
    server.close()
    return head
