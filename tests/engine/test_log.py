"""An open log: its queue, its writer thread, and what it does when a commit fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from ledger.clock import ManualClock
from ledger.engine.log import Limits, Log, LogParts
from ledger.engine.reader import View
from ledger.engine.requests import AppendResult
from ledger.errors import (
    IndexBeyondTreeError,
    LedgerError,
    LogReadOnlyError,
    OutcomeUnknownError,
    OverloadedError,
    ShuttingDownError,
    StorageError,
    StorageFullError,
)
from ledger.storage.api import ReadTransaction, Store, StoreMeta, StoreUsage, WriteTransaction
from ledger.storage.guard import HighWaterGuard
from tests.support.engine_lab import NOW, ORIGIN, Altered, Lab, RepeatableRandom, append_request, make_entry


class ControlledStore:
    """A store whose commits wait for the test, or fail as it says."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.in_commit = threading.Event()
        self.failures: list[Exception] = []
        self.reads_back_otherwise = False

    @property
    def meta(self) -> StoreMeta:
        return self._inner.meta

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        with self._inner.read() as snapshot:
            yield cast("ReadTransaction", Altered(snapshot)) if self.reads_back_otherwise else snapshot

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        with self._inner.write() as transaction:
            yield transaction
            self.in_commit.set()
            assert self.may_commit.wait(30)
            if self.failures:
                raise self.failures.pop(0)

    def maintain(self) -> None:
        self._inner.maintain()

    def sync(self) -> None:
        self._inner.sync()

    def room_bytes(self) -> int:
        return self._inner.room_bytes()

    def usage(self) -> StoreUsage:
        return self._inner.usage()

    def close(self) -> None:
        """Stay open: the test opens the same store again."""


