"""Real audit records, from file to proof: imported, read back, proved, verified offline, exported, audited by others.

Every artefact that a server gave out (heads, proofs, receipts, tiles) is verified without it, by us and by programs that
others wrote; and so is every tampered copy of each, which all of them must refuse.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.cli.main import main
from ledger.errors import InvalidProofError, LedgerError
from ledger.evidence import verify_receipt
from ledger.evidence.proof_json import ConsistencyClaim, InclusionClaim, format_proofs
from ledger.importers.cloudtrail import map_record
from ledger.merkle import hash_leaf, verify_batch_inclusion
from ledger.notes import parse_verifier_key
from tests.support.cloudtrail_rows import Mapped, failed_rows
from tests.support.documentation import ROOT
from tests.support.real_log import TakenLog, import_records, take_log
from tests.support.served import Served, run_logproof
from tests.support.shared import shared_path
from tests.support.verifiers import run_checker, tlog_check, verifiers_python

_SAMPLE = ROOT / "tests" / "data" / "cloudtrail-sample.json"
_FILLERS = 600
_REAL = ("cloudtrail-invictus", "cloudtrail-stratus")


@pytest.fixture(scope="module", params=["sample", pytest.param("real", marks=pytest.mark.timeout(300))])
def taken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TakenLog:
    """A log of real records, or of the sample and enough other events, taken out of a server that is gone since."""
    work = tmp_path_factory.mktemp("taken")
    if request.param == "real":
        folders = [shared_path(f"data/{name}") for name in _REAL]
    else:
        folders = [work / "sample"]
        folders[0].mkdir()
        shutil.copy(_SAMPLE, folders[0])
    served = Served(work)
    try:
        import_records(served, folders[0])
        with served.client() as client:
            old_note = client.checkpoint().note
            if request.param == "sample":
                client.append_batch([_filler(number) for number in range(_FILLERS)])
        for folder in folders[1:]:
            import_records(served, folder)
        # Importing all of it again changes nothing.
        with served.client() as client:
            size = client.checkpoint().checkpoint.tree_size
        for folder in folders:
            assert import_records(served, folder)["appended"] == 0
        log = take_log(served, folders, old_note, work / "tiles")
        assert log.checkpoint.tree_size == size
    finally:
        served.close()
    return log


def _filler(number: int) -> dict[str, object]:
    return {"action": "user.created", "actor_id": f"user_{number}", "timestamp": "2026-02-20T14:30:00Z"}


def _verify(*arguments: object) -> int:
    """Run our verifier on files alone, and return its exit code."""
    return main(["verify", *map(str, arguments)])


# Content


def test_every_record_is_in_the_log_once_and_reads_back_as_its_file_has_it(taken: TakenLog) -> None:
    found = {entry.event.event_id: entry for entry in taken.entries if entry.event is not None}
    assert len(found) == len(taken.entries)
    distinct = set()
    for record, raw in taken.records:
        mapped = map_record(record, raw)
        distinct.add(mapped.event_id)
        entry = found[mapped.event_id]
        assert (entry.event_section.content, entry.personal_section.content) == (mapped.event, mapped.personal)
        assert entry.personal is not None
        assert entry.personal.original is not None
        if entry.personal.original.content:
            assert json.loads(entry.personal.original.content) == record
        else:
            assert len(raw) > 32 * 1024
    imported = [entry for entry in taken.entries if entry.personal is not None and entry.personal.original is not None]
    assert len(imported) == len(distinct)


def test_every_documented_row_holds_for_every_record_that_was_read_back(taken: TakenLog) -> None:
    found = {entry.event.event_id: entry for entry in taken.entries if entry.event is not None}
    for record, raw in taken.records:
        entry = found[map_record(record, raw).event_id]
        assert entry.event is not None
        assert entry.personal is not None
        assert failed_rows(Mapped(record, raw, entry.event.event_id, entry.event, entry.personal)) == []


def test_a_packed_copy_of_a_file_holds_the_same_records(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        folder = tmp_path / "sample"
        folder.mkdir()
        shutil.copy(_SAMPLE, folder)
        with gzip.open(folder / "packed.json.gz", "wb") as packed:
            packed.write(_SAMPLE.read_bytes())
        summary = import_records(served, folder)
        assert summary["appended"] > 0
        assert summary["already_there"] == summary["appended"]
    finally:
        served.close()


# Heads


def _change_size(note: bytes) -> bytes:
    lines = note.split(b"\n")
    return b"\n".join([lines[0], b"%d" % (int(lines[1]) - 1), *lines[2:]])


def _change_line(number: int) -> Callable[[bytes], bytes]:
    """Change one character in the middle of a line's base64."""

    def change(note: bytes) -> bytes:
        lines = note.split(b"\n")
        line = bytearray(lines[number])
        line[-20] = ord("B") if line[-20] == ord("A") else ord("A")
        return b"\n".join([*lines[:number], bytes(line), *lines[number + 1 :]])

    return change


