"""The owner lock, between processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from ledger.errors import StorageBusyError, StorageError
from ledger.storage import files
from ledger.storage.owner import OwnerLock
from tests.support.children import read_line, start_python

HOLD = """
import sys
from pathlib import Path
from ledger.storage.owner import OwnerLock
lock = OwnerLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "owner"


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def test_lock_held_by_another_process_is_refused_naming_it(path: Path) -> None:
    with start_python(HOLD, path) as holder:
        assert read_line(holder) == "locked"
        with pytest.raises(StorageBusyError) as refused:
            OwnerLock(path)
        stop(holder)
    assert refused.value.message == f"{path.parent} is in use by process {holder.pid}"
    assert refused.value.metadata == {"path": str(path), "holder": f"process {holder.pid}"}


def test_lock_is_free_when_its_holder_died(path: Path) -> None:
    with start_python(HOLD, path) as holder:
        assert read_line(holder) == "locked"
        stop(holder)
    lock = OwnerLock(path)
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_lock_that_is_released_can_be_taken_again(path: Path) -> None:
    for _ in range(2):
        lock = OwnerLock(path)
        lock.release()
        lock.release()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_waiting_for_the_lock_is_told_once_and_ends_when_it_is_free(path: Path) -> None:
    told, is_told = [], threading.Event()

    def tell(holder: str) -> None:
        told.append(holder)
        is_told.set()

    with start_python(HOLD, path) as holder:
        assert read_line(holder) == "locked"

        def end_holder_once_told() -> None:
            assert is_told.wait(30)
            stop(holder)

        thread = threading.Thread(target=end_holder_once_told)
        thread.start()
        lock = OwnerLock(path, wait_seconds=30, on_wait=tell)
        thread.join(30)
    assert told == [f"process {holder.pid}"]
    lock.release()


def test_waiting_for_the_lock_ends_with_its_time(path: Path) -> None:
    told: list[str] = []
    lock = OwnerLock(path)
    with pytest.raises(StorageBusyError, match=f"process {os.getpid()}"):
        OwnerLock(path, wait_seconds=0.1, on_wait=told.append)
    assert len(told) == 1
    lock.release()


def test_free_lock_is_taken_without_a_word(path: Path) -> None:
    told: list[str] = []
    OwnerLock(path, wait_seconds=30, on_wait=told.append).release()
    assert told == []


def test_child_that_inherited_the_lock_holds_it_until_it_ends(path: Path) -> None:
    lock = OwnerLock(path)
    assert os.get_inheritable(lock.fileno())
    child_program = "import sys; print('ready', flush=True); sys.stdin.read()"
    with start_python(child_program, inherit=[lock.fileno()]) as child:
        assert read_line(child) == "ready"
        lock.release()
        with pytest.raises(StorageBusyError):
            OwnerLock(path)
        stop(child)
    OwnerLock(path).release()


def test_holder_that_has_ended_is_named_with_its_children(path: Path) -> None:
    program = HOLD.replace(
        "sys.stdin.read()",
        "import subprocess; subprocess.Popen(['cat'], pass_fds=[lock.fileno()]); print('started', flush=True)",
    )
    with start_python(program, path) as holder:
        assert read_line(holder) == "locked"
        assert read_line(holder) == "started"
        holder.wait(30)
        with pytest.raises(StorageBusyError, match=f"process {holder.pid} or one that it started"):
            OwnerLock(path)
        # The child ends with its input.
        assert holder.stdin is not None
        holder.stdin.close()
        OwnerLock(path, wait_seconds=30).release()


def test_holder_that_has_not_written_its_number_is_still_a_holder(path: Path) -> None:
    lock = OwnerLock(path)
    os.truncate(path, 0)
    with pytest.raises(StorageBusyError, match="not yet written its number"):
        OwnerLock(path)
    lock.release()


def test_lock_in_a_missing_directory_or_on_a_remote_filesystem_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        OwnerLock(path / "missing" / "owner")
    monkeypatch.setitem(files.REMOTE_FILESYSTEMS, files.filesystem_magic(path.parent), "CIFS")
    with pytest.raises(StorageError, match="is on a CIFS filesystem"):
        OwnerLock(path)
