"""Damage anywhere in the file of a live store is found or is harmless, and no wrong head is ever signed over it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.engine.records import KEY_PREFIX
from ledger.merkle.hashing import hash_leaf
from tests.support.damaged_store import KINDS, rows
from tests.support.documentation import ROOT
from tests.support.engine_lab import make_entry
from tests.support.engine_server import EngineServer
from tests.support.naive_tree import mth


class Victims:
    """Processes that damage copies of a store and work on; a new one wherever the damage killed the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.killed = 0

    def damage(self, number: int, kind: str, seed: int) -> dict[str, object] | None:
        """Return what became of one damage; None where it killed the process."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.damaged_store", str(self._folder)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"number": number, "kind": kind, "seed": seed}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line:
            answer: dict[str, object] = json.loads(line)
            return answer
        _, errors = process.communicate(timeout=60)
        # A signal, not an error of ours that nobody foresaw.
        assert process.returncode < 0, f"{kind} {seed}: {errors}"
        self.killed += 1
        self._process = None
        return None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate(timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a good store of 60 entries with an older version of its file, its guard, key and writer."""
    server = EngineServer(tmp_path / "data")
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    for number in range(30):
        server.append(make_entry(number))
    server.close()
    shutil.copy(server.store_path() / "data.mdb", prepared / "old.mdb")
    server.open()
    for number in range(30, 58):
        server.append(make_entry(number, text="x" * (number % 200)))
    with server.registry.use("default") as log:
        (_, credential), *_ = log.records(KEY_PREFIX)
    server.close()
    shutil.copy(server.store_path() / "data.mdb", prepared / "good.mdb")
    shutil.copy(server.directory.guard_file("default"), prepared / "good.guard")
    shutil.copy(server.directory.key_path("default"), prepared / "log.key")
    (prepared / "credential").write_text(credential.hex())
    (prepared / "rows.json").write_text(json.dumps(rows(server.store_path())))
    return prepared


@pytest.fixture
def victims(folder: Path) -> Iterator[Victims]:
    made = Victims(folder)
    yield made
    made.close()


def _run(folder: Path, victims: Victims, count: int) -> dict[str, int]:
    leaves = [bytes.fromhex(value) for _, value in json.loads((folder / "rows.json").read_text())["leaves"]]
    hashes = [hash_leaf(leaf) for leaf in leaves]
    seen = {"found": 0, "harmless": 0, "signed": 0}
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        answer = victims.damage(number, kind, number)
        if answer is None:
            continue
        if answer["finding"]:
            seen["found"] += 1
        elif not answer["is_same"]:
            # A whole older state is sound in itself: that is for the guard to see.
            assert "older than the head that the guard" in str(answer.get("refused")), f"{kind} {number}: {answer}"
            seen["found"] += 1
        else:
            seen["harmless"] += 1
        signed = answer["signed"]
        if isinstance(signed, dict):
            seen["signed"] += 1
            expected = [*hashes, hash_leaf(bytes.fromhex(signed["leaf"]))]
            assert signed["tree_size"] == len(expected), f"{kind} {number}"
            assert signed["root_hash"] == mth(expected).hex(), f"a wrong head was signed after {kind} {number}"
    return seen | {"killed": victims.killed}


@pytest.mark.ci
@pytest.mark.timeout(300)
def test_damage_is_found_or_harmless_and_no_wrong_head_is_signed(folder: Path, victims: Victims) -> None:
    seen = _run(folder, victims, 400)
    # What neither finds nor spares anything proves nothing.
    assert seen["found"] >= 100
    assert seen["harmless"] >= 20
    assert seen["signed"] >= 20


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_great_deal_of_damage_is_found_or_harmless(folder: Path, victims: Victims) -> None:
    seen = _run(folder, victims, 20_000)
    assert seen["found"] >= 5000
