"""The offline commands: what they accept, what they refuse, and with which exit code."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.client.tile_export import TileDirectory
from ledger.client.trust import Head
from ledger.events.codec import encode_sections
from ledger.events.event import Event, PersonalData
from ledger.evidence import ConsistencyClaim, InclusionClaim, Level, format_fork_evidence, format_proofs
from ledger.notes import format_verifier_key, sign_checkpoint
from tests.support.lying_server import copy_of
from tests.support.sample_log import SampleLog
from tests.support.shared import shared_path
from tests.unit.cli.conftest import Run

PINNED_KEY = "pinned key, tail unproven"


@pytest.fixture(scope="module")
def log() -> SampleLog:
    made = SampleLog()
    for number in range(300):
        event = Event(event_id=f"id-{number}", action="user.created", occurred_at=1_771_597_800_000_000 + number)
        made.append(*encode_sections(event, PersonalData(actor_email="al@example.com") if number % 2 else None))
    return made


@pytest.fixture(scope="module")
def key(log: SampleLog) -> str:
    return format_verifier_key(log.verifier)


@pytest.fixture
def files(folder: Path, log: SampleLog) -> Path:
    """Give a folder with one good file of each kind."""
    (folder / "receipt").write_bytes(log.receipt_file(5))
    (folder / "old.note").write_bytes(log.note(5))
    (folder / "new.note").write_bytes(log.note(9))
    consistency = ConsistencyClaim(5, 9, log.root(5), log.root(9), tuple(log.consistency(5, 9)))
    inclusion = InclusionClaim(3, 9, log.leaf_hashes[3], log.root(9), tuple(log.inclusion(3, 9)))
    (folder / "consistency.json").write_bytes(format_proofs([consistency]))
    (folder / "proofs.json").write_bytes(format_proofs([inclusion, consistency]))
    head = Head(log.checkpoint(), log.note(), Level.PINNED_KEY)
    TileDirectory(folder / "tiles", log.verifier).write([log.leaves], head, lambda _done: None)
    return folder


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def test_proofs_hold(run: Run, files: Path) -> None:
    ran = run("verify", "proof", files / "proofs.json")

    assert (ran.code, _first_line(ran.out), ran.err) == (0, "arithmetic only", "")


def test_wrong_proof_among_good_ones_fails_and_is_named(run: Run, files: Path) -> None:
    proofs = json.loads((files / "proofs.json").read_text())
    proofs[1]["new_root"] = "00" * 32
    (files / "proofs.json").write_text(json.dumps(proofs))

    ran = run("verify", "proof", files / "proofs.json")
    assert (ran.code, ran.out) == (1, "")
    assert "proof 2:" in ran.err
    assert "1 of 2 proofs do not hold" in ran.err


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"type": "other"}', "\xff\xfe"])
def test_file_that_holds_no_proof_is_bad_input(run: Run, files: Path, text: str) -> None:
    (files / "bad.json").write_bytes(text.encode("latin-1"))

    assert run("verify", "proof", files / "bad.json").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("proof", "missing.json"),
        ("note", "missing", "--key", "KEY"),
        ("receipt", "missing", "--key", "KEY"),
        ("tiles", "missing", "--key", "KEY"),
        ("receipt", "receipt"),
        ("note", "old.note", "--key", "not+a+key"),
        ("receipt", "proofs.json", "--key", "KEY"),
        ("note", "proofs.json", "--key", "KEY"),
        ("checkpoint", "new.note", "--since", "old.note", "--proof", "proofs.json", "--key", "KEY"),
        ("tiles", "ftp://example.com/log", "--key", "KEY"),
        ("receipt", "receipt", "--key", "KEY", "--require", "certainty"),
        ("nothing",),
        (),
    ],
)
def test_bad_input_exits_2_with_words_and_no_data(run: Run, files: Path, key: str, arguments: tuple[str, ...]) -> None:
    del files
    ran = run("verify", *(key if argument == "KEY" else argument for argument in arguments))

    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert "Traceback" not in ran.err


def test_note_names_who_signed_it(run: Run, files: Path, key: str, log: SampleLog) -> None:
    ran = run("verify", "note", files / "old.note", "--key", key, "--format", "json")

    found = json.loads(ran.out)
    assert (ran.code, found["level"]) == (0, PINNED_KEY)
    assert found["signed_by"] == [f"{log.verifier.name}+{log.verifier.key_id:08x}"]
    assert run("verify", "note", files / "old.note", "--key", key).out.startswith(PINNED_KEY + "\n")


def test_key_may_be_in_a_file(run: Run, files: Path, key: str) -> None:
    (files / "log.vkey").write_text(key + "\n")

    assert run("verify", "note", files / "old.note", "--key", files / "log.vkey").code == 0


def test_stdin_is_read_for_a_dash(run: Run, files: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (files / "receipt").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    assert run("verify", "receipt", "-", "--key", key).code == 0


def test_tampered_note_fails(run: Run, files: Path, key: str) -> None:
    note = (files / "old.note").read_bytes()
    for changed in (note.replace(b"\n5\n", b"\n6\n"), note[:-5] + b"!" + note[-4:], note.replace(b"\n5\n", b"\n5 \n")):
        (files / "old.note").write_bytes(changed)
        assert run("verify", "note", files / "old.note", "--key", key).code == 1


def test_note_of_another_key_fails(run: Run, files: Path) -> None:
    other = format_verifier_key(SampleLog("other.example/log", bytes(32)).verifier)

    assert run("verify", "note", files / "old.note", "--key", other).code == 1


def test_receipt_shows_its_event(run: Run, files: Path, key: str) -> None:
    ran = run("verify", "receipt", files / "receipt", "--key", key, "--format", "json")

    found = json.loads(ran.out)
    assert (ran.code, found["leaf_index"], found["event"]["event_id"]) == (0, 5, "id-5")
    assert found["event"]["actor_email"] == "al@example.com"


def test_every_flipped_byte_of_a_receipt_is_refused(run: Run, files: Path, key: str) -> None:
    good = (files / "receipt").read_bytes()
    for position in range(0, len(good), 23):
        (files / "receipt").write_bytes(good)
        _flip(files / "receipt", position)
        ran = run("verify", "receipt", files / "receipt", "--key", key)
        # A file that no longer says what it is is bad input; every other change is a failed verification.
        assert ran.code == (2 if position < len(b"c2sp.org/tlog-proof@") else 1), position


def test_level_below_the_required_one_exits_3_after_telling_it(run: Run, files: Path, key: str) -> None:
    ran = run("verify", "receipt", files / "receipt", "--key", key, "--require", "pinned-head")
    assert (ran.code, _first_line(ran.out)) == (3, PINNED_KEY)

    assert run("verify", "receipt", files / "receipt", "--key", key, "--require", "pinned-key").code == 0
    assert run("verify", "proof", files / "proofs.json", "--require", "pinned-key").code == 3


def test_remembered_head_raises_the_level_of_a_receipt(run: Run, files: Path, key: str, log: SampleLog) -> None:
    (files / "same.note").write_bytes(log.note())

    ran = run(
        "verify", "receipt", files / "receipt", "--key", key, "--since", files / "same.note", "--require", "pinned-head"
    )
    assert (ran.code, _first_line(ran.out)) == (0, "pinned head")


def _verify_checkpoint(run: Run, files: Path, key: str, new: str = "new.note", old: str = "old.note") -> int:
    return run(
        "verify", "checkpoint", files / new, "--since", files / old, "--proof", files / "consistency.json", "--key", key
    ).code


def test_checkpoint_continues_the_trusted_one(run: Run, files: Path, key: str) -> None:
    assert _verify_checkpoint(run, files, key) == 0


def test_checkpoint_with_a_wrong_proof_fails(run: Run, files: Path, key: str) -> None:
    proof = json.loads((files / "consistency.json").read_text())
    proof["proof"][0] = "00" * 32
    (files / "consistency.json").write_text(json.dumps(proof))

    assert _verify_checkpoint(run, files, key) == 1


def test_sizes_in_the_proof_file_are_not_believed(run: Run, files: Path, key: str) -> None:
    proof = json.loads((files / "consistency.json").read_text())
    proof.update(old_size=1, new_size=2, old_root="00" * 32)
    (files / "consistency.json").write_text(json.dumps(proof))

    assert _verify_checkpoint(run, files, key) == 0


def test_checkpoint_that_contradicts_the_trusted_one_is_a_fork(run: Run, files: Path, key: str, log: SampleLog) -> None:
    forked = copy_of(log, 8)
    forked.append(b"another event")
    (files / "forked.note").write_bytes(forked.note())

    assert _verify_checkpoint(run, files, key, new="forked.note", old="new.note") == 6


def test_evidence_of_a_fork_is_judged(run: Run, files: Path, key: str, log: SampleLog) -> None:
    forked = copy_of(log, 8)
    forked.append(b"another event")
    (files / "fork.json").write_bytes(format_fork_evidence(log.note(9), forked.note()))
    (files / "none.json").write_bytes(format_fork_evidence(log.note(9), log.note(9)))

    assert run("verify", "fork", files / "fork.json", "--key", key).code == 6
    ran = run("verify", "fork", files / "fork.json", "--key", key, "--format", "json")
    assert (ran.code, json.loads(ran.out)) == (6, {"level": PINNED_KEY, "verified": "fork", "origin": log.signer.name})
    assert run("verify", "fork", files / "none.json", "--key", key).code == 1


def test_tiles_hold(run: Run, files: Path, key: str, log: SampleLog) -> None:
    ran = run("verify", "tiles", files / "tiles", "--key", key, "--format", "json")

    found = json.loads(ran.out)
    assert (ran.code, found["level"], found["tree_size"]) == (0, PINNED_KEY, 300)
    assert found["root_hash"] == log.root().hex()


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "checkpoint"])
@pytest.mark.parametrize("position", [0, 7, -1])
def test_changed_byte_of_tiles_fails(run: Run, files: Path, key: str, path: str, position: int) -> None:
    _flip(files / "tiles" / path, position)

    ran = run("verify", "tiles", files / "tiles", "--key", key)
    assert (ran.code, ran.out) == (1, "")


@pytest.mark.parametrize("path", ["tile/0/000", "tile/entries/001.p/44", "checkpoint"])
def test_missing_part_of_tiles_is_incomplete_evidence(run: Run, files: Path, key: str, path: str) -> None:
    (files / "tiles" / path).unlink()

    ran = run("verify", "tiles", files / "tiles", "--key", key)
    assert (ran.code, ran.out) == (3, "")
    assert path in ran.err


def test_tiles_are_held_against_a_remembered_head(run: Run, files: Path, key: str, log: SampleLog) -> None:
    (files / "larger.note").write_bytes(log.note())
    head = Head(log.checkpoint(200), log.note(200), Level.PINNED_KEY)
    TileDirectory(files / "cut", log.verifier).write([log.leaves[:200]], head, lambda _done: None)

    good = run("verify", "tiles", files / "tiles", "--key", key, "--since", files / "old.note")
    cut = run("verify", "tiles", files / "cut", "--key", key, "--since", files / "larger.note")
    assert (good.code, _first_line(good.out), cut.code) == (0, "pinned head", 1)


@pytest.fixture
def site(files: Path) -> Iterator[str]:
    """Serve the files by HTTP."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(files))) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()
        thread.join()


