"""What the store on LMDB says, and what is on the disk, when the operating system refuses a write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ledger.storage.lmdb import create_store
from tests.support.children import needs_strace, run_python
from tests.support.entries import GENESIS, META

# Append to a new store, with the size of files limited or a tracer interfering; tell each outcome, in order.
APPEND = """
import json, resource, sys
from pathlib import Path
from ledger.errors import StorageError
from ledger.storage.lmdb import LmdbStore
from tests.support.entries import make_batch

def append(store):
    with store.write() as transaction:
        transaction.append(make_batch(transaction.head(), 50, filler=1000))
    return "appended"

def size(store):
    with store.read() as snapshot:
        return snapshot.head().tree_size

def outcome_of(action, store):
    try:
        return action(store)
    except StorageError as error:
        return type(error).__name__

path, limit = Path(sys.argv[1]), int(sys.argv[2])
store = LmdbStore.open(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
told = [outcome_of(append, store)]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
told += [outcome_of(size, store), outcome_of(append, store)]
store.close()
store = LmdbStore.open(path)
told += [outcome_of(size, store), outcome_of(append, store), outcome_of(size, store)]
print(json.dumps(told))
"""

NO_LIMIT = -1
# The first append's outcome, the size then seen, a second append's outcome; after reopening: size, append, size.
REFUSED = ["StorageFullError", 0, "appended", 50, "appended", 100]
UNKNOWN = ["OutcomeUnknownError", 0, "StorageError", 0, "appended", 50]
# Where the meta page itself failed, LMDB gives up the environment, and writes the old page back.
UNKNOWN_AND_UNREADABLE = ["OutcomeUnknownError", "StorageError", "StorageError", 0, "appended", 50]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    created = tmp_path / "store"
    create_store(created, META, GENESIS)
    return created


@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        ("writev", "ENOSPC", REFUSED),
        ("writev", "EDQUOT", REFUSED),
        ("writev", "EIO", UNKNOWN),
        ("fdatasync", "EIO", UNKNOWN),
        ("pwrite64", "EIO", UNKNOWN_AND_UNREADABLE),
        ("pwrite64", "ENOSPC", UNKNOWN_AND_UNREADABLE),
    ],
)
def test_only_a_full_disk_is_a_definite_refusal_and_nothing_is_half_there(
    path: Path, tmp_path: Path, call: str, error: str, expected: list[object]
) -> None:
    trace = tmp_path / "trace"
    strace = [needs_strace(), "-f", "-qq", "-o", str(trace), "-P", str(path / "data.mdb"), "-e", f"trace={call}"]
    told = run_python(APPEND, path, NO_LIMIT, prefix=[*strace, "-e", f"inject={call}:error={error}:when=1"])
    assert len(re.findall(rf"{call}\(.*{error}.*INJECTED", trace.read_text())) == 1
    assert json.loads(told) == expected


def test_write_that_fails_for_a_reason_without_a_name_has_an_unknown_outcome(path: Path) -> None:
    limit = (path / "data.mdb").stat().st_size + 4096
    assert json.loads(run_python(APPEND, path, limit)) == UNKNOWN


def test_each_commit_syncs_its_pages_before_and_with_its_meta_page(path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    calls = "trace=openat,write,writev,pwrite64,pwritev,fdatasync,fsync"
    strace = [needs_strace(), "-f", "-qq", "-y", "-o", str(trace), "-P", str(path / "data.mdb"), "-e", calls]
    told = run_python(APPEND, path, NO_LIMIT, prefix=strace)
    assert json.loads(told) == ["appended", 50, "appended", 100, "appended", 150]
    lines = trace.read_text()
    names = re.findall(r"^\d+ +(\w+)\(", lines, re.MULTILINE)
    writes = [name for name in names if name != "openat"]
    commits = re.findall(r"(?:writev|pwritev|pwrite64)+ fdatasync pwrite64", " ".join(writes))
    assert len(commits) == writes.count("fdatasync") == 3
    # The last write of each is the meta page, through a descriptor that syncs by itself.
    synced = re.findall(r"data\.mdb\", O_WRONLY\|O_DSYNC\|O_CLOEXEC\) = (\d+)", lines)
    assert len(synced) == 2
    assert len(re.findall(rf"pwrite64\((?:{'|'.join(synced)})<", lines)) == 3


def test_creation_syncs_the_file_its_directory_and_the_directory_above(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from ledger.storage.lmdb import create_store
from tests.support.entries import GENESIS, META
create_store(Path(sys.argv[1]), META, GENESIS)
"""
    trace, created = tmp_path / "trace", tmp_path / "created"
    run_python(
        program, created, prefix=[needs_strace(), "-f", "-qq", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync"]
    )
    synced = re.findall(r"fsync\(\d+<([^>]+)>\) += 0", trace.read_text())
    assert synced == [str(created / "data.mdb"), str(created), str(tmp_path)]
