#!/usr/bin/env python3
"""Verifies an evidence bundle of Logproof Ledger: this one file, Python 3.8 or newer, no packages, no network.

    python3 -I -S verify_bundle.py BUNDLE --key VKEY [--since OLD.note] [--require LEVEL] [--quick]
    python3 -I -S verify_bundle.py BUNDLE --unpinned

BUNDLE is the zip or the directory; VKEY the log's verifier key, or a file that holds it, which you have on another way
than the bundle. Without one, --unpinned takes the key in the bundle, which proves nothing of who made it. OLD.note is a
checkpoint that you kept from earlier. --quick checks hashes and proofs, and does not compare the readable rows.

The first line of the output names what the verdict rests on. Exit codes: 0 good, 1 failed, 2 usage or bad input,
3 incomplete, or below the level that --require names, 6 the log signed two histories: keep both notes.

Written from docs/formats.md of the project; "section 18" below is its section 18. The rule that must not break: what
verifies returns, or raises; there is no result that could be overlooked.
"""

from __future__ import annotations

import argparse
import binascii
import datetime
import hashlib
import json
import math
import os
import re
import stat
import struct
import sys
import zlib

FORMAT = "logproof/bundle/v1"
LEVELS = ("arithmetic-only", "unpinned", "pinned-key", "pinned-head", "anchored-head")
LABELS = ("arithmetic only", "UNPINNED", "pinned key, tail unproven", "pinned head", "anchored head")
CHUNK = 256 * 1024


class Failed(Exception):
    """The bundle does not hold."""


class Forked(Failed):
    """The log signed two roots for one size."""


class BadInput(Exception):
    """There was nothing to judge: what the caller brought is wrong."""


def require(condition, reason):
    if not condition:
        raise Failed(reason)


# Notation (section 1)

DECIMAL = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)
CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
MAX_SIZE = 2**63 - 1


def sha256(data):
    return hashlib.sha256(data).digest()


def base64(text, what):
    """The bytes of base64 in its one spelling."""
    try:
        raw = text if isinstance(text, bytes) else text.encode("ascii")
        data = binascii.a2b_base64(raw)
    except (ValueError, UnicodeEncodeError):
        raise Failed(what + " is not base64") from None
    require(binascii.b2a_base64(data, newline=False) == raw, what + " is not canonical base64")
    return data


def decimal(text, what):
    require(DECIMAL.fullmatch(text) and int(text) <= MAX_SIZE, what + " is not a decimal number")
    return int(text)


def utf8(data, what):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Failed(what + " is not UTF-8") from None


def load_json(data, what):
    def distinct(pairs):
        value = dict(pairs)
        require(len(value) == len(pairs), what + " has a key twice in an object")
        return value

    def refuse(constant):
        raise Failed("%s has %s, which is not JSON" % (what, constant))

    try:
        return json.loads(utf8(data, what), object_pairs_hook=distinct, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Failed("%s cannot be read as JSON: %s" % (what, error)) from None


def exact_object(value, keys, what):
    require(
        isinstance(value, dict) and set(value) == set(keys), "%s does not have exactly %s" % (what, ", ".join(keys))
    )
    return value


def number(value, what):
    require(type(value) is int and 0 <= value <= 2**53 - 1, what + " is not a whole number from 0 to 2^53 - 1")
    return value


def text_of(value, what):
    require(isinstance(value, str) and 0 < len(value) <= 1024, what + " is not text of up to 1024 characters")
    return value


def hashes_of(value, what):
    try:
        good = isinstance(value, list) and len(value) <= 128
        hashes = [bytes.fromhex(text) for text in value] if good else []
        if good and [item.hex() for item in hashes] == value and all(len(item) == 32 for item in hashes):
            return hashes
    except (TypeError, ValueError):
        pass
    raise Failed(what + " is not a list of hashes")


# Time

EPOCH = datetime.datetime(1970, 1, 1)
TIME_MAX = 253402300799999999
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{0,5}[1-9]))?Z", re.ASCII
)


def format_time(microseconds):
    if not 0 <= microseconds <= TIME_MAX:
        return microseconds
    seconds, fraction = divmod(microseconds, 1000000)
    text = (EPOCH + datetime.timedelta(seconds=seconds)).isoformat()
    return text + ((".%06d" % fraction).rstrip("0") if fraction else "") + "Z"


def parse_time(value):
    if value is None:
        return None
    match = TIME.fullmatch(text_of(value, "a time of the period"))
    require(match, "a time of the period is not in its one form")
    try:
        moment = datetime.datetime(*map(int, match.groups()[:6]))
    except ValueError:
        raise Failed("a time of the period is no time") from None
    delta = moment - EPOCH
    time = (delta.days * 86400 + delta.seconds) * 1000000 + int((match.group(7) or "0").ljust(6, "0"))
    require(0 < time <= TIME_MAX, "a time of the period is out of range")
    return time


# Ed25519 (RFC 8032 section 5.1.7), with the usual choices where it leaves some: no cofactor, the encoding of R is
# compared byte for byte, S is below the order, and the y of a public key is taken modulo p.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def add_points(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    p = (y1 - x1) * (y2 - x2) % P
    q = (y1 + x1) * (y2 + x2) % P
    r = 2 * t1 * t2 * D % P
    s = 2 * z1 * z2 % P
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add_points(result, point)
        point = add_points(point, point)
        scalar >>= 1
    return result


def decode_point(data):
    """The point of a public key, or None."""
    encoded = int.from_bytes(data, "little")
    y, sign = (encoded & (1 << 255) - 1) % P, encoded >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P:
        return None
    if x & 1 != sign:
        x = -x % P
    return x, y, 1, x * y % P


