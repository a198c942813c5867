"""The requirement rows of this version, end to end: each test carries its row in its name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.cli.main import main
from ledger.client import Ledger
from ledger.client.values import EntryView, Role
from ledger.errors import InvalidProofError, PermissionMissingError, VerificationError
from ledger.events.event import Target
from ledger.events.leaf import genesis_hash
from ledger.evidence import TrustedLog
from ledger.merkle.ranges import stored_index
from ledger.merkle.verify import verify_consistency
from ledger.notes import parse_verifier_key
from ledger.v1 import admin_pb2, ledger_pb2
from tests.support.served import Served, run_logproof
from tests.support.storage_edit import delete_row, flip_byte, flip_hash, get_row, index_key, row_keys, set_row

_SEED_EVENT = {
    "action": "user.role.updated",
    "actor_id": "user_123",
    "actor_email": "admin@company.com",
    "target_type": "user",
    "target_id": "user_456",
    "metadata": {"old_role": "member", "new_role": "admin", "ip": "203.0.113.42", "user_agent": "Mozilla/5.0"},
    "timestamp": "2026-02-20T14:30:00Z",
}
_EVENTS = 8
_DAMAGED = 5
_LAST_ID = "the-last-event"


def _fill(server: Served) -> None:
    with server.client() as client:
        events = [{**_SEED_EVENT, "target_id": f"user_{number}"} for number in range(_EVENTS)]
        client.append_batch([*events[:-1], {**events[-1], "event_id": _LAST_ID}])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose log nobody damages."""
    server = Served(tmp_path_factory.mktemp("served"))
    _fill(server)
    yield server
    server.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own."""
    server = Served(tmp_path)
    _fill(server)
    yield server
    server.close()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that has stopped."""
    server = Served(tmp_path_factory.mktemp("stopped"))
    _fill(server)
    assert server.stop() == 0
    return server.data


def _store(data: Path) -> Path:
    return data / "logs" / "default" / "store.1"


def _row(store: Path, table: str, key: bytes) -> bytes:
    value = get_row(store, table, key)
    assert value is not None
    return value


def _swap_leaves(store: Path) -> None:
    first, second = index_key(_DAMAGED), index_key(_DAMAGED + 1)
    values = _row(store, "leaves", first), _row(store, "leaves", second)
    set_row(store, "leaves", first, values[1])
    set_row(store, "leaves", second, values[0])


def _replace_by_another_entry(store: Path) -> None:
    for table in ("leaves", "event_sections", "personal_sections"):
        set_row(store, table, index_key(_DAMAGED), _row(store, table, index_key(_DAMAGED - 1)))


def _cut_the_tail(store: Path) -> None:
    for table in ("leaves", "event_sections", "personal_sections"):
        for key in row_keys(store, table):
            if key >= index_key(_DAMAGED):
                delete_row(store, table, key)


