"""Syncs counted from outside: an acknowledgement follows its syncs, and many callers share one commit."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.children import needs_strace, read_line, run_python, start_python
from tests.support.served import Served
from tests.support.sync_trace import SyncTrace, strace_command

pytestmark = pytest.mark.ci

_APPENDS = 5


def test_an_acknowledgement_follows_a_data_sync_a_synchronous_meta_write_and_a_guard_sync(tmp_path: Path) -> None:
    out = tmp_path / "trace"
    served = Served(tmp_path, wrapper=strace_command(needs_strace(), out))
    try:
        with served.client() as client:
            client.append("user.created", actor="user:u1", target="user:u2")
            trace = SyncTrace(out)
            for _ in range(_APPENDS):
                client.append("user.created", actor="user:u1", target="user:u2")
            store = trace.counts(served.data / "logs" / "default", "data.mdb")
            guard = trace.counts(served.data / "guard", "default.guard")
    finally:
        served.close()
    # A single caller's appends are a commit each: the pages synced, then the meta page through O_DSYNC.
    assert store == {"sync": _APPENDS, "synchronous write": _APPENDS}
    assert guard == {"sync": _APPENDS}


def test_sixty_four_callers_take_far_fewer_commits_than_appends(tmp_path: Path) -> None:
    out = tmp_path / "trace"
    callers, each = 64, 4
    # A disk that takes 100 ms to sync, so that the commit, not this machine's speed, is what callers wait for.
    slow_disk = ["-e", "inject=fdatasync:delay_enter=100000"]
    served = Served(tmp_path, wrapper=[*strace_command(needs_strace(), out), *slow_disk])
    try:
        with served.client() as client:
            client.append("user.created", actor="user:u1", target="user:u2")
            trace = SyncTrace(out)
            together = threading.Barrier(callers)

            def call() -> None:
                together.wait()
                for _ in range(each):
                    client.append("user.created", actor="user:u1", target="user:u2")

            threads = [threading.Thread(target=call) for _ in range(callers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            commits = trace.counts(served.data / "logs" / "default", "data.mdb")["sync"]
            assert client.checkpoint().checkpoint.tree_size >= callers * each
    finally:
        served.close()
    assert 0 < commits <= callers * each / 4


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", {"sync": _APPENDS, "synchronous write": _APPENDS}),
        ("sync=False", {}),
        ("metasync=False", {"sync": _APPENDS}),
    ],
)
def test_the_count_tells_when_sync_or_metasync_is_off(tmp_path: Path, flags: str, expected: dict[str, int]) -> None:
    program = f"""
import lmdb, sys
environment = lmdb.open(sys.argv[1], map_size=1 << 20, {flags})
def put(n):
    with environment.begin(write=True) as transaction:
        transaction.put(b"%d" % n, b"value")
put(0)
print("begin", flush=True)
sys.stdin.readline()
for n in range({_APPENDS}):
    put(n)
"""
    out = tmp_path / "trace"
    (tmp_path / "store").mkdir()
    with start_python(program, tmp_path / "store", prefix=strace_command(needs_strace(), out)) as process:
        assert read_line(process) == "begin"
        trace = SyncTrace(out)
        process.communicate("\n", timeout=60)
    assert trace.counts(tmp_path, "data.mdb") == expected


def test_the_store_refuses_an_environment_without_sync(tmp_path: Path) -> None:
    program = """
import lmdb, sys
from pathlib import Path
from ledger.storage import lmdb as engine
from tests.support.entries import GENESIS, META
engine.create_store(Path(sys.argv[1]), META, GENESIS, map_size=1 << 20)
make = lmdb.open
lmdb.open = lambda *a, **k: make(*a, **{**k, sys.argv[2]: False})
try:
    engine.LmdbStore.open(Path(sys.argv[1]), map_size=1 << 20)
except Exception as error:
    print(type(error).__name__)
    print("has " + error.message.partition(" has ")[2])
else:
    print("opened")
"""
    for number, flag in enumerate(("sync", "metasync")):
        assert run_python(program, tmp_path / f"store{number}", flag).splitlines() == [
            "StorageError",
            f"has {flag}=False: every commit must be synced{' with its meta page' * (flag == 'metasync')}",
        ]
