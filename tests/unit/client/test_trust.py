"""The trusted history: on disk, in several processes, and against heads that contradict it."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.client.state import HeadFile, write_atomically
from ledger.client.trust import Trust
from ledger.errors import (
    ContentMismatchError,
    ForkError,
    InvalidProofError,
    RollbackError,
    StateUnreadableError,
    VerificationError,
)
from ledger.evidence import Level, verify_fork_evidence
from ledger.notes import format_verifier_key
from tests.support.lying_server import copy_of
from tests.support.sample_log import SampleLog


class Source:
    """A log as the source of heads."""

    def __init__(self, log: SampleLog) -> None:
        self.log = log
        self.asked: list[tuple[int, int]] = []

    def prove_heads(self, first_size: int, second_size: int) -> Sequence[bytes] | None:
        self.asked.append((first_size, second_size))
        if second_size > len(self.log.leaves):
            return None
        return self.log.consistency(first_size, second_size)

    def note_at(self, tree_size: int) -> bytes | None:
        return self.log.note(tree_size) if tree_size <= len(self.log.leaves) else None


@pytest.fixture
def log() -> SampleLog:
    made = SampleLog()
    for number in range(9):
        made.append(b"event %d" % number)
    return made


def _trust(log: SampleLog, folder: Path, *, pinned: bool = True) -> Trust:
    return Trust(log.verifier, HeadFile(folder, format_verifier_key(log.verifier)), pinned=pinned)


def _file(log: SampleLog, folder: Path) -> HeadFile:
    return HeadFile(folder, format_verifier_key(log.verifier))


def test_first_head_is_believed_under_the_key_alone_and_the_next_under_the_head(log: SampleLog, tmp_path: Path) -> None:
    trust = _trust(log, tmp_path)

    assert trust.head is None
    assert trust.accept(log.note(3), None, 0, Source(log)).level is Level.PINNED_KEY
    assert trust.head is not None
    assert trust.head.level is Level.PINNED_KEY
    assert trust.accept(log.note(5), log.consistency(3, 5), 3, Source(log)).level is Level.PINNED_HEAD


def test_key_that_came_from_the_server_stays_unpinned(log: SampleLog, tmp_path: Path) -> None:
    trust = _trust(log, tmp_path, pinned=False)

    trust.accept(log.note(3), None, 0, Source(log))
    assert trust.accept(log.note(5), None, 0, Source(log)).level is Level.UNPINNED


def test_head_survives_the_process(log: SampleLog, tmp_path: Path) -> None:
    _trust(log, tmp_path).accept(log.note(3), None, 0, Source(log))

    again = _trust(log, tmp_path)
    assert again.tree_size == 3
    assert again.head is not None
    assert again.head.note == log.note(3)
    assert again.head.level is Level.PINNED_HEAD


def test_state_is_private_and_its_place_follows_from_the_key_alone(log: SampleLog, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    _trust(log, folder).accept(log.note(3), None, 0, Source(log))

    path = _file(log, folder).path
    assert path.parent == folder
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert path.read_bytes() == log.note(3)
    assert sorted(entry.suffix for entry in folder.iterdir()) == [".checkpoint", ".lock"]


def test_larger_head_without_proof_is_proven_by_asking(log: SampleLog, tmp_path: Path) -> None:
    trust, source = _trust(log, tmp_path), Source(log)
    trust.accept(log.note(3), None, 0, source)

    trust.accept(log.note(7), None, 0, source)
    assert source.asked == [(3, 7)]
    assert trust.tree_size == 7


def test_head_seen_before_needs_no_proof(log: SampleLog, tmp_path: Path) -> None:
    trust, source = _trust(log, tmp_path), Source(log)
    trust.accept(log.note(3), None, 0, source)
    trust.accept(log.note(7), log.consistency(3, 7), 3, source)

    trust.accept(log.note(3), None, 0, source)
    trust.accept(log.note(7), None, 0, source)
    assert source.asked == []


def test_smaller_head_with_a_proof_is_accepted_and_changes_nothing(log: SampleLog, tmp_path: Path) -> None:
    trust, source = _trust(log, tmp_path), Source(log)
    trust.accept(log.note(7), None, 0, source)

    trust.accept(log.note(5), None, 0, source)
    assert source.asked == [(5, 7)]
    assert trust.tree_size == 7


def test_smaller_head_without_proof_is_a_rollback(log: SampleLog, tmp_path: Path) -> None:
    trust = _trust(log, tmp_path)
    trust.accept(log.note(7), None, 0, Source(log))
    set_back = copy_of(log, 5)

    with pytest.raises(RollbackError) as caught:
        trust.accept(set_back.note(5), None, 0, Source(set_back))
    assert Path(caught.value.metadata["evidence"]).exists()
    assert trust.tree_size == 7


def test_empty_tree_and_what_grows_from_it_need_no_proof(log: SampleLog, tmp_path: Path) -> None:
    trust, source = _trust(log, tmp_path), Source(log)

    trust.accept(log.note(0), None, 0, source)
    trust.accept(log.note(4), None, 0, source)
    assert (trust.tree_size, source.asked) == (4, [])


def test_two_roots_of_one_size_are_a_fork_with_evidence(log: SampleLog, tmp_path: Path) -> None:
    trust = _trust(log, tmp_path)
    trust.accept(log.note(3), None, 0, Source(log))
    trust.accept(log.note(9), log.consistency(3, 9), 3, Source(log))
    forked = copy_of(log, 2)
    forked.append(b"another third event")

    with pytest.raises(ForkError) as caught:
        trust.accept(forked.note(3), None, 0, Source(forked))
    verify_fork_evidence(Path(caught.value.metadata["evidence"]).read_bytes(), log.verifier)


def test_wrong_proof_makes_the_server_show_its_own_head_of_the_trusted_size(log: SampleLog, tmp_path: Path) -> None:
    trust = _trust(log, tmp_path)
    trust.accept(log.note(3), None, 0, Source(log))
    forked = copy_of(log, 2)
    for number in range(4):
        forked.append(b"another event %d" % number)

    with pytest.raises(ForkError, match="tree size 3"):
        trust.accept(forked.note(6), forked.consistency(3, 6), 3, Source(forked))


def test_wrong_proof_that_proves_no_fork_is_an_invalid_proof(log: SampleLog, tmp_path: Path) -> None:
    trust = _trust(log, tmp_path)
    trust.accept(log.note(3), None, 0, Source(log))

    with pytest.raises(InvalidProofError) as caught:
        trust.accept(log.note(7), [bytes(32)] * 3, 3, Source(log))
    assert Path(caught.value.metadata["evidence"]).exists()
    assert trust.tree_size == 3


def test_note_that_is_none_is_a_failed_verification(log: SampleLog, tmp_path: Path) -> None:
    with pytest.raises(ContentMismatchError, match="malformed"):
        _trust(log, tmp_path).accept(b"garbage", None, 0, Source(log))


def test_processes_that_advance_in_turn_join_their_heads(log: SampleLog, tmp_path: Path) -> None:
    source = Source(log)
    first, second = _trust(log, tmp_path), _trust(log, tmp_path)
    first.accept(log.note(3), None, 0, source)
    # The second process read the directory while it was empty.
    second.accept(log.note(5), None, 0, source)
    assert source.asked == [(3, 5)]

    first.accept(log.note(4), log.consistency(3, 4), 3, source)
    assert source.asked[1:] == [(4, 5)]
    assert first.tree_size == second.tree_size == 5
    assert _file(log, tmp_path).read() == log.note(5)


def test_process_whose_head_contradicts_that_of_another_finds_the_fork(log: SampleLog, tmp_path: Path) -> None:
    forked = copy_of(log, 2)
    for number in range(4):
        forked.append(b"another event %d" % number)
    first, second = _trust(log, tmp_path), _trust(log, tmp_path)
    first.accept(log.note(5), None, 0, Source(log))

    with pytest.raises(ForkError):
        second.accept(forked.note(6), None, 0, Source(forked))
    assert _file(log, tmp_path).read() == log.note(5)


def test_damaged_state_is_told_and_never_replaced(log: SampleLog, tmp_path: Path) -> None:
    path = _file(log, tmp_path).path
    note = log.note(3).replace(b"\n3\n", b"\n4\n")
    path.write_bytes(note)

    with pytest.raises(VerificationError, match=r"remembered checkpoint .* does not verify"):
        _trust(log, tmp_path)
    assert path.read_bytes() == note


def test_state_of_another_log_is_not_mixed_up(log: SampleLog, tmp_path: Path) -> None:
    other = SampleLog("other.example/log", bytes(32))
    other.append(b"event")
    _trust(log, tmp_path).accept(log.note(3), None, 0, Source(log))

    assert _trust(other, tmp_path).head is None


def test_state_directory_that_cannot_be_made_says_so(log: SampleLog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StateUnreadableError, match="cannot be read") as caught:
        _trust(log, tmp_path / "file" / "state").accept(log.note(3), None, 0, Source(log))
    assert "LOGPROOF_STATE" in caught.value.hint


def test_fork_stays_a_fork_where_its_evidence_cannot_be_kept(log: SampleLog, tmp_path: Path) -> None:
    trust = _trust(log, tmp_path)
    trust.accept(log.note(3), None, 0, Source(log))
    forked = copy_of(log, 2)
    forked.append(b"another third event")
    (lock,) = tmp_path.glob("*.lock")
    lock.unlink()
    lock.mkdir()

    with pytest.raises(ForkError, match="could not be kept") as caught:
        trust.accept(forked.note(3), None, 0, Source(forked))
    assert (caught.value.first_note, caught.value.second_note) == (log.note(3), forked.note(3))


def test_file_is_replaced_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"first")
    write_atomically(path, b"second")

    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]