_TAMPERED_NOTES: dict[str, Callable[[bytes], bytes]] = {
    "another origin": lambda note: b"x" + note,
    "another size": _change_size,
    "another root": _change_line(2),
    "another signature": _change_line(4),
    "an extension line": lambda note: note.replace(b"\n\n", b"\nextension\n\n"),
    "no signature": lambda note: note[: note.index(b"\n\n") + 2],
    "a line that is no signature": lambda note: note + b"more\n",
    "a byte short": lambda note: note[:-1],
}


def _check_notes(taken: TakenLog, folder: Path, accepts: Callable[[Path], bool]) -> None:
    for which, note in (("old", taken.old_note), ("new", taken.note)):
        file = folder / which
        file.write_bytes(note)
        assert accepts(file)
        for name, tamper in _TAMPERED_NOTES.items():
            file.write_bytes(tamper(note))
            assert not accepts(file), f"{which}: {name}"


def test_signed_heads_are_accepted_and_every_tampered_copy_is_refused(taken: TakenLog, tmp_path: Path) -> None:
    _check_notes(taken, tmp_path, lambda file: _verify("note", file, "--key", taken.key) == 0)


def test_gos_note_package_judges_signed_heads_alike(taken: TakenLog, tmp_path: Path) -> None:
    checker = tlog_check(tmp_path)
    _check_notes(taken, tmp_path, lambda file: run_checker(checker, "note", file, taken.key).returncode == 0)


def test_a_note_checker_of_others_judges_signed_heads_alike(taken: TakenLog, tmp_path: Path) -> None:
    checker = shared_path("verifiers/note_check.py")
    origin = taken.checkpoint.origin

    def accepts(file: Path) -> bool:
        return run_checker(sys.executable, checker, file, taken.key, "--origin", origin).returncode == 0

    _check_notes(taken, tmp_path, accepts)


# Proofs


def test_batch_proofs_of_every_entry_verify_offline_and_no_tampered_one_does(taken: TakenLog) -> None:
    head = taken.checkpoint
    covered: set[int] = set()
    for proof in taken.batches:
        leaves = [(index, hash_leaf(taken.entries[index].leaf_bytes)) for index in proof.indexes]
        verify_batch_inclusion(leaves, head.tree_size, head.root_hash, proof.hashes)
        covered |= set(proof.indexes)
        other = [(leaves[0][0], hash_leaf(b"other")), *leaves[1:]]
        wrong = [
            (other, proof.hashes, head.root_hash),
            (leaves, (*proof.hashes, head.root_hash), head.root_hash),
            (leaves, proof.hashes, hash_leaf(b"other")),
        ]
        if proof.hashes:
            wrong.append((leaves, proof.hashes[1:], head.root_hash))
            wrong.append((leaves, (hash_leaf(b"other"), *proof.hashes[1:]), head.root_hash))
        for given, hashes, root in wrong:
            with pytest.raises(InvalidProofError):
                verify_batch_inclusion(given, head.tree_size, root, hashes)
    assert covered == set(range(head.tree_size))


def test_the_inclusion_proof_of_every_entry_verifies_offline(taken: TakenLog, tmp_path: Path) -> None:
    assert len(taken.inclusion) == taken.checkpoint.tree_size
    file = tmp_path / "proofs.json"
    file.write_bytes(format_proofs([*taken.inclusion, taken.consistency]))
    assert _verify("proof", file) == 0


_OTHER = hash_leaf(b"other")


def _tampered_inclusion(claim: InclusionClaim) -> Iterator[InclusionClaim]:
    yield replace(claim, leaf_hash=_OTHER)
    yield replace(claim, root_hash=_OTHER)
    yield replace(claim, leaf_index=claim.leaf_index - 1 if claim.leaf_index else 1)
    yield replace(claim, proof=claim.proof[:-1])
    yield replace(claim, proof=(*claim.proof, _OTHER))
    for place in (0, -1):
        changed = list(claim.proof)
        changed[place] = _OTHER
        yield replace(claim, proof=tuple(changed))


