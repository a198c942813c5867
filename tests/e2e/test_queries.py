"""Queries through a real server with its real indexer: what is found, what is refused, and what is left on record."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from ledger.client import AsyncLedger, Ledger
from ledger.client.connection import Connection
from ledger.client.options import Options
from ledger.client.values import Entry, EntryView, Role, TimeBucket
from ledger.clock import ManualClock
from ledger.errors import (
    IndexBehindError,
    InvalidFilterError,
    InvalidRequestError,
    PermissionMissingError,
    VerificationError,
)
from ledger.events.wire import read_event
from ledger.query.typed import TypedFilter
from ledger.v1 import ledger_pb2, query_pb2
from tests.support.live_server import live_server
from tests.support.served import Served, run_logproof

_WANTED: dict[str, Any] = {
    "action": "user.role.updated",
    "actor_id": "user_123",
    "actor_email": "Admin@Company.com",
    "target_type": "user",
    "target_id": "user_456",
    "outcome": "success",
    "timestamp": "2026-02-20T14:30:00Z",
    "ip": "10.1.2.3",
    "request_id": "req-1",
    "session_id": "sess-1",
    "correlation_id": "corr-1",
    "tenant_id": "tenant-1",
    "metadata": {"plan": "pro"},
}
_OTHER: dict[str, Any] = {
    "action": "api_key.created",
    "actor_id": "user_9",
    "actor_email": "other@company.com",
    "target_type": "api_key",
    "target_id": "key_1",
    "outcome": "denied",
    "timestamp": "2026-03-20T14:30:00Z",
    "ip": "192.0.2.1",
    "request_id": "req-2",
    "session_id": "sess-2",
    "correlation_id": "corr-2",
    "tenant_id": "tenant-2",
    "metadata": {"plan": "free"},
}
_OCCURRED = 1_771_597_800_000_000
_HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give a server that all tests here share."""
    server = Served(tmp_path_factory.mktemp("queries"))
    with server.client() as client:
        client.append_batch([_WANTED, _OTHER, {**_WANTED, "actor_id": "user_124", "session_id": "sess-3"}])
    yield server
    server.close()


@pytest.fixture(scope="module")
def client(served: Served) -> Ledger:
    """Give a client that may see personal data."""
    return _reader(served, personal=True)


@pytest.fixture(scope="module")
def without_grant(served: Served) -> Ledger:
    """Give a client that may read events, but nothing personal."""
    return _reader(served, personal=False)


def _reader(served: Served, *, personal: bool) -> Ledger:
    secret = served.client().create_key("a test", [Role.READER], personal=personal).secret
    return Ledger(served.address, api_key=secret, verifier_key=served.verifier_key(), state=served.folder / "state")


def _append(writer: Ledger, event: dict[str, Any]) -> int:
    """Append an event, and return its index."""
    (receipt,) = writer.append_batch([event])
    return receipt.leaf_index


def _ids(entries: Iterable[Entry]) -> list[str]:
    return [entry.event.actor.id for entry in entries if entry.event is not None and entry.event.actor is not None]


_CRITERIA = {
    "occurred": TypedFilter(occurred_from=_OCCURRED, occurred_before=_OCCURRED + _HOUR),
    "actor": TypedFilter(actor_ids=("user_123", "user_124")),
    "actor e-mail": TypedFilter(actor_email="admin@company.com"),
    "action": TypedFilter(actions=("user.role.updated",)),
    "prefix": TypedFilter(actions=("user.*",)),
    "category": TypedFilter(category="authorization"),
    "control": TypedFilter(control="CC6.3"),
    "outcome": TypedFilter(outcome="success"),
    "target": TypedFilter(target_type="user", target_id="user_456"),
    "ip": TypedFilter(ip="10.1.2.3"),
    "network": TypedFilter(ip="10.0.0.0/8"),
    "request": TypedFilter(request_id="req-1"),
    "correlation": TypedFilter(correlation_id="corr-1"),
    "tenant": TypedFilter(tenant_id="tenant-1"),
    "metadata": TypedFilter(metadata={"plan": "pro"}),
}


@pytest.mark.parametrize("name", _CRITERIA)
def test_s46_each_criterion_alone_finds_what_it_says(client: Ledger, name: str) -> None:
    # What the server itself records has outcomes and criteria too.
    assert _ids(client.query("NOT action:ledger.*", where=_CRITERIA[name])) == ["user_124", "user_123"]


