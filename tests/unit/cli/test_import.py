from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.cli import import_run, import_sources
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


def _rejects() -> list[tuple[str, int, str]]:
    lines = map(json.loads, Path("import-rejects.ndjson").read_text().splitlines())
    return [(Path(line["file"]).name, line["number"], line["message"]) for line in lines]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-4], id="cut in its trailer"),
        pytest.param(lambda data: data[:30], id="cut in its data"),
        pytest.param(lambda data: data[:-6] + b"\0\0" + data[-4:], id="checksum"),
    ],
)
def test_a_damaged_file_is_one_reject_and_the_other_files_are_imported(
    run: Run, damage: Callable[[bytes], bytes]
) -> None:
    Path("in").mkdir()
    Path("in/a.json.gz").write_bytes(damage(gzip.compress(json.dumps({"Records": [_record(0)]}).encode())))
    Path("in/b.json.gz").write_bytes(gzip.compress(json.dumps({"Records": [_record(1)]}).encode()))

    assert _counts(run, "--from", "cloudtrail", "in") == {"code": 2, "appended": 1, "already_there": 0, "refused": 1}
    ((name, number, message),) = _rejects()
    assert (name, number) == ("a.json.gz", 0)
    assert "not whole gzip data" in message
    again = run("import", "--from", "cloudtrail", "in")
    assert "1 already there, 1 refused" in again.err
    assert "a.json.gz is not whole gzip data" in again.err


@pytest.mark.usefixtures("server")
def test_lines_before_the_damage_of_a_file_are_imported_and_the_reject_says_where_it_ends(run: Run) -> None:
    packed = gzip.compress("".join(_line(number) + "\n" for number in range(3)).encode())
    Path("torn.ndjson").write_bytes(packed[:-6])
    _write("whole.ndjson", [_line(7)])

    counts = _counts(run, "torn.ndjson", "whole.ndjson")
    assert (counts["code"], counts["appended"], counts["refused"]) == (2, 4, 1)
    ((_, _, message),) = _rejects()
    assert "what follows its line 3 was not read" in message


@pytest.mark.usefixtures("server")
def test_a_file_that_is_too_large_is_one_reject(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_sources, "MAX_FILE_BYTES", 300)
    Path("in").mkdir()
    Path("in/a.json").write_text(json.dumps({"Records": [_record(0), _record(1)]}))
    Path("in/b.json").write_text(json.dumps({"Records": [_record(2)]}))

    counts = _counts(run, "--from", "cloudtrail", "in")
    assert (counts["code"], counts["appended"], counts["refused"]) == (2, 1, 1)
    assert _rejects() == [("a.json", 0, "has more than 300 bytes unpacked; cut it into smaller files")]


@pytest.mark.usefixtures("server")
def test_a_bucket_as_cloudtrail_writes_it_is_imported_whole(run: Run) -> None:
    digest = {"awsAccountId": "1", "digestS3Bucket": "b", "digestStartTime": "2023-07-10T11:45:00Z", "logFiles": []}
    insight = {
        "eventTime": "2023-07-10T11:45:00Z",
        "eventID": "insight",
        "insightDetails": {"state": "Start", "eventSource": "s3.amazonaws.com", "eventName": "GetObject"},
    }
    for name, value in (
        ("CloudTrail/a.json", {"Records": [_record(0)]}),
        ("CloudTrail-Digest/b.json", digest),
        ("CloudTrail-Insight/c.json", {"Records": [insight]}),
    ):
        file = Path("AWSLogs/1", name)
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(value))

    ran = run("import", "--from", "cloudtrail", "AWSLogs", "--format", "json")
    found = json.loads(ran.out)
    assert (ran.code, found["records"], found["appended"], found["passed_over"]) == (0, 2, 2, 1)
    assert "1 digest files passed over" in ran.err


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("document", "says"),
    [
        (json.dumps({"Records": [_record(0), _record(1)]}, indent=2), "--from cloudtrail"),
        (json.dumps({"Records": [_record(0)]}), "--from cloudtrail"),
        (json.dumps([{"action": "a.b"}], indent=2), "jq -c '.[]' FILE"),
        (json.dumps({"action": "a.b"}, indent=2), "jq -c '.' FILE"),
    ],
)
def test_a_document_in_place_of_lines_is_one_reject_that_says_what_to_do(run: Run, document: str, says: str) -> None:
    Path("a.json").write_text(document)

    ran = run("import", "a.json")
    assert ran.code == 2
    ((_, number, message),) = _rejects()
    assert number == 0
    assert says in message
    assert says in ran.err


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("packed", [False, True])
def test_records_may_come_from_stdin(run: Run, monkeypatch: pytest.MonkeyPatch, *, packed: bool) -> None:
    lines = "".join(_line(number) + "\n" for number in range(3)).encode()
    _write("more.ndjson", [_line(9)])

    def give_stdin() -> None:
        data = io.BytesIO(gzip.compress(lines) if packed else lines)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(data)))

    give_stdin()
    assert _counts(run, "-", "more.ndjson") == {"code": 0, "appended": 4, "already_there": 0, "refused": 0}
    give_stdin()
    assert _counts(run, "-") == {"code": 0, "appended": 0, "already_there": 3, "refused": 0}
    assert run("import", "-", "-").code == 2


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "record",
    [
        '{"x":NaN}',
        '{"x":-Infinity}',
        '{"x":1e999}',
        '{"action":"a.b","metadata":{"n":1,"n":2}}',
        '{"x":[{"y":1,"y":1}]}',
        '{"x":0.10000000000000000001}',
    ],
)
def test_refused_record_that_json_would_alter_is_kept_as_its_text(run: Run, record: str) -> None:
    _write("b.ndjson", [record])

    assert run("import", "b.ndjson").code == 2
    (line,) = Path("import-rejects.ndjson").read_text().splitlines()
    reject = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert reject["record"] == record


@pytest.mark.usefixtures("server")
def test_refused_record_that_json_keeps_is_kept_as_json(run: Run) -> None:
    _write("a.ndjson", ['{"x": [1.10, 1e3, -0.0, 12345678901234567890, "\\ud800"], "y": {"x": null}}'])

    assert run("import", "a.ndjson").code == 2
    (line,) = Path("import-rejects.ndjson").read_text().splitlines()
    assert json.loads(line)["record"] == {
        "x": [1.1, 1000.0, -0.0, 12345678901234567890, "\ud800"],
        "y": {"x": None},
    }


@pytest.mark.usefixtures("server")
def test_full_disk_below_the_file_of_rejects_is_told_with_its_name(run: Run) -> None:
    _write("a.ndjson", ["{broken"])

    ran = run("import", "a.ndjson", "--rejects", "/dev/full")
    assert ran.code == 2
    assert "/dev/full cannot be written: No space left on device" in ran.err
    assert "--rejects FILE" in ran.err


def test_refusal_of_records_that_were_not_sent_is_no_ones_fault_but_the_servers(run: Run, server: LyingServer) -> None:
    _write("a.ndjson", [_line(number) for number in range(3)])
    problem = BatchProblem(9999, InvalidEventError([FieldViolation("event.action", "is bad")]))
    server.failures = [BatchInvalidError([problem], 10_000)]

    ran = run("import", "a.ndjson")
    assert (ran.code, ran.out) == (1, "")
    assert "0 appended" in ran.err
    assert server.log.leaves == []
