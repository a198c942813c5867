"""What the store on LMDB promises beyond the contract of every store."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from ledger.errors import CorruptionError, StorageError, StorageFormatError, StorageFullError
from ledger.merkle.hashing import split_hashes
from ledger.merkle.ranges import stored_count
from ledger.storage import files, layout
from ledger.storage.api import HeadRecord, SectionKind
from ledger.storage.lmdb import DEFAULT_MAP_SIZE, LmdbStore, check_structure, create_store
from tests.support import storage_edit
from tests.support.children import read_line, run_python, start_python
from tests.support.entries import GENESIS, META, content_of, make_batch, read_content

SMALL_MAP = 1024**2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    created = tmp_path / "store"
    create_store(created, META, GENESIS)
    return created


@pytest.fixture
def store(path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore.open(path)
    yield opened
    opened.close()


def append(store: LmdbStore, after: HeadRecord, count: int, *, label: str = "", filler: int = 0) -> HeadRecord:
    batch = make_batch(after, count, label=label, filler=filler)
    with store.write() as transaction:
        transaction.append(batch)
    return batch.head


def fill(store: LmdbStore) -> tuple[HeadRecord, StorageFullError]:
    """Append until there is no more room; return the last head that fitted, and the refusal."""
    head = GENESIS
    while True:
        try:
            head = append(store, head, 20, filler=1000)
        except StorageFullError as error:
            return head, error


# Settings


def test_environment_syncs_everything_and_never_writes_through_the_map(store: LmdbStore) -> None:
    flags = store._environment.flags()
    assert {name: flags[name] for name in ("sync", "metasync", "writemap", "map_async", "lock")} == {
        "sync": True,
        "metasync": True,
        "writemap": False,
        "map_async": False,
        "lock": True,
    }


def test_map_is_256_gib_by_default_and_takes_no_room(store: LmdbStore, path: Path) -> None:
    append(store, GENESIS, 100)
    assert store.map_bytes() == DEFAULT_MAP_SIZE == 256 * 1024**3
    assert (path / "data.mdb").stat().st_size == store.used_bytes() < 1024**2


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277], ids=oct)
def test_only_the_owner_may_read_a_store_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_store(tmp_path / "store", META, GENESIS)
        LmdbStore.open(tmp_path / "store").close()
    finally:
        os.umask(before)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path / "store").iterdir()}
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert modes == {"data.mdb": 0o600 & ~umask, "lock.mdb": 0o600 & ~umask}


# Create


def test_store_is_not_created_over_anything(path: Path) -> None:
    before = (path / "data.mdb").read_bytes()
    with pytest.raises(StorageError, match="File exists"):
        create_store(path, META, GENESIS)
    assert (path / "data.mdb").read_bytes() == before


def test_store_is_not_created_without_its_parent(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        create_store(tmp_path / "missing" / "store", META, GENESIS)


def test_store_on_a_remote_filesystem_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(files.REMOTE_FILESYSTEMS, files.filesystem_magic(path), "NFS")
    with pytest.raises(StorageError, match="is on a NFS filesystem"):
        LmdbStore.open(path)
    with pytest.raises(StorageError, match="is on a NFS filesystem"):
        create_store(path.with_name("other"), META, GENESIS)
    assert not path.with_name("other").exists()


IN_A_READ_ONLY_DIRECTORY = """
import os, sys
from pathlib import Path
from ledger.errors import StorageError
from ledger.storage.lmdb import LmdbStore, create_store
from tests.support.entries import GENESIS, META

# A relative path: the user without rights need not pass the directories above.
os.chdir(sys.argv[1])
if os.getuid() == 0:
    os.chown("store", 65534, 65534)
    for name in os.listdir("store"):
        os.chown("store/" + name, 65534, 65534)
    os.setegid(65534)
    os.seteuid(65534)
for use in (
    lambda: create_store(Path("new"), META, GENESIS),
    lambda: LmdbStore.open(Path("store")),
):
    try:
        use()
    except StorageError as error:
        print(type(error).__name__, "|", error.message, "|", error.hint)
