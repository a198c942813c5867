"""The commands that talk to a server, against one that tells the truth."""

from __future__ import annotations

import io
import json
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.message import Message

from ledger import __version__
from ledger.cli.verdicts import derived_record
from ledger.errors import (
    FilePermissionsError,
    InvalidCredentialsError,
    LogRetiredError,
    OverloadedError,
    PermissionMissingError,
    StorageFormatError,
)
from ledger.events.event import Event
from ledger.events.leaf import Leaf
from ledger.evidence import parse_proofs, parse_receipt
from ledger.notes import open_checkpoint
from ledger.v1 import ledger_pb2, proof_pb2
from tests.support.lying_server import LyingServer, copy_of, first_leaf_for_every_event, no_leaf, old_head
from tests.unit.cli.conftest import Run

FLAT = {"action": "user.role.updated", "actor_id": "user_123", "actor_email": "admin@company.com"}

WHEN = ("--timestamp", "2026-02-20T14:30:00Z")


def _append(run: Run, count: int) -> None:
    """Append events so that there are `count` of them."""
    for number in range(count):
        assert run("append", "user.created", "--event-id", f"id-{number}", *WHEN).code == 0


def test_append_takes_an_action_with_options(run: Run, server: LyingServer) -> None:
    ran = run(
        "append",
        "user.role.updated",
        "--actor=user:user_123",
        "--target=user:user_456",
        "--target=project:p1",
        "--change=role=member:admin",
        "--change=email=a@x:",
        "--metadata=plan=pro",
        "--metadata=ip=192.0.2.1",
        "--outcome=denied",
        "--timestamp=2026-02-20T14:30:00Z",
        "--format=json",
        "--receipt=r.tlog-proof",
        "--with-personal",
    )

    assert ran.code == 0
    answer = json.loads(ran.out)
    assert (answer["outcome"], answer["leaf_index"], answer["level"]) == ("appended", 0, "pinned key, tail unproven")
    shown = json.loads(run("get", "0", "--personal", "--format", "json").out)["event"]
    assert shown.pop("event_id") == answer["event_id"]
    assert [shown.pop(f"source_{part}") for part in ("sdk", "sequence")] == [f"logproof-python/{__version__}", 1]
    assert len(shown.pop("source_boot_id")) == 32
    assert shown == {
        "action": "user.role.updated",
        "actor_type": "user",
        "actor_id": "user_123",
        "targets": [{"type": "user", "id": "user_456"}, {"type": "project", "id": "p1"}],
        "field_changes": [{"path": "role", "old": "member", "new": "admin"}],
        "personal_field_changes": [{"path": "email", "old": "a@x"}],
        "metadata": {"plan": "pro", "ip": "192.0.2.1"},
        "outcome": "denied",
        "timestamp": "2026-02-20T14:30:00Z",
    }
    assert stat.S_IMODE(Path("r.tlog-proof").stat().st_mode) == 0o600
    assert parse_receipt(Path("r.tlog-proof").read_bytes()).personal is not None
    assert run("verify", "receipt", "r.tlog-proof", "--key", server.verifier_key).code == 0


