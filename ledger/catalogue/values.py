"""What a version of the catalogue says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ocsf:
    """Where an action belongs in the Open Cybersecurity Schema Framework.

    Attributes:
        class_uid: Number of the event class.
        class_name: Its name.
        activity_id: Number of the activity, within the class; 99 is `Other`.
        activity_name: Its name.
    """

    class_uid: int
    class_name: str
    activity_id: int
    activity_name: str

    @property
    def type_uid(self) -> int:
        """Return the number of class and activity together."""
        return self.class_uid * 100 + self.activity_id


@dataclass(frozen=True, slots=True)
class Category:
    """One of the five kinds of events.

    Attributes:
        name: Its name.
        summary: What belongs to it, in one sentence.
        requires: Flat keys that each of its events has in the strict profile.
    """

    name: str
    summary: str
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """What the catalogue says of one action.

    Attributes:
        name: The action.
        category: Name of its category.
        points: Criteria of the trust services that its events are evidence for, each with the names of its points of
            focus; there may be none of these.
        ocsf: Its place in OCSF.
        is_core: Whether an auditor expects it of every service that has what it is about.
        requires: Flat keys that its events have in the strict profile, those of its category first.
        summary: What happened, in one sentence.
    """

    name: str
    category: str
    points: Mapping[str, tuple[str, ...]]
    ocsf: Ocsf
    is_core: bool
    requires: tuple[str, ...]
    summary: str

    @property
    def controls(self) -> tuple[str, ...]:
        """Return the ids of the criteria, the one that it stands under first."""
        return tuple(self.points)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One version of the catalogue.

    Attributes:
        version: Its number, which leaves name.
        ocsf_version: Release of OCSF that the numbers are those of.
        controls: Criteria by their ids, each with a sentence of ours.
        categories: Categories by their names.
        actions: Actions by their names, in the order in which pages list them.
    """

    version: int
    ocsf_version: str
    controls: Mapping[str, str]
    categories: Mapping[str, Category]
    actions: Mapping[str, Action]