"""


def test_read_only_directory_is_refused_with_what_to_do(path: Path) -> None:
    (path / "lock.mdb").unlink()
    (path / "data.mdb").chmod(0o400)
    path.chmod(0o500)
    path.parent.chmod(0o555)
    try:
        created, opened = run_python(IN_A_READ_ONLY_DIRECTORY, path.parent).splitlines()
    finally:
        path.parent.chmod(0o755)
        path.chmod(0o700)
    hint = "the directory and its files must be readable and writable for the user that runs this"
    assert created == f"StorageError | cannot create the store new: Permission denied | {hint}"
    assert opened == f"StorageError | cannot open the store store: Permission denied | {hint}"


# Open


def test_store_reopens_with_all_it_had(path: Path) -> None:
    batch = make_batch(GENESIS, 70)
    for _ in range(2):
        store = LmdbStore.open(path)
        assert store.meta == META
        with store.write() as transaction:
            if transaction.head() == GENESIS:
                transaction.append(batch)
        store.close()
    store = LmdbStore.open(path, read_only=True)
    with store.read() as snapshot:
        assert read_content(snapshot, [batch]) == content_of([batch])
    store.close()


def test_missing_store_is_not_made_by_opening_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        with pytest.raises(StorageError, match=f"cannot open the store .*{name}: No such file"):
            LmdbStore.open(tmp_path / name)
    assert list((tmp_path / "empty").iterdir()) == []


def test_empty_file_is_corruption_and_is_left_as_it_is(path: Path) -> None:
    os.truncate(path / "data.mdb", 0)
    with pytest.raises(CorruptionError, match="empty"):
        LmdbStore.open(path)
    assert (path / "data.mdb").stat().st_size == 0


def test_file_that_was_cut_is_corruption_and_does_not_kill_the_reader(path: Path) -> None:
    store = LmdbStore.open(path)
    append(store, GENESIS, 100, filler=30_000)
    store.close()
    os.truncate(path / "data.mdb", (path / "data.mdb").stat().st_size // 2)
    for read_only in (False, True):
        with pytest.raises(CorruptionError, match="was cut"):
            LmdbStore.open(path, read_only=read_only)


def test_file_that_was_cut_by_a_page_is_corruption_and_does_not_kill_the_reader(path: Path) -> None:
    store = LmdbStore.open(path)
    append(store, GENESIS, 100)
    store.close()
    whole = (path / "data.mdb").stat().st_size
    for pages in (1, 2, whole // 4096 - 2):
        os.truncate(path / "data.mdb", whole - pages * 4096)
        for read_only in (False, True):
            with pytest.raises(CorruptionError, match="was cut"):
                LmdbStore.open(path, read_only=read_only)


def test_usage_tells_what_is_free_and_how_far_the_oldest_snapshot_is_behind(path: Path) -> None:
    store = LmdbStore.open(path)
    head = append(store, GENESIS, 20, filler=1000)
    assert store.usage().reader_lag == 0
    with store.read():
        for number in range(5):
            head = append(store, head, 1, label=str(number))
        held = store.usage()
    for number in range(5, 8):
        head = append(store, head, 1, label=str(number))
    let_go = store.usage()

    assert held.reader_lag == 5
    assert let_go.reader_lag == 0
    assert 0 < let_go.free_bytes < 1024**2
    assert held.room_bytes == let_go.room_bytes + store.used_bytes() - (store.map_bytes() - held.room_bytes)
    store.close()


def test_file_that_is_no_store_is_refused(path: Path) -> None:
    (path / "data.mdb").write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(StorageFormatError):
        LmdbStore.open(path)


def test_environment_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with lmdb.open(str(tmp_path / "other")) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"mine", b"1")
    with pytest.raises(StorageFormatError, match="not a store of this program"):
        LmdbStore.open(tmp_path / "other")


@pytest.mark.parametrize("number", [0, layout.FORMAT + 1])
def test_store_of_another_format_is_refused_with_both_numbers(path: Path, number: int) -> None:
    storage_edit.set_row(path, "meta", b"format", layout.encode_format(number))
    with pytest.raises(
        StorageFormatError, match=f"has format {number}; this version reads format {layout.FORMAT}"
    ) as refused:
        LmdbStore.open(path)
    assert ("later" in refused.value.hint) == (number > layout.FORMAT)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "format cut": lambda path: storage_edit.set_row(path, "meta", b"format", b"\0\1"),
    "description missing": lambda path: storage_edit.delete_row(path, "meta", b"store"),
    "description changed": lambda path: storage_edit.flip_byte(path, "meta", b"store", 9),
    "description cut": lambda path: storage_edit.set_row(path, "meta", b"store", b"short"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_store_whose_description_is_damaged_is_corrupt(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    with pytest.raises(CorruptionError):
        LmdbStore.open(path)


def test_store_without_its_tables_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with lmdb.open(str(tmp_path / "other"), max_dbs=1) as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True, db=meta) as transaction:
            transaction.put(layout.FORMAT_KEY, layout.encode_format())
            transaction.put(layout.STORE_KEY, layout.encode_meta(META))
    with pytest.raises(CorruptionError, match=r"a table of the store .* is missing"):
        LmdbStore.open(tmp_path / "other")


def test_process_does_not_open_a_store_twice(store: LmdbStore, path: Path) -> None:
    with pytest.raises(StorageError, match="already open"):
        LmdbStore.open(path)
    append(store, GENESIS, 1)


def test_failed_open_leaves_the_store_free(path: Path) -> None:
    storage_edit.set_row(path, "meta", b"format", layout.encode_format(layout.FORMAT + 1))
    with pytest.raises(StorageFormatError):
        LmdbStore.open(path)
    storage_edit.set_row(path, "meta", b"format", layout.encode_format())
    LmdbStore.open(path).close()


def test_store_opened_for_reading_takes_no_writes(path: Path) -> None:
    store = LmdbStore.open(path, read_only=True)
    with pytest.raises(StorageError), store.write():
        pass
    with store.read() as snapshot:
        assert snapshot.head() == GENESIS
    store.close()


def test_hashes_are_packed_63_to_a_value_however_they_came(store: LmdbStore, path: Path) -> None:
    head = GENESIS
    for count in (1, 1, 30, 1, 100, 7):
        head = append(store, head, count)
    keys = storage_edit.row_keys(path, "hashes")
    chunks = [storage_edit.get_row(path, "hashes", key) for key in keys]
    assert keys == [storage_edit.index_key(number) for number in range(5)]
    assert [len(chunk or b"") for chunk in chunks] == [63 * 32] * 4 + [(stored_count(140) - 4 * 63) * 32]


# Damaged rows


def test_missing_head_is_none_and_stops_appends(store: LmdbStore, path: Path) -> None:
    storage_edit.delete_row(path, "meta", b"head")
    with store.read() as snapshot:
        assert snapshot.head() is None
    with pytest.raises(CorruptionError, match="head record is missing"):
        append(store, GENESIS, 1)


def test_any_flipped_byte_of_the_head_is_corruption(store: LmdbStore, path: Path) -> None:
    append(store, GENESIS, 3)
    value = storage_edit.get_row(path, "meta", b"head")
    assert value is not None
    for offset in (0, 7, 15, 40, len(value) - 1):
        storage_edit.flip_byte(path, "meta", b"head", offset)
        with store.read() as snapshot, pytest.raises(CorruptionError, match="checksum of the head record"):
            snapshot.head()
        storage_edit.set_row(path, "meta", b"head", value)


def test_deleted_rows_are_holes_and_counts_tell(store: LmdbStore, path: Path) -> None:
    batch = make_batch(GENESIS, 70)
    hashes = split_hashes(batch.hashes)
    with store.write() as transaction:
        transaction.append(batch)
    storage_edit.delete_row(path, "leaves", storage_edit.index_key(10))
    storage_edit.delete_row(path, "event_sections", storage_edit.index_key(11))
    storage_edit.delete_row(path, "event_ids", batch.event_ids[12])
    storage_edit.delete_row(path, "hashes", storage_edit.index_key(1))
    with store.read() as snapshot:
        assert snapshot.leaves(8, 20) == batch.leaves[8:10]
        assert snapshot.leaves(10, 20) == []
        assert snapshot.leaves(11, 13) == batch.leaves[11:13]
        assert snapshot.sections(SectionKind.EVENT, [10, 11]) == [batch.event_sections[10], None]
        assert snapshot.indexes_of(batch.event_ids[11:14]) == [11, None, 13]
        assert snapshot.hashes([62, 126]) == [hashes[62], hashes[126]]
        with pytest.raises(CorruptionError, match="position 63 is not stored"):
            snapshot.hashes([62, 63])
        counts = snapshot.counts()
        assert (counts.leaves, counts.event_sections, counts.event_ids) == (69, 69, 69)
        assert counts.hashes == len(hashes) - 63


STRAY_ROWS = {
    "leaf": ("leaves", storage_edit.index_key(5), b"stray"),
    "leaf beyond": ("leaves", storage_edit.index_key(99), b"stray"),
    "event section": ("event_sections", storage_edit.index_key(6), b"stray"),
    "personal section": ("personal_sections", storage_edit.index_key(7), b"stray"),
    "event id": ("event_ids", b"id-000000000005-", storage_edit.index_key(2)),
    "hashes cut": ("hashes", storage_edit.index_key(0), b"h" * 32),
    "hash too many": ("hashes", storage_edit.index_key(0), b"h" * 32 * 9),
    "chunk beyond": ("hashes", storage_edit.index_key(1), b"h" * 32),
}


@pytest.mark.parametrize("row", STRAY_ROWS.values(), ids=STRAY_ROWS)
def test_append_onto_rows_that_should_not_be_there_is_refused_whole(
    store: LmdbStore, path: Path, row: tuple[str, bytes, bytes]
) -> None:
    head = append(store, GENESIS, 5)
    storage_edit.set_row(path, *row)
    with pytest.raises(CorruptionError):
        append(store, head, 4)
    with store.read() as snapshot:
        assert snapshot.head() == head
        assert snapshot.leaves(0, 5) == make_batch(GENESIS, 5).leaves


def test_stored_index_of_the_wrong_length_is_corruption(store: LmdbStore, path: Path) -> None:
    batch = make_batch(GENESIS, 2)
    append(store, GENESIS, 2)
    storage_edit.set_row(path, "event_ids", batch.event_ids[1], b"\0\1")
    with store.read() as snapshot, pytest.raises(CorruptionError, match="2 bytes instead of 8"):
        snapshot.indexes_of(batch.event_ids)


# Full


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LmdbStore]:
    create_store(tmp_path / "small", META, GENESIS, map_size=SMALL_MAP)
    opened = LmdbStore.open(tmp_path / "small", map_size=SMALL_MAP)
    yield opened
    opened.close()


def test_full_map_is_a_definite_refusal_and_reads_go_on(small: LmdbStore) -> None:
    head, refusal = fill(small)
    assert "larger map size" in refusal.hint
    with small.read() as snapshot:
        assert snapshot.head() == head
        assert len(snapshot.leaves(0, 2**63)) == head.tree_size == snapshot.counts().leaves > 100
    with pytest.raises(StorageFullError):
        append(small, head, 20, filler=1000)
    with small.write() as transaction:
        transaction.put_record("still", b"fits")


def test_larger_map_makes_room_in_a_full_store(small: LmdbStore, tmp_path: Path) -> None:
    head, _ = fill(small)
    small.close()
    reopened = LmdbStore.open(tmp_path / "small", map_size=2 * SMALL_MAP)
    after = append(reopened, head, 20, filler=1000)
    with reopened.read() as snapshot:
        assert snapshot.head() == after
    reopened.close()


def test_full_map_caught_inside_the_block_is_still_what_the_transaction_ends_with(small: LmdbStore) -> None:
    head, _ = fill(small)
    caught = []

    def write_on() -> None:
        with small.write() as transaction:
            transaction.put_record("before", b"1")
            with pytest.raises(StorageFullError) as refused:
                transaction.append(make_batch(head, 20, filler=1000))
            caught.append(refused.value)
            with pytest.raises(StorageFullError):
                transaction.put_record("after", b"1")

    with pytest.raises(StorageFullError) as at_the_end:
        write_on()
    assert caught == [at_the_end.value]
    with small.read() as snapshot:
        assert snapshot.records("") == []
        assert snapshot.head() == head


# Processes and threads


def test_process_that_inherited_a_store_by_fork_may_not_use_it(path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from ledger.storage.lmdb import LmdbStore

store = LmdbStore.open(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    refused = 0
    for use in (store.read, store.write):
        try:
            with use():
                pass
        except ValueError:
            refused += 1
    for use in (store.close, store.clear_stale_readers):
        try:
            use()
        except ValueError:
            refused += 1
    os._exit(refused)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
with store.write() as transaction:
    transaction.put_record("parent", b"works on")
store.close()
"""
    assert run_python(program, path) == "4\n"