def encode_point(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_is_valid(public_key, message, signature):
    """Whether the signature of 64 bytes is that of the key over the message."""
    point = decode_point(public_key)
    scalar = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or point is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    minus = (-point[0] % P, point[1], 1, -point[3] % P)
    return encode_point(add_points(multiply(scalar, BASE), multiply(challenge, minus))) == signature[:32]


# Keys, notes and checkpoints (sections 7 and 8)


def is_key_name(name):
    surrogate = any("\ud800" <= character <= "\udfff" for character in name)
    return name and not surrogate and not any(c.isspace() or c < " " or c == "+" for c in name)


def parse_key(text):
    """Name, id and bytes of a log's verifier key."""
    parts = text.split("+", 2)
    require(len(parts) == 3 and is_key_name(parts[0]), "the verifier key is not NAME+ID+KEY")
    payload = base64(parts[2], "the verifier key")
    require(len(payload) == 33 and payload[0] == 1, "the verifier key is not a log's Ed25519 key")
    key_id = sha256(parts[0].encode() + b"\n" + payload)[:4]
    require(parts[1] == key_id.hex(), "the verifier key has an id that does not follow from it")
    return parts[0], key_id, payload[1:]


def split_note(data):
    """Text and signature lines of a note, each line read."""
    require(len(data) <= 1000000, "a note is too large")
    text = utf8(data, "a note")
    require(not CONTROL.search(text), "a note has a control character")
    separator = text.rfind("\n\n")
    require(separator >= 0 and text.endswith("\n"), "a note has no signatures")
    lines = text[separator + 2 : -1].split("\n") if len(text) > separator + 2 else []
    require(1 <= len(lines) <= 100, "a note has not 1 to 100 signatures")
    signatures = []
    for line in lines:
        parts = line.split(" ", 2)
        require(len(parts) == 3 and parts[0] == "\u2014" and is_key_name(parts[1]), "a signature line has another form")
        payload = base64(parts[2], "a signature")
        require(len(payload) > 4, "a signature is too short")
        signatures.append((parts[1], payload[:4], payload[4:]))
    return text[: separator + 1], signatures


def open_checkpoint(data, key):
    """Size and root of a checkpoint that the key signed."""
    name, key_id, public_key = key
    text, signatures = split_note(data)
    ours = [signature for signer, signer_id, signature in signatures if (signer, signer_id) == (name, key_id)]
    require(ours, "the log's key did not sign a checkpoint")
    for signature in ours:
        require(ed25519_is_valid(public_key, text.encode(), signature), "the log's signature is not valid")
    lines = text[:-1].split("\n")
    require(len(lines) >= 3 and "" not in lines, "a checkpoint has not three lines, or an empty one")
    require(lines[0] == name, "a checkpoint is of another origin")
    size, root = decimal(lines[1], "a tree size"), base64(lines[2], "a root hash")
    require(len(root) == 32, "a root hash has not 32 bytes")
    require(size or root == sha256(b""), "the empty tree has another root")
    return size, root


# Trees (sections 2 and 6)


def hash_node(left, right):
    return sha256(b"\x01" + left + right)


def verify_inclusion(leaf_hash, index, size, root, proof):
    require(0 <= index < size, "an index is beyond the tree")
    position, last, computed = index, size - 1, leaf_hash
    for sibling in proof:
        require(last > 0, "an inclusion proof has too many hashes")
        if position & 1 or position == last:
            computed = hash_node(sibling, computed)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            computed = hash_node(computed, sibling)
        position, last = position >> 1, last >> 1
    require(last == 0 and computed == root, "an inclusion proof does not lead to the root")


def verify_consistency(first_size, first_root, second_size, second_root, proof):
    """For 0 < first_size < second_size."""
    if first_size & (first_size - 1) == 0:
        proof = [first_root] + proof
    require(proof, "a consistency proof is empty")
    position, last = first_size - 1, second_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = proof[0]
    for sibling in proof[1:]:
        require(last > 0, "a consistency proof has too many hashes")
        if position & 1 or position == last:
            first, second = hash_node(sibling, first), hash_node(sibling, second)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            second = hash_node(second, sibling)
        position, last = position >> 1, last >> 1
    require(last == 0 and first == first_root and second == second_root, "a consistency proof is wrong")


class Range:
    """All leaves from one index on, taken in order, in memory that does not grow with them."""

    def __init__(self, begin, size, root, proof):
        left = bin(begin).count("1")
        require(len(proof) >= left, "the range proof has too few hashes")
        self.begin, self.size, self.root = begin, size, root
        self.edge, self.right, self.end = proof[:left], proof[left:][::-1], begin

    def add(self, leaf_hash):
        require(self.end < self.size, "the range goes on beyond the tree")
        node, carry, edge, sha = leaf_hash, self.end, self.edge, hashlib.sha256
        while carry & 1:
            node = sha(b"\x01" + edge.pop() + node).digest()
            carry >>= 1
        edge.append(node)
        self.end += 1

    def finish(self):
        if self.begin == self.end:
            require(self.size == 0 and not self.right and self.root == sha256(b""), "the range proof proves nothing")
            return
        level = (self.end & -self.end).bit_length() - 1
        node, last, computed = (self.end - 1) >> level, (self.size - 1) >> level, self.edge.pop()
        while last:
            if node & 1:
                computed = hash_node(self.edge.pop(), computed)
            elif node < last:
                require(self.right, "the range proof has too few hashes")
                computed = hash_node(computed, self.right.pop())
            node, last = node >> 1, last >> 1
        require(not self.right, "the range proof has too many hashes")
        require(computed == self.root, "the entries do not lead to the signed root")


# The leaf (section 5)

COMMON_LEAF = struct.Struct("<3sQ2s16ssB2s32s2s32s")
COMMON_PERSONAL = struct.Struct("<3sQ2s16ssB2s32s2s32s2s32s")
NOTHING = bytes(32)


class Reader:
    """Bytes from first to last; whoever is done says so with end(), so that no byte stays unread."""

    def __init__(self, data, what):
        self.data, self.offset, self.what = data, 0, what

    def take(self, count):
        taken = self.data[self.offset : self.offset + count]
        require(len(taken) == count, self.what + " is cut off")
        self.offset += count
        return taken

    def expect(self, *values):
        require(self.take(len(values)) == bytes(values), self.what + " has other bytes than a leaf")

    def varint(self, limit=1 << 64):
        value, self.offset = read_varint(self.data, self.offset, len(self.data))
        require(0 < value < limit, self.what + " has a number out of range")
        return value

    def nonzero(self, count):
        taken = self.take(count)
        require(any(taken), self.what + " has a field that is all zero")
        return taken

    def starts(self, tag):
        return self.data[self.offset : self.offset + 1] == bytes((tag,))


def decode_leaf(data):
    """recorded_at, principal, previous, event and personal commitment, size of the cosigned head or 0."""
    fields = personal = None
    if len(data) == COMMON_LEAF.size:
        fields = COMMON_LEAF.unpack(data)
    elif len(data) == COMMON_PERSONAL.size:
        fields = COMMON_PERSONAL.unpack(data)
        personal = fields[11]
        if fields[10] != b"\x3a\x20" or personal == NOTHING:
            fields = None
    if fields and (fields[0], fields[2], fields[4], fields[6], fields[8]) == (
        b"\x08\x01\x11", b"\x1a\x10", b"\x20", b"\x2a\x20", b"\x32\x20"
    ):  # fmt: skip
        _, recorded_at, _, principal, _, catalogue, _, previous, _, event = fields[:10]
        if recorded_at and principal != NOTHING[:16] and 0 < catalogue < 128 and NOTHING not in (previous, event):
            return recorded_at, principal, previous, event, personal, 0
    return decode_any_leaf(data)


def decode_any_leaf(data):
    reader, personal, cosigned = Reader(data, "a leaf"), None, 0
    reader.expect(0x08, 0x01, 0x11)
    recorded_at = int.from_bytes(reader.nonzero(8), "little")
    reader.expect(0x1A, 16)
    principal = reader.nonzero(16)
    reader.expect(0x20)
    reader.varint(1 << 32)
    reader.expect(0x2A, 32)
    previous = reader.nonzero(32)
    reader.expect(0x32, 32)
    event = reader.nonzero(32)
    if reader.starts(0x3A):
        reader.expect(0x3A, 32)
        personal = reader.nonzero(32)
    if reader.starts(0x42):
        reader.expect(0x42)
        length, begin = reader.varint(), reader.offset + 0
        begin = reader.offset
        reader.expect(0x08)
        cosigned = reader.varint(1 << 63)
        reader.expect(0x12, 32)
        reader.nonzero(32)
        reader.expect(0x19)
        reader.nonzero(8)
        require(reader.offset - begin == length, "a leaf's cosigned head has another length")
    require(reader.offset == len(data), "a leaf has bytes left over")
    return recorded_at, principal, previous, event, personal, cosigned


# Sections (section 3): name and type of the fields in the order of their numbers; ! required, * repeated

TABLES = {
    "Event": "schema Schema!, event_id string, action string, occurred_at fixed64, actor Actor, targets Target*, "
    "outcome Outcome, reason_code string, auth Authentication, request Request, change Change, "
    "field_changes FieldChange*, data DataContext, metadata MetadataEntry*, source Source, tenant_id string, "
    "correlation_id string",
    "PersonalData": "schema Schema!, actor_email string, actor_name string, ip string, peer_ip string, "
    "user_agent string, description string, reason string, target_names string*, field_changes FieldChange*, "
    "metadata MetadataEntry*, original Original",
    "Actor": "type ActorType, id string, on_behalf_of string, roles string*",
    "Target": "type string, id string",
    "Authentication": "method AuthMethod, mfa Truth, credential_id string, session_id string, identity_provider string",
    "Request": "request_id string, trace_id bytes, span_id bytes, method string, route string",
    "Change": "approval_reference string, approval_event_id string, approvers string*, requested_by string, "
    "commit string, ticket string, version string, emergency Truth",
    "FieldChange": "path string!, old Value, new Value",
    "DataContext": "classification DataClassification, record_count fixed64, byte_count fixed64, destination string",
    "MetadataEntry": "key string!, value Value!",
    "Source": "service string, instance string, version string, sdk string, boot_id bytes, sequence fixed64",
    "Value": "text string, integer sfixed64, number double, truth Truth",
    "Original": "media_type string, content bytes, sha256 bytes, size fixed64",
}
ENUMS = {
    "Schema": (1,),
    "Truth": (True, False),
    "ActorType": ("user", "service", "api_key", "system", "anonymous", "unknown"),
    "Outcome": ("success", "failure", "denied", "error", "pending"),
    "AuthMethod": tuple(
        "password mfa_totp mfa_push passkey sso_saml sso_oidc oauth api_key mtls session recovery none".split()
    ),
    "DataClassification": ("public", "internal", "confidential", "personal", "restricted"),
}
FIXED = {"fixed64": struct.Struct("<Q"), "sfixed64": struct.Struct("<q"), "double": struct.Struct("<d")}
SECTION_LIMITS = {"Event": 32768, "PersonalData": 61440}


def read_tables():
    """For each message: its fields by tag as (name, type, repeated), and the names of those that must be there."""
    messages = {}
    for message, table in TABLES.items():
        fields, needed = {}, []
        for position, field in enumerate(table.split(", "), 1):
            name, kind = field.split(" ")
            if kind.endswith("!"):
                needed.append(name)
            bare = kind.rstrip("!*")
            wire_type = 0 if bare in ENUMS else 1 if bare in FIXED else 2
            fields[position << 3 | wire_type] = (name, bare, kind.endswith("*"))
        messages[message] = (fields, needed)
    return messages


MESSAGES = read_tables()


def read_varint(data, offset, end):
    value = shift = 0
    begin = offset
    while True:
        require(offset < end and offset - begin < 10, "a number is cut off or too long")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            require((byte or not shift) and value < 1 << 64, "a number is not in its shortest form")
            return value, offset
        shift += 7


def read_message(kind, data, offset, end):
    fields, needed = MESSAGES[kind]
    oneof, message = kind == "Value", {}
    while offset < end:
        tag = data[offset]
        if tag < 0x80:
            offset += 1
        else:
            tag, offset = read_varint(data, offset, end)
        field = fields.get(tag)
        if field is None:
            raise Failed("a section has a field that %s does not have" % kind)
        name, type_, repeated = field
        if tag & 7 == 2:
            length, offset = read_varint(data, offset, end)
            stop = offset + length
            if stop > end:
                raise Failed("a section is cut off")
            if type_ == "string":
                try:
                    value = data[offset:stop].decode("utf-8")
                except UnicodeDecodeError:
                    raise Failed("a text of a section is not UTF-8") from None
            elif type_ == "bytes":
                value = data[offset:stop]
            else:
                value = read_message(type_, data, offset, stop)
            offset = stop
            # An empty message says that it is there; other defaults are left out.
            default = not value and type_ in ("string", "bytes")
        elif tag & 7 == 1:
            if offset + 8 > end:
                raise Failed("a section is cut off")
            value = FIXED[type_].unpack_from(data, offset)[0]
            offset += 8
            default = not value
            require(type_ != "double" or math.isfinite(value), "a number of a section is not finite")
        else:
            position, offset = read_varint(data, offset, end)
            names = ENUMS[type_]
            require(0 < position <= len(names), "a section has a value that the schema does not have")
            value, default = names[position - 1], False
        if repeated:
            message.setdefault(name, []).append(value)
        elif name in message or (oneof and message) or (default and not oneof):
            raise Failed("a section has a field twice, two values, or a default written out")
        else:
            message[name] = value
    for name in needed:
        require(name in message, "a section lacks a field that must be there")
    require(not oneof or message, "a value of a section is empty")
    return message


def is_of_newer_schema(data):
    schema = offset = 0
    try:
        while offset < len(data):
            tag, offset = read_varint(data, offset, len(data))
            if tag & 7 == 0:
                value, offset = read_varint(data, offset, len(data))
                schema = value if tag >> 3 == 1 else schema
            elif tag & 7 == 2:
                length, offset = read_varint(data, offset, len(data))
                offset += length
            else:
                offset += {1: 8, 5: 4}[tag & 7]
    except (Failed, KeyError):
        return False
    return offset == len(data) and 2 <= schema <= 127


def read_section(kind, data):
    """The fields of a section; None if it is of a newer schema."""
    require(len(data) <= SECTION_LIMITS[kind], "a section is too large")
    try:
        return read_message(kind, data, 0, len(data))
    except Failed:
        if is_of_newer_schema(data):
            return None
        raise


# Rows (section 18.4)

FLAT = [
    (key, path.split("."))
    for key, path in (
        pair.split("=")
        for pair in (
            "event_id=e.event_id action=e.action actor_type=e.actor.type actor_id=e.actor.id "
            "actor_on_behalf_of=e.actor.on_behalf_of actor_roles=e.actor.roles actor_email=p.actor_email "
            "actor_name=p.actor_name outcome=e.outcome reason_code=e.reason_code reason=p.reason "
            "description=p.description ip=p.ip peer_ip=p.peer_ip user_agent=p.user_agent tenant_id=e.tenant_id "
            "correlation_id=e.correlation_id auth_method=e.auth.method auth_mfa=e.auth.mfa "
            "auth_credential_id=e.auth.credential_id auth_identity_provider=e.auth.identity_provider "
            "session_id=e.auth.session_id request_id=e.request.request_id request_method=e.request.method "
            "request_route=e.request.route trace_id=e.request.trace_id span_id=e.request.span_id "
            "change_approval_reference=e.change.approval_reference "
            "change_approval_event_id=e.change.approval_event_id change_approvers=e.change.approvers "
            "change_requested_by=e.change.requested_by change_commit=e.change.commit change_ticket=e.change.ticket "
            "change_version=e.change.version change_emergency=e.change.emergency "
            "data_classification=e.data.classification data_record_count=e.data.record_count "
            "data_byte_count=e.data.byte_count data_destination=e.data.destination source_service=e.source.service "
            "source_instance=e.source.instance source_version=e.source.version source_sdk=e.source.sdk "
            "source_boot_id=e.source.boot_id source_sequence=e.source.sequence"
        ).split()
    )
]
EVENT_KEYS = [(key, path[1]) for key, path in FLAT]
PERSONAL_NAMES = ("ip", "user_agent", "email", "name")
to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def is_personal_key(key):
    return key in PERSONAL_NAMES or key.endswith(("_ip", "_email"))


def only(value):
    """The one value of a Value."""
    return next(iter(value.values()))


def flat_changes(changes):
    keys = ("path", "old", "new")
    return [{k: c[k] if k == "path" else only(c[k]) for k in keys if k in c} for c in changes]


def flat_event(event, personal):
    """The readable form of both sections, keys in their order."""
    personal = personal or {}
    flat = {}
    for key, path in FLAT:
        value = event if path[0] == "e" else personal
        for name in path[1:]:
            value = value.get(name)
            if value is None:
                break
        else:
            flat[key] = value.hex() if isinstance(value, bytes) else value
    flat["timestamp"] = format_time(event.get("occurred_at", 0))
    names, listed = personal.get("target_names", ()), []
    for position, target in enumerate(event.get("targets", ())):
        parts = {part: target[part] for part in ("type", "id") if part in target}
        if position < len(names) and names[position]:
            parts["name"] = names[position]
        listed.append(parts)
    if len(listed) == 1:
        flat.update(("target_" + part, text) for part, text in listed[0].items())
    elif listed:
        flat["targets"] = listed
    private = [(entry["key"], only(entry["value"])) for entry in personal.get("metadata", ())]
    metadata = {entry["key"]: only(entry["value"]) for entry in event.get("metadata", ())}
    metadata.update(pair for pair in private if is_personal_key(pair[0]))
    original = personal.get("original", {})
    shown = {
        "media_type": original.get("media_type"),
        "content_base64": binascii.b2a_base64(original.get("content", b""), newline=False).decode(),
        "sha256": original.get("sha256", b"").hex(),
        "size": original.get("size"),
    }
    rest = {
        "metadata": metadata,
        "personal_metadata": dict(pair for pair in private if not is_personal_key(pair[0])),
        "field_changes": flat_changes(event.get("field_changes", ())),
        "personal_field_changes": flat_changes(personal.get("field_changes", ())),
        "original": {key: value for key, value in shown.items() if value},
    }
    flat.update((key, value) for key, value in rest.items() if value)
    return flat


def make_row(index, recorded_at, principal, event, event_state, personal, personal_state):
    sections = []
    for kind, section, state in (("Event", event, event_state), ("PersonalData", personal, personal_state)):
        content = None if section is None else read_section(kind, section[0])
        sections.append((content, state if section is None else "" if content is not None else "newer_schema"))
    row = {"leaf_index": index, "recorded_at": format_time(recorded_at), "principal": principal.hex()}
    for key, (_, state) in zip(("event_state", "personal_state"), sections):
        if state:
            row[key] = state
    if sections[0][0] is not None:
        row.update(flat_event(sections[0][0], sections[1][0]))
    return to_json(row).encode()


# Files (sections 18.1 and 18.2)

ALWAYS = {
    "manifest.json", "keys/log.vkey", "checkpoints/end.note", "proofs/range.json", "entries.ndjson", "events.ndjson",
    "VERIFY.md", "verify_bundle.py", "verify.html",
}  # fmt: skip
NUMBER = "(?:0|[1-9][0-9]{0,18})"
NAME = re.compile(
    r"checkpoints/(?:begin|since)\.note|proofs/consistency-%s-%s\.json|receipts/%s\.tlog-proof"
    % (NUMBER, NUMBER, NUMBER)
)
FOLDERS = ("", "checkpoints", "keys", "proofs", "receipts")
MAX_FILES = 10020


def check_file(name, size):
    require(name in ALWAYS or NAME.fullmatch(name), "%s is not the name of a file of a bundle" % ascii(name[:80]))
    limit = 1 << 40 if name in ("entries.ndjson", "events.ndjson") else 16 * 1024 * 1024
    require(size <= limit, "%s has %d bytes; the limit is %d" % (name, size, limit))


class Directory:
    def __init__(self, path):
        self.path, self.sizes = path, {}
        for folder in FOLDERS:
            if folder and not os.path.lexists(os.path.join(path, folder)):
                continue
            with os.scandir(os.path.join(path, folder)) as items:
                for item in items:
                    if not folder and item.name in FOLDERS and item.is_dir(follow_symlinks=False):
                        continue
                    name = folder + "/" + item.name if folder else item.name
                    require(
                        item.is_file(follow_symlinks=False), ascii(name) + " is neither a file nor a known directory"
                    )
                    self.sizes[name] = item.stat(follow_symlinks=False).st_size
                    require(len(self.sizes) <= MAX_FILES, "the bundle has too many files")

    def read(self, name):
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(os.path.join(self.path, name), flags), "rb") as file:
            require(stat.S_ISREG(os.fstat(file.fileno()).st_mode), name + " is no file")
            while True:
                chunk = file.read(CHUNK)
                if not chunk:
                    return
                yield chunk


LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")


class Zip:
    """A zip in its one form, which is made again from its directory and compared; nothing is unpacked to disk."""

    def __init__(self, file):
        self.file, self.members, self.sizes = file, {}, {}
        size = file.seek(0, os.SEEK_END)
        require(END.size <= size < 1 << 32, "the file is not the zip of a bundle")
        end = self.at(size - END.size, END.size)
        signature, _, _, _, count, length, offset, _ = END.unpack(end)
        require(signature == b"PK\5\6", "the file does not end as the zip of a bundle does")
        require(0 < count <= MAX_FILES and offset + length + END.size == size, "the zip's directory is not at its end")
        central, position, begin, rebuilt, previous = self.at(offset, length), 0, 0, [], ""
        for _ in range(count):
            header = central[position : position + CENTRAL.size]
            require(len(header) == CENTRAL.size, "the zip's directory is cut off")
            _, _, _, _, method, _, _, crc, packed, unpacked, name_length, _, _, _, _, _, _ = CENTRAL.unpack(header)
            position += CENTRAL.size + name_length
            raw = central[position - name_length : position]
            name = raw.decode("latin-1")
            check_file(name, unpacked)
            require(name > previous, "%s is in the zip twice, or out of order" % name)
            require(method in (0, 8) and (method or packed == unpacked), name + " is packed in another way")
            require(not method or unpacked <= packed * 200 + 65536, name + " unpacks to too much")
            common = (0, method, 0, 33, crc, packed, unpacked)
            local = LOCAL.pack(b"PK\3\4", 20, *common, len(raw), 0) + raw
            require(self.at(begin, len(local)) == local, "what stands before %s is not what the directory says" % name)
            rebuilt.append(CENTRAL.pack(b"PK\1\2", 788, 20, *common, len(raw), 0, 0, 0, 0, 0o100644 << 16, begin) + raw)
            self.members[name] = (method, crc, packed, unpacked, begin + len(local))
            self.sizes[name] = unpacked
            begin, previous = begin + len(local) + packed, name
        rebuilt.append(END.pack(b"PK\5\6", 0, 0, count, count, length, offset, 0))
        require(begin == offset and b"".join(rebuilt) == central + end, "the zip's directory is not in its one form")

    def at(self, offset, size):
        self.file.seek(offset)
        return self.file.read(size)

    def read(self, name):
        method, crc, packed, unpacked, begin = self.members[name]
        computed = size = 0
        for piece in self.inflated(begin, packed, name) if method else self.stored(begin, packed):
            size, computed = size + len(piece), zlib.crc32(piece, computed)
            if size > unpacked:
                break
            yield piece
        require(size == unpacked and computed == crc, name + " does not unpack to what the zip says")

    def stored(self, begin, packed):
        for offset in range(0, packed, CHUNK):
            yield self.at(begin + offset, min(CHUNK, packed - offset))

    def inflated(self, begin, packed, name):
        inflater = zlib.decompressobj(-15)
        try:
            for rest in self.stored(begin, packed):
                while rest or not inflater.eof:
                    piece = inflater.decompress(rest, CHUNK)
                    rest = inflater.unconsumed_tail
                    if piece:
                        yield piece
                    elif not rest:
                        break
                if inflater.unused_data:
                    break
        except zlib.error as error:
            raise Failed("%s does not unpack: %s" % (name, error)) from None
        require(inflater.eof and not inflater.unused_data, name + " does not unpack to its end")


