"""What every version of the catalogue must be, whoever adds the next one."""

from __future__ import annotations

import json
import re

import pytest

from ledger.catalogue import CATEGORIES, VERSIONS, Action, Catalogue, catalogue
from ledger.engine import records
from ledger.events.actions import CATALOGUE_VERSION, is_reserved, is_wellformed
from ledger.events.flat_keys import FLAT_KEYS
from ledger.rpc.personal import PERSONAL_READ
from tests.support.documentation import ROOT

_DATA = ROOT / "ledger" / "catalogue"


def _catalogue(version: int) -> Catalogue:
    listed = catalogue(version)
    assert listed is not None
    return listed


def _actions(version: int) -> list[Action]:
    return list(_catalogue(version).actions.values())


def test_versions_are_the_files_of_the_package_and_leaves_name_the_newest() -> None:
    files = sorted(int(path.stem[1:]) for path in _DATA.glob("v*.json"))

    assert list(VERSIONS) == files == list(range(1, CATALOGUE_VERSION + 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_data_name_their_own_version_and_list_each_action_once(version: int) -> None:
    data = json.loads((_DATA / f"v{version}.json").read_text("utf-8"))

    assert data["version"] == _catalogue(version).version == version
    names = [said["action"] for said in data["actions"]]
    assert len(set(names)) == len(names) == len(_catalogue(version).actions) >= 106
    assert re.fullmatch(r"\d+\.\d+\.\d+", _catalogue(version).ocsf_version)


@pytest.mark.parametrize("version", VERSIONS)
def test_s43_every_action_is_of_one_of_the_five_categories(version: int) -> None:
    assert [action.name for action in _actions(version) if action.category not in CATEGORIES] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_s45_every_action_follows_the_grammar(version: int) -> None:
    assert [action.name for action in _actions(version) if not is_wellformed(action.name)] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_action_is_evidence_for_a_control_and_says_what_happened(version: int) -> None:
    for action in _actions(version):
        assert action.controls, action.name
        assert re.fullmatch(r"[A-Z].*\.", action.summary), action.name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_place_in_ocsf_is_a_class_and_an_activity(version: int) -> None:
    for action in _actions(version):
        assert 1000 <= action.ocsf.class_uid <= 9999, action.name
        assert 0 <= action.ocsf.activity_id <= 99, action.name
        assert action.ocsf.type_uid // 100 == action.ocsf.class_uid, action.name
        assert action.ocsf.class_name, action.name
        assert action.ocsf.activity_name, action.name


@pytest.mark.parametrize("version", VERSIONS)
def test_required_fields_are_keys_of_a_flat_event_and_rules_for_clients(version: int) -> None:
    for action in _actions(version):
        assert set(action.requires) <= set(FLAT_KEYS), action.name
        assert bool(action.requires) is not is_reserved(action.name), action.name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_control_is_explained_and_has_an_action(version: int) -> None:
    used = {control for action in _actions(version) for control in action.controls}

    assert used == set(_catalogue(version).controls)
    assert [control for control in used if not re.fullmatch(r"(?:CC|A|C|PI)[1-9]\.[1-9]", control)] == []


def test_every_action_that_the_server_writes_is_listed() -> None:
    named = {value for name, value in vars(records).items() if name.isupper() and isinstance(value, str)}
    written = {value for value in named if is_reserved(value)} | {PERSONAL_READ}

    assert written >= {records.LOG_CREATED, records.CLOCK_CONFIRMED}
    assert written <= set(_catalogue(CATALOGUE_VERSION).actions)
