"""Faults of clients, of the machine and of the process: documented answers, good clients go on, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from ledger.client import Ledger
from ledger.clock import ManualClock
from ledger.errors import LedgerError, RemoteError
from ledger.events.event import MetadataEntry
from ledger.v1 import admin_pb2, ledger_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import code_of, failure, new_sections
from tests.support.children import needs_strace, read_line, start_python
from tests.support.live_server import live_server
from tests.support.load import Load, Outcome, descriptors, resident_bytes
from tests.support.served import Served, run_logproof

pytestmark = [pytest.mark.ci, pytest.mark.timeout(300)]

_MIB = 1024 * 1024
_YEAR_US = 365 * 86_400 * 1_000_000
_OK = grpc.StatusCode.OK


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    with contextlib.ExitStack() as stack:

        def start(*options: str, wrapper: Sequence[str] = ()) -> Served:
            served = Served(tmp_path, *options, wrapper=wrapper)
            stack.callback(served.close)
            return served

        yield start


def _metadata(served: Served) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {served.api_key}"),)


def _append_raw(served: Served, sections: ledger_pb2.EventSections, timeout: float = 60) -> ledger_pb2.AppendResponse:
    with grpc.insecure_channel(served.address) as channel:
        request = ledger_pb2.AppendRequest(log="default", sections=sections)
        return LedgerServiceStub(channel).Append(request, metadata=_metadata(served), timeout=timeout)


def _stored(served: Served) -> dict[bytes, int]:
    """Return the leaf index of each event in the log, by its bytes."""
    request = ledger_pb2.ReadEntriesRequest(log="default", view=ledger_pb2.ENTRY_VIEW_EVENT)
    with grpc.insecure_channel(served.address) as channel:
        stream = LedgerServiceStub(channel).ReadEntries(request, metadata=_metadata(served))
        return {entry.event.content: entry.leaf_index for message in stream for entry in message.entries}


def _is_closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def _until(holds: Callable[[], bool]) -> None:
    """Wait for what has to come; the test's time is the limit."""
    while not holds():
        threading.Event().wait(0.05)


def _limit_data(served: Served, limit: str) -> None:
    subprocess.run([_needs("prlimit"), "--pid", str(served.process.pid), f"--data={limit}:"], check=True)


def _check_clean(served: Served) -> None:
    assert run_logproof("fsck", "--data", served.data).returncode == 0


# Clients


def test_five_hundred_silent_connections_are_closed_and_cost_nothing_afterwards(
    serve: Callable[..., Served],
) -> None:
    served = serve()
    client = served.client()
    client.append("user.created")
    before, memory = descriptors(served.process.pid), resident_bytes(served.process.pid)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 60)) for _ in range(500)]
        for _ in range(20):
            client.append("user.created")
        assert all(map(_is_closed, silent))
    _until(lambda: descriptors(served.process.pid) <= before + 2)
    assert resident_bytes(served.process.pid) < memory + 64 * _MIB
    assert client.append("user.created").leaf_index > 20


