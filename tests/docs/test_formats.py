"""docs/formats.md, held to the code: every example is true, every table complete, every algorithm right."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from enum import IntEnum
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.engine import records
from ledger.events import checks, schema
from ledger.events.actions import ACTION_MAX_BYTES, is_reserved
from ledger.events.bundles import encode_bundle
from ledger.events.commitments import commit_event, commit_personal
from ledger.events.event import (
    EVENT_MAX_BYTES,
    ORIGINAL_MAX_BYTES,
    PERSONAL_MAX_BYTES,
    TIME_MAX,
    ActorType,
    AuthMethod,
    DataClassification,
    Outcome,
    Truth,
)
from ledger.events.ids import derived_event_id, new_event_id
from ledger.events.leaf import encode_leaf, genesis_hash
from ledger.events.wire import read_event, read_personal
from ledger.evidence import (
    ConsistencyClaim,
    InclusionClaim,
    Level,
    SectionStatus,
    format_fork_evidence,
    format_proofs,
    parse_receipt,
    verify_fork_evidence,
    verify_receipt,
)
from ledger.merkle import EMPTY_ROOT, entries_path, entry_bundles_at, hash_leaf, tiles_at
from ledger.merkle.ranges import stored_index
from ledger.notes import (
    Checkpoint,
    CosignatureVerifier,
    cosignature_message,
    format_signer_key,
    format_verifier_key,
    sign_checkpoint,
    verify_cosignatures,
)
from ledger.rpc.personal import PERSONAL_READ
from tests.support.documentation import ROOT
from tests.support.sample_log import SampleLog
from tests.vectors.generate_receipts import _sample_log

_PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
_ENTRY = 3
_VECTORS = ROOT / "tests" / "vectors"


def _examples(kind: str) -> dict[str, str]:
    blocks = re.findall(rf"^```{kind} (\S+)\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)
    assert len(dict(blocks)) == len(blocks) or kind == "python"
    return dict(blocks)


def _hex(name: str) -> bytes:
    lines = _examples("hex")[name].splitlines()
    return bytes.fromhex("".join(line.partition("#")[0] for line in lines))


def _hashes(name: str) -> list[bytes]:
    data = _hex(name)
    return [data[offset : offset + 32] for offset in range(0, len(data), 32)]


def _text(name: str) -> str:
    return _examples("text")[name]


@pytest.fixture(scope="module")
def log() -> SampleLog:
    return _sample_log()


def test_every_example_is_looked_at_by_a_test() -> None:
    source = (ROOT / "tests" / "docs" / "test_formats.py").read_text(encoding="utf-8")
    names = [name for kind in ("hex", "text", "json") for name in _examples(kind)]

    assert len(names) == len(re.findall(r"^```(?:hex|text|json) ", _PAGE, flags=re.MULTILINE)) > 20
    assert [name for name in names if f'"{name}"' not in source] == []


# Examples


def test_sections_and_commitments_are_those_of_the_sample_entry(log: SampleLog) -> None:
    event, personal = log.sections[_ENTRY]
    assert personal is not None

    assert _hex("event-section") == event.content
    assert _hex("personal-section") == personal.content
    assert read_event(event.content).event_id == f"sample-{_ENTRY}"
    assert read_personal(personal.content).actor_name == "Zoë Ångström 山田"
    assert f"| salt | `{event.salt.hex()}` | `{personal.salt.hex()}` |" in _PAGE
    commitments = commit_event(event.salt, event.content).hex(), commit_personal(personal.salt, personal.content).hex()
    assert f"| commitment | `{commitments[0]}` | `{commitments[1]}` |" in _PAGE


def test_commitment_is_what_the_formula_says(log: SampleLog) -> None:
    event, _ = log.sections[_ENTRY]

    assert sha256(b"logproof/commit/v1\0\x01" + event.salt + event.content).digest() == commit_event(
        event.salt, event.content
    )


def test_leaf_and_its_hash_are_those_of_the_sample_entry(log: SampleLog) -> None:
    assert _hex("leaf") == log.leaves[_ENTRY]
    assert _hex("leaf-hash") == hash_leaf(log.leaves[_ENTRY]) == sha256(b"\0" + log.leaves[_ENTRY]).digest()
    assert (len(log.leaves[0]), len(log.leaves[_ENTRY])) == (99, 133)
    assert "has 99 bytes\nwithout and 133 bytes with a personal section" in _PAGE


def test_genesis_hash_is_that_of_the_sample_origin(log: SampleLog) -> None:
    assert _hex("genesis-hash") == genesis_hash(log.signer.name)
    assert genesis_hash(log.signer.name) == sha256(b"logproof/genesis/v1\0" + log.signer.name.encode()).digest()


def test_empty_root() -> None:
    assert _hex("empty-root") == EMPTY_ROOT == sha256(b"").digest()


def test_proofs_and_roots_are_those_of_the_sample_log(log: SampleLog) -> None:
    assert _hashes("inclusion-proof") == log.inclusion(_ENTRY, 7)
    assert _hashes("consistency-proof") == log.consistency(3, 7)
    assert (_hex("root-3"), _hex("root-7")) == (log.root(3), log.root(7))
    inclusion = InclusionClaim(_ENTRY, 7, log.leaf_hashes[_ENTRY], log.root(7), tuple(log.inclusion(_ENTRY, 7)))
    consistency = ConsistencyClaim(3, 7, log.root(3), log.root(7), tuple(log.consistency(3, 7)))
    assert _examples("json")["inclusion-json"].encode() == format_proofs([inclusion])
    assert _examples("json")["consistency-json"].encode() == format_proofs([consistency])


def test_keys_are_those_of_the_sample_log(log: SampleLog) -> None:
    assert _text("verifier-key").strip() == format_verifier_key(log.verifier)
    assert _text("signer-key").strip() == format_signer_key(log.signer)
    assert log.signer.seed == bytes(range(32))


def test_checkpoint_is_that_of_the_sample_log(log: SampleLog) -> None:
    assert _text("checkpoint").encode() == log.note(7)


def test_cosignature_is_valid_on_the_checkpoint(log: SampleLog) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
    witness = CosignatureVerifier("witness.example/w1", key.public_key().public_bytes_raw())
    body = log.note(7).partition(b"\n\n")[0] + b"\n"
    seconds = 1_790_000_060
    message = b"cosignature/v1\n" + b"time " + str(seconds).encode() + b"\n" + body
    payload = witness.key_id.to_bytes(4, "big") + seconds.to_bytes(8, "big") + key.sign(message)

    assert message == cosignature_message(seconds, body)
    assert _text("witness-key").strip() == format_verifier_key(witness)
    assert _text("cosignature-line") == f"\u2014 {witness.name} {base64.b64encode(payload).decode()}\n"
    (cosignature,) = verify_cosignatures(log.note(7) + _text("cosignature-line").encode(), [witness])
    assert cosignature.cosigned_at == seconds
    assert f"saw the checkpoint above at {seconds}." in _PAGE


def test_receipt_is_that_of_the_sample_entry_and_verifies(log: SampleLog) -> None:
    data = _text("receipt").encode()
    verified = verify_receipt(data, log.verifier)

    assert data == log.receipt_file(_ENTRY, personal=False)
    assert parse_receipt(data).leaf == _hex("leaf")
    assert (verified.event_status, verified.personal_status) == (SectionStatus.READ, SectionStatus.NOT_SHOWN)


def test_fork_evidence_is_accepted(log: SampleLog) -> None:
    data = _examples("json")["fork-evidence"].encode()
    other = sign_checkpoint(Checkpoint(log.signer.name, 7, bytes(31) + b"\x01"), log.signer)

    assert data == format_fork_evidence(log.note(7), other)
    verify_fork_evidence(data, log.verifier)


def test_tile_paths_are_those_of_a_log_of_70000_entries() -> None:
    tiles = list(tiles_at(70_000))
    last = {tile.level: tile.path() for tile in tiles}
    index, width = list(entry_bundles_at(70_000))[-1]

    assert _text("tile-paths").split() == [entries_path(index, width), *last.values()]
    assert "5 is `005`, 1234067 is `x001/x234/067`" in _PAGE
    assert (entries_path(5, 256), entries_path(1_234_067, 256)) == ("tile/entries/005", "tile/entries/x001/x234/067")


def test_entry_bundle_has_big_endian_lengths(log: SampleLog) -> None:
    assert encode_bundle([log.leaves[_ENTRY]]) == b"\x00\x85" + _hex("leaf")


def test_derived_id_is_what_the_page_says() -> None:
    foreign = b"0b6c5c2e-1f0a-4d2f-9a53-2d2f5d1c9d11"
    digest = int.from_bytes(sha256(b"logproof/derived-id/v1\0" + foreign).digest()[:10], "big")
    value = (1_771_597_800_123 << 80) | (8 << 76) | ((digest >> 64 & 0xFFF) << 64) | (0b10 << 62) | (digest % 2**62)
    text = f"{value:032x}"
    built = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    assert _text("derived-id").strip() == built == derived_event_id(1_771_597_800_123_456, foreign)
    assert new_event_id(1_771_597_800_123, bytes(10))[14] == "7"


def test_stored_position_is_what_the_formula_says() -> None:
    for level in range(6):
        for index in range(20):
            last = ((index + 1) << level) - 1
            assert stored_index(level, index) == 2 * last - last.bit_count() + level


# Tables


def _table(heading: str) -> dict[int, tuple[str, str, str]]:
    block = re.search(rf"^\*\*{heading}\*\*[^\n]*\n\n(.*?)\n\n", _PAGE, flags=re.DOTALL | re.MULTILINE)
    assert block is not None, heading
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block[1].splitlines()[2:]]
    return {int(number): (name, kind, rule) for number, name, kind, rule in rows}


_MESSAGES = {message.name: message for message in vars(schema).values() if isinstance(message, schema.Message)}
_PREFIXES = {"Event": "", "PersonalData": "", "Actor": "actor.", "Authentication": "auth.", "Request": "request."} | {
    "Change": "change.",
    "DataContext": "data.",
    "Source": "source.",
    "Original": "original.",
}


def test_every_message_has_a_table() -> None:
    assert len(_MESSAGES) == 13
    assert set(re.findall(r"^\*\*(\w+)\*\*.*\n\n\| # \|", _PAGE, flags=re.MULTILINE)) == set(_MESSAGES)


@pytest.mark.parametrize("name", sorted(_MESSAGES))
def test_table_has_every_field_with_its_number_and_type(name: str) -> None:
    message = _MESSAGES[name]
    rows = _table(name)

    assert {number: field.name for number, field in message.fields.items()} == {n: row[0] for n, row in rows.items()}
    for number, field in message.fields.items():
        kind = rows[number][1].removeprefix("repeated ")
        assert rows[number][1].startswith("repeated ") == field.repeated, f"{name}.{field.name}"
        assert kind.split()[0] == field.kind.label, f"{name}.{field.name}"
        if field.message is not None:
            assert kind == f"message `{field.message.name}`", f"{name}.{field.name}"


@pytest.mark.parametrize("path", sorted(checks.TEXT_MAX_BYTES))
def test_table_has_the_limit_of_each_text(path: str) -> None:
    messages = [name for name, prefix in _PREFIXES.items() if path.startswith(prefix) and (prefix or "." not in path)]
    rules = {row[0]: row[2] for name in messages for row in _table(name).values()}

    assert rules[path.rpartition(".")[2]] == f"up to {checks.TEXT_MAX_BYTES[path]} bytes"


def test_other_limits_are_those_of_the_checks() -> None:
    event, personal = _table("Event"), _table("PersonalData")

    assert f"at most {EVENT_MAX_BYTES:,} bytes" in _PAGE
    assert f"at most {PERSONAL_MAX_BYTES:,} bytes" in _PAGE
    assert f"1 to {TIME_MAX}" in event[4][2]
    assert event[6][2] == f"up to {checks.TARGETS_MAX}"
    assert event[12][2] == personal[10][2] == f"up to {checks.FIELD_CHANGES_MAX} over both sections"
    assert event[14][2] == personal[11][2] == f"up to {checks.METADATA_MAX_KEYS} over both sections"
    assert _table("Actor")[4][2] == f"up to {checks.ROLES_MAX}, of 1 to {checks.ROLE_MAX_BYTES} bytes"
    assert _table("Change")[3][2] == f"up to {checks.APPROVERS_MAX}, of 1 to {checks.ROLE_MAX_BYTES} bytes"
    assert _table("Target")[1][2] == f"`{checks.TARGET_TYPE_PATTERN.pattern}`"
    assert _table("Target")[2][2] == f"up to {checks.TARGET_ID_MAX_BYTES} bytes"
    assert _table("FieldChange")[1][2] == f"1 to {checks.PATH_MAX_BYTES} bytes"
    assert _table("Value")[1][2] == f"up to {checks.VALUE_MAX_BYTES} bytes"
    assert _table("Original")[2][2] == f"up to {ORIGINAL_MAX_BYTES} bytes"
    assert f"each up to {checks.TARGET_NAME_MAX_BYTES} bytes" in personal[9][2]
    assert f"`{checks.METADATA_KEY_PATTERN.pattern}`" in _PAGE
    assert f"An action has at most {ACTION_MAX_BYTES} characters" in _PAGE


@pytest.mark.parametrize("enum", [Truth, ActorType, Outcome, AuthMethod, DataClassification])
def test_table_of_enums_has_every_value(enum: type[IntEnum]) -> None:
    values = ", ".join(f"{member.value} {member.name.lower()}" for member in enum if member)

    assert f"| `{enum.__name__}` | {values} |" in _PAGE


def test_levels_are_those_of_the_code() -> None:
    assert re.findall(r"^\| (.+?) \|", _PAGE.partition("| level |")[2], flags=re.MULTILINE)[:5] == [
        level.label for level in Level
    ]


def test_page_names_every_action_of_the_server() -> None:
    actions = {value for name, value in vars(records).items() if name.isupper() and is_reserved(str(value))}

    assert len(actions) >= 7
    assert [action for action in {*actions, PERSONAL_READ} if f"`{action}`" not in _PAGE] == []


# Algorithms


@pytest.fixture(scope="module")
def algorithms() -> dict[str, Callable[..., None]]:
    blocks = re.findall(r"^```python algorithm\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"sha256": sha256, "EMPTY_ROOT": EMPTY_ROOT}
    for block in blocks:
        exec(compile(block, "docs/formats.md", "exec"), names)
    return names


def _cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((_VECTORS / f"{name}.json").read_text())
    assert {case["ok"] for case in cases} == {True, False}
    return cases


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _arguments(case: dict[str, Any]) -> tuple[Any, ...]:
    proof = [_bytes(text) for text in case["proof"]]
    if case["type"] == "consistency":
        roots = _bytes(case["old_root"]), _bytes(case["new_root"])
        return case["old_size"], roots[0], case["new_size"], roots[1], proof
    head = case["tree_size"], _bytes(case["root"]), proof
    if case["type"] == "inclusion":
        return _bytes(case["leaf_hash"]), case["leaf_index"], *head
    hashes = [_bytes(text) for text in case["leaf_hashes"]]
    if case["type"] == "range":
        return case["begin"], hashes, *head
    return list(zip(case["leaf_indexes"], hashes, strict=True)), *head


@pytest.mark.parametrize("name", ["inclusion", "consistency", "batch", "range"])
def test_algorithm_decides_each_vector_rightly(name: str, algorithms: dict[str, Callable[..., None]]) -> None:
    verify = algorithms[f"verify_{name}"]
    for case in _cases(name):
        arguments = _arguments(case)
        # Lengths of hashes are checked beside the algorithm, as section 2 says.
        sizes = {len(value) for value in _flat(arguments)}
        if sizes == {32} and case["ok"]:
            verify(*arguments)
        elif sizes == {32}:
            with pytest.raises(ValueError, match="refused"):
                verify(*arguments)
        else:
            assert not case["ok"]


def _flat(value: object) -> list[bytes]:
    if isinstance(value, bytes):
        return [value]
    return [found for item in value for found in _flat(item)] if isinstance(value, list | tuple) else []


def test_leaf_of_the_example_has_one_encoding(log: SampleLog) -> None:
    verified = verify_receipt(_text("receipt").encode(), log.verifier)

    assert encode_leaf(verified.leaf) == _hex("leaf")
    assert f"recorded_at: {verified.leaf.recorded_at}" in _PAGE