READER = """
import sys
from pathlib import Path
from ledger.storage.lmdb import LmdbStore

store = LmdbStore.open(Path(sys.argv[1]), read_only=True)
with store.read() as snapshot:
    print(snapshot.head().tree_size, flush=True)
    for line in sys.stdin:
        with store.read() as newer:
            print(snapshot.head().tree_size, newer.head().tree_size, flush=True)
"""


def test_commit_is_visible_to_the_next_snapshot_of_another_process(store: LmdbStore, path: Path) -> None:
    head = append(store, GENESIS, 3)
    with start_python(READER, path) as reader:
        assert reader.stdin is not None
        assert read_line(reader) == "3"
        for size in (4, 5):
            head = append(store, head, 1)
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert read_line(reader) == f"3 {size}"


def test_readers_that_died_are_cleared_and_living_ones_kept(store: LmdbStore, path: Path) -> None:
    with start_python(READER, path) as dead, start_python(READER, path) as living:
        assert read_line(dead) == read_line(living) == "0"
        assert store.clear_stale_readers() == 0
        dead.send_signal(signal.SIGKILL)
        dead.wait(30)
        assert store.clear_stale_readers() == 1
        assert store.clear_stale_readers() == 0


def test_opening_clears_readers_that_died(path: Path) -> None:
    # Another process keeps the reader table alive; without one LMDB starts it anew.
    with start_python(READER, path) as dead, start_python(READER, path) as living:
        assert read_line(dead) == read_line(living) == "0"
        dead.send_signal(signal.SIGKILL)
        dead.wait(30)
        store = LmdbStore.open(path)
        assert store.clear_stale_readers() == 0
        assert str(dead.pid) not in store._environment.readers()
        store.close()


