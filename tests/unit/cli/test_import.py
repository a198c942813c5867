from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.cli import import_run
from ledger.cli.import_sources import MAX_LINE_BYTES, Kind, find_files, read_records
from ledger.errors import BatchInvalidError, BatchProblem, FieldViolation, InvalidEventError, OverloadedError
from ledger.v1 import ledger_pb2
from tests.support.lying_server import LyingServer, first_leaf_for_every_event
from tests.unit.cli.conftest import Run


def _line(number: int, **more: object) -> str:
    flat = {"action": "user.created", "actor_id": f"ü{number}", "timestamp": "2026-02-20T14:30:00Z", **more}
    return json.dumps(flat, ensure_ascii=False)


def _record(number: int) -> dict[str, object]:
    return {
        "eventVersion": "1.08",
        "eventTime": "2023-07-10T11:45:00Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "eventID": f"id-{number}",
        "userIdentity": {"type": "IAMUser", "userName": "Zoë"},
    }


def _write(path: str, lines: list[str]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    data = "".join(line + "\n" for line in lines).encode()
    Path(path).write_bytes(gzip.compress(data) if path.endswith(".gz") else data)


def _counts(run: Run, *arguments: str) -> dict[str, int]:
    ran = run("import", *arguments, "--format", "json")
    found = json.loads(ran.out)
    return {"code": ran.code, **{name: found[name] for name in ("appended", "already_there", "refused")}}


def test_files_and_folders_plain_and_gzipped_are_imported_in_order(run: Run, server: LyingServer) -> None:
    _write("in/b.ndjson.gz", [_line(2), _line(3)])
    _write("in/a.ndjson", [_line(0), "", _line(1)])
    _write("in/.hidden.ndjson", ["not read"])
    _write("in/notes.md", ["not read"])
    _write("more.txt", [_line(4)])

    assert _counts(run, "in", "more.txt") == {"code": 0, "appended": 5, "already_there": 0, "refused": 0}
    shown = [json.loads(run("get", str(index), "--format", "json").out)["event"]["actor_id"] for index in range(5)]
    assert shown == [f"ü{number}" for number in range(5)]
    assert len(server.log.leaves) == 5
    assert not Path("import-rejects.ndjson").exists()


@pytest.mark.usefixtures("server")
def test_import_may_be_repeated_and_files_may_overlap(run: Run) -> None:
    _write("a.ndjson", [_line(number) for number in range(20)])
    _write("b.ndjson", [_line(number) for number in range(10, 30)])

    assert _counts(run, "a.ndjson") == {"code": 0, "appended": 20, "already_there": 0, "refused": 0}
    assert _counts(run, "a.ndjson", "b.ndjson") == {"code": 0, "appended": 10, "already_there": 30, "refused": 0}
    assert _counts(run, "b.ndjson", "a.ndjson") == {"code": 0, "appended": 0, "already_there": 40, "refused": 0}


@pytest.mark.usefixtures("server")
def test_equal_lines_of_one_file_stay_apart(run: Run) -> None:
    _write("a.ndjson", [_line(1), _line(1)])

    assert _counts(run, "a.ndjson") == {"code": 0, "appended": 2, "already_there": 0, "refused": 0}
    assert _counts(run, "a.ndjson") == {"code": 0, "appended": 0, "already_there": 2, "refused": 0}


@pytest.mark.usefixtures("server")
def test_refused_lines_are_reported_with_number_and_reason_and_can_be_mended(run: Run) -> None:
    _write("a.ndjson", [_line(0), "{broken", _line(2, action="Bad"), "[]", _line(4, unknown=1), _line(5)])

    ran = run("import", "a.ndjson", "--rejects", "bad.ndjson")
    assert (ran.code, ran.out) == (2, "")
    assert "2 appended, 0 already there, 4 refused" in ran.err
    rejects = [json.loads(line) for line in Path("bad.ndjson").read_text().splitlines()]
    assert [(reject["file"], reject["number"], reject["reason"]) for reject in rejects] == [
        ("a.ndjson", 2, "MALFORMED"),
        ("a.ndjson", 3, "EVENT_INVALID"),
        ("a.ndjson", 4, "MALFORMED"),
        ("a.ndjson", 5, "EVENT_INVALID"),
    ]
    assert rejects[1]["violations"][0]["field"] == "action"
    assert rejects[0]["record"] == "{broken"
    mended = {**rejects[1]["record"], "action": "user.created"}
    _write("mended.ndjson", [json.dumps(mended, ensure_ascii=False)])
    assert _counts(run, "mended.ndjson") == {"code": 0, "appended": 1, "already_there": 0, "refused": 0}


@pytest.mark.usefixtures("server")
def test_id_with_other_content_is_set_aside_and_the_rest_goes_on(run: Run) -> None:
    _write("a.ndjson", [_line(number, event_id=f"id-{number}") for number in range(5)])
    assert run("import", "a.ndjson").code == 0
    _write("b.ndjson", [_line(number, event_id=f"id-{number // 2}") for number in range(12)])

    counts = _counts(run, "b.ndjson")
    assert counts == {"code": 2, "appended": 1, "already_there": 1, "refused": 10}
    rejects = [json.loads(line) for line in Path("import-rejects.ndjson").read_text().splitlines()]
    assert {reject["reason"] for reject in rejects} == {"EVENT_ID_REUSED"}
    assert [reject["number"] for reject in rejects] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]


