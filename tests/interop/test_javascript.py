"""The verifier written in JavaScript from docs/formats.md alone accepts and refuses the receipts that ours does."""

from __future__ import annotations

import json
import random
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.events.codec import encode_event
from ledger.events.event import Event
from ledger.events.leaf import CosignedHead, Leaf, encode_leaf, genesis_hash
from ledger.evidence import SectionStatus, TlogProof, format_tlog_proof, parse_receipt
from ledger.merkle import hash_leaf
from ledger.notes import Checkpoint, Ed25519Signer, format_verifier_key, sign_checkpoint
from tests.interop.javascript import (
    CASES,
    KEY,
    PROGRAM,
    STATES,
    VECTORS,
    VERIFIER,
    Javascript,
    RefusedError,
    one_byte_changes,
    python_receipt,
)
from tests.support.sample_log import SampleLog
from tests.support.sections import damage_bytes

_SIGNER = Ed25519Signer(VERIFIER.name, bytes.fromhex(VECTORS["seed"]))
_GOOD = parse_receipt(CASES[0]["receipt"].encode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_every_receipt_of_the_vectors_is_judged_as_stated(javascript: Javascript, case: dict[str, Any]) -> None:
    data = case["receipt"].encode()
    if not case["ok"]:
        with pytest.raises(RefusedError):
            javascript.call("receipt", data, KEY)
        return
    said = javascript.call("receipt", data, KEY)

    assert said["origin"] == VECTORS["origin"]
    assert {name: said[name] for name in ("leaf_index", "tree_size", "root_hash", "recorded_at")} == {
        name: case[name] for name in ("leaf_index", "tree_size", "root_hash", "recorded_at")
    }
    for kind in ("event", "personal"):
        state = SectionStatus[case[kind]]
        assert (said[kind] is not None) == (state is SectionStatus.READ)
        notes = [note for note in said["notes"] if note.startswith(f"{kind} section: ")]
        assert notes == ([f"{kind} section: {STATES[state]}"] if state in STATES else [])
    assert (said["event"] or {}).get("event_id") == case.get("event_id")
    assert (said["personal"] or {}).get("actor_email") == case.get("actor_email")


@pytest.mark.parametrize("case", [case for case in CASES if case["ok"]], ids=lambda case: case["case"])
def test_every_good_receipt_says_the_same_in_both_languages(javascript: Javascript, case: dict[str, Any]) -> None:
    data = case["receipt"].encode()

    assert javascript.receipt(data) == python_receipt(data) is not None


def test_every_change_of_one_byte_of_a_receipt_is_refused(javascript: Javascript) -> None:
    data = next(case["receipt"].encode() for case in CASES if case["case"] == "event and personal section")
    assert javascript.receipt(data) is not None

    # There is no byte without meaning: none of the changes is accepted, not even with the same meaning.
    accepted = [at for at, changed in one_byte_changes(data) if javascript.receipt(changed) is not None]

    assert accepted == []


def test_only_a_line_of_an_unknown_key_can_change_without_changing_what_a_receipt_says(javascript: Javascript) -> None:
    data = next(case["receipt"].encode() for case in CASES if case["case"] == "signature of an unknown key")
    good = javascript.receipt(data)
    begins = [at for at in range(len(data)) if data.startswith("\n— ".encode(), at)]
    (unknown,) = (at for at in begins if not data.startswith(f"\n— {VERIFIER.name} ".encode(), at))
    line = range(unknown + 1, data.index(b"\n", unknown + 1))

    accepted = set()
    for at, changed in one_byte_changes(data):
        said = javascript.receipt(changed)
        assert said == python_receipt(changed), at
        if said is not None:
            assert said == good, at
            accepted.add(at)

    assert accepted
    assert accepted <= set(line)


@pytest.mark.parametrize("case", [case for case in CASES if case["ok"]], ids=lambda case: case["case"])
def test_no_part_of_a_receipt_is_a_receipt(javascript: Javascript, case: dict[str, Any]) -> None:
    data = case["receipt"].encode()
    # After a whole signature line of the log, what follows may be cut off: a line of an unknown key says nothing.
    whole = {at + 1 for at, byte in enumerate(data) if byte == ord("\n")}
    accepted = {end for end in range(len(data)) if javascript.receipt(data[:end]) is not None}

    assert accepted <= whole
    assert len(accepted) == (case["case"] in {"signature of an unknown key", "two signatures of the log"})


@settings(max_examples=100)
@given(st.sampled_from(CASES), st.randoms(use_true_random=True))
def test_both_languages_judge_damaged_receipts_alike(
    javascript: Javascript, case: dict[str, Any], rng: random.Random
) -> None:
    changed = damage_bytes(case["receipt"].encode(), rng)

    assert javascript.receipt(changed) == python_receipt(changed)


# Content of a receipt


def _field(number: int, content: bytes, *, padded: bool = False) -> bytes:
    """Return a field of the receipt's content, its length in the shortest form or a byte longer."""
    length = len(content)
    encoded = bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])
    if padded:
        encoded = encoded[:-1] + bytes([encoded[-1] | 0x80, 0])
    return bytes([number << 3 | 2]) + encoded + content


