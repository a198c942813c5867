from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from ledger.client.load import SERVICE, EventSource, LoadPlan, MadeEvent, run_load
from ledger.clock import ManualClock
from ledger.errors import LedgerError, OverloadedError, PermissionMissingError, RemoteError
from ledger.events.codec import check_sections
from ledger.events.wire import read_event

# Far more than any of these runs takes, so that what ends them is their number.
_LONG = 600.0


class Answers:
    """A server that answers each call as it was told, and counts what it was sent."""

    def __init__(self, *errors: LedgerError | None) -> None:
        self._errors = iter(errors)
        self._lock = threading.Lock()
        self.sent: list[int] = []

    def send(self, batch: Sequence[MadeEvent]) -> None:
        with self._lock:
            self.sent.append(len(batch))
            error = next(self._errors, None)
        if error is not None:
            raise error

    def close(self) -> None:
        """Release nothing."""


def test_a_run_ends_with_its_number_of_events() -> None:
    answers = Answers()

    result = run_load(LoadPlan(3, 4, _LONG, 10), answers, ManualClock())

    assert sorted(answers.sent) == [2, 4, 4]
    assert (result.events, result.latencies.count, result.unsent) == (10, 3, 0)


def test_a_run_without_time_begins_no_call() -> None:
    answers = Answers()

    assert run_load(LoadPlan(2, 1, 1e-9, 10), answers, ManualClock()).events == 0
    assert answers.sent == []


def test_refused_calls_are_counted_by_reason_and_not_sent_again() -> None:
    full = RemoteError("full", code="RESOURCE_EXHAUSTED", remote_reason="STORAGE_FULL")
    answers = Answers(OverloadedError("busy"), None, full, OverloadedError("busy"))

    result = run_load(LoadPlan(1, 2, _LONG, 10), answers, ManualClock())

    assert result.refused == {OverloadedError.reason: 2, "STORAGE_FULL": 1}
    assert (len(answers.sent), result.events, result.latencies.count) == (5, 4, 2)


@pytest.mark.parametrize(
    "error",
    [
        PermissionMissingError("no"),
        RemoteError("what", code="INTERNAL", remote_reason="INTERNAL"),
    ],
)
def test_what_would_fail_every_call_ends_the_run(error: LedgerError) -> None:
    answers = Answers(error)

    with pytest.raises(type(error)):
        run_load(LoadPlan(1, 1, _LONG, 1_000_000), answers, ManualClock())
    assert answers.sent == [1]


def test_an_open_loop_sends_what_is_due_up_to_its_number() -> None:
    answers = Answers()

    result = run_load(LoadPlan(2, 1, _LONG, 20, calls_per_second=1e6), answers, ManualClock())

    assert (result.events, result.unsent) == (20, 0)


def test_calls_that_no_caller_was_free_for_are_told() -> None:
    plan = LoadPlan(1, 1, 0.05, 1_000_000, calls_per_second=1e5)

    class Stalls(Answers):
        def send(self, batch: Sequence[MadeEvent]) -> None:
            super().send(batch)
            begin = time.perf_counter()
            while time.perf_counter() - begin < plan.seconds:
                pass

    result = run_load(plan, Stalls(), ManualClock())

    assert result.events == 1
    assert result.unsent > 0


def test_events_of_a_load_are_good_and_say_whose_they_are() -> None:
    for made in EventSource(ManualClock()).batch(20):
        event_id = check_sections(made.sections.event, made.sections.personal)
        source = read_event(made.sections.event).source
        assert source is not None
        assert (source.service, len(event_id)) == (SERVICE, 36)
