"""Start and stop: what a server refuses to start on, and what its end leaves behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from ledger.errors import (
    FilePermissionsError,
    InvalidRequestError,
    LedgerError,
    StorageBusyError,
    StorageError,
    StorageFormatError,
    StorageFullError,
)
from ledger.v1 import admin_pb2, ledger_pb2
from tests.support.calls import code_of, failure, new_sections, told
from tests.support.live_server import LiveServer, live_server
from tests.support.served import run_logproof

_OK = grpc.StatusCode.OK


def _append(sections: ledger_pb2.EventSections) -> ledger_pb2.AppendRequest:
    return ledger_pb2.AppendRequest(log="default", sections=sections)


def _refuses(data: Path, kind: type[LedgerError], **settings: object) -> LedgerError:
    """Start a server that must refuse with this class of error, and return it."""
    with pytest.raises(kind) as caught:
        LiveServer(data, **settings)  # type: ignore[arg-type]
    assert caught.value.message
    assert caught.value.hint
    return caught.value


# Starts


def test_a_first_start_makes_a_directory_that_only_its_owner_may_read(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    with live_server(data) as server:
        modes = {path.relative_to(data): path.stat().st_mode & 0o777 for path in data.rglob("*")}
        said = "\n".join(server.said)

        assert {mode for path, mode in modes.items() if (data / path).is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if (data / path).is_file()} == {0o600}
        assert server.admin_key not in said
        for words in (server.address, "logs.example/live/default+", str(data / "admin.key"), "--guard-dir"):
            assert words in said
        assert server.said[-1] == "ready"


def test_an_empty_directory_is_taken_over_and_closed_to_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)

    with live_server(data):
        assert data.stat().st_mode & 0o777 == 0o700


def test_what_was_acknowledged_before_a_stop_is_there_after_the_next_start(tmp_path: Path) -> None:
    server = LiveServer(tmp_path / "data")
    sections = [new_sections() for _ in range(20)]
    indexes = [server.ledger().Append(_append(one)).acknowledgement.leaf_index for one in sections]
    server.stop()

    server.start()
    again = [server.ledger().Append(_append(one)).acknowledgement for one in sections]
    server.stop()

    assert [ack.leaf_index for ack in again] == indexes
    assert {ack.outcome for ack in again} == {ledger_pb2.APPEND_OUTCOME_DUPLICATE}


def test_a_stop_under_load_answers_what_was_taken_and_loses_none_of_it(tmp_path: Path) -> None:
    server = LiveServer(tmp_path / "data", linger_seconds=0.5)
    ledger = server.ledger()
    acknowledged: list[tuple[bytes, int]] = []
    flowing = threading.Event()

    def write() -> grpc.StatusCode:
        while True:
            sections = new_sections()
            try:
                answer = ledger.Append(_append(sections), timeout=30)
            except grpc.RpcError as error:
                return told(error).code
            acknowledged.append((sections.event, answer.acknowledgement.leaf_index))
            if len(acknowledged) > 50:
                flowing.set()

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write) for _ in range(8)]
        assert flowing.wait(60)
        server.server.stop()
        codes = {writer.result(60) for writer in writers}
    server.stop()

    server.start()
    request = ledger_pb2.ReadEntriesRequest(log="default", view=ledger_pb2.ENTRY_VIEW_EVENT)
    stored = {
        entry.leaf_index: entry.event.content
        for message in server.ledger().ReadEntries(request)
        for entry in message.entries
    }
    server.stop()
    assert codes == {grpc.StatusCode.UNAVAILABLE}
    assert all(stored[index] == event for event, index in acknowledged)


def test_a_stop_ends_streams_at_once_and_says_why(tmp_path: Path) -> None:
    server = LiveServer(tmp_path / "data", drain_seconds=60)
    following = server.ledger().ReadEntries(ledger_pb2.ReadEntriesRequest(log="default", follow=True), timeout=60)
    next(following)
    answered = threading.Event()
    stopped = threading.Event()

    def messages() -> Iterator[ledger_pb2.AppendStreamRequest]:
        yield ledger_pb2.AppendStreamRequest(log="default", sections=new_sections())
        answered.set()
        stopped.wait(60)

    appending = server.ledger().AppendStream(messages(), timeout=60)
    assert next(appending).WhichOneof("result") == "response"
    assert answered.wait(60)
    ends = []
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(_end_of, stream) for stream in (following, appending)]
        server.server.stop()
        ends = [reader.result(30) for reader in readers]
    stopped.set()
    server.stop()

    assert ends == [(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")] * 2


def _end_of(stream: Iterator[object]) -> tuple[grpc.StatusCode, str]:
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        end = told(error)
        return end.code, end.reason
    return _OK, ""


# Refusals


def test_two_servers_on_one_directory_are_one_too_many(tmp_path: Path) -> None:
    with live_server(tmp_path / "data") as server:
        # Of another process, because a lock is for processes.
        refused = _refuses(tmp_path / "data", StorageBusyError)

        assert f"process {os.getpid()}" in refused.message
        assert code_of(lambda: server.ledger().Append(_append(new_sections()))) is _OK
    with live_server(tmp_path / "data"):
        pass


def test_two_servers_on_one_port_are_one_too_many(tmp_path: Path) -> None:
    with live_server(tmp_path / "first") as server:
        port = int(server.address.rpartition(":")[2])

        refused = _refuses(tmp_path / "second", InvalidRequestError, port=port)

        assert str(port) in refused.message
        assert code_of(lambda: server.ledger().Append(_append(new_sections()))) is _OK


def test_a_port_that_another_program_has_is_named(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        assert str(port) in _refuses(tmp_path / "data", InvalidRequestError, port=port).message


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The directory of a server that has stopped."""
    with live_server(tmp_path / "data"):
        pass
    return tmp_path / "data"


