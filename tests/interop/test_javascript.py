"""The verifier that was written in JavaScript from docs/formats.md alone accepts and refuses what ours does."""

from __future__ import annotations

import base64
import json
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import EventTooLargeError, InvalidEventError, LedgerError, NewerSchemaError
from ledger.events.codec import encode_event, encode_sections
from ledger.events.event import EVENT_MAX_BYTES, PERSONAL_MAX_BYTES, Event, PersonalData, Truth, Value
from ledger.events.leaf import CosignedHead, decode_leaf
from ledger.events.schema import EVENT, PERSONAL_DATA, Field, Kind, Message
from ledger.events.wire import read_event, read_personal
from ledger.evidence import SectionStatus, VerifiedReceipt, verify_receipt
from ledger.notes import Ed25519Signer, format_verifier_key, parse_verifier_key, sign_note
from tests.support.documentation import ROOT
from tests.support.sample_log import SampleLog
from tests.support.sections import damage, damage_bytes, encode_nodes, event_nodes, personal_nodes, sections
from tests.support.shared import shared_path

_PROGRAM = ROOT / "docs" / "examples" / "verify_receipt.mjs"
_ANSWERS = Path(__file__).with_name("answer_calls.mjs")
_VECTORS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "receipts.json").read_bytes())
_CASES: list[dict[str, Any]] = _VECTORS["cases"]
_KEY: str = _VECTORS["verifier_key"]
_VERIFIER = parse_verifier_key(_KEY)

SectionKind: TypeAlias = Literal["event", "personal"]

_STATES = {
    SectionStatus.NEWER_SCHEMA: "of a newer schema, its content is not read",
    SectionStatus.NOT_SHOWN: "not shown, its content is not verified",
    SectionStatus.NONE: "the entry has none",
}


class RefusedError(Exception):
    """The JavaScript verifier refused what it was given."""


class Javascript:
    """One Node process that answers calls, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, *values: object) -> Any:
        """Call a function with text, or with bytes that become base64, and return its value or raise."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        call = [name, *(_base64(value) if isinstance(value, bytes) else value for value in values)]
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        return answer["value"]

    def receipt(self, data: bytes) -> Any:
        """Return what a receipt says, or None if it is refused."""
        try:
            return self.call("receipt", data, _KEY)
        except RefusedError:
            return None

    def section(self, kind: SectionKind, data: bytes) -> Any:
        """Return the fields of a section, `newer` or `refused`."""
        try:
            content = self.call("section", data, kind)
        except RefusedError:
            return "refused"
        return "newer" if content is None else _with_exact_numbers(content)


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs the Debian package nodejs")
    return found


