"""QueryService: finds and counts events.

The rule that must not break: an answer is that of the log at one size, whose signed head comes with it; and a filter that
looks at personal data needs the right to read them, whatever is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from ledger.auth.roles import Permission
from ledger.catalogue import category_of, controls_of
from ledger.engine.log import Log
from ledger.engine.reader import View
from ledger.engine.records import KEY_PREFIX, Credential
from ledger.errors import IndexBehindError
from ledger.events.event import Value
from ledger.index.counts import Buckets
from ledger.index.queries import Queries
from ledger.index.search import Index
from ledger.index.segment import State
from ledger.query.filter_json import encode_filter
from ledger.query.nodes import Node, personal_fields
from ledger.query.parser import parse_filter
from ledger.query.text import format_filter
from ledger.query.typed import TypedFilter, combine
from ledger.rpc.binding import Call, Later
from ledger.rpc.checks import RequestChecks
from ledger.rpc.convert import VIEWS, checkpoint_message, entry_message
from ledger.rpc.entries import fitting_entries
from ledger.rpc.page_tokens import LIFETIME_US, Place, seal, unseal
from ledger.rpc.parts import Parts
from ledger.rpc.personal import record_entries_shown, shows_personal
from ledger.rpc.query_records import QueryRecords
from ledger.v1 import event_pb2, proof_pb2, query_pb2

QUERY_SERVICE: Final[ServiceDescriptor] = query_pb2.DESCRIPTOR.services_by_name["QueryService"]
"""Descriptor of the service."""

MAX_PAGE: Final = 1_000
"""Most entries of a page."""

MAX_GROUPS: Final = 10_000
"""Most groups of a count."""

_DEFAULT_PAGE: Final = 50
_DEFAULT_GROUPS: Final = 1_000
_WAIT_SECONDS: Final = 5.0
_US_PER_SECOND: Final = 1_000_000
_HOUR_US: Final = 3_600 * _US_PER_SECOND
# 1970 began on a Thursday.
_MONDAY_US: Final = 4 * 24 * _HOUR_US
_BUCKETS: Final = {
    query_pb2.TIME_BUCKET_MINUTE: (60 * _US_PER_SECOND, 0),
    query_pb2.TIME_BUCKET_HOUR: (_HOUR_US, 0),
    query_pb2.TIME_BUCKET_DAY: (24 * _HOUR_US, 0),
    query_pb2.TIME_BUCKET_WEEK: (7 * 24 * _HOUR_US, _MONDAY_US),
}


def query_behaviours(parts: Parts) -> dict[str, Callable[..., object]]:
    """Return the behaviours of QueryService, by method."""
    service = _QueryService(parts)
    return {"QueryEvents": service.query_events, "CountEvents": service.count_events}


class _QueryService:
    """Answers queries."""

    def __init__(self, parts: Parts) -> None:
        """Keep the parts."""
        self._parts = parts
        self._records = QueryRecords(parts.clock, parts.metrics.query_unrecorded)

    def query_events(self, call: Call, request: query_pb2.QueryEventsRequest) -> query_pb2.QueryEventsResponse:
        """Return a page of events."""
        checks = RequestChecks()
        checks.known("view", request.view, VIEWS)
        checks.index("at_least", request.at_least)
        checks.finish()
        node = self._filter(call, request.log, request.filter)
        # More than a page may have is taken for as much as one may.
        limit = min(request.page_size or _DEFAULT_PAGE, MAX_PAGE)
        view = VIEWS[request.view] if request.view else View.EVENT
        with self._parts.registry.use(request.log) as log:
            key = _key_of(log, call)
            query = _identity(request, node)
            place = unseal(request.page_token, query, key, self._parts.clock.now_us()) if request.page_token else None
            self._record(log, call, node, is_personal=view is View.FULL)
            with self._indexed(request.log) as (index, indexed), log.read() as reader:
                # Later pages are of the size that the first one fixed.
                size = place.tree_size if place else reader.head.tree_size
                reader.check_size(max(size, request.at_least))
                cursor = place.cursor if place else 0 if request.ascending else size
                queries = Queries(reader, index, indexed, self._parts.clock, node)
                page = queries.page(size, cursor, limit, descending=not request.ascending)
                entries = list(fitting_entries(reader, page.leaf_indexes, view))
                cut = len(entries) < len(page.leaf_indexes)
                goes_on = _after(entries[-1].leaf_index, request) if cut else page.cursor
                head = reader.checkpoint(size)
                indexes = sorted(entry.leaf_index for entry in entries)
                hashes = (
                    reader.batch_inclusion_proof(indexes, size) if request.include_inclusion_proof and indexes else []
                )
            if shown := shows_personal(entries):
                record_entries_shown(log, self._parts.clock, call.caller, shown)
        ends_at = self._parts.clock.now_us() + LIFETIME_US
        return query_pb2.QueryEventsResponse(
            entries=[entry_message(entry) for entry in entries],
            next_page_token="" if goes_on is None else seal(Place(size, goes_on, ends_at), query, key),
            checkpoint=checkpoint_message(head),
            inclusion_proof=proof_pb2.BatchInclusionProof(leaf_indexes=indexes, tree_size=size, hashes=hashes)
            if request.include_inclusion_proof and indexes
            else None,
        )

    def count_events(
        self, call: Call, request: query_pb2.CountEventsRequest
    ) -> query_pb2.CountEventsResponse | Later[query_pb2.CountEventsResponse]:
        """Count events."""
        checks = RequestChecks()
        checks.known("bucket", request.bucket, query_pb2.TimeBucket.values())
        checks.index("at_least", request.at_least)
        if request.max_groups > MAX_GROUPS:
            checks.refuse("max_groups", f"is {request.max_groups}; the limit is {MAX_GROUPS}")
        checks.finish()
        node = self._filter(call, request.log, request.filter, request.group_by)

        async def counted() -> query_pb2.CountEventsResponse:
            now = self._parts.clock.boottime_us()
            seconds = min((call.wait_until(now) - now) / _US_PER_SECOND, _WAIT_SECONDS)
            await self._parts.indexed.wait(request.log, max(request.at_least, 1), seconds)
            return await self._parts.workers.run(lambda: self._count(call, request, node))

        return counted

    def _count(self, call: Call, request: query_pb2.CountEventsRequest, node: Node) -> query_pb2.CountEventsResponse:
        buckets = None
        if request.bucket:
            width, offset = _BUCKETS[request.bucket]
            buckets = Buckets(width, offset, "recorded_at" if request.by_recorded_at else "occurred_at")
        with self._parts.registry.use(request.log) as log:
            self._record(log, call, node, is_personal=False)
            with self._indexed(request.log) as (index, indexed), log.read() as reader:
                reader.check_size(request.at_least)
                queries = Queries(reader, index, indexed, self._parts.clock, node)
                counts = queries.count(group_by=request.group_by, buckets=buckets, at_least=request.at_least)
                head = reader.checkpoint(queries.indexed_size)
        ordered = sorted(counts.groups.items(), key=lambda group: (-group[1], group[0]))
        shown = ordered[: request.max_groups or _DEFAULT_GROUPS]
        if buckets is not None:
            shown.sort()
        return query_pb2.CountEventsResponse(
            groups=[
                query_pb2.EventCount(value=value, begin=max(begin, 0), count=count) for (begin, value), count in shown
            ],
            total=counts.total,
            is_cut=len(shown) < len(ordered),
            checkpoint=checkpoint_message(head),
        )

    @contextmanager
    def _indexed(self, log: str) -> Iterator[tuple[Index, State]]:
        """Give the index of a log, and what it says of itself before the log is looked at."""
        index = Index(self._parts.registry.directory.index_path(log), category_of, controls_of)
        try:
            yield index, index.head()
        except IndexBehindError:
            # The indexer looks at once; the next try may find it done.
            self._parts.indexed.grew(log)
            raise

    def _filter(self, call: Call, log: str, asked: query_pb2.EventFilter, group_by: str = "") -> Node:
        """Return the filter of a request, which the caller may use.

        Raises:
            InvalidFilterError: It is none.
            PermissionMissingError: It looks at personal data, which the caller may not read.
        """
        node = combine(parse_filter(asked.text), _typed(asked).node())
        grouped = parse_filter(f"{group_by}:*") if group_by else node
        if personal_fields(node) or personal_fields(grouped):
            self._parts.access.authorise(call.caller, log, Permission.READ_PERSONAL)
        return node

    def _record(self, log: Log, call: Call, node: Node, *, is_personal: bool) -> None:
        personal = bool(personal_fields(node))
        # A filter that names a person's data is not repeated in an entry that stays for ever.
        text = ", ".join(personal_fields(node)) if personal else format_filter(node)
        self._records.record(log, call.caller, text, shows_personal=personal or is_personal)


def _typed(asked: query_pb2.EventFilter) -> TypedFilter:
    return TypedFilter(
        recorded_from=asked.recorded_from or None,
        recorded_before=asked.recorded_before or None,
        occurred_from=asked.occurred_from or None,
        occurred_before=asked.occurred_before or None,
        actor_ids=tuple(asked.actor_ids),
        actor_email=asked.actor_email or None,
        actions=tuple(asked.actions),
        category=asked.category or None,
        control=asked.control or None,
        outcome=asked.outcome or None,
        target_type=asked.target_type or None,
        target_id=asked.target_id or None,
        ip=asked.ip or None,
        request_id=asked.request_id or None,
        session_id=asked.session_id or None,
        correlation_id=asked.correlation_id or None,
        tenant_id=asked.tenant_id or None,
        metadata={entry.key: _value(entry.value) for entry in asked.metadata},
    )


def _value(value: event_pb2.Value) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "truth":
        return value.truth == event_pb2.TRUTH_TRUE
    return getattr(value, kind) if kind else ""


def _identity(request: query_pb2.QueryEventsRequest, node: Node) -> bytes:
    """Return what must be the same from page to page."""
    rest = query_pb2.QueryEventsRequest(log=request.log, ascending=request.ascending, view=request.view)
    return rest.SerializeToString(deterministic=True) + b"\0" + encode_filter(node)


def _key_of(log: Log, call: Call) -> bytes:
    """Return what the server knows of a credential, and nobody who has another."""
    value = log.record(KEY_PREFIX + call.caller.key_id)
    secret = Credential.decode(value).secret_hash if value is not None else b""
    return call.caller.key_id.encode() + b"\0" + secret


def _after(leaf_index: int, request: query_pb2.QueryEventsRequest) -> int:
    return leaf_index + 1 if request.ascending else leaf_index