@pytest.mark.usefixtures("server")
def test_append_takes_flat_json_as_argument_and_file(run: Run) -> None:
    Path("event.json").write_text(json.dumps(FLAT))

    assert run("append", json.dumps(FLAT)).code == 0
    assert run("append", "event.json").code == 0
    assert json.loads(run("head", "--format", "json").out)["tree_size"] == 2


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "arguments",
    [
        ("User.x",),
        ("user.created", "--actor", "nobody"),
        ("user.created", "--metadata", "novalue"),
        ("user.created", "--change", "role=x"),
        ("user.created", "--outcome", "fine"),
        ('{"action": "a.b", "unknown": 1}',),
        ("{broken",),
        ("[1]",),
        ("missing.json",),
        ("ledger.key.created",),
        ('{"action": "a.b"}', "--actor", "user:u1"),
    ],
)
def test_append_refuses_bad_input(run: Run, arguments: tuple[str, ...]) -> None:
    ran = run("append", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")


@pytest.mark.usefixtures("server")
def test_get_shows_an_entry_by_index_id_or_hash(run: Run) -> None:
    _append(run, 3)

    by_index = json.loads(run("get", "1", "--format", "json").out)
    assert by_index["event"]["event_id"] == "id-1"
    assert by_index["level"] == "pinned head"
    assert json.loads(run("get", "--event-id", "id-1", "--format", "json").out) == by_index
    assert json.loads(run("get", "--leaf-hash", by_index["leaf_hash"], "--format", "json").out) == by_index
    assert "event.event_id" in run("get", "1").out
    assert run("get", "3").code == 3
    assert run("get", "--event-id", "none").code == 3
    assert run("get").code == 2
    assert run("get", "1", "--event-id", "id-1").code == 2
    assert run("get", "--leaf-hash", "abc").code == 2
    assert run("get", "--", "-1").code == 2


@pytest.mark.usefixtures("server")
def test_get_prints_an_imported_record_byte_for_byte(run: Run) -> None:
    record = b'{"eventVersion":"1.08",  "eventTime":"2023-07-10T11:45:00Z","eventSource":"s3.amazonaws.com",'
    record += '"eventName":"GetObject","eventID":"e-1","userIdentity":{"type":"Root"},"note":"Grüße"}'.encode()
    Path("trail.json").write_bytes(b'{"Records": [' + record + b"]}")
    assert run("import", "--from", "cloudtrail", "trail.json").code == 0

    assert run("get", "0", "--original").out.encode() == record
    _append(run, 1)
    assert run("get", "1", "--original").code == 3


def test_head_prints_the_signed_checkpoint(run: Run, server: LyingServer) -> None:
    _append(run, 2)

    note = run("head", "--format", "note").out.encode()
    assert open_checkpoint(note, server.log.verifier).checkpoint == server.log.checkpoint()
    shown = json.loads(run("head", "--published", "--format", "json").out)
    assert (shown["tree_size"], shown["published_size"], shown["root_hash"]) == (2, 2, server.log.root().hex())


def test_head_gives_an_anchor_all_that_it_needs(run: Run, server: LyingServer) -> None:
    _append(run, 2)
    Path("old.note").write_bytes(server.log.note())
    _append(run, 5)

    ran = run("head", "--since", "old.note", "--out", "anchor")
    assert ran.code == 0
    proof = ("--proof", "anchor/consistency.json", "--key", server.verifier_key)
    assert run("verify", "checkpoint", "anchor/checkpoint", "--since", "old.note", *proof).code == 0
    assert run("head", "--out", "anchor").code == 2
    again = run("head", "--since", "anchor/checkpoint", "--out", "anchor")
    assert again.code == 0
    assert "same" in again.err


def test_head_of_a_fork_exits_6_and_keeps_the_evidence(run: Run, server: LyingServer) -> None:
    _append(run, 3)
    forked = copy_of(server.log, 2)
    event, _ = server.log.sections[2]
    forked.append(event.content, previous=b"\x01" * 32)
    Path("old.note").write_bytes(forked.note())

    ran = run("head", "--since", "old.note", "--out", "anchor")
    assert (ran.code, ran.out) == (6, "")
    assert not Path("anchor/checkpoint").exists()
    assert run("verify", "fork", "anchor/fork.json", "--key", server.verifier_key).code == 6


def test_stale_head_is_shown_with_a_warning(run: Run, server: LyingServer) -> None:
    _append(run, 3)
    server.lie = old_head(server, 2)

    ran = run("head", "--format", "json")
    assert (ran.code, json.loads(ran.out)["stale"]) == (0, True)
    assert "warning: stale: the server's newest head is of size 2; size 3 was seen before" in ran.err
    assert run("get", "1").err.count("warning: stale: ") == 1


def test_what_is_to_be_complete_is_refused_under_a_stale_head(run: Run, server: LyingServer) -> None:
    _append(run, 3)
    server.lie = old_head(server, 2)

    for arguments in (("log", "show"), ("export", "tiles", "tiles")):
        ran = run(*arguments)
        assert (ran.code, ran.out) == (1, "")
        assert "is not complete" in ran.err
    assert not Path("tiles/checkpoint").exists()


def test_anchor_never_goes_back(run: Run, server: LyingServer) -> None:
    _append(run, 2)
    Path("old.note").write_bytes(server.log.note())
    _append(run, 5)
    assert run("head", "--since", "old.note", "--out", "anchor").code == 0
    kept = {path.name: path.read_bytes() for path in Path("anchor").iterdir()}
    server.lie = old_head(server, 3)

    # Below what this user trusts; and, for a user who knows nothing, below what the anchor holds, and below OLD.
    for arguments in (
        ("--since", "old.note"),
        ("--since", "old.note", "--state", "empty-1"),
        ("--since", "anchor/checkpoint", "--state", "empty-2"),
    ):
        ran = run("head", *arguments, "--out", "anchor")
        assert ran.code == 0
        assert "warning: stale: " in ran.err
        assert "warning: anchor is left as it is: the head that the server shows is of tree size 3" in ran.err
        assert {path.name: path.read_bytes() for path in Path("anchor").iterdir()} == kept


def test_anchor_checks_its_own_checkpoint_before_it_trusts_the_server(run: Run, server: LyingServer) -> None:
    _append(run, 3)
    Path("old.note").write_bytes(server.log.note())
    forked = copy_of(server.log, 2)
    for number in range(3):
        forked.append(b"another event %d" % number)
    server.log = forked

    ran = run("head", "--since", "old.note", "--out", "anchor", "--state", "empty")
    assert (ran.code, ran.out) == (6, "")
    assert run("verify", "fork", "anchor/fork.json", "--key", server.verifier_key).code == 6
    (kept,) = Path("empty").glob("*.checkpoint")
    assert kept.read_bytes() == Path("old.note").read_bytes()


def _sizes_kept(path: str) -> list[str]:
    kept = json.loads(Path(path).read_text())
    return [kept[name].split("\n")[1] for name in ("first_note", "second_note")]


def test_anchor_keeps_both_heads_of_a_log_that_was_set_back(run: Run, server: LyingServer) -> None:
    _append(run, 3)
    Path("old.note").write_bytes(server.log.note())
    server.log = copy_of(server.log, 2)

    for state in (("--state", "empty"), ()):
        assert run("head", "--since", "old.note", "--out", "anchor", *state).code == 1
        assert _sizes_kept("anchor/refused.json") == ["3", "2"]
        Path("anchor/refused.json").unlink()
    assert not Path("anchor/checkpoint").exists()


def test_anchor_keeps_both_heads_that_nothing_connects(run: Run, server: LyingServer) -> None:
    _append(run, 2)
    Path("old.note").write_bytes(server.log.note())
    _append(run, 4)

    def prove_nothing(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.GetCheckpointResponse):
            answer.consistency_proof.hashes[:] = [bytes(32)]

    server.lie = prove_nothing
    assert run("head", "--since", "old.note", "--out", "anchor", "--state", "empty").code == 1
    assert _sizes_kept("anchor/refused.json") == ["2", "4"]
    assert not Path("anchor/checkpoint").exists()


def test_anchor_that_holds_something_else_is_not_overwritten(run: Run, server: LyingServer) -> None:
    _append(run, 2)
    Path("old.note").write_bytes(server.log.note())
    Path("anchor").mkdir()
    Path("anchor/checkpoint").write_text("something else")

    assert run("head", "--since", "old.note", "--out", "anchor").code == 2
    assert Path("anchor/checkpoint").read_text() == "something else"


def test_event_id_that_is_there_with_unproven_content_exits_3(run: Run, server: LyingServer) -> None:
    _append(run, 1)
    server.lie = first_leaf_for_every_event(server, ledger_pb2.APPEND_OUTCOME_DUPLICATE_NOT_COMPARED)

    ran = run("append", "user.created", "--event-id", "id-7", *WHEN, "--receipt", "r.tlog-proof")
    assert (ran.code, ran.out) == (3, "")
    assert "nothing proves that it holds what was sent" in ran.err
    assert not Path("r.tlog-proof").exists()


def test_proof_without_the_leaf_is_made_by_leaf_hash(run: Run, server: LyingServer) -> None:
    _append(run, 2)
    server.lie = no_leaf

    assert run("prove", "inclusion", "--leaf-hash", server.log.leaf_hashes[1].hex(), "--out", "p.json").code == 0
    assert run("verify", "proof", "p.json").code == 0
    ran = run("prove", "inclusion", "--index", "1")
    assert ran.code == 4
    assert "hint: ask by the entry's leaf hash" in ran.err


def test_append_whose_head_cannot_be_kept_exits_74_and_says_that_it_is_done(run: Run, server: LyingServer) -> None:
    _append(run, 1)
    assert run("head", "--state", "state").code == 0
    (lock,) = Path("state").glob("*.lock")
    lock.unlink()
    lock.mkdir()

    ran = run("append", "user.created", "--state", "state")
    assert (ran.code, len(server.log.leaves)) == (74, 2)
    assert "the append is done" in ran.err


def test_log_that_was_set_back_exits_1(run: Run, server: LyingServer) -> None:
    _append(run, 3)
    server.log = copy_of(server.log, 2)

    assert run("head").code == 1
    assert run("log", "show").code == 1
    # Going on from there, it signs a second root for a size that was seen before.
    assert run("append", "user.created").code == 6


def test_proofs_are_printed_for_others_to_check(run: Run, server: LyingServer) -> None:
    _append(run, 5)

    inclusion = run("prove", "inclusion", "--index", "2")
    (claim,) = parse_proofs(inclusion.out.encode())
    claim.verify()
    assert run("prove", "inclusion", "--event-id", "id-2", "--size", "4", "--out", "p.json").code == 0
    assert run("verify", "proof", "p.json").code == 0
    (claim,) = parse_proofs(run("prove", "consistency", "2", "4").out.encode())
    claim.verify()
    assert run("prove", "consistency", "3").code == 0
    receipt = ("prove", "inclusion", "--index", "2", "--format", "tlog-proof", "--out", "r.tlog-proof")
    for show in ("leaf", "event", "personal"):
        assert run(*receipt, "--show", show).code == 0
        verified = run("verify", "receipt", "r.tlog-proof", "--key", server.verifier_key, "--format", "json")
        assert (json.loads(verified.out)["event"] is None) == (show == "leaf")


@pytest.mark.usefixtures("server")
def test_an_entry_is_named_in_the_same_ways_by_every_command(run: Run) -> None:
    _append(run, 3)

    for command in (("get",), ("prove", "inclusion")):
        by_option = run(*command, "--index", "2", "--format", "json")
        assert by_option.code == 0
        assert run(*command, "2", "--format", "json").out == by_option.out
        assert run(*command, "--event-id", "id-2", "--format", "json").out == by_option.out


@pytest.mark.usefixtures("server")
def test_a_secret_may_be_given_out_in_a_record_or_in_a_file_and_never_in_both(run: Run) -> None:
    made = json.loads(run("key", "create", "billing", "--role", "writer", "--format", "json").out)
    assert (made["key_id"], made["label"], made["secret"]) == ("key0", "billing", "secret-of-key0")
    rotated = run("key", "rotate", "key0", "--format", "json", "--out", "key")
    assert json.loads(rotated.out)["secret"] is None
    assert Path("key").read_text() == "secret-of-key0-new\n"
    certificate = run("key", "create", "m", "--role", "reader", "--certificate-name", "URI:x", "--format", "json")
    assert json.loads(certificate.out)["secret"] is None


@pytest.mark.usefixtures("server")
def test_service_of_the_environment_stands_in_what_is_appended_in_either_form(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGPROOF_SERVICE", "billing")
    run("append", "user.created")
    run("append", json.dumps(FLAT))
    shown = [json.loads(run("get", str(index), "--format", "json").out)["event"] for index in range(2)]
    assert [event["source_service"] for event in shown] == ["billing", "billing"]


@pytest.mark.usefixtures("server")
def test_proofs_of_what_is_not_there_are_refused(run: Run) -> None:
    _append(run, 2)

    assert run("prove", "inclusion", "--index", "2").code == 3
    assert run("prove", "inclusion", "--index", "0", "--size", "3").code == 3
    assert run("prove", "consistency", "1", "9").code == 3
    assert run("prove", "inclusion", "0", "--index", "0").code == 2
    assert run("get", "0", "--index", "0").code == 2
    assert run("get", "--index", "-1").code == 2
    assert run("prove", "consistency", "2", "1").code == 2
    assert run("prove", "consistency", "0", "1").code == 2
    assert run("prove", "inclusion").code == 2


def test_exported_tiles_verify(run: Run, server: LyingServer) -> None:
    _append(run, 3)

    assert run("export", "tiles", "tiles").code == 0
    assert run("verify", "tiles", "tiles", "--key", server.verifier_key).code == 0
    _append(run, 7)
    assert json.loads(run("export", "tiles", "tiles", "--format", "json").out)["tree_size"] == 7
    assert run("verify", "tiles", "tiles", "--key", server.verifier_key).code == 0
    Path("full").mkdir()
    Path("full/file").touch()
    assert run("export", "tiles", "full").code == 2


def test_log_is_shown_with_its_key_and_verified_head(run: Run, server: LyingServer) -> None:
    first_contact = json.loads(run("log", "show", "--format", "json").out)
    assert first_contact["level"] == "pinned key, tail unproven"
    _append(run, 2)

    shown = json.loads(run("log", "show", "default", "--format", "json").out)
    assert {name: shown[name] for name in ("name", "origin", "verifier_key", "tree_size", "root_hash")} == {
        "name": "default",
        "origin": server.log.signer.name,
        "verifier_key": server.verifier_key,
        "tree_size": 2,
        "root_hash": server.log.root().hex(),
    }
    assert shown["level"] == "pinned head"
    other = run("log", "show", "other", "--format", "json")
    assert json.loads(other.out)["level"] == "UNPINNED"
    assert [log["name"] for log in json.loads(run("log", "list", "--format", "json").out)] == ["default", "other"]
    assert json.loads(run("log", "create", "new", "--format", "json").out)["name"] == "new"
    assert run("log", "confirm-clock").code == 0


def test_log_is_retired_once_that_is_confirmed_and_its_last_head_kept(
    run: Run, server: LyingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    retire = ("log", "retire", "default", "--reason", "moved")
    asked = len(server.requests)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    unconfirmed = run(*retire)
    assert (unconfirmed.code, len(server.requests)) == (2, asked)
    assert "--yes" in unconfirmed.err
    ran = run(*retire, "--yes", "--out", "last.note", "--format", "json")
    assert ran.code == 0
    assert (json.loads(ran.out)["state"], json.loads(ran.out)["state_reason"]) == ("retired", "moved")
    assert Path("last.note").read_bytes() == server.checkpoint().note
    assert "log create NEW --continues last.note" in ran.err


@pytest.mark.parametrize(("typed", "code"), [("default", 0), ("defualt", 2), ("", 2)])
def test_retirement_is_confirmed_by_the_name_of_the_log_on_a_terminal(
    run: Run, server: LyingServer, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    terminal = io.StringIO(f"{typed}\n")
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run("log", "retire", "default", "--reason", "moved").code == code
    assert bool(server.requests) == (code == 0)


def test_append_to_a_retired_log_is_bad_input(run: Run, server: LyingServer) -> None:
    server.failures = [LogRetiredError("the log default is retired", hint="append to the log that goes on from it")]
    ran = run("append", "a.b")
    assert ran.code == 2
    assert "goes on from it" in ran.err


@pytest.mark.usefixtures("server")
def test_secret_is_printed_once_and_alone(run: Run) -> None:
    made = run("key", "create", "billing service", "--role", "writer", "--expires-in-days", "5")
    assert (made.code, made.out) == (0, "secret-of-key0\n")
    assert "secret-of" not in made.err
    (listed,) = json.loads(run("key", "list", "--format", "json").out)
    assert (listed["label"], listed["roles"], listed["revoked_at"]) == ("billing service", ["writer"], None)
    rotated = run("key", "rotate", "key0", "--out", "admin.key")
    assert (rotated.code, rotated.out) == (0, "")
    assert Path("admin.key").read_text() == "secret-of-key0-new\n"
    assert stat.S_IMODE(Path("admin.key").stat().st_mode) == 0o600
    assert json.loads(run("key", "revoke", "key0", "--format", "json").out)["revoked_at"] is not None
    assert run("key", "revoke", "nothing").code == 3
    certificate = run("key", "create", "mtls", "--role", "reader", "--certificate-name", "URI:spiffe://acme/x")
    assert (certificate.code, certificate.out) == (0, "")
    assert run("key", "create", "x", "--role", "emperor").code == 2


def test_without_a_key_everything_is_unpinned_and_said_to_be(
    run: Run, server: LyingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOGPROOF_VERIFIER_KEY")

    ran = run("append", "user.created", "--format", "json")
    assert (ran.code, json.loads(ran.out)["level"]) == (0, "UNPINNED")
    assert ran.err.startswith("UNPINNED: ")
    assert server.verifier_key in ran.err


def test_refusals_of_the_server_have_their_exit_codes(run: Run, server: LyingServer) -> None:
    server.failures = [InvalidCredentialsError("the key is unknown, expired or revoked", hint="ask for a new one")]
    ran = run("append", "user.created")
    assert (ran.code, ran.out) == (4, "")
    assert "--api-key-file FILE or LOGPROOF_API_KEY" in ran.err
    server.failures = [PermissionMissingError("the key may not append")]
    assert run("append", "user.created").code == 4
    server.failures = [OverloadedError("the queue is full")] * 50
    ran = run("append", "user.created", "--timeout", "0.5")
    assert ran.code == 5
    assert ran.err.count("trying again") == 1


def test_server_that_is_not_there_exits_5(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGPROOF_ADDRESS", "127.0.0.1:1")

    ran = run("head", "--timeout", "0.3")
    assert (ran.code, ran.out) == (5, "")
    assert "127.0.0.1:1" in ran.err


def test_plain_text_to_another_machine_is_bad_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGPROOF_API_KEY", "k")
    remote = run("head", "--address", "192.0.2.1:7650")
    assert remote.code == 2
    assert "in the clear" in remote.err


def test_several_entries_are_shown_by_their_indexes(server: LyingServer, run: Run) -> None:
    del server
    for _ in range(3):
        assert run("append", "user.created").code == 0

    shown = run("get", "2", "0", "--format", "ndjson")
    table = run("get", "2", "0")

    assert [json.loads(line)["leaf_index"] for line in shown.out.splitlines()] == [2, 0]
    assert [line.split()[0] for line in table.out.splitlines()] == ["LEAF", "2", "0"]
    assert run("get", "2", "0", "--original").code == 2
    assert run("get", "2", "9").code == 3


@pytest.mark.usefixtures("server")
def test_category_and_controls_are_shown_beside_the_event(run: Run) -> None:
    for action in ("user.role.removed", "project.deleted"):
        assert run("append", action).code == 0
    expected = [("authorization", ["CC6.3"]), ("other", [])]

    for command in (("get", "0", "1"), ("tail", "--no-follow")):
        lines = run(*command, "--format", "ndjson").out.splitlines()
        assert [(shown["category"], shown["controls"]) for shown in map(json.loads, lines)] == expected


def test_nothing_is_derived_from_a_version_of_the_catalogue_that_is_not_known() -> None:
    leaf = Leaf(recorded_at=1, principal=b"p" * 16, catalogue=2, previous=b"h" * 32, event_commitment=b"c" * 32)
    event = Event(event_id="id", action="user.created", occurred_at=1)

    assert derived_record(leaf, event) == {"category": None, "controls": []}
    assert derived_record(replace(leaf, catalogue=1), event) == {"category": "administrative", "controls": ["CC6.2"]}
    assert derived_record(replace(leaf, catalogue=1), None) == {"category": None, "controls": []}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("number", ["\N{ARABIC-INDIC DIGIT FIVE}", "+1", "01", "1_0", " 1", "-1", "1.0"])
def test_index_and_size_have_one_spelling(run: Run, number: str) -> None:
    _append(run, 2)

    for arguments in (("get", number), ("prove", "inclusion", "--index", number), ("prove", "consistency", number)):
        ran = run(*arguments)
        assert (ran.code, ran.out) == (2, "")


def test_missing_section_is_incomplete_unless_that_is_allowed(run: Run, server: LyingServer) -> None:
    _append(run, 1)

    def erase(answer: Message) -> None:
        if isinstance(answer, ledger_pb2.GetEntryResponse):
            entries = [answer.entry]
        elif isinstance(answer, ledger_pb2.ReadEntriesResponse | ledger_pb2.BatchGetEntriesResponse):
            entries = list(answer.entries)
        else:
            return
        for entry in entries:
            entry.event.CopyFrom(proof_pb2.Section(state=proof_pb2.SECTION_STATE_ERASED))

    server.lie = erase
    ran = run("get", "0")
    assert (ran.code, ran.out) == (3, "")
    assert "the event section of entry 0 is erased by the word of the server" in ran.err
    assert "--allow-incomplete" in ran.err
    shown = ("prove", "inclusion", "--index", "0", "--format", "tlog-proof", "--show", "event")
    assert run(*shown).code == 3
    ran = run("get", "0", "--allow-incomplete", "--format", "json")
    found = json.loads(ran.out)
    assert (ran.code, found["is_incomplete"], found["event"]) == (0, True, None)
    assert found["notes"][0] in ran.err
    for command in (("get", "0", "0"), ("tail", "--no-follow")):
        assert run(*command).code == 3
        ran = run(*command, "--allow-incomplete", "--format", "ndjson")
        assert (ran.code, json.loads(ran.out.splitlines()[0])["is_incomplete"]) == (0, True)


def test_state_directory_that_cannot_be_used_is_storage(
    run: Run, server: LyingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("LOGPROOF_STATE", "file")
    ran = run("head")
    assert (ran.code, ran.out) == (74, "")
    assert "LOGPROOF_STATE" in ran.err
    monkeypatch.setenv("LOGPROOF_STATE", "state")
    assert run("head").code == 0
    (kept,) = Path("state").glob("*.checkpoint")
    kept.unlink()
    kept.mkdir()
    assert run("append", "a.b").code == 74
    kept.rmdir()
    kept.write_bytes(bytes(1_000_001))
    assert run("head").code == 74
    assert server.log.leaves == []


def test_fault_of_the_servers_storage_is_no_bad_input(run: Run, server: LyingServer) -> None:
    for error in (FilePermissionsError("a key may be read by others"), StorageFormatError("of a newer version")):
        server.failures = [error]
        assert run("head").code == 74


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("seconds", ["nan", "inf", "1e10", "1e308", "86401", "0", "-1"])
def test_time_that_no_call_can_have_is_bad_input(run: Run, seconds: str) -> None:
    assert run("head", "--timeout", seconds).code == 2