STATES = {
    "event": ("shown", "withheld", "erased"),
    "personal": ("none", "shown", "withheld", "erased", "not_asked"),
}
MANIFEST_KEYS = "format generator origin tree_size begin end period filter personal sections files".split()


class Bundle:
    """The files and their manifest; each is hashed as it is read."""

    def __init__(self, source):
        self.source, self.sizes = source, source.sizes
        for name, size in self.sizes.items():
            check_file(name, size)
        require("manifest.json" in self.sizes, "there is no manifest.json, so this is no bundle")
        value = load_json(b"".join(source.read("manifest.json")), "manifest.json")
        if isinstance(value, dict) and value.get("format") != FORMAT:
            raise Failed("this verifier reads the format %s only" % FORMAT)
        fields = self.fields = exact_object(value, MANIFEST_KEYS, "manifest.json")
        require(fields["filter"] is None, "the manifest has a filter; this verifier reads whole ranges")
        text_of(fields["generator"], "generator")
        text_of(fields["origin"], "origin")
        self.size, self.begin, self.end = (number(fields[key], key) for key in ("tree_size", "begin", "end"))
        require(self.begin <= self.end <= self.size, "the manifest names a range that is none")
        require(isinstance(fields["personal"], bool), "personal is not true or false")
        self.personal = fields["personal"]
        sections = exact_object(fields["sections"], STATES, "sections")
        for kind, states in STATES.items():
            for state in states:
                number(exact_object(sections[kind], states, kind)[state], state)
        self.has_period = fields["period"] is not None
        period = exact_object(fields["period"], ("from", "to"), "period") if self.has_period else {}
        self.period = parse_time(period.get("from")), parse_time(period.get("to"))
        self.listed = self.read_list(fields["files"])
        present = set(self.sizes) - {"manifest.json"}
        for name in sorted(present ^ set(self.listed)):
            raise Failed("%s is %s" % (name, "not in the manifest" if name in present else "in the manifest alone"))
        for name in sorted(ALWAYS - set(self.sizes)):
            raise Failed("the bundle has no " + name)
        for name in sorted(present):
            require(self.sizes[name] == self.listed[name][0], name + " has another size than the manifest says")
        self.left = set(self.listed)

    @staticmethod
    def read_list(value):
        require(isinstance(value, list) and len(value) < MAX_FILES, "files is not a list of so many files")
        listed, previous = {}, ""
        for item in value:
            item = exact_object(item, ("name", "size", "sha256"), "a file of the manifest")
            name, size, digest = text_of(item["name"], "a name"), number(item["size"], "a size"), item["sha256"]
            check_file(name, size)
            require(name != "manifest.json" and name > previous, "the manifest lists %s twice or out of order" % name)
            require(isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest), "a sha256 has another form")
            listed[name], previous = (size, digest), name
        return listed

    def chunks(self, name):
        self.left.discard(name)
        digest = hashlib.sha256()
        for chunk in self.source.read(name):
            digest.update(chunk)
            yield chunk
        require(digest.hexdigest() == self.listed[name][1], name + " is not the file of the manifest")

    def whole(self, name):
        require(name in self.sizes, "the bundle has no " + name)
        return b"".join(self.chunks(name))

    def lines(self, name, limit):
        rest = b""
        for chunk in self.chunks(name):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                yield line
            if len(rest) > limit:
                break
        require(not rest, "%s has a line of more than %d bytes, or does not end in a newline" % (name, limit))


