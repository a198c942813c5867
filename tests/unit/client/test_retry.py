from __future__ import annotations

import pytest

from ledger.client.retry import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, Failure, retry_delay


def _longest(failure: Failure, attempt: int = 1, remaining: float = 100) -> float | None:
    return retry_delay(failure, attempt, remaining, lambda: 0.999_999)


@pytest.mark.parametrize(
    "code",
    ["INVALID_ARGUMENT", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED", "DATA_LOSS", "INTERNAL", "UNKNOWN"],
)
def test_what_cannot_pass_is_not_tried_again(code: str) -> None:
    assert _longest(Failure(code, "", 0.1)) is None


@pytest.mark.parametrize("reason", ["", "SEQUENCER_BUSY", "OUTCOME_UNKNOWN", "SHUTTING_DOWN", "PUBLICATION_BEHIND"])
def test_what_passes_is_tried_again(reason: str) -> None:
    assert _longest(Failure("UNAVAILABLE", reason, None)) is not None


def test_full_disk_is_not_waited_for() -> None:
    assert _longest(Failure("RESOURCE_EXHAUSTED", "STORAGE_FULL", 1)) is None


def test_exhausted_resource_is_tried_again_only_when_the_server_says_when() -> None:
    assert _longest(Failure("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", None)) is None
    assert _longest(Failure("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", 2.0)) == pytest.approx(2.0)


def test_a_call_for_which_grpc_has_no_place_is_tried_again() -> None:
    refused = Failure("RESOURCE_EXHAUSTED", "", None, "Concurrent RPC limit exceeded!")

    assert _longest(refused) == pytest.approx(FIRST_DELAY_SECONDS, rel=0.01)
    assert _longest(refused, attempt=3) == pytest.approx(4 * FIRST_DELAY_SECONDS, rel=0.01)


@pytest.mark.parametrize(
    "message",
    [
        "CLIENT: Sent message larger than max (6000000 vs. 5242880)",
        "SERVER: Received message larger than max (6000000 vs. 5242880)",
        "received metadata size exceeds hard limit (9000 vs. 8192)",
    ],
)
def test_a_call_that_is_too_large_is_not_tried_again(message: str) -> None:
    assert _longest(Failure("RESOURCE_EXHAUSTED", "", None, message)) is None


def test_wait_doubles_up_to_its_limit() -> None:
    unavailable = Failure("UNAVAILABLE", "", None)
    waits = [_longest(unavailable, attempt) for attempt in range(1, 12)]

    assert waits[:3] == pytest.approx([FIRST_DELAY_SECONDS, 2 * FIRST_DELAY_SECONDS, 4 * FIRST_DELAY_SECONDS], rel=0.01)
    assert waits[-1] == pytest.approx(LONGEST_DELAY_SECONDS, rel=0.01)
    assert _longest(unavailable, 10_000) is not None


def test_wait_is_cut_by_up_to_half_at_random() -> None:
    assert retry_delay(Failure("UNAVAILABLE", "", None), 1, 100, lambda: 0.0) == pytest.approx(FIRST_DELAY_SECONDS / 2)


def test_server_is_waited_for_at_least_as_long_as_it_asks() -> None:
    assert _longest(Failure("UNAVAILABLE", "SEQUENCER_BUSY", 7.0)) == pytest.approx(7.0)


def test_nobody_waits_beyond_the_time_of_the_call() -> None:
    assert _longest(Failure("UNAVAILABLE", "CLOCK", 60.0), remaining=10) is None
    assert _longest(Failure("UNAVAILABLE", "", None), remaining=0.05) is None