def test_record_that_only_the_server_refuses_is_set_aside(run: Run, server: LyingServer) -> None:
    _write("a.ndjson", [_line(number) for number in range(5)])
    problem = BatchProblem(3, InvalidEventError([FieldViolation("event.action", "is not in this log's catalogue")]))
    server.failures = [BatchInvalidError([problem], 5)]

    assert _counts(run, "a.ndjson") == {"code": 2, "appended": 4, "already_there": 0, "refused": 1}
    (reject,) = [json.loads(line) for line in Path("import-rejects.ndjson").read_text().splitlines()]
    assert (reject["number"], reject["violations"][0]["field"]) == (4, "event.action")


@pytest.mark.usefixtures("server")
def test_cloudtrail_files_are_imported_in_each_of_their_forms(run: Run) -> None:
    Path("in").mkdir()
    Path("in/delivered.json").write_text(json.dumps({"Records": [_record(0), _record(1)]}))
    Path("in/list.json").write_text(json.dumps([_record(1), _record(2)]))
    Path("in/lines.json.gz").write_bytes(gzip.compress((json.dumps(_record(3)) + "\n").encode()))
    Path("in/SOURCE.md").write_text("not read")

    counts = _counts(run, "--from", "cloudtrail", "in")
    assert counts == {"code": 0, "appended": 4, "already_there": 1, "refused": 0}
    shown = run("get", "0", "--original").out
    assert json.loads(shown) == _record(0)


def test_batches_hold_no_more_than_their_limits(run: Run, server: LyingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_run, "BATCH_EVENTS", 7)
    _write("a.ndjson", [_line(number) for number in range(20)])
    assert run("import", "a.ndjson").code == 0
    monkeypatch.setattr(import_run, "BATCH_BYTES", 1000)
    _write("b.ndjson", [_line(number, description="x" * 400) for number in range(20)])
    assert run("import", "b.ndjson").code == 0

    batches = [request for request in server.requests if isinstance(request, ledger_pb2.AppendBatchRequest)]
    assert [len(batch.sections) for batch in batches[:3]] == [7, 7, 6]
    assert all(sum(len(item.event) + len(item.personal) for item in batch.sections) <= 1000 for batch in batches[3:])
    assert sum(len(batch.sections) for batch in batches) == 40