def _tampered_consistency(claim: ConsistencyClaim) -> Iterator[ConsistencyClaim]:
    yield replace(claim, first_root=_OTHER)
    yield replace(claim, second_root=_OTHER)
    yield replace(claim, first_size=claim.first_size - 1)
    yield replace(claim, proof=claim.proof[:-1])
    yield replace(claim, proof=(*claim.proof, _OTHER))
    yield replace(claim, proof=(_OTHER, *claim.proof[1:]))


def _claims(taken: TakenLog) -> tuple[list[InclusionClaim | ConsistencyClaim], list[InclusionClaim | ConsistencyClaim]]:
    """Return every proof of the log, and the tampered copies of a good part of them."""
    chosen = taken.inclusion[:: max(1, len(taken.inclusion) // 100)]
    bad = [tampered for claim in chosen for tampered in _tampered_inclusion(claim)]
    return [*taken.inclusion, taken.consistency], [*bad, *_tampered_consistency(taken.consistency)]


def _expectations(taken: TakenLog) -> str:
    """Return all claims in the form of the checkers, with what each is expected to be."""
    good, bad = _claims(taken)
    items = [(claim, True) for claim in good] + [(claim, False) for claim in bad]
    return json.dumps([{**json.loads(format_proofs([claim])), "ok": holds} for claim, holds in items])


def test_every_tampered_proof_is_refused(taken: TakenLog) -> None:
    for claim in _claims(taken)[1]:
        with pytest.raises(InvalidProofError):
            claim.verify()


def test_gos_tlog_judges_every_proof_alike(taken: TakenLog, tmp_path: Path) -> None:
    checker, file = tlog_check(tmp_path), tmp_path / "proofs.json"
    file.write_text(_expectations(taken))
    judged = run_checker(checker, "proofs", file)
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr
    # That it can disagree: the same with one expectation turned around.
    file.write_text(file.read_text().replace('"ok": false', '"ok": true', 1))
    assert run_checker(checker, "proofs", file).returncode == 1


@pytest.mark.ci
@pytest.mark.timeout(600)
def test_every_other_implementation_judges_every_proof_alike(taken: TakenLog, tmp_path: Path) -> None:
    checker, file = tlog_check(tmp_path), tmp_path / "proofs.json"
    program = shared_path("verifiers/proof_check.py")
    file.write_text(_expectations(taken))
    judged = run_checker(verifiers_python(), program, "--go", checker, file)
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr
    good, bad = _claims(taken)
    inclusion = sum(isinstance(claim, InclusionClaim) for claim in good + bad)
    every = len(good) + len(bad)
    said = dict(re.findall(r"^(\w+) +judged (\d+) of", judged.stdout, flags=re.MULTILINE))
    assert said == {"aics": str(every), "pymerkle": str(inclusion), "sigstore": str(inclusion), "go": str(every)}


# Receipts


def test_the_receipt_of_every_entry_verifies_offline_and_shows_its_content(taken: TakenLog) -> None:
    verifier = parse_verifier_key(taken.key)
    for entry, receipt in zip(taken.entries, taken.receipts, strict=True):
        verified = verify_receipt(receipt, verifier)
        assert (verified.leaf_index, verified.event, verified.personal) == (
            entry.leaf_index,
            entry.event,
            entry.personal,
        )


def test_a_receipt_with_any_byte_changed_is_refused(taken: TakenLog) -> None:
    verifier, chance = parse_verifier_key(taken.key), random.Random(1)
    for receipt in chance.sample(taken.receipts, 40):
        for place in chance.sample(range(len(receipt)), 25):
            changed = bytearray(receipt)
            changed[place] ^= 1 << chance.randrange(8)
            with pytest.raises(LedgerError):
                verify_receipt(bytes(changed), verifier)


def test_the_command_verifies_a_receipt_without_a_server(taken: TakenLog, tmp_path: Path) -> None:
    file = tmp_path / "entry.tlog-proof"
    file.write_bytes(taken.receipts[-1])
    offline = {"LOGPROOF_ADDRESS": "127.0.0.1:1"}
    assert run_logproof("verify", "receipt", file, "--key", taken.key, environment=offline).returncode == 0
    file.write_bytes(taken.receipts[-1].replace(b"\nindex ", b"\nindex 1"))
    assert run_logproof("verify", "receipt", file, "--key", taken.key, environment=offline).returncode == 1


# Tiles


def _flip(path: Path, offset: int = 7) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def _first_file(folder: Path) -> Path:
    return next(file for file in sorted(folder.rglob("*")) if file.is_file())


def _last_file(folder: Path) -> Path:
    return [file for file in sorted(folder.rglob("*")) if file.is_file()][-1]


_TAMPERED_LOGS: dict[str, Callable[[Path], None]] = {
    "a byte of a tile": lambda log: _flip(_first_file(log / "tile" / "0")),
    "a byte of the last tile": lambda log: _flip(_last_file(log / "tile" / "0")),
    "a byte of a tile above": lambda log: _flip(_first_file(log / "tile" / "1")),
    "a byte of an entry": lambda log: _flip(_first_file(log / "tile" / "entries"), -1),
    "the length of an entry": lambda log: _flip(_first_file(log / "tile" / "entries"), 1),
    "the size in the checkpoint": lambda log: _rewrite(log / "checkpoint", _change_size),
    "the root in the checkpoint": lambda log: _rewrite(log / "checkpoint", _change_line(2)),
    "the signature": lambda log: _rewrite(log / "checkpoint", _change_line(4)),
    "a missing tile": lambda log: _first_file(log / "tile" / "0").unlink(),
    "a missing bundle": lambda log: _first_file(log / "tile" / "entries").unlink(),
    "a cut tile": lambda log: _rewrite(_first_file(log / "tile" / "0"), lambda data: data[:-32]),
}


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def _tampered_logs(taken: TakenLog, folder: Path) -> Iterator[tuple[str, Path]]:
    for name, tamper in _TAMPERED_LOGS.items():
        copy = folder / name
        shutil.copytree(taken.tiles, copy)
        tamper(copy)
        yield name, copy


def test_an_exported_log_is_accepted_and_every_tampered_copy_is_refused(taken: TakenLog, tmp_path: Path) -> None:
    since = tmp_path / "old.note"
    since.write_bytes(taken.old_note)
    assert _verify("tiles", taken.tiles, "--key", taken.key, "--since", since) == 0
    for name, copy in _tampered_logs(taken, tmp_path):
        assert _verify("tiles", copy, "--key", taken.key) == (3 if "missing" in name else 1), name


def test_gos_tlog_audits_an_exported_log_whole_and_refuses_every_tampered_copy(taken: TakenLog, tmp_path: Path) -> None:
    checker, since = tlog_check(tmp_path), tmp_path / "old.note"
    since.write_bytes(taken.old_note)
    audit = [checker, "log", "-sample", "all", "-entries", "-prev", since, "-origin", taken.checkpoint.origin]
    accepted = run_checker(*audit, taken.tiles, taken.key)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert f"ok inclusion of {taken.checkpoint.tree_size} entries" in accepted.stdout
    for name, copy in _tampered_logs(taken, tmp_path):
        assert run_checker(*audit, copy, taken.key).returncode == 1, name


# Logs of others


def test_a_log_that_gos_tlog_made_is_accepted_and_refused_after_a_change(tmp_path: Path) -> None:
    made = run_checker(tlog_check(tmp_path), "gen", tmp_path / "log", 66_001, "other.example/log")
    key = next(word for word in made.stdout.split() if word.startswith("other.example/log+"))
    assert _verify("tiles", tmp_path / "log", "--key", key) == 0
    _flip(_first_file(tmp_path / "log" / "tile" / "entries"), -1)
    assert _verify("tiles", tmp_path / "log", "--key", key) == 1


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000])
def test_a_log_written_from_the_text_of_the_rfc_alone_is_accepted_and_refused_after_a_change(
    tmp_path: Path, size: int
) -> None:
    writer, log, old = shared_path("verifiers/naive_tiles.py"), tmp_path / "log", max(1, size // 2)
    made = run_checker(sys.executable, writer, log, size, "--prev", old, "--witness", "witness.example/w1")
    assert made.returncode == 0, made.stderr
    key = (tmp_path / "log.vkey").read_text().strip()
    since = tmp_path / f"log.prev.{old}"
    assert _verify("tiles", log, "--key", key, "--since", since) == 0
    _flip(_first_file(log / "tile" / "0"))
    assert _verify("tiles", log, "--key", key) == 1


# The server


@pytest.mark.ci
@pytest.mark.timeout(300)
def test_a_standard_health_client_finds_the_server_serving(tmp_path: Path) -> None:
    checker = shared_path("verifiers/grpc_check.py")
    served = Served(tmp_path)
    try:
        for service, expected in (("", 0), ("ledger.v1.LedgerService", 0), ("ledger.v1.NoSuchService", 1)):
            checked = run_checker(verifiers_python(), checker, served.address, "--service", service)
            assert checked.returncode == expected, checked.stdout + checked.stderr
    finally:
        served.close()
