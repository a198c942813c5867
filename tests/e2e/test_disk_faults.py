"""A real server on a disk that fails: the status says what is known, and nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.client import Ledger
from ledger.errors import LogReadOnlyError, OutcomeUnknownError, RemoteError, ServerUnreachableError
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
    with _broken(served, "pwrite64,writev,pwritev", "EIO", "1+"), served.client(timeout_seconds=3.0) as client:
        with pytest.raises((OutcomeUnknownError, LogReadOnlyError, ServerUnreachableError)):
            _append(client, 2)
        with pytest.raises((LogReadOnlyError, ServerUnreachableError)):
            _append(client, 3)
        assert client.get(index).event is not None
    with served.client() as client:
        assert _append(client, 1) == index
    _check_clean(served)


def test_a_log_that_cannot_be_synced_at_its_opening_is_read_only_and_readable(served: Served) -> None:
    with served.client() as client:
        index = _append(client, 1)
    broken = _broken(served, "fdatasync", "EIO", "1+")
    with broken, served.client(timeout_seconds=3.0) as client:
        with pytest.raises((LogReadOnlyError, ServerUnreachableError)):
            _append(client, 2)
        assert client.get(index).event is not None
    with served.client() as client:
        assert _append(client, 2) == index + 1
    _check_clean(served)


def test_nothing_is_answered_when_the_guard_cannot_be_written(served: Served) -> None:
    with served.client() as client:
        index = _append(client, 1)
        head = client.checkpoint().checkpoint
    broken = _broken(served, "pwrite64", "EIO", "1+", file="default.guard")
    with broken, served.client(timeout_seconds=3.0) as client:
        with pytest.raises((OutcomeUnknownError, LogReadOnlyError, ServerUnreachableError)):
            _append(client, 2)
        assert client.checkpoint().checkpoint == head
    with served.client() as client:
        # It was committed, though never acknowledged: the retry finds it.
        assert _append(client, 2) == index + 1
    _check_clean(served)


def _check_clean(served: Served) -> None:
    checked = run_logproof("fsck", "--data", served.data)
    assert checked.returncode == 0, checked.stdout + checked.stderr