def test_s46_a_session_alone_and_the_time_of_recording_find_what_they_say(client: Ledger) -> None:
    assert _ids(client.query(where=TypedFilter(session_id="sess-3"))) == ["user_124"]
    first = next(client.query('actor_id = "user_123"'))
    at = first.leaf.recorded_at
    assert "user_123" in _ids(client.query(where=TypedFilter(recorded_from=at, recorded_before=at + 1)))
    assert "user_123" not in _ids(client.query(where=TypedFilter(recorded_from=at + 1)))
    assert "user_123" not in _ids(client.query(where=TypedFilter(recorded_before=at)))


def test_s46_all_criteria_together_find_the_one_event_that_meets_all(client: Ledger) -> None:
    where = TypedFilter(
        recorded_from=1,
        recorded_before=2**50 * 3,
        occurred_from=_OCCURRED,
        occurred_before=_OCCURRED + 1,
        actor_ids=("user_123",),
        actor_email="admin@company.com",
        actions=("user.*",),
        category="authorization",
        control="CC6.3",
        outcome="success",
        target_type="user",
        target_id="user_456",
        ip="10.0.0.0/8",
        request_id="req-1",
        session_id="sess-1",
        correlation_id="corr-1",
        tenant_id="tenant-1",
        metadata={"plan": "pro"},
    )
    assert _ids(client.query('action = "user.role.updated"', where=where)) == ["user_123"]


def test_s48_the_query_api_gives_verified_pages_counts_and_times(client: Ledger) -> None:
    first = client.query_page('actor_id:"user_12*"', page_size=1)
    second = client.query_page('actor_id:"user_12*"', page_size=1, page_token=first.next_page_token)
    assert _ids([*first.entries, *second.entries]) == ["user_124", "user_123"]
    assert first.head.checkpoint == second.head.checkpoint
    counts = client.count("action:user.* OR action:api_key.*", group_by="action", at_least=first.entries[0].leaf_index)
    assert {group.value: group.count for group in counts.groups} == {"user.role.updated": 2, "api_key.created": 1}
    by_day = client.count('actor_id:"user_12*"', bucket=TimeBucket.DAY)
    assert [(group.begin, group.count) for group in by_day.groups] == [(1_771_545_600_000_000, 2)]


def test_s09_the_story_of_a_session_in_one_call(served: Served) -> None:
    steps = ["auth.login.succeeded", "data.exported", "auth.logout.succeeded"]
    with served.client() as writer:
        for action in steps:
            _append(writer, {"action": action, "actor_id": "teller", "session_id": "story"})
    done = run_logproof(
        "query", "--session-id", "story", "--ascending", "--format", "ndjson", environment=served.environment
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["event"]["action"] for line in done.stdout.splitlines()] == steps


def test_the_client_for_asyncio_finds_and_counts_the_same(served: Served, client: Ledger) -> None:
    text = 'actor_id:"user_12*"'

    async def ask() -> tuple[list[str], list[str], int]:
        async with AsyncLedger(
            served.address,
            api_key=served.api_key,
            verifier_key=served.verifier_key(),
            state=served.folder / "state",
        ) as ledger:
            found = [entry async for entry in ledger.query(text)]
            page = await ledger.query_page(text, page_size=1, ascending=True)
            return _ids(found), _ids(page.entries), (await ledger.count(text)).total

    assert asyncio.run(ask()) == (_ids(client.query(text)), ["user_123"], client.count(text).total)


def test_pages_are_of_one_tree_while_appends_go_on(served: Served, client: Ledger) -> None:
    writer = served.client()
    writer.append_batch([{"action": "page.shown", "tenant_id": "pages"} for _ in range(5)])
    seen: list[int] = []
    sizes = set()
    token = ""
    while True:
        page = client.query_page('tenant_id = "pages"', page_size=2, page_token=token)
        seen += [entry.leaf_index for entry in page.entries]
        sizes.add(page.head.checkpoint.tree_size)
        _append(writer, {"action": "page.shown", "tenant_id": "pages"})
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    assert len(sizes) == 1


def test_what_was_just_appended_is_found(served: Served, client: Ledger) -> None:
    writer = served.client()
    index = 0
    for number in range(20):
        index = _append(writer, {"action": "own.written", "correlation_id": f"own-{number}"})
        (entry,) = client.query(f'correlation_id = "own-{number}"')
        assert entry.leaf_index == index
    assert client.count('action = "own.written"', at_least=index + 1).total == 20