def test_a_compression_bomb_is_refused_and_is_not_unpacked(serve: Callable[..., Served]) -> None:
    served = serve()
    memory = resident_bytes(served.process.pid)
    options = (("grpc.max_send_message_length", -1),)
    with grpc.insecure_channel(served.address, options=options, compression=grpc.Compression.Gzip) as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/ledger.v1.LedgerService/AppendBatch")
        refused = [failure(lambda: send(bytes(128 * _MIB), metadata=_metadata(served))) for _ in range(3)]

    assert {told.code for told in refused} <= {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert resident_bytes(served.process.pid) < memory + 64 * _MIB
    assert served.client().append("user.created").leaf_index


def test_a_flood_of_calls_is_answered_and_good_clients_go_on(serve: Callable[..., Served]) -> None:
    served = serve()
    client = served.client()
    client.append("user.created")
    before, memory = descriptors(served.process.pid), resident_bytes(served.process.pid)
    answered: list[grpc.StatusCode] = []

    async def flood() -> None:
        channels = [
            grpc.aio.insecure_channel(served.address, options=(("grpc.use_local_subchannel_pool", 1),))
            for _ in range(10)
        ]

        async def call(number: int) -> None:
            request = ledger_pb2.AppendRequest(log="default", sections=new_sections())
            stub = LedgerServiceStub(channels[number % 10])
            try:
                await stub.Append(request, metadata=_metadata(served), timeout=60)
                answered.append(_OK)
            except grpc.aio.AioRpcError as error:
                answered.append(error.code())

        await asyncio.gather(*(call(number) for number in range(3000)))
        for channel in channels:
            await channel.close()

    flooding = threading.Thread(target=lambda: asyncio.run(flood()))
    flooding.start()
    indexes = [client.append("user.created").leaf_index for _ in range(10)]
    flooding.join()

    assert indexes == sorted(indexes)
    assert len(answered) == 3000
    assert set(answered) <= {_OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert _OK in answered
    assert resident_bytes(served.process.pid) < memory + 128 * _MIB
    _until(lambda: descriptors(served.process.pid) <= before + 2)
    _check_clean(served)


def test_a_flood_of_large_batches_of_strangers_is_refused_and_keeps_no_memory(serve: Callable[..., Served]) -> None:
    served = serve()
    memory = resident_bytes(served.process.pid)
    with grpc.insecure_channel(served.address, options=(("grpc.max_send_message_length", -1),)) as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/ledger.v1.LedgerService/AppendBatch")
        futures = [send.future(bytes(5 * _MIB - 64), timeout=60) for _ in range(64)]
        codes = {code_of(future.result) for future in futures}

    assert codes <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}
    assert grpc.StatusCode.UNAUTHENTICATED in codes
    assert resident_bytes(served.process.pid) < memory + 256 * _MIB
    assert served.client().append("user.created").leaf_index


_APPENDS_FOR_EVER = """
import sys
from ledger.client import Ledger
from tests.support.calls import new_event
ledger = Ledger(sys.argv[1], api_key=sys.argv[2], verifier_key=sys.argv[3], state=sys.argv[4])
for batch in range(100_000):
    if batch == 1:
        print("flowing", flush=True)
    ledger.append_batch([
        {"action": "user.created", "event_id": f"{sys.argv[5]}-{batch}-{n}", "timestamp": "2026-02-20T14:30:00Z"}
        for n in range(500)
    ])
"""


def test_a_client_that_is_killed_in_a_batch_leaves_all_of_it_or_nothing(serve: Callable[..., Served]) -> None:
    served = serve()
    for number in range(4):
        arguments = (served.address, served.api_key, served.verifier_key(), served.folder / f"state-{number}", number)
        with start_python(_APPENDS_FOR_EVER, *arguments) as child:
            assert read_line(child) == "flowing"
            # Somewhere within a batch; which part of one, chance says.
            threading.Event().wait(0.02 * number)
            child.kill()
            child.communicate()
    events: dict[str, int] = {}
    with served.client() as client:
        for entry in client.read_entries():
            if entry.event is not None and entry.event.action == "user.created":
                batch = entry.event.event_id.rpartition("-")[0]
                events[batch] = events.get(batch, 0) + 1

    assert set(events.values()) == {500}
    assert len(events) >= 4
    _check_clean(served)


# Between commit and answer


@contextlib.contextmanager
def _guard_under(served: Served, injection: str) -> Iterator[None]:
    """Start the server again with a fault at the writes of the guard of `default`: after the commit, before answers."""
    assert served.stop() == 0
    guard = served.data / "guard" / "default.guard"
    strace = [needs_strace(), "-D", "-f", "-qq", "-o", str(served.folder / "faults"), "-P", str(guard)]
    served.wrap([*strace, "-e", f"inject=fdatasync:{injection}", "-e", "trace=fdatasync"])
    served.start()
    yield
    assert "fdatasync" in (served.folder / "faults").read_text()
    served.kill()
    served.wrap([])
    served.start()


def test_a_server_killed_between_commit_and_answer_is_found_to_have_appended(serve: Callable[..., Served]) -> None:
    served = serve()
    sections = new_sections()
    with _guard_under(served, "signal=KILL:when=1+"):
        refused = failure(lambda: _append_raw(served, sections, timeout=30))
        assert refused.code is grpc.StatusCode.UNAVAILABLE

    again = _append_raw(served, sections).acknowledgement

    # Committed before the kill, so it is there already, under the first index.
    assert again.outcome == ledger_pb2.APPEND_OUTCOME_DUPLICATE
    assert _append_raw(served, sections).acknowledgement == again
    _check_clean(served)


def test_a_deadline_that_passes_after_the_commit_leaves_the_event_once(serve: Callable[..., Served]) -> None:
    served = serve()
    sections = new_sections()
    with _guard_under(served, "delay_enter=1500000:when=1+"):
        late = failure(lambda: _append_raw(served, sections, timeout=0.5))
        first = _append_raw(served, sections, timeout=60).acknowledgement

    assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert first.outcome == ledger_pb2.APPEND_OUTCOME_DUPLICATE
    assert _append_raw(served, sections).acknowledgement == first
    _check_clean(served)


# The machine


@pytest.mark.parametrize("step", [_YEAR_US, -_YEAR_US], ids=["ahead", "back"])
def test_a_clock_that_is_stepped_by_a_year_stops_appends_until_it_is_trusted(tmp_path: Path, step: int) -> None:
    clock = ManualClock()
    with live_server(tmp_path / "data", clock=clock) as server:
        admin, ledger = server.admin(), server.ledger()
        long_lived = admin_pb2.CreateApiKeyRequest(
            log="default", roles=[admin_pb2.ROLE_WRITER, admin_pb2.ROLE_READER], expires_in_days=1000
        )
        writer = server.ledger(admin.CreateApiKey(long_lived).secret)
        request = ledger_pb2.AppendRequest(log="default", sections=new_sections())
        first = writer.Append(request).acknowledgement
        ledger.Append(ledger_pb2.AppendRequest(log="default", sections=new_sections()))

        clock.step_wall(step)
        refused = failure(
            lambda: writer.Append(ledger_pb2.AppendRequest(log="default", sections=new_sections()), timeout=30)
        )

        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "CLOCK")
        assert refused.retry_seconds
        shown = writer.GetEntry(ledger_pb2.GetEntryRequest(log="default", leaf_index=first.leaf_index))
        assert shown.entry.leaf == first.leaf

        # Back again is another jump; from then on the clocks have to agree for a minute.
        clock.step_wall(-step)
        again = failure(
            lambda: writer.Append(ledger_pb2.AppendRequest(log="default", sections=new_sections()), timeout=30)
        )
        assert again.reason == "CLOCK"
        clock.advance(61_000_000)
        later = writer.Append(ledger_pb2.AppendRequest(log="default", sections=new_sections())).acknowledgement
        assert later.leaf_index == first.leaf_index + 2