def test_tiles_are_read_from_a_web_server(run: Run, files: Path, key: str, site: str) -> None:
    assert run("verify", "tiles", f"{site}/tiles/", "--key", key).code == 0
    (files / "tiles" / "tile" / "0" / "000").unlink()
    assert run("verify", "tiles", f"{site}/tiles", "--key", key).code == 3


def test_web_server_that_is_not_there_is_unreachable(run: Run, folder: Path, key: str) -> None:
    del folder
    assert run("verify", "tiles", "http://127.0.0.1:1/log", "--key", key).code == 5


def _under_another_origin(log: SampleLog, size: int) -> bytes:
    return sign_checkpoint(replace(log.checkpoint(size), origin="elsewhere.example/log"), log.signer)


def test_log_whose_origin_is_not_the_name_of_its_key_verifies_under_the_origin_that_is_named(
    run: Run, files: Path, key: str, log: SampleLog
) -> None:
    forked = copy_of(log, 8)
    forked.append(b"another event")
    for name, data in (
        ("old.note", _under_another_origin(log, 5)),
        ("new.note", _under_another_origin(log, 9)),
        ("tiles/checkpoint", _under_another_origin(log, 300)),
        ("fork.json", format_fork_evidence(_under_another_origin(log, 9), _under_another_origin(forked, 9))),
    ):
        (files / name).write_bytes(data)
    checkpoint = (
        "checkpoint",
        files / "new.note",
        "--since",
        files / "old.note",
        "--proof",
        files / "consistency.json",
    )
    tiles = ("tiles", files / "tiles", "--since", files / "old.note")
    for arguments, code in ((checkpoint, 0), (tiles, 0), (("fork", files / "fork.json"), 6)):
        refused = run("verify", *arguments, "--key", key)
        assert refused.code == 1
        assert "elsewhere.example/log" in refused.err
        ran = run("verify", *arguments, "--key", key, "--origin", "elsewhere.example/log", "--format", "json")
        assert (ran.code, json.loads(ran.out)["origin"]) == (code, "elsewhere.example/log")
        assert run("verify", *arguments, "--key", key, "--origin", "other.example").code == 1


