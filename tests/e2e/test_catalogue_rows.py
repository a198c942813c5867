"""The requirement rows about what is recorded: events of each row's actions, through a real server and back, verified.

Each test states category and controls for itself, so that the catalogue is held to the requirement and not to itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ledger.catalogue import CATEGORIES, catalogue
from ledger.client.values import Role
from ledger.errors import InvalidEventError
from ledger.events.actions import CATALOGUE_VERSION, is_reserved, is_wellformed
from tests.support.served import Served, run_logproof

_EVENT = {"actor_type": "user", "actor_id": "user_1", "target_type": "user", "target_id": "user_2"}
_PLAN = [{"path": "plan", "old": "free", "new": "team"}]
_DETAILS: dict[str, dict[str, Any]] = {
    "config.setting.updated": {"field_changes": _PLAN},
    "infra.config.updated": {"field_changes": _PLAN},
    "infra.scaling.changed": {"field_changes": [{"path": "replicas", "old": 2, "new": 6}]},
    "feature_flag.updated": {"field_changes": [{"path": "enabled", "old": False, "new": True}]},
    "data.bulk.accessed": {"data_classification": "personal", "data_record_count": 12_000},
    "data.export.completed": {"data_record_count": 500, "data_byte_count": 1 << 40, "data_destination": "s3://bucket"},
    "deployment.completed": {
        "change_commit": "0123abc",
        "change_approval_reference": "CR-7",
        "change_approval_event_id": "approval-7",
        "change_approvers": ["user_9"],
    },
    "change.request.approved": {"event_id": "approval-7", "correlation_id": "CR-7"},
}

Shown = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def shown(served: Served) -> Shown:
    """What `logproof tail` shows of a log with an event of every action, and of the server's own, by their actions."""
    listed = catalogue(CATALOGUE_VERSION)
    assert listed is not None
    names = [name for name in listed.actions if not is_reserved(name)]
    with served.client() as client:
        client.append_batch(
            [{"action": name, **_EVENT, **_DETAILS.get(name, {})} for name in [*names, "project.deleted"]]
        )
        key = client.create_key(label="service", roles=[Role.WRITER])
        successor = client.rotate_key(key.info.key_id)
        client.revoke_key(successor.info.key_id)
    return {entry["event"]["action"]: entry for entry in _tail(served)}


def _tail(served: Served) -> list[dict[str, Any]]:
    environment = {**served.environment, "LOGPROOF_VERIFIER_KEY": served.verifier_key()}
    tailed = run_logproof("tail", "--since", "0", "--no-follow", "--format", "ndjson", environment=environment)
    assert tailed.returncode == 0, tailed.stderr
    return [json.loads(line) for line in tailed.stdout.splitlines()]


def _check(shown: Shown, category: str, control: str, *actions: str) -> None:
    for action in actions:
        entry = shown[action]
        assert (entry["event"]["action"], entry["event_section"]) == (action, "present")
        assert entry["category"] == category, action
        assert control in entry["controls"], action


def test_s02_mfa_events(shown: Shown) -> None:
    mfa = ("challenged", "succeeded", "failed", "enrolled", "removed")
    _check(shown, "authentication", "CC6.1", *(f"auth.mfa.{what}" for what in mfa))


def test_s03_password_events(shown: Shown) -> None:
    password = ("changed", "reset_requested", "reset_completed")
    _check(shown, "authentication", "CC6.1", *(f"auth.password.{what}" for what in password))


def test_s04_sessions(shown: Shown) -> None:
    _check(shown, "authentication", "CC6.1", "session.created", "session.terminated")


def test_s05_oauth_grants_and_revocations(shown: Shown) -> None:
    _check(shown, "authentication", "CC6.1", "oauth.token.granted", "oauth.token.revoked")


def test_s06_api_keys_of_services_and_of_the_ledger(shown: Shown) -> None:
    life = ("created", "used", "rotated", "revoked", "deleted")
    _check(shown, "authentication", "CC6.1", *(f"api_key.{what}" for what in life))
    _check(shown, "authentication", "CC6.1", *(f"ledger.key.{what}" for what in ("created", "rotated", "revoked")))


def test_s10_administration_of_users_permissions_and_roles(shown: Shown) -> None:
    permissions = [f"permission.{what}" for what in ("granted", "updated", "revoked")]
    roles = [f"role.{what}" for what in ("created", "updated", "deleted")]
    _check(shown, "authorization", "CC7.2", *permissions, *roles)
    _check(shown, "administrative", "CC7.2", "user.updated")
    _check(shown, "administrative", "CC6.2", "user.created", "user.deleted")


