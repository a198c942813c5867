"""Bundles: a range of a log with all that proves it, verified by who has nothing but the log's key.

A bundle is verified in one pass over its files and in memory that does not grow with it. The rule that must not break:
every file is listed and hashed, every entry leads to the signed root with none left out, every section is the one that
its leaf commits to, and every row says what its sections say; what was not looked at is named, and never passed.

Source: docs/formats.md section 18.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ledger.errors import (
    ContentMismatchError,
    EventTooLargeError,
    ForkError,
    InvalidEventError,
    InvalidProofError,
    MalformedError,
)
from ledger.events.commitments import commit_event, commit_personal
from ledger.events.leaf import Leaf, decode_leaf, genesis_hash
from ledger.evidence.bundle_format import (
    BEGIN_NOTE,
    END_NOTE,
    ENTRIES,
    EVENTS,
    KEY,
    MANIFEST,
    RANGE,
    SINCE_NOTE,
    STATES,
    Manifest,
    check_file_size,
    check_files,
    check_name,
    consistency_name,
    exact_number,
    exact_object,
    parse_manifest,
    receipt_name,
)
from ledger.evidence.bundle_lines import MAX_ENTRY_LINE, MAX_ROW_LINE, EntryLine, format_row, parse_entry
from ledger.evidence.json_text import load_json
from ledger.evidence.levels import Level
from ledger.evidence.receipts import Receipt, parse_receipt
from ledger.evidence.trusted import TrustedLog
from ledger.merkle import EMPTY_ROOT, InclusionVerifier, RangeVerifier, hash_leaf, verify_consistency
from ledger.notes import Checkpoint, Ed25519Verifier, OpenedCheckpoint, open_checkpoint
from ledger.notes.encoding import decode_base64
from ledger.notes.keys import format_verifier_key, parse_verifier_key

_BATCH: Final = 1024


class BundleSource(Protocol):
    """The files of a bundle, wherever they are."""

    def sizes(self) -> Mapping[str, int]:
        """Return the files by name, parts joined by slashes, and how many bytes each has.

        Raises:
            MalformedError: There is something that a bundle does not have.
        """

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces.

        Raises:
            MalformedError: The file cannot be read as what it is.
        """


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """What a bundle proves.

    Attributes:
        manifest: What the bundle says that it is, all of it verified but the generator.
        verifier_key: The log's key that everything was verified with.
        checkpoint: The signed head that covers the range.
        level: What the verification rests on.
        rows_compared: Whether the readable rows were compared with the committed sections.
        missing: Sections that were asked for and are not in the bundle, in words; then the evidence is incomplete.
        notes: What else was not shown or not checked, one sentence each.
        receipts: How many receipts the bundle has.
    """

    manifest: Manifest
    verifier_key: str
    checkpoint: Checkpoint
    level: Level
    rows_compared: bool
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    receipts: int

    @property
    def fingerprint(self) -> str:
        """What tells the log's key from others, to be compared on another way."""
        return key_fingerprint(self.verifier_key)


def key_fingerprint(verifier_key: str) -> str:
    """Return the fingerprint of a verifier key: SHA-256 of its text, in hex."""
    return hashlib.sha256(verifier_key.encode()).hexdigest()


def verify_bundle(
    source: BundleSource,
    verifier: Ed25519Verifier | None,
    *,
    since: bytes | None = None,
    compare_rows: bool = True,
    progress: Callable[[int], None] | None = None,
) -> VerifiedBundle:
    """Verify a bundle, all of it.

    Args:
        source: Its files.
        verifier: The key of the log, pinned; None to take the one in the bundle, which proves nothing of who made it.
        since: Signed note of a head that is trusted already; the bundle must be proven to continue it.
        compare_rows: Whether to read the sections and compare the rows with them.
        progress: Told how many entries are done.

    Raises:
        MalformedError: A file does not have its form, is missing, or is not in the manifest.
        ContentMismatchError: A file, an entry, a section or a row is not what it is said to be, or a section breaks the
            strict-bytes rule.
        InvalidSignatureError: The log did not sign a checkpoint.
        WrongOriginError: A checkpoint is of another log.
        InvalidProofError: Entries, receipts or heads are not proven.
        ForkError: Two signed heads of one size have different roots.
        RollbackError: The bundle's head is older than the trusted one.
    """
    files = _Files(source)
    manifest = files.manifest
    key = _read_key(files, verifier, manifest)
    heads = _open_heads(files, manifest, key)
    end = heads[END_NOTE]
    proofs = _verify_consistency(files, heads)
    level = _reach_level(key, heads, proofs, since, pinned=verifier is not None)
    entries = _Entries(files, manifest, end)
    entries.verify(compare_rows=compare_rows, progress=progress)
    files.hash_rest()
    return VerifiedBundle(
        manifest,
        format_verifier_key(key),
        end.checkpoint,
        level,
        compare_rows,
        tuple(_missing(manifest)),
        tuple(_open_ends(manifest, entries, compare_rows=compare_rows)),
        len(entries.receipts),
    )