def test_key_comes_from_the_settings_where_it_is_not_given(
    run: Run, files: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = files / "receipt"
    assert run("verify", "receipt", receipt).code == 2
    (files / "config.toml").write_text('verifier_key = "log.vkey"\n')
    (files / "log.vkey").write_text(key)
    monkeypatch.setenv("LOGPROOF_CONFIG", str(files / "config.toml"))
    assert run("verify", "receipt", receipt).code == 0
    assert run("verify", "note", files / "old.note").code == 0
    other = format_verifier_key(SampleLog(seed=bytes(32)).verifier)
    monkeypatch.setenv("LOGPROOF_VERIFIER_KEY", other)
    assert run("verify", "receipt", receipt).code == 1
    assert run("verify", "receipt", receipt, "--key", key).code == 0
    monkeypatch.delenv("LOGPROOF_VERIFIER_KEY")
    (files / "config.toml").write_text("verifier_key = 5\n")
    assert run("verify", "receipt", receipt).code == 2


def test_what_a_receipt_does_not_show_is_said_once_for_each_section(
    run: Run, files: Path, key: str, log: SampleLog
) -> None:
    (files / "leaf").write_bytes(log.receipt_file(5, event=False, personal=False))

    ran = run("verify", "receipt", files / "leaf", "--key", key)
    assert ran.code == 0
    assert ran.out.count("not shown by this receipt") == 2


def test_third_party_log_holds(run: Run) -> None:
    folder = shared_path("vectors/tessera-testlog")

    ran = run("verify", "tiles", folder / "log", "--key", folder / "vkey")
    assert (ran.code, _first_line(ran.out)) == (0, PINNED_KEY)


def test_offline_verification_loads_neither_grpc_nor_lmdb_nor_protobuf(files: Path, key: str) -> None:
    commands = [
        ["proof", str(files / "proofs.json")],
        ["note", str(files / "old.note"), "--key", key],
        ["receipt", str(files / "receipt"), "--key", key],
        ["tiles", str(files / "tiles"), "--key", key],
        ["proof", "missing.json"],
    ]
    code = f"""
import sys
from ledger.cli.main import main
codes = [main(["verify", *command]) for command in {commands!r}]
print(codes, [name for name in ("grpc", "lmdb", "google.protobuf", "rich", "sqlalchemy") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert ran.stdout.splitlines()[-1] == "[0, 0, 0, 0, 2] []", ran.stderr
