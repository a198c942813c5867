from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ledger.errors import (
    ForkError,
    InvalidProofError,
    InvalidSignatureError,
    MalformedError,
    RollbackError,
    VerificationError,
    WrongOriginError,
)
from ledger.evidence import (
    Outcome,
    TrustedLog,
    fork_from_leaves,
    format_fork_evidence,
    verify_fork_evidence,
)
from ledger.notes import Checkpoint, Ed25519Signer, Note, format_note, parse_note, parse_verifier_key, sign_checkpoint
from tests.support.sample_log import SampleLog
from tests.support.shared import shared_path


def _log(count: int, other_from: int | None = None) -> SampleLog:
    """Return a log of `count` entries, with other entries from an index on."""
    log = SampleLog()
    for index in range(count):
        log.append(b"other %d" % index if other_from is not None and index >= other_from else b"entry %d" % index)
    return log


LOG = _log(9)
OTHER = _log(9, other_from=3)


def test_the_first_head_is_trusted_and_kept_whole() -> None:
    trusted = TrustedLog(LOG.verifier)
    assert (trusted.checkpoint, trusted.note) == (None, None)
    assert trusted.accept(LOG.note(5)) is Outcome.FIRST
    assert (trusted.checkpoint, trusted.note) == (LOG.checkpoint(5), LOG.note(5))


@pytest.mark.parametrize("first", range(10))
@pytest.mark.parametrize("second", range(10))
def test_every_pair_of_heads_is_told_apart(first: int, second: int) -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(first))
    proof = LOG.consistency(min(first, second), max(first, second))
    want = Outcome.SAME if first == second else Outcome.NEWER if first < second else Outcome.STALE
    assert trusted.check(LOG.note(second), proof) is want
    assert trusted.checkpoint == LOG.checkpoint(first)
    assert trusted.accept(LOG.note(second), proof) is want
    assert trusted.checkpoint == LOG.checkpoint(max(first, second))


def test_the_same_head_needs_no_proof_and_a_proof_for_it_is_wrong() -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(5))
    assert trusted.accept(LOG.note(5)) is Outcome.SAME
    with pytest.raises(InvalidProofError):
        trusted.accept(LOG.note(5), [bytes(32)])


def test_a_larger_head_without_a_proof_is_an_invalid_proof_with_both_notes() -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(5))
    with pytest.raises(InvalidProofError, match=r"size 8, the trusted one 5, and no consistency proof") as caught:
        trusted.accept(LOG.note(8))
    assert (caught.value.first_note, caught.value.second_note) == (LOG.note(5), LOG.note(8))
    assert trusted.note == LOG.note(5)
    with pytest.raises(InvalidProofError, match="no consistency proof"):
        TrustedLog(LOG.verifier, LOG.note(1)).accept(LOG.note(8))


def test_a_wrong_proof_is_an_invalid_proof_with_both_notes_in_both_directions() -> None:
    for first, second in ((5, 8), (8, 5)):
        trusted = TrustedLog(LOG.verifier, LOG.note(first))
        proof = LOG.consistency(5, 8)
        for wrong in (proof[:-1], [*proof, bytes(32)], [bytes(32), *proof[1:]], [], OTHER.consistency(5, 8)):
            with pytest.raises(InvalidProofError) as caught:
                trusted.accept(LOG.note(second), wrong)
            assert (caught.value.first_note, caught.value.second_note) == (LOG.note(first), LOG.note(second))
        assert trusted.note == LOG.note(first)


def test_a_larger_head_of_another_history_is_an_invalid_proof() -> None:
    with pytest.raises(InvalidProofError):
        TrustedLog(LOG.verifier, LOG.note(5)).accept(OTHER.note(8), OTHER.consistency(5, 8))


def test_a_smaller_head_without_a_proof_is_a_rollback_with_both_notes() -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(8))
    for size in (0, 5):
        with pytest.raises(RollbackError) as caught:
            trusted.accept(LOG.note(size))
        assert (caught.value.first_note, caught.value.second_note) == (LOG.note(8), LOG.note(size))
    assert trusted.note == LOG.note(8)