def test_close_waits_for_snapshots_of_other_threads_and_admits_no_new_ones(store: LmdbStore) -> None:
    append(store, GENESIS, 1)
    has_snapshot, may_end = threading.Event(), threading.Event()
    sizes = []

    def hold() -> None:
        with store.read() as snapshot:
            has_snapshot.set()
            may_end.wait(30)
            sizes.append(len(snapshot.leaves(0, 9)))

    holder, closer = threading.Thread(target=hold), threading.Thread(target=store.close)
    holder.start()
    assert has_snapshot.wait(30)
    closer.start()
    closer.join(timeout=0.1)
    assert closer.is_alive()
    with pytest.raises(StorageError, match="closed"), store.read():
        pass
    may_end.set()
    holder.join(30)
    closer.join(30)
    assert sizes == [1]
    assert not closer.is_alive()


def test_close_gives_up_on_a_snapshot_that_does_not_end(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.storage.lmdb._CLOSE_WAIT_SECONDS", 0.01)
    with store.read() as snapshot:
        with pytest.raises(StorageError, match="1 transactions"):
            store.close()
        assert snapshot.head() == GENESIS
    store.close()


def test_snapshot_used_after_its_block_is_an_error_and_not_a_crash(store: LmdbStore) -> None:
    with store.read() as snapshot:
        pass
    for look in (snapshot.head, snapshot.counts, lambda: snapshot.leaves(0, 1), lambda: snapshot.records("")):
        with pytest.raises(StorageError):
            look()


# Copies, structure, room


def test_copy_is_one_snapshot_that_only_its_owner_may_read(store: LmdbStore, tmp_path: Path) -> None:
    head = append(store, GENESIS, 500)
    copy = tmp_path / "copy"
    store.copy_to(copy)
    append(store, head, 10)
    assert check_structure(copy) == []
    opened = LmdbStore.open(copy, private=True)
    with opened.read() as snapshot:
        assert snapshot.head() == head
        assert len(snapshot.leaves(0, 500)) == 500
    opened.close()
    assert {path.name for path in copy.iterdir()} == {"data.mdb"}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (copy, copy / "data.mdb")]
    assert modes == [0o700, 0o600]


