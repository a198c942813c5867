"""Queries: entries that pass a filter, each verified, and checked against the filter again.

The rule that must not break: what is handed out is in the tree of a verified head and passes the filter. That nothing
was left out cannot be seen from a page; who needs that proven reads the range, or has a bundle made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ledger.catalogue import category_of, controls_of
from ledger.client._reading_many import ReadingMany
from ledger.client._reads import ReadEntry, read_entry
from ledger.client._shared_proof import SharedProof
from ledger.client.trust import Head
from ledger.client.values import Entry, EntryView, EventCount, EventCounts, QueryPage, TimeBucket
from ledger.errors import ContentMismatchError, FieldViolation, InvalidRequestError
from ledger.query.nodes import EVERYTHING, Node, personal_fields
from ledger.query.parser import parse_filter
from ledger.query.predicate import Predicate, QueriedEntry, compile_predicate
from ledger.query.text import format_filter
from ledger.query.typed import TypedFilter, combine
from ledger.v1 import ledger_pb2, query_pb2

MAX_PAGE: Final = 1_000
"""Most entries of a page."""


class Querying(ReadingMany):
    """The querying part of a client."""

    def query(
        self,
        text: str = "",
        *,
        where: TypedFilter | None = None,
        ascending: bool = False,
        limit: int | None = None,
        view: EntryView = EntryView.EVENT,
        at_least: int = 0,
    ) -> Iterator[Entry]:
        """Yield the entries that pass a filter, the newest first, each verified before it is yielded.

        All are of the tree at the first page, however much is appended meanwhile.

        Args:
            text: A filter such as `action = "user.role.updated" AND actor_id = "user_123"`, see docs/filters.md.
            where: The same as typed fields; what both say must hold.
            ascending: Whether the oldest come first.
            limit: Most entries; None for all.
            view: Which parts; personal data needs a credential with the personal grant.
            at_least: Size that the tree must at least have, such as one above the index of an own append.

        Raises:
            InvalidFilterError: The filter is not well-formed, or beyond a limit.
            PermissionMissingError: The filter looks at personal data, and the credential may not read them.
            IndexBehindError: The server's index is not ready.
            VerificationError: Something in the answers does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        remaining = limit
        token = ""
        while remaining is None or remaining > 0:
            size = MAX_PAGE if remaining is None else min(remaining, MAX_PAGE)
            page = self.query_page(
                text,
                where=where,
                ascending=ascending,
                page_size=size,
                page_token=token,
                view=view,
                at_least=at_least,
            )
            yield from page.entries
            token = page.next_page_token
            if not token:
                return
            if remaining is not None:
                remaining -= len(page.entries)

    def query_page(
        self,
        text: str = "",
        *,
        where: TypedFilter | None = None,
        ascending: bool = False,
        page_size: int = 50,
        page_token: str = "",
        view: EntryView = EntryView.EVENT,
        at_least: int = 0,
    ) -> QueryPage:
        """Return a page of what `query` yields.

        Args:
            text: A filter.
            where: The same as typed fields.
            ascending: Whether the oldest come first.
            page_size: Most entries, 1 to 1,000.
            page_token: The token of the page before; empty for the first page.
            view: Which parts.
            at_least: Size that the tree must at least have.

        Raises:
            LedgerError: As for `query`.
        """
        if not 1 <= page_size <= MAX_PAGE:
            raise InvalidRequestError([FieldViolation("page_size", f"is {page_size}; it is 1 to {MAX_PAGE}")])
        node = _node(text, where)
        request = query_pb2.QueryEventsRequest(
            log=self.log,
            filter=_message(node),
            page_size=page_size,
            page_token=page_token,
            ascending=ascending,
            view=ledger_pb2.EntryView.ValueType(view),
            include_inclusion_proof=True,
            at_least=at_least,
        )
        response = self._connection.call(lambda stubs: stubs.query.QueryEvents, request)
        entries = [read_entry(entry, view, allow_incomplete=False) for entry in response.entries]
        head = self.accept(response.checkpoint)
        size = head.checkpoint.tree_size
        _check_size(head, at_least)
        _check_order(entries, page_size, ascending=ascending)
        if entries:
            hashes = {entry.leaf_index: entry.leaf_hash for entry in entries}
            SharedProof(hashes, size, head.checkpoint.root_hash, response.inclusion_proof.hashes)
        # What is personal can be checked only where it is shown.
        if view is EntryView.FULL or not personal_fields(node):
            passes = compile_predicate(node, category_of=category_of, controls_of=controls_of)
            for entry in entries:
                _check_passes(entry, passes, node)
        return QueryPage([entry.under(head) for entry in entries], response.next_page_token, head)

    def count(
        self,
        text: str = "",
        *,
        where: TypedFilter | None = None,
        group_by: str = "",
        bucket: TimeBucket | None = None,
        by_recorded_at: bool = False,
        max_groups: int = 1_000,
        at_least: int = 0,
    ) -> EventCounts:
        """Return how many events pass a filter, by the value of a field, by time, or both.

        Args:
            text: A filter.
            where: The same as typed fields.
            group_by: Field by whose values to count, such as `action` or `metadata.plan`; empty for none.
            bucket: How long the times are by which to count; None for not by time.
            by_recorded_at: Whether times are those of recording; else those at which it happened.
            max_groups: Most groups, the largest first, 1 to 10,000.
            at_least: Size that the tree must at least have.

        Raises:
            LedgerError: As for `query`.
        """
        request = query_pb2.CountEventsRequest(
            log=self.log,
            filter=_message(_node(text, where)),
            group_by=group_by,
            bucket=query_pb2.TimeBucket.ValueType(bucket or 0),
            by_recorded_at=by_recorded_at,
            max_groups=max_groups,
            at_least=at_least,
        )
        response = self._connection.call(lambda stubs: stubs.query.CountEvents, request)
        groups = tuple(EventCount(group.value, group.begin, group.count) for group in response.groups)
        head = self.accept(response.checkpoint)
        _check_size(head, at_least)
        return EventCounts(groups, response.total, response.is_cut, head)


def _node(text: str, where: TypedFilter | None) -> Node:
    return combine(parse_filter(text), EVERYTHING if where is None else where.node())


def _message(node: Node) -> query_pb2.EventFilter:
    return query_pb2.EventFilter(text="" if node == EVERYTHING else format_filter(node))


def _check_size(head: Head, at_least: int) -> None:
    size = head.checkpoint.tree_size
    if size < at_least:
        raise ContentMismatchError(f"a tree of at least {at_least} entries was asked for, and one of {size} queried")


def _check_order(entries: Sequence[ReadEntry], page_size: int, *, ascending: bool) -> None:
    indexes = [entry.leaf_index for entry in entries]
    in_order = sorted(set(indexes), reverse=not ascending)
    if indexes != in_order or len(indexes) > page_size:
        raise ContentMismatchError(f"{page_size} entries in order were asked for, and {indexes[:20]} given")


def _check_passes(entry: ReadEntry, passes: Predicate, node: Node) -> None:
    leaf = entry.leaf
    shown = QueriedEntry(
        entry.leaf_index, leaf.recorded_at, leaf.principal, leaf.catalogue, entry.event, entry.personal
    )
    # An event of a newer schema cannot be read here; its note says so.
    if not passes(shown) and (entry.event is not None or not entry.event_section.content):
        raise ContentMismatchError(f"entry {entry.leaf_index} was given, and does not pass {format_filter(node)}")
