from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.client.latency import LatencyHistogram

_LATENCIES = st.lists(st.integers(0, 10**11), min_size=1, max_size=200)


def _of(latencies: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.record(latency)
    return histogram


@given(_LATENCIES, st.integers(1, 100))
def test_a_percentile_is_never_below_the_true_one_and_at_most_a_32nd_above(latencies: list[int], percent: int) -> None:
    true = sorted(latencies)[max(-(-percent * len(latencies) // 100), 1) - 1]
    found = _of(latencies).percentile_us(percent / 100)

    assert true <= found <= true + true // 32 + 1


@given(_LATENCIES, _LATENCIES)
def test_two_histograms_add_up_to_that_of_all_latencies(first: list[int], second: list[int]) -> None:
    total = _of(first)
    total.add(_of(second))

    assert total.buckets() == _of(first + second).buckets()
    assert total.count == len(first) + len(second)
    assert total.max_us == max(first + second)


@given(_LATENCIES)
def test_every_latency_is_in_the_first_bucket_that_reaches_it(latencies: list[int]) -> None:
    buckets = _of(latencies).buckets()
    lower = -1
    for highest, count in buckets:
        assert count == sum(lower < latency <= highest for latency in latencies)
        lower = highest


def test_an_empty_histogram_has_no_latency() -> None:
    assert (LatencyHistogram().percentile_us(0.99), LatencyHistogram().buckets()) == (0, [])
