"""What appends of many callers promise: shared messages, an answer for each, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from ledger.client import AsyncLedger, Ledger, Receipt, _appender
from ledger.client._answers import Answers
from ledger.client._buffer import Buffer, Waiting
from ledger.client.connection import Connection
from ledger.client.options import Options
from ledger.client.state import HeadFile
from ledger.client.trust import Trust
from ledger.client.values import AppendOutcome, Sections
from ledger.errors import (
    AppendsUnansweredError,
    BufferFullError,
    ContentMismatchError,
    DeadlinePassedError,
    EventIdReusedError,
    InvalidProofError,
    LedgerError,
    OverloadedError,
    PermissionMissingError,
    ServerUnreachableError,
    ShuttingDownError,
    VerificationError,
)
from ledger.events.codec import encode_sections
from ledger.events.event import Event
from ledger.v1 import ledger_pb2
from tests.support.both_clients import Blocking, Clients
from tests.support.lying_server import API_KEY, LyingServer
from tests.support.sample_log import SampleLog


def _client_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("logproof")}


def _appender_of(ledger: Ledger) -> _appender.Appender:
    inner = cast("object", ledger)
    return inner._ledger._client.appender if isinstance(inner, Blocking) else ledger.appender


def _hold(server: LyingServer, ledger: Ledger, threads: ThreadPoolExecutor) -> Future[Receipt]:
    """Let an append get under way to a server that does not answer yet."""
    server.may_answer.clear()
    waiting = threads.submit(ledger.append, "a.b")
    server.received.acquire()
    return waiting


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(60)


def test_appends_at_the_same_time_share_messages_and_each_has_its_own_receipt(
    server: LyingServer, ledger: Ledger, threads: ThreadPoolExecutor
) -> None:
    first = _hold(server, ledger, threads)
    others = [threads.submit(ledger.append, "a.b", metadata={"n": number}) for number in range(40)]
    server.received.acquire()
    server.may_answer.set()

    receipts = [first.result(), *(other.result() for other in others)]
    assert sorted(receipt.leaf_index for receipt in receipts) == list(range(41))
    assert server.streams == 1
    assert len(server.requests) < 41
    for number, other in enumerate(others):
        event = other.result().verify().event
        assert event is not None
        assert event.metadata[0].value == number


def test_refused_event_of_a_message_does_not_touch_its_neighbours(
    server: LyingServer, ledger: Ledger, threads: ThreadPoolExecutor
) -> None:
    ledger.append(event=Event(event_id="taken", action="a.b", occurred_at=1))
    server.received.acquire()
    first = _hold(server, ledger, threads)
    good = [
        threads.submit(ledger.append, event=Event(event_id=f"e{number}", action="a.b", occurred_at=1))
        for number in range(5)
    ]
    bad = threads.submit(ledger.append, event=Event(event_id="taken", action="a.c", occurred_at=1))
    server.received.acquire()
    server.may_answer.set()

    with pytest.raises(EventIdReusedError):
        bad.result()
    assert {future.result().outcome for future in [first, *good]} == {AppendOutcome.APPENDED}


@pytest.mark.parametrize("error", [OverloadedError("busy"), ShuttingDownError("stopping")])
def test_message_that_the_server_cannot_take_now_is_sent_again_after_the_time_it_asks_for(
    server: LyingServer, clients: Clients, tmp_path: Path, error: LedgerError
) -> None:
    told: list[tuple[LedgerError, float]] = []
    options = Options(server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path)
    server.refused_messages = [error]
    with clients.from_options(
        options, lambda given: Connection(given, on_retry=lambda error, delay: told.append((error, delay)))
    ) as ledger:
        receipt = ledger.append("a.b")

    assert receipt.outcome is AppendOutcome.APPENDED
    assert server.requests[0] == server.requests[1]
    assert server.streams == 1
    assert [type(told_error) for told_error, _ in told] == [type(error)]
    assert told[0][1] >= 0.2


def test_message_that_is_refused_is_not_sent_again(server: LyingServer, ledger: Ledger) -> None:
    server.refused_messages = [PermissionMissingError("the key may not append")]

    with pytest.raises(PermissionMissingError):
        ledger.append("a.b")
    assert len(server.requests) == 1
    assert ledger.append("a.b").leaf_index == 0


def test_stream_that_ends_is_opened_again(server: LyingServer, ledger: Ledger) -> None:
    server.stream_ends = [True, False, True]

    assert [ledger.append("a.b").leaf_index for _ in range(4)] == [0, 1, 2, 3]
    assert server.streams == 3


def test_unasked_answer_ends_the_stream_and_makes_the_next_one_wait(server: LyingServer, ledger: Ledger) -> None:
    server.extra_answers = [True]
    ledger.append("a.b")
    appender = _appender_of(ledger)
    thread = appender._thread
    if thread is not None:
        thread.join(30)
    assert appender._thread is None
    assert appender._paused_until > 0

    assert ledger.append("a.b").leaf_index == 1
    assert server.streams == 2


class _UnforeseenError(Exception):
    pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_foresaw_answers_who_waits_and_takes_no_later_append_with_it(
    server: LyingServer, clients: Clients, tmp_path: Path
) -> None:
    def fail(_error: LedgerError, _delay: float) -> None:
        raise _UnforeseenError

    options = Options(server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path)
    server.refused_messages = [OverloadedError("busy")]
    with clients.from_options(options, lambda given: Connection(given, on_retry=fail)) as ledger:
        with pytest.raises(LedgerError):
            ledger.append("a.b", timeout_seconds=60)
        assert ledger.append("a.b", timeout_seconds=60).outcome is AppendOutcome.APPENDED
        assert server.streams == 2
        with pytest.raises(AppendsUnansweredError):
            ledger.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_answer_that_cannot_be_read_for_a_reason_nobody_foresaw_leaves_nobody_waiting(
    server: LyingServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise _UnforeseenError

    with monkeypatch.context() as patch:
        patch.setattr(Answers, "verify", fail)
        with pytest.raises(LedgerError, match="is not known"):
            ledger.append("a.b", timeout_seconds=60)
    assert ledger.append("a.b", timeout_seconds=60).leaf_index == 1
    assert server.streams == 2
    with pytest.raises(AppendsUnansweredError):
        ledger.close()


def test_append_whose_answer_was_lost_is_found(server: LyingServer, ledger: Ledger) -> None:
    server.lost_answers = [OverloadedError("busy")]

    receipt = ledger.append("a.b")
    assert (receipt.outcome, receipt.leaf_index, receipt.proves_content) == (AppendOutcome.DUPLICATE, 0, True)
    assert len(server.log.leaves) == 1


def test_append_that_is_not_answered_in_time_names_its_event(server: LyingServer, ledger: Ledger) -> None:
    server.may_answer.clear()
    event = Event(event_id="order-17", action="a.b", occurred_at=1)
    with pytest.raises(ServerUnreachableError, match="order-17 is in the log is not known") as caught:
        ledger.append(event=event, timeout_seconds=0.05)
    assert caught.value.metadata["eventId"] == "order-17"
    server.may_answer.set()

    assert ledger.append(event=event).leaf_index == 0
    assert len(server.log.leaves) == 1


def test_full_buffer_makes_callers_wait_and_tells_who_waited_in_vain(
    server: LyingServer, ledger: Ledger, threads: ThreadPoolExecutor
) -> None:
    _appender_of(ledger)._buffer = Buffer(max_events=1)
    first = _hold(server, ledger, threads)
    second = threads.submit(ledger.append, "a.b")

    with pytest.raises(BufferFullError, match="was not sent"):
        ledger.append("a.b", timeout_seconds=0.05)
    server.may_answer.set()

    assert [first.result().leaf_index, second.result().leaf_index] == [0, 1]
    assert len(server.log.leaves) == 2


def test_append_that_was_not_sent_in_time_is_certainly_not_in_the_log(
    server: LyingServer, ledger: Ledger, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_appender, "MAX_IN_FLIGHT", 1)
    first = _hold(server, ledger, threads)

    with pytest.raises(DeadlinePassedError, match="nothing was appended"):
        ledger.append("a.b", timeout_seconds=0.05)
    server.may_answer.set()
    first.result()
    ledger.close()

    assert len(server.log.leaves) == 1


def test_close_waits_for_what_is_under_way_and_leaves_no_thread(
    server: LyingServer, clients: Clients, tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    ledger = clients.new(server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path)
    first = _hold(server, ledger, threads)
    closed = threads.submit(ledger.close)
    server.may_answer.set()
    closed.result()

    assert first.result().leaf_index == 0
    assert _client_threads() == set()


def test_close_of_an_idle_client_leaves_no_thread(server: LyingServer, clients: Clients, tmp_path: Path) -> None:
    with clients.new(server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path) as ledger:
        ledger.append("a.b")
        ledger.get(0)
        assert _client_threads()
    assert _client_threads() == set()


def test_client_that_appends_nothing_more_gives_up_its_thread_and_goes_on_later(
    server: LyingServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_appender, "IDLE_SECONDS", 0.01)
    ledger.append("a.b")
    thread = _appender_of(ledger)._thread
    if thread is not None:
        thread.join(30)
    assert "logproof appender" not in _client_threads()

    assert ledger.append("a.b").leaf_index == 1
    assert server.streams == 2


def test_answers_under_way_continue_each_other_so_nothing_is_asked_beside_the_stream(
    server: LyingServer, ledger: Ledger, threads: ThreadPoolExecutor
) -> None:
    first = _hold(server, ledger, threads)
    others = [threads.submit(ledger.append, "a.b") for _ in range(20)]
    server.received.acquire()
    server.may_answer.set()
    for future in [first, *others]:
        future.result()

    assert {type(request).__name__ for request in server.requests} == {"AppendStreamRequest"}


def _closing_while_cancelled(server: LyingServer, state: Path, *, answers: bool) -> list[str]:
    async def main() -> list[str]:
        ledger = AsyncLedger(
            server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=state, timeout_seconds=5
        )
        event = Event(event_id="order-17", action="a.b", occurred_at=1)
        task = asyncio.create_task(ledger.append(event=event))
        await asyncio.to_thread(server.received.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if answers:
            server.may_answer.set()
            await ledger.append("a.b")
        try:
            await ledger.close()
        except AppendsUnansweredError as error:
            return list(error.event_ids)
        return []

    server.may_answer.clear()
    return asyncio.run(main())


def test_close_tells_of_cancelled_appends_whose_outcome_nobody_knows(server: LyingServer, tmp_path: Path) -> None:
    assert _closing_while_cancelled(server, tmp_path, answers=False) == ["order-17"]


def test_close_says_nothing_of_cancelled_appends_that_were_answered(server: LyingServer, tmp_path: Path) -> None:
    assert _closing_while_cancelled(server, tmp_path, answers=True) == []
    assert len(server.log.leaves) == 2


def test_asyncio_client_is_for_one_loop(server: LyingServer, tmp_path: Path) -> None:
    ledger = AsyncLedger(server.address, api_key=API_KEY, verifier_key=server.verifier_key, state=tmp_path)

    async def use() -> int:
        return (await ledger.append("a.b")).leaf_index

    async def use_elsewhere() -> None:
        await ledger.append("a.b")
        with pytest.raises(RuntimeError, match="one event loop"):
            await asyncio.to_thread(lambda: asyncio.run(use()))
        await ledger.close()

    # A loop that has ended holds nothing.
    assert asyncio.run(use()) == 0
    asyncio.run(use_elsewhere())


# Answers for several events


class _NoServer:
    def check_rollback(self, trusted_size: int) -> None:
        raise AssertionError(trusted_size)

    def prove_heads(self, _first_size: int, _second_size: int) -> None:
        return None

    def note_at(self, _tree_size: int) -> None:
        return None


_Change = Callable[[ledger_pb2.EventResults], None]


def _swapped(results: ledger_pb2.EventResults) -> None:
    first = ledger_pb2.EventResult()
    first.CopyFrom(results.results[0])
    results.results[0].CopyFrom(results.results[1])
    results.results[1].CopyFrom(first)


def _one_missing(results: ledger_pb2.EventResults) -> None:
    del results.results[-1]


def _one_more(results: ledger_pb2.EventResults) -> None:
    results.results.append(results.results[0])


def _one_for_all(results: ledger_pb2.EventResults) -> None:
    for item in results.results:
        item.CopyFrom(results.results[0])


def _nothing_said(results: ledger_pb2.EventResults) -> None:
    results.results[1].Clear()


def _same_index(results: ledger_pb2.EventResults) -> None:
    results.results[1].acknowledgement.leaf_index = results.results[0].acknowledgement.leaf_index


def _other_indexes(results: ledger_pb2.EventResults) -> None:
    for item in results.results:
        item.acknowledgement.leaf_index += 1


def _refused_but_proven(results: ledger_pb2.EventResults) -> None:
    # The proof is for three leaves, of which only two are left.
    results.results[2].error.code = 6


def _wrong_hash(results: ledger_pb2.EventResults) -> None:
    results.inclusion_proof.hashes[0] = bytes(32)


def _no_checkpoint(results: ledger_pb2.EventResults) -> None:
    results.ClearField("checkpoint")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_swapped, ContentMismatchError),
        (_one_missing, ContentMismatchError),
        (_one_more, ContentMismatchError),
        (_one_for_all, ContentMismatchError),
        (_nothing_said, ContentMismatchError),
        (_same_index, ContentMismatchError),
        (_other_indexes, InvalidProofError),
        (_refused_but_proven, InvalidProofError),
        (_wrong_hash, InvalidProofError),
        (_no_checkpoint, ContentMismatchError),
    ],
)
def test_answer_for_several_events_is_believed_whole_or_not_at_all(
    tmp_path: Path, change: _Change, expected: type[VerificationError]
) -> None:
    log = SampleLog()
    log.append(_section(0).event)
    events = [Waiting(_section(number), f"e{number}", new_id=True, ends_at=0.0) for number in range(1, 4)]
    server = LyingServer(log)
    results = _results(server, events)
    answers, trust = _answers(log, tmp_path)
    change(results)

    with pytest.raises(expected):
        answers.verify(events, results, 0, 0)
    assert trust.tree_size == 0


def test_answer_for_several_events_proves_each_of_them(tmp_path: Path) -> None:
    log = SampleLog()
    events = [Waiting(_section(number), f"e{number}", new_id=True, ends_at=0.0) for number in range(1, 4)]
    results = _results(LyingServer(log), events)
    answers, trust = _answers(log, tmp_path)

    proven = answers.verify(events, results, 0, 0)
    assert [item.acknowledged.leaf_index for item in proven if not isinstance(item, LedgerError)] == [0, 1, 2]
    assert trust.tree_size == 3


def _section(number: int) -> Sections:
    return Sections(*encode_sections(Event(event_id=f"e{number}", action="a.b", occurred_at=1), None))


def _results(server: LyingServer, events: list[Waiting]) -> ledger_pb2.EventResults:
    results = ledger_pb2.EventResults()
    for event in events:
        sections = ledger_pb2.EventSections(event=event.sections.event)
        with server._lock:
            results.results.add(acknowledgement=server._append(sections))
    indexes = [item.acknowledgement.leaf_index for item in results.results]
    results.checkpoint.CopyFrom(server.checkpoint())
    results.inclusion_proof.CopyFrom(server.batch_inclusion(indexes, len(server.log.leaves)))
    return results


def _answers(log: SampleLog, state: Path) -> tuple[Answers, Trust]:
    trust = Trust(log.verifier, HeadFile(state, "key"), pinned=True)
    return Answers("default", "127.0.0.1:1", lambda: trust, _NoServer()), trust


# Forks, and the end of a program

_FORKING_UNDER_LOAD = """
import os, sys, threading
from ledger.client import Ledger
address, key, state = sys.argv[1:]
ledger = Ledger(address, api_key="k", verifier_key=key, state=state, timeout_seconds=20)
ledger.append("a.b")
stop = threading.Event()
def work():
    while not stop.is_set():
        ledger.append("parent.append")
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(3):
    child = os.fork()
    if not child:
        ledger.append("child.append")
        ledger.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
