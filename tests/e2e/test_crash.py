"""kill -9 of the server under load: what was acknowledged is there, and every head ever shown still holds."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.client import Receipt
from ledger.errors import LedgerError
from ledger.merkle.verify import verify_consistency
from ledger.notes.checkpoint import Checkpoint
from tests.support.served import Served, run_logproof

_WRITERS = 4


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.close()


class Writer(threading.Thread):
    """Appends one event after the other and keeps every acknowledgement, until the server is gone."""

    def __init__(self, served: Served, number: int, acknowledged: dict[str, Receipt], lock: threading.Lock) -> None:
        super().__init__()
        self._client = served.client(timeout_seconds=2.0)
        self._number = number
        self._acknowledged = acknowledged
        self._lock = lock
        self.first_ack = threading.Event()

    def run(self) -> None:
        try:
            for count in range(100_000):
                event_id = f"writer-{self._number}-{count:06}-{id(self)}"
                receipt = self._client.append("user.role.updated", actor="user:u1", target="user:u2", event_id=event_id)
                with self._lock:
                    self._acknowledged[event_id] = receipt
                self.first_ack.set()
        except LedgerError:
            self.first_ack.set()


def _round(served: Served, number: int, acknowledged: dict[str, Receipt], chance: random.Random) -> None:
    lock = threading.Lock()
    writers = [Writer(served, number * _WRITERS + n, acknowledged, lock) for n in range(_WRITERS)]
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


def _check(served: Served, acknowledged: dict[str, Receipt]) -> None:
    with served.client() as client:
        newest = client.checkpoint().checkpoint
        heads: dict[int, Checkpoint] = {}
        for event_id, receipt in acknowledged.items():
            entry = client.get(event_id=event_id)
            assert entry.leaf_index == receipt.leaf_index
            assert entry.leaf_bytes == receipt.leaf_bytes
            known = heads.setdefault(receipt.checkpoint.tree_size, receipt.checkpoint)
            assert known.root_hash == receipt.checkpoint.root_hash
        for head in heads.values():
            proof = client.prove_consistency(head.tree_size, newest.tree_size)
            verify_consistency(head.tree_size, head.root_hash, newest.tree_size, newest.root_hash, proof.hashes)


@pytest.mark.ci
@pytest.mark.timeout(300)
def test_kill_nine_under_load_loses_nothing_acknowledged(served: Served) -> None:
    chance = random.Random(20)
    acknowledged: dict[str, Receipt] = {}
    for number in range(5):
        _round(served, number, acknowledged, chance)
    _check(served, acknowledged)
    assert served.stop() == 0
    checked = run_logproof("fsck", "--data", served.data)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(acknowledged) >= 5 * _WRITERS


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kill_nine_under_load_a_hundred_times(served: Served) -> None:
    chance = random.Random()
    acknowledged: dict[str, Receipt] = {}
    for number in range(100):
        _round(served, number, acknowledged, chance)
    _check(served, acknowledged)