def _last_index(store: Path) -> int:
    return int.from_bytes(_row(store, "event_ids", _LAST_ID.encode()), "big")


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        pytest.param(lambda store: flip_byte(store, "leaves", index_key(_DAMAGED), 5), _DAMAGED, id="leaf"),
        pytest.param(lambda store: delete_row(store, "leaves", index_key(_DAMAGED)), _DAMAGED, id="leaf deleted"),
        pytest.param(_swap_leaves, _DAMAGED, id="two leaves swapped"),
        pytest.param(_replace_by_another_entry, _DAMAGED, id="entry put in place of another"),
        pytest.param(_cut_the_tail, _DAMAGED, id="tail cut off"),
        pytest.param(lambda store: flip_byte(store, "event_sections", index_key(_DAMAGED), 3), _DAMAGED, id="salt"),
        pytest.param(lambda store: flip_byte(store, "event_sections", index_key(_DAMAGED), -2), _DAMAGED, id="event"),
        pytest.param(lambda store: delete_row(store, "event_sections", index_key(_DAMAGED)), _DAMAGED, id="no event"),
        pytest.param(
            lambda store: flip_byte(store, "personal_sections", index_key(_DAMAGED), 20), _DAMAGED, id="personal"
        ),
        pytest.param(
            lambda store: delete_row(store, "personal_sections", index_key(_DAMAGED)), _DAMAGED, id="no personal"
        ),
        pytest.param(lambda store: flip_hash(store, stored_index(0, _DAMAGED)), _DAMAGED, id="hash of a leaf"),
        # The node over entries 4 and 5 is complete with entry 5.
        pytest.param(lambda store: flip_hash(store, stored_index(1, _DAMAGED // 2)), _DAMAGED, id="hash of a node"),
        pytest.param(
            lambda store: set_row(store, "event_ids", _LAST_ID.encode(), index_key(1)),
            None,
            id="event id that misleads",
        ),
        pytest.param(lambda store: delete_row(store, "event_ids", _LAST_ID.encode()), None, id="event id deleted"),
    ],
)
def test_s37_any_change_of_stored_rows_is_found_and_the_entry_is_named(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Callable[[Path], None], where: int | None
) -> None:
    data = tmp_path / "data"
    shutil.copytree(stopped, data)
    expected = _last_index(_store(data)) if where is None else where
    edit(_store(data))
    assert main(["fsck", "--data", str(data), "--log", "default", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["first_wrong_index"] == expected


def test_s37_an_untouched_copy_is_clean(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "data")
    assert main(["fsck", "--data", str(tmp_path / "data")]) == 0


def test_s37_each_entry_incorporates_the_hash_of_the_entry_before(served: Served) -> None:
    with served.client() as client:
        entries = list(client.read_entries(0))
        previous = genesis_hash(entries[0].head.checkpoint.origin)
    assert len(entries) >= _EVENTS
    for entry in entries:
        assert entry.leaf.previous == previous
        previous = entry.leaf_hash


def test_s38_no_call_changes_or_deletes_an_entry(own: Served) -> None:
    methods = {
        method.name
        for service in (
            ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
            admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
        )
        for method in service.methods
    }
    changing = {name for name in methods if not name.startswith(("Get", "List", "Read", "BatchGet", "Verify"))}
    # All that changes anything appends, or administers by appending an entry.
    assert changing == {
        "Append",
        "AppendBatch",
        "AppendStream",
        "CreateLog",
        "RetireLog",
        "CreateApiKey",
        "RotateApiKey",
        "RevokeApiKey",
        "ConfirmClock",
    }
    with own.client() as client:
        size = client.checkpoint().checkpoint.tree_size
        key = client.create_key(label="reader", roles=[Role.READER])
        client.revoke_key(key.info.key_id)
        assert client.checkpoint().checkpoint.tree_size == size + 2


def test_s38_an_edit_of_the_database_is_seen_by_who_reads(own: Served) -> None:
    flip_byte(_store(own.data), "event_sections", index_key(_DAMAGED), -2)
    refused = run_logproof("get", str(_DAMAGED), environment=own.environment)
    assert refused.returncode == 74, refused.stdout + refused.stderr
    assert f"entry {_DAMAGED}" in refused.stderr
    assert run_logproof("get", str(_DAMAGED - 1), environment=own.environment).returncode == 0


def test_s44_the_requirements_event_is_appended_and_read_back_with_every_field(served: Served) -> None:
    environment = served.environment
    appended = run_logproof("append", "-", "--format", "json", environment=environment, stdin=json.dumps(_SEED_EVENT))
    assert appended.returncode == 0, appended.stderr
    said = json.loads(appended.stdout)
    with served.client() as client:
        entry = client.get(event_id=said["event_id"], view=EntryView.FULL)
    assert entry.leaf_index == said["leaf_index"]
    event, personal = entry.event, entry.personal
    assert event is not None
    assert event.actor is not None
    assert personal is not None
    assert event.action == "user.role.updated"
    assert event.actor.id == "user_123"
    assert event.targets == (Target("user", "user_456"),)
    assert event.occurred_at == int(datetime(2026, 2, 20, 14, 30, tzinfo=UTC).timestamp()) * 1_000_000
    assert {found.key: found.value for found in event.metadata} == {"new_role": "admin", "old_role": "member"}
    assert {found.key: found.value for found in personal.metadata} == {
        "ip": "203.0.113.42",
        "user_agent": "Mozilla/5.0",
    }
    assert personal.actor_email == "admin@company.com"


def test_s45_an_action_outside_the_grammar_is_refused_with_the_rule(served: Served) -> None:
    event = json.dumps({**_SEED_EVENT, "action": "UserRoleUpdated"})
    refused = run_logproof("append", "-", environment=served.environment, stdin=event)
    assert refused.returncode == 2
    said = " ".join(refused.stderr.split())
    assert "action: is 'UserRoleUpdated' with 15 characters" in said
    assert "two to four segments of lower-case letters, digits and single underscores, separated by dots" in said
    assert "such as user.role.updated" in said


def test_s49_the_verification_api_recomputes_and_says_what_against_which_checkpoint(own: Served) -> None:
    with own.client() as client:
        good = client.verify_entry(_DAMAGED)
        assert good.verdict == "verified"
        assert all(check.passed for check in good.checks)
        flip_byte(_store(own.data), "event_sections", index_key(_DAMAGED), -2)
        bad = client.verify_entry(_DAMAGED)
    assert bad.verdict == "failed"
    assert [check.name for check in bad.checks if not check.passed] == ["event section"]
    assert bad.head.checkpoint.tree_size >= _EVENTS


def test_s49_a_receipt_is_verified_offline(served: Served, tmp_path: Path) -> None:
    receipt = tmp_path / "one.tlog-proof"
    made = run_logproof(
        "append", "-", "--receipt", receipt, environment=served.environment, stdin=json.dumps(_SEED_EVENT)
    )
    assert made.returncode == 0, made.stderr
    offline = {"LOGPROOF_ADDRESS": "127.0.0.1:1"}
    key = served.verifier_key()
    assert run_logproof("verify", "receipt", receipt, "--key", key, environment=offline).returncode == 0
    forged = bytearray(receipt.read_bytes())
    forged[forged.index(b"\n", 30) + 12] ^= 1
    receipt.write_bytes(forged)
    assert run_logproof("verify", "receipt", receipt, "--key", key, environment=offline).returncode == 1


def test_s49_a_later_head_is_proven_to_continue_an_earlier_one_by_the_api_and_offline(
    served: Served, tmp_path: Path
) -> None:
    with served.client() as client:
        old = client.checkpoint()
        client.append(event=_SEED_EVENT)
        new = client.checkpoint()
        proof = client.prove_consistency(old.checkpoint.tree_size, new.checkpoint.tree_size)
    first, second = old.checkpoint, new.checkpoint
    assert second.tree_size > first.tree_size
    verify_consistency(first.tree_size, first.root_hash, second.tree_size, second.root_hash, proof.hashes)
    with pytest.raises(InvalidProofError):
        verify_consistency(first.tree_size, second.root_hash, second.tree_size, second.root_hash, proof.hashes)
    for name, content in (("old", old.note), ("new", new.note)):
        (tmp_path / name).write_bytes(content)
    proved = run_logproof(
        "prove",
        "consistency",
        str(first.tree_size),
        str(second.tree_size),
        "--out",
        tmp_path / "proof.json",
        environment=served.environment,
    )
    assert proved.returncode == 0, proved.stderr
    files = {name: str(tmp_path / name) for name in ("old", "new", "proof.json")}
    command = ["verify", "checkpoint", files["new"], "--since", files["old"], "--proof", files["proof.json"]]
    command += ["--key", served.verifier_key()]
    assert main(command) == 0
    claim = json.loads((tmp_path / "proof.json").read_text())
    claim["proof"][0] = claim["proof"][0][:-2] + ("00" if claim["proof"][0][-2:] != "00" else "01")
    (tmp_path / "proof.json").write_text(json.dumps(claim))
    assert main(command) == 1


def _client_of(served: Served, log: str, api_key: str) -> Ledger:
    return Ledger(
        served.address,
        log=log,
        api_key=api_key,
        verifier_key=served.verifier_key(log),
        state=served.folder / f"state-{log}",
    )


def test_s50_a_key_of_one_environment_does_nothing_in_another(own: Served) -> None:
    with own.client() as client:
        client.create_log("acme-staging")
        production = client.create_key(label="service", roles=[Role.WRITER, Role.READER]).secret
    with _client_of(own, "default", production) as right:
        assert right.append(event=_SEED_EVENT).proves_content
    with _client_of(own, "acme-staging", production) as wrong:
        for call in (
            lambda: wrong.append(event=_SEED_EVENT),
            lambda: wrong.get(0),
            wrong.checkpoint,
            lambda: wrong.prove_inclusion(0),
        ):
            with pytest.raises(PermissionMissingError):
                call()


def test_s50_each_environment_has_its_own_tree_origin_and_signing_key(own: Served) -> None:
    with own.client() as client:
        staging_info = client.create_log("acme-staging")
        default_info = client.get_log()
        before = client.checkpoint()
        with _client_of(own, "acme-staging", own.api_key) as staging:
            receipt = staging.append(event=_SEED_EVENT)
            head = staging.checkpoint()
        # An append to one tree leaves the other as it was.
        assert client.checkpoint().checkpoint == before.checkpoint
    assert staging_info.origin != default_info.origin
    assert staging_info.verifier_key != default_info.verifier_key
    assert head.checkpoint.origin == staging_info.origin
    assert head.checkpoint.tree_size == receipt.leaf_index + 1 < before.checkpoint.tree_size
    # What one log signed is nothing under the key of the other.
    with pytest.raises(VerificationError):
        TrustedLog(parse_verifier_key(default_info.verifier_key)).accept(head.note, [])