def test_a_server_out_of_descriptors_goes_on_with_its_clients_and_recovers_by_itself(
    serve: Callable[..., Served],
) -> None:
    served = serve(wrapper=[_needs("prlimit"), "--nofile=128:128"])
    client = served.client()
    client.append("user.created")
    before = descriptors(served.process.pid)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 60)) for _ in range(200)]
        _until(lambda: descriptors(served.process.pid) >= 127)
        indexes = [client.append("user.created").leaf_index for _ in range(5)]
        assert client.get(indexes[0]).event is not None
        assert indexes == list(range(indexes[0], indexes[0] + 5))
        del held
    _until(lambda: descriptors(served.process.pid) <= before + 2)
    with served.client() as another:
        assert another.append("user.created").leaf_index == indexes[-1] + 1
    _check_clean(served)


def test_a_server_with_little_memory_refuses_what_it_cannot_hold_and_loses_nothing(
    serve: Callable[..., Served],
) -> None:
    served = serve()
    served.client().append("user.created")
    _limit_data(served, str(_data_bytes(served.process.pid) + 128 * _MIB))
    large = tuple(MetadataEntry(f"k{number:02}", "x" * 2000) for number in range(14))
    requests = [
        ledger_pb2.AppendBatchRequest(
            log="default", sections=[new_sections(personal=False, metadata=large) for _ in range(130)]
        )
        for _ in range(60)
    ]
    acknowledged: dict[bytes, int] = {}
    codes = set()
    with grpc.insecure_channel(served.address) as channel:
        stub = LedgerServiceStub(channel)
        futures = [stub.AppendBatch.future(request, metadata=_metadata(served), timeout=60) for request in requests]
        for request, future in zip(requests, futures, strict=True):
            codes.add(code_of(future.result))
            if future.code() is _OK:
                for one, acknowledgement in zip(request.sections, future.result().acknowledgements, strict=True):
                    acknowledged[one.event] = acknowledgement.leaf_index

    assert codes <= {_OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
    if served.process.poll() is None:
        _limit_data(served, "unlimited")
        assert served.client().append("user.created").leaf_index
    else:
        # The core of gRPC, which is not Python, ends a process that has no memory for it; then it is as after a crash.
        assert served.process.returncode == -signal.SIGABRT
        served.kill()
        served.start()
    assert acknowledged.items() <= _stored(served).items()
    _check_clean(served)


def test_a_stream_whose_answers_are_not_taken_takes_bounded_memory(serve: Callable[..., Served]) -> None:
    served = serve()
    served.client(timeout_seconds=60).append("user.created")
    memory = resident_bytes(served.process.pid)
    large = tuple(MetadataEntry(f"k{number:02}", "x" * 250) for number in range(14))
    messages = 40

    def requests() -> Iterator[ledger_pb2.AppendStreamRequest]:
        for _ in range(messages):
            events = [new_sections(personal=False, metadata=large) for _ in range(900)]
            yield ledger_pb2.AppendStreamRequest(log="default", events=events)

    with grpc.insecure_channel(served.address, options=(("grpc.max_receive_message_length", -1),)) as channel:
        answers = LedgerServiceStub(channel).AppendStream(requests(), metadata=_metadata(served), timeout=100)
        peak = 0
        for _ in range(60):
            peak = max(peak, resident_bytes(served.process.pid))
            threading.Event().wait(0.05)
        acknowledged = sum(len(answer.results.results) for answer in answers)

    # 140 MB of events are offered at once; a few messages of them are held.
    assert peak < memory + 100 * _MIB
    assert acknowledged == messages * 900


def test_a_flood_of_large_batches_takes_bounded_memory(serve: Callable[..., Served]) -> None:
    served = serve()
    client = served.client(timeout_seconds=60)
    client.append("user.created")
    memory = resident_bytes(served.process.pid)
    large = tuple(MetadataEntry(f"k{number:02}", "x" * 2000) for number in range(14))
    request = ledger_pb2.AppendBatchRequest(
        log="default", sections=[new_sections(personal=False, metadata=large) for _ in range(130)]
    )
    peak = 0
    with contextlib.ExitStack() as stack:
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [stack.enter_context(grpc.insecure_channel(served.address, options=options)) for _ in range(4)]
        stubs = [LedgerServiceStub(channel) for channel in channels]
        for _ in range(2):
            futures = [
                stub.AppendBatch.future(request, metadata=_metadata(served), timeout=60)
                for _ in range(60)
                for stub in stubs
            ]
            while not all(future.done() for future in futures):
                peak = max(peak, resident_bytes(served.process.pid))
                threading.Event().wait(0.05)
            assert {future.code() for future in futures} <= {_OK, grpc.StatusCode.UNAVAILABLE}

    # 240 batches of 3.6 MB at a time; only those that are let in are held as a whole.
    assert peak < memory + 400 * _MIB
    assert client.append("user.created").leaf_index


def _data_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData"))


def _needs(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip("needs the Debian package util-linux")
    return path


def test_a_disk_that_fills_up_refuses_and_goes_on_by_itself_when_there_is_room_again(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1200m,mode=700", "tmpfs", str(volume)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a filesystem")
    served = None
    try:
        served = Served(volume)
        client = served.client(timeout_seconds=5.0)
        index = client.append("user.created").leaf_index
        filler = volume / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 150 * _MIB)
        _until(lambda: _reason_of_append(client) == "STORAGE_FULL")

        assert client.get(index).event is not None
        assert client.checkpoint().checkpoint.tree_size >= index + 1
        filler.unlink()
        _until(lambda: _reason_of_append(client) == "")
        with served.client() as reader:
            assert reader.get(index).event is not None
        assert served.stop() == 0
        _check_clean(served)
    finally:
        if served is not None:
            served.close()
        subprocess.run(["umount", str(volume)], capture_output=True, check=False)


def _reason_of_append(client: Ledger) -> str:
    try:
        client.append("user.created")
    except RemoteError as error:
        return error.remote_reason
    except LedgerError as error:
        return error.reason
    return ""


def test_a_stop_while_readers_are_stalled_ends_in_time(serve: Callable[..., Served]) -> None:
    served = serve()
    with grpc.insecure_channel(served.address) as channel:
        request = ledger_pb2.ReadEntriesRequest(log="default", follow=True)
        stalled = [LedgerServiceStub(channel).ReadEntries(request, metadata=_metadata(served)) for _ in range(5)]
        for stream in stalled:
            next(stream)

        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0


# Overload


def test_four_times_the_load_that_can_be_done_is_refused_with_a_delay_and_nothing_accepted_is_lost(
    serve: Callable[..., Served],
) -> None:
    served = serve()

    async def run() -> tuple[list[tuple[Outcome, Outcome]], int]:
        load = Load(served.address, served.api_key, batch=100)
        try:
            capacity = await load.capacity(4, 1.5)
            memory = resident_bytes(served.process.pid)
            rounds = [(await load.offer(capacity / 2, 1.5), await load.offer(capacity * 4, 1.5)) for _ in range(3)]
            return rounds, memory
        finally:
            await load.close()

    rounds, memory = asyncio.run(run())

    acknowledged = {
        event: index for pair in rounds for outcome in pair for event, index in outcome.acknowledged.items()
    }
    refused = sum((over.refused for _, over in rounds), Counter())
    assert refused.total()
    assert {code for code, _ in refused} == {"UNAVAILABLE"}
    assert refused["UNAVAILABLE", True] > refused.total() / 2
    assert resident_bytes(served.process.pid) < memory + 128 * _MIB
    assert acknowledged.items() <= _stored(served).items()
    _check_clean(served)