def test_s11_configuration_changes_with_the_values_before_and_after(shown: Shown) -> None:
    _check(shown, "administrative", "CC7.2", "config.setting.updated")
    _check(shown, "system", "CC8.1", "infra.config.updated")
    assert shown["config.setting.updated"]["event"]["field_changes"] == _PLAN
    assert shown["infra.config.updated"]["event"]["field_changes"] == _PLAN


def test_s12_data_access_export_and_bulk_with_counts(shown: Shown) -> None:
    records = [f"data.record.{what}" for what in ("created", "read", "updated", "deleted")]
    _check(shown, "data", "CC7.2", *records, "data.bulk.accessed", "data.export.requested", "data.export.completed")
    assert shown["data.bulk.accessed"]["event"]["data_record_count"] == 12_000
    assert shown["data.export.completed"]["event"]["data_byte_count"] == 1 << 40


def test_s18_infrastructure_and_scaling(shown: Shown) -> None:
    _check(shown, "system", "CC8.1", "infra.scaling.changed", "infra.config.updated")
    assert shown["infra.scaling.changed"]["event"]["field_changes"] == [{"path": "replicas", "old": 2, "new": 6}]


def test_s19_database_migrations(shown: Shown) -> None:
    _check(shown, "system", "CC8.1", "db.migration.executed", "db.migration.failed")


def test_s20_feature_flags_with_the_values_before_and_after(shown: Shown) -> None:
    flags = [f"feature_flag.{what}" for what in ("created", "updated", "deleted")]
    _check(shown, "administrative", "CC8.1", *flags)
    assert shown["feature_flag.updated"]["event"]["field_changes"] == [{"path": "enabled", "old": False, "new": True}]


def test_s21_third_party_integrations(shown: Shown) -> None:
    _check(shown, "administrative", "CC8.1", "integration.config.updated")


def test_s22_a_deployment_names_the_approval_that_it_rests_on(shown: Shown) -> None:
    _check(
        shown, "administrative", "CC8.1", *(f"change.request.{what}" for what in ("created", "approved", "rejected"))
    )
    _check(shown, "system", "CC8.1", "deployment.completed")
    approval, deployment = shown["change.request.approved"]["event"], shown["deployment.completed"]["event"]
    assert deployment["change_approval_event_id"] == approval["event_id"]
    assert deployment["change_approval_reference"] == approval["correlation_id"]
    assert deployment["change_approvers"] == ["user_9"]


def test_s23_registration_and_account_creation(shown: Shown) -> None:
    _check(shown, "administrative", "CC6.2", "user.registered", "user.created")


def test_s24_invitations(shown: Shown) -> None:
    _check(shown, "administrative", "CC6.2", "user.invitation.sent", "user.invitation.accepted")


def test_s25_role_assignment_and_changes(shown: Shown) -> None:
    _check(shown, "authorization", "CC6.2", "user.role.assigned", "user.role.updated")


def test_s26_deactivation_and_deletion(shown: Shown) -> None:
    _check(shown, "administrative", "CC6.2", "user.deactivated", "user.deleted")


def test_s27_credential_rotation(shown: Shown) -> None:
    _check(shown, "authentication", "CC6.2", "credential.rotated", "api_key.rotated", "ledger.key.rotated")


def test_s28_deprovisioning(shown: Shown) -> None:
    _check(shown, "administrative", "CC6.3", "user.deprovision.requested", "user.deprovision.completed")


def test_s29_permission_revocations(shown: Shown) -> None:
    _check(shown, "authorization", "CC6.3", "permission.revoked", "user.role.removed")


def test_s30_api_key_revocations(shown: Shown) -> None:
    _check(shown, "authentication", "CC6.3", "api_key.revoked", "ledger.key.revoked")


def test_s31_session_invalidation_after_removal(shown: Shown) -> None:
    _check(shown, "authentication", "CC6.3", "session.invalidated")


def test_s43_each_of_the_five_categories_is_used_and_every_listed_event_is_of_one(shown: Shown) -> None:
    categories = {action: entry["category"] for action, entry in shown.items()}
    assert categories.pop("project.deleted") == "other"
    assert set(categories.values()) == set(CATEGORIES)


def test_s45_every_action_is_resource_sub_resource_verb(shown: Shown) -> None:
    assert len(shown) > 90
    assert [action for action in shown if not is_wellformed(action)] == []


def test_s52_availability_and_processing(shown: Shown) -> None:
    _check(shown, "system", "A1.2", "system.backup.completed")
    _check(shown, "system", "PI1.3", "job.run.completed", "job.run.failed")
    _check(shown, "data", "PI1.3", "data.processing.completed", "data.processing.failed")


def test_an_action_of_the_server_from_a_client_is_refused(served: Served) -> None:
    with served.client() as client, pytest.raises(InvalidEventError, match=r"ledger\."):
        client.append("ledger.key.created", actor="user:user_1")