def test_import_that_is_stopped_says_how_to_go_on_and_goes_on(
    run: Run, server: LyingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_run, "BATCH_EVENTS", 5)
    _write("a.ndjson", [_line(number) for number in range(30)])
    true_read = read_records

    def interrupted(files: list[Path], kind: Kind) -> Iterator[object]:
        for number, record in enumerate(true_read(files, kind)):
            if number == 18:
                raise KeyboardInterrupt
            yield record

    with monkeypatch.context() as patched:
        patched.setattr("ledger.cli.import_sources.read_records", interrupted)
        ran = run("import", "a.ndjson")
    assert ran.code == 130
    assert "15 appended" in ran.err
    assert "run the same command again" in ran.err
    assert len(server.log.leaves) == 15
    assert _counts(run, "a.ndjson") == {"code": 0, "appended": 15, "already_there": 15, "refused": 0}


def test_server_that_goes_away_ends_the_import_with_what_was_done(run: Run, server: LyingServer) -> None:
    _write("a.ndjson", [_line(number) for number in range(3)])
    server.failures = [OverloadedError("busy")] * 100

    ran = run("import", "a.ndjson", "--timeout", "0.4")
    assert (ran.code, ran.out) == (5, "")
    assert "0 appended" in ran.err


@pytest.mark.usefixtures("server")
def test_nothing_to_read_is_bad_input(run: Run) -> None:
    Path("empty").mkdir()

    assert run("import", "missing").code == 2
    assert run("import", "empty").code == 2
    assert run("import").code == 2
    Path("torn.ndjson").write_bytes(gzip.compress(_line(0).encode())[:-4])
    torn = run("import", "torn.ndjson")
    assert torn.code == 2
    assert "not whole gzip data" in torn.err


@pytest.mark.usefixtures("server")
def test_reject_file_that_cannot_be_written_is_told(run: Run) -> None:
    _write("a.ndjson", ["{broken"])

    ran = run("import", "a.ndjson", "--rejects", "no/such/folder.ndjson")
    assert ran.code == 2
    assert "--rejects" in ran.err


def test_line_that_is_too_long_is_refused_and_the_next_is_read(folder: Path) -> None:
    del folder
    _write("a.ndjson", [_line(0), "x" * (2 * MAX_LINE_BYTES + 5), _line(1)])

    records = list(read_records(find_files([Path("a.ndjson")]), Kind.FLAT))
    assert [(record.number, record.error is None) for record in records] == [(1, True), (2, False), (3, True)]


def test_records_that_are_there_by_the_servers_word_alone_are_told_apart(run: Run, server: LyingServer) -> None:
    _write("first.ndjson", [_line(0)])
    _write("more.ndjson", [_line(1)])
    assert run("import", "first.ndjson").code == 0
    server.lie = first_leaf_for_every_event(server, ledger_pb2.APPEND_OUTCOME_DUPLICATE_OF_OTHER_PRINCIPAL)

    ran = run("import", "more.ndjson", "--format", "json")
    found = json.loads(ran.out)
    assert (ran.code, found["appended"], found["already_there"], found["not_compared"]) == (0, 0, 1, 1)
    assert "1 already there (of these 1 with content not compared)" in ran.err
    assert "content not compared: 1 records are there by the server's word" in ran.err


@pytest.mark.usefixtures("server")
def test_a_record_that_is_no_text_is_refused_and_the_import_goes_on(run: Run) -> None:
    broken = '{"action":"user.role.updated","actor_id":"\\ud800","timestamp":"2026-02-20T14:30:00Z"}'
    _write("mixed.ndjson", [broken, _line(1)])
    ran = run("import", "mixed.ndjson", "--format", "json")
    found = json.loads(ran.out)
    assert (ran.code, found["appended"], found["refused"]) == (2, 1, 1)


@pytest.mark.usefixtures("server")
def test_the_file_of_rejects_is_none_of_the_inputs_and_no_link(run: Run) -> None:
    Path("in.ndjson").write_text('{"action":"a"}\n')
    assert run("import", "in.ndjson", "--rejects", "in.ndjson").code == 2
    assert Path("in.ndjson").read_text() == '{"action":"a"}\n'
    Path("precious").write_text("mine")
    Path("link").symlink_to("precious")
    assert run("import", "in.ndjson", "--rejects", "link").code == 2
    assert Path("precious").read_text() == "mine"
