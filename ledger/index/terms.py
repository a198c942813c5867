"""What an entry is found by: its terms, and the terms that a comparison of a filter means.

Both directions stand here, because they must agree. The rule that must not break: a comparison that is answered by terms
is answered exactly; for any other `meaning` returns None, and the entries themselves are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ledger.errors import InvalidFilterError
from ledger.events.codec import Facts
from ledger.events.event import Outcome, Value
from ledger.events.flat_keys import is_personal_key
from ledger.query.addresses import Address, format_address, parse_address, parse_network
from ledger.query.fields import resolve
from ledger.query.nodes import Comparison
from ledger.query.operators import Operator
from ledger.query.predicate import CategoryOf, ControlsOf
from ledger.query.values import lower_ascii

METADATA_TEXT_MAX: Final = 128
"""Longest text of a metadata value that is indexed, in characters; longer ones are found by looking at the entries."""

# Stands between the parts of a text; what comes before it never has one, but for the id of a target.
_BETWEEN: Final = "\0"
_AFTER: Final = "\1"
# SQLite has every blob above every text.
_LAST: Final = b""
_LAST_CHARACTER: Final = "\U0010ffff"
_OUTCOMES: Final = {int(member): member.name.lower() for member in Outcome}


class TermKind:
    """The field that a term is of. Kept in files, so no number changes its meaning.

    Plain numbers: members of an enum are hashed and bound to statements many times slower, and there are ten to an entry.
    """

    ACTION: Final = 1
    ACTOR_ID: Final = 2
    ACTOR_EMAIL: Final = 3
    ON_BEHALF_OF: Final = 4
    TARGET: Final = 5
    TARGET_TYPE: Final = 6
    OUTCOME: Final = 7
    SESSION_ID: Final = 8
    CORRELATION_ID: Final = 9
    TENANT_ID: Final = 10
    APPROVAL_REFERENCE: Final = 11
    COMMIT: Final = 12
    IP: Final = 13
    METADATA: Final = 14
    PERSONAL_METADATA: Final = 15
    REQUEST_ID: Final = 16


_PLAIN: Final = {
    "actor_id": TermKind.ACTOR_ID,
    "actor_on_behalf_of": TermKind.ON_BEHALF_OF,
    "actor_email": TermKind.ACTOR_EMAIL,
    "target_type": TermKind.TARGET_TYPE,
    "outcome": TermKind.OUTCOME,
    "session_id": TermKind.SESSION_ID,
    "request_id": TermKind.REQUEST_ID,
    "correlation_id": TermKind.CORRELATION_ID,
    "tenant_id": TermKind.TENANT_ID,
    "change_approval_reference": TermKind.APPROVAL_REFERENCE,
    "change_commit": TermKind.COMMIT,
}


# In the order of `Facts.texts`.
_TEXT_KINDS: Final = (
    TermKind.ACTOR_ID,
    TermKind.ON_BEHALF_OF,
    TermKind.SESSION_ID,
    TermKind.REQUEST_ID,
    TermKind.CORRELATION_ID,
    TermKind.TENANT_ID,
    TermKind.APPROVAL_REFERENCE,
    TermKind.COMMIT,
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The terms that a comparison means: those of a kind in a range of texts, but for those that `accepts` refuses.

    Attributes:
        kind: Kind of the terms.
        first: Smallest text.
        before: What is above the largest; None where `first` is the only text.
        accepts: Whether a text of the range is meant.
    """

    kind: int
    first: str
    before: str | bytes | None = None
    accepts: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A field by whose values entries are counted.

    Attributes:
        kind: Kind of the terms that have its values.
        first: Smallest text of these terms.
        before: What is above the largest.
        values: The values that a term's text stands for.
        is_shared: Whether an entry may have several terms that stand for one value.
    """

    kind: int
    first: str
    before: str | bytes
    values: Callable[[str], Sequence[str]]
    is_shared: bool = False


def group_of(name: str, category_of: CategoryOf, controls_of: ControlsOf) -> Group:
    """Return how entries are counted by a field.

    Args:
        name: The field's name, or an alias of it.
        category_of: What the catalogue says of an action.
        controls_of: What the catalogue says of an action.

    Raises:
        InvalidFilterError: There is no such field, or it is none to count by.
    """
    found = resolve(name).name
    if found in _PLAIN:
        return Group(_PLAIN[found], "", _LAST, lambda text: (text,))
    if found in {"action", "category", "controls"}:
        return Group(TermKind.ACTION, "", _LAST, _values_of_action(found, category_of, controls_of))
    if found in {"target", "target_id"}:
        is_id = found == "target_id"
        return Group(TermKind.TARGET, "", _LAST, lambda text: (_target_value(text, is_id=is_id),), is_shared=is_id)
    if found == "ip":
        return Group(TermKind.IP, "", _LAST, lambda text: (format_address((int(text[0]), int(text[1:], 16))),))
    head, dot, key = found.partition(".")
    kind = {"metadata": TermKind.METADATA, "personal_metadata": TermKind.PERSONAL_METADATA}.get(head)
    if kind is None or not dot:
        names = ", ".join(sorted({*_PLAIN, "action", "category", "controls", "target", "target_id", "ip"}))
        raise InvalidFilterError(
            f"entries are not counted by {found}", hint=f"count by one of {names}, metadata.KEY, personal_metadata.KEY"
        )
    before = f"{key}{_BETWEEN}"
    return Group(kind, before, f"{key}{_AFTER}", lambda text: (_shown_value(text.removeprefix(before)),))


def terms_of(facts: Facts, catalogue: int) -> list[tuple[int, str]]:
    """Return the terms of an entry, each a kind and its text; some may stand twice.

    Args:
        facts: What its sections say.
        catalogue: Version of the action catalogue that its leaf names.
    """
    found = [(TermKind.ACTION, f"{facts.action}{_BETWEEN}{catalogue}")]
    found += [(kind, text) for kind, text in zip(_TEXT_KINDS, facts.texts, strict=True) if text]
    add = found.append
    if facts.actor_email:
        add((TermKind.ACTOR_EMAIL, lower_ascii(facts.actor_email)))
    if facts.outcome:
        add((TermKind.OUTCOME, _OUTCOMES[facts.outcome]))
    if facts.ip and (text := _ip_text(facts.ip)):
        add((TermKind.IP, text))
    for target_type, target_id in facts.targets:
        add((TermKind.TARGET, f"{target_id}{_BETWEEN}{target_type}"))
        if target_type:
            add((TermKind.TARGET_TYPE, target_type))
    for key, value in facts.metadata:
        add((TermKind.METADATA, f"{key}{_BETWEEN}{_value_text(value)}"))
    for key, value in facts.personal_metadata:
        kind = TermKind.METADATA if is_personal_key(key) else TermKind.PERSONAL_METADATA
        add((kind, f"{key}{_BETWEEN}{_value_text(value)}"))
        if key == "ip" and isinstance(value, str) and (text := _ip_text(value)):
            add((TermKind.IP, text))
    return found


def meaning(comparison: Comparison, category_of: CategoryOf, controls_of: ControlsOf) -> Meaning | None:
    """Return the terms that a comparison means; None where terms cannot answer it.

    Args:
        comparison: The comparison.
        category_of: What the catalogue says of an action.
        controls_of: What the catalogue says of an action.
    """
    name, operator, value = comparison.field, comparison.operator, comparison.value
    if operator is Operator.CIDR:
        return _network(str(value)) if name == "ip" else None
    if operator is Operator.PREFIX:
        return _beginning(name, str(value))
    if operator is not Operator.EQUALS or value is None:
        return None
    text = str(value)
    if name in {"category", "controls"}:
        return Meaning(TermKind.ACTION, "", _LAST, _by_catalogue(name, text, category_of, controls_of))
    return _equal(name, text) or _metadata(name, value)


def _equal(name: str, text: str) -> Meaning | None:
    if name in _PLAIN:
        return Meaning(_PLAIN[name], text)
    if name == "action":
        return Meaning(TermKind.ACTION, text + _BETWEEN, text + _AFTER)
    if name == "target_id":
        return Meaning(TermKind.TARGET, text + _BETWEEN, text + _AFTER, lambda found: _target_id(found) == text)
    if name == "target" and "/" in text:
        target_type, _, target_id = text.partition("/")
        return Meaning(TermKind.TARGET, f"{target_id}{_BETWEEN}{target_type}")
    if name == "ip" and (found := _ip_text(text)):
        return Meaning(TermKind.IP, found)
    return None


def _beginning(name: str, text: str) -> Meaning | None:
    if name in _PLAIN:
        return Meaning(_PLAIN[name], text, _above(text))
    if name == "action":
        return Meaning(TermKind.ACTION, text, _above(text))
    if name == "target_id":
        return Meaning(TermKind.TARGET, text, _above(text), lambda found: _target_id(found).startswith(text))
    return None


def _above(beginning: str) -> str | bytes:
    """Return what is above every text that begins so, and above no other that is not below them."""
    kept = beginning.rstrip(_LAST_CHARACTER)
    if not kept:
        return _LAST
    following = ord(kept[-1]) + 1
    # What stands for halves of characters is none itself.
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)


def _metadata(name: str, value: Value) -> Meaning | None:
    head, dot, key = name.partition(".")
    kind = {"metadata": TermKind.METADATA, "personal_metadata": TermKind.PERSONAL_METADATA}.get(head)
    # Of a longer text only the beginning is kept.
    if kind is None or not dot or (isinstance(value, str) and len(value) >= METADATA_TEXT_MAX):
        return None
    return Meaning(kind, f"{key}{_BETWEEN}{_value_text(value)}")


def _by_catalogue(name: str, wanted: str, category_of: CategoryOf, controls_of: ControlsOf) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        action, _, catalogue = text.partition(_BETWEEN)
        if name == "category":
            return category_of(action, int(catalogue)) == wanted
        return wanted in controls_of(action, int(catalogue))

    return accepts


def _target_id(text: str) -> str:
    return text.rpartition(_BETWEEN)[0]


def _network(text: str) -> Meaning | None:
    network = parse_network(text)
    if network is None:
        return None
    first = network.beginning << network.shift
    last = first + (1 << network.shift) - 1
    return Meaning(
        TermKind.IP, _address_text((network.version, first)), _address_text((network.version, last)) + _AFTER
    )


@lru_cache(1 << 14)
def _ip_text(text: str) -> str:
    """Return the text of a term for an address; empty for what is none."""
    address = parse_address(text)
    return "" if address is None else _address_text(address)


def _address_text(address: Address) -> str:
    """Return a text whose order is that of the addresses of a version."""
    version, number = address
    return f"{version}{number:032x}"


def _value_text(value: Value) -> str:
    """Return a text that two values share if a filter takes them for equal, or if both are long and begin alike."""
    if isinstance(value, str):
        return f"t{value[:METADATA_TEXT_MAX]}"
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 63:
        value = int(value)
    return f"n{value!r}"


def _values_of_action(name: str, category_of: CategoryOf, controls_of: ControlsOf) -> Callable[[str], Sequence[str]]:
    def values(text: str) -> Sequence[str]:
        action, _, catalogue = text.partition(_BETWEEN)
        if name == "action":
            return (action,)
        if name == "controls":
            return controls_of(action, int(catalogue))
        category = category_of(action, int(catalogue))
        return (category,) if category else ()

    return values


def _target_value(text: str, *, is_id: bool) -> str:
    target_id, _, target_type = text.rpartition(_BETWEEN)
    return target_id if is_id else f"{target_type}/{target_id}"


def _shown_value(text: str) -> str:
    return {"b1": "true", "b0": "false"}.get(text, text[1:])
