"""Looks actions up in the version of the catalogue that a leaf names.

The data are files of this package, `v1.json` and so on, read when they are first asked for. The rule that must not
break: a version that was released never changes, so that what is derived from a leaf is the same for everyone and for
ever; what is to be added or corrected makes a new version.
"""

from __future__ import annotations

import difflib
import json
import pkgutil
from functools import cache
from typing import Any, Final

from ledger.catalogue.values import Action, Catalogue, Category, Ocsf

VERSIONS: Final = (1,)
"""Versions known here, ascending."""

CATEGORIES: Final = ("authentication", "authorization", "data", "administrative", "system")
"""The five categories."""

OTHER: Final = "other"
"""The category of an action that the catalogue does not list."""

_SERVERS_OWN: Final = "ledger."
_NEAREST: Final = 3
# No action is longer, and the work of comparing grows with the product of the lengths.
_COMPARED_CHARACTERS: Final = 128


def category_of(action: str, version: int) -> str | None:
    """Return the category of an action.

    Args:
        action: A well-formed action.
        version: The version of the catalogue that its leaf names.

    Returns:
        One of `CATEGORIES`; `OTHER` where that version does not list the action; None if the version is not known here.
    """
    listed = catalogue(version)
    if listed is None:
        return None
    found = listed.actions.get(action)
    return OTHER if found is None else found.category


def controls_of(action: str, version: int) -> tuple[str, ...]:
    """Return the criteria that events with an action are evidence for; empty where the version does not list it."""
    found = find(action, version)
    return () if found is None else found.controls


def find(action: str, version: int) -> Action | None:
    """Return what a version says of an action; None if it does not list it, or is not known here."""
    listed = catalogue(version)
    return None if listed is None else listed.actions.get(action)


def nearest(action: str) -> tuple[str, ...]:
    """Return the actions of the newest version that are written most like a text, at most three, the likest first.

    Actions that only the server writes are among them only for a text that begins as they do.
    """
    newest = catalogue(VERSIONS[-1])
    assert newest is not None
    text = action[:_COMPARED_CHARACTERS]
    is_servers = text.startswith(_SERVERS_OWN)
    names = [name for name in newest.actions if name.startswith(_SERVERS_OWN) == is_servers]
    return tuple(difflib.get_close_matches(text, names, _NEAREST))


def catalogue(version: int) -> Catalogue | None:
    """Return a version of the catalogue; None if it is not known here."""
    # What is kept is bounded by what is known, whatever versions are asked for.
    return _load(version) if version in VERSIONS else None


@cache
def _load(version: int) -> Catalogue:
    content = pkgutil.get_data("ledger.catalogue", f"v{version}.json")
    assert content is not None
    data = json.loads(content)
    categories = {
        name: Category(name, said["summary"], tuple(said["requires"])) for name, said in data["categories"].items()
    }
    actions = [_action(said, data["ocsf_classes"], categories) for said in data["actions"]]
    return Catalogue(
        version=version,
        ocsf_version=data["ocsf_version"],
        controls=data["controls"],
        categories=categories,
        actions={action.name: action for action in actions},
    )


def _action(said: dict[str, Any], classes: dict[str, Any], categories: dict[str, Category]) -> Action:
    name = said["action"]
    class_uid, activity_id = said["ocsf"]
    ocsf_class = classes[str(class_uid)]
    # The strict profile is a rule for clients.
    required = () if name.startswith(_SERVERS_OWN) else (*categories[said["category"]].requires, *said["requires"])
    return Action(
        name=name,
        category=said["category"],
        points={control: tuple(points) for control, points in said["controls"].items()},
        ocsf=Ocsf(class_uid, ocsf_class["name"], activity_id, ocsf_class["activities"][str(activity_id)]),
        is_core=said["core"],
        requires=tuple(dict.fromkeys(required)),
        summary=said["summary"],
    )