def test_two_roots_of_one_size_are_a_fork_whatever_proof_comes_along() -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(8))
    for proof in (None, [], [bytes(32)]):
        with pytest.raises(ForkError) as caught:
            trusted.accept(OTHER.note(8), proof)
        assert (caught.value.first_note, caught.value.second_note) == (LOG.note(8), OTHER.note(8))
    assert trusted.note == LOG.note(8)


def test_everything_continues_the_empty_tree_and_only_its_root_is_one() -> None:
    assert TrustedLog(LOG.verifier, LOG.note(0)).accept(LOG.note(5)) is Outcome.NEWER
    false = sign_checkpoint(replace(LOG.checkpoint(0), root_hash=bytes(32)), LOG.signer)
    for trusted in (
        TrustedLog(LOG.verifier),
        TrustedLog(LOG.verifier, LOG.note(0)),
        TrustedLog(LOG.verifier, LOG.note(5)),
    ):
        with pytest.raises(InvalidProofError, match="empty tree"):
            trusted.accept(false, [])
    with pytest.raises(InvalidProofError):
        TrustedLog(LOG.verifier, false)


def test_heads_that_are_not_of_this_log_are_refused_first() -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(5))
    stranger = SampleLog(seed=bytes(32))
    with pytest.raises(InvalidSignatureError):
        trusted.accept(stranger.note())
    with pytest.raises(WrongOriginError):
        trusted.accept(sign_checkpoint(replace(LOG.checkpoint(8), origin="else.example"), LOG.signer))
    with pytest.raises(MalformedError):
        trusted.accept(b"garbage")
    with pytest.raises(InvalidSignatureError):
        TrustedLog(LOG.verifier, stranger.note())


def test_the_origin_can_differ_from_the_name_of_the_key() -> None:
    head = Checkpoint("origin.example", 5, bytes(32))
    trusted = TrustedLog(LOG.verifier, origin="origin.example")
    assert trusted.accept(sign_checkpoint(head, LOG.signer)) is Outcome.FIRST


def test_extension_lines_neither_fork_nor_move_the_trusted_head() -> None:
    trusted = TrustedLog(LOG.verifier, LOG.note(5))
    extended = sign_checkpoint(replace(LOG.checkpoint(5), extensions=("log.example/sample", "9")), LOG.signer)
    assert trusted.accept(extended) is Outcome.SAME
    assert trusted.note == LOG.note(5)


def test_every_checkpoint_of_the_tessera_log_continues_every_smaller_one() -> None:
    folder = shared_path("vectors/tessera-testlog")
    verifier = parse_verifier_key((folder / "vkey").read_text().strip())
    tile = (folder / "log/tile/0/000.p/15").read_bytes()
    tree = SampleLog()
    tree.leaf_hashes = [tile[begin : begin + 32] for begin in range(0, len(tile), 32)]
    notes = [(folder / f"log/checkpoint.{size}").read_bytes() for size in range(16)]
    for first in range(16):
        for second in range(first, 16):
            trusted = TrustedLog(verifier, notes[first])
            want = Outcome.SAME if first == second else Outcome.NEWER
            assert trusted.accept(notes[second], tree.consistency(first, second)) is want


def test_two_notes_of_one_size_are_evidence_by_themselves() -> None:
    verify_fork_evidence(format_fork_evidence(LOG.note(8), OTHER.note(8)), LOG.verifier)


def test_evidence_that_accuses_without_proof_is_refused() -> None:
    stranger = SampleLog(seed=bytes(32))
    stranger.append(b"x")
    for first, second, error in (
        (LOG.note(8), LOG.note(8), InvalidProofError),
        (LOG.note(8), LOG.note(5), InvalidProofError),
        (LOG.note(1), stranger.note(), InvalidSignatureError),
        (LOG.note(8), b"garbage", MalformedError),
    ):
        with pytest.raises(error):
            verify_fork_evidence(format_fork_evidence(first, second), LOG.verifier)


