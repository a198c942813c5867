from __future__ import annotations

from ledger.telemetry.metrics import LogGauges, Metrics


def _text(metrics: Metrics) -> str:
    return metrics.exposition("")[0].decode()


def test_a_commit_is_counted() -> None:
    metrics = Metrics(list)

    metrics.stepped("default", 3, 2_000, {"writerKey001": 2})

    assert 'logproof_entries_appended_total{log="default"} 3.0' in _text(metrics)
    assert 'logproof_event_ids_reused_total{key_id="writerKey001",log="default"} 2.0' in _text(metrics)
    assert "logproof_commit_duration_seconds_sum 0.002" in _text(metrics)
    assert 'logproof_commit_entries_bucket{le="5.0"} 1.0' in _text(metrics)


def test_refusals_calls_and_failed_credentials_are_counted() -> None:
    metrics = Metrics(list)

    metrics.refused("EVENT_INVALID", 7)
    metrics.called("ledger.v1.LedgerService/Append", "OK", 1_500)
    metrics.authentication_failed()

    assert 'logproof_events_refused_total{reason="EVENT_INVALID"} 7.0' in _text(metrics)
    assert 'logproof_rpc_duration_seconds_count{code="OK",method="ledger.v1.LedgerService/Append"} 1.0' in _text(
        metrics
    )
    assert "logproof_auth_failures_total 1.0" in _text(metrics)


def test_logs_are_looked_at_when_somebody_asks() -> None:
    logs: list[LogGauges] = []
    metrics = Metrics(lambda: logs)
    assert "default" not in _text(metrics)

    logs.append(
        LogGauges(
            "default",
            queued_entries=9,
            tree_size=5,
            published_size=4,
            indexed_size=3,
            is_read_only=True,
            room_bytes=7,
            free_bytes=3,
            reader_lag=2,
        )
    )

    for line in (
        'logproof_queue_entries{log="default"} 9.0',
        'logproof_tree_size_entries{log="default"} 5.0',
        'logproof_published_size_entries{log="default"} 4.0',
        'logproof_indexed_size_entries{log="default"} 3.0',
        'logproof_log_read_only{log="default"} 1.0',
        'logproof_store_room_bytes{log="default"} 7.0',
        'logproof_store_free_bytes{log="default"} 3.0',
        'logproof_store_reader_lag_commits{log="default"} 2.0',
    ):
        assert line in _text(metrics)


def test_two_servers_in_one_process_count_for_themselves() -> None:
    first, second = Metrics(list), Metrics(list)

    first.authentication_failed()

    assert "logproof_auth_failures_total 0.0" in _text(second)
