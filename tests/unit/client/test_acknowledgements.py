from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.client._calls import verify_acknowledgements
from ledger.client.values import Sections
from ledger.errors import LedgerError
from ledger.events.commitments import commit_event, commit_personal
from ledger.events.leaf import Leaf, encode_leaf
from ledger.merkle import CompactRange, hash_leaf
from ledger.notes.checkpoint import Checkpoint
from ledger.v1 import ledger_pb2, proof_pb2

_SENT = (Sections(b"first", b"person"), Sections(b"second", b"person"), Sections(b"third"))
_EVENT_SALT, _PERSONAL_SALT = bytes(range(16)), bytes(range(16, 32))
_Change = Callable[[ledger_pb2.Acknowledgement], None]


def _acknowledged(index: int) -> ledger_pb2.Acknowledgement:
    sections = _SENT[index]
    personal = commit_personal(_PERSONAL_SALT, sections.personal) if sections.personal else None
    leaf = Leaf(7, b"p" * 16, 1, bytes([index + 1]) * 32, commit_event(_EVENT_SALT, sections.event), personal)
    return ledger_pb2.Acknowledgement(
        outcome=ledger_pb2.APPEND_OUTCOME_APPENDED,
        leaf_index=index,
        leaf=encode_leaf(leaf),
        event_salt=_EVENT_SALT,
        personal_salt=_PERSONAL_SALT if personal else b"",
    )


def _verify(answers: list[ledger_pb2.Acknowledgement], first: int, end: int) -> str:
    """Return what becomes of some events of a tree that has just these leaves: an error in words, or none."""
    hashes = [hash_leaf(answer.leaf) for answer in answers]
    root = CompactRange.empty().extend(hashes)[0].root()
    # Of three leaves: all, or the second or third alone.
    first_two = CompactRange.empty().extend(hashes[:2])[0].root()
    proof = {(0, 3): [], (1, 2): [hashes[0], hashes[2]], (2, 3): [first_two]}[first, end]
    try:
        verify_acknowledgements(
            _SENT[first:end],
            answers[first:end],
            proof_pb2.BatchInclusionProof(hashes=proof),
            Checkpoint("log", 3, root),
            new_ids=[True] * (end - first),
        )
    except LedgerError as error:
        return f"{type(error).__name__}: {error.message}"
    return ""


def _leaf_byte(offset: int) -> _Change:
    def change(answer: ledger_pb2.Acknowledgement) -> None:
        leaf = bytearray(answer.leaf)
        leaf[offset] ^= 1
        answer.leaf = bytes(leaf)

    change.__name__ = f"byte {offset}"
    return change


def _zero_previous(answer: ledger_pb2.Acknowledgement) -> None:
    answer.leaf = answer.leaf[:33] + bytes(32) + answer.leaf[65:]


def _longer_leaf(answer: ledger_pb2.Acknowledgement) -> None:
    answer.leaf += b"\0"


def _shorter_leaf(answer: ledger_pb2.Acknowledgement) -> None:
    answer.leaf = answer.leaf[:-1]


def _no_leaf(answer: ledger_pb2.Acknowledgement) -> None:
    answer.leaf = b""


def _long_event_salt(answer: ledger_pb2.Acknowledgement) -> None:
    answer.event_salt += b"\0"


def _other_event_salt(answer: ledger_pb2.Acknowledgement) -> None:
    answer.event_salt = bytes(16)


def _other_personal_salt(answer: ledger_pb2.Acknowledgement) -> None:
    answer.personal_salt = bytes(16)


def _no_personal_salt(answer: ledger_pb2.Acknowledgement) -> None:
    answer.personal_salt = b""


def _without_content(answer: ledger_pb2.Acknowledgement) -> None:
    answer.outcome = ledger_pb2.APPEND_OUTCOME_DUPLICATE_OF_OTHER_PRINCIPAL


def _unknown_outcome(answer: ledger_pb2.Acknowledgement) -> None:
    answer.outcome = 77  # type: ignore[assignment]


@pytest.mark.parametrize("index", [1, 2])
@pytest.mark.parametrize(
    "change",
    [
        # Each part of a leaf: version, time, principal, catalogue, the hash before it, commitments, and their tags.
        *map(_leaf_byte, (0, 1, 2, 3, 11, 12, 13, 29, 30, 31, 32, 33, 64, 65, 66, 67, 98, -1)),
        _zero_previous,
        _longer_leaf,
        _shorter_leaf,
        _no_leaf,
        _long_event_salt,
        _other_event_salt,
        _other_personal_salt,
        _no_personal_salt,
        _without_content,
        _unknown_outcome,
    ],
)
def test_event_of_a_message_is_accepted_where_it_is_accepted_alone(index: int, change: _Change) -> None:
    answers = [_acknowledged(number) for number in range(3)]
    change(answers[index])

    assert _verify(answers, 0, 3) == _verify(answers, index, index + 1)


def test_good_message_is_accepted() -> None:
    assert not _verify([_acknowledged(number) for number in range(3)], 0, 3)