def test_private_store_is_for_reading(store: LmdbStore, tmp_path: Path) -> None:
    store.copy_to(tmp_path / "copy")
    opened = LmdbStore.open(tmp_path / "copy", private=True)
    with pytest.raises(StorageError), opened.write():
        pass
    opened.close()


def test_copy_onto_something_is_refused(store: LmdbStore, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(StorageError, match="cannot copy"):
        store.copy_to(tmp_path / "copy")


def test_structure_of_a_file_that_is_no_store_is_corruption(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(bytes(8192))
    with pytest.raises(CorruptionError, match="not what LMDB writes"):
        check_structure(tmp_path)
    with pytest.raises(StorageError, match="cannot read"):
        check_structure(tmp_path / "missing")


def test_structure_sees_a_changed_page_header(store: LmdbStore, path: Path) -> None:
    append(store, GENESIS, 500)
    store.close()
    data = bytearray((path / "data.mdb").read_bytes())
    # Its own number stands first in each page; the last one is in use after a single large commit.
    data[-4096] ^= 1
    (path / "data.mdb").write_bytes(data)
    assert check_structure(path)


def test_ids_in_order_of_time_fill_their_pages_though_the_server_wrote_some(store: LmdbStore) -> None:
    first = make_batch(GENESIS, 1)
    with store.write() as transaction:
        transaction.append(replace(first, event_ids=[b"ledger-019c7b75-22bb-7001-8203-040506070809"]))
    head = first.head
    for _ in range(20):
        head = append(store, head, 200)
    usage = store.table_usage()["event_ids"]
    # Key and value take 26 bytes, LMDB 10 more; half-empty pages would double that.
    assert usage.rows == 4001
    assert usage.size / usage.rows < 40


def test_table_usage_tells_rows_and_whole_pages_of_every_table(store: LmdbStore) -> None:
    append(store, GENESIS, 300)
    usage = store.table_usage()
    assert set(usage) == set(layout.TABLES)
    assert (usage["leaves"].rows, usage["personal_sections"].rows) == (300, 200)
    assert all(table.size % 4096 == 0 for table in usage.values())
    assert sum(table.size for table in usage.values()) < store.used_bytes()


def test_lag_of_the_oldest_reader_counts_commits(store: LmdbStore) -> None:
    assert store.oldest_reader_lag() == 0
    with store.read() as snapshot:
        assert snapshot.head() == GENESIS
        append(store, append(store, GENESIS, 1), 1)
        assert store.oldest_reader_lag() == 2
    assert store.oldest_reader_lag() == 0
