"""Filters: which entries are meant, as text, as typed fields, as JSON, and as a function that decides.

One tree (`nodes.py`) stands behind all forms. Pure: no I/O, no clock, no randomness, no protobuf. The rule that must not
break: a filter means the same wherever it is evaluated, so what a server selected a verifier can select again;
docs/filters.md says what it means.
"""

from ledger.query.excerpt import excerpt
from ledger.query.explain import explain
from ledger.query.fields import FIELDS, FieldType, FilterField, resolve
from ledger.query.filter_json import (
    FILTER_MAX_BYTES,
    FILTER_VERSION,
    decode_filter,
    encode_filter,
    filter_from_json,
    filter_to_json,
)
from ledger.query.nodes import (
    EVERYTHING,
    And,
    Comparison,
    Node,
    Not,
    Or,
    all_of,
    any_of,
    check_size,
    comparisons,
    negated,
    personal_fields,
)
from ledger.query.operators import Operator
from ledger.query.parser import FILTER_MAX_CHARACTERS, FILTER_MAX_TOKENS, parse_filter
from ledger.query.predicate import Predicate, QueriedEntry, compile_predicate
from ledger.query.text import format_filter
from ledger.query.typed import TypedFilter, combine

__all__ = [
    "EVERYTHING",
    "FIELDS",
    "FILTER_MAX_BYTES",
    "FILTER_MAX_CHARACTERS",
    "FILTER_MAX_TOKENS",
    "FILTER_VERSION",
    "And",
    "Comparison",
    "FieldType",
    "FilterField",
    "Node",
    "Not",
    "Operator",
    "Or",
    "Predicate",
    "QueriedEntry",
    "TypedFilter",
    "all_of",
    "any_of",
    "check_size",
    "combine",
    "comparisons",
    "compile_predicate",
    "decode_filter",
    "encode_filter",
    "excerpt",
    "explain",
    "filter_from_json",
    "filter_to_json",
    "format_filter",
    "negated",
    "parse_filter",
    "personal_fields",
    "resolve",
]
