from __future__ import annotations

import pytest

from ledger.catalogue import (
    CATEGORIES,
    OTHER,
    VERSIONS,
    Ocsf,
    catalogue,
    category_of,
    controls_of,
    find,
    nearest,
)


@pytest.mark.parametrize(
    ("action", "category", "controls"),
    [
        ("auth.login.failed", "authentication", ("CC6.1", "CC7.2")),
        ("user.role.updated", "authorization", ("CC6.2", "CC6.3")),
        ("data.export.completed", "data", ("CC7.2",)),
        ("user.created", "administrative", ("CC6.2",)),
        ("deployment.completed", "system", ("CC8.1",)),
        ("ledger.key.revoked", "authentication", ("CC6.1", "CC6.3")),
    ],
)
def test_listed_action_has_its_category_and_controls(action: str, category: str, controls: tuple[str, ...]) -> None:
    assert category_of(action, 1) == category
    assert controls_of(action, 1) == controls


def test_action_that_is_not_listed_is_of_the_category_other_and_no_control() -> None:
    assert category_of("project.deleted", 1) == OTHER
    assert controls_of("project.deleted", 1) == ()
    assert find("project.deleted", 1) is None


@pytest.mark.parametrize("version", [0, VERSIONS[-1] + 1, 2**63])
def test_nothing_is_derived_from_a_version_that_is_not_known(version: int) -> None:
    assert category_of("user.created", version) is None
    assert controls_of("user.created", version) == ()
    assert find("user.created", version) is None
    assert catalogue(version) is None


def test_find_tells_all_that_is_known_of_an_action() -> None:
    found = find("deployment.completed", 1)

    assert found is not None
    assert (found.name, found.category, found.controls, found.is_core) == (
        "deployment.completed",
        "system",
        ("CC8.1",),
        True,
    )
    assert found.points["CC8.1"]
    assert found.ocsf == Ocsf(6002, "Application Lifecycle", 8, "Update")
    assert found.ocsf.type_uid == 600208
    assert found.requires == ("actor_type", "change_commit")
    assert found.summary.endswith(".")


def test_a_field_that_both_the_category_and_the_action_require_is_named_once() -> None:
    found = find("authz.decision.denied", 1)
    login = find("auth.login.failed", 1)

    assert found is not None
    assert login is not None
    assert found.requires == ("actor_type", "outcome", "targets")
    assert login.requires == ("actor_type", "outcome", "actor_id", "ip", "auth_method")


def test_the_version_is_read_once() -> None:
    assert catalogue(1) is catalogue(1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("auth.login.success", "auth.login.succeeded"),
        ("auth.loging.failed", "auth.login.failed"),
        ("login.failed", "auth.login.failed"),
        ("apikey.created", "api_key.created"),
        ("deploy.completed", "deployment.completed"),
        ("user.created", "user.created"),
        ("ledger.export.created", "ledger.export.started"),
    ],
)
def test_nearest_finds_what_was_meant(written: str, meant: str) -> None:
    assert meant in nearest(written)


def test_nearest_names_at_most_three_and_none_that_the_client_may_not_write() -> None:
    found = nearest("key.created")

    assert len(found) == 3
    assert not any(name.startswith("ledger.") for name in found)


@pytest.mark.parametrize("text", ["", "a.b", "x" * 1_000_000])
def test_nearest_of_what_resembles_nothing_is_nothing(text: str) -> None:
    assert nearest(text) == ()


def test_nearest_reads_no_more_of_a_text_than_an_action_may_have() -> None:
    assert nearest("user.created" + "x" * 116) == nearest("user.created" + "x" * 1_000_000)


def test_categories_are_those_of_every_version() -> None:
    for version in VERSIONS:
        listed = catalogue(version)
        assert listed is not None
        assert tuple(listed.categories) == CATEGORIES
