"""The file `events.json`: what a verifier of leaves and sections in another language must accept and refuse.

`python -m tests.vectors.generate_events` writes it beside this module. All bytes are in standard base64, hashes and
salts too. Cases have a `case` (what is special about it) and an `ok` (whether it must be accepted).

- `genesis`: `origin` of a log, and the `hash` that stands for the previous leaf hash in its first leaf.
- `commitments`: of a `kind` of section (`event` or `personal`), its `salt` and its bytes make the `commitment`.
- `leaves`: `leaf` and its `leaf_hash`; where it is ok, its fields, with null for what is absent.
- `sections`: bytes of a `kind` of section. `ok` is the strict-bytes rule alone. Where it holds, `flat` is what the
  section says as a flat event (in a personal section, `targets` are their names), and `beyond` lists the fields that a
  server refuses because they break a limit; where it does not, `newer` tells whether the section names a newer schema
  instead of being broken.
- `bundles`: `bundle` of `width` entries; where it is ok, its `entries`.
- `actions`: `action` by the grammar.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger.errors import InvalidEventError, MalformedError, NewerSchemaError
from ledger.events.actions import is_wellformed
from ledger.events.bundles import decode_bundle, encode_bundle
from ledger.events.checks import check_values
from ledger.events.codec import encode_event, encode_personal
from ledger.events.commitments import commit_event, commit_personal
from ledger.events.event import (
    Actor,
    ActorType,
    Authentication,
    AuthMethod,
    Change,
    DataClassification,
    DataContext,
    Event,
    FieldChange,
    MetadataEntry,
    Original,
    Outcome,
    PersonalData,
    Request,
    Source,
    Target,
    Truth,
)
from ledger.events.flat import to_flat
from ledger.events.leaf import CosignedHead, Leaf, decode_leaf, encode_leaf, genesis_hash
from ledger.events.wire import read_event, read_personal

FILE = Path(__file__).resolve().parent / "events.json"

_EVENT = Event(
    event_id="01890a5d-ac96-774b-bcce-b302099a8057",
    action="user.role.updated",
    occurred_at=1_771_597_800_000_000,
    actor=Actor(ActorType.USER, "user_123"),
    targets=(Target("user", "user_456"),),
    metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
)
_PERSONAL = PersonalData(actor_email="admin@company.com", ip="203.0.113.42", user_agent="Mozilla/5.0...")
_FULL = replace(
    _EVENT,
    actor=Actor(ActorType.API_KEY, "key_1", "user_1", ("admin", "auditor")),
    targets=(Target("user", "1"), Target("team", "größe")),
    outcome=Outcome.DENIED,
    reason_code="policy",
    auth=Authentication(AuthMethod.MFA_TOTP, Truth.TRUE, "cred", "session", "idp"),
    request=Request("request", bytes(range(16)), bytes(range(8)), "POST", "/projects/{id}"),
    change=Change("PR 1", "e-0", ("bob", "eve"), "mallory", "0123abc", "OPS-1", "1.2.3", Truth.FALSE),
    field_changes=(FieldChange("role", "member", "admin"), FieldChange("limit", old=-1), FieldChange("on", new=False)),
    data=DataContext(DataClassification.RESTRICTED, (1 << 64) - 1, 1, "s3"),
    metadata=(
        MetadataEntry("a", ""),
        MetadataEntry("b", 0),
        MetadataEntry("c", -(1 << 63)),
        MetadataEntry("d", 0.1),
        MetadataEntry("e", True),
        MetadataEntry("f", "\N{GRINNING FACE}"),
    ),
    source=Source("api", "api-1", "1", "sdk/1", bytes(15) + b"\xff", 7),
    tenant_id="tenant",
    correlation_id="correlation",
)
_FULL_PERSONAL = replace(
    _PERSONAL,
    actor_name="Zoë 价格",
    peer_ip="2001:db8::1",
    description="in words",
    reason="in more words",
    target_names=("Bob", ""),
    field_changes=(FieldChange("email", "a@example.com", "b@example.com"),),
    metadata=(MetadataEntry("ip", "198.51.100.7"),),
    original=Original("application/json", b'{"a": 1}'),
)
_LEAF = Leaf(
    recorded_at=1_771_597_801_234_567,
    principal=bytes(range(16)),
    catalogue=1,
    previous=genesis_hash("log.example/sample"),
    event_commitment=commit_event(bytes(16), encode_event(_EVENT)),
    personal_commitment=commit_personal(bytes(16), encode_personal(_PERSONAL)),
    cosigned_head=CosignedHead(300, hashlib.sha256(b"root").digest(), 1_771_597_800),
)
_HEADER = b"\x08\x01\x12\x01e\x1a\x03a.b\x21\x05\x00\x00\x00\x00\x00\x00\x00"


def events() -> dict[str, Any]:
    """All vectors of this file."""
    origins = ("log.example/sample", "logproof.invalid/00112233445566778899aabbccddeeff/acme-production")
    return {
        "genesis": [{"origin": origin, "hash": genesis_hash(origin)} for origin in origins],
        "commitments": list(_commitments()),
        "leaves": [_leaf(case, data) for case, data in _leaves()],
        "sections": [_section(case, kind, data) for case, kind, data in _sections()],
        "bundles": [_bundle(case, width, data) for case, width, data in _bundles()],
        "actions": [{"action": action, "ok": is_wellformed(action)} for action in _ACTIONS],
    }


def render() -> bytes:
    """The bytes of the file."""
    return (json.dumps(events(), indent=1, default=_base64) + "\n").encode("ascii")


def main() -> None:
    FILE.write_bytes(render())


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _commitments() -> Iterator[dict[str, Any]]:
    for salt in (bytes(16), bytes(range(16)), b"\xff" * 16):
        event, personal = encode_event(_EVENT), encode_personal(_PERSONAL)
        yield {"kind": "event", "salt": salt, "section": event, "commitment": commit_event(salt, event)}
        yield {"kind": "personal", "salt": salt, "section": personal, "commitment": commit_personal(salt, personal)}


def _leaves() -> Iterator[tuple[str, bytes]]:
    good = encode_leaf(_LEAF)
    plain = encode_leaf(replace(_LEAF, cosigned_head=None))
    yield "all fields", good
    yield "no cosigned head", plain
    yield "no personal data", encode_leaf(replace(_LEAF, cosigned_head=None, personal_commitment=None))
    yield "no personal data, cosigned head", encode_leaf(replace(_LEAF, personal_commitment=None))
    yield "largest numbers", encode_leaf(replace(_LEAF, recorded_at=(1 << 64) - 1, catalogue=(1 << 32) - 1))
    yield "largest size", encode_leaf(replace(_LEAF, cosigned_head=CosignedHead((1 << 63) - 1, b"r" * 32, 1)))
    yield "empty", b""
    yield "format version 2", b"\x08\x02" + plain[2:]
    yield "format version 0", b"\x08\x00" + plain[2:]
    yield "format version in two bytes", b"\x08\x81\x00" + plain[2:]
    yield "no format version", plain[2:]
    yield "format version twice", b"\x08\x01" + plain
    yield "recorded_at 0", plain[:3] + bytes(8) + plain[11:]
    yield "principal all zero", plain[:13] + bytes(16) + plain[29:]
    yield "principal of 15 bytes", plain[:12] + b"\x0f" + plain[14:]
    yield "catalogue 0", plain[:30] + b"\x00" + plain[31:]
    yield "catalogue in two bytes", plain[:30] + b"\x81\x00" + plain[31:]
    yield "catalogue of 33 bits", plain[:30] + b"\x80\x80\x80\x80\x10" + plain[31:]
    yield "no previous leaf hash", plain[:31] + plain[65:]
    yield "previous leaf hash all zero", plain[:33] + bytes(32) + plain[65:]
    yield "event commitment before previous leaf hash", plain[:31] + plain[65:99] + plain[31:65] + plain[99:]
    yield "no event commitment", plain[:65] + plain[99:]
    yield "personal commitment empty", plain[:99] + b"\x3a\x00"
    yield "personal commitment of 31 bytes", plain[:100] + b"\x1f" + plain[102:]
    yield "personal commitment twice", plain + plain[99:]
    yield "cosigned head empty", plain + b"\x42\x00"
    yield "cosigned head without time", plain + b"\x42\x25\x08\xac\x02\x12\x20" + b"r" * 32
    yield "cosigned head with a field more", plain + b"\x42\x30" + good[len(plain) + 2 :] + b"\x20\x01"
    yield "cosigned head of size 0", plain + b"\x42\x2d\x08\x00" + good[len(plain) + 5 :]
    yield "cosigned head of size 2**63", plain + b"\x42\x36\x08" + b"\x80" * 9 + b"\x01" + good[len(plain) + 5 :]
    yield "cosigned head longer than its length", plain + b"\x42\x2d" + good[len(plain) + 2 :]
    yield "cut off", plain[:-1]
    yield "a byte more", plain + b"\x00"
    yield "a field more", plain + b"\x48\x01"


def _leaf(case: str, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"case": case, "leaf": data}
    try:
        leaf = decode_leaf(data)
    except MalformedError:
        return {**found, "ok": False}
    head = leaf.cosigned_head
    return {
        **found,
        "ok": True,
        "leaf_hash": hashlib.sha256(b"\x00" + data).digest(),
        "recorded_at": leaf.recorded_at,
        "principal": leaf.principal,
        "catalogue": leaf.catalogue,
        "previous": leaf.previous,
        "event_commitment": leaf.event_commitment,
        "personal_commitment": leaf.personal_commitment,
        "cosigned_head": head and {"size": head.size, "root": head.root, "cosigned_at": head.cosigned_at},
    }


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def _metadata(value: bytes) -> bytes:
    return _HEADER + _field(0x72, _field(0x0A, b"key") + _field(0x12, value))


def _sections() -> Iterator[tuple[str, str, bytes]]:
    yield "the requirement's example", "event", encode_event(_EVENT)
    yield "the requirement's example", "personal", encode_personal(_PERSONAL)
    yield "every field", "event", encode_event(_FULL)
    yield "every field", "personal", encode_personal(_FULL_PERSONAL)
    digest = Original("application/json", b"", hashlib.sha256(b"x").digest(), 40_000)
    yield "original too large to be kept", "personal", encode_personal(PersonalData(original=digest))
    yield "fields in another order", "event", _HEADER[10:] + _HEADER[:10]
    yield "message that says nothing", "event", _HEADER + b"\x2a\x00"
    for case, value in (
        ("empty text", b"\x0a\x00"),
        ("integer 0", b"\x11" + bytes(8)),
        ("number minus zero", b"\x19" + struct.pack("<d", -0.0)),
        ("no", b"\x20\x02"),
        ("neither yes nor no", b"\x20\x00"),
        ("truth 3", b"\x20\x03"),
        ("no branch", b""),
        ("two branches", b"\x0a\x01x\x20\x01"),
        ("one branch twice", b"\x0a\x01x\x0a\x01x"),
        ("not a number", b"\x19" + struct.pack("<d", float("nan"))),
        ("infinity", b"\x19" + struct.pack("<d", float("inf"))),
    ):
        yield f"value: {case}", "event", _metadata(value)
    for case, data in (
        ("empty", b""),
        ("no schema", _HEADER[2:]),
        ("schema 0", b"\x08\x00" + _HEADER[2:]),
        ("schema 2", b"\x08\x02" + _HEADER[2:]),
        ("schema 2 with a field that is not known", _HEADER[2:] + b"\x08\x02\xfa\x01\x05newer"),
        ("schema 2, cut off", b"\x08\x02\x12\x05e"),
        ("schema 128", b"\x08\x80\x01" + _HEADER[2:]),
        ("unknown field", _HEADER + b"\x90\x01\x01"),
        ("unknown field in a message", _HEADER + _field(0x7A, b"\x3a\x01x")),
        ("field number 0", _HEADER + b"\x00\x00"),
        ("group", _HEADER + b"\x93\x01\x94\x01"),
        ("singular field twice", _HEADER + b"\x12\x01e"),
        ("message twice", _HEADER + b"\x2a\x00\x2a\x00"),
        ("tag in two bytes", _HEADER[:2] + b"\x92\x00" + _HEADER[3:]),
        ("length in two bytes", _HEADER[:3] + b"\x81\x00" + _HEADER[4:]),
        ("enum in two bytes", _HEADER + b"\x38\x81\x00"),
        ("wrong wire type", _HEADER[:2] + b"\x10\x01" + _HEADER[5:]),
        ("text written out though empty", _HEADER + b"\x42\x00"),
        ("enum written out though 0", _HEADER + b"\x38\x00"),
        ("fixed64 written out though 0", _HEADER[:10] + b"\x21" + bytes(8)),
        ("outcome outside the schema", _HEADER + b"\x38\x06"),
        ("actor type outside the schema", _HEADER + b"\x2a\x02\x08\x07"),
        ("authentication method outside the schema", _HEADER + b"\x4a\x02\x08\x0d"),
        ("second factor outside the schema", _HEADER + b"\x4a\x02\x10\x03"),
        ("emergency outside the schema", _HEADER + b"\x5a\x02\x40\x03"),
        ("classification outside the schema", _HEADER + b"\x6a\x02\x08\x06"),
        ("negative enum in five bytes", _HEADER + b"\x38\xff\xff\xff\xff\x0f"),
        ("invalid UTF-8", _HEADER + _field(0x42, b"a\xff")),
        ("surrogate in UTF-8", _HEADER + _field(0x42, b"\xed\xa0\x80")),
        ("overlong UTF-8", _HEADER + _field(0x42, b"\xc0\x80")),
        ("metadata without key", _HEADER + _field(0x72, _field(0x12, b"\x20\x01"))),
        ("metadata without value", _HEADER + _field(0x72, _field(0x0A, b"key"))),
        ("field change without path", _HEADER + b"\x62\x00"),
        ("field change whose old value has no branch", _HEADER + _field(0x62, b"\x0a\x01p\x12\x00")),
        ("field change whose new value has no branch", _HEADER + _field(0x62, b"\x0a\x01p\x1a\x00")),
        ("cut off in a length", _HEADER + b"\x42"),
        ("cut off in a text", _HEADER + b"\x42\x05x"),
        ("cut off in a number", _HEADER[:-1]),
        ("varint without end", _HEADER + b"\xff" * 11),
        ("schema 2 with the largest tag", _HEADER[2:] + b"\x08\x02\xf8" + b"\xff" * 8 + b"\x01\x05"),
        ("schema 2 with a tag above 64 bits", _HEADER[2:] + b"\x08\x02\xf8" + b"\xff" * 8 + b"\x03\x05"),
        ("schema 2 with a length above 64 bits", _HEADER[2:] + b"\x08\x02\xfa\x01\x80" + b"\x80" * 8 + b"\x02"),
    ):
        yield case, "event", data
    yield "singular field twice", "personal", b"\x08\x01\x12\x01x\x12\x01x"
    yield "no id, action and time", "event", b"\x08\x01"
    yield "limits broken", "event", encode_event(replace(_EVENT, action="User", tenant_id="x" * 129))
    unsorted = (MetadataEntry("b", 1), MetadataEntry("a", 1))
    yield "metadata keys out of order", "event", encode_event(replace(_EVENT, metadata=unsorted))


def _section(case: str, kind: str, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"case": case, "kind": kind, "section": data}
    try:
        event = read_event(data) if kind == "event" else _EVENT
        personal = read_personal(data) if kind == "personal" else None
    except InvalidEventError as error:
        return {**found, "ok": False, "newer": isinstance(error, NewerSchemaError)}
    flat = to_flat(event, personal)
    if personal is not None:
        # Names of targets are held against the targets of the event, of which this section says nothing more.
        count = len(personal.target_names)
        event = replace(event, targets=(Target("any"),) * count)
        public = to_flat(event)
        flat = to_flat(replace(event, targets=(Target(),) * count), personal)
        flat = {key: value for key, value in flat.items() if public.get(key) != value}
    return {**found, "ok": True, "flat": flat, "beyond": [item.field for item in check_values(event, personal)]}


def _bundles() -> Iterator[tuple[str, int, bytes]]:
    leaf = encode_leaf(_LEAF)
    yield "one leaf", 1, encode_bundle([leaf])
    yield "three entries, one of them empty", 3, encode_bundle([b"a", b"", b"b" * 300])
    yield "full", 256, encode_bundle([bytes([number]) for number in range(256)])
    yield "an entry too few", 2, encode_bundle([leaf])
    yield "an entry too many", 1, encode_bundle([leaf, b""])
    yield "cut off in a length", 2, encode_bundle([b"a"]) + b"\x00"
    yield "cut off in an entry", 1, encode_bundle([leaf])[:-1]
    yield "bytes at the end", 1, encode_bundle([leaf]) + b"\x00"


def _bundle(case: str, width: int, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"case": case, "width": width, "bundle": data}
    try:
        return {**found, "ok": True, "entries": decode_bundle(data, width)}
    except MalformedError:
        return {**found, "ok": False}


_ACTIONS = (
    "user.role.updated",
    "api_key.created",
    "a.b.c.d",
    "a." + "b" * 126,
    "user",
    "User.created",
    "a..b",
    "a.b.c.d.e",
    "api-key.created",
    "_a.b",
    "a_.b",
    "a__b.c",
    "1a.b",
    "a.b\n",
    "a." + "b" * 127,
)


if __name__ == "__main__":
    main()
