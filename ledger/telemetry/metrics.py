"""Every metric of the server: its name, unit and labels, in one place.

Counters and histograms are told what happened; gauges are asked for when somebody looks, so that they are never old.
The rule that must not break: a label's values are few and the server's own; nothing that a client chooses freely is a
label, except names of logs that exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ENTRIES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_US_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class LogGauges:
    """How one open log stands.

    Attributes:
        name: Name.
        queued_entries: Entries that wait for a commit.
        tree_size: Size of the committed head.
        published_size: Size of the published head.
        indexed_size: Entries that are indexed.
        is_read_only: Whether it takes no appends.
        room_bytes: How much more its store may hold.
        free_bytes: How much of its store is free to be used again.
        reader_lag: How many commits the oldest snapshot of its store is behind.
        scrubbed_at: When its last whole scrub ended, seconds since 1970; 0 for never.
    """

    name: str
    queued_entries: int
    tree_size: int
    published_size: int
    indexed_size: int
    is_read_only: bool
    room_bytes: int = 0
    free_bytes: int = 0
    reader_lag: int = 0
    scrubbed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class CertificateGauges:
    """How the server's TLS files stand.

    Attributes:
        expires_at: When the certificate in use ends, seconds since 1970.
        are_refused: Whether the files have changed and cannot be used, so that the old ones are still in use.
    """

    expires_at: float
    are_refused: bool


class Metrics:
    """The metrics of one server. Thread-safe."""

    def __init__(
        self,
        logs: Callable[[], Iterable[LogGauges]],
        running: Callable[[], Mapping[str, int]] = dict,
        certificates: Callable[[], CertificateGauges | None] = lambda: None,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        """Make all metrics.

        Args:
            logs: Returns how the open logs stand; called for each exposition.
            running: Returns how many calls of each kind run; the same.
            certificates: Returns how the TLS files stand; None without TLS; the same.
            free_bytes: Returns what is free on the volume of the data; None leaves that metric out.
        """
        self._registry = CollectorRegistry()
        self._appended = Counter(
            "logproof_entries_appended", "Entries appended, by log.", ["log"], registry=self._registry
        )
        self._refused = Counter(
            "logproof_events_refused", "Events refused, by reason of the error.", ["reason"], registry=self._registry
        )
        self._reused = Counter(
            "logproof_event_ids_reused",
            "Event ids that came again with other bytes, by log and by the credential that sent them.",
            ["log", "key_id"],
            registry=self._registry,
        )
        self._step = Histogram(
            "logproof_commit_duration_seconds",
            "Time from taking a group of requests to its signed head.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._group = Histogram(
            "logproof_commit_entries", "New entries of a commit.", buckets=_ENTRIES, registry=self._registry
        )
        self._calls = Histogram(
            "logproof_rpc_duration_seconds",
            "Time from the arrival of a call to its end, by method and status code.",
            ["method", "code"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._auth_failures = Counter(
            "logproof_auth_failures", "Calls without a good credential.", registry=self._registry
        )
        self._calls_refused = Counter(
            "logproof_calls_refused",
            "Calls refused or ended to keep the server within its limits, by reason of the error.",
            ["reason"],
            registry=self._registry,
        )
        self._scrubbed = Counter(
            "logproof_scrubbed_entries",
            "Entries that the scrubber found good, by log.",
            ["log"],
            registry=self._registry,
        )
        self._mismatches = Counter(
            "logproof_scrub_mismatches", "Findings of the scrubber, by log.", ["log"], registry=self._registry
        )
        self._unrecorded = Counter(
            "logproof_queries_unrecorded",
            "Queries that were answered though the log could not take their record, by log.",
            ["log"],
            registry=self._registry,
        )
        if free_bytes is not None:
            free = Gauge("logproof_disk_free_bytes", "Bytes free on the volume of the data.", registry=self._registry)
            free.set_function(free_bytes)
        self._registry.register(_LogCollector(logs))
        self._registry.register(_CallCollector(running))
        self._registry.register(_CertificateCollector(certificates))

    def stepped(self, log: str, appended: int, microseconds: int, reused_ids: Mapping[str, int]) -> None:
        """Count a commit: how many entries it added, how long it took, and who sent ids again with other bytes."""
        self._appended.labels(log).inc(appended)
        self._step.observe(microseconds / _US_PER_SECOND)
        self._group.observe(appended)
        for key_id, count in reused_ids.items():
            self._reused.labels(log, key_id).inc(count)

    def refused(self, reason: str, events: int) -> None:
        """Count events that an append call brought and that were refused for this reason."""
        self._refused.labels(reason).inc(events)

    def called(self, method: str, code: str, microseconds: int) -> None:
        """Count a call that ended with the status code of this name."""
        self._calls.labels(method, code).observe(microseconds / _US_PER_SECOND)

    def call_refused(self, reason: str) -> None:
        """Count a call that a limit refused or ended, by the reason of its error."""
        self._calls_refused.labels(reason).inc()

    def authentication_failed(self) -> None:
        """Count a call without a good credential."""
        self._auth_failures.inc()

    def scrubbed(self, log: str, entries: int) -> None:
        """Count entries of a log that the scrubber found good."""
        self._scrubbed.labels(log).inc(entries)

    def scrub_mismatch(self, log: str) -> None:
        """Count something wrong that the scrubber found in a log."""
        self._mismatches.labels(log).inc()

    def query_unrecorded(self, log: str) -> None:
        """Count a query that was answered without a record."""
        self._unrecorded.labels(log).inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, and its content type.

        Args:
            accept: The request's Accept header; may be empty.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _LogCollector(Collector):
    def __init__(self, logs: Callable[[], Iterable[LogGauges]]) -> None:
        self._logs = logs

    def describe(self) -> Iterable[Metric]:
        return _families()

    def collect(self) -> Iterator[Metric]:
        queued, committed, published, indexed, read_only, room, free, lag, scrubbed = _families()
        for log in self._logs():
            queued.add_metric([log.name], log.queued_entries)
            committed.add_metric([log.name], log.tree_size)
            published.add_metric([log.name], log.published_size)
            indexed.add_metric([log.name], log.indexed_size)
            read_only.add_metric([log.name], int(log.is_read_only))
            room.add_metric([log.name], log.room_bytes)
            free.add_metric([log.name], log.free_bytes)
            lag.add_metric([log.name], log.reader_lag)
            scrubbed.add_metric([log.name], log.scrubbed_at)
        yield from (queued, committed, published, indexed, read_only, room, free, lag, scrubbed)


class _CallCollector(Collector):
    def __init__(self, running: Callable[[], Mapping[str, int]]) -> None:
        self._running = running

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("logproof_calls_running", "Calls that run, by kind.", labels=["kind"])
        for kind, count in self._running().items():
            family.add_metric([kind], count)
        yield family


class _CertificateCollector(Collector):
    def __init__(self, certificates: Callable[[], CertificateGauges | None]) -> None:
        self._certificates = certificates

    def collect(self) -> Iterator[Metric]:
        found = self._certificates()
        if found is not None:
            yield GaugeMetricFamily(
                "logproof_tls_certificate_expiry_timestamp_seconds",
                "When the TLS certificate in use ends.",
                value=found.expires_at,
            )
            yield GaugeMetricFamily(
                "logproof_tls_files_refused",
                "1 where new TLS files cannot be used and the old ones are still in use.",
                value=int(found.are_refused),
            )


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("logproof_queue_entries", "Entries that wait for a commit, by open log.", labels=["log"]),
        GaugeMetricFamily("logproof_tree_size_entries", "Size of the committed head, by open log.", labels=["log"]),
        GaugeMetricFamily(
            "logproof_published_size_entries", "Size of the published head, by open log.", labels=["log"]
        ),
        GaugeMetricFamily("logproof_indexed_size_entries", "Entries that are indexed, by open log.", labels=["log"]),
        GaugeMetricFamily("logproof_log_read_only", "1 where an open log takes no appends.", labels=["log"]),
        GaugeMetricFamily(
            "logproof_store_room_bytes", "Bytes that a log's store may still hold, by open log.", labels=["log"]
        ),
        GaugeMetricFamily(
            "logproof_store_free_bytes",
            "Bytes of a log's store that are free to be used again, by open log.",
            labels=["log"],
        ),
        GaugeMetricFamily(
            "logproof_store_reader_lag_commits",
            "Commits that the oldest open snapshot of a log's store is behind, by open log.",
            labels=["log"],
        ),
        GaugeMetricFamily(
            "logproof_scrub_last_pass_timestamp_seconds",
            "When the last whole scrub ended, seconds since 1970, by open log; 0 for never.",
            labels=["log"],
        ),
    )
