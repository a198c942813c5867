"""The kind `receipts`: receipts to accept, with what they say, and receipts to refuse, each for one reason.

Keys, salts and times are fixed. The project's own code signs and encodes here; what it says is held against the file by
a verifier that shares no code with it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.events.codec import encode_event, encode_personal
from ledger.events.event import Actor, ActorType, Event, MetadataEntry, Outcome, PersonalData, Target
from ledger.events.leaf import CosignedHead
from ledger.evidence import (
    Receipt,
    TlogProof,
    format_tlog_proof,
    make_receipt,
    parse_tlog_proof,
    verify_receipt,
)
from ledger.notes import format_verifier_key, sign_checkpoint, sign_note
from tests.support.sample_log import SampleLog

_NEWER_SCHEMA = b"\x08\x02\xfa\x01\x05newer"
_FIELD_TWICE = b"\x08\x01\x12\x01a\x12\x01b"


def receipts() -> Any:
    """Receipts of one log under one verifier key, good and damaged."""
    log = _sample_log()
    cases = [_accepted(log, name, data) for name, data in _good(log)]
    cases += [
        {"case": name, "ok": False, "reason": reason, "receipt": data.decode()} for name, reason, data in _bad(log)
    ]
    return {
        "origin": log.signer.name,
        "verifier_key": format_verifier_key(log.verifier),
        "seed": log.signer.seed.hex(),
        "cases": cases,
    }


def _event(number: int) -> bytes:
    return encode_event(
        Event(
            event_id=f"sample-{number}",
            action="user.role.updated",
            occurred_at=1_771_597_800_000_000 + number,
            actor=Actor(ActorType.USER, "user_123"),
            targets=(Target("user", "user_456"),),
            outcome=Outcome.SUCCESS,
            metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
        )
    )


def _personal(number: int) -> bytes:
    return encode_personal(
        PersonalData(actor_email=f"zoë{number}@company.example", actor_name="Zoë Ångström 山田", ip="203.0.113.42")
    )


def _sample_log() -> SampleLog:
    log = SampleLog()
    log.append(_event(0))
    log.append(_event(1), _personal(1))
    log.append(_event(2), _personal(2))
    log.append(_event(3), _personal(3))
    log.append(_NEWER_SCHEMA, _personal(4))
    log.append(_event(5), _NEWER_SCHEMA)
    log.append(_event(6), cosigned_head=CosignedHead(3, log.root(3), 1_790_000_003))
    return log


def _good(log: SampleLog) -> Iterator[tuple[str, bytes]]:
    yield "event and personal section", log.receipt_file(3)
    yield "event section only", log.receipt_file(3, personal=False)
    yield "personal section only", log.receipt_file(3, event=False)
    yield "leaf only", log.receipt_file(3, event=False, personal=False)
    yield "first entry, which has no personal section", log.receipt_file(0)
    yield "tree of one leaf", log.receipt_file(0, 1)
    yield "last entry of a tree that is not balanced", log.receipt_file(4, 5)
    yield "event section of a newer schema", log.receipt_file(4)
    yield "personal section of a newer schema", log.receipt_file(5)
    yield "leaf that names a cosigned head", log.receipt_file(6)
    extended = replace(log.checkpoint(), extensions=("an extension line means nothing",))
    yield "extension line", make_receipt(replace(log.receipt(3), checkpoint_note=sign_checkpoint(extended, log.signer)))
    line = log.note().split(b"\n\n")[1]
    yield "two signatures of the log", make_receipt(replace(log.receipt(3), checkpoint_note=log.note() + line))
    more = log.note() + "\u2014 witness.example/w1 AAAAAAAA\n".encode()
    yield "signature of an unknown key", make_receipt(replace(log.receipt(3), checkpoint_note=more))


def _accepted(log: SampleLog, name: str, data: bytes) -> dict[str, object]:
    verified = verify_receipt(data, log.verifier)
    shown = log.sections[verified.leaf_index]
    case: dict[str, object] = {
        "case": name,
        "ok": True,
        "leaf_index": verified.leaf_index,
        "tree_size": verified.checkpoint.tree_size,
        "root_hash": verified.checkpoint.root_hash.hex(),
        "recorded_at": verified.leaf.recorded_at,
        "event": verified.event_status.name,
        "personal": verified.personal_status.name,
    }
    for status, field, section in (("event", "event_section", shown[0]), ("personal", "personal_section", shown[1])):
        if section is not None and case[status] in {"READ", "NEWER_SCHEMA"}:
            case[field] = base64.b64encode(section.content).decode()
    if verified.event is not None:
        case["event_id"] = verified.event.event_id
    if verified.personal is not None:
        case["actor_email"] = verified.personal.actor_email
    return case | {"receipt": data.decode()}


def _bad(log: SampleLog) -> Iterator[tuple[str, str, bytes]]:
    good = log.receipt(3)
    proof = parse_tlog_proof(make_receipt(good))
    yield from _bad_sections(good)
    yield from _bad_proofs(log, good)
    yield from _bad_heads(log, good)
    yield from _bad_texts(proof)
    yield from _bad_contents(proof)
    yield from _bad_logs()


def _bad_sections(good: Receipt) -> Iterator[tuple[str, str, bytes]]:
    assert good.event is not None
    assert good.personal is not None
    event, personal = good.event, good.personal
    other = replace(event, content=event.content.replace(b"admin", b"owner"))
    yield "event section changed", "CONTENT_MISMATCH", make_receipt(replace(good, event=other))
    salted = replace(event, salt=personal.salt)
    yield "salt of the other section", "CONTENT_MISMATCH", make_receipt(replace(good, event=salted))
    yield "sections swapped", "CONTENT_MISMATCH", make_receipt(replace(good, event=personal, personal=event))
    longer = replace(personal, content=personal.content + b"\0")
    yield "byte after the personal section", "CONTENT_MISMATCH", make_receipt(replace(good, personal=longer))
    first = _sample_log().receipt(0)
    added = replace(first, personal=personal)
    yield "personal section of an entry without one", "CONTENT_MISMATCH", make_receipt(added)


def _bad_proofs(log: SampleLog, good: Receipt) -> Iterator[tuple[str, str, bytes]]:
    yield "index of the neighbour", "PROOF_INVALID", make_receipt(replace(good, leaf_index=2))
    yield "index beyond the tree", "PROOF_INVALID", make_receipt(replace(good, leaf_index=7))
    yield "hash missing", "PROOF_INVALID", make_receipt(replace(good, hashes=good.hashes[:-1]))
    yield "hash too many", "PROOF_INVALID", make_receipt(replace(good, hashes=(*good.hashes, bytes(32))))
    yield "hashes in another order", "PROOF_INVALID", make_receipt(replace(good, hashes=good.hashes[::-1]))
    yield "leaf of another entry", "PROOF_INVALID", make_receipt(replace(good, leaf=log.leaves[2]))
    yield "head of another size", "PROOF_INVALID", make_receipt(replace(good, checkpoint_note=log.note(6)))
    yield "leaf with a byte after it", "MALFORMED", make_receipt(replace(good, leaf=good.leaf + b"\0"))


def _bad_heads(log: SampleLog, good: Receipt) -> Iterator[tuple[str, str, bytes]]:
    note = good.checkpoint_note
    stranger = SampleLog(seed=bytes(32)).signer
    forged = sign_checkpoint(log.checkpoint(), stranger)
    other_line = sign_note("another text\n", (log.signer,)).split(b"\n\n")[1]
    elsewhere = sign_checkpoint(replace(log.checkpoint(), origin="log.example/other"), log.signer)
    for name, reason, changed in (
        ("size changed after signing", "SIGNATURE_INVALID", note.replace(b"\n7\n", b"\n8\n")),
        ("signed by another key of that name", "SIGNATURE_INVALID", forged),
        ("bad signature of the log after a good one", "SIGNATURE_INVALID", note + other_line),
        ("another origin under the same key", "ORIGIN_MISMATCH", elsewhere),
        ("line among the signatures that is none", "MALFORMED", note + b"garbage\n"),
        ("no newline at the end", "MALFORMED", note[:-1]),
        ("size with a leading zero", "MALFORMED", _log_signed(log, note.replace(b"\n7\n", b"\n07\n"))),
        ("root of 31 bytes", "MALFORMED", _log_signed(log, _short_root(log, note))),
        ("checkpoint without signature", "MALFORMED", note.split(b"\n\n")[0] + b"\n"),
    ):
        yield name, reason, make_receipt(replace(good, checkpoint_note=changed))


def _log_signed(log: SampleLog, note: bytes) -> bytes:
    """Return the text of a note with a valid signature of the log, though no log should sign it."""
    text = note.split(b"\n\n")[0] + b"\n"
    payload = log.signer.key_id.to_bytes(4, "big") + log.signer.sign(text)
    return text + f"\n\u2014 {log.signer.name} {base64.b64encode(payload).decode()}\n".encode()


def _short_root(log: SampleLog, note: bytes) -> bytes:
    root = log.checkpoint().root_hash
    return note.replace(base64.b64encode(root), base64.b64encode(root[:31]))


def _bad_texts(proof: TlogProof) -> Iterator[tuple[str, str, bytes]]:
    text = format_tlog_proof(proof)
    for name, old, new in (
        ("header of another version", b"@v1", b"@v2"),
        ("index with a leading zero", b"index 3", b"index 03"),
        ("index with a sign", b"index 3", b"index +3"),
        ("index with a space", b"index 3", b"index  3"),
        ("index line missing", b"index 3\n", b""),
        ("line before the header", b"c2sp", b"\nc2sp"),
        ("carriage return", b"\n", b"\r\n"),
        ("hash without padding", b"=\n", b"\n"),
        ("extra line with a space at its end", b"\nindex", b" \nindex"),
        ("extra line twice", b"extra ", b"extra AAAA\nextra "),
    ):
        yield name, "MALFORMED", text.replace(old, new, 1)
    yield "no extra line", "MALFORMED", format_tlog_proof(replace(proof, extra=None))


def _bad_contents(proof: TlogProof) -> Iterator[tuple[str, str, bytes]]:
    content = proof.extra or b""
    # The leaf's length takes two bytes.
    leaf_end = 5 + (content[3] & 0x7F | content[4] << 7)
    leaf, rest = content[2:leaf_end], content[leaf_end:]
    for name, changed in (
        ("content of version 2", b"\x08\x02" + content[2:]),
        ("content without version", content[2:]),
        ("content without leaf", content[:2] + rest),
        ("fields out of order", content[:2] + rest + leaf),
        ("leaf twice", content[:2] + leaf + leaf + rest),
        ("length in three bytes where two do", content[:4] + bytes([content[4] | 0x80, 0]) + content[5:]),
        ("unknown field", content + b"\x3a\x01x"),
        ("empty field", content[:2] + leaf + b"\x1a\x00" + rest),
        ("content cut off", content[:-1]),
        ("event section without its salt", content[:2] + leaf + _without_salt(rest)),
    ):
        yield name, "MALFORMED", format_tlog_proof(replace(proof, extra=changed))


def _without_salt(sections: bytes) -> bytes:
    begin = sections.index(b"\x22\x10")
    return sections[:begin] + sections[begin + 18 :]


def _bad_logs() -> Iterator[tuple[str, str, bytes]]:
    log = SampleLog()
    log.append(_event(0), previous=b"\x01" * 32)
    log.append(_event(1), previous=b"\x02" * 32)
    log.append(_event(2), cosigned_head=CosignedHead(3, b"\x03" * 32, 1))
    log.append(_FIELD_TWICE)
    yield "signed: first leaf begins another chain", "CONTENT_MISMATCH", log.receipt_file(0)
    yield "signed: leaf does not continue the chain", "CONTENT_MISMATCH", log.receipt_file(1)
    yield "signed: cosigned head above the leaf's index", "CONTENT_MISMATCH", log.receipt_file(2)
    yield "signed: event section with a field twice", "EVENT_INVALID", log.receipt_file(3)
