from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.errors import InvalidEventError, InvalidSignatureError, LedgerError
from ledger.evidence import make_receipt, verify_receipt, verify_receipts
from ledger.notes import parse_verifier_key
from tests.support.sample_log import SampleLog
from tests.vectors.generate import FOLDER

VECTORS: dict[str, Any] = json.loads((FOLDER / "receipts.json").read_bytes())


def _log(count: int, seed: bytes = bytes(range(32))) -> SampleLog:
    log = SampleLog(seed=seed)
    for index in range(count):
        log.append(b"\x08\x01\x12\x04id-%d" % (index % 10), b"\x08\x01\x12\x07a@b.exa")
    return log


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["case"])
def test_receipt_of_the_vectors_is_judged_as_alone(case: dict[str, Any]) -> None:
    data, verifier = case["receipt"].encode(), parse_verifier_key(VECTORS["verifier_key"])
    try:
        alone = verify_receipt(data, verifier)
    except InvalidEventError:
        # Only the reading of the content fails, and that is not done here.
        verify_receipts([data], verifier)
    except LedgerError as error:
        with pytest.raises(type(error)):
            verify_receipts([data], verifier)
    else:
        (proven,) = verify_receipts([data], verifier)
        assert (proven.leaf_index, proven.leaf, proven.checkpoint) == (alone.leaf_index, alone.leaf, alone.checkpoint)


def test_receipts_under_several_heads_are_proven_in_their_order() -> None:
    log = _log(12)
    receipts = [log.receipt(index, size) for size in (5, 12) for index in range(size)]

    proven = verify_receipts([make_receipt(receipt) for receipt in receipts], log.verifier)
    assert [item.leaf_index for item in proven] == [receipt.leaf_index for receipt in receipts]
    assert [item.event for item in proven] == [receipt.event for receipt in receipts]
    assert proven == verify_receipts(receipts, log.verifier)


@pytest.mark.parametrize("wrong", range(12))
def test_one_wrong_receipt_among_good_ones_is_refused(wrong: int) -> None:
    log, other = _log(12), _log(12)
    other.leaves[wrong] = other.leaves[wrong][:-1] + bytes([other.leaves[wrong][-1] ^ 1])
    receipts = [log.receipt(index) for index in range(12)]
    receipts[wrong] = other.receipt(wrong)

    with pytest.raises(LedgerError):
        verify_receipts(receipts, log.verifier)


def test_head_of_another_key_is_refused_after_a_good_one() -> None:
    log, other = _log(3), _log(3, bytes(32))

    with pytest.raises(InvalidSignatureError):
        verify_receipts([log.receipt(0), other.receipt(1)], log.verifier)