# The verification (section 18.5)


def read_key(bundle, pinned):
    text = bundle.whole("keys/log.vkey")
    own = utf8(text, "keys/log.vkey")
    require(own.endswith("\n"), "keys/log.vkey is not a verifier key and a newline")
    key = parse_key(own[:-1])
    require(pinned is None or pinned == key, "the bundle is of another key than the pinned one")
    require(bundle.fields["origin"] == key[0], "the manifest names another origin than the key")
    return key, hashlib.sha256(text[:-1]).hexdigest()


def open_heads(bundle, key):
    heads = []
    for name in ("end", "begin", "since"):
        if "checkpoints/%s.note" % name in bundle.sizes:
            heads.append((name,) + open_checkpoint(bundle.whole("checkpoints/%s.note" % name), key))
    names = {name: size for name, size, _ in heads}
    require(("begin" in names) == (bundle.begin > 0), "checkpoints/begin.note is not there exactly where it belongs")
    require(names["end"] == bundle.size, "checkpoints/end.note is of another size than the manifest says")
    require(names.get("begin", bundle.begin) == bundle.begin, "checkpoints/begin.note is not of the range's begin")
    known = {}
    for _, size, root in heads:
        if known.setdefault(size, root) != root:
            raise Forked("the log signed two roots for tree size %d" % size)
    return heads