@pytest.mark.parametrize("text", ['actor_email = "a@b.c"', 'cidr(ip, "10.0.0.0/8")', 'NOT metadata.ip = "10.1.2.3"'])
def test_a_filter_on_personal_data_needs_the_grant(without_grant: Ledger, text: str) -> None:
    with pytest.raises(PermissionMissingError):
        list(without_grant.query(text))
    with pytest.raises(PermissionMissingError):
        without_grant.count(text)


@pytest.mark.parametrize("field", ["actor_email", "ip", "request.ip", "metadata.email", "personal_metadata.note"])
def test_counting_by_personal_data_needs_the_grant(without_grant: Ledger, field: str) -> None:
    with pytest.raises(PermissionMissingError):
        without_grant.count(group_by=field)


def test_personal_data_are_shown_with_the_grant_alone(client: Ledger, without_grant: Ledger) -> None:
    (entry,) = client.query('actor_id = "user_123"', view=EntryView.FULL)
    assert entry.personal is not None
    assert entry.personal.actor_email == "Admin@Company.com"
    with pytest.raises(PermissionMissingError):
        list(without_grant.query('actor_id = "user_123"', view=EntryView.FULL))


def test_a_field_that_nothing_is_counted_by_and_a_token_of_another_query_are_refused(
    client: Ledger, without_grant: Ledger
) -> None:
    with pytest.raises(InvalidFilterError):
        client.count(group_by="leaf_index")
    with pytest.raises(InvalidFilterError):
        client.count(group_by='action = "x" OR outcome')
    token = client.query_page(page_size=1).next_page_token
    refused: list[Callable[[], object]] = [
        lambda: client.query_page('outcome = "denied"', page_token=token),
        lambda: client.query_page(page_token=token, ascending=True),
        lambda: without_grant.query_page(page_token=token),
        lambda: client.query_page(page_token="x" * 5_000),
    ]
    for asks in refused:
        with pytest.raises(InvalidRequestError):
            asks()


class _Lying(Connection):
    """A connection whose server lies about queries."""

    change_request: Callable[[query_pb2.QueryEventsRequest], None] = staticmethod(lambda _request: None)
    change_response: Callable[[query_pb2.QueryEventsResponse], None] = staticmethod(lambda _response: None)

    def call(self, choose: Any, request: Any) -> Any:
        if not isinstance(request, query_pb2.QueryEventsRequest):
            return super().call(choose, request)
        self.change_request(request)
        response = super().call(choose, request)
        self.change_response(response)
        return response


def _ask_for_all(request: query_pb2.QueryEventsRequest) -> None:
    request.filter.text = ""


def _ask_for_the_other_order(request: query_pb2.QueryEventsRequest) -> None:
    request.ascending = not request.ascending


def _ask_for_more(request: query_pb2.QueryEventsRequest) -> None:
    request.page_size += 1


def _ask_for_no_proof(request: query_pb2.QueryEventsRequest) -> None:
    request.include_inclusion_proof = False


@pytest.mark.parametrize("lie", [_ask_for_all, _ask_for_the_other_order, _ask_for_more, _ask_for_no_proof])
def test_a_server_that_answers_another_question_is_found_out(
    served: Served, lie: Callable[[query_pb2.QueryEventsRequest], None]
) -> None:
    with _lied_to(served, change_request=staticmethod(lie)) as client, pytest.raises(VerificationError):
        client.query_page('actor_id:"user_12*"', page_size=1 if lie is _ask_for_more else 10)


def _change_a_section(response: query_pb2.QueryEventsResponse) -> None:
    response.entries[0].event.content = response.entries[1].event.content


def _repeat_an_entry(response: query_pb2.QueryEventsResponse) -> None:
    response.entries[1].CopyFrom(response.entries[0])


def _move_an_entry(response: query_pb2.QueryEventsResponse) -> None:
    response.entries[0].leaf_index += 1


@pytest.mark.parametrize("lie", [_change_a_section, _repeat_an_entry, _move_an_entry])
def test_a_server_that_changes_what_it_shows_is_found_out(
    served: Served, lie: Callable[[query_pb2.QueryEventsResponse], None]
) -> None:
    with _lied_to(served, change_response=staticmethod(lie)) as client, pytest.raises(VerificationError):
        client.query_page('actor_id:"user_12*"')


def _lied_to(served: Served, **lies: object) -> Ledger:
    options = Options(
        served.address,
        api_key=served.api_key,
        verifier_key=served.verifier_key(),
        state=served.folder / "state",
    )
    return Ledger.from_options(options, connect=type("Lying", (_Lying,), lies))


