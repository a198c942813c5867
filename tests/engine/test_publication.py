"""Publication recomputes; it takes nothing from the writer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.engine.publication import Publisher
from ledger.errors import CorruptionError
from ledger.merkle.ranges import stored_index
from ledger.storage.layout import HEAD_KEY, decode_head, encode_head
from tests.support.engine_lab import Lab, make_entry
from tests.support.engine_server import EngineServer
from tests.support.storage_edit import flip_byte, flip_hash, get_row, index_key, set_row


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    made = EngineServer(tmp_path / "data")
    made.append(*(make_entry(number) for number in range(10)))
    made.close()
    yield made
    made.close()


def _publish(server: EngineServer) -> int:
    publisher = Publisher(
        server.directory.open_store("default", read_only=True), server.directory.published_path("default")
    )
    try:
        return publisher.advance().tree_size
    finally:
        publisher.close()


def test_a_committed_head_is_published_once_its_leaves_lead_to_it(server: EngineServer) -> None:
    assert _publish(server) == 12
    kept = json.loads(server.directory.published_path("default").read_text())
    assert kept["tree_size"] == 12


def test_publication_goes_on_from_what_it_kept(server: EngineServer) -> None:
    _publish(server)
    # Damage below the published size is found by checks of the store; publication hashes only what is new.
    flip_byte(server.store_path(), "leaves", index_key(3), -1)
    assert _publish(server) == 12


def test_what_is_published_is_kept_now_and_then_not_with_each_head(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    path = tmp_path / "published.json"
    publisher = Publisher(lab.store, path)
    for number in range(3):
        lab.append(make_entry(number))
        assert publisher.advance().tree_size == lab.size
    assert not path.exists()
    size = lab.size

    publisher.close()

    assert json.loads(path.read_text())["tree_size"] == size


def test_a_damaged_leaf_is_never_published(server: EngineServer) -> None:
    flip_byte(server.store_path(), "leaves", index_key(3), -1)
    with pytest.raises(CorruptionError, match="the committed root is"):
        _publish(server)
    assert not server.directory.published_path("default").exists()


def test_a_changed_root_is_never_published(server: EngineServer) -> None:
    value = get_row(server.store_path(), "meta", HEAD_KEY)
    assert value is not None
    head = decode_head(value)
    forged = type(head)(head.tree_size, bytes(32), head.frontier, head.last_leaf_hash, head.last_recorded_at)
    set_row(server.store_path(), "meta", HEAD_KEY, encode_head(forged))
    with pytest.raises(CorruptionError):
        _publish(server)


def test_damage_of_the_stored_hashes_does_not_fool_publication(server: EngineServer) -> None:
    flip_hash(server.store_path(), stored_index(0, 2))
    assert _publish(server) == 12


@pytest.mark.parametrize("kept", ["", "{}", '{"tree_size": 12, "hashes": []}', '{"tree_size": 5, "hashes": ["00"]}'])
def test_a_lost_or_damaged_state_is_made_again_from_the_leaves(server: EngineServer, kept: str) -> None:
    server.directory.published_path("default").write_text(kept)
    assert _publish(server) == 12


def test_a_state_of_another_history_is_made_again_from_the_leaves(server: EngineServer) -> None:
    wrong = {"tree_size": 4, "hashes": ["11" * 32]}
    server.directory.published_path("default").write_text(json.dumps(wrong))
    assert _publish(server) == 12