def verify_heads(bundle, heads):
    """That the end continues each earlier head; returns the sizes that are proven."""
    _, end_size, end_root = heads[0]
    proven = {}
    for _, size, root in heads:
        require(size <= end_size, "a checkpoint is beyond the end")
        if size in (0, end_size):
            continue
        name = "proofs/consistency-%d-%d.json" % (size, end_size)
        keys = ("type", "old_size", "new_size", "old_root", "new_root", "proof")
        proof = exact_object(load_json(bundle.whole(name), name), keys, name)
        number(proof["old_size"], "old_size")
        number(proof["new_size"], "new_size")
        stated = tuple(proof[key] for key in keys[:5])
        require(stated == ("consistency", size, end_size, root.hex(), end_root.hex()), name + " is about other heads")
        proven[size] = hashes_of(proof["proof"], name)
        verify_consistency(size, root, end_size, end_root, proven[size])
        bundle.left.discard(name)
    for name in bundle.sizes:
        if name.startswith("proofs/consistency-"):
            size = int(name.split("-")[1])
            require(
                size in proven and name == "proofs/consistency-%d-%d.json" % (size, end_size),
                name + " connects nothing",
            )
    return proven


def verify_since(key, heads, proven, since):
    """That the bundle continues what the auditor trusts."""
    old_size, old_root = open_checkpoint(since, key)
    for _, size, root in heads:
        if size == old_size and root != old_root:
            raise Forked("the log signed two roots for tree size %d: keep both notes" % size)
    _, end_size, end_root = heads[0]
    require(old_size <= end_size, "the bundle's end, of size %d, is older than the trusted %d" % (end_size, old_size))
    if old_size not in (0, end_size):
        require(old_size in proven, "there is no consistency proof from the trusted size %d" % old_size)
        verify_consistency(old_size, old_root, end_size, end_root, proven[old_size])


