"""Buckets, quotas, admission and patience alone, on a clock that a test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.clock import ManualClock
from ledger.errors import (
    MalformedError,
    OverloadedError,
    QuotaExceededError,
    StalledError,
    TooManyLoginsError,
)
from ledger.rpc.admission import Admission, lane_of
from ledger.rpc.buckets import Buckets
from ledger.rpc.limits import PLACES, CallLimits, Lane, LoginLimits, RateLimits
from ledger.rpc.patience import first_message, timely_messages
from ledger.rpc.quotas import FailedLogins, Quotas, address_of
from ledger.rpc.rules import RULES

_SECOND_US = 1_000_000

# Buckets


def test_a_bucket_gives_its_burst_and_then_what_comes_in() -> None:
    clock = ManualClock()
    buckets: Buckets[str] = Buckets(clock)

    given_at_once = [buckets.take("a", 1, per_second=2, burst=3) for _ in range(4)]

    assert given_at_once == [0, 0, 0, 0.5]
    clock.advance(_SECOND_US // 2)
    assert buckets.take("a", 1, per_second=2, burst=3) == 0
    assert buckets.take("b", 1, per_second=2, burst=3) == 0


def test_more_than_a_burst_is_given_once_and_has_to_be_waited_out() -> None:
    clock = ManualClock()
    buckets: Buckets[str] = Buckets(clock)
    buckets.take("a", 100, per_second=10, burst=10)

    wait = buckets.wait_seconds("a", per_second=10, burst=10)

    assert wait == pytest.approx(9.1)
    clock.advance(int(wait * _SECOND_US))
    assert buckets.take("a", 1, per_second=10, burst=10) == 0


def test_what_was_given_back_can_be_taken_again_and_a_bucket_never_overflows() -> None:
    buckets: Buckets[str] = Buckets(ManualClock())
    buckets.take("a", 1, per_second=1, burst=2)
    for _ in range(5):
        buckets.give_back("a", 1, per_second=1, burst=2)

    assert [buckets.take("a", 1, per_second=1, burst=2) for _ in range(3)] == [0, 0, 1]


def test_a_table_of_buckets_keeps_its_size_and_forgets_the_least_recently_used() -> None:
    buckets: Buckets[int] = Buckets(ManualClock(), max_buckets=3)
    for key in (1, 2, 3, 1, 4):
        buckets.take(key, 5, per_second=1, burst=1)

    assert len(buckets) == 3
    assert buckets.wait_seconds(1, per_second=1, burst=1) > 0
    assert buckets.wait_seconds(2, per_second=1, burst=1) == 0


@given(st.lists(st.tuples(st.integers(0, 2_000_000), st.floats(0.5, 5)), max_size=40))
def test_in_the_long_run_no_more_is_given_than_the_rate_and_one_burst_and_one_debt(
    steps: list[tuple[int, float]],
) -> None:
    clock = ManualClock()
    buckets: Buckets[str] = Buckets(clock)
    taken = 0.0
    for pause, amount in steps:
        clock.advance(pause)
        if not buckets.take("a", amount, per_second=2, burst=4):
            taken += amount

    assert taken <= 4 + 2 * sum(pause for pause, _ in steps) / _SECOND_US + 5 + 1e-6


# Quotas


def test_a_refused_append_uses_up_neither_quota() -> None:
    quotas = Quotas(ManualClock(), RateLimits(events_per_second=1, bytes_per_second=1000, burst_seconds=1))
    quotas.take("key", "key", events=1, size=10)

    with pytest.raises(QuotaExceededError):
        quotas.take("key", "key", events=1, size=500)
    with pytest.raises(QuotaExceededError) as caught:
        quotas.take("key", "key", events=1, size=500)

    assert (caught.value.metadata["quota"], caught.value.retry_seconds) == ("events", 1.0)
    quotas.take("other", "other", events=1, size=500)


@pytest.mark.parametrize(
    ("peer", "address", "is_loopback"),
    [
        ("ipv4:192.0.2.1:5000", "192.0.2.1", False),
        ("ipv4:127.0.0.1:5000", "127.0.0.1", True),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:5000", "2001:db8:1:2::/64", False),
        ("ipv6:[::1]:5000", "::/64", True),
        ("ipv6:%5B::ffff:192.0.2.1%5D:5000", "192.0.2.1", False),
        ("ipv6:[fe80::1%25eth0]:5000", "fe80::/64", False),
        ("unix:", "unix", True),
        ("unknown", "unknown", False),
    ],
)
def test_failures_count_for_an_address_or_a_network(peer: str, address: str, *, is_loopback: bool) -> None:
    assert address_of(peer) == (address, is_loopback)


def test_bad_logins_of_one_address_are_no_other_ones() -> None:
    clock = ManualClock()
    logins = FailedLogins(clock, LoginLimits(burst=2, per_second=1, loopback_factor=10))
    for port in range(2):
        logins.begin(f"ipv4:192.0.2.1:{port}")

    with pytest.raises(TooManyLoginsError):
        logins.begin("ipv4:192.0.2.1:9")
    logins.begin("ipv4:192.0.2.2:9")
    for port in range(20):
        logins.begin(f"ipv4:127.0.0.1:{port}")
    clock.advance(_SECOND_US)
    logins.begin("ipv4:192.0.2.1:9")
    logins.succeeded("ipv4:192.0.2.1:9")
    logins.begin("ipv4:192.0.2.1:9")


# Admission


def _admission(clock: ManualClock, **limits: object) -> Admission:
    return Admission(clock, CallLimits(**limits))  # type: ignore[arg-type]


def _learn(admission: Admission, clock: ManualClock, lane: Lane, *, seconds: float, at_a_time: int = 2) -> None:
    """Let so many calls run at a time, of which one ends after so long each."""
    for _ in range(at_a_time):
        admission.enter(lane)
    for _ in range(30):
        clock.advance(int(seconds * _SECOND_US))
        admission.leave(lane)
        admission.enter(lane)
    for _ in range(at_a_time):
        admission.leave(lane)


def test_each_kind_of_call_has_places_of_its_own() -> None:
    admission = _admission(ManualClock(), places=dict.fromkeys(Lane, 1))
    for lane in Lane:
        admission.enter(lane)

    with pytest.raises(OverloadedError) as caught:
        admission.enter(Lane.READ)
    assert caught.value.metadata == {"kind": "read", "limit": "1"}
    admission.leave(Lane.READ)
    admission.enter(Lane.READ)
    assert admission.running() == dict.fromkeys((lane.value for lane in Lane), 1)


def test_what_would_take_too_long_is_refused_and_told_when_to_come_back() -> None:
    clock = ManualClock()
    admission = _admission(clock, max_wait_seconds=0.05, quick_calls={Lane.BATCH: 2})
    _learn(admission, clock, Lane.BATCH, seconds=0.01)

    for _ in range(6):
        admission.enter(Lane.BATCH)
    with pytest.raises(OverloadedError) as caught:
        admission.enter(Lane.BATCH)

    assert caught.value.retry_seconds == pytest.approx(0.06, rel=0.1)


def test_a_few_are_let_in_however_long_they_take() -> None:
    clock = ManualClock()
    admission = _admission(clock, max_wait_seconds=0.05, quick_calls={Lane.BATCH: 2})
    _learn(admission, clock, Lane.BATCH, seconds=3)

    admission.enter(Lane.BATCH)
    admission.enter(Lane.BATCH)
    with pytest.raises(OverloadedError):
        admission.enter(Lane.BATCH)


def test_a_slow_disk_is_no_overload() -> None:
    clock = ManualClock()
    admission = _admission(clock, max_wait_seconds=0.05, quick_calls={Lane.BATCH: 2})
    _learn(admission, clock, Lane.BATCH, seconds=0.03)
    for _ in range(2):
        admission.enter(Lane.BATCH)

    admission.committed(2_000)
    with pytest.raises(OverloadedError):
        admission.enter(Lane.BATCH)
    for _ in range(10):
        admission.committed(30_000)
    admission.enter(Lane.BATCH)


def test_commits_that_take_long_now_and_then_let_no_more_in() -> None:
    clock = ManualClock()
    admission = _admission(clock, max_wait_seconds=0.05, quick_calls={Lane.BATCH: 2})
    _learn(admission, clock, Lane.BATCH, seconds=0.03)
    for _ in range(2):
        admission.enter(Lane.BATCH)

    for _ in range(10):
        admission.committed(2_000)
        for _ in range(5):
            admission.committed(30_000)
    with pytest.raises(OverloadedError):
        admission.enter(Lane.BATCH)


def _admitted(admission: Admission, lane: Lane, calls: int) -> int:
    """Return how many of so many calls at once are let in."""
    admitted = 0
    for _ in range(calls):
        with contextlib.suppress(OverloadedError):
            admission.enter(lane)
            admitted += 1
    return admitted


def test_a_burst_after_a_quiet_time_is_no_overload() -> None:
    clock = ManualClock()
    admission = _admission(clock)
    _learn(admission, clock, Lane.APPEND, seconds=0.002, at_a_time=1)
    clock.advance(_SECOND_US)

    assert _admitted(admission, Lane.APPEND, 300) == 300


def test_what_ends_a_burst_counts_and_what_comes_after_it_one_by_one_does_not() -> None:
    clock = ManualClock()
    admission = _admission(clock)
    for _ in range(20):
        assert _admitted(admission, Lane.APPEND, 300) == 300
        clock.advance(10_000)
        for _ in range(300):
            admission.leave(Lane.APPEND)
        _learn(admission, clock, Lane.APPEND, seconds=0.002, at_a_time=1)

    # 30,000 a second: more than the places in 0.02 s.
    assert _admitted(admission, Lane.APPEND, 1000) == PLACES[Lane.APPEND]


def test_many_callers_of_a_slow_disk_are_all_let_in() -> None:
    clock = ManualClock()
    admission = _admission(clock)
    for _ in range(64):
        admission.enter(Lane.APPEND)
    running = 64
    for _ in range(20):
        clock.advance(100_000)
        admission.committed(95_000)
        for _ in range(running):
            admission.leave(Lane.APPEND)
        running = _admitted(admission, Lane.APPEND, 256)

    assert running == 256


def test_time_without_calls_makes_nothing_slower() -> None:
    clock = ManualClock()
    admission = _admission(clock, max_wait_seconds=0.05, quick_calls={Lane.BATCH: 2})
    _learn(admission, clock, Lane.BATCH, seconds=0.01)
    clock.advance(3600 * _SECOND_US)
    _learn(admission, clock, Lane.BATCH, seconds=0.01)

    for _ in range(6):
        admission.enter(Lane.BATCH)


def test_reads_are_not_refused_for_their_time() -> None:
    clock = ManualClock()
    admission = _admission(clock)
    _learn(admission, clock, Lane.READ, seconds=3)

    for _ in range(PLACES[Lane.READ]):
        admission.enter(Lane.READ)


def test_a_credential_has_its_share_of_streams_and_gets_it_back() -> None:
    admission = _admission(ManualClock(), of_credential={Lane.READ_STREAM: 1})
    assert admission.enter_as(Lane.READ_STREAM, "a")
    assert admission.enter_as(Lane.READ_STREAM, "b")
    assert not admission.enter_as(Lane.APPEND, "a")

    with pytest.raises(QuotaExceededError):
        admission.enter_as(Lane.READ_STREAM, "a")
    admission.leave_as(Lane.READ_STREAM, "a")
    assert admission.enter_as(Lane.READ_STREAM, "a")


def test_every_method_with_a_credential_is_of_a_kind() -> None:
    kinds = {name.partition("/")[2]: lane_of(name, rule) for name, rule in RULES.items() if not rule.is_open}

    assert kinds["Append"] is Lane.APPEND
    assert kinds["AppendBatch"] is Lane.BATCH
    assert kinds["AppendStream"] is Lane.APPEND_STREAM
    assert kinds["ReadEntries"] is Lane.READ_STREAM
    assert kinds["RevokeApiKey"] is Lane.ADMINISTRATION
    assert kinds["GetInclusionProof"] is Lane.READ


# Patience


async def _messages(*messages: bytes, then_hangs: bool) -> AsyncIterator[bytes]:
    for message in messages:
        yield message
    if then_hangs:
        await asyncio.Event().wait()


def test_a_message_that_does_not_come_is_not_waited_for() -> None:
    with pytest.raises(StalledError, match=r"no message within 0\.01 s"):
        asyncio.run(first_message(_messages(then_hangs=True), 0.01))


def test_a_call_that_ends_without_its_message_is_malformed() -> None:
    with pytest.raises(MalformedError):
        asyncio.run(first_message(_messages(then_hangs=False), 60))


def test_a_stream_may_be_silent_for_longer_once_it_has_begun() -> None:
    seen: list[bytes] = []

    async def read() -> None:
        async for message in timely_messages(_messages(b"a", b"b", then_hangs=True), 60, 0.01):
            seen.append(message)  # noqa: PERF401 - what came before the end counts

    with pytest.raises(StalledError, match=r"within 0\.01 s"):
        asyncio.run(read())
    assert seen == [b"a", b"b"]
