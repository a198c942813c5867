"""The index finds what the predicate selects, and counts what a loop over the entries counts."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidFilterError
from ledger.events.codec import encode_event, encode_personal, read_facts
from ledger.events.event import Event, MetadataEntry, Outcome, PersonalData, Target
from ledger.index.counts import Buckets, count
from ledger.index.search import Index
from ledger.index.segment import WINDOW_SIZE, Row, SegmentWriter, segment_path
from ledger.index.terms import METADATA_TEXT_MAX, terms_of
from ledger.query import EVERYTHING, Comparison, Node, Operator, QueriedEntry
from ledger.query.addresses import format_address, parse_address
from ledger.query.parser import parse_filter
from ledger.query.predicate import compile_predicate
from ledger.query.values import lower_ascii
from tests.support.filters import FILTERS, category_of, controls_of, entries

ORIGIN = "logs.example/index"
_SEGMENT = 2 * WINDOW_SIZE
_SIZE = 2 * _SEGMENT + 7
# Hundreds of indexes are made, and none has to outlive anything.
_IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Around the ends of windows and files, so that a log of few entries has several of both.
_PLACES = st.sampled_from(
    [
        place
        for edge in range(0, _SIZE, WINDOW_SIZE)
        for place in (edge - 2, edge - 1, edge, edge + 1, edge + 2)
        if 0 <= place < _SIZE
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> list[QueriedEntry]:
    """Return entries with their events, at places of their own, as they were recorded one after the other."""
    places = sorted(draw(st.sets(_PLACES, min_size=1, max_size=8)))
    times = sorted(draw(st.lists(st.integers(1, 2**50), min_size=len(places), max_size=len(places))))
    drawn = draw(st.lists(entries(), min_size=len(places), max_size=len(places)))
    return [
        replace(entry, leaf_index=place, recorded_at=at, event=entry.event or Event(action="gone.away", occurred_at=1))
        for entry, place, at in zip(drawn, places, times, strict=True)
    ]


@contextmanager
def indexed(log: Sequence[QueriedEntry]) -> Iterator[Index]:
    """Give an index of a log most of whose events are not kept."""
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY) as name:
        folder = Path(name)
        for number in range(3):
            writer = SegmentWriter(segment_path(folder, number), number, ORIGIN, size=_SEGMENT)
            while (begin := writer.watermark) < min(writer.end, _SIZE):
                # In two batches a window, so that a posting is added to.
                end = begin + 2 if begin % WINDOW_SIZE == 0 else min(begin + WINDOW_SIZE - 2, _SIZE)
                writer.write([_row(entry) for entry in log if begin <= entry.leaf_index < end], end, b"")
            writer.close()
        yield Index(folder, category_of, controls_of, segment_size=_SEGMENT)


def _row(entry: QueriedEntry) -> Row:
    assert entry.event is not None
    facts = read_facts(encode_event(entry.event), encode_personal(entry.personal) if entry.personal else b"")
    return Row((entry.leaf_index, entry.recorded_at, facts.occurred_at), terms_of(facts, entry.catalogue))


@given(logs(), FILTERS, st.integers(0, _SIZE), st.integers(0, _SIZE), st.booleans())
def test_what_passes_is_found_and_nothing_else_where_the_index_says_so(
    log: list[QueriedEntry], node: Node, begin: int, end: int, descending: bool
) -> None:
    passes = compile_predicate(node, category_of=category_of, controls_of=controls_of)
    expected = [entry.leaf_index for entry in log if begin <= entry.leaf_index < end and passes(entry)]
    with indexed(log) as index:
        windows = list(index.find(node, begin, end, descending=descending))
    found = [place for window in windows for place in window.leaf_indexes]
    assert found == sorted(set(found), reverse=descending)
    assert all(begin <= place < end for place in found)
    assert set(expected) <= set(found)
    sure = {place for window in windows if window.is_exact for place in window.leaf_indexes}
    assert sure <= set(expected)


@pytest.mark.parametrize(
    "text",
    [
        'action = "user.role.updated"',
        "action:user.*",
        'actor_email = "A@b.C"',
        'target = "u/1"',
        'cidr(ip, "10.0.0.0/8")',
        'metadata.k = "user"',
        "metadata.k = 5",
        'category = "user1"',
        'controls:"CC1"',
        'NOT outcome = "denied"',
        "leaf_index > 3 AND leaf_index <= 18446744073709551615",
        'recorded_at < "2030-01-01T00:00:00Z"',
    ],
)
def test_the_questions_that_people_ask_are_answered_by_the_index_alone(text: str) -> None:
    event = Event(action="user.role.updated", occurred_at=1, targets=(Target("u", "1"),))
    log = [QueriedEntry(3, 1, bytes(16), 1, event, None)]
    with indexed(log) as index:
        found = [window.is_exact for window in index.find(parse_filter(text), 0, _SIZE, descending=True)]
    assert all(found)


def test_a_beginning_finds_texts_that_go_on_with_the_last_of_all_characters() -> None:
    event = Event(action="a.b", occurred_at=1, targets=(Target("", "x\U0010ffff\U0010ffff"),), tenant_id="\ud7fb")
    log = [QueriedEntry(3, 1, bytes(16), 1, event, None)]
    with indexed(log) as index:
        for name, text in (("target_id", "x"), ("target_id", "x\U0010ffff"), ("tenant_id", "\ud7fb")):
            node = Comparison(name, Operator.PREFIX, text)
            assert [found.leaf_indexes for found in index.find(node, 0, _SIZE, descending=False)] == [[3]]
        node = Comparison("target_id", Operator.PREFIX, "y")
        assert not list(index.find(node, 0, _SIZE, descending=False))


_GROUPS = (
    "action",
    "category",
    "controls",
    "actor_id",
    "actor_email",
    "target",
    "target_id",
    "target_type",
    "outcome",
    "tenant_id",
    "ip",
    "metadata.k",
    "metadata.email",
    "personal_metadata.k",
)


def _values(name: str, entry: QueriedEntry) -> set[str]:  # noqa: C901, PLR0911 - a table
    event, personal = entry.event or Event(), entry.personal or PersonalData()
    head, _, key = name.partition(".")
    if key:
        sections: list[Event | PersonalData]
        sections = [personal] if head == "personal_metadata" else [event, personal] if key == "email" else [event]
        return {_shown(item.value) for section in sections for item in section.metadata if item.key == key}
    if name == "action":
        return {event.action}
    if name == "category":
        return {category_of(event.action, entry.catalogue) or ""} - {""}
    if name == "controls":
        return set(controls_of(event.action, entry.catalogue))
    if name == "actor_id":
        return {event.actor.id} - {""} if event.actor else set()
    if name == "actor_email":
        return {lower_ascii(personal.actor_email)} - {""}
    if name == "target":
        return {f"{target.type}/{target.id}" for target in event.targets}
    if name in {"target_id", "target_type"}:
        return {getattr(target, name.removeprefix("target_")) for target in event.targets} - (
            {""} if name == "target_type" else set()
        )
    if name == "outcome":
        return {event.outcome.name.lower()} if event.outcome else set()
    if name == "tenant_id":
        return {event.tenant_id} - {""}
    texts = [personal.ip, *(item.value for item in personal.metadata if item.key == "ip")]
    addresses = [parse_address(text) for text in texts if isinstance(text, str)]
    return {format_address(address) for address in addresses if address is not None}


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value[:METADATA_TEXT_MAX]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return str(value)


_BUCKETS = st.none() | st.builds(
    Buckets,
    width=st.just(604_800_000_000),
    offset=st.sampled_from([0, 345_600_000_000]),
    column=st.sampled_from(["occurred_at", "recorded_at"]),
)


@given(logs(), FILTERS, st.sampled_from(("", *_GROUPS)), _BUCKETS, st.sampled_from([1, _SEGMENT + 1, _SIZE]))
def test_counts_are_those_of_a_loop_over_the_entries(
    log: list[QueriedEntry], node: Node, group_by: str, buckets: Buckets | None, size: int
) -> None:
    passes = compile_predicate(node, category_of=category_of, controls_of=controls_of)
    _check_counts(log, node, group_by, buckets, size, [e for e in log if e.leaf_index < size and passes(e)])


@given(logs(), st.sampled_from(("", *_GROUPS)), _BUCKETS, st.sampled_from([1, _SEGMENT + 1, _SIZE]))
def test_counts_of_everything_are_those_of_a_loop_too(
    log: list[QueriedEntry], group_by: str, buckets: Buckets | None, size: int
) -> None:
    _check_counts(log, EVERYTHING, group_by, buckets, size, [entry for entry in log if entry.leaf_index < size])


def _check_counts(
    log: list[QueriedEntry],
    node: Node,
    group_by: str,
    buckets: Buckets | None,
    size: int,
    passing: list[QueriedEntry],
) -> None:
    expected: Counter[tuple[int, str]] = Counter()
    for entry in passing:
        assert entry.event is not None
        at = entry.recorded_at if buckets is not None and buckets.column == "recorded_at" else entry.event.occurred_at
        begin = 0 if buckets is None else buckets.begin(at)
        if group_by:
            expected.update((begin, value) for value in _values(group_by, entry))
        elif buckets is not None:
            expected[begin, ""] += 1
    good = {entry.leaf_index for entry in passing}
    with indexed(log) as index:
        counts = count(
            index,
            node,
            size,
            group_by=group_by,
            buckets=buckets,
            verify=lambda places: [place for place in places if place in good],
        )
    assert counts.total == len(passing)
    if group_by or buckets is not None:
        assert dict(counts.groups) == dict(expected)


def test_an_entry_with_several_targets_is_counted_once_for_each_id() -> None:
    targets = (Target("user", "1"), Target("team", "1"), Target("user", "2"), Target("user", "1"))
    event = Event(action="a.b", occurred_at=1, outcome=Outcome.DENIED, targets=targets)
    log = [QueriedEntry(place, 1, bytes(16), 1, event, None) for place in (0, _SEGMENT)]
    with indexed(log) as index:
        by = {
            name: dict(count(index, EVERYTHING, _SIZE, group_by=name, verify=list).groups)
            for name in ("target_id", "target", "target_type")
        }
    assert by["target_id"] == {(0, "1"): 2, (0, "2"): 2}
    assert by["target"] == {(0, "user/1"): 2, (0, "team/1"): 2, (0, "user/2"): 2}
    assert by["target_type"] == {(0, "user"): 2, (0, "team"): 2}


@pytest.mark.parametrize("name", ["leaf_index", "timestamp", "metadata", "roles", "nothing"])
def test_a_field_by_which_nothing_is_counted_is_refused(name: str) -> None:
    with indexed([]) as index, pytest.raises(InvalidFilterError):
        count(index, EVERYTHING, _SIZE, group_by=name, verify=list)


def test_long_texts_are_found_by_looking_at_the_entries() -> None:
    text = "x" * (METADATA_TEXT_MAX + 1)
    event = Event(action="a.b", occurred_at=1, metadata=(MetadataEntry("k", text),))
    with indexed([QueriedEntry(3, 1, bytes(16), 1, event, None)]) as index:
        (found,) = index.find(Comparison("metadata.k", Operator.EQUALS, text), 0, _SIZE, descending=False)
    assert not found.is_exact
