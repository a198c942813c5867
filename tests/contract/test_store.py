"""What every store promises; each test runs on each engine."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import CorruptionError, StorageError
from ledger.merkle.hashing import split_hashes
from ledger.storage.api import EntryBatch, HeadRecord, ReadTransaction, SectionKind, Store
from ledger.storage.lmdb import LmdbStore, create_store
from ledger.storage.memory import MemoryStore
from tests.support.entries import GENESIS, META, content_of, make_batch, read_content

MAP_SIZE = 64 * 1024**2


@contextmanager
def memory_store() -> Iterator[Store]:
    yield MemoryStore.create(META, GENESIS)


@contextmanager
def lmdb_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store")
        create_store(path, META, GENESIS, map_size=MAP_SIZE)
        store = LmdbStore.open(path, map_size=MAP_SIZE)
        try:
            yield store
        finally:
            store.close()


ENGINES = {"memory": memory_store, "lmdb": lmdb_store}


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with ENGINES[request.param]() as opened:
        yield opened


def append(store: Store, *batches: EntryBatch) -> None:
    for batch in batches:
        with store.write() as transaction:
            transaction.append(batch)


def chain(*counts: int, after: HeadRecord = GENESIS, label: str = "") -> list[EntryBatch]:
    batches = []
    for count in counts:
        batches.append(make_batch(after, count, label=label))
        after = batches[-1].head
    return batches


class Planned(Exception):  # noqa: N818 - not an error, a way out of a block
    pass


# What is there


def test_new_store_holds_its_description_the_genesis_head_and_nothing_else(store: Store) -> None:
    assert store.meta == META
    with store.read() as snapshot:
        assert read_content(snapshot, []) == content_of([])


def test_appended_entries_read_back_whole(store: Store) -> None:
    batches = chain(1, 5, 70, 2)
    append(store, *batches)
    with store.read() as snapshot:
        assert read_content(snapshot, batches) == content_of(batches)


def test_several_appends_of_one_transaction_follow_on_each_other(store: Store) -> None:
    batches = chain(3, 1, 4)
    with store.write() as transaction:
        for batch in batches:
            transaction.append(batch)
    with store.read() as snapshot:
        assert read_content(snapshot, batches) == content_of(batches)


@given(steps=st.lists(st.tuples(st.lists(st.integers(1, 40), max_size=3), st.booleans()), max_size=6))
@pytest.mark.parametrize("engine", ENGINES)
def test_any_history_of_commits_and_aborts_leaves_exactly_what_was_committed(
    engine: str, steps: list[tuple[list[int], bool]]
) -> None:
    with ENGINES[engine]() as store:
        committed: list[EntryBatch] = []
        records: dict[str, bytes] = {}
        for number, (counts, is_committed) in enumerate(steps):
            head = committed[-1].head if committed else GENESIS
            batches = chain(*counts, after=head, label=str(number))
            changed = {**records, f"cursor/{number % 3}": b"%d" % number}
            with ExitStack() as block:
                if not is_committed:
                    block.enter_context(pytest.raises(Planned))
                transaction = block.enter_context(store.write())
                for batch in batches:
                    transaction.append(batch)
                transaction.put_record(f"cursor/{number % 3}", b"%d" % number)
                assert read_content(transaction, committed + batches) == content_of(committed + batches, changed)
                if not is_committed:
                    raise Planned
            if is_committed:
                committed, records = committed + batches, changed
            with store.read() as snapshot:
                assert read_content(snapshot, committed) == content_of(committed, records)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 63, 64, 65, 127])
def test_hashes_read_back_on_both_sides_of_every_boundary_of_63(store: Store, size: int) -> None:
    one_by_one, rest = chain(*[1] * size), 200
    append(store, *one_by_one)
    batch = make_batch(one_by_one[-1].head, rest)
    append(store, batch)
    expected = content_of([*one_by_one, batch]).hashes
    with store.read() as snapshot:
        assert snapshot.hashes(range(len(expected))) == expected
        for boundary in range(63, len(expected), 63):
            around = [boundary, boundary - 1, boundary + 1, 0]
            assert snapshot.hashes(around) == [expected[position] for position in around]
            run = range(boundary - 1, min(boundary + 64, len(expected)))
            assert snapshot.hashes(run) == expected[run.start : run.stop]


def test_sections_of_any_size_read_back(store: Store) -> None:
    for filler in (2_000, 2_040, 4_096, 61_440 + 16):
        with store.read() as snapshot:
            head = snapshot.head()
        assert head is not None
        batch = make_batch(head, 2, filler=filler)
        append(store, batch)
        with store.read() as snapshot:
            indexes = range(head.tree_size, head.tree_size + 2)
            assert snapshot.sections(SectionKind.EVENT, indexes) == batch.event_sections
            assert snapshot.sections(SectionKind.PERSONAL, indexes) == [p or None for p in batch.personal_sections]


# What is not there


def test_leaves_end_where_the_tree_ends(store: Store) -> None:
    (batch,) = chain(10)
    append(store, batch)
    with store.read() as snapshot:
        assert snapshot.leaves(7, 2**63) == batch.leaves[7:]
        assert snapshot.leaves(3, 5) == batch.leaves[3:5]
        for begin, end in ((5, 5), (5, 4), (10, 11), (2**62, 2**63)):
            assert snapshot.leaves(begin, end) == []


def test_sections_that_are_not_there_are_none_in_their_place(store: Store) -> None:
    (batch,) = chain(5)
    append(store, batch)
    with store.read() as snapshot:
        assert snapshot.sections(SectionKind.PERSONAL, [4, 3, 99, 1, 4]) == [
            batch.personal_sections[4],
            None,
            None,
            batch.personal_sections[1],
            batch.personal_sections[4],
        ]
        assert snapshot.sections(SectionKind.EVENT, [5, 2]) == [None, batch.event_sections[2]]
        assert snapshot.sections(SectionKind.EVENT, []) == []


def test_event_ids_are_looked_up_in_the_order_asked_for(store: Store) -> None:
    (batch,) = chain(5)
    append(store, batch)
    ids = batch.event_ids
    with store.read() as snapshot:
        assert snapshot.indexes_of([ids[4], b"new", ids[0], ids[4], ids[0][:-1]]) == [4, None, 0, 4, None]
        assert snapshot.indexes_of([b"new"]) == [None]
        assert snapshot.indexes_of([]) == []


def test_event_ids_are_found_in_whatever_order_they_came(store: Store) -> None:
    first, second, third = chain(3, 4, 1)
    ids = [[b"m3", b"m1", b"m2"], [b"z", b"a", b"m10", b"zz"], [b"b"]]
    append(store, *(replace(b, event_ids=i) for b, i in zip((first, second, third), ids, strict=True)))
    with store.read() as snapshot:
        assert snapshot.indexes_of([b"a", b"b", b"m1", b"m10", b"m2", b"m3", b"z", b"zz"]) == [4, 7, 1, 5, 2, 0, 3, 6]
        assert snapshot.counts().event_ids == 8


@pytest.mark.parametrize("position", [15, 62, 63, 2**63])
def test_hash_that_is_not_stored_is_corruption_and_never_a_short_answer(store: Store, position: int) -> None:
    append(store, *chain(8))
    with store.read() as snapshot:
        assert len(snapshot.hashes([14])) == 1
        with pytest.raises(CorruptionError, match=f"position {position} is not stored"):
            snapshot.hashes([0, position])


@pytest.mark.parametrize("begin", [0, 14, 15, 63])
def test_run_of_hashes_beyond_the_last_is_corruption_and_never_a_short_answer(store: Store, begin: int) -> None:
    append(store, *chain(8))
    with store.read() as snapshot, pytest.raises(CorruptionError, match=f"position {max(begin, 15)} is not stored"):
        snapshot.hashes(range(begin, 80))


MEANINGLESS: dict[str, Callable[[ReadTransaction], object]] = {
    "negative leaf index": lambda transaction: transaction.leaves(-1, 2),
    "negative hash position": lambda transaction: transaction.hashes([-1]),
    "negative section index": lambda transaction: transaction.sections(SectionKind.EVENT, [-1]),
    "empty event id": lambda transaction: transaction.indexes_of([b""]),
    "long event id": lambda transaction: transaction.indexes_of([b"i" * 512]),
    "short hash": lambda transaction: transaction.position_of_hash(b"\0" * 31),
    "empty record name": lambda transaction: transaction.record(""),
    "long record name": lambda transaction: transaction.record("n" * 201),
    "prefix beyond ASCII": lambda transaction: transaction.records("ä"),
}


@pytest.mark.parametrize("call", MEANINGLESS.values(), ids=MEANINGLESS)
def test_question_that_has_no_meaning_is_wrong_use(store: Store, call: Callable[[ReadTransaction], object]) -> None:
    append(store, *chain(2))
    with store.read() as snapshot, pytest.raises(ValueError):
        call(snapshot)


# Hashes by value


def test_position_of_hash_is_the_newest_of_equal_ones(store: Store) -> None:
    batches = chain(100)
    values = split_hashes(batches[0].hashes)
    again = make_batch(batches[0].head, 1)
    again = replace(again, hashes=values[0] + again.hashes[32:])
    append(store, *batches)
    with store.read() as snapshot:
        assert [snapshot.position_of_hash(value) for value in values] == list(range(len(values)))
    append(store, again)
    with store.read() as snapshot:
        assert snapshot.position_of_hash(values[0]) == len(values)
        assert snapshot.position_of_hash(b"\0" * 32) is None


def test_position_of_hash_is_not_fooled_by_bytes_across_two_hashes(store: Store) -> None:
    wanted = bytes(range(32))
    hashes = [wanted, b"x" * 16 + wanted[:16], wanted[16:] + b"x" * 16]
    (batch,) = chain(2)
    append(store, replace(batch, hashes=b"".join(hashes)))
    with store.read() as snapshot:
        assert snapshot.position_of_hash(wanted) == 0
        assert snapshot.position_of_hash(wanted[16:] + b"x" * 16) == 2
        assert snapshot.position_of_hash(wanted[8:] + b"x" * 8) is None


def test_position_of_hash_finds_the_hash_that_its_own_repetition_overlaps(store: Store) -> None:
    wanted = b"a" * 32
    (batch,) = chain(2)
    append(store, replace(batch, hashes=wanted + b"a" * 8 + b"x" * 24 + b"x" * 32))
    with store.read() as snapshot:
        assert snapshot.position_of_hash(wanted) == 0


# Records


def test_records_are_set_replaced_and_deleted(store: Store) -> None:
    with store.write() as transaction:
        transaction.put_record("a", b"1")
        transaction.put_record("b", b"")
        transaction.put_record("a", b"2")
    with store.write() as transaction:
        assert transaction.record("a") == b"2"
        transaction.put_record("n" * 200, b"long")
        transaction.delete_record("a")
        transaction.delete_record("never was")
        assert transaction.record("a") is None
    with store.read() as snapshot:
        assert snapshot.records("") == [("b", b""), ("n" * 200, b"long")]


def test_records_of_a_prefix_come_ordered_by_name_and_alone(store: Store) -> None:
    names = ["key/2", "key/10", "key/1", "key", "key0", "kez", "ke"]
    with store.write() as transaction:
        for name in names:
            transaction.put_record(name, name.encode())
    with store.read() as snapshot:
        assert [name for name, _ in snapshot.records("key/")] == ["key/1", "key/10", "key/2"]
        assert snapshot.records("key") == [(name, name.encode()) for name in sorted(names)[1:-1]]
        assert [name for name, _ in snapshot.records("")] == sorted(names)
        assert snapshot.records("z") == []


@pytest.mark.parametrize("name", ["", "n" * 201, "ä"])
def test_record_name_outside_the_rule_is_wrong_use(store: Store, name: str) -> None:
    with store.write() as transaction:
        with pytest.raises(ValueError):
            transaction.put_record(name, b"")
        with pytest.raises(ValueError):
            transaction.delete_record(name)


# Transactions


def test_snapshot_does_not_see_what_is_committed_after_it(store: Store) -> None:
    first, second = chain(4, 3)
    append(store, first)
    with store.read() as before:
        with store.write() as transaction:
            transaction.append(second)
            transaction.put_record("r", b"1")
            with store.read() as during:
                assert read_content(during, [first]) == content_of([first])
        assert read_content(before, [first]) == content_of([first])
        assert before.indexes_of(second.event_ids) == [None] * 3
        assert before.sections(SectionKind.EVENT, [4, 5]) == [None, None]
        assert before.position_of_hash(second.hashes[:32]) is None
        with store.read() as after:
            assert read_content(after, [first, second]) == content_of([first, second], {"r": b"1"})


def test_block_left_by_an_exception_changes_nothing_and_raises_it(store: Store) -> None:
    first, second, third = chain(4, 3, 2)
    append(store, first)
    planned = Planned("out")

    def write_and_leave() -> None:
        with store.write() as transaction:
            transaction.append(second)
            transaction.append(third)
            transaction.put_record("r", b"1")
            raise planned

    with pytest.raises(Planned) as raised:
        write_and_leave()
    assert raised.value is planned
    with store.read() as snapshot:
        assert read_content(snapshot, [first]) == content_of([first])
        assert snapshot.indexes_of(second.event_ids) == [None] * 3
    append(store, second)
    with store.read() as snapshot:
        assert read_content(snapshot, [first, second]) == content_of([first, second])


def test_transaction_that_changes_nothing_commits(store: Store) -> None:
    append(store, *chain(2))
    with store.write():
        pass
    with store.read() as snapshot:
        assert read_content(snapshot, chain(2)) == content_of(chain(2))


def test_values_are_bytes_that_outlive_the_transaction_and_later_commits(store: Store) -> None:
    batches = chain(5, *[1] * 40)
    with store.write() as transaction:
        transaction.append(batches[0])
        transaction.put_record("r", b"first")
    with store.read() as snapshot:
        kept = read_content(snapshot, batches[:1])
        record = snapshot.record("r")
    for number, batch in enumerate(batches[1:]):
        with store.write() as transaction:
            transaction.append(batch)
            transaction.put_record("r", b"%05d" % number)
    assert kept == content_of(batches[:1], {"r": b"first"})
    assert record == b"first"
    values = [*kept.leaves, *kept.events, *kept.hashes, kept.personal[1], record]
    assert {type(value) for value in values} == {bytes}


# Refused appends


@pytest.mark.parametrize("first_index", [0, 3, 5])
def test_append_that_does_not_follow_on_the_tree_is_refused(store: Store, first_index: int) -> None:
    append(store, *chain(4))
    (elsewhere,) = chain(2, after=(chain(first_index)[0].head if first_index else GENESIS), label="other")
    with pytest.raises(CorruptionError, match=f"from {first_index} do not follow on tree size 4"):
        append(store, elsewhere)
    with store.read() as snapshot:
        assert read_content(snapshot, chain(4)) == content_of(chain(4))


@pytest.mark.parametrize("taken", ["stored", "twice in the batch"])
def test_append_of_an_event_id_that_is_taken_is_refused_whole(store: Store, taken: str) -> None:
    first, second = chain(4, 3)
    append(store, first)
    ids = [b"id-z", b"id-a", first.event_ids[2] if taken == "stored" else b"id-a"]
    with pytest.raises(CorruptionError):
        append(store, replace(second, event_ids=ids))
    with store.read() as snapshot:
        assert read_content(snapshot, [first]) == content_of([first])
        assert snapshot.indexes_of([b"id-z", b"id-a"]) == [None, None]


def test_failed_append_ends_the_transaction_even_if_it_is_caught(store: Store) -> None:
    first, second = chain(4, 3)
    append(store, first)
    failures = []

    def write_on_after_failing() -> None:
        with store.write() as transaction:
            transaction.put_record("r", b"1")
            changes: list[Callable[[], None]] = [
                lambda: transaction.append(replace(second, event_ids=[b"x", b"y", b"x"])),
                lambda: transaction.append(second),
                lambda: transaction.put_record("s", b"2"),
                lambda: transaction.delete_record("r"),
            ]
            for change in changes:
                with pytest.raises(CorruptionError) as failed:
                    change()
                failures.append(failed.value)

    with pytest.raises(CorruptionError) as at_the_end:
        write_on_after_failing()
    assert len(failures) == 4
    assert all(failure is at_the_end.value for failure in failures)
    with store.read() as snapshot:
        assert read_content(snapshot, [first]) == content_of([first])


SPOILED: dict[str, Callable[[EntryBatch], EntryBatch]] = {
    "leaf missing": lambda b: replace(b, leaves=b.leaves[:-1]),
    "event section missing": lambda b: replace(b, event_sections=b.event_sections[:-1]),
    "personal section too many": lambda b: replace(b, personal_sections=[*b.personal_sections, b""]),
    "event id missing": lambda b: replace(b, event_ids=b.event_ids[1:]),
    "no entry": lambda b: replace(b, leaves=(), event_sections=(), personal_sections=(), event_ids=(), hashes=b""),
    "empty leaf": lambda b: replace(b, leaves=[b"", *b.leaves[1:]]),
    "empty event section": lambda b: replace(b, event_sections=[b"", *b.event_sections[1:]]),
    "empty event id": lambda b: replace(b, event_ids=[b"", *b.event_ids[1:]]),
    "long event id": lambda b: replace(b, event_ids=[b"i" * 512, *b.event_ids[1:]]),
    "hash missing": lambda b: replace(b, hashes=b.hashes[:-32]),
    "hash too many": lambda b: replace(b, hashes=b.hashes + b"h" * 32),
    "short hash": lambda b: replace(b, hashes=b.hashes[:-1]),
    "head of another size": lambda b: replace(b, head=replace(b.head, tree_size=b.head.tree_size + 1)),
    "frontier of another size": lambda b: replace(b, head=replace(b.head, frontier=b.head.frontier[1:])),
    "short root": lambda b: replace(b, head=replace(b.head, root_hash=b"r" * 31)),
    "long last leaf hash": lambda b: replace(b, head=replace(b.head, last_leaf_hash=b"l" * 33)),
    "time before 1970": lambda b: replace(b, head=replace(b.head, last_recorded_at=-1)),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_batch_that_is_not_of_one_piece_is_wrong_use_and_changes_nothing(
    store: Store, spoil: Callable[[EntryBatch], EntryBatch]
) -> None:
    (batch,) = chain(3)
    with store.write() as transaction:
        with pytest.raises(ValueError):
            transaction.append(spoil(batch))
        transaction.append(batch)
    with store.read() as snapshot:
        assert read_content(snapshot, [batch]) == content_of([batch])


# Threads and the end


def test_second_write_transaction_waits_for_the_first_to_end(store: Store) -> None:
    first, second = chain(2, 2)
    is_about_to_write, order = threading.Event(), []

    def write_too() -> None:
        is_about_to_write.set()
        with store.write() as transaction:
            order.append("second begins")
            transaction.append(second)

    thread = threading.Thread(target=write_too)
    with store.write() as transaction:
        thread.start()
        assert is_about_to_write.wait(30)
        thread.join(timeout=0.1)
        assert thread.is_alive()
        transaction.append(first)
        order.append("first ends")
    thread.join(30)
    assert order == ["first ends", "second begins"]
    with store.read() as snapshot:
        assert read_content(snapshot, [first, second]) == content_of([first, second])


def test_write_transaction_inside_another_of_the_same_thread_is_wrong_use(store: Store) -> None:
    with store.write() as transaction:
        with pytest.raises(ValueError, match="already"), store.write():
            pass
        transaction.put_record("r", b"1")
    with store.read() as snapshot:
        assert snapshot.record("r") == b"1"


def test_other_threads_read_while_a_write_transaction_is_open(store: Store) -> None:
    first, second = chain(2, 2)
    append(store, first)
    found = []

    def look() -> None:
        with store.read() as snapshot:
            found.append(read_content(snapshot, [first]))

    with store.write() as transaction:
        transaction.append(second)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(30)
        assert found == [content_of([first])]


def test_closed_store_says_so(store: Store) -> None:
    append(store, *chain(2))
    store.close()
    with pytest.raises(StorageError, match="closed"), store.read():
        pass
    with pytest.raises(StorageError, match="closed"), store.write():
        pass
    store.close()
    assert store.meta == META
