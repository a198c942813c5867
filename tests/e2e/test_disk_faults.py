"""A real server on a disk that fails: the status says what is known, and nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from ledger.client import Ledger
from ledger.errors import RemoteError
from ledger.events.codec import encode_event
from ledger.v1 import ledger_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import failure, new_event
from tests.support.children import needs_strace
from tests.support.served import Served, run_logproof

pytestmark = pytest.mark.ci


@contextmanager
def _broken(served: Served, calls: str, error: str, when: str, file: str = "data.mdb") -> Iterator[Served]:
    """Restart the server so that these calls on a file of the log `default` fail from some call on."""
    assert served.stop() == 0
    folder = {"data.mdb": served.data / "logs" / "default" / "store.1", "default.guard": served.data / "guard"}[file]
    injection = f"inject={calls}:error={error}:when={when}"
    strace = [
        needs_strace(),
        "-D",
        "-f",
        "-qq",
        "-o",
        str(served.folder / "faults"),
        "-P",
        str(folder / file),
        "-e",
        injection,
    ]
    served.wrap([*strace, "-e", f"trace={calls}"])
    served.start()
    try:
        yield served
    finally:
        # A fault that was never injected proves nothing.
        assert "INJECTED" in (served.folder / "faults").read_text()
        served.kill()
        served.wrap([])
        served.start()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.close()


def _append(client: Ledger, number: int) -> int:
    receipt = client.append(
        "user.created",
        actor="user:u1",
        target="user:u2",
        event_id=f"event-{number}",
        occurred_at=datetime(2026, 2, 20, tzinfo=UTC),
    )
    return receipt.leaf_index


_OUTCOME_UNKNOWN = (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
_READ_ONLY = (grpc.StatusCode.FAILED_PRECONDITION, "LOG_READ_ONLY")


def _statuses(served: Served, attempts: int) -> list[tuple[grpc.StatusCode, str]]:
    """Append the same event so many times, as no client of ours would, and return how each attempt was refused."""
    sections = ledger_pb2.EventSections(event=encode_event(new_event()))
    request = ledger_pb2.AppendRequest(log="default", sections=sections)
    metadata = (("authorization", f"Bearer {served.api_key}"),)
    with grpc.insecure_channel(served.address) as channel:
        stub = LedgerServiceStub(channel)
        told = [failure(lambda: stub.Append(request, timeout=60, metadata=metadata)) for _ in range(attempts)]
    return [(found.code, found.reason) for found in told]


def test_a_full_disk_is_a_definite_refusal_and_reads_and_heads_go_on(served: Served) -> None:
    with served.client() as client:
        index = _append(client, 1)
    with _broken(served, "pwrite64,writev,pwritev", "ENOSPC", "1+"), served.client(timeout_seconds=2.0) as client:
        with pytest.raises(RemoteError) as refused:
            _append(client, 2)
        assert refused.value.remote_reason == "STORAGE_FULL"
        assert client.get(index).event is not None
        assert client.checkpoint().checkpoint.tree_size == index + 1
    with served.client() as client:
        assert _append(client, 1) == index
        assert _append(client, 2) == index + 1
    _check_clean(served)


def test_a_failed_write_is_an_unknown_outcome_that_a_retry_resolves(served: Served) -> None:
    with served.client() as client:
        index = _append(client, 1)
    # The first write of the meta page fails, after which LMDB gives nothing until it is reopened; the client retries by
    # itself, with the same bytes.
    with _broken(served, "pwrite64", "EIO", "1"), served.client(timeout_seconds=10.0) as client:
        assert _append(client, 2) == index + 1
        assert _append(client, 1) == index
    with served.client() as client:
        assert _append(client, 2) == index + 1
    _check_clean(served)


def test_writes_that_keep_failing_make_the_log_read_only(served: Served) -> None:
    with served.client() as client:
        index = _append(client, 1)
    with _broken(served, "pwrite64,writev,pwritev", "EIO", "1+"), served.client() as client:
        assert _statuses(served, 3) == [_OUTCOME_UNKNOWN, _OUTCOME_UNKNOWN, _READ_ONLY]
        assert client.get(index).event is not None
    with served.client() as client:
        assert _append(client, 1) == index
    _check_clean(served)


def test_a_log_that_cannot_be_synced_at_its_opening_is_read_only_and_readable(served: Served) -> None:
    with served.client() as client:
        index = _append(client, 1)
    with _broken(served, "fdatasync", "EIO", "1+"), served.client() as client:
        assert _statuses(served, 1) == [_READ_ONLY]
        assert client.get(index).event is not None
    with served.client() as client:
        assert _append(client, 2) == index + 1
    _check_clean(served)


def test_nothing_is_answered_when_the_guard_cannot_be_written(served: Served) -> None:
    with served.client() as client:
        index = _append(client, 1)
        head = client.checkpoint().checkpoint
    with _broken(served, "pwrite64", "EIO", "1+", file="default.guard"), served.client() as client:
        assert _statuses(served, 2) == [_OUTCOME_UNKNOWN, _READ_ONLY]
        assert client.checkpoint().checkpoint == head
    with served.client() as client:
        # It was committed, though never acknowledged.
        assert client.checkpoint().checkpoint.tree_size == index + 2
    _check_clean(served)


def _check_clean(served: Served) -> None:
    checked = run_logproof("fsck", "--data", served.data)
    assert checked.returncode == 0, checked.stdout + checked.stderr