class _Files:
    """The files, each hashed as it is read; whatever was not read is left for the end."""

    def __init__(self, source: BundleSource) -> None:
        self._source = source
        self.sizes = source.sizes()
        for name, size in self.sizes.items():
            check_name(name)
            check_file_size(name, size)
        if MANIFEST not in self.sizes:
            raise MalformedError(f"there is no {MANIFEST}, so this is no bundle")
        self.manifest = parse_manifest(b"".join(source.read(MANIFEST)))
        check_files(self.manifest, self.sizes)
        self._left = set(self.manifest.files)

    def __contains__(self, name: str) -> bool:
        return name in self.sizes

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file; raise at its end if they are not those of the manifest."""
        self._left.discard(name)
        digest = hashlib.sha256()
        for chunk in self._source.read(name):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != self.manifest.files[name].sha256:
            raise ContentMismatchError(f"{name} is not the file of the manifest: its SHA-256 is {digest.hexdigest()}")

    def whole(self, name: str) -> bytes:
        """Return the bytes of a small file."""
        if name not in self:
            raise MalformedError(f"the bundle has no {name}")
        return b"".join(self.chunks(name))

    def lines(self, name: str, limit: int) -> Iterator[bytes]:
        """Yield the lines of a file without their newlines."""
        rest = b""
        for chunk in self.chunks(name):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > limit:
                break
        if rest:
            raise MalformedError(f"{name} has a line of more than {limit} bytes, or does not end in a newline")

    def hash_rest(self) -> None:
        """Read what nothing else read: guides, and programs, which are not run."""
        for name in sorted(self._left):
            for _ in self.chunks(name):
                pass


def _read_key(files: _Files, pinned: Ed25519Verifier | None, manifest: Manifest) -> Ed25519Verifier:
    text = files.whole(KEY)
    try:
        key = parse_verifier_key(text.decode().removesuffix("\n"))
    except UnicodeDecodeError:
        raise MalformedError(f"{KEY} is not text") from None
    if not isinstance(key, Ed25519Verifier) or text != f"{format_verifier_key(key)}\n".encode():
        raise MalformedError(f"{KEY} is not the verifier key of a log and a newline")
    if pinned is not None and key != pinned:
        raise ContentMismatchError(
            f"the bundle is of the key {format_verifier_key(key)}, not of the pinned one",
            hint="check that the verifier key is the one of this log; if it is, somebody else made the bundle",
        )
    if manifest.origin != key.name:
        raise ContentMismatchError(f"the manifest names the origin {manifest.origin!a}; the key is that of {key.name}")
    return key


def _open_heads(files: _Files, manifest: Manifest, key: Ed25519Verifier) -> dict[str, OpenedCheckpoint]:
    heads: dict[str, OpenedCheckpoint] = {}
    for name in (END_NOTE, BEGIN_NOTE, SINCE_NOTE):
        if name in files:
            heads[name] = _open(files.whole(name), key)
    if (BEGIN_NOTE in heads) != (manifest.begin > 0):
        raise MalformedError(f"a bundle has {BEGIN_NOTE} exactly where its range begins after 0")
    for name, size in ((END_NOTE, manifest.tree_size), (BEGIN_NOTE, manifest.begin)):
        if name in heads and heads[name].checkpoint.tree_size != size:
            raise ContentMismatchError(
                f"{name} is of tree size {heads[name].checkpoint.tree_size}; the manifest says {size}"
            )
    _check_forks(heads.values())
    return heads


def _open(note: bytes, key: Ed25519Verifier) -> OpenedCheckpoint:
    opened = open_checkpoint(note, key)
    if opened.checkpoint.tree_size == 0 and opened.checkpoint.root_hash != EMPTY_ROOT:
        raise InvalidProofError("the head of size 0 does not have the root of the empty tree")
    return opened


def _check_forks(heads: Iterable[OpenedCheckpoint]) -> None:
    known: dict[int, OpenedCheckpoint] = {}
    for head in heads:
        size = head.checkpoint.tree_size
        other = known.setdefault(size, head)
        if other.checkpoint.root_hash != head.checkpoint.root_hash:
            raise ForkError(
                f"the log signed two roots for tree size {size}: "
                f"{other.checkpoint.root_hash.hex()} and {head.checkpoint.root_hash.hex()}",
                other.note,
                head.note,
                hint="keep both notes: together they prove that the log misbehaved",
            )


def _verify_consistency(files: _Files, heads: Mapping[str, OpenedCheckpoint]) -> dict[int, tuple[bytes, ...]]:
    """Verify that the end continues each earlier head, and return the proofs by the size they start from."""
    end = heads[END_NOTE].checkpoint
    proofs: dict[int, tuple[bytes, ...]] = {}
    for head in heads.values():
        first = head.checkpoint
        if first.tree_size > end.tree_size:
            raise InvalidProofError(f"a checkpoint of size {first.tree_size} is beyond the end's {end.tree_size}")
        if first.tree_size not in {0, end.tree_size}:
            proof = _read_consistency(files, first, end)
            verify_consistency(first.tree_size, first.root_hash, end.tree_size, end.root_hash, proof)
            proofs[first.tree_size] = proof
    used = {consistency_name(size, end.tree_size) for size in proofs}
    for name in sorted(files.sizes):
        if name.startswith("proofs/consistency-") and name not in used:
            raise MalformedError(f"{name} connects no two checkpoints of the bundle")
    return proofs


def _read_consistency(files: _Files, first: Checkpoint, end: Checkpoint) -> tuple[bytes, ...]:
    name = consistency_name(first.tree_size, end.tree_size)
    keys = ("type", "old_size", "new_size", "old_root", "new_root", "proof")
    fields = exact_object(load_json(files.whole(name), name), keys, name)
    stated = (
        fields["type"],
        exact_number(fields["old_size"], "old_size"),
        exact_number(fields["new_size"], "new_size"),
        fields["old_root"],
        fields["new_root"],
    )
    expected = ("consistency", first.tree_size, end.tree_size, first.root_hash.hex(), end.root_hash.hex())
    if stated != expected:
        raise ContentMismatchError(f"{name} is not about the checkpoints of the bundle")
    return _hashes(fields["proof"], name)


def _reach_level(
    key: Ed25519Verifier,
    heads: Mapping[str, OpenedCheckpoint],
    proofs: Mapping[int, tuple[bytes, ...]],
    since: bytes | None,
    *,
    pinned: bool,
) -> Level:
    if since is not None:
        trusted = TrustedLog(key, since)
        known = trusted.checkpoint
        assert known is not None
        for head in heads.values():
            if head.checkpoint.tree_size == known.tree_size:
                trusted.check(head)
        trusted.check(heads[END_NOTE], proofs.get(known.tree_size))
    if not pinned:
        return Level.UNPINNED
    return Level.PINNED_KEY if since is None else Level.PINNED_HEAD


class _Entries:
    """The entries of the range, with the one before and the one after."""

    def __init__(self, files: _Files, manifest: Manifest, end: OpenedCheckpoint) -> None:
        self._files = files
        self._manifest = manifest
        self._end = end
        keys = ("begin", "end", "tree_size", "before", "after", "proof")
        fields = exact_object(load_json(files.whole(RANGE), RANGE), keys, RANGE)
        stated = tuple(exact_number(fields[name], name) for name in keys[:3])
        if stated != (manifest.begin, manifest.end, manifest.tree_size):
            raise ContentMismatchError(f"{RANGE} is about another range than the manifest")
        self.before = self._neighbour(fields["before"], "before", is_there=manifest.begin > 0)
        self.after = self._neighbour(fields["after"], "after", is_there=manifest.end < manifest.tree_size)
        self._range = RangeVerifier(
            manifest.begin - (self.before is not None),
            manifest.tree_size,
            end.checkpoint.root_hash,
            _hashes(fields["proof"], RANGE),
        )
        self._inclusion = InclusionVerifier(manifest.tree_size, end.checkpoint.root_hash)
        self.receipts = {name for name in files.sizes if name.startswith("receipts/")}
        self._counts = {name: dict.fromkeys(states, 0) for name, states in STATES.items()}
        self._previous = genesis_hash(manifest.origin)
        self._recorded_at = 0
        self.cosigned = 0

    def verify(self, *, compare_rows: bool, progress: Callable[[int], None] | None) -> None:
        """Verify all entries, their order, their sections and their rows; raise at the first that does not hold."""
        manifest = self._manifest
        self._check_period()
        if self.before is not None:
            leaf = decode_leaf(self.before)
            if manifest.begin > 1:
                self._previous = leaf.previous  # which entry that is, the bundle does not show
            self._range.add([self._follow(manifest.begin - 1, self.before, leaf)])
        index, receipts, hashes = manifest.begin, set(self.receipts), list[bytes]()
        lines = self._files.lines(ENTRIES, MAX_ENTRY_LINE)
        rows = self._files.lines(EVENTS, MAX_ROW_LINE) if compare_rows else None
        for line in lines:
            entry = parse_entry(line)
            if entry.leaf_index != index or index >= manifest.end:
                raise ContentMismatchError(f"entry {entry.leaf_index} stands where entry {index} belongs")
            leaf = decode_leaf(entry.leaf)
            leaf_hash = self._follow(index, entry.leaf, leaf)
            self._check_time(leaf)
            self._verify_sections(entry, leaf)
            if rows is not None:
                _compare_row(next(rows, None), entry, leaf)
            self._verify_receipt(receipts, entry, leaf_hash)
            hashes.append(leaf_hash)
            index += 1
            if len(hashes) == _BATCH:
                self._range.add(hashes)
                hashes.clear()
                if progress is not None:
                    progress(index - manifest.begin)
        self._check_end(index, rows, receipts)
        self._range.add(hashes)
        if self.after is not None:
            leaf = decode_leaf(self.after)
            self._range.add([self._follow(self._manifest.end, self.after, leaf)])
        self._range.finish()
        if self._counts != manifest.sections:
            raise ContentMismatchError(f"the manifest counts other sections than there are: {self._counts}")

    def _check_end(self, index: int, rows: Iterator[bytes] | None, receipts: set[str]) -> None:
        if index != self._manifest.end:
            raise ContentMismatchError(f"the entries end before {index}; the range ends before {self._manifest.end}")
        if rows is not None and next(rows, None) is not None:
            raise ContentMismatchError("there are more rows than entries")
        if receipts:
            raise ContentMismatchError(f"{min(receipts)} is of no entry of the range")

    def _neighbour(self, value: object, name: str, *, is_there: bool) -> bytes | None:
        if value is None and not is_there:
            return None
        if not isinstance(value, str) or not is_there:
            raise MalformedError(f"{RANGE} has the leaf {name} the range exactly where the tree has it")
        return decode_base64(value, f"the leaf {name} the range")

    def _follow(self, index: int, data: bytes, leaf: Leaf) -> bytes:
        """Check that a leaf continues the chain, and return its hash."""
        if leaf.previous != self._previous:
            raise ContentMismatchError(f"the leaf of index {index} does not continue the chain")
        if leaf.recorded_at < self._recorded_at:
            raise ContentMismatchError(f"the leaf of index {index} was recorded before the one before it")
        if leaf.cosigned_head is not None:
            self.cosigned += 1
            if leaf.cosigned_head.size > index:
                raise ContentMismatchError(f"the leaf of index {index} names a head above it")
        self._previous = hash_leaf(data)
        self._recorded_at = leaf.recorded_at
        return self._previous

    def _check_period(self) -> None:
        """Check that the entries beside the range are outside the period, so that it has all of the period."""
        period = self._manifest.period
        if period is None:
            return
        if self.before is not None and (period.begin is None or decode_leaf(self.before).recorded_at >= period.begin):
            raise ContentMismatchError("the entry before the range belongs to the period as well")
        if self.after is not None and (period.end is None or decode_leaf(self.after).recorded_at < period.end):
            raise ContentMismatchError("the entry after the range belongs to the period as well")

    def _check_time(self, leaf: Leaf) -> None:
        period = self._manifest.period
        if period is None:
            return
        if (period.begin or 0) > leaf.recorded_at or (period.end is not None and leaf.recorded_at >= period.end):
            raise ContentMismatchError("an entry of the range is outside the period")

    def _verify_sections(self, entry: EntryLine, leaf: Leaf) -> None:
        index, event, personal = entry.leaf_index, entry.event, entry.personal
        if event is not None and commit_event(event.salt, event.content) != leaf.event_commitment:
            raise ContentMismatchError(f"the event section of entry {index} is not the one that its leaf commits to")
        if personal is not None:
            if commit_personal(personal.salt, personal.content) != leaf.personal_commitment:
                raise ContentMismatchError(
                    f"the personal section of entry {index} is not the one that its leaf commits to"
                )
        elif (leaf.personal_commitment is not None) != bool(entry.personal_state):
            raise ContentMismatchError(f"entry {index} and its leaf do not agree on whether it has a personal section")
        if not self._manifest.personal and (personal is not None or entry.personal_state in {"withheld", "erased"}):
            raise ContentMismatchError(f"entry {index} shows personal data; the manifest says that none were asked for")
        if self._manifest.personal and entry.personal_state == "not_asked":
            raise ContentMismatchError(f"entry {index} shows no personal data; the manifest says that they were asked")
        self._counts["event"][entry.event_state or "shown"] += 1
        self._counts["personal"][entry.personal_state or ("none" if personal is None else "shown")] += 1

    def _verify_receipt(self, left: set[str], entry: EntryLine, leaf_hash: bytes) -> None:
        """Verify the receipt of an entry, where it has one of those that are left."""
        name = receipt_name(entry.leaf_index)
        if name not in left:
            return
        left.remove(name)
        receipt = parse_receipt(self._files.whole(name))
        shown = Receipt(entry.leaf_index, receipt.hashes, self._end.note, entry.leaf, entry.event, entry.personal)
        if receipt != shown:
            raise ContentMismatchError(f"{name} shows something else than the entry and the end checkpoint")
        self._inclusion.verify(leaf_hash, entry.leaf_index, receipt.hashes)


def _compare_row(row: bytes | None, entry: EntryLine, leaf: Leaf) -> None:
    try:
        committed = format_row(entry, leaf)
    except (InvalidEventError, EventTooLargeError) as error:
        raise ContentMismatchError(f"a section of entry {entry.leaf_index} cannot be read: {error.message}") from error
    if row != committed[:-1]:
        raise ContentMismatchError(f"the row of entry {entry.leaf_index} does not say what was committed")


def _missing(manifest: Manifest) -> Iterator[str]:
    for name, counts in manifest.sections.items():
        for state in ("withheld", "erased"):
            if counts[state]:
                yield f"{counts[state]} {name} sections are {state}"


def _open_ends(manifest: Manifest, entries: _Entries, *, compare_rows: bool) -> Iterator[str]:
    if not compare_rows:
        yield "rows: not compared with the committed sections"
    period = manifest.period
    if period is not None and period.end is not None and entries.after is None:
        yield "the log has no entry after the period yet, so later entries may still belong to it"
    if manifest.sections["personal"]["not_asked"]:
        yield f"{manifest.sections['personal']['not_asked']} personal sections were not asked for"
    if entries.cosigned:
        yield f"{entries.cosigned} cosigned heads that leaves name: not checked"


def _hashes(value: object, where: str) -> tuple[bytes, ...]:
    try:
        if isinstance(value, list) and len(value) <= 128:
            hashes = tuple(bytes.fromhex(text) for text in value)
            if [item.hex() for item in hashes] == value and all(len(item) == 32 for item in hashes):
                return hashes
    except (TypeError, ValueError):
        pass
    raise MalformedError(f"the proof of {where} is not a list of hashes, 32 bytes each in lower-case hex")