def test_data_of_a_newer_version_is_left_alone(stopped: Path) -> None:
    manifest = stopped / "logproof.json"
    newer = json.dumps({**json.loads(manifest.read_text()), "format": 2})
    manifest.write_text(newer)

    refused = _refuses(stopped, StorageFormatError)

    assert "format 2" in refused.message
    assert manifest.read_text() == newer


def test_a_directory_that_others_may_read_is_refused(stopped: Path) -> None:
    stopped.chmod(0o750)

    assert "mode 0750" in _refuses(stopped, FilePermissionsError).message


def test_a_signing_key_that_others_may_read_is_refused(stopped: Path) -> None:
    (stopped / "keys" / "_system.key").chmod(0o644)

    assert "_system.key" in _refuses(stopped, FilePermissionsError).message


def test_a_directory_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "letter.txt").write_text("dear")

    _refuses(tmp_path / "data", StorageFormatError)

    assert (tmp_path / "data" / "letter.txt").read_text() == "dear"


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")

    _refuses(tmp_path / "data", StorageError)


def test_an_empty_directory_whose_guards_remember_logs_is_refused(tmp_path: Path) -> None:
    with live_server(tmp_path / "first", guard=tmp_path / "guards"):
        pass

    assert "guards" in _refuses(tmp_path / "second", StorageError, guard=tmp_path / "guards").message


def test_another_origin_prefix_than_that_of_the_directory_is_refused(stopped: Path) -> None:
    manifest = json.loads((stopped / "logproof.json").read_text())
    (stopped / "logproof.json").write_text(json.dumps({**manifest, "origin_prefix": "elsewhere.example"}))

    _refuses(stopped, InvalidRequestError)


def _mount(path: Path, *options: str) -> None:
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a filesystem")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "volume"
    yield path
    subprocess.run(["umount", str(path)], capture_output=True, check=False)


def test_a_disk_that_is_full_at_creation_is_told_and_a_larger_one_is_used(mount: Path) -> None:
    _mount(mount, "size=32k", "mode=700")
    _refuses(mount / "data", StorageFullError)

    subprocess.run(["mount", "-o", "remount,size=1100m", str(mount)], check=True)

    with live_server(mount / "data") as server:
        assert code_of(lambda: server.ledger().Append(_append(new_sections()))) is _OK


def test_a_log_that_has_no_room_is_not_made_and_the_server_goes_on(mount: Path) -> None:
    _mount(mount, "size=24m", "mode=700")
    with live_server(mount / "data") as server:
        free = os.statvfs(mount)
        with (mount / "filling").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 1024**2)
        create = admin_pb2.CreateLogRequest(name="second")

        refused = failure(lambda: server.admin().CreateLog(create))
        (mount / "filling").unlink()

        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
        assert code_of(lambda: server.admin().CreateLog(create)) is _OK


def test_a_read_only_directory_is_told(mount: Path) -> None:
    _mount(mount, "size=1m", "mode=700", "ro")

    refused = _refuses(mount, StorageError)

    assert "writable" in refused.hint


def test_a_directory_that_became_read_only_ends_the_command_with_74_and_what_to_do(
    mount: Path,
) -> None:
    _mount(mount, "size=1100m", "mode=700")
    with live_server(mount / "data") as server:
        assert code_of(lambda: server.ledger().Append(_append(new_sections()))) is _OK
    subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)

    done = run_logproof("serve", "--data", mount / "data", "--listen", "127.0.0.1:0")

    assert done.returncode == 74
    assert "Traceback" not in done.stderr
    assert "Read-only file system" in done.stderr
    assert "writable" in done.stderr
    # What is read-only can still be checked.
    checked = run_logproof("fsck", "--data", mount / "data")
    assert checked.returncode == 0, checked.stdout + checked.stderr
