"""Bundles of a log in memory, good ones and every kind of bad one, without a server."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ledger.events.codec import encode_sections
from ledger.events.event import Actor, Event, FieldChange, MetadataEntry, PersonalData, Target
from ledger.events.leaf import CosignedHead, decode_leaf, encode_leaf
from ledger.evidence import ConsistencyClaim, Section, format_proofs
from ledger.evidence.bundle_format import MANIFEST, STATES, Manifest, Period, format_manifest
from ledger.evidence.bundle_lines import EntryLine, format_entry, format_row
from ledger.evidence.bundle_zip import DEFLATED, ZipMember, directory, local_header
from ledger.evidence.receipts import Receipt, make_receipt
from ledger.merkle import CompactRange, hash_leaf, prove_range
from ledger.notes import Checkpoint, format_verifier_key, sign_checkpoint
from ledger.notes.encoding import encode_base64
from tests.support.sample_log import FIRST_RECORDED_AT, SampleLog

SIZE = 21
BEGIN, END, SINCE = 5, 14, 3

Files = dict[str, bytes]

# Files of which a verifier reads more than their hash; a manifest does not list itself.
_READ = {
    "keys/log.vkey",
    "checkpoints/begin.note",
    "checkpoints/end.note",
    "checkpoints/since.note",
    f"proofs/consistency-{BEGIN}-{SIZE}.json",
    f"proofs/consistency-{SINCE}-{SIZE}.json",
    "proofs/range.json",
    "entries.ndjson",
    "events.ndjson",
    "receipts/7.tlog-proof",
}


def sample_log(size: int = SIZE, seed: bytes = bytes(range(32)), salt: str = "") -> SampleLog:
    """Return a log whose events differ in everything that a row can show."""
    log = SampleLog(seed=seed)
    for number in range(size):
        event = Event(
            event_id=f"id-{number}{salt}",
            action="user.role.updated",
            occurred_at=1_771_597_800_000_000 + number,
            actor=Actor(id="user_1", roles=("admin", 'zoë \u2028\x01"\\')),
            targets=tuple(Target("user", f"user_{item}") for item in range(number % 3)),
            field_changes=(FieldChange("role", "member", None), FieldChange("limit", -1, 1e22)),
            metadata=(
                MetadataEntry("a", -(2**63)),
                MetadataEntry("b", (0.1, 1e-7, -0.0, 5e-324, 1e16, 123456789.0)[number % 6]),
                MetadataEntry("c", number % 2 == 0),
                MetadataEntry("d", "<script>document.title='run'</script>"),
            ),
        )
        personal = PersonalData(actor_email="al@example.com", ip="203.0.113.4", metadata=(MetadataEntry("ip", "x"),))
        log.append(*encode_sections(event, personal if number % 2 else None))
    return log


def make_bundle(
    log: SampleLog,
    begin: int = BEGIN,
    end: int = END,
    *,
    since: int | None = SINCE,
    personal: bool = True,
    period: Period | None = None,
    receipts: tuple[int, ...] = (7,),
    withheld: tuple[int, ...] = (),
    rows: bytes | None = None,
) -> Files:
    """Return the files of a good bundle."""
    size = len(log.leaves)
    files: Files = {
        "keys/log.vkey": f"{format_verifier_key(log.verifier)}\n".encode(),
        "checkpoints/end.note": log.note(),
        "VERIFY.md": b"guide\n",
        "verify_bundle.py": b"# script\n",
        "verify.html": b"<!doctype html>\n",
    }
    earlier = set()
    if begin:
        files["checkpoints/begin.note"] = log.note(begin)
        earlier.add(begin)
    if since is not None:
        files["checkpoints/since.note"] = log.note(since)
        earlier.add(since)
    for first in earlier - {0, size}:
        claim = ConsistencyClaim(first, size, log.root(first), log.root(), tuple(log.consistency(first, size)))
        files[f"proofs/consistency-{first}-{size}.json"] = format_proofs([claim])
    low, high = max(begin - 1, 0), min(end + 1, size)
    stored = CompactRange.empty().extend(log.leaf_hashes)[1]
    proof = prove_range(low, high, size, lambda positions: [stored[position] for position in positions]) if size else []
    range_proof = {
        "begin": begin,
        "end": end,
        "tree_size": size,
        "before": encode_base64(log.leaves[begin - 1]) if begin else None,
        "after": encode_base64(log.leaves[end]) if end < size else None,
        "proof": [item.hex() for item in proof],
    }
    files["proofs/range.json"] = to_json(range_proof)
    lines = [_line(log, index, personal=personal, withheld=index in withheld) for index in range(begin, end)]
    files["entries.ndjson"] = b"".join(map(format_entry, lines))
    if rows is None:
        rows = b"".join(format_row(line, decode_leaf(line.leaf)) for line in lines)
    files["events.ndjson"] = rows
    for index in receipts:
        line = _line(log, index, personal=personal, withheld=index in withheld)
        receipt = Receipt(index, tuple(log.inclusion(index)), log.note(), line.leaf, line.event, line.personal)
        files[f"receipts/{index}.tlog-proof"] = make_receipt(receipt)
    counts = {name: dict.fromkeys(states, 0) for name, states in STATES.items()}
    for line in lines:
        counts["event"][line.event_state or "shown"] += 1
        counts["personal"][line.personal_state or ("none" if line.personal is None else "shown")] += 1
    manifest = Manifest("test", log.signer.name, size, begin, end, period, personal, counts, {})
    files[MANIFEST] = format_manifest(manifest)
    return listed(files)


def _line(log: SampleLog, index: int, *, personal: bool, withheld: bool) -> EntryLine:
    event, private = log.sections[index]
    state = "" if private is None or personal else "not_asked"
    return EntryLine(
        index,
        log.leaves[index],
        None if withheld else event,
        "withheld" if withheld else "",
        private if personal else None,
        state,
    )


def to_json(value: object) -> bytes:
    """Return JSON as bundles have it."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def listed(files: Mapping[str, bytes]) -> Files:
    """Return the files with a manifest that lists them as they are."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
        if name != MANIFEST
    ]
    return {**files, MANIFEST: to_json(manifest)}


def to_zip(files: Mapping[str, bytes], *, order: Callable[[list[str]], list[str]] = sorted) -> bytes:
    """Return the zip of the files."""
    members, out = [], b""
    for name in order(list(files)):
        data = files[name]
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = deflater.compress(data) + deflater.flush()
        member = ZipMember(name, DEFLATED, zlib.crc32(data), len(packed), len(data), len(out))
        members.append(member)
        out += local_header(member) + packed
    return out + directory(members)


def to_directory(files: Mapping[str, bytes], path: Path) -> Path:
    """Write the files below a new directory."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@dataclass(frozen=True)
