"""The tree of a filter: comparisons, joined by AND, OR and NOT.

The rule that must not break: a node that exists is valid and in normal form, so that equal filters are equal trees. Normal
form: no AND directly in an AND, no OR in an OR, no NOT in a NOT, no AND or OR of one; field names canonical, values in
their one form. Order and repetition stay as they were written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Final, TypeAlias

from ledger.errors import InvalidFilterError
from ledger.events.event import Value
from ledger.query.fields import resolve
from ledger.query.operators import Operator
from ledger.query.values import check_operator, check_value, kind_of

MAX_COMPARISONS: Final = 64
"""Most comparisons of a filter."""

MAX_DEPTH: Final = 16
"""Most AND, OR and NOT that stand inside one another."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question about one field; true if some value of the field answers yes.

    Attributes:
        field: The field's canonical name; an alias is replaced by it.
        operator: What is asked.
        value: What the values are compared with, in its one form: times as microseconds since 1970 in UTC. None for
            PRESENT.
        kind: Which kind of value it is: text, integer, number or truth; empty for PRESENT.
    """

    field: str
    operator: Operator
    value: Value | None = None
    # Part of what is compared: to Python, True is 1.
    kind: str = attribute(init=False, default="")

    def __post_init__(self) -> None:
        """Bring the parts into their one form.

        Raises:
            InvalidFilterError: There is no such field, or it does not take the operator or the value.
        """
        found = resolve(self.field)
        check_operator(found, self.operator)
        value = check_value(found, self.operator, self.value)
        object.__setattr__(self, "field", found.name)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "kind", "" if value is None else kind_of(value))


@dataclass(frozen=True, slots=True)
class And:
    """True if all operands are; without operands it is every entry, and stands alone.

    Attributes:
        operands: None, or two and more.
    """

    operands: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Refuse what is not in normal form.

        Raises:
            ValueError: It is not.
        """
        if len(self.operands) == 1 or any(isinstance(operand, And) for operand in self.operands):
            raise ValueError("an AND has two operands or more, none of them an AND; all_of makes one")


@dataclass(frozen=True, slots=True)
class Or:
    """True if any operand is.

    Attributes:
        operands: Two and more.
    """

    operands: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Refuse what is not in normal form.

        Raises:
            ValueError: It is not.
        """
        if len(self.operands) < 2 or any(isinstance(node, Or) or node == EVERYTHING for node in self.operands):
            raise ValueError("an OR has two operands or more, none of them an OR or every entry; any_of makes one")


@dataclass(frozen=True, slots=True)
class Not:
    """True if the operand is not.

    Attributes:
        operand: What is negated.
    """

    operand: Node

    def __post_init__(self) -> None:
        """Refuse what is not in normal form.

        Raises:
            ValueError: It is not.
        """
        if isinstance(self.operand, Not) or self.operand == EVERYTHING:
            raise ValueError("a NOT is not of a NOT, nor of every entry; negated makes one")


Node: TypeAlias = Comparison | And | Or | Not
"""A filter, or a part of one."""

EVERYTHING: Final = And(())
"""The filter that every entry passes."""


def all_of(*nodes: Node) -> Node:
    """Return the filter for what passes all of some filters, in normal form."""
    operands: list[Node] = []
    for node in nodes:
        operands += node.operands if isinstance(node, And) else (node,)
    return operands[0] if len(operands) == 1 else And(tuple(operands))


def any_of(*nodes: Node) -> Node:
    """Return the filter for what passes any of some filters, at least one, in normal form."""
    operands: list[Node] = []
    for node in nodes:
        operands += node.operands if isinstance(node, Or) else (node,)
    return operands[0] if len(operands) == 1 else Or(tuple(operands))


def negated(node: Node) -> Node:
    """Return the filter for what does not pass a filter, in normal form."""
    return node.operand if isinstance(node, Not) else Not(node)


def comparisons(node: Node) -> Iterator[Comparison]:
    """Yield every comparison, in order."""
    if isinstance(node, Comparison):
        yield node
    elif isinstance(node, Not):
        yield from comparisons(node.operand)
    else:
        for operand in node.operands:
            yield from comparisons(operand)


def personal_fields(node: Node) -> tuple[str, ...]:
    """Return the names of the personal fields that a filter looks at, sorted, each once.

    Who may not see personal data must be refused such a filter: what passes it would tell.
    """
    names = {comparison.field for comparison in comparisons(node)}
    return tuple(sorted(name for name in names if resolve(name).is_personal))


def check_size(node: Node) -> None:
    """Return if a filter is within the limits.

    Raises:
        InvalidFilterError: It has more than 64 comparisons, or more than 16 AND, OR and NOT stand inside one another.
    """
    count = sum(1 for _ in comparisons(node))
    if count > MAX_COMPARISONS:
        raise InvalidFilterError(f"the filter has {count} comparisons; the limit is {MAX_COMPARISONS}")
    depth = _depth(node)
    if depth > MAX_DEPTH:
        raise InvalidFilterError(f"the filter is {depth} deep; the limit is {MAX_DEPTH} AND, OR and NOT in one another")


def _depth(node: Node) -> int:
    if isinstance(node, Comparison):
        return 0
    operands = (node.operand,) if isinstance(node, Not) else node.operands
    return 1 + max((_depth(operand) for operand in operands), default=0)