def _contents_of_receipts() -> dict[str, tuple[bytes, bool]]:
    assert _GOOD.event is not None
    assert _GOOD.personal is not None
    version = b"\x08\x01"
    leaf = _field(2, _GOOD.leaf)
    event = _field(3, _GOOD.event.content)
    event_salt = _field(4, _GOOD.event.salt)
    personal = _field(5, _GOOD.personal.content) + _field(6, _GOOD.personal.salt)
    rest = event + event_salt + personal
    return {
        "all": (version + leaf + rest, True),
        "leaf alone": (version + leaf, True),
        "no leaf": (version + rest, False),
        "nothing but a version": (version, False),
        "leaf twice": (version + leaf + leaf + rest, False),
        "leaf last": (version + rest + leaf, False),
        "leaf in two parts": (version + leaf[:2] + leaf[3:] + leaf + rest, False),
        "leaf with a longer length": (version + _field(2, _GOOD.leaf, padded=True) + rest, False),
        "salt with a longer length": (version + leaf + event + _field(4, _GOOD.event.salt, padded=True), False),
        "salt before section": (version + leaf + event_salt + event, False),
        "personal before event": (version + leaf + personal + event + event_salt, False),
        "empty leaf": (version + b"\x12\x00" + rest, False),
        "empty event section": (version + leaf + b"\x1a\x00" + event_salt, False),
        "empty event section without salt": (version + leaf + b"\x1a\x00", False),
        "empty event section and salt": (version + leaf + b"\x1a\x00\x22\x00", False),
        "empty field after the rest": (version + leaf + rest + b"\x3a\x00", False),
        "section without salt": (version + leaf + event, False),
        "salt without section": (version + leaf + event_salt, False),
        "version twice": (version * 2 + leaf + rest, False),
        "version 0": (b"\x08\x00" + leaf + rest, False),
        "version in two bytes": (b"\x08\x81\x00" + leaf + rest, False),
        "byte left over": (version + leaf + rest + b"\x00", False),
    }


_CONTENTS = _contents_of_receipts()


@pytest.mark.parametrize(("extra", "ok"), _CONTENTS.values(), ids=_CONTENTS)
def test_the_content_of_a_receipt_has_one_encoding(javascript: Javascript, extra: bytes, ok: bool) -> None:
    data = format_tlog_proof(TlogProof(_GOOD.leaf_index, _GOOD.hashes, _GOOD.checkpoint_note, extra))

    assert javascript.receipt(data) == python_receipt(data)
    assert (javascript.receipt(data) is not None) == ok


@pytest.mark.parametrize(("size", "ok"), [(15, False), (16, True), (17, False)])
def test_a_salt_has_16_bytes_even_if_the_log_commits_to_another(javascript: Javascript, size: int, ok: bool) -> None:
    content, salt = b"\x08\x01", b"s" * size
    commitment = sha256(b"logproof/commit/v1\0\x01" + salt + content).digest()
    leaf = encode_leaf(Leaf(1, b"p" * 16, 1, genesis_hash(_SIGNER.name), commitment))
    note = sign_checkpoint(Checkpoint(_SIGNER.name, 1, hash_leaf(leaf)), _SIGNER)
    extra = b"\x08\x01" + _field(2, leaf) + _field(3, content) + _field(4, salt)
    data = format_tlog_proof(TlogProof(0, (), note, extra))

    assert (javascript.receipt(data) is not None) == ok
    assert (python_receipt(data) is not None) == ok


@pytest.mark.parametrize(("size", "ok"), [(1, True), (2, True), (3, False)])
def test_a_leaf_names_a_cosigned_head_of_its_index_at_most(javascript: Javascript, size: int, ok: bool) -> None:
    log = SampleLog()
    log.append(b"\x08\x01")
    log.append(b"\x08\x01")
    log.append(b"\x08\x01", cosigned_head=CosignedHead(size, b"r" * 32, 1))
    data = log.receipt_file(2)

    assert javascript.receipt(data) == python_receipt(data)
    assert (javascript.receipt(data) is not None) == ok


# The program


def _run(node: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [node, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, encoding="utf-8", timeout=60)


def test_the_program_prints_what_a_receipt_says_and_exits_0(node: str, tmp_path: Path) -> None:
    receipt = tmp_path / "entry.tlog-proof"
    receipt.write_bytes(CASES[0]["receipt"].encode())
    link = tmp_path / "link.mjs"
    link.symlink_to(PROGRAM)

    for program in (PROGRAM, link):
        done = _run(node, program, receipt, KEY)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == python_receipt(receipt.read_bytes())


def test_the_program_gives_one_reason_and_nothing_else_for_a_bad_receipt(node: str, tmp_path: Path) -> None:
    receipt = tmp_path / "entry.tlog-proof"
    for content in (CASES[0]["receipt"].replace("index 3", "index 2").encode(), b"", b"\x00\n\n\xff"):
        receipt.write_bytes(content)
        done = _run(node, PROGRAM, receipt, KEY)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("failed: ")
        assert done.stderr.count("\n") == 1


def test_the_program_exits_2_when_there_is_nothing_to_judge(node: str, tmp_path: Path) -> None:
    receipt = tmp_path / "entry.tlog-proof"
    receipt.write_bytes(CASES[0]["receipt"].encode())
    witness = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"

    for arguments in ((), (receipt,), (receipt, KEY, "more"), (tmp_path / "absent", KEY), (receipt, "key")):
        done = _run(node, PROGRAM, *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), arguments
    assert _run(node, PROGRAM, receipt, witness).returncode == 2


def test_text_of_an_event_does_not_reach_the_terminal_as_a_command(node: str, tmp_path: Path) -> None:
    told = "a\x1b[31m\x9b31m\u202ea\u2028b\n"
    log = SampleLog()
    log.append(encode_event(Event(event_id="e-1", action="user.role.updated", occurred_at=1, reason_code=told)))
    receipt = tmp_path / "entry.tlog-proof"
    receipt.write_bytes(log.receipt_file(0))

    done = _run(node, PROGRAM, receipt, format_verifier_key(log.verifier))

    assert json.loads(done.stdout)["event"]["reason_code"] == told
    assert done.stdout.rstrip("\n").isprintable()
