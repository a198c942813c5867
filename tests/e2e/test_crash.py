"""kill -9 of the server under load: what was acknowledged is there, and every head ever shown still holds."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger.client import Receipt
from ledger.errors import LedgerError
from ledger.merkle import hash_leaf, verify_consistency
from tests.support.long_run import long_folder, long_number, tell
from tests.support.served import Served, run_logproof

_WRITERS = 4


class Acknowledged(NamedTuple):
    """What a client keeps of an acknowledgement."""

    event_id: str
    leaf_index: int
    leaf_hash: str
    tree_size: int
    root_hash: str

    @classmethod
    def of(cls, receipt: Receipt) -> Acknowledged:
        head = receipt.checkpoint
        return cls(
            receipt.event_id,
            receipt.leaf_index,
            hash_leaf(receipt.leaf_bytes).hex(),
            head.tree_size,
            head.root_hash.hex(),
        )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.close()


class Writer(threading.Thread):
    """Appends one event after the other and keeps every acknowledgement, until the server is gone."""

    def __init__(self, served: Served, name: str) -> None:
        super().__init__()
        self._client = served.client(timeout_seconds=2.0)
        self._label = name
        self.acknowledged: list[Acknowledged] = []
        self.first_ack = threading.Event()

    def run(self) -> None:
        try:
            for count in range(100_000):
                event_id = f"{self._label}-{count:06}"
                receipt = self._client.append("user.role.updated", actor="user:u1", target="user:u2", event_id=event_id)
                self.acknowledged.append(Acknowledged.of(receipt))
                self.first_ack.set()
        except LedgerError:
            self.first_ack.set()


def _round(served: Served, name: str, chance: random.Random) -> list[Acknowledged]:
    """Write, kill, start again; return what was acknowledged."""
    writers = [Writer(served, f"{name}-{number}") for number in range(_WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        assert writer.first_ack.wait(60)
    # The moment is random on purpose; waiting on nothing is how a crash comes.
    threading.Event().wait(chance.uniform(0, 0.15))
    served.kill()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()
    served.start()
    return [found for writer in writers for found in writer.acknowledged]


def _check(served: Served, acknowledged: list[Acknowledged]) -> None:
    with served.client() as client:
        newest = client.checkpoint().checkpoint
        heads: dict[int, str] = {}
        for kept in acknowledged:
            entry = client.get(event_id=kept.event_id)
            assert (entry.leaf_index, entry.leaf_hash.hex()) == (kept.leaf_index, kept.leaf_hash)
            assert heads.setdefault(kept.tree_size, kept.root_hash) == kept.root_hash
        for size, root in heads.items():
            proof = client.prove_consistency(size, newest.tree_size)
            verify_consistency(size, bytes.fromhex(root), newest.tree_size, newest.root_hash, proof.hashes)


def _check_stopped(served: Served) -> None:
    assert served.stop() == 0
    checked = run_logproof("fsck", "--data", served.data, timeout_seconds=600)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.ci
@pytest.mark.timeout(300)
def test_kill_nine_under_load_loses_nothing_acknowledged(served: Served) -> None:
    chance = random.Random(20)
    acknowledged = [kept for number in range(5) for kept in _round(served, f"round-{number}", chance)]
    _check(served, acknowledged)
    _check_stopped(served)
    assert len(acknowledged) >= 5 * _WRITERS


@pytest.mark.long
@pytest.mark.timeout(24 * 3600)
def test_kill_nine_under_load_a_hundred_times() -> None:
    """`LOGPROOF_LONG_ROUNDS` says how often; what was done is kept after each round and counts when it goes on."""
    folder = long_folder("kill-nine")
    kept, rounds = folder / "acknowledged.ndjson", int(long_number("ROUNDS", 100))
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    served = Served(folder)
    try:
        for number in range(len(done), rounds):
            # Stopped in the middle of a round, the next run has other ids.
            fresh = _round(served, f"round-{number}-{random.Random().randbytes(4).hex()}", random.Random())
            _check(served, fresh)
            with kept.open("a") as file:
                file.write(json.dumps(fresh) + "\n")
            done.append(fresh)
        everything = [Acknowledged(*values) for each in done for values in each]
        tell(f"{len(done)} rounds, {len(everything)} acknowledged")
        _check(served, everything)
        _check_stopped(served)
    finally:
        served.close()
    assert len(everything) >= rounds * _WRITERS
    shutil.rmtree(folder)
