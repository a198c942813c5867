"""The fields that a filter may name: every key of a flat event, what the leaf says, and what the catalogue says of it.

The rule that must not break: a field is personal if any of its values can come from a personal section, so that a
filter on it tells nothing to those who may not see personal data.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledger.errors import InvalidFilterError
from ledger.events.checks import BOOT_ID_SIZE, METADATA_KEY_PATTERN, PATH_MAX_BYTES, SPAN_ID_SIZE, TRACE_ID_SIZE
from ledger.events.flat_keys import FIELDS as SECTION_FIELDS
from ledger.events.flat_keys import FLAT_FIELDS, enum_names, is_personal_key
from ledger.events.leaf import PRINCIPAL_SIZE
from ledger.events.schema import Field, Kind
from ledger.query.operators import ORDERINGS, Operator

_EQUALITY: Final = frozenset({Operator.EQUALS, Operator.PRESENT})
_ORDER: Final = _EQUALITY | ORDERINGS


class FieldType(Enum):
    """What the values of a field are, in words, and what may be asked of one of them."""

    TEXT = ("text", _ORDER | {Operator.PREFIX})
    EMAIL = ("an e-mail address", _ORDER | {Operator.PREFIX})
    ENUM = ("one of a few words", _EQUALITY)
    TIME = ("a time", _ORDER)
    INTEGER = ("a whole number", _ORDER)
    TRUTH = ("true or false", _EQUALITY)
    ADDRESS = ("an IP address", _EQUALITY | {Operator.CIDR})
    HEX = ("hexadecimal digits", _EQUALITY)
    ANY = ("text, a number, true or false", _ORDER | {Operator.PREFIX, Operator.CIDR})
    PRESENCE = ("something that is there or not", frozenset({Operator.PRESENT}))

    def __init__(self, words: str, operators: frozenset[Operator]) -> None:
        """Name the parts."""
        self.words = words
        self.operators = operators


@dataclass(frozen=True, slots=True)
class FilterField:
    """One field.

    Attributes:
        name: Its canonical name; for a key of a map, the map's name, a dot and the key.
        type: What its values are.
        is_list: Whether it is written with `:`, because it is a list.
        is_personal: Whether values can come from a personal section.
        members: For an enum, the number of each word; else empty.
        size: For hexadecimal digits, how many bytes; else 0.
    """

    name: str
    type: FieldType
    is_list: bool = False
    is_personal: bool = False
    members: Mapping[str, int] | None = None
    size: int = 0

    @property
    def operators(self) -> frozenset[Operator]:
        """The operators that the field takes."""
        return self.type.operators - ORDERINGS if self.is_list else self.type.operators


@dataclass(frozen=True, slots=True)
class MapField:
    """A field whose keys are chosen by those who report events.

    Attributes:
        type: What the value of a key is.
        key_pattern: Grammar of the keys.
        is_personal: Whether it is part of the personal section; metadata keys may be personal by their name as well.
        named_by_key: Whether a key is personal by its name.
    """

    type: FieldType
    key_pattern: re.Pattern[str]
    is_personal: bool = False
    named_by_key: bool = False


_SIZES: Final = {
    "trace_id": TRACE_ID_SIZE,
    "span_id": SPAN_ID_SIZE,
    "source_boot_id": BOOT_ID_SIZE,
}
_SPECIAL: Final = {"actor_email": FieldType.EMAIL, "ip": FieldType.ADDRESS, "peer_ip": FieldType.ADDRESS}
_PATH: Final = re.compile(rf".{{1,{PATH_MAX_BYTES}}}", re.DOTALL)
_SHOWN: Final = 80


def _flat_field(key: str, path: str) -> FilterField:
    field: Field = SECTION_FIELDS[path]
    personal = path.startswith("personal.")
    if key in _SPECIAL:
        return FilterField(key, _SPECIAL[key], is_personal=personal)
    if field.kind is Kind.ENUM:
        words = {word: number for number, word in enum_names(field).items()}
        kind = FieldType.TRUTH if words.keys() == {"true", "false"} else FieldType.ENUM
        return FilterField(key, kind, members=words)
    kinds = {Kind.STRING: FieldType.TEXT, Kind.UNSIGNED: FieldType.INTEGER, Kind.BYTES: FieldType.HEX}
    return FilterField(key, kinds[field.kind], is_list=field.repeated, is_personal=personal, size=_SIZES.get(key, 0))


_OTHERS: Final = (
    FilterField("leaf_index", FieldType.INTEGER),
    FilterField("recorded_at", FieldType.TIME),
    FilterField("principal", FieldType.HEX, size=PRINCIPAL_SIZE),
    FilterField("timestamp", FieldType.TIME),
    FilterField("category", FieldType.TEXT),
    FilterField("controls", FieldType.TEXT, is_list=True),
    FilterField("target", FieldType.TEXT),
    FilterField("target_type", FieldType.TEXT),
    FilterField("target_id", FieldType.TEXT),
    FilterField("target_name", FieldType.TEXT, is_personal=True),
    FilterField("targets", FieldType.PRESENCE),
    FilterField("metadata", FieldType.PRESENCE, is_personal=True),
    FilterField("personal_metadata", FieldType.PRESENCE, is_personal=True),
    FilterField("field_changes", FieldType.PRESENCE),
    FilterField("personal_field_changes", FieldType.PRESENCE, is_personal=True),
    FilterField("original", FieldType.PRESENCE, is_personal=True),
)

FIELDS: Final[Mapping[str, FilterField]] = {
    field.name: field for field in (*(_flat_field(*row) for row in FLAT_FIELDS.items()), *_OTHERS)
}
"""Every field that has a name of its own, by that name."""

MAP_FIELDS: Final[Mapping[str, MapField]] = {
    "metadata": MapField(FieldType.ANY, METADATA_KEY_PATTERN, named_by_key=True),
    "personal_metadata": MapField(FieldType.ANY, METADATA_KEY_PATTERN, is_personal=True),
    "field_changes": MapField(FieldType.PRESENCE, _PATH),
    "changed_from": MapField(FieldType.ANY, _PATH),
    "changed_to": MapField(FieldType.ANY, _PATH),
    "personal_field_changes": MapField(FieldType.PRESENCE, _PATH, is_personal=True),
    "personal_changed_from": MapField(FieldType.ANY, _PATH, is_personal=True),
    "personal_changed_to": MapField(FieldType.ANY, _PATH, is_personal=True),
}
"""The maps, by the name that stands before the dot."""

ALIASES: Final[Mapping[str, str]] = {
    path.partition(".")[2]: key for key, path in FLAT_FIELDS.items() if path.count(".") > 1
} | {
    "occurred_at": "timestamp",
    "control": "controls",
    "actor.email": "actor_email",
    "actor.name": "actor_name",
    "target.type": "target_type",
    "target.id": "target_id",
    "target.name": "target_name",
    "request.id": "request_id",
    "request.ip": "ip",
    "request.peer_ip": "peer_ip",
    "request.user_agent": "user_agent",
    "approval_ref": "change_approval_reference",
    "commit_sha": "change_commit",
}
"""Other names of fields, which filters may use and no filter keeps."""


def resolve(name: str) -> FilterField:
    """Return the field that a name or alias means.

    Args:
        name: Name of any length; for a key of a map, the map's name, a dot, and the key as it is.

    Raises:
        InvalidFilterError: There is no such field; names the nearest one.
    """
    found = FIELDS.get(ALIASES.get(name, name))
    if found is not None:
        return found
    head, dot, key = name.partition(".")
    mapped = MAP_FIELDS.get(head)
    if mapped is None:
        raise InvalidFilterError(f"there is no field {_shown(name)}", hint=_nearest(name))
    if not dot or mapped.key_pattern.fullmatch(key) is None:
        what = (
            "a key is a letter, then up to 63 letters, digits, _ . or -"
            if head.endswith("metadata")
            else (f"a path has 1 to {PATH_MAX_BYTES} characters")
        )
        raise InvalidFilterError(
            f"{_shown(name)} names no key of {head}; {what}", hint=f'write {head}.KEY, or {head}."KEY"'
        )
    if head == "personal_metadata" and is_personal_key(key):
        raise InvalidFilterError(f"the key {key} is personal by its name", hint=f"write metadata.{key}")
    personal = mapped.is_personal or (mapped.named_by_key and is_personal_key(key))
    return FilterField(name, mapped.type, is_personal=personal)


def _nearest(name: str) -> str:
    names = [*FIELDS, *ALIASES, *(f"{head}.KEY" for head in MAP_FIELDS)]
    near = difflib.get_close_matches(name[:_SHOWN].lower(), names, 1)
    meant = f"{near[0]} is one" if near else "docs/filters.md lists the fields"
    return f"{meant}; what was reported in metadata is metadata.KEY"


def _shown(text: str) -> str:
    return text[:_SHOWN].encode("unicode_escape").decode("ascii")