ledger.close()
"""

_FORKING_ASYNC = """
import asyncio, os, sys
from ledger.client import AsyncLedger
address, key, state = sys.argv[1:]
ledger = AsyncLedger(address, api_key="k", verifier_key=key, state=state, timeout_seconds=20)
async def use(action):
    await ledger.append(action)
    await ledger.get(0)
async def parent():
    await use("a.b")
    child = os.fork()
    if not child:
        return True
    assert os.waitpid(child, 0)[1] == 0
    await use("parent.append")
    await ledger.close()
    return False
loop = asyncio.new_event_loop()
if loop.run_until_complete(parent()):
    # The parent's loop is left alone: what it would close is the parent's.
    asyncio.run(use("child.append"))
    os._exit(0)
"""

_ENDING = """
import sys, threading
from ledger.client import Ledger
address, key, state, timeout = sys.argv[1:]
ledger = Ledger(address, api_key="k", verifier_key=key, state=state, timeout_seconds=float(timeout))
threading.Thread(target=ledger.append, args=("a.b",), daemon=True).start()
sys.stdin.readline()
print("ends", flush=True)
"""

_CANCELLING = """
import asyncio, sys
from ledger.client import AsyncLedger
address, key, state = sys.argv[1:]
async def main():
    ledger = AsyncLedger(address, api_key="k", verifier_key=key, state=state, timeout_seconds=1)
    task = asyncio.create_task(ledger.append(event={"action": "a.b", "event_id": "order-17"}))
    await asyncio.to_thread(sys.stdin.readline)
    task.cancel()
    await asyncio.wait([task])
