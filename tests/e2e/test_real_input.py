"""Real audit events, from file to proof: imported, read back, proved, verified offline, exported, audited by others."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.client.values import EntryView
from ledger.importers.cloudtrail import map_record
from ledger.importers.cloudtrail_files import UnreadableRecord, split_file
from tests.support.served import Served, run_logproof
from tests.support.shared import shared_path
from tests.support.verifiers import run_checker, tlog_check

_SAMPLE = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served"))
    yield server
    server.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.close()


def _import(served: Served, source: Path, **more: str) -> dict[str, int]:
    arguments = ["import", "--from", "cloudtrail", str(source), "--format", "json", *more.values()]
    done = run_logproof(*arguments, environment=served.environment)
    assert done.returncode == 0, done.stderr
    summary: dict[str, int] = json.loads(done.stdout)
    return summary


def _records(folder: Path) -> Iterator[tuple[object, bytes]]:
    for file in sorted(folder.glob("*.json")):
        for _, raw, record in split_file(file.read_bytes()):
            assert not isinstance(record, UnreadableRecord)
            yield record, raw


def _check_imported(served: Served, folder: Path) -> None:
    """Every record of the folder is in the log once, with its mapped fields and its own bytes."""
    expected = {}
    for record, raw in _records(folder):
        mapped = map_record(record, raw)
        expected[mapped.event_id] = (mapped, record)
    with served.client() as client:
        found = {
            entry.event.event_id: entry
            for entry in client.read_entries(0, view=EntryView.FULL)
            if entry.event is not None
        }
        for event_id, (mapped, record) in expected.items():
            entry = found[event_id]
            assert entry.event_section.content == mapped.event
            assert entry.personal_section.content == mapped.personal
            original = entry.personal.original if entry.personal else None
            assert original is not None
            if original.content:
                assert json.loads(original.content) == record
            else:
                assert original.size > 32 * 1024
                assert len(original.sha256) == 32


@pytest.mark.ci
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["cloudtrail-invictus", "cloudtrail-stratus"])
def test_real_cloudtrail_is_imported_once_and_read_back_whole(served: Served, name: str) -> None:
    folder = shared_path(f"data/{name}")
    first = _import(served, folder)
    with served.client() as client:
        size = client.checkpoint().checkpoint.tree_size
    again = _import(served, folder)
    with served.client() as client:
        assert client.checkpoint().checkpoint.tree_size == size
    assert again["appended"] == 0
    assert again["already_there"] == first["appended"] + first["already_there"]
    _check_imported(served, folder)


def test_a_sample_with_text_of_all_kinds_is_imported_once_and_read_back_whole(fresh: Served, tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    folder.mkdir()
    for file in _SAMPLE.glob("cloudtrail-sample*.json"):
        shutil.copy(file, folder)
        with gzip.open(folder / f"{file.name}.gz", "wb") as packed:
            packed.write(file.read_bytes())
    first = _import(fresh, folder)
    assert first["appended"] > 0
    assert first["already_there"] == first["appended"], "the packed copy holds the same records"
    _check_imported(fresh, folder)


def test_an_imported_record_is_proved_and_verified_offline(served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    folder.mkdir()
    shutil.copy(_SAMPLE / "cloudtrail-sample.json", folder)
    _import(served, folder)
    environment, key = served.environment, served.verifier_key()
    receipt, proof = tmp_path / "receipt.tlog-proof", tmp_path / "proof.json"
    made = run_logproof("prove", "inclusion", "--index", "3", "--format", "tlog-proof", environment=environment)
    assert made.returncode == 0, made.stderr
    receipt.write_text(made.stdout)
    made = run_logproof("prove", "inclusion", "--index", "3", "--format", "json", environment=environment)
    proof.write_text(made.stdout)
    offline = {"LOGPROOF_ADDRESS": "127.0.0.1:1"}
    assert run_logproof("verify", "receipt", receipt, "--key", key, environment=offline).returncode == 0
    assert run_logproof("verify", "proof", proof, environment=offline).returncode == 0
    damaged = made.stdout.replace('"leaf_index": 3', '"leaf_index": 2').replace('"leaf_index":3', '"leaf_index":2')
    assert damaged != made.stdout
    proof.write_text(damaged)
    assert run_logproof("verify", "proof", proof, environment=offline).returncode == 1


def _flip(path: Path, offset: int = 7) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def _first_file(folder: Path) -> Path:
    return next(file for file in sorted(folder.rglob("*")) if file.is_file())


_TAMPERING: dict[str, Callable[[Path], None]] = {
    "a byte of a tile": lambda log: _flip(_first_file(log / "tile" / "0")),
    "a byte of an entry": lambda log: _flip(_first_file(log / "tile" / "entries"), -1),
    "the length of an entry": lambda log: _flip(_first_file(log / "tile" / "entries"), 1),
    "the size in the checkpoint": lambda log: _change_size(log / "checkpoint"),
    "the signature": lambda log: _flip(log / "checkpoint", -6),
    "a missing tile": lambda log: _first_file(log / "tile" / "0").unlink(),
    "a missing bundle": lambda log: _first_file(log / "tile" / "entries").unlink(),
    "a cut tile": lambda log: _cut(_first_file(log / "tile" / "0")),
}


def _change_size(checkpoint: Path) -> None:
    lines = checkpoint.read_text().split("\n")
    lines[1] = str(int(lines[1]) - 1)
    checkpoint.write_text("\n".join(lines))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-32])


@pytest.fixture(scope="module")
def exported(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    sample = folder / "sample"
    sample.mkdir()
    shutil.copy(_SAMPLE / "cloudtrail-sample.json", sample)
    _import(served, sample)
    with served.client() as client:
        client.append_batch(
            [
                {
                    "action": "user.created",
                    "actor_id": f"user_{n}",
                    "target_type": "user",
                    "target_id": "u",
                    "timestamp": "2026-02-20T14:30:00Z",
                }
                for n in range(600)
            ]
        )
    done = run_logproof("export", "tiles", folder / "tiles", environment=served.environment)
    assert done.returncode == 0, done.stderr
    return folder / "tiles"


def test_an_exported_log_is_accepted_and_every_tampered_copy_is_refused(
    served: Served, exported: Path, tmp_path: Path
) -> None:
    key = served.verifier_key()
    assert run_logproof("verify", "tiles", exported, "--key", key).returncode == 0
    for name, tamper in _TAMPERING.items():
        copy = tmp_path / name
        shutil.copytree(exported, copy)
        tamper(copy)
        refused = run_logproof("verify", "tiles", copy, "--key", key)
        expected = 3 if "missing" in name else 1
        assert refused.returncode == expected, (name, refused.stdout, refused.stderr)


@pytest.mark.ci
def test_gos_tlog_audits_an_exported_log_whole_and_refuses_every_tampered_copy(
    served: Served, exported: Path, tmp_path: Path
) -> None:
    checker = tlog_check(tmp_path)
    key = served.verifier_key()
    accepted = run_checker(checker, "log", "-sample", "all", "-entries", exported, key)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    for name, tamper in _TAMPERING.items():
        copy = tmp_path / name
        shutil.copytree(exported, copy)
        tamper(copy)
        assert run_checker(checker, "log", "-sample", "all", "-entries", copy, key).returncode != 0, name


@pytest.mark.ci
def test_a_log_that_gos_tlog_made_is_accepted_and_refused_after_a_change(tmp_path: Path) -> None:
    checker = tlog_check(tmp_path)
    made = run_checker(checker, "gen", tmp_path / "log", 66_001, "other.example/log")
    key = next(word for word in made.stdout.split() if word.startswith("other.example/log+"))
    assert run_logproof("verify", "tiles", tmp_path / "log", "--key", key).returncode == 0
    entry = _first_file(tmp_path / "log" / "tile" / "entries")
    entry.chmod(0o644)
    _flip(entry, -1)
    assert run_logproof("verify", "tiles", tmp_path / "log", "--key", key).returncode == 1
