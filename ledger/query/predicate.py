"""A filter as a function that decides about one entry.

The tree is turned into closures once; then an entry costs a few look-ups. The rule that must not break: a comparison is
true if some value of its field answers yes, and what is not there is no value: empty text, 0 where 0 means not said, an
erased section.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.events.event import Event, FieldChange, PersonalData, Truth
from ledger.events.flat_keys import FLAT_FIELDS, is_personal_key
from ledger.query.addresses import Address, parse_address, parse_network
from ledger.query.fields import FieldType, FilterField, resolve
from ledger.query.nodes import And, Comparison, Node, Not
from ledger.query.operators import Operator
from ledger.query.values import lower_ascii


@dataclass(frozen=True, slots=True)
class QueriedEntry:
    """What a filter looks at.

    Attributes:
        leaf_index: Place in the log.
        recorded_at: When the server recorded it, microseconds since 1970 in UTC.
        principal: Principal that wrote it, 16 bytes.
        catalogue: Version of the action catalogue that the leaf names.
        event: The event; None where its section is gone.
        personal: The personal data; None where there are none, they are gone, or must not be looked at.
    """

    leaf_index: int
    recorded_at: int
    principal: bytes
    catalogue: int
    event: Event | None
    personal: PersonalData | None


Predicate: TypeAlias = Callable[[QueriedEntry], bool]
"""Whether an entry passes a filter."""

CategoryOf: TypeAlias = Callable[[str, int], str | None]
"""The category of an action by a version of the catalogue; None for none."""

ControlsOf: TypeAlias = Callable[[str, int], Sequence[str]]
"""The controls of an action by a version of the catalogue."""

_Reader: TypeAlias = Callable[[QueriedEntry], Iterable[Any]]
_Test: TypeAlias = Callable[[Any], bool]

_ORDERINGS: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUALS: operator.eq,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def compile_predicate(
    node: Node, *, category_of: CategoryOf | None = None, controls_of: ControlsOf | None = None
) -> Predicate:
    """Return the function that decides whether an entry passes a filter.

    Args:
        node: The filter.
        category_of: What the catalogue says of an action; needed for a filter that names `category`.
        controls_of: What the catalogue says of an action; needed for a filter that names `controls`.

    Raises:
        ValueError: The filter needs what was not given.
    """
    return _Compiler(category_of, controls_of).predicate(node)


class _Compiler:
    """Makes closures of nodes."""

    def __init__(self, category_of: CategoryOf | None, controls_of: ControlsOf | None) -> None:
        self.category_of = category_of
        self.controls_of = controls_of

    def predicate(self, node: Node) -> Predicate:
        if isinstance(node, Comparison):
            return self.comparison(node)
        if isinstance(node, Not):
            negated = self.predicate(node.operand)
            return lambda entry: not negated(entry)
        operands = tuple(self.predicate(operand) for operand in node.operands)
        # A loop: all() and any() over a generator cost twice as much.
        stops_at = not isinstance(node, And)

        def joined(entry: QueriedEntry) -> bool:
            for operand in operands:
                if operand(entry) is stops_at:
                    return stops_at
            return not stops_at

        return joined

    def comparison(self, node: Comparison) -> Predicate:
        field = resolve(node.field)
        test = _test(field, node)
        path = FLAT_FIELDS.get(field.name)
        if path is not None and not field.is_list and field.name != "ip":
            return _plain(path, test)
        read = self.reader(field)

        def some_value(entry: QueriedEntry) -> bool:
            return any(map(test, read(entry)))

        return some_value

    def reader(self, field: FilterField) -> _Reader:
        """Return what gives the values of a field that is not one plain field of a section."""
        if field.name == "category":
            return self.category()
        if field.name == "controls":
            return self.controls()
        if field.is_list:
            return _list(FLAT_FIELDS[field.name])
        head, _, key = field.name.partition(".")
        return _keyed(head, key) if key else _READERS[field.name]

    def category(self) -> _Reader:
        category_of = self.category_of
        if category_of is None:
            raise ValueError("the filter names category, so category_of is needed")

        def read(entry: QueriedEntry) -> Iterable[str]:
            category = category_of(entry.event.action, entry.catalogue) if entry.event else None
            return (category,) if category else ()

        return read

    def controls(self) -> _Reader:
        controls_of = self.controls_of
        if controls_of is None:
            raise ValueError("the filter names controls, so controls_of is needed")
        return lambda entry: controls_of(entry.event.action, entry.catalogue) if entry.event else ()


def _plain(path: str, test: _Test) -> Predicate:
    """Return the predicate for one field of a section; what is absent is empty or 0 in the value, or its parent None."""
    section, *names = path.split(".")
    if len(names) == 1:
        (name,) = names

        def of_section(entry: QueriedEntry) -> bool:
            value = getattr(getattr(entry, section), name, None)
            return bool(value) and test(value)

        return of_section
    parent, child = names

    def of_message(entry: QueriedEntry) -> bool:
        value = getattr(getattr(getattr(entry, section), parent, None), child, None)
        return bool(value) and test(value)

    return of_message


def _list(path: str) -> _Reader:
    section, parent, child = path.split(".")
    return lambda entry: getattr(getattr(getattr(entry, section), parent, None), child, ())


def _keyed(head: str, key: str) -> _Reader:
    if head == "metadata":
        return _metadata(key, "event", "personal") if is_personal_key(key) else _metadata(key, "event")
    if head == "personal_metadata":
        return _metadata(key, "personal")
    section = "personal" if head.startswith("personal_") else "event"
    part = {"from": "old", "to": "new"}.get(head.rpartition("_")[2], "path")

    def changes(entry: QueriedEntry) -> Iterable[object]:
        found: Sequence[FieldChange] = getattr(getattr(entry, section), "field_changes", ())
        values = (getattr(change, part) for change in found if change.path == key)
        return [value for value in values if value is not None]

    return changes


def _metadata(key: str, *sections: str) -> _Reader:
    def read(entry: QueriedEntry) -> Iterable[object]:
        return [
            found.value
            for section in sections
            for found in getattr(getattr(entry, section), "metadata", ())
            if found.key == key
        ]

    return read


def _addresses(entry: QueriedEntry) -> Iterable[str]:
    personal = entry.personal
    if personal is None:
        return ()
    values: list[str] = [personal.ip] if personal.ip else []
    return values + [found.value for found in personal.metadata if found.key == "ip" and isinstance(found.value, str)]


def _personal_metadata(entry: QueriedEntry, *, named: bool) -> list[str]:
    found = entry.personal.metadata if entry.personal else ()
    return [item.key for item in found if is_personal_key(item.key) is named]


_READERS: Final[dict[str, _Reader]] = {
    "leaf_index": lambda entry: (entry.leaf_index,),
    "recorded_at": lambda entry: (entry.recorded_at,),
    "principal": lambda entry: (entry.principal,),
    "timestamp": lambda entry: (entry.event.occurred_at,) if entry.event and entry.event.occurred_at else (),
    "ip": _addresses,
    "target": lambda entry: [f"{target.type}/{target.id}" for target in entry.event.targets] if entry.event else (),
    "target_type": lambda entry: [t.type for t in entry.event.targets if t.type] if entry.event else (),
    "target_id": lambda entry: [t.id for t in entry.event.targets if t.id] if entry.event else (),
    "target_name": lambda entry: [name for name in entry.personal.target_names if name] if entry.personal else (),
    "targets": lambda entry: entry.event.targets if entry.event else (),
    "metadata": lambda entry: (
        [*(entry.event.metadata if entry.event else ()), *_personal_metadata(entry, named=True)]
    ),
    "personal_metadata": lambda entry: _personal_metadata(entry, named=False),
    "field_changes": lambda entry: entry.event.field_changes if entry.event else (),
    "personal_field_changes": lambda entry: entry.personal.field_changes if entry.personal else (),
    "original": lambda entry: (entry.personal.original,) if entry.personal and entry.personal.original else (),
}


def _test(field: FilterField, node: Comparison) -> _Test:
    """Return the question of a comparison about one value."""
    value: Any = node.value
    if node.operator is Operator.PRESENT:
        return _is_address if field.type is FieldType.ADDRESS else lambda _: True
    if node.operator is Operator.CIDR:
        return _in_network(value)
    if field.type is FieldType.ADDRESS:
        wanted = parse_address(value)
        return lambda found: parse_address(found) == wanted
    if field.type is FieldType.TRUTH:
        value = Truth.TRUE if value else Truth.FALSE
    elif field.type is FieldType.ENUM:
        value = (field.members or {})[value]
    elif field.type is FieldType.HEX:
        value = bytes.fromhex(value)
    test = _compare(node.operator, value)
    if field.type is FieldType.EMAIL:
        return lambda found: test(lower_ascii(found))
    return _of_kind(value, test) if field.type is FieldType.ANY else test


def _compare(asked: Operator, value: object) -> _Test:
    if asked is Operator.PREFIX:
        return lambda found: found.startswith(value)
    compare = _ORDERINGS[asked]
    return lambda found: compare(found, value)


def _of_kind(value: object, test: _Test) -> _Test:
    """Ask only about values of the same kind: text, yes or no, or numbers, whole or not."""
    if isinstance(value, str):
        return lambda found: isinstance(found, str) and test(found)
    if isinstance(value, bool):
        return lambda found: isinstance(found, bool) and test(found)
    return lambda found: isinstance(found, int | float) and not isinstance(found, bool) and test(found)


def _is_address(found: str) -> bool:
    return parse_address(found) is not None


def _in_network(text: str) -> _Test:
    network = parse_network(text)
    assert network is not None, "a comparison's network was checked when it was made"

    def contains(found: object) -> bool:
        address: Address | None = parse_address(found) if isinstance(found, str) else None
        return address is not None and network.contains(address)

    return contains