@pytest.fixture(scope="module")
def javascript(node: str) -> Iterator[Javascript]:
    command = [node, str(_ANSWERS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield Javascript(process)
        assert process.poll() is None, "the process ended by an error that is no refusal"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _with_exact_numbers(value: Any) -> Any:
    """Write the doubles in hex: JSON does not tell 5 from 5.0, and 0 equals -0."""
    if isinstance(value, list):
        return [_with_exact_numbers(element) for element in value]
    if isinstance(value, dict):
        return {
            name: float(member).hex() if name == "number" else _with_exact_numbers(member)
            for name, member in value.items()
        }
    return value


# What ours says, in the form of the other


def _python_branch(value: Value) -> dict[str, Any]:
    """Return a value under the name of its type; a boolean is an integer to Python, so it comes first."""
    match value:
        case bool():
            return {"truth": value}
        case str():
            return {"text": value}
        case int():
            return {"integer": value}
    return {"number": value.hex()}


def _python_form(value: Any) -> Any:
    """Return fields by name without those that are not there; enums by name, bytes in hex, values by their branch."""
    match value:
        case Truth():
            return value is Truth.TRUE
        case IntEnum():
            return value.name.lower()
        case bytes():
            return value.hex()
        case str() | int():
            return value
        case tuple():
            return [_python_form(element) for element in value]
    form = {}
    for name, member in ((field.name, getattr(value, field.name)) for field in fields(value)):
        if name in {"old", "new", "value"} and member is not None:
            form[name] = _python_branch(member)
        elif member not in (None, 0, "", b"", ()):
            form[name] = _python_form(member)
    return form


def _python_section(kind: SectionKind, data: bytes) -> Any:
    try:
        content: Event | PersonalData = read_event(data) if kind == "event" else read_personal(data)
    except NewerSchemaError:
        return "newer"
    except (InvalidEventError, EventTooLargeError):
        return "refused"
    return _python_form(content)


def _verdict(verified: VerifiedReceipt) -> str:
    statuses = {verified.event_status, verified.personal_status}
    if SectionStatus.NEWER_SCHEMA in statuses:
        return "verified, content of a newer schema not read"
    return "verified, section not shown" if SectionStatus.NOT_SHOWN in statuses else "verified"


def _python_receipt(data: bytes) -> Any:
    try:
        verified = verify_receipt(data, _VERIFIER)
    except LedgerError:
        return None
    states = {"event": verified.event_status, "personal": verified.personal_status}
    notes = [f"{kind} section: {_STATES[status]}" for kind, status in states.items() if status in _STATES]
    head = verified.leaf.cosigned_head
    return {
        "verdict": _verdict(verified),
        "level": verified.level.label,
        "origin": verified.checkpoint.origin,
        "leaf_index": verified.leaf_index,
        "tree_size": verified.checkpoint.tree_size,
        "root_hash": verified.checkpoint.root_hash.hex(),
        "recorded_at": verified.leaf.recorded_at,
        "principal": verified.leaf.principal.hex(),
        "event": None if verified.event is None else _python_form(verified.event),
        "personal": None if verified.personal is None else _python_form(verified.personal),
        "notes": notes if head is None else [*notes, f"cosigned head of size {head.size}: not checked"],
    }


# Receipts


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case["case"])
def test_every_receipt_of_the_vectors_is_judged_as_stated(javascript: Javascript, case: dict[str, Any]) -> None:
    data = case["receipt"].encode()
    if not case["ok"]:
        with pytest.raises(RefusedError):
            javascript.call("receipt", data, _KEY)
        return
    said = javascript.call("receipt", data, _KEY)

    assert said["origin"] == _VECTORS["origin"]
    assert {name: said[name] for name in ("leaf_index", "tree_size", "root_hash", "recorded_at")} == {
        name: case[name] for name in ("leaf_index", "tree_size", "root_hash", "recorded_at")
    }
    for kind in ("event", "personal"):
        state = SectionStatus[case[kind]]
        assert (said[kind] is not None) == (state is SectionStatus.READ)
        notes = [note for note in said["notes"] if note.startswith(f"{kind} section: ")]
        assert notes == ([f"{kind} section: {_STATES[state]}"] if state in _STATES else [])
    assert (said["event"] or {}).get("event_id") == case.get("event_id")
    assert (said["personal"] or {}).get("actor_email") == case.get("actor_email")


@pytest.mark.parametrize("case", [case for case in _CASES if case["ok"]], ids=lambda case: case["case"])
def test_every_good_receipt_says_the_same_in_both_languages(javascript: Javascript, case: dict[str, Any]) -> None:
    data = case["receipt"].encode()

    assert javascript.receipt(data) == _python_receipt(data) is not None


def _one_byte_changes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each place of a file, and the file with that byte changed in its lowest bit, at random, gone or twice."""
    rng = random.Random(3)
    for at, byte in enumerate(data):
        others = (bytes([byte ^ 1]), bytes([byte ^ rng.randrange(1, 256)]), b"", bytes([byte, byte]))
        for other in others:
            yield at, data[:at] + other + data[at + 1 :]


def test_every_change_of_one_byte_of_a_receipt_is_refused(javascript: Javascript) -> None:
    data = next(case["receipt"].encode() for case in _CASES if case["case"] == "event and personal section")
    assert javascript.receipt(data) is not None

    # There is no byte without meaning: none of the changes is accepted, not even with the same meaning.
    accepted = [at for at, changed in _one_byte_changes(data) if javascript.receipt(changed) is not None]

    assert accepted == []


def test_only_a_line_of_an_unknown_key_can_change_without_changing_what_a_receipt_says(javascript: Javascript) -> None:
    data = next(case["receipt"].encode() for case in _CASES if case["case"] == "signature of an unknown key")
    good = javascript.receipt(data)
    begins = [at for at in range(len(data)) if data.startswith("\n— ".encode(), at)]
    (unknown,) = (at for at in begins if not data.startswith(f"\n— {_VERIFIER.name} ".encode(), at))
    line = range(unknown + 1, data.index(b"\n", unknown + 1))

    accepted = set()
    for at, changed in _one_byte_changes(data):
        said = javascript.receipt(changed)
        assert said == _python_receipt(changed), at
        if said is not None:
            assert said == good, at
            accepted.add(at)

    assert accepted
    assert accepted <= set(line)


@pytest.mark.parametrize("case", [case for case in _CASES if case["ok"]], ids=lambda case: case["case"])
def test_no_part_of_a_receipt_is_a_receipt(javascript: Javascript, case: dict[str, Any]) -> None:
    data = case["receipt"].encode()
    # After a whole signature line of the log, what follows may be cut off: a line of an unknown key says nothing.
    whole = {at + 1 for at, byte in enumerate(data) if byte == ord("\n")}
    accepted = {end for end in range(len(data)) if javascript.receipt(data[:end]) is not None}

    assert accepted <= whole
    assert len(accepted) == (case["case"] == "signature of an unknown key")


@settings(max_examples=100)
@given(st.sampled_from(_CASES), st.randoms(use_true_random=True))
def test_both_languages_judge_damaged_receipts_alike(
    javascript: Javascript, case: dict[str, Any], rng: random.Random
) -> None:
    changed = damage_bytes(case["receipt"].encode(), rng)

    assert javascript.receipt(changed) == _python_receipt(changed)


# Sections


def _both(event: bytes, personal: bytes) -> tuple[tuple[SectionKind, bytes], tuple[SectionKind, bytes]]:
    return ("event", event), ("personal", personal)


@settings(max_examples=100)
@given(sections())
def test_both_languages_read_the_same_from_good_sections(
    javascript: Javascript, values: tuple[Event, PersonalData | None]
) -> None:
    event, personal = encode_sections(*values)

    assert javascript.section("event", event) == _python_form(values[0])
    if values[1] is not None:
        assert javascript.section("personal", personal) == _python_form(values[1])


@settings(max_examples=150)
@given(sections(), st.randoms(use_true_random=True), st.integers(1, 2))
def test_both_languages_judge_damaged_fields_alike(
    javascript: Javascript, values: tuple[Event, PersonalData | None], rng: random.Random, times: int
) -> None:
    event, personal = values
    nodes = event_nodes(event)
    private = personal_nodes(personal) if personal else []
    for _ in range(times):
        damage(private if private and rng.random() < 0.3 else nodes, rng)
    for kind, data in _both(encode_nodes(nodes), encode_nodes(private)):
        assert javascript.section(kind, data) == _python_section(kind, data)


@settings(max_examples=100)
@given(sections(), st.randoms(use_true_random=True))
def test_both_languages_judge_damaged_sections_alike(
    javascript: Javascript, values: tuple[Event, PersonalData | None], rng: random.Random
) -> None:
    for kind, data in _both(*encode_sections(*values)):
        changed = damage_bytes(data, rng)
        assert javascript.section(kind, changed) == _python_section(kind, changed)


def _contents(field: Field) -> Iterator[bytes]:
    """Yield what a field may hold and what it may not; messages stay empty."""
    match field.kind:
        case Kind.ENUM:
            yield from (bytes([number]) for number in range(len(field.members or {}) + 2))
        case Kind.DOUBLE:
            yield from (struct.pack("<d", number) for number in (0.0, -0.0, 5e-324, -1e300, 1e21, float("inf")))
        case Kind.UNSIGNED | Kind.SIGNED:
            yield from (number.to_bytes(8, "little") for number in (0, 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1))
        case Kind.MESSAGE:
            yield b"\x00"
        case _:
            yield from (
                bytes([len(text)]) + text for text in (b"", b"\x00", b"a", b"\xc3\xa9", b"\xff", b"\xef\xbb\xbf")
            )


def _delimited(number: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([number << 3 | 2, len(content)]) + content


_REQUIRED = {"schema": b"\x08\x01", "key": b"\x0a\x01k", "value": b"\x12\x02\x0a\x00", "path": b"\x0a\x01k"}


def _every_field(message: Message[object]) -> Iterator[bytes]:
    """Yield messages of what is required and one field, once and twice, so that each row of each table decides."""
    for number in range(1, len(message.fields) + 3):
        field = message.fields.get(number, Field("none", Kind.STRING))
        tag = bytes([number << 3 | field.kind.wire_type]) if number < 16 else bytes([number << 3 & 0x7F | 0x82, 1])
        rest = b"".join(_REQUIRED[name] for name in message.required if name != field.name)
        for content in _contents(field):
            yield rest + tag + content
            yield rest + (tag + content) * 2
        if field.message is not None:
            for inner in _every_field(field.message):
                yield rest + _delimited(number, inner)


@pytest.mark.parametrize(("kind", "message"), [("event", EVENT), ("personal", PERSONAL_DATA)])
def test_every_row_of_every_table_is_the_same_in_both_languages(
    javascript: Javascript, kind: SectionKind, message: Message[object]
) -> None:
    seen = set()
    for data in _every_field(message):
        said = javascript.section(kind, data)
        assert said == _python_section(kind, data), data.hex()
        seen.add(said if isinstance(said, str) else "read")

    assert seen == {"newer", "read", "refused"}


_ENTRY = b"\x0a\x01k"  # a MetadataEntry's key, a FieldChange's path

_JUDGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "refused"),
    "schema alone": (b"\x08\x01", "read"),
    "schema last": (b"\x12\x01a\x08\x01", "read"),
    "schema twice": (b"\x08\x01\x08\x01", "refused"),
    "elements apart": (b"\x08\x01\x32\x02\x12\x00\x12\x01a\x32\x00", "refused"),
    "elements apart, without a default": (b"\x08\x01\x32\x00\x12\x01a\x32\x00", "read"),
    "metadata without value": (b"\x08\x01" + _delimited(14, _ENTRY), "refused"),
    "metadata of an empty value": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x00"), "refused"),
    "metadata of an empty text": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x02\x0a\x00"), "read"),
    "metadata of two branches": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x04\x0a\x00\x20\x01"), "refused"),
    "metadata of one branch twice": (b"\x08\x01" + _delimited(14, _ENTRY + b"\x12\x04\x20\x01\x20\x01"), "refused"),
    "metadata without key": (b"\x08\x01" + _delimited(14, b"\x12\x02\x0a\x00"), "refused"),
    "field change without values": (b"\x08\x01" + _delimited(12, _ENTRY), "read"),
    "field change without path": (b"\x08\x01\x62\x00", "refused"),
    "tag in two bytes": (b"\x88\x00\x01", "refused"),
    "tag of eleven bytes": (b"\x88" + b"\x80" * 9 + b"\x01\x01", "refused"),
    "length of eleven bytes": (b"\x08\x01\x12" + b"\x81" + b"\x80" * 9 + b"\x01a", "refused"),
    "length of 2^63": (b"\x08\x01\x12" + b"\x80" * 9 + b"\x01a", "refused"),
    "length of 2^64 and 1": (b"\x08\x01\x12" + b"\x81" + b"\x80" * 8 + b"\x02a", "refused"),
    "length beyond a message but not the section": (b"\x08\x01\x2a\x03\x12\x02a\x12\x01a", "refused"),
    "surrogate": (b"\x08\x01\x12\x03\xed\xa0\x80", "refused"),
    "string that begins with a byte order mark": (b"\x08\x01\x12\x04\xef\xbb\xbfa", "read"),
    "newer": (b"\x08\x02", "newer"),
    "newer, schema last": (b"\x12\x01\xff\x08\x02", "newer"),
    "newer, the last schema counts": (b"\x08\x01\x08\x7f", "newer"),
    "newer at first only": (b"\x08\x02\x08\x01", "refused"),
    "newer of wire type 5": (b"\x08\x02\x1d\x00\x00\x00\x00", "newer"),
    "newer, with a schema of another wire type after": (b"\x08\x02\x0a\x01\x01", "newer"),
    "schema of 0": (b"\x08\x00", "refused"),
    "schema of 128": (b"\x08\x80\x01", "refused"),
    "schema in two bytes": (b"\x08\x82\x00", "refused"),
    "newer with a number above 2^64": (b"\x08\x02\xf8\x01" + b"\xff" * 9 + b"\x7f", "newer"),
    "newer with a varint of eleven bytes": (b"\x08\x02\xf8\x01" + b"\xff" * 10 + b"\x01", "refused"),
    "newer with field number 0": (b"\x08\x02\x02\x00", "newer"),
    "newer with a group": (b"\x08\x02\x1b\x1c", "refused"),
    "newer with wire type 6": (b"\x08\x02\x1e", "refused"),
    "newer, cut off": (b"\x08\x02\x12\x02a", "refused"),
    "newer, cut off in a tag": (b"\x08\x02\x92", "refused"),
}


@pytest.mark.parametrize(("data", "expected"), _JUDGED.values(), ids=_JUDGED)
def test_the_strict_bytes_rule_is_kept_in_both_languages(javascript: Javascript, data: bytes, expected: str) -> None:
    said = javascript.section("event", data)

    assert said == _python_section("event", data)
    assert (said if isinstance(said, str) else "read") == expected


@pytest.mark.parametrize(("kind", "limit"), [("event", EVENT_MAX_BYTES), ("personal", PERSONAL_MAX_BYTES)])
@pytest.mark.parametrize(("schema", "fitting"), [(b"\x08\x01", "read"), (b"\x08\x02", "newer")])
def test_a_section_above_its_limit_is_refused_whatever_it_says(
    javascript: Javascript, kind: SectionKind, limit: int, schema: bytes, fitting: str
) -> None:
    size = limit - 6
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    data = schema + b"\x12" + length + b"a" * size
    assert len(data) == limit

    for section, expected in ((data, fitting), (schema + b"\x1a\x01a" + data[2:], "refused")):
        said = javascript.section(kind, section)
        assert (said if isinstance(said, str) else "read") == expected
        assert said == _python_section(kind, section)


# Leaves


def _sample_leaves() -> list[bytes]:
    log = SampleLog()
    log.append(b"\x08\x01")
    log.append(b"\x08\x01", b"\x08\x01")
    log.append(b"\x08\x01", cosigned_head=CosignedHead(1, log.root(1), 2**64 - 1))
    log.append(b"\x08\x01", b"\x08\x01", cosigned_head=CosignedHead(2**63 - 1, log.root(1), 1))
    return log.leaves


_LEAVES = _sample_leaves()


def _python_leaf(data: bytes) -> Any:
    try:
        leaf = decode_leaf(data)
    except LedgerError:
        return None
    head = leaf.cosigned_head
    return {
        "recorded_at": leaf.recorded_at,
        "principal": leaf.principal.hex(),
        "catalogue": leaf.catalogue,
        "previous": leaf.previous.hex(),
        "event_commitment": leaf.event_commitment.hex(),
        "personal_commitment": leaf.personal_commitment and leaf.personal_commitment.hex(),
        "cosigned_head": head and {"size": head.size, "root": head.root.hex(), "cosigned_at": head.cosigned_at},
    }


def _javascript_leaf(javascript: Javascript, data: bytes) -> Any:
    try:
        return javascript.call("leaf", data)
    except RefusedError:
        return None


@pytest.mark.parametrize("number", range(len(_LEAVES)))
def test_both_languages_judge_every_change_of_one_byte_of_a_leaf_alike(javascript: Javascript, number: int) -> None:
    leaf = _LEAVES[number]
    assert _javascript_leaf(javascript, leaf) == _python_leaf(leaf) is not None

    for at, changed in _one_byte_changes(leaf):
        assert _javascript_leaf(javascript, changed) == _python_leaf(changed), at


@pytest.mark.parametrize(
    ("where", "content"),
    [
        (slice(1, 2), b"\x02"),
        (slice(1, 2), b"\x81\x00"),
        (slice(3, 11), bytes(8)),
        (slice(13, 29), bytes(16)),
        (slice(30, 31), b"\x00"),
        (slice(30, 31), b"\x81\x00"),
        (slice(30, 31), b"\x80\x80\x80\x80\x10"),
        (slice(33, 65), bytes(32)),
        (slice(67, 99), bytes(32)),
        (slice(99, 99), b"\x3a\x20" + bytes(32)),
        (slice(99, 99), b"\x42\x00"),
        (slice(99, 99), b"\x42\x2d\x08\x00\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\x2d\x08\x01\x12\x20" + bytes(32) + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\x2d\x08\x01\x12\x20" + b"r" * 32 + b"\x19" + bytes(8)),
        (slice(99, 99), b"\x42\x2e\x08\x01\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\xad\x00\x08\x01\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
        (slice(99, 99), b"\x42\x36\x08" + b"\x80" * 9 + b"\x01\x12\x20" + b"r" * 32 + b"\x19" + b"t" * 8),
    ],
)
def test_a_leaf_with_a_value_that_no_leaf_has_is_refused(javascript: Javascript, where: slice, content: bytes) -> None:
    changed = bytearray(_LEAVES[0])
    changed[where] = content

    assert _javascript_leaf(javascript, bytes(changed)) is None
    assert _python_leaf(bytes(changed)) is None


def test_a_catalogue_version_of_five_bytes_is_read(javascript: Javascript) -> None:
    changed = _LEAVES[0][:30] + b"\xff\xff\xff\xff\x0f" + _LEAVES[0][31:]

    assert javascript.call("leaf", changed)["catalogue"] == 2**32 - 1


# Material that nobody here wrote


def test_every_verifier_key_of_the_go_implementation_is_judged_as_there(javascript: Javascript) -> None:
    cases = [case for case in json.loads(shared_path("vectors/signed-note/vkeys.json").read_text()) if "vkey" in case]
    for case in cases:
        if case["ok"]:
            assert javascript.call("key", case["vkey"]) == case["vkey"].partition("+")[0]
        else:
            with pytest.raises(RefusedError):
                javascript.call("key", case["vkey"])


def test_every_part_and_every_change_of_a_verifier_key_is_refused(javascript: Javascript) -> None:
    parts = [_KEY[begin:end] for begin in range(len(_KEY)) for end in range(begin, len(_KEY) + (begin > 0))]
    changed = [
        _KEY[:at] + other + _KEY[at + 1 :]
        for at, character in enumerate(_KEY)
        for other in {chr(ord(character) + 1), chr(ord(character) - 1), character.swapcase(), " ", "+", "="}
        if other != character
    ]
    for text in (*parts, *changed, _KEY + "\n", "\ufeff" + _KEY):
        with pytest.raises(RefusedError):
            javascript.call("key", text)


def test_every_open_case_of_the_go_implementation_is_judged_as_there(javascript: Javascript) -> None:
    for case in json.loads(shared_path("vectors/signed-note/open.json").read_text()):
        for key in case["vkeys"]:
            if case["ok"]:
                assert case["note"].startswith(javascript.call("note", case["note"].encode(), key) + "\n")
            else:
                with pytest.raises(RefusedError):
                    javascript.call("note", case["note"].encode(), key)


def test_every_signed_checkpoint_of_rekor_is_judged_as_there(javascript: Javascript) -> None:
    for case in json.loads(shared_path("vectors/rekor/checkpoints.json").read_text()):
        try:
            text = javascript.call("note", case["note"].encode(), case["vkey"])
            head = javascript.call("checkpoint", text, case["origin"])
        except RefusedError:
            assert not case["ok"], case["case"]
            continue
        assert case["ok"], case["case"]
        assert case["note"].split("\n")[1] == str(head["size"])


def test_every_checkpoint_body_with_a_root_of_32_bytes_is_judged_as_there(javascript: Javascript) -> None:
    roots_of_32_bytes = 0
    for case in json.loads(shared_path("vectors/checkpoints/body_parse.json").read_text())["cases"]:
        lines = case["body"].split("\n")
        readable = case["structure_ok"] and len(base64.b64decode(lines[2])) == 32
        if readable:
            assert javascript.call("checkpoint", case["body"], case["origin"])["size"] == case["size"]
            roots_of_32_bytes += 1
        else:
            with pytest.raises(RefusedError):
                javascript.call("checkpoint", case["body"], lines[0])
    assert roots_of_32_bytes


def test_every_tlog_proof_of_the_go_implementation_is_judged_as_there(javascript: Javascript) -> None:
    for case in json.loads(shared_path("vectors/tlog-proof/marshal.json").read_text()):
        said = javascript.call("proof", case["text"].encode())
        assert said["index"] == case["index"]
        assert said["hashes"] == [base64.b64decode(value).hex() for value in case["hashes"]]
        assert said["note"] == case["checkpoint"]
    for text in json.loads(shared_path("vectors/tlog-proof/unmarshal_bad.json").read_text()):
        with pytest.raises(RefusedError):
            javascript.call("proof", text.encode())


def _inclusion_cases(folder: Path) -> Iterator[tuple[str, bool, tuple[Any, ...]]]:
    for path in sorted(folder.rglob("*.json")):
        case = json.loads(path.read_text())
        sizes = (str(case["leafIdx"]), str(case["treeSize"]))
        # The one case that others accept has hashes of no bytes.
        ok = not case["wantErr"] and len(base64.b64decode(case["root"])) == 32
        yield str(path.relative_to(folder)), ok, (case["leafHash"], *sizes, case["root"], case["proof"] or [])


def test_every_inclusion_proof_of_others_and_ours_is_judged_as_stated(javascript: Javascript) -> None:
    cases = list(_inclusion_cases(shared_path("vectors/transparency-dev-merkle/inclusion")))
    for case in json.loads((ROOT / "tests" / "vectors" / "inclusion.json").read_text()):
        sizes = (str(case["leaf_index"]), str(case["tree_size"]))
        cases.append((case["case"], case["ok"], (case["leaf_hash"], *sizes, case["root"], case["proof"])))

    for name, ok, values in cases:
        try:
            javascript.call("inclusion", *values)
        except RefusedError:
            assert not ok, name
        else:
            assert ok, name


# Notes that are signed and still no heads of the log


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("7\n", "07\n"),
        ("7\n", "+7\n"),
        ("7\n", "7 \n"),
        ("7\n", "9223372036854775808\n"),
        ("7\n", "7\n\n"),
        ("=\n", "=\n\n"),
        ("=\n", "=\nextension\n\nextension\n"),
        ("=\n", "\n"),
        ("log.example/sample\n", "log.example/sample \n"),
        ("log.example/sample\n", "\ufefflog.example/sample\n"),
        ("log.example/sample\n", "\nlog.example/sample\n"),
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(javascript: Javascript, before: str, after: str) -> None:
    data: str = _CASES[0]["receipt"]
    head, text, _ = data.split("\n\n")
    signer = Ed25519Signer(_VERIFIER.name, bytes.fromhex(_VECTORS["seed"]))

    def receipt(signed: str) -> bytes:
        return f"{head}\n\n".encode() + sign_note(signed, [signer])

    assert javascript.receipt(receipt(f"{text}\n")) is not None
    changed = receipt(f"{text}\n".replace(before, after, 1))
    assert javascript.receipt(changed) is None
    assert _python_receipt(changed) is None


# The program


def _run(node: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [node, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, encoding="utf-8", timeout=60)


def test_the_program_prints_what_a_receipt_says_and_exits_0(node: str, tmp_path: Path) -> None:
    receipt = tmp_path / "entry.tlog-proof"
    receipt.write_bytes(_CASES[0]["receipt"].encode())
    link = tmp_path / "link.mjs"
    link.symlink_to(_PROGRAM)

    for program in (_PROGRAM, link):
        done = _run(node, program, receipt, _KEY)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == _python_receipt(receipt.read_bytes())


def test_the_program_gives_one_reason_and_nothing_else_for_a_bad_receipt(node: str, tmp_path: Path) -> None:
    receipt = tmp_path / "entry.tlog-proof"
    for content in (_CASES[0]["receipt"].replace("index 3", "index 2").encode(), b"", b"\x00\n\n\xff"):
        receipt.write_bytes(content)
        done = _run(node, _PROGRAM, receipt, _KEY)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("failed: ")
        assert done.stderr.count("\n") == 1


def test_the_program_exits_2_when_there_is_nothing_to_judge(node: str, tmp_path: Path) -> None:
    receipt = tmp_path / "entry.tlog-proof"
    receipt.write_bytes(_CASES[0]["receipt"].encode())
    witness = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"

    for arguments in ((), (receipt,), (receipt, _KEY, "more"), (tmp_path / "absent", _KEY), (receipt, "key")):
        done = _run(node, _PROGRAM, *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), arguments
    assert _run(node, _PROGRAM, receipt, witness).returncode == 2


def test_text_of_an_event_does_not_reach_the_terminal_as_a_command(node: str, tmp_path: Path) -> None:
    told = "a\x1b[31m\x9b31m\u202ea\u2028b\n"
    log = SampleLog()
    log.append(encode_event(Event(event_id="e-1", action="user.role.updated", occurred_at=1, reason_code=told)))
    receipt = tmp_path / "entry.tlog-proof"
    receipt.write_bytes(log.receipt_file(0))

    done = _run(node, _PROGRAM, receipt, format_verifier_key(log.verifier))

    assert json.loads(done.stdout)["event"]["reason_code"] == told
    assert done.stdout.rstrip("\n").isprintable()
