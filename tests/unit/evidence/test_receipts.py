from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import (
    ContentMismatchError,
    ForkError,
    InvalidProofError,
    InvalidSignatureError,
    LedgerError,
    MalformedError,
    PolicyNotMetError,
)
from ledger.events.leaf import CosignedHead
from ledger.evidence import (
    Level,
    Receipt,
    Section,
    SectionStatus,
    TlogProof,
    TrustedLog,
    format_tlog_proof,
    make_receipt,
    parse_level,
    parse_receipt,
    parse_tlog_proof,
    require_level,
    verify_receipt,
)
from ledger.notes import parse_verifier_key, sign_checkpoint
from tests.support.sample_log import SampleLog
from tests.vectors.generate import FOLDER

EVENT = b"\x08\x01\x12\x04id-%d"
PERSONAL = b"\x08\x01\x12\x07a@b.exa"


def _log(count: int) -> SampleLog:
    log = SampleLog()
    for index in range(count):
        log.append(EVENT % index, PERSONAL)
    return log


LOG = _log(7)
VECTORS: dict[str, Any] = json.loads((FOLDER / "receipts.json").read_bytes())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["case"])
def test_every_receipt_of_the_vectors_is_judged_as_stated(case: dict[str, Any]) -> None:
    data = case["receipt"].encode()
    verifier = parse_verifier_key(VECTORS["verifier_key"])
    if not case["ok"]:
        with pytest.raises(LedgerError) as caught:
            verify_receipt(data, verifier)
        assert caught.value.reason == case["reason"]
        return
    verified = verify_receipt(data, verifier)
    assert (verified.leaf_index, verified.checkpoint.tree_size) == (case["leaf_index"], case["tree_size"])
    assert verified.checkpoint.root_hash.hex() == case["root_hash"]
    assert verified.leaf.recorded_at == case["recorded_at"]
    assert (verified.event_status.name, verified.personal_status.name) == (case["event"], case["personal"])
    assert (verified.event.event_id if verified.event else None) == case.get("event_id")
    assert (verified.personal.actor_email if verified.personal else None) == case.get("actor_email")
    receipt = parse_receipt(data)
    for section, name in ((receipt.event, "event_section"), (receipt.personal, "personal_section")):
        assert (section and base64.b64encode(section.content).decode()) == case.get(name)


@pytest.mark.parametrize("size", range(1, 8))
def test_a_receipt_of_every_entry_under_every_head_verifies(size: int) -> None:
    for index in range(size):
        verified = verify_receipt(LOG.receipt_file(index, size), LOG.verifier)
        assert verified.leaf_index == index
        assert verified.event is not None
        assert verified.event.event_id == f"id-{index}"
        assert verified.personal is not None
        assert verified.notes == ()


def test_a_section_that_is_not_shown_is_named() -> None:
    verified = verify_receipt(LOG.receipt_file(3, event=False, personal=False), LOG.verifier)
    assert (verified.event_status, verified.personal_status) == (SectionStatus.NOT_SHOWN, SectionStatus.NOT_SHOWN)
    assert [note.split(":")[0] for note in verified.notes] == ["event section", "personal section"]
    assert "not shown" in verified.notes[0]


def test_a_section_that_never_was_is_told_apart_from_one_that_is_not_shown() -> None:
    log = SampleLog()
    log.append(EVENT % 0)
    verified = verify_receipt(log.receipt_file(0), log.verifier)
    assert verified.personal_status is SectionStatus.NONE
    assert verified.notes == ()


def test_content_of_a_newer_schema_is_verified_and_not_read() -> None:
    log = SampleLog()
    log.append(b"\x08\x02", b"\x08\x03\x7a\x00")
    verified = verify_receipt(log.receipt_file(0), log.verifier)
    assert (verified.event, verified.personal) == (None, None)
    assert verified.event_status is verified.personal_status is SectionStatus.NEWER_SCHEMA
    assert verified.notes[0] == "event section: verified, content of a newer schema not read"


def test_a_cosigned_head_that_the_leaf_names_is_said_to_be_unchecked() -> None:
    log = _log(3)
    log.append(EVENT % 3, cosigned_head=CosignedHead(3, log.root(3), 1))
    (note,) = verify_receipt(log.receipt_file(3), log.verifier).notes
    assert note == "cosigned head of size 3 that the leaf names: not checked"


