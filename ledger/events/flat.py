"""The flat event: one JSON object as people write it, and the two sections that it stands for.

`action` and `timestamp` make an event; every field of the two sections has one flat key. Personal data goes to the
personal section by what its key is, also in `metadata`: the keys `ip`, `user_agent`, `email`, `name` and those ending
in `_ip` or `_email`. The rule that must not break: nothing is lost and nothing is guessed; a key that is unknown, or a
value that has no exact place, is refused with the key named.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ledger.errors import FieldViolation, InvalidEventError, MalformedError
from ledger.events.checks import check_reserved, check_values
from ledger.events.event import (
    TIME_MAX,
    Event,
    FieldChange,
    MetadataEntry,
    Original,
    PersonalData,
    Target,
    Truth,
    Value,
)
from ledger.events.flat_keys import (
    CHANGE_KEYS,
    FIELDS,
    FLAT_FIELDS,
    FLAT_KEYS,
    ORIGINAL_KEYS,
    TARGET_KEYS,
    enum_names,
    flat_name,
    is_personal_key,
)
from ledger.events.schema import EVENT, ORIGINAL, PERSONAL_DATA, Field, Kind
from ledger.events.timestamps import format_timestamp, parse_timestamp

_SHOWN: Final = 80
_HEX: Final = re.compile("(?:[0-9a-f]{2})*")
# Where the value of each flat key stands: the message, the field's name in it, and the field.
_PLACES: Final = tuple((key, *path.rpartition(".")[::2], FIELDS[path]) for key, path in FLAT_FIELDS.items())
_PARENTS: Final = tuple(dict.fromkeys(parent for _, parent, _, _ in _PLACES))
_JSON_NAMES: Final[Mapping[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number with decimals",
    list: "a list",
    dict: "an object",
}


def from_flat(
    flat: Mapping[str, object], *, event_id: str | None = None, now_us: int | None = None
) -> tuple[Event, PersonalData | None]:
    """Return the two sections that a flat event stands for.

    Args:
        flat: The object, as a JSON parser gives it.
        event_id: Id where the object has none.
        now_us: Time where the object has none, microseconds since 1970 in UTC.

    Returns:
        The event, and its personal data or None if it has none.

    Raises:
        InvalidEventError: A key or value is refused; with all violations, under the names of the flat keys.
    """
    reader = _Reader(flat)
    sections = reader.sections(event_id, now_us)
    if sections is not None:
        event, personal = sections
        single = any(key in flat for key in TARGET_KEYS)
        for found in check_values(event, personal) + check_reserved(event):
            reader.refuse(flat_name(found.field, event, personal, has_single_target=single), found.description)
        if not reader.violations:
            return event, personal
    raise InvalidEventError(reader.violations, hint="docs/events.md lists the keys of a flat event")


def to_flat(event: Event, personal: PersonalData | None = None) -> dict[str, object]:
    """Return the flat event in its normal form, from which `from_flat` makes the same sections again.

    A flat event is in normal form when its time is in UTC with as few decimals as it needs, a single target is in
    `target_*`, and no list or object is empty; then it comes back from its sections as it went in.

    Args:
        event: The event; not necessarily within the limits.
        personal: Its personal data; None where there is none, or where it must not be shown.
    """
    flat: dict[str, object] = {}
    # The message that a field stands in is looked up once for all its fields: most of an event is absent.
    messages: dict[str, object] = {"event": event, "personal": personal}
    for parent in _PARENTS:
        section, _, name = parent.partition(".")
        if name:
            messages[parent] = getattr(messages[section], name, None)
    for key, parent, name, field in _PLACES:
        message = messages[parent]
        value = None if message is None else getattr(message, name)
        if value:
            flat[key] = value if type(value) is str else _to_json(field, value)
    time_has_text = 0 <= event.occurred_at <= TIME_MAX
    flat["timestamp"] = format_timestamp(event.occurred_at) if time_has_text else event.occurred_at
    return flat | _flat_targets(event, personal) | _flat_rest(event, personal)


def _to_json(field: Field, value: object) -> object:
    if isinstance(value, Truth):
        return value is Truth.TRUE
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, int) and field.kind is Kind.ENUM:
        return enum_names(field)[value]
    return value


def _flat_targets(event: Event, personal: PersonalData | None) -> dict[str, object]:
    names = personal.target_names if personal else ()
    listed: list[dict[str, object]] = []
    for position, target in enumerate(event.targets):
        name = names[position] if position < len(names) else ""
        parts = {"type": target.type, "id": target.id, "name": name}
        listed.append({part: text for part, text in parts.items() if text})
    if len(listed) == 1:
        return {f"target_{part}": text for part, text in listed[0].items()}
    return {"targets": listed} if listed else {}


def _flat_rest(event: Event, personal: PersonalData | None) -> dict[str, object]:
    private = personal or PersonalData()
    metadata = {entry.key: entry.value for entry in event.metadata}
    metadata |= {entry.key: entry.value for entry in private.metadata if is_personal_key(entry.key)}
    rest: dict[str, object] = {
        "metadata": metadata,
        "personal_metadata": {entry.key: entry.value for entry in private.metadata if not is_personal_key(entry.key)},
        "field_changes": [_flat_change(change) for change in event.field_changes],
        "personal_field_changes": [_flat_change(change) for change in private.field_changes],
        "original": _flat_original(private.original) if private.original else {},
    }
    return {key: value for key, value in rest.items() if value}


def _flat_change(change: FieldChange) -> dict[str, object]:
    values = {"path": change.path, "old": change.old, "new": change.new}
    return {key: value for key, value in values.items() if value is not None}


def _flat_original(original: Original) -> dict[str, object]:
    values: dict[str, object] = {
        "media_type": original.media_type,
        "content_base64": base64.b64encode(original.content).decode(),
        "sha256": original.sha256.hex(),
        "size": original.size,
    }
    return {key: value for key, value in values.items() if value}


class _Reader:
    """Reads one flat event and collects what is wrong with it."""

    def __init__(self, flat: Mapping[str, object]) -> None:
        self.flat = flat
        self.violations: list[FieldViolation] = []

    def refuse(self, key: str, description: str) -> None:
        self.violations.append(FieldViolation(key, description))

    def sections(self, event_id: str | None, now_us: int | None) -> tuple[Event, PersonalData | None] | None:
        values = self.plain_fields()
        event, personal = values["event"], values["personal"]
        if event_id is not None:
            event.setdefault("event_id", event_id)
        event["occurred_at"] = self.timestamp(now_us)
        event["targets"], personal["target_names"] = self.targets()
        event["metadata"], personal["metadata"] = self.metadata()
        event["field_changes"] = self.field_changes("field_changes")
        personal["field_changes"] = self.field_changes("personal_field_changes")
        personal["original"] = self.original()
        if self.violations:
            return None
        personal_data = PERSONAL_DATA.build(**personal)
        return EVENT.build(**event), None if personal_data == PersonalData() else personal_data

    def plain_fields(self) -> dict[str, dict[str, object]]:
        """Return the values of the keys that hold one field, by section and field name."""
        values: dict[str, dict[str, object]] = {"event": {}, "personal": {}}
        nested: dict[str, dict[str, object]] = {}
        for key, value in self.flat.items():
            path = FLAT_FIELDS.get(key)
            if path is not None:
                parent, _, name = path.rpartition(".")
                into = values[parent] if parent in values else nested.setdefault(parent, {})
                into[name] = self.field(key, FIELDS[path], value)
            elif key not in FLAT_KEYS:
                near = difflib.get_close_matches(str(key), FLAT_KEYS, 1)
                meant = f"; {near[0]} is" if near else ""
                self.refuse(_shown(key), f"is no key of a flat event{meant}; further facts belong in metadata")
        for parent, fields in nested.items():
            section, _, name = parent.partition(".")
            message = FIELDS[parent].message
            if message is not None and any(fields.values()):
                values[section][name] = message.build(**fields)
        return values

    def field(self, key: str, field: Field, value: object) -> object:
        if field.repeated:
            return tuple(self.text(f"{key}[{position}]", item) for position, item in enumerate(self.items(key, value)))
        if field.kind is Kind.ENUM:
            return self.enum(key, field, value)
        if field.kind is Kind.BYTES:
            return self.hex(key, value)
        if field.kind is Kind.UNSIGNED:
            return self.count(key, value)
        return self.text(key, value)

    def refuse_type(self, key: str, value: object, wanted: str) -> None:
        found = _JSON_NAMES.get(type(value), "of another type")
        self.refuse(key, "is null; leave the key out" if value is None else f"is {found}; it is {wanted}")

    def text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self.refuse_type(key, value, "text")
            return ""
        if not value:
            self.refuse(key, "is empty; leave the key out")
        return value

    def count(self, key: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse_type(key, value, "a whole number")
            return 0
        if value == 0:
            self.refuse(key, "is 0, which stands for not said; leave the key out")
        return value

    def hex(self, key: str, value: object) -> bytes:
        text = self.text(key, value)
        if not _HEX.fullmatch(text):
            self.refuse(key, f"is {text[:_SHOWN]!a}; it is pairs of lower-case hexadecimal digits")
            return b""
        return bytes.fromhex(text)

    def enum(self, key: str, field: Field, value: object) -> object:
        members = field.members or {}
        if isinstance(members[0], Truth):
            if isinstance(value, bool):
                return Truth.TRUE if value else Truth.FALSE
            self.refuse_type(key, value, "true or false")
            return Truth.UNSPECIFIED
        text = self.text(key, value)
        numbers = {name: number for number, name in enum_names(field).items()}
        if text and text not in numbers:
            self.refuse(key, f"is {text[:_SHOWN]!a}; it is one of {', '.join(numbers)}")
        return members[numbers.get(text, 0)]

    def value(self, key: str, value: object) -> Value | None:
        if isinstance(value, str | bool | int | float):
            return value
        self.refuse_type(key, value, "text, a number, true or false")
        return None

    def items(self, key: str, value: object) -> Sequence[object]:
        if isinstance(value, list):
            return value
        self.refuse_type(key, value, "a list")
        return ()

    def part(self, at: str, value: object, known: Sequence[str]) -> dict[str, object]:
        """Return an object inside a flat event, without keys that it cannot have."""
        if not isinstance(value, Mapping):
            self.refuse_type(at, value, "an object")
            return {}
        for key in value:
            if key not in known:
                self.refuse(f"{at}.{_shown(key)}", f"is not known there; {', '.join(known)} are")
        return {key: value[key] for key in known if key in value}

    def timestamp(self, now_us: int | None) -> int:
        if "timestamp" not in self.flat:
            if now_us is None:
                self.refuse("timestamp", "is missing")
            return now_us or 0
        text = self.text("timestamp", self.flat["timestamp"])
        if not text:
            return 0
        try:
            return parse_timestamp(text)
        except MalformedError as error:
            self.refuse("timestamp", error.message)
            return 0

    def targets(self) -> tuple[tuple[Target, ...], tuple[str, ...]]:
        single = {part: self.flat[key] for key, part in TARGET_KEYS.items() if key in self.flat}
        listed: list[tuple[str, dict[str, object]]] = [("target_", single)] if single else []
        for position, item in enumerate(self.items("targets", self.flat.get("targets", []))):
            at = f"targets[{position}]"
            listed.append((f"{at}.", self.part(at, item, tuple(TARGET_KEYS.values()))))
        if single and "targets" in self.flat:
            self.refuse("targets", "stands beside target_type, target_id or target_name; give one or the other")
        texts = [{part: self.text(at + part, value) for part, value in parts.items()} for at, parts in listed]
        names = tuple(parts.get("name", "") for parts in texts)
        return tuple(Target(p.get("type", ""), p.get("id", "")) for p in texts), names if any(names) else ()

    def metadata(self) -> tuple[tuple[MetadataEntry, ...], tuple[MetadataEntry, ...]]:
        public: dict[str, Value] = {}
        private: dict[str, Value] = {}
        for section in ("metadata", "personal_metadata"):
            entries = self.flat.get(section, {})
            if not isinstance(entries, Mapping):
                self.refuse_type(section, entries, "an object")
                continue
            for key, raw in entries.items():
                at = f"{section}.{_shown(key)}"
                # JSON has no other keys; a mapping that a program made may.
                if not isinstance(key, str):
                    self.refuse(at, "is a key of another type; it is text")
                    continue
                value = self.value(at, raw)
                if key in public or key in private:
                    self.refuse(at, "is in metadata too; keys are unique over both")
                elif value is not None:
                    (private if section == "personal_metadata" or is_personal_key(key) else public)[key] = value
        return _entries(public), _entries(private)

    def field_changes(self, key: str) -> tuple[FieldChange, ...]:
        changes: list[FieldChange] = []
        for position, item in enumerate(self.items(key, self.flat.get(key, []))):
            at = f"{key}[{position}]"
            parts = self.part(at, item, CHANGE_KEYS)
            old, new = (self.value(f"{at}.{side}", parts[side]) if side in parts else None for side in CHANGE_KEYS[1:])
            if "path" not in parts:
                self.refuse(f"{at}.path", "is missing")
            changes.append(FieldChange(self.text(f"{at}.path", parts.get("path", "-")), old, new))
        return tuple(changes)

    def original(self) -> Original | None:
        if "original" not in self.flat:
            return None
        parts = self.part("original", self.flat["original"], ORIGINAL_KEYS)
        values: dict[str, object] = {}
        for part, value in parts.items():
            at = f"original.{part}"
            if part == "content_base64":
                values["content"] = self.base64(at, value)
            else:
                values[part] = self.field(at, FIELDS[f"personal.{at}"], value)
        return ORIGINAL.build(**values) if values else None

    def base64(self, key: str, value: object) -> bytes:
        text = self.text(key, value)
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            self.refuse(key, f"is not base64: {error}")
            return b""
        # Two texts must not stand for one content, or the text would not come back as it went in.
        if base64.b64encode(content).decode() != text:
            self.refuse(key, "is not base64 in its one form")
        return content


def _entries(values: Mapping[str, Value]) -> tuple[MetadataEntry, ...]:
    return tuple(MetadataEntry(key, values[key]) for key in sorted(values))


def _shown(key: object) -> str:
    text = ascii(key)
    return (text[1:-1] if isinstance(key, str) else text)[:_SHOWN]