def test_an_index_that_is_taken_away_or_damaged_comes_back_and_appends_go_on(served: Served, client: Ledger) -> None:
    writer = served.client()
    folder = served.data / "logs" / "default" / "index"
    for number, harm in enumerate((_take_away, _damage)):
        client.count(at_least=_append(writer, {"action": "index.filled"}) + 1)
        harm(folder)
        index = _append(writer, {"action": "index.harmed", "correlation_id": f"harm-{number}"})
        found: list[int] = []
        for _ in range(20):
            # The client itself tries again while the server says that it is behind.
            try:
                found = [entry.leaf_index for entry in client.query(f'correlation_id = "harm-{number}"')]
            except IndexBehindError:
                continue
            break
        assert found == [index]
        assert _ids(client.query('actor_id:"user_12*"')) == ["user_124", "user_123"]


def test_an_index_is_made_again_beside_the_running_server(served: Served, client: Ledger) -> None:
    client.count(at_least=_append(served.client(), {"action": "index.filled"}) + 1)
    done = run_logproof("reindex", "--data", served.data, "--log", "default")
    assert done.returncode == 0, done.stderr
    size = _append(served.client(), {"action": "index.filled"}) + 1
    assert client.count(at_least=size).head.checkpoint.tree_size >= size
    assert not (served.data / "logs" / "default" / "index" / "REBUILD").exists()


def _take_away(folder: Path) -> None:
    shutil.rmtree(folder)


def _damage(folder: Path) -> None:
    for path in folder.glob("*.sqlite*"):
        # In place: whoever has it open reads the damage.
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)


def test_queries_are_on_record_once_a_minute_with_how_many_followed(tmp_path: Path) -> None:
    clock = ManualClock(1_800_000_000_000_000)
    with live_server(tmp_path / "data", indexes=True, clock=clock) as server:
        stub = server.query()
        request = query_pb2.QueryEventsRequest(log="default", filter=query_pb2.EventFilter(text='outcome = "denied"'))
        personal = query_pb2.EventFilter(text='actor_email = "someone@company.com"')
        # Counting waits for the index.
        counted = query_pb2.CountEventsRequest(log="default", filter=request.filter)
        stub.CountEvents(counted, timeout=30, wait_for_ready=True)
        for _ in range(2):
            stub.QueryEvents(request, timeout=30)
        clock.advance(61_000_000)
        stub.QueryEvents(request, timeout=30)
        stub.QueryEvents(query_pb2.QueryEventsRequest(log="default", filter=personal), timeout=30)
        asked = query_pb2.EventFilter(text='action = "ledger.query.executed"')
        answer = stub.QueryEvents(query_pb2.QueryEventsRequest(log="default", filter=asked, ascending=True), timeout=30)
    events = [read_event(entry.event.content) for entry in answer.entries]
    said = [{item.key: item.value for item in event.metadata} for event in events]
    assert [(entry.get("filter"), entry.get("queries_since_last_record")) for entry in said] == [
        ('outcome = "denied"', None),
        ('outcome = "denied"', 2),
        ("actor_email", None),
    ]


def test_where_queries_cannot_be_recorded_only_those_that_tell_nothing_personal_are_answered(tmp_path: Path) -> None:
    with live_server(tmp_path / "data", indexes=True, http=True) as server:
        stub = server.query()
        # Counting waits for the index.
        stub.CountEvents(query_pb2.CountEventsRequest(log="default"), timeout=30, wait_for_ready=True)
        server.publication.on_mismatch("default", "a test says so")
        clearly = query_pb2.EventFilter(text="NOT tenant_id:*")
        personal = query_pb2.EventFilter(text="NOT actor_email:*")

        def ask(asked: query_pb2.EventFilter, view: ledger_pb2.EntryView.ValueType) -> int:
            request = query_pb2.QueryEventsRequest(log="default", filter=asked, view=view)
            return len(stub.QueryEvents(request, timeout=30).entries)

        # It follows the counting, which is on record, in the same minute.
        assert ask(clearly, ledger_pb2.ENTRY_VIEW_EVENT)
        for asked, view in ((personal, ledger_pb2.ENTRY_VIEW_EVENT), (clearly, ledger_pb2.ENTRY_VIEW_FULL)):
            with pytest.raises(grpc.RpcError) as caught:
                ask(asked, view)
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert server.metric('logproof_queries_unrecorded_total{log="default"}') == 0
        assert ask(clearly, ledger_pb2.ENTRY_VIEW_EVENT)
        assert server.metric('logproof_queries_unrecorded_total{log="default"}') == 1
