"""The verifier in JavaScript as a process that answers calls, and what ours says in the same form."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum
from typing import Any, Literal, TypeAlias

from ledger.errors import EventTooLargeError, InvalidEventError, LedgerError, NewerSchemaError
from ledger.events.event import Event, PersonalData, Truth, Value
from ledger.events.wire import read_event, read_personal
from ledger.evidence import SectionStatus, VerifiedReceipt, verify_receipt
from ledger.notes import parse_verifier_key
from tests.support.documentation import ROOT

PROGRAM = ROOT / "docs" / "examples" / "verify_receipt.mjs"
"""The verifier in JavaScript."""

VECTORS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "receipts.json").read_bytes())
"""Receipts of one log, good and bad."""

CASES: list[dict[str, Any]] = VECTORS["cases"]
KEY: str = VECTORS["verifier_key"]
VERIFIER = parse_verifier_key(KEY)

SectionKind: TypeAlias = Literal["event", "personal"]

STATES = {
    SectionStatus.NEWER_SCHEMA: "of a newer schema, its content is not read",
    SectionStatus.NOT_SHOWN: "not shown, its content is not verified",
    SectionStatus.NONE: "the entry has none",
}


class RefusedError(Exception):
    """The JavaScript verifier refused what it was given."""


class Javascript:
    """One Node process that answers calls, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, *values: object) -> Any:
        """Call a function with text, or with bytes that become base64, and return its value or raise."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        call = [name, *(to_base64(value) if isinstance(value, bytes) else value for value in values)]
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        return answer["value"]

    def receipt(self, data: bytes) -> Any:
        """Return what a receipt says, or None if it is refused."""
        try:
            return _with_exact_numbers(self.call("receipt", data, KEY))
        except RefusedError:
            return None

    def section(self, kind: SectionKind, data: bytes) -> Any:
        """Return the fields of a section, `newer` or `refused`."""
        try:
            content = self.call("section", data, kind)
        except RefusedError:
            return "refused"
        return "newer" if content is None else _with_exact_numbers(content)


def to_base64(data: bytes) -> str:
    """Encode bytes as a call takes them."""
    return base64.b64encode(data).decode()


def _with_exact_numbers(value: Any) -> Any:
    """Write the doubles in hex: JSON does not tell 5 from 5.0, and 0 equals -0."""
    if isinstance(value, list):
        return [_with_exact_numbers(element) for element in value]
    if isinstance(value, dict):
        return {
            name: float(member).hex() if name == "number" else _with_exact_numbers(member)
            for name, member in value.items()
        }
    return value


def _python_branch(value: Value) -> dict[str, Any]:
    """Return a value under the name of its type; a boolean is an integer to Python, so it comes first."""
    match value:
        case bool():
            return {"truth": value}
        case str():
            return {"text": value}
        case int():
            return {"integer": value}
    return {"number": value.hex()}


def python_form(value: Any) -> Any:
    """Return fields by name without those that are not there; enums by name, bytes in hex, values by their branch."""
    match value:
        case Truth():
            return value is Truth.TRUE
        case IntEnum():
            return value.name.lower()
        case bytes():
            return value.hex()
        case str() | int():
            return value
        case tuple():
            return [python_form(element) for element in value]
    form = {}
    for name, member in ((field.name, getattr(value, field.name)) for field in fields(value)):
        if name in {"old", "new", "value"} and member is not None:
            form[name] = _python_branch(member)
        elif member not in (None, 0, "", b"", ()):
            form[name] = python_form(member)
    return form


def python_section(kind: SectionKind, data: bytes) -> Any:
    """Return what our reader makes of a section, in the form of `Javascript.section`."""
    try:
        content: Event | PersonalData = read_event(data) if kind == "event" else read_personal(data)
    except NewerSchemaError:
        return "newer"
    except (InvalidEventError, EventTooLargeError):
        return "refused"
    return python_form(content)


def _verdict(verified: VerifiedReceipt) -> str:
    statuses = {verified.event_status, verified.personal_status}
    if SectionStatus.NEWER_SCHEMA in statuses:
        return "verified, content of a newer schema not read"
    return "verified, section not shown" if SectionStatus.NOT_SHOWN in statuses else "verified"


def python_receipt(data: bytes) -> Any:
    """Return what our verifier makes of a receipt, in the form of `Javascript.receipt`."""
    try:
        verified = verify_receipt(data, VERIFIER)
    except LedgerError:
        return None
    states = {"event": verified.event_status, "personal": verified.personal_status}
    notes = [f"{kind} section: {STATES[status]}" for kind, status in states.items() if status in STATES]
    head = verified.leaf.cosigned_head
    return {
        "verdict": _verdict(verified),
        "level": verified.level.label,
        "origin": verified.checkpoint.origin,
        "leaf_index": verified.leaf_index,
        "tree_size": verified.checkpoint.tree_size,
        "root_hash": verified.checkpoint.root_hash.hex(),
        "recorded_at": verified.leaf.recorded_at,
        "principal": verified.leaf.principal.hex(),
        "event": None if verified.event is None else python_form(verified.event),
        "personal": None if verified.personal is None else python_form(verified.personal),
        "notes": notes if head is None else [*notes, f"cosigned head of size {head.size}: not checked"],
    }


def one_byte_changes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each place of a file, and the file with that byte changed in its lowest bit, at random, gone or twice."""
    rng = random.Random(3)
    for at, byte in enumerate(data):
        others = (bytes([byte ^ 1]), bytes([byte ^ rng.randrange(1, 256)]), b"", bytes([byte, byte]))
        for other in others:
            yield at, data[:at] + other + data[at + 1 :]