B64 = "[A-Za-z0-9+/=]+"
SECTION = '"%s":"(' + B64 + ')","%s_salt":"([A-Za-z0-9+/]{22}==)"'
ENTRY = re.compile(
    (
        r'\{"leaf_index":(0|[1-9][0-9]{0,15}),"leaf":"(' + B64 + ')",'
        "(?:" + SECTION % ("event", "event") + '|"event_state":"(withheld|erased)")'
        "(?:," + SECTION % ("personal", "personal") + '|,"personal_state":"(withheld|erased|not_asked)")?'
        r"\}"
    ).encode()
)


class Entries:
    def __init__(self, bundle, end_root, end_note):
        self.bundle, self.root, self.end_note = bundle, end_root, end_note
        keys = ("begin", "end", "tree_size", "before", "after", "proof")
        fields = exact_object(load_json(bundle.whole("proofs/range.json"), "range.json"), keys, "range.json")
        stated = tuple(number(fields[key], key) for key in keys[:3])
        require(stated == (bundle.begin, bundle.end, bundle.size), "range.json is about another range")
        self.before = self.neighbour(fields["before"], bundle.begin > 0)
        self.after = self.neighbour(fields["after"], bundle.end < bundle.size)
        first = bundle.begin - (self.before is not None)
        self.range = Range(first, bundle.size, end_root, hashes_of(fields["proof"], "range.json"))
        self.previous = sha256(b"logproof/genesis/v1\0" + bundle.fields["origin"].encode())
        self.recorded_at = self.cosigned = 0
        self.counts = {kind: dict.fromkeys(states, 0) for kind, states in STATES.items()}
        self.receipts = {name for name in bundle.sizes if name.startswith("receipts/")}

    @staticmethod
    def neighbour(value, is_there):
        require((value is not None) == is_there, "range.json has not the leaves beside the range")
        require(value is None or isinstance(value, str), "a leaf beside the range is not text")
        return None if value is None else base64(value, "a leaf beside the range")

    def follow(self, index, data, leaf):
        """That a leaf continues the chain; its hash."""
        recorded_at, _, previous, _, _, cosigned = leaf
        require(previous == self.previous, "the leaf of index %d does not continue the chain" % index)
        require(recorded_at >= self.recorded_at, "the leaf of index %d was recorded before the one before" % index)
        require(cosigned <= index, "the leaf of index %d names a head above it" % index)
        self.cosigned += cosigned > 0
        self.previous, self.recorded_at = sha256(b"\0" + data), recorded_at
        self.range.add(self.previous)

    def verify(self, compare_rows):
        bundle = self.bundle
        low, high = bundle.period
        if self.before is not None:
            leaf = decode_leaf(self.before)
            if bundle.begin > 1:
                self.previous = leaf[2]
            self.follow(bundle.begin - 1, self.before, leaf)
            outside = not bundle.has_period or (low is not None and leaf[0] < low)
            require(outside, "the entry before the range belongs to the period")
        rows = bundle.lines("events.ndjson", 1024 * 1024) if compare_rows else None
        index, left = bundle.begin, set(self.receipts)
        for line in bundle.lines("entries.ndjson", 128 * 1024):
            match = ENTRY.fullmatch(line)
            require(match, "line %d of the entries does not have its form" % (index - bundle.begin + 1))
            stated, data, event, event_salt, event_state, personal, personal_salt, personal_state = match.groups()
            require(int(stated) == index < bundle.end, "entry %s stands where %d belongs" % (stated.decode(), index))
            data = base64(data, "a leaf")
            leaf = decode_leaf(data)
            self.follow(index, data, leaf)
            in_period = (low is None or low <= leaf[0]) and (high is None or leaf[0] < high)
            require(in_period, "entry %d is outside the period" % index)
            event = event and (base64(event, "a section"), base64(event_salt, "a salt"))
            personal = personal and (base64(personal, "a section"), base64(personal_salt, "a salt"))
            event_state = event_state.decode() if event_state else ""
            personal_state = personal_state.decode() if personal_state else ""
            self.check_sections(index, leaf, event, event_state, personal, personal_state)
            if rows is not None:
                row = make_row(index, leaf[0], leaf[1], event, event_state, personal, personal_state)
                require(next(rows, None) == row, "the row of entry %d does not say what was committed" % index)
            name = "receipts/%d.tlog-proof" % index
            if name in left:
                left.remove(name)
                self.check_receipt(name, index, data, event, personal)
            index += 1
        require(index == bundle.end, "the entries end before %d" % index)
        require(rows is None or next(rows, None) is None, "there are more rows than entries")
        require(not left, "a receipt is of no entry of the range")
        if self.after is not None:
            leaf = decode_leaf(self.after)
            self.follow(bundle.end, self.after, leaf)
            outside = not bundle.has_period or (high is not None and leaf[0] >= high)
            require(outside, "the entry after the range belongs to the period")
        self.range.finish()
        require(self.counts == bundle.fields["sections"], "the manifest counts other sections than there are")

    def check_sections(self, index, leaf, event, event_state, personal, personal_state):
        if event:
            commitment = sha256(b"logproof/commit/v1\0\x01" + event[1] + event[0])
            require(commitment == leaf[3], "the event of entry %d is not the one that was committed" % index)
        if personal:
            commitment = sha256(b"logproof/commit/v1\0\x02" + personal[1] + personal[0])
            require(commitment == leaf[4], "the personal data of entry %d are not those that were committed" % index)
        else:
            require((leaf[4] is not None) == bool(personal_state), "entry %d and its leaf do not agree" % index)
        asked = "" if not personal_state and not personal else "no" if personal_state == "not_asked" else "yes"
        require(asked in ("", "yes" if self.bundle.personal else "no"), "entry %d is not as the manifest says" % index)
        self.counts["event"][event_state or "shown"] += 1
        self.counts["personal"][personal_state or ("shown" if personal else "none")] += 1

    def check_receipt(self, name, index, leaf, event, personal):
        """A receipt (section 10) has one form, given the entry and the end; only its hashes are its own."""
        content = b"\x08\x01"
        for tag, value in zip(b"\x12\x1a\x22\x2a\x32", (leaf,) + (event or (b"", b"")) + (personal or (b"", b""))):
            if value:
                length = len(value)
                content += bytes((tag,))
                while length >= 0x80:
                    content += bytes((length & 0x7F | 0x80,))
                    length >>= 7
                content += bytes((length,)) + value
        extra = binascii.b2a_base64(content, newline=False)
        head = b"c2sp.org/tlog-proof@v1\nextra %s\nindex %d\n" % (extra, index)
        data, tail = self.bundle.whole(name), b"\n" + self.end_note
        good = data.startswith(head) and data.endswith(tail) and len(data) >= len(head) + len(tail)
        require(good, name + " shows something else than the entry and the end")
        lines = data[len(head) : len(data) - len(tail)].split(b"\n")
        require(lines.pop() == b"" and len(lines) <= 63, name + " has another form")
        proof = [base64(line, "a hash of a receipt") for line in lines]
        require(all(len(item) == 32 for item in proof), "a hash of a receipt has not 32 bytes")
        verify_inclusion(sha256(b"\0" + leaf), index, self.bundle.size, self.root, proof)