def test_a_section_that_the_leaf_does_not_have_is_refused_as_that() -> None:
    log = SampleLog()
    log.append(EVENT % 0)
    added = replace(log.receipt(0), personal=Section(bytes(16), PERSONAL))
    with pytest.raises(ContentMismatchError, match="says that there is none"):
        verify_receipt(make_receipt(added), log.verifier)


def test_content_of_another_version_is_refused_as_that() -> None:
    content = base64.b64encode(b"\x08\x02\x12\x01x")
    with pytest.raises(MalformedError, match="version 1"):
        parse_receipt(b"c2sp.org/tlog-proof@v1\nextra " + content + b"\nindex 0\n\nnote\n")


def test_a_receipt_under_a_pinned_key_leaves_the_tail_unproven() -> None:
    assert verify_receipt(LOG.receipt_file(3), LOG.verifier).level is Level.PINNED_KEY
    unknown = TrustedLog(LOG.verifier)
    assert verify_receipt(LOG.receipt_file(3), LOG.verifier, trusted=unknown).level is Level.PINNED_KEY
    assert unknown.checkpoint is None


def test_a_receipt_under_the_trusted_head_reaches_its_level() -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(7))
    assert verify_receipt(LOG.receipt_file(3), LOG.verifier, trusted=trusted).level is Level.PINNED_HEAD


def test_a_receipt_under_an_older_or_newer_head_needs_the_consistency_proof_for_that_level() -> None:
    for receipt_size, trusted_size in ((4, 7), (7, 4)):
        trusted = TrustedLog(LOG.verifier, LOG.note(trusted_size))
        data = LOG.receipt_file(3, receipt_size)
        without = verify_receipt(data, LOG.verifier, trusted=trusted)
        assert without.level is Level.PINNED_KEY
        assert without.notes == (
            f"head: of size {receipt_size}, not shown to agree with the trusted one of size {trusted_size}",
        )
        proof = LOG.consistency(4, 7)
        linked = verify_receipt(data, LOG.verifier, trusted=trusted, consistency=proof)
        assert (linked.level, linked.notes) == (Level.PINNED_HEAD, ())
        with pytest.raises(InvalidProofError):
            verify_receipt(data, LOG.verifier, trusted=trusted, consistency=proof[1:])
        assert trusted.note == LOG.note(trusted_size)


def test_a_receipt_under_another_root_of_the_trusted_size_is_a_fork() -> None:
    other = _log(6)
    other.append(b"\x08\x01")
    with pytest.raises(ForkError):
        verify_receipt(LOG.receipt_file(3), LOG.verifier, trusted=TrustedLog(LOG.verifier, other.note()))


def test_the_origin_of_a_receipt_can_differ_from_the_name_of_the_key() -> None:
    receipt = LOG.receipt(3)
    note = sign_checkpoint(replace(LOG.checkpoint(), origin="else.example"), LOG.signer)
    data = make_receipt(replace(receipt, checkpoint_note=note))
    assert verify_receipt(data, LOG.verifier, origin="else.example").checkpoint.origin == "else.example"


def test_a_receipt_of_another_log_is_refused() -> None:
    with pytest.raises(InvalidSignatureError):
        verify_receipt(LOG.receipt_file(3), SampleLog("other.example").verifier)


def test_any_other_proof_is_no_receipt() -> None:
    proof = TlogProof(3, tuple(LOG.inclusion(3)), LOG.note(), None)
    with pytest.raises(MalformedError, match="not a receipt"):
        parse_receipt(format_tlog_proof(proof))


def test_a_receipt_that_has_no_file_is_not_made() -> None:
    for arguments in ((b"", b"x"), (bytes(15), b"x"), (bytes(16), b"")):
        with pytest.raises(MalformedError):
            Section(*arguments)
    with pytest.raises(MalformedError):
        Receipt(0, (), b"note", b"")


def test_content_of_any_length_of_length_is_read() -> None:
    for size in (127, 128, 16_383, 16_384, 70_000):
        receipt = Receipt(0, (), b"note", b"x" * size)
        assert parse_receipt(make_receipt(receipt)) == receipt