asyncio.run(main())
"""


def _run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def _start(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _actions(server: LyingServer) -> list[str]:
    from ledger.events.wire import read_event

    return [read_event(event.content).action for event, _ in server.log.sections]


def _sources(server: LyingServer, action: str) -> set[bytes]:
    from ledger.events.wire import read_event

    events = [read_event(event.content) for event, _ in server.log.sections]
    return {event.source.boot_id for event in events if event.action == action and event.source is not None}


@pytest.mark.ci
def test_children_of_a_busy_client_append_on_their_own(server: LyingServer, tmp_path: Path) -> None:
    run = _run(_FORKING_UNDER_LOAD, server.address, server.verifier_key, tmp_path)

    assert run.returncode == 0, run.stderr
    assert _actions(server).count("child.append") == 3
    assert len(_sources(server, "child.append")) == 3
    assert not _sources(server, "child.append") & _sources(server, "parent.append")


def test_asyncio_client_works_on_both_sides_of_a_fork(server: LyingServer, tmp_path: Path) -> None:
    run = _run(_FORKING_ASYNC, server.address, server.verifier_key, tmp_path)

    assert run.returncode == 0, run.stderr
    assert _actions(server) == ["a.b", "child.append", "parent.append"]


def test_program_that_ends_without_closing_waits_for_what_is_under_way(server: LyingServer, tmp_path: Path) -> None:
    server.may_answer.clear()
    program = _start(_ENDING, server.address, server.verifier_key, tmp_path, "20")
    server.received.acquire()
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write("\n")
    program.stdin.flush()
    assert program.stdout.readline() == "ends\n"
    server.may_answer.set()
    _, errors = program.communicate(timeout=60)

    assert (program.returncode, errors) == (0, "")
    assert len(server.log.leaves) == 1


def test_program_that_ends_without_closing_warns_of_what_it_does_not_know(server: LyingServer, tmp_path: Path) -> None:
    server.may_answer.clear()
    program = _start(_CANCELLING, server.address, server.verifier_key, tmp_path)
    server.received.acquire()
    _, errors = program.communicate("\n", timeout=60)

    assert program.returncode == 0
    assert "RuntimeWarning: 1 events have an unknown outcome" in errors
    assert "order-17" in errors
