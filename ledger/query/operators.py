"""The operators of a comparison, few, so that every implementation has all of them.

The rule that must not break: an operator is a question about one value of a field; a comparison is true if some value
of the field answers yes. Everything else is made of AND, OR and NOT.
"""

from __future__ import annotations

from enum import Enum


class Operator(Enum):
    """A question about one value; the member's value is its name in JSON."""

    EQUALS = "="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    PREFIX = "prefix"
    CIDR = "cidr"
    PRESENT = "present"


ORDERINGS = frozenset({Operator.LESS, Operator.LESS_OR_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL})
"""The operators that need an order of the values."""
