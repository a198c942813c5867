"""The requirement rows of this version, end to end: each test carries its row in its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.client.values import EntryView, Role
from ledger.events.leaf import genesis_hash
from ledger.v1 import admin_pb2, ledger_pb2
from tests.support.served import Served, run_logproof
from tests.support.storage_edit import delete_row, flip_byte, get_row, index_key, set_row

pytestmark = pytest.mark.ci

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


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    with server.client() as client:
        client.append_batch([{**_SEED_EVENT, "target_id": f"user_{number}"} for number in range(_EVENTS)])
    yield server
    server.close()


def _store(served: Served) -> Path:
    return served.data / "logs" / "default" / "store.1"


def _swap(store: Path) -> None:
    keys = [index_key(_DAMAGED), index_key(_DAMAGED + 1)]
    values = [get_row(store, "leaves", key) for key in keys]
    for key, value in zip(keys, reversed(values), strict=True):
        assert value is not None
        set_row(store, "leaves", key, value)


@pytest.mark.parametrize(
    "edit",
    [
        lambda store: flip_byte(store, "leaves", index_key(_DAMAGED), 5),
        lambda store: flip_byte(store, "event_sections", index_key(_DAMAGED), 3),
        lambda store: flip_byte(store, "event_sections", index_key(_DAMAGED), -2),
        lambda store: flip_byte(store, "personal_sections", index_key(_DAMAGED), 20),
        lambda store: delete_row(store, "personal_sections", index_key(_DAMAGED)),
        lambda store: delete_row(store, "event_sections", index_key(_DAMAGED)),
        _swap,
    ],
    ids=["leaf", "event salt", "event", "personal", "personal deleted", "event deleted", "two leaves swapped"],
)
def test_s37_any_change_of_an_entry_breaks_the_chain_and_names_its_index(
    served: Served, edit: Callable[[Path], None]
) -> None:
    served.stop()
    edit(_store(served))
    checked = run_logproof("fsck", "--data", served.data, "--log", "default", "--format", "json")
    assert checked.returncode == 1, checked.stdout
    assert json.loads(checked.stdout)[0]["first_wrong_index"] == _DAMAGED


def test_s37_each_entry_incorporates_the_hash_of_the_entry_before(served: Served) -> None:
    with served.client() as client:
        entries = list(client.read_entries(0))
        previous = genesis_hash(entries[0].head.checkpoint.origin)
    assert len(entries) >= _EVENTS
    for entry in entries:
        assert entry.leaf.previous == previous
        previous = entry.leaf_hash


def test_s38_no_call_changes_or_deletes_an_entry(served: Served) -> None:
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
        "CreateApiKey",
        "RotateApiKey",
        "RevokeApiKey",
        "ConfirmClock",
    }
    with served.client() as client:
        size = client.checkpoint().checkpoint.tree_size
        key = client.create_key(label="reader", roles=[Role.READER])
        client.revoke_key(key.info.key_id)
        assert client.checkpoint().checkpoint.tree_size == size + 2


def test_s38_an_edit_of_the_database_is_seen_by_who_reads(served: Served) -> None:
    flip_byte(_store(served), "event_sections", index_key(_DAMAGED), -2)
    environment = served.environment
    refused = run_logproof("get", str(_DAMAGED), environment=environment)
    assert refused.returncode == 74, refused.stdout + refused.stderr
    assert f"entry {_DAMAGED}" in refused.stderr
    assert run_logproof("get", str(_DAMAGED - 1), environment=environment).returncode == 0


def test_s44_the_requirements_event_is_appended_read_back_and_found_by_its_fields(served: Served) -> None:
    environment = served.environment
    appended = run_logproof("append", "-", "--format", "json", environment=environment, stdin=json.dumps(_SEED_EVENT))
    assert appended.returncode == 0, appended.stderr
    index = json.loads(appended.stdout)["leaf_index"]
    with served.client() as client:
        entry = client.get(index, view=EntryView.FULL)
    assert entry.event is not None
    assert entry.personal is not None
    assert entry.event.action == "user.role.updated"
    assert {found.key: found.value for found in entry.event.metadata} == {"new_role": "admin", "old_role": "member"}
    assert {found.key: found.value for found in entry.personal.metadata} == {
        "ip": "203.0.113.42",
        "user_agent": "Mozilla/5.0",
    }
    assert entry.personal.actor_email == "admin@company.com"


def test_s45_an_action_outside_the_grammar_is_refused_with_the_rule(served: Served) -> None:
    event = json.dumps({**_SEED_EVENT, "action": "UserRoleUpdated"})
    refused = run_logproof("append", "-", environment=served.environment, stdin=event)
    assert refused.returncode == 2
    assert "action" in refused.stderr


def test_s49_the_verification_api_recomputes_and_says_what_against_which_checkpoint(served: Served) -> None:
    with served.client() as client:
        good = client.verify_entry(_DAMAGED)
        assert good.verdict == "verified"
        assert all(check.passed for check in good.checks)
        flip_byte(_store(served), "event_sections", index_key(_DAMAGED), -2)
        bad = client.verify_entry(_DAMAGED)
    assert bad.verdict == "failed"
    assert next(check.name for check in bad.checks if not check.passed) == "event section"
    assert bad.head.checkpoint.tree_size >= _EVENTS


def test_s49_a_receipt_is_verified_offline(served: Served, tmp_path: Path) -> None:
    receipt = tmp_path / "one.tlog-proof"
    made = run_logproof(
        "append", "-", "--receipt", receipt, environment=served.environment, stdin=json.dumps(_SEED_EVENT)
    )
    assert made.returncode == 0, made.stderr
    key = served.verifier_key()
    served.stop()
    assert run_logproof("verify", "receipt", receipt, "--key", key).returncode == 0
    forged = bytearray(receipt.read_bytes())
    forged[forged.index(b"\n", 30) + 12] ^= 1
    receipt.write_bytes(forged)
    assert run_logproof("verify", "receipt", receipt, "--key", key).returncode == 1