def test_a_length_that_never_ends_is_refused() -> None:
    for content in (b"\x08\x01\x12", b"\x08\x01\x12" + b"\xff" * 9, b"\x08\x01\x12\x05abc", b"\x08", b""):
        with pytest.raises(MalformedError):
            parse_receipt(b"c2sp.org/tlog-proof@v1\nextra " + base64.b64encode(content) + b"\nindex 0\n\nnote\n")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x12\x83\x00abc", id="a length with a byte too many"),
        pytest.param(b"\x12\x83\x80\x00abc", id="a length with two bytes too many"),
        pytest.param(b"\x12\x83\x80\x80\x80\x80\x00abc", id="a length of six bytes"),
        pytest.param(b"\x12\x03abc\x1a\x00", id="a field that says it is empty"),
        pytest.param(b"\x12\x03abc\x12\x03abc", id="a field twice"),
        pytest.param(b"\x1a\x01e\x22\x10" + bytes(16) + b"\x12\x03abc", id="fields in another order"),
        pytest.param(b"\x12\x03abc\x3a\x01x", id="a field more"),
        pytest.param(b"\x12\x04abc", id="cut off"),
    ],
)
def test_content_has_one_encoding(content: bytes) -> None:
    def parse(fields: bytes) -> Receipt:
        return parse_receipt(format_tlog_proof(TlogProof(0, (), b"note", b"\x08\x01" + fields)))

    assert parse(b"\x12\x03abc").leaf == b"abc"
    with pytest.raises(MalformedError, match="one encoding"):
        parse(content)


def test_every_single_byte_change_of_a_receipt_is_refused() -> None:
    data = LOG.receipt_file(3)
    for offset in range(len(data)):
        for flip in (1, 4, 32):
            changed = bytearray(data)
            changed[offset] ^= flip
            with pytest.raises(LedgerError):
                verify_receipt(bytes(changed), LOG.verifier)


def test_every_single_byte_left_out_of_a_receipt_or_put_into_it_is_refused() -> None:
    data = LOG.receipt_file(3)
    for offset in range(len(data)):
        for changed in (data[:offset] + data[offset + 1 :], data[:offset] + b"A" + data[offset:]):
            with pytest.raises(LedgerError):
                verify_receipt(changed, LOG.verifier)


@given(st.data())
def test_a_changed_signature_of_an_unknown_key_is_refused_or_leaves_the_meaning_as_it_was(data: st.DataObject) -> None:
    more = "\u2014 witness.example/w1 AAAAAAAAAAAAAAAA\n".encode()
    receipt = make_receipt(replace(LOG.receipt(3), checkpoint_note=LOG.note() + more))
    want = verify_receipt(receipt, LOG.verifier)
    changed = bytearray(receipt)
    changed[data.draw(st.integers(len(receipt) - len(more), len(receipt) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert verify_receipt(bytes(changed), LOG.verifier) == want
    except MalformedError:
        return


_SECTIONS = st.none() | st.builds(Section, st.binary(min_size=16, max_size=16), st.binary(min_size=1, max_size=300))
_RECEIPTS = st.builds(
    Receipt,
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
    st.binary(min_size=1),
    st.binary(min_size=1, max_size=300),
    _SECTIONS,
    _SECTIONS,
)


@given(_RECEIPTS)
def test_making_then_parsing_gives_the_same_receipt(receipt: Receipt) -> None:
    assert parse_receipt(make_receipt(receipt)) == receipt


@given(_RECEIPTS, st.data())
def test_whatever_content_parses_is_made_back_to_the_same_bytes(receipt: Receipt, data: st.DataObject) -> None:
    proof = parse_tlog_proof(make_receipt(receipt))
    content = bytearray(proof.extra or b"")
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    text = format_tlog_proof(replace(proof, extra=bytes(content)))
    try:
        parsed = parse_receipt(text)
    except MalformedError:
        return
    assert make_receipt(parsed) == text


def test_levels_are_ordered_and_named() -> None:
    assert [level.label for level in sorted(Level)] == [
        "arithmetic only",
        "UNPINNED",
        "pinned key, tail unproven",
        "pinned head",
        "anchored head",
    ]
    for level in Level:
        assert parse_level(level.label) is level
        assert parse_level(level.name.lower().replace("_", "-")) is level
    with pytest.raises(MalformedError, match="pinned-key"):
        parse_level("trusted")


def test_a_level_below_the_required_one_is_not_enough() -> None:
    require_level(Level.PINNED_HEAD, Level.PINNED_KEY)
    require_level(Level.PINNED_KEY, Level.PINNED_KEY)
    with pytest.raises(PolicyNotMetError, match="'pinned key, tail unproven'; 'pinned head' is required"):
        require_level(Level.PINNED_KEY, Level.PINNED_HEAD)
