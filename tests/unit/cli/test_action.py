"""The catalogue on the command line: without a server, without settings."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from ledger.catalogue import CATEGORIES, catalogue
from tests.unit.cli.conftest import Run


def _listed(run: Run, *options: str) -> list[dict[str, object]]:
    ran = run("action", "list", "--format", "json", *options)
    assert ran.code == 0
    records: list[dict[str, object]] = json.loads(ran.out)
    return records


def test_list_shows_every_action_of_the_catalogue(run: Run) -> None:
    known = catalogue(1)
    assert known is not None

    assert [record["action"] for record in _listed(run)] == list(known.actions)


def test_list_of_a_control_has_its_actions_alone(run: Run) -> None:
    records = _listed(run, "--control", "cc6.3")

    assert {"user.role.removed", "ledger.key.revoked"} <= {str(record["action"]) for record in records}
    assert all("CC6.3" in str(record["controls"]) for record in records)


def test_list_of_a_series_of_controls_has_those_of_each(run: Run) -> None:
    series = [record["action"] for record in _listed(run, "--control", "CC6")]
    each = {record["action"] for part in "123" for record in _listed(run, "--control", f"CC6.{part}")}

    assert set(series) == each
    assert len(series) == len(each)


def test_list_of_each_category_is_the_whole_list(run: Run) -> None:
    counts = [len(_listed(run, "--category", category)) for category in CATEGORIES]

    assert all(counts)
    assert sum(counts) == len(_listed(run))


def test_list_of_a_control_that_is_not_known_names_those_that_are(run: Run) -> None:
    ran = run("action", "list", "--control", "CC1")

    assert ran.code == 2
    assert "'CC1'" in ran.err
    assert "CC6.1, CC6.2" in ran.err


def test_list_as_csv_has_what_a_spreadsheet_filters_by(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("action", "list", "--format", "csv").out)))

    assert rows[0]["action"] == "auth.login.succeeded"
    assert rows[0]["ocsf_class_uid"] == "3002"
    assert json.loads(rows[0]["required_in_strict"]) == ["actor_type", "outcome", "actor_id", "ip", "auth_method"]


def test_list_as_table_is_a_line_for_each_action(run: Run) -> None:
    lines = run("action", "list", "--control", "CC8.1").out.splitlines()

    assert lines[0].split() == ["ACTION", "CATEGORY", "CONTROLS", "SUMMARY"]
    assert len(lines) == 1 + len(_listed(run, "--control", "CC8.1"))


def test_check_shows_what_is_known_of_an_action(run: Run) -> None:
    ran = run("action", "check", "user.role.updated", "--format", "json")

    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {
        "action": "user.role.updated",
        "listed": True,
        "catalogue_version": 1,
        "written_by": "client",
        "category": "authorization",
        "controls": ["CC6.2", "CC6.3"],
        "points_of_focus": {
            "CC6.2": ["Controls access credentials"],
            "CC6.3": ["Creates or modifies access", "Uses role-based access control"],
        },
        "ocsf_class_uid": 3005,
        "ocsf_class": "User Access Management",
        "ocsf_activity_id": 1,
        "ocsf_activity": "Assign Privileges",
        "core": True,
        "required_in_strict": ["actor_type", "targets", "field_changes"],
        "summary": "Someone's role was replaced by another.",
        "nearest": [],
    }


def test_check_of_an_action_that_is_not_listed_names_the_nearest_and_is_good(run: Run) -> None:
    ran = run("action", "check", "auth.login.success", "--format", "json")

    assert ran.code == 0
    answer = json.loads(ran.out)
    assert (answer["listed"], answer["category"], answer["controls"]) == (False, "other", [])
    assert "auth.login.succeeded" in answer["nearest"]
    assert "did you mean auth.login.succeeded" in ran.err


def test_check_of_an_action_like_no_other_asks_nothing(run: Run) -> None:
    ran = run("action", "check", "xyzzy.q", "--format", "json")

    assert ran.code == 0
    assert json.loads(ran.out)["nearest"] == []
    assert "did you mean" not in ran.err


@pytest.mark.parametrize("text", ["user", "User.created", "a..b", "user.created\n", "", "\x1b[31m.a", "a." * 5000])
def test_check_of_what_is_no_action_tells_the_grammar(run: Run, text: str) -> None:
    ran = run("action", "check", "--", text)

    assert (ran.code, ran.out) == (2, "")
    assert "two to four segments" in ran.err
    assert "\x1b" not in ran.err
    assert len(ran.err) < 600


def test_check_of_what_is_no_action_names_what_may_be_meant(run: Run) -> None:
    assert "user.created" in run("action", "check", "User.Created").err


@pytest.mark.parametrize("action", ["ledger.key.created", "ledger.something.else"])
def test_check_of_an_action_of_the_server_says_that_clients_may_not_write_it(run: Run, action: str) -> None:
    ran = run("action", "check", action, "--format", "json")

    assert ran.code == 0
    assert json.loads(ran.out)["written_by"] == "server"
    assert "only the server writes" in ran.err


def test_the_catalogue_is_shown_without_loading_what_talks_to_servers() -> None:
    code = (
        "import sys; from ledger.cli.main import main\n"
        "codes = [main(['action', 'list']), main(['action', 'check', 'user.created'])]\n"
        "print(codes, [name for name in ('grpc', 'google.protobuf', 'lmdb', 'cryptography', 'rich') "
        "if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert ran.stdout.splitlines()[-1] == "[0, 0] []"
