"""A damaged entry that nobody reads is found by the server itself, and nothing is signed any more."""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from tests.e2e.test_service_reads import _append, _fetch
from tests.support.calls import failure
from tests.support.live_server import live_server
from tests.support.storage_edit import flip_byte, index_key


def test_the_scrubber_freezes_a_damaged_log_for_good_and_names_the_entry(tmp_path: Path) -> None:
    store = tmp_path / "data" / "logs" / "default" / "store.1"
    with live_server(tmp_path / "data", http=True, scrub_after_seconds=0) as server:
        index = _append(server.ledger()).leaf_index
        watch = health_pb2_grpc.HealthStub(server.channel()).Watch(
            health_pb2.HealthCheckRequest(service="ledger.v1.LedgerService"), timeout=60
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING

        flip_byte(store, "event_sections", index_key(index), -1)
        (store.parent / "scrub.suspect").write_text(f"{index}\n")

        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        assert 'logproof_scrub_mismatches_total{log="default"} 1.0' in _fetch(server, "/metrics")
        refused = failure(lambda: _append(server.ledger()))
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LOG_READ_ONLY")
        assert f"the scrubber found: a section is not what its leaf commits to (entry {index})" in refused.message
    with live_server(tmp_path / "data") as server:
        refused = failure(lambda: _append(server.ledger()))
        assert refused.reason == "LOG_READ_ONLY"