class Case:
    """One bundle and the verdict on it.

    Attributes:
        name: What was done to it.
        files: Its files; or else
        zipped: its zip.
        key: The pinned key; empty for none.
        code: Exit code.
        since: The auditor's note, if there is one.
        level: The first line of the verdict begins with this, where there is one.
        quick: Whether rows are left out.
    """

    name: str
    files: Files | None
    key: str
    code: int = 1
    since: bytes | None = None
    level: str = ""
    zipped: bytes | None = field(default=None, repr=False)
    quick: bool = False

    def write(self, path: Path) -> Path:
        """Write the zip and return its path."""
        assert self.files is not None or self.zipped is not None
        path.write_bytes(self.zipped if self.zipped is not None else to_zip(self.files or {}))
        return path


def corpus() -> Iterator[Case]:
    """Yield good bundles, and each single change of one."""
    log = sample_log()
    key = format_verifier_key(log.verifier)
    good = make_bundle(log)
    yield from _good(log, key, good)
    for name, files in _changed(log, good):
        yield Case(name, files, key)
    yield from _heads(log, key, good)
    yield from _lying_logs(key)
    for name, zipped in _zips(good):
        yield Case(f"zip: {name}", None, key, zipped=zipped)


def _good(log: SampleLog, key: str, good: Files) -> Iterator[Case]:
    pinned, first = "pinned key, tail unproven", FIRST_RECORDED_AT
    yield Case("good", good, key, 0, level=pinned)
    yield Case("unpinned", good, "", 0, level="UNPINNED; key fingerprint ")
    yield Case("since", good, key, 0, since=log.note(SINCE), level="pinned head")
    yield Case("since the end", good, key, 0, since=log.note(), level="pinned head")
    yield Case("since the empty log", good, key, 0, since=log.note(0), level="pinned head")
    yield Case("whole log", make_bundle(log, 0, SIZE, since=None), key, 0, level=pinned)
    yield Case("no personal data", make_bundle(log, 0, SIZE, personal=False), key, 0, level=pinned)
    yield Case("no entries", make_bundle(log, 6, 6, receipts=()), key, 0, level=pinned)
    yield Case("no log", make_bundle(sample_log(0), 0, 0, since=None, receipts=()), key, 0, level=pinned)
    period = Period(first + 5_000_000 - 1, first + 14_000_000)
    yield Case("period", make_bundle(log, period=period), key, 0, level=pinned)
    yield Case("withheld", make_bundle(log, withheld=(7,)), key, 3, level=f"{pinned}; incomplete")
    open_period = make_bundle(log, BEGIN, SIZE, period=Period(first + 5_000_000, first + 99_000_000))
    yield Case("period that is not over", open_period, key, 0, level=pinned)
    newer = sample_log()
    newer.append(b"\x08\x02\xfa\x01\x01x", b"\x08\x05")
    newer.append(newer.sections[0][0].content, b"\x08\x03\x10\x01", cosigned_head=CosignedHead(5, b"r" * 32, 1))
    yield Case("newer schema", make_bundle(newer, BEGIN, SIZE + 2), key, 0, level=pinned)
    changed = {**good, "events.ndjson": good["events.ndjson"].replace(b"user_1", b"user_2")}
    yield Case("changed rows, quick", listed(changed), key, 0, level=f"{pinned}; rows not compared", quick=True)
    for size in (1, 2, 3, 8, 20):
        for begin, end in sorted({(0, size), (size - 1, size), (size // 2, size // 2 + 1), (0, 1)}):
            files = make_bundle(sample_log(size), begin, end, since=None, receipts=())
            yield Case(f"[{begin}, {end}) of {size}", files, key, 0, level=pinned)


def _lying_logs(key: str) -> Iterator[Case]:
    """Yield what only a log that lies would sign: what is refused without anything being changed afterwards."""
    sections = sample_log(2).sections
    event = sections[0][0].content
    for what, lie in {
        "chain broken": {"previous": b"p" * 32},
        "cosigned head above its index": {"cosigned_head": CosignedHead(99, b"r" * 32, 1)},
    }.items():
        log = sample_log(8)
        log.append(event, **lie)  # type: ignore[arg-type]
        yield Case(f"lie: {what}", make_bundle(log, 0, 9, since=None, receipts=()), key)
        log.append(event)
        # Which entry came before the neighbour is not in the bundle, so there the chain cannot be followed.
        before = make_bundle(log, 9, 10, since=None, receipts=())
        if "chain" in what:
            yield Case(f"lie before the range: {what}", before, key, 0, level="pinned key, tail unproven")
        else:
            yield Case(f"lie before the range: {what}", before, key)
    log = sample_log(8)
    log.append(event)
    log.leaves[-1] = encode_leaf(replace(decode_leaf(log.leaves[-1]), recorded_at=1))
    log.leaf_hashes[-1] = hash_leaf(log.leaves[-1])
    yield Case("lie: time goes back", make_bundle(log, 0, 9, since=None, receipts=()), key)
    for what, content in {
        "too large": b"\x08\x01\x12" + bytes([0x80, 0x80, 2]) + b"x" * 32768,
        "unknown field": b"\x08\x01\xfa\x01\x01x",
        "field twice": b"\x08\x01\x08\x01",
        "default written": b"\x08\x01\x12\x00",
        "not UTF-8": b"\x08\x01\x12\x01\xff",
        "cut off": b"\x08\x01\x12\x05x",
        "no schema": b"\x12\x01x",
        "long number": b"\x88\x00\x01",
        "schema 128": b"\x08\x80\x01",
    }.items():
        log = sample_log(3)
        log.append(content)
        files = make_bundle(log, 0, 3, since=None, receipts=())
        whole = make_bundle(log, 0, 4, since=None, receipts=(), rows=files["events.ndjson"] + b"{}\n")
        yield Case(f"lie: {what}", whole, key)
    empty = Checkpoint("log.example/sample", 0, b"e" * 32)
    files = make_bundle(sample_log(0), 0, 0, since=None, receipts=())
    note = sign_checkpoint(empty, sample_log(0).signer)
    yield Case("lie: other empty root", listed({**files, "checkpoints/end.note": note}), key)


def _changed(log: SampleLog, good: Files) -> Iterator[tuple[str, Files]]:
    for name, data in good.items():
        for position in {0, len(data) // 2, len(data) - 1}:
            flipped = bytearray(data)
            flipped[position] ^= 1
            yield f"byte {position} of {name}", {**good, name: bytes(flipped)}
            if name in _READ:
                yield f"byte {position} of {name}, listed", listed({**good, name: bytes(flipped)})
        rest = {other: content for other, content in good.items() if other != name}
        yield f"{name} gone", rest
        yield f"{name} empty", {**good, name: b""}
        yield f"{name} twice as long", {**good, name: data * 2}
        # A bundle without a receipt, or with another guide, is another good bundle.
        if name in _READ and not name.startswith("receipts/"):
            yield f"{name} gone, listed", listed(rest)
        if name in _READ:
            yield f"{name} twice as long, listed", listed({**good, name: data * 2})
    yield "another file", listed({**good, "notes.txt": b"x"})
    yield "file beside the manifest", {**good, "receipts/8.tlog-proof": good["receipts/7.tlog-proof"]}
    for name in ("../x", "/etc/x", "Manifest.json", "keys/../keys/log.vkey", "receipts/07.tlog-proof", "a\\b", "é"):
        yield f"named {name}", listed({**good, name: b"x"})
    yield from _lines(good)
    yield from _manifests(good)
    yield from _sections(log, good)
    yield from _proofs(log, good)


def _lines(good: Files) -> Iterator[tuple[str, Files]]:
    for name in ("entries.ndjson", "events.ndjson"):
        lines = good[name].splitlines(keepends=True)
        changes = {
            "first dropped": lines[1:],
            "middle dropped": [*lines[:4], *lines[5:]],
            "last dropped": lines[:-1],
            "one twice": [*lines[:4], lines[3], *lines[4:]],
            "two swapped": [lines[1], lines[0], *lines[2:]],
            "no last newline": [*lines[:-1], lines[-1][:-1]],
            "carriage return": [lines[0][:-1] + b"\r\n", *lines[1:]],
            "empty line": [b"\n", *lines],
            "space": [lines[0].replace(b":", b": ", 1), *lines[1:]],
            "huge line": [random.Random(1).randbytes(1_000_000).hex().encode() + b"\n", *lines],
            "none": [],
        }
        for what, changed in changes.items():
            yield f"{name}: {what}", listed({**good, name: b"".join(changed)})
    entries, rows = (good[name].splitlines(keepends=True) for name in ("entries.ndjson", "events.ndjson"))
    both = {**good, "entries.ndjson": b"".join(entries[:-1]), "events.ndjson": b"".join(rows[:-1])}
    yield "tail cut from both", listed(both)
    for old, new in ((b"user_1", b"user_2"), (b"-0.0", b"0.0"), (b'"c":true', b'"c":1'), (b"id-6", b"id\\u002d6")):
        assert old in good["events.ndjson"], old
        yield f"row: {old!r} for {new!r}", listed({**good, "events.ndjson": good["events.ndjson"].replace(old, new)})
    twice = rows[0].replace(b'{"leaf_index":5', b'{"leaf_index":5,"leaf_index":5')
    yield "row: key twice", listed({**good, "events.ndjson": twice + b"".join(rows[1:])})


def _manifests(good: Files) -> Iterator[tuple[str, Files]]:
    manifest = json.loads(good[MANIFEST])
    changes: list[dict[str, Any]] = [
        {"format": "logproof/bundle/v2"},
        {"format": 1},
        {"generator": ""},
        {"generator": None},
        {"origin": "log.example/other"},
        {"tree_size": SIZE - 1},
        {"tree_size": str(SIZE)},
        {"tree_size": float(SIZE)},
        {"tree_size": True},
        {"tree_size": -1},
        {"tree_size": 2**53},
        {"begin": BEGIN + 1},
        {"begin": BEGIN - 1},
        {"end": END - 1},
        {"end": END + 1},
        {"begin": END, "end": BEGIN},
        {"filter": {"action": "x"}},
        {"personal": False},
        {"personal": 1},
        {"sections": {}},
        {"sections": {**manifest["sections"], "event": {"shown": 8, "withheld": 1, "erased": 0}}},
        {"sections": {**manifest["sections"], "event": {"shown": 9}}},
        {"files": {}},
        {"files": manifest["files"][::-1]},
        {"files": [*manifest["files"], manifest["files"][-1]]},
        {"files": [{**manifest["files"][0], "sha256": "A" * 64}, *manifest["files"][1:]]},
        {"files": [{**manifest["files"][0], "more": 1}, *manifest["files"][1:]]},
        {"period": {"from": None}},
        {"period": {"from": "2026-01-01", "to": None}},
        {"period": {"from": "2026-01-01T00:00:00.000Z", "to": None}},
        {"period": {"from": "2026-02-30T00:00:00Z", "to": None}},
        {"period": {"from": None, "to": None}},
        {"more": 1},
    ]
    first = FIRST_RECORDED_AT
    for begin, end in ((4, 14), (6, 14), (5, 13), (5, 15), (None, 14), (5, None)):
        times = [None if index is None else _time(first + index * 1_000_000) for index in (begin, end)]
        changes.append({"period": {"from": times[0], "to": times[1]}})
    for number, change in enumerate(changes):
        yield f"manifest {number}: {str(change)[:60]}", {**good, MANIFEST: to_json({**manifest, **change})}
    text = good[MANIFEST]
    yield "manifest: key twice", {**good, MANIFEST: text.replace(b'"begin": 5,', b'"begin": 5, "begin": 5,')}
    yield "manifest: NaN", {**good, MANIFEST: text.replace(b'"begin": 5,', b'"begin": NaN,')}
    yield "manifest: 5.0", {**good, MANIFEST: text.replace(b'"begin": 5,', b'"begin": 5.0,')}
    yield "manifest: 5e0", {**good, MANIFEST: text.replace(b'"begin": 5,', b'"begin": 5e0,')}
    yield "manifest: 05", {**good, MANIFEST: text.replace(b'"begin": 5,', b'"begin": 05,')}
    yield "manifest: not UTF-8", {**good, MANIFEST: text.replace(b'"test"', b'"\xff"')}
    yield "manifest: BOM", {**good, MANIFEST: b"\xef\xbb\xbf" + text}
    yield "manifest: control character", {**good, MANIFEST: text.replace(b'"test"', b'"\x01"')}
    yield "manifest: more after it", {**good, MANIFEST: text + b"{}"}
    yield "manifest: deep", {**good, MANIFEST: b"[" * 100_000}
    yield "manifest: a list", {**good, MANIFEST: b"[]"}


def _time(microseconds: int) -> str:
    from ledger.events.timestamps import format_timestamp

    return format_timestamp(microseconds)


def _sections(log: SampleLog, good: Files) -> Iterator[tuple[str, Files]]:
    lines = [_line(log, index, personal=True, withheld=False) for index in range(BEGIN, END)]

    def with_line(position: int, **changes: Any) -> Files:
        changed = [*lines]
        changed[position] = changed[position]._replace(**changes)
        return listed({**good, "entries.ndjson": b"".join(map(format_entry, changed))})

    event, personal = lines[0].event, lines[0].personal
    assert event is not None
    assert personal is not None
    yield "event stripped", with_line(0, event=None, event_state="withheld")
    yield "personal stripped", with_line(0, personal=None)
    yield "personal stripped, said", with_line(0, personal=None, personal_state="erased")
    yield "personal not asked", with_line(0, personal=None, personal_state="not_asked")
    yield "personal where there is none", with_line(1, personal=personal)
    yield "personal said where there is none", with_line(1, personal_state="erased")
    yield "event of another entry", with_line(0, event=lines[1].event)
    yield (
        "salts swapped",
        with_line(0, event=Section(personal.salt, event.content), personal=Section(event.salt, personal.content)),
    )
    yield "event changed", with_line(0, event=Section(event.salt, event.content.replace(b"user_1", b"user_2")))
    yield "other index", with_line(0, leaf_index=6)
    yield "other leaf", with_line(0, leaf=lines[1].leaf)
    yield "leaf with more", with_line(0, leaf=lines[0].leaf + b"\0")
    text = good["entries.ndjson"]
    salt = encode_base64(event.salt).encode()
    loose = base64.b64encode(event.salt)[:-3] + bytes([salt[-3] + 1]) + b"=="
    yield "base64 not canonical", listed({**good, "entries.ndjson": text.replace(salt, loose)})
    yield "index as text", listed({**good, "entries.ndjson": text.replace(b'"leaf_index":5', b'"leaf_index":"5"')})
    yield "index 05", listed({**good, "entries.ndjson": text.replace(b'"leaf_index":5', b'"leaf_index":05')})


def _proofs(log: SampleLog, good: Files) -> Iterator[tuple[str, Files]]:
    proof = json.loads(good["proofs/range.json"])
    changes: dict[str, dict[str, Any]] = {
        "other begin": {"begin": BEGIN + 1},
        "begin as text": {"begin": "5"},
        "no before": {"before": None},
        "no after": {"after": None},
        "before is another leaf": {"before": encode_base64(log.leaves[BEGIN - 2])},
        "after is another leaf": {"after": encode_base64(log.leaves[END + 1])},
        "before is a number": {"before": 1},
        "hash dropped": {"proof": proof["proof"][:-1]},
        "first hash dropped": {"proof": proof["proof"][1:]},
        "hash added": {"proof": [*proof["proof"], "00" * 32]},
        "hashes swapped": {"proof": proof["proof"][::-1]},
        "hash short": {"proof": [proof["proof"][0][:-2], *proof["proof"][1:]]},
        "hash in capitals": {"proof": [text.upper() for text in proof["proof"]]},
        "proof is text": {"proof": "x"},
        "hash no hex": {"proof": ["zz" * 32, *proof["proof"][1:]]},
        "hash is a number": {"proof": [1, *proof["proof"][1:]]},
        "many hashes": {"proof": ["00" * 32] * 1000},
        "more": {"more": 1},
    }
    for what, change in changes.items():
        yield f"range: {what}", listed({**good, "proofs/range.json": to_json({**proof, **change})})
    name = f"proofs/consistency-{SINCE}-{SIZE}.json"
    consistency = json.loads(good[name])
    changes = {
        "other size": {"old_size": SINCE + 1},
        "size as a float": {"old_size": 3.0},
        "other root": {"old_root": "00" * 32},
        "hash dropped": {"proof": consistency["proof"][1:]},
        "no hash": {"proof": []},
        "null": {"proof": None},
        "other type": {"type": "inclusion"},
        "hash changed": {"proof": ["11" * 32, *consistency["proof"][1:]]},
    }
    for what, change in changes.items():
        yield f"consistency: {what}", listed({**good, name: to_json({**consistency, **change})})
    other = f"proofs/consistency-4-{SIZE}.json"
    claim = ConsistencyClaim(4, SIZE, log.root(4), log.root(), tuple(log.consistency(4, SIZE)))
    yield "consistency of no checkpoint", listed({**good, other: format_proofs([claim])})
    receipt = "receipts/7.tlog-proof"
    for what, data in {
        "another entry's": make_receipt(log.receipt(8)),
        "without personal data": log.receipt_file(7, personal=False),
        "older head": log.receipt_file(7, 12),
        "carriage return": good[receipt].replace(b"\n", b"\r\n", 1),
        "hash dropped": b"\n".join(good[receipt].split(b"\n")[:3] + good[receipt].split(b"\n")[4:]),
        "hash added": good[receipt].replace(b"\n\n", b"\n" + b"A" * 43 + b"=\n\n", 1),
    }.items():
        yield f"receipt: {what}", listed({**good, receipt: data})
    yield "receipt of no entry", listed({**good, "receipts/2.tlog-proof": log.receipt_file(2)})


def _heads(log: SampleLog, key: str, good: Files) -> Iterator[Case]:
    other = sample_log(salt="x")
    stranger = sample_log(seed=bytes(32))
    stranger_key = format_verifier_key(stranger.verifier)
    unsigned = log.note().split(b"\n\n")[0] + b"\n"
    foreign = sign_checkpoint(log.checkpoint(), stranger.signer)
    renamed = sign_checkpoint(Checkpoint("log.example/x", SIZE, log.root()), log.signer)
    yield Case("other key pinned", good, stranger_key)
    yield Case("other key in the bundle", listed({**good, "keys/log.vkey": f"{stranger_key}\n".encode()}), key)
    yield Case("other log", make_bundle(stranger), key)
    own = good["keys/log.vkey"]
    for what, text in {
        "not UTF-8": b"\xff" + own,
        "with a space": own.replace(b"\n", b" \n"),
        "without its newline": own[:-1],
        "with two newlines": own + b"\n",
        "of another id": own.replace(b"+ed92", b"+ed93"),
        "of a witness": own.replace(b"+AQ", b"+BA"),
    }.items():
        yield Case(f"key {what}", listed({**good, "keys/log.vkey": text}), key)
        yield Case(f"key {what}, unpinned", listed({**good, "keys/log.vkey": text}), "")
    for what, note in {
        "unsigned": unsigned,
        "of another key": foreign,
        "of another origin": renamed,
        "older": log.note(SIZE - 1),
        "with a carriage return": log.note().replace(b"\n", b"\r\n"),
        "with a bad second signature": log.note() + log.note().split(b"\n\n")[1].replace(b"A", b"B"),
    }.items():
        yield Case(f"end {what}", listed({**good, "checkpoints/end.note": note}), key)
    yield Case("end of a fork", listed({**good, "checkpoints/end.note": other.note()}), key)
    begin, since = "checkpoints/begin.note", "checkpoints/since.note"
    yield Case("begin of a fork", listed({**good, begin: other.note(BEGIN)}), key)
    yield Case("since of a fork", listed({**good, since: other.note(SINCE)}), key)
    yield Case("since beyond the end", listed({**good, since: sample_log(SIZE + 3).note()}), key)
    forked = make_bundle(log, since=SIZE)
    yield Case("two ends", listed({**forked, since: other.note()}), key, 6)
    yield Case("two begins", listed({**make_bundle(log, since=BEGIN), since: other.note(BEGIN)}), key, 6)
    yield Case("old note of a fork at the end", good, key, 6, since=other.note())
    yield Case("old note of a fork at the begin", good, key, 6, since=other.note(BEGIN))
    yield Case("old note of a fork at its size", good, key, 6, since=other.note(SINCE))
    yield Case("old note of a fork between", good, key, since=other.note(SINCE + 1))
    yield Case("old note without a proof", good, key, since=log.note(SINCE + 1))
    yield Case("old note that is newer", good, key, since=sample_log(SIZE + 3).note())
    yield Case("old note of another log", good, key, since=stranger.note())
    yield Case("old note unsigned", good, key, 2, since=unsigned)


def _zips(good: Files) -> Iterator[tuple[str, bytes]]:
    whole = to_zip(good)
    end = len(whole) - 22
    central = int.from_bytes(whole[end + 16 : end + 20], "little")
    yield "junk before", b"x" + whole
    yield "junk after", whole + b"x"
    yield "comment", whole[:-2] + b"\1\0x"
    yield "cut off", whole[:-1]
    yield "no directory", whole[:central]
    yield "empty", b""
    yield "text", b"this is no zip\n" * 10
    for what, offset in {
        "local signature": 0,
        "local flags: encrypted": 6,
        "local time": 10,
        "local size": 22,
        "central flags: encrypted": central + 8,
        "central time": central + 12,
        "central crc": central + 16,
        "central attributes: a link": central + 41,
        "central offset": central + 42,
        "count": end + 10,
    }.items():
        flipped = bytearray(whole)
        flipped[offset] ^= 1
        yield what, bytes(flipped)
    both = bytearray(whole)
    both[6] ^= 1
    both[central + 8] ^= 1
    yield "encrypted", bytes(both)
    method = bytearray(whole)
    method[8] = method[central + 10] = 9
    yield "other method", bytes(method)
    cut = bytearray(whole)
    cut[end + 10] = cut[end + 8] = cut[end + 8] + 1
    yield "one more file than there is", bytes(cut)
    larger = bytearray(whole)
    larger[22] = larger[central + 24] = larger[22] + 1
    yield "other unpacked size", bytes(larger)
    checksum = bytearray(whole)
    checksum[14] = checksum[central + 16] = checksum[14] ^ 1
    yield "other checksum", bytes(checksum)
    yield "other order", to_zip(good, order=lambda names: sorted(names, reverse=True))
    yield "one twice", to_zip(good, order=lambda names: sorted([*names, "VERIFY.md"]))
    yield "deflated data damaged", whole[:60] + bytes([whole[60] ^ 0xFF]) + whole[61:]
    bomb = {**good, "VERIFY.md": b"\0" * 10_000_000}
    yield "bomb", to_zip(listed(bomb))
    yield "large small file", to_zip(listed({**good, "VERIFY.md": bytes(range(256)) * 70_000}))


def unpack(zipped: bytes, path: Path) -> Path:
    """Unpack a good zip with the library's own reader."""
    archive = path.with_suffix(".zip")
    archive.write_bytes(zipped)
    shutil.unpack_archive(archive, path, "zip")
    return path