class Bench:
    """A log over the lab's store, which the test can hold and break."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        lab = Lab(folder)
        lab.guard.close()
        self.store = ControlledStore(lab.store)
        self.unreadable: list[str] = []
        self.opened = 0
        self.open_error: StorageError | None = None
        # How many more times there is no memory: for the salts of a commit, and to open the store.
        self.commits_without_memory = 0
        self.openings_without_memory = 0
        self.parts = LogParts(
            name="lab",
            verifier_key="",
            open_store=self._open_store,
            open_guard=lambda: HighWaterGuard.open(folder / "lab.guard", ORIGIN),
            clock=ManualClock(NOW),
            random=self._random,
            signer=lab.signer,
            limits=limits or Limits(),
            unreadable=self.unreadable.append,
        )
        self._repeatable = RepeatableRandom(b"bench")
        self.log = Log(self.parts)

    def _random(self, size: int) -> bytes:
        if self.commits_without_memory:
            self.commits_without_memory -= 1
            raise MemoryError
        return self._repeatable(size)

    def _open_store(self) -> Store:
        self.opened += 1
        if self.open_error is not None:
            raise self.open_error
        if self.openings_without_memory:
            self.openings_without_memory -= 1
            raise MemoryError
        return self.store

    def append(self, number: int) -> AppendResult:
        return self.log.submit(append_request(make_entry(number))).result(30)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.may_commit.set()
    made.log.close()


def test_what_does_not_read_back_freezes_the_log_for_good(bench: Bench) -> None:
    shown = bench.append(0).head
    bench.store.reads_back_otherwise = True
    with pytest.raises(OutcomeUnknownError):
        bench.append(1)
    bench.store.reads_back_otherwise = False
    bench.log.close()

    bench.log = Log(bench.parts)

    assert "does not read back" in bench.log.read_only_reason
    assert bench.log.signed_head() == shown
    with pytest.raises(LogReadOnlyError):
        bench.append(2)


def test_requests_that_wait_for_a_commit_share_the_next(bench: Bench) -> None:
    bench.store.may_commit.clear()
    first = bench.log.submit(append_request(make_entry(0)))
    assert bench.store.in_commit.wait(30)
    waiting = [bench.log.submit(append_request(make_entry(number))) for number in range(1, 20)]
    bench.store.may_commit.set()
    heads = {future.result(30).head for future in waiting}
    assert len(heads) == 1
    assert first.result(30).head not in heads


def test_nothing_is_answered_before_the_commit(bench: Bench) -> None:
    bench.store.may_commit.clear()
    future = bench.log.submit(append_request(make_entry(0)))
    assert bench.store.in_commit.wait(30)
    assert not future.done()
    shown = bench.log.signed_head().tree_size
    with bench.log.read() as reader, pytest.raises(IndexBeyondTreeError):
        reader.entry(shown, View.LEAF)
    bench.store.may_commit.set()
    assert future.result(30).entries[0].leaf_index == shown


def test_a_full_queue_refuses_and_takes_again_once_it_is_drained(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Limits(queue_entries=3))
    bench.store.may_commit.clear()
    taken = [bench.log.submit(append_request(make_entry(0)))]
    assert bench.store.in_commit.wait(30)
    taken += [bench.log.submit(append_request(make_entry(number))) for number in range(1, 4)]
    with pytest.raises(OverloadedError):
        bench.log.submit(append_request(make_entry(9)))
    bench.store.may_commit.set()
    for future in taken:
        future.result(30)
    bench.append(9)
    bench.log.close()


def test_a_request_whose_caller_went_away_in_the_queue_is_dropped(bench: Bench) -> None:
    bench.store.may_commit.clear()
    first = bench.log.submit(append_request(make_entry(0)))
    assert bench.store.in_commit.wait(30)
    gone: Future[AppendResult] = bench.log.submit(append_request(make_entry(1)))
    assert gone.cancel()
    bench.store.may_commit.set()
    first.result(30)
    assert bench.append(2).entries[0].leaf_index == first.result().entries[0].leaf_index + 1


def test_closing_finishes_what_is_queued_and_takes_nothing_new(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.may_commit.clear()
    queued = [bench.log.submit(append_request(make_entry(number))) for number in range(3)]
    assert bench.store.in_commit.wait(30)
    closing = threading.Thread(target=bench.log.close)
    closing.start()
    bench.store.may_commit.set()
    closing.join(30)
    assert all(future.result(0).entries for future in queued)
    with pytest.raises(ShuttingDownError):
        bench.log.submit(append_request(make_entry(9)))


def test_a_full_disk_is_a_definite_refusal_and_the_log_goes_on(bench: Bench) -> None:
    size = bench.log.signed_head().tree_size
    bench.store.failures = [StorageFullError("the disk is full")]
    with pytest.raises(StorageFullError):
        bench.append(1)
    assert bench.opened == 1
    assert bench.append(1).entries[0].leaf_index == size


def test_after_a_commit_of_unknown_outcome_the_store_is_opened_again_and_the_log_goes_on(bench: Bench) -> None:
    size = bench.log.signed_head().tree_size
    bench.store.failures = [OutcomeUnknownError("an I/O error")]
    with pytest.raises(OutcomeUnknownError, match="not known") as refused:
        bench.append(1)
    assert "same bytes" in refused.value.hint
    assert bench.opened == 2
    assert bench.append(1).entries[0].leaf_index == size
    assert bench.log.read_only_reason == ""


def test_no_memory_for_a_commit_is_a_definite_refusal_and_the_log_goes_on(bench: Bench) -> None:
    size = bench.log.signed_head().tree_size
    bench.commits_without_memory = 3
    for _ in range(3):
        with pytest.raises(OverloadedError, match="nothing was appended") as refused:
            bench.append(1)
        assert refused.value.retry_seconds
    assert bench.opened == 1
    assert bench.append(1).entries[0].leaf_index == size


def test_no_memory_to_open_the_store_again_is_waited_for(bench: Bench) -> None:
    size = bench.log.signed_head().tree_size
    bench.store.failures = [OutcomeUnknownError("an I/O error")]
    bench.openings_without_memory = 2
    with pytest.raises(OutcomeUnknownError):
        bench.append(1)
    assert bench.opened == 4
    assert bench.append(1).entries[0].leaf_index == size
    assert bench.log.read_only_reason == ""


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ([StorageFullError("full"), StorageFullError("full")], StorageFullError),
        ([OutcomeUnknownError("an I/O error"), OutcomeUnknownError("another")], OutcomeUnknownError),
    ],
)
def test_each_caller_of_a_commit_that_failed_gets_an_error_of_its_own(
    bench: Bench, failures: list[Exception], told: type[LedgerError]
) -> None:
    bench.store.may_commit.clear()
    bench.log.submit(append_request(make_entry(0)))
    assert bench.store.in_commit.wait(30)
    waiting = [bench.log.submit(append_request(make_entry(number))) for number in range(1, 4)]
    bench.store.failures = failures
    bench.store.may_commit.set()
    errors = [future.exception(30) for future in waiting]
    assert [type(error) for error in errors] == [told] * 3
    assert len({id(error) for error in errors}) == 3


def test_a_second_failure_in_a_row_makes_the_log_read_only_and_reads_go_on(bench: Bench) -> None:
    head = bench.log.signed_head()
    bench.store.failures = [OutcomeUnknownError("an I/O error"), OutcomeUnknownError("another")]
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError):
            bench.append(1)
    with pytest.raises(LogReadOnlyError, match="one after the other"):
        bench.append(1)
    with bench.log.read() as reader:
        assert reader.checkpoint() == head
        assert reader.entry(0, View.EVENT).event.content


def test_a_store_that_cannot_be_opened_again_is_reported(bench: Bench) -> None:
    bench.store.failures = [OutcomeUnknownError("an I/O error")]
    bench.open_error = StorageError("the disk is gone")
    with pytest.raises(OutcomeUnknownError):
        bench.append(1)
    assert bench.unreadable == ["the disk is gone"]
    assert "cannot be opened again" in bench.log.read_only_reason


def test_a_freeze_is_kept_in_the_store(bench: Bench) -> None:
    bench.append(1)
    bench.log.freeze("the leaves do not lead to the root", durably=True)
    with pytest.raises(LogReadOnlyError):
        bench.append(2)
    bench.log.close()
    with bench.store.read() as snapshot:
        assert snapshot.record("freeze") == b"the leaves do not lead to the root"


def test_a_frozen_log_signs_nothing_new_when_it_is_opened_again(bench: Bench, tmp_path: Path) -> None:
    shown = bench.append(1).head
    # The commit after it is durable, and neither guarded nor signed, as after a crash.
    with bench.store.write() as transaction:
        transaction.put_record("freeze", b"a test")
    bench.store.failures = []
    second = Log(bench.parts)
    try:
        assert second.read_only_reason == "a test"
        assert second.signed_head() == shown
    finally:
        second.close()
    assert HighWaterGuard.open(tmp_path / "lab.guard", ORIGIN).value[0] == shown.tree_size


def test_a_reader_stands_on_one_head_while_the_log_grows(bench: Bench) -> None:
    bench.append(1)
    with bench.log.read() as reader:
        head = reader.checkpoint()
        bench.append(2)
        assert reader.checkpoint() == head
        with pytest.raises(IndexBeyondTreeError):
            reader.entry(head.tree_size, View.LEAF)
    with bench.log.read() as reader:
        assert reader.checkpoint(head.tree_size) == head
        assert reader.checkpoint().tree_size == head.tree_size + 1