def test_heads_of_different_sizes_are_a_fork_with_the_leaf_hashes_that_recompute_both() -> None:
    evidence = fork_from_leaves(LOG.verifier, LOG.note(5), LOG.leaf_hashes[:5], OTHER.note(8), OTHER.leaf_hashes[:8])
    verify_fork_evidence(evidence, LOG.verifier)
    swapped = fork_from_leaves(LOG.verifier, OTHER.note(8), OTHER.leaf_hashes[:8], LOG.note(5), LOG.leaf_hashes[:5])
    verify_fork_evidence(swapped, LOG.verifier)


def test_fork_evidence_of_one_size_carries_no_leaves() -> None:
    evidence = fork_from_leaves(LOG.verifier, LOG.note(8), [], OTHER.note(8), [])
    assert json.loads(evidence).keys() == {"type", "first_note", "second_note"}
    verify_fork_evidence(evidence, LOG.verifier)


def test_leaf_hashes_that_do_not_recompute_both_heads_or_that_agree_prove_nothing() -> None:
    for first_hashes, second_hashes in (
        (LOG.leaf_hashes[:5], OTHER.leaf_hashes[:7]),
        (LOG.leaf_hashes[:5], LOG.leaf_hashes[:8]),
        (OTHER.leaf_hashes[:5], OTHER.leaf_hashes[:8]),
        ([], []),
    ):
        with pytest.raises(InvalidProofError, match="do not lead to the root"):
            fork_from_leaves(LOG.verifier, LOG.note(5), first_hashes, OTHER.note(8), second_hashes)
    with pytest.raises(InvalidProofError, match="agree on all leaves"):
        fork_from_leaves(LOG.verifier, LOG.note(5), LOG.leaf_hashes[:5], LOG.note(8), LOG.leaf_hashes[:8])


def test_every_changed_part_of_fork_evidence_is_refused() -> None:
    evidence = fork_from_leaves(LOG.verifier, LOG.note(5), LOG.leaf_hashes[:5], OTHER.note(8), OTHER.leaf_hashes[:8])
    good = json.loads(evidence)
    hashes = good["first_leaf_hashes"]
    for name, value in (
        ("type", "another"),
        ("first_note", None),
        ("first_note", 5),
        ("first_note", "\ud800\n"),
        ("first_note", good["first_note"].replace("\n5\n", "\n6\n")),
        ("first_leaf_hashes", None),
        ("first_leaf_hashes", "text"),
        ("first_leaf_hashes", [5]),
        ("first_leaf_hashes", ["zz"]),
        ("first_leaf_hashes", [hashes[0][:-2], *hashes[1:]]),
        ("first_leaf_hashes", [hashes[0].upper(), *hashes[1:]]),
        ("first_leaf_hashes", hashes[::-1]),
        ("second_leaf_hashes", None),
    ):
        with pytest.raises((MalformedError, VerificationError)):
            verify_fork_evidence(json.dumps({**good, name: value}).encode(), LOG.verifier)
    for data in (b"", b"[]", b"null", b"\xff", evidence[:-3], b'{"type":1,"type":1}', b'{"type":NaN}', b"[" * 100_000):
        with pytest.raises(MalformedError):
            verify_fork_evidence(data, LOG.verifier)


def test_evidence_of_a_log_with_cosigned_notes_verifies() -> None:
    parsed = parse_note(OTHER.note(8))
    stranger = Ed25519Signer("witness.example", bytes(32))
    line = parse_note(sign_checkpoint(OTHER.checkpoint(8), stranger)).signatures
    cosigned = format_note(Note(parsed.text, parsed.signatures + line))
    verify_fork_evidence(format_fork_evidence(LOG.note(8), cosigned), LOG.verifier)