def verify(source, pinned, since, quick):
    """Level, first line and the other lines of the verdict, and what is missing."""
    bundle = Bundle(source)
    key, fingerprint = read_key(bundle, pinned)
    heads = open_heads(bundle, key)
    proven = verify_heads(bundle, heads)
    if since is not None:
        verify_since(key, heads, proven, since)
    entries = Entries(bundle, heads[0][2], bundle.whole("checkpoints/end.note"))
    entries.verify(not quick)
    for name in sorted(bundle.left):
        for _ in bundle.chunks(name):
            pass
    level = 1 if pinned is None else 2 if since is None else 3
    counts = bundle.fields["sections"]
    missing = [
        "%d %s sections are %s" % (counts[k][s], k, s) for k in STATES for s in ("withheld", "erased") if counts[k][s]
    ]
    first = LABELS[level] + ("; key fingerprint " + fingerprint if pinned is None else "")
    first += ("; incomplete" if missing else "") + ("; rows not compared" if quick else "")
    notes = list(missing)
    if quick:
        notes.append("rows: not compared with the committed sections")
    if bundle.has_period and bundle.period[1] is not None and entries.after is None:
        notes.append("the log has no entry after the period yet, so later entries may still belong to it")
    if counts["personal"]["not_asked"]:
        notes.append("%d personal sections were not asked for" % counts["personal"]["not_asked"])
    if entries.cosigned:
        notes.append("%d cosigned heads that leaves name: not checked" % entries.cosigned)
    lines = [
        ("verdict", "incomplete" if missing else "verified"),
        ("origin", key[0]),
        ("key fingerprint", fingerprint),
        ("range", "[%d, %d) of tree size %d" % (bundle.begin, bundle.end, bundle.size)),
        ("period", "%s to %s" % tuple(map(str, bundle.fields["period"].values())) if bundle.has_period else "-"),
        ("root hash", heads[0][2].hex()),
        ("receipts", str(len(entries.receipts))),
    ]
    return level, first, lines + [("note", note) for note in notes], missing


def read_setting(name, what, limit=1000000):
    try:
        with open(name, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput("%s: %s" % (what, error.strerror)) from None
    if len(data) > limit:
        raise BadInput("%s is too large" % what)
    return data


def read_options(arguments):
    parser = argparse.ArgumentParser(description="Verifies an evidence bundle offline.")
    parser.add_argument("bundle", help="the zip or directory")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--key", help="verifier key of the log, or a file that holds it")
    which.add_argument("--unpinned", action="store_true", help="take the key in the bundle")
    parser.add_argument("--since", metavar="OLD.note", help="a checkpoint that is trusted already")
    parser.add_argument("--require", choices=LEVELS, help="exit 3 below this level")
    parser.add_argument("--quick", action="store_true", help="do not compare the readable rows")
    options = parser.parse_args(arguments)
    pinned = since = None
    try:
        if options.key is not None:
            text = options.key
            if os.path.isfile(text):
                text = utf8(read_setting(text, "the key"), "the key").strip()
            pinned = parse_key(text)
        if options.since is not None:
            since = read_setting(options.since, "the old note")
            split_note(since)
    except Failed as error:
        raise BadInput(str(error)) from None
    return options, pinned, since


def main(arguments=None):
    try:
        options, pinned, since = read_options(arguments)
        if os.path.isdir(options.bundle):
            verdict = verify(Directory(options.bundle), pinned, since, options.quick)
        else:
            with open(options.bundle, "rb") as file:
                verdict = verify(Zip(file), pinned, since, options.quick)
    except Forked as error:
        print("fork: %s" % ascii(str(error)), file=sys.stderr)
        return 6
    except Failed as error:
        print("failed: %s" % ascii(str(error)), file=sys.stderr)
        return 1
    except BadInput as error:
        print("error: %s" % error, file=sys.stderr)
        return 2
    except OSError as error:
        print("error: %s: %s" % (error.filename, error.strerror), file=sys.stderr)
        return 2
    level, first, lines, missing = verdict
    print(first)
    for name, value in lines:
        print("%-16s %s" % (name, value))
    if missing:
        print("incomplete: %s" % "; ".join(missing), file=sys.stderr)
        return 3
    if options.require is not None and level < LEVELS.index(options.require):
        print("the level %s is required" % options.require, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
