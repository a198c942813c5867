"""Writes a bundle: a range of a log with all that proves it, for who has nothing but the log's key.

Everything that the server gives is verified before the bundle has its name. The rule that must not break: a bundle is
there whole, durable and verified, or not at all; nothing is overwritten; and the same log state and the same wishes give
the same bytes. Memory does not grow with the range.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, Final

from ledger import __version__
from ledger.client._reads import ReadEntry
from ledger.client.state import sync_directory
from ledger.client.sync import Ledger
from ledger.client.trust import Head
from ledger.client.values import EntryView, HeadKind, SectionContent, SectionState
from ledger.errors import ContentMismatchError, FieldViolation, IndexBeyondTreeError, InvalidRequestError
from ledger.events.leaf import genesis_hash
from ledger.evidence.bundle import key_fingerprint
from ledger.evidence.bundle_format import (
    BEGIN_NOTE,
    END_NOTE,
    ENTRIES,
    EVENTS,
    GUIDE,
    KEY,
    MANIFEST,
    MAX_RECEIPTS,
    PAGE,
    RANGE,
    SCRIPT,
    SINCE_NOTE,
    STATES,
    BundleFile,
    Manifest,
    Period,
    consistency_name,
    format_manifest,
    receipt_name,
)
from ledger.evidence.bundle_lines import EntryLine, format_entry, format_row
from ledger.evidence.bundle_zip import (
    DEFLATED,
    LEVEL,
    MAX_ZIP_BYTES,
    STORED,
    ZipMember,
    directory,
    fits_ratio,
    local_header,
)
from ledger.evidence.proof_json import ConsistencyClaim, format_proofs
from ledger.evidence.receipts import Receipt, Section, make_receipt
from ledger.merkle import RangeVerifier
from ledger.notes import open_checkpoint
from ledger.notes.encoding import encode_base64
from ledger.notes.keys import parse_verifier_key

_FILE_MODE: Final = 0o644
_CHUNK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class BundleWish:
    """What a bundle is to hold.

    Attributes:
        begin: First index; not with a period.
        end: Index after the last; None for the newest entry.
        period: Instead of indexes, the time in which the entries were recorded.
        since: Signed note that the bundle is to be shown to continue.
        personal: Whether personal sections are to be in it; erasure does not reach a bundle.
        receipts: Indexes of entries, all in the range, that get a receipt of their own.
    """

    begin: int = 0
    end: int | None = None
    period: Period | None = None
    since: bytes | None = None
    personal: bool = False
    receipts: tuple[int, ...] = ()


def export_bundle(
    ledger: Ledger, wish: BundleWish, target: Path, progress: Callable[[int], None] = lambda _done: None
) -> tuple[Manifest, Head]:
    """Write a bundle, verified, and return its manifest and the head that covers it.

    Args:
        ledger: The client of the log.
        wish: What it is to hold.
        target: The bundle: a zip if its name ends in `.zip`, else a directory. It must not exist.
        progress: Told how many entries have been written.

    Raises:
        InvalidRequestError: The target exists, or the wish breaks a rule.
        IndexBeyondTreeError: The range is beyond the tree.
        VerificationError: Something that the server gave does not hold; no bundle was written.
        LedgerError: The server refused, or could not be reached in time.
        OSError: The disk is full or fails.
    """
    if target.is_symlink() or target.exists():
        raise InvalidRequestError([FieldViolation("out", f"{target} exists; a bundle overwrites nothing")])
    with _temporary_directory(target) as folder:
        manifest, head = _Export(ledger, wish, folder).run(progress)
        if target.suffix == ".zip":
            _pack(folder, target, sorted([*manifest.files, MANIFEST]))
        else:
            _sync_tree(folder)
            # Fails where a directory with content, or anything else, has come there meanwhile.
            folder.rename(target)
            sync_directory(target.parent)
    return manifest, head


class _Export:
    """One bundle while it is written."""

    def __init__(self, ledger: Ledger, wish: BundleWish, folder: Path) -> None:
        self._ledger = ledger
        self._wish = wish
        self._folder = folder
        self._files: dict[str, BundleFile] = {}
        self._counts = {name: dict.fromkeys(states, 0) for name, states in STATES.items()}

    def run(self, progress: Callable[[int], None]) -> tuple[Manifest, Head]:
        ledger, wish = self._ledger, self._wish
        if wish.since is not None:
            ledger.trust_head(wish.since)
        head = published_head(ledger)
        size = head.checkpoint.tree_size
        begin, end = self._range(size)
        if len(set(wish.receipts)) > MAX_RECEIPTS or any(not begin <= index < end for index in wish.receipts):
            raise InvalidRequestError(
                [FieldViolation("receipts", f"are up to {MAX_RECEIPTS} entries of the range [{begin}, {end})")]
            )
        key = ledger.verifier_key
        self._write(KEY, f"{key}\n".encode())
        self._write(END_NOTE, head.note)
        self._write_earlier_heads(begin, head)
        self._write_entries(begin, end, head, progress)
        for index in sorted(set(wish.receipts)):
            self._write_receipt(index, head)
        texts = {
            "@BEGIN@": str(begin),
            "@END@": str(end),
            "@ORIGIN@": ledger.origin,
            "@TREE_SIZE@": str(size),
            "@FINGERPRINT@": key_fingerprint(key),
        }
        for name in (GUIDE, SCRIPT, PAGE):
            content = files("ledger.client").joinpath("bundle_files", name).read_bytes()
            if name == GUIDE:
                for mark, text in texts.items():
                    content = content.replace(mark.encode(), text.encode())
            self._write(name, content)
        manifest = Manifest(
            f"logproof {__version__}",
            ledger.origin,
            size,
            begin,
            end,
            wish.period,
            wish.personal,
            self._counts,
            self._files,
        )
        self._write(MANIFEST, format_manifest(manifest))
        return manifest, head

    def _range(self, size: int) -> tuple[int, int]:
        wish = self._wish
        if wish.period is not None:
            begin = 0 if wish.period.begin is None else self._first_at(wish.period.begin, 0, size)
            return begin, size if wish.period.end is None else self._first_at(wish.period.end, begin, size)
        end = size if wish.end is None else wish.end
        if not 0 <= wish.begin <= end:
            raise InvalidRequestError([FieldViolation("begin", f"is {wish.begin}, beyond the end of the range, {end}")])
        if end > size:
            raise IndexBeyondTreeError(f"the range [{wish.begin}, {end}) is beyond the tree of size {size}")
        return wish.begin, end

    def _first_at(self, time: int, low: int, high: int) -> int:
        """Return the first index of [low, high) that was recorded at `time` or later; `high` where none was."""
        while low < high:
            middle = (low + high) // 2
            if self._ledger.get(middle, view=EntryView.LEAF).leaf.recorded_at >= time:
                high = middle
            else:
                low = middle + 1
        return low

    def _write_earlier_heads(self, begin: int, head: Head) -> None:
        size = head.checkpoint.tree_size
        earlier = set()
        if begin:
            self._write(BEGIN_NOTE, self._ledger.checkpoint(tree_size=begin).note)
            earlier.add(begin)
        if self._wish.since is not None:
            self._write(SINCE_NOTE, self._wish.since)
            key = parse_verifier_key(self._ledger.verifier_key)
            earlier.add(open_checkpoint(self._wish.since, key).checkpoint.tree_size)
        for first in sorted(earlier - {0, size}):
            proof = self._ledger.prove_consistency(first, size)
            claim = ConsistencyClaim(
                first, size, proof.first.checkpoint.root_hash, head.checkpoint.root_hash, proof.hashes
            )
            self._write(consistency_name(first, size), format_proofs([claim]))

    def _write_entries(self, begin: int, end: int, head: Head, progress: Callable[[int], None]) -> None:
        """Write entries and rows as they come, and raise at the end if they are not those of the signed tree."""
        size, root = head.checkpoint.tree_size, head.checkpoint.root_hash
        low, high = max(begin - 1, 0), min(end + 1, size)
        hashes = self._ledger.range_hashes(low, high, size) if size else ()
        proven = RangeVerifier(low, size, root, hashes)
        beside: dict[int, bytes] = {}
        previous = genesis_hash(self._ledger.origin)
        with self._open(ENTRIES) as entries, self._open(EVENTS) as rows:
            for batch in self._read(low, high):
                for entry in batch:
                    if entry.leaf_index > low and entry.leaf.previous != previous:
                        raise ContentMismatchError(f"the leaf of index {entry.leaf_index} does not continue the chain")
                    previous = entry.leaf_hash
                    if not begin <= entry.leaf_index < end:
                        beside[entry.leaf_index] = entry.leaf_bytes
                        continue
                    line = self._line(entry)
                    self._counts["event"][line.event_state or "shown"] += 1
                    self._counts["personal"][line.personal_state or ("none" if line.personal is None else "shown")] += 1
                    entries.add(format_entry(line))
                    rows.add(format_row(line, entry.leaf))
                proven.add([entry.leaf_hash for entry in batch])
                progress(min(batch[-1].leaf_index + 1, end) - begin)
        proven.finish()
        proof = {
            "begin": begin,
            "end": end,
            "tree_size": size,
            "before": _leaf_text(beside.get(begin - 1)),
            "after": _leaf_text(beside.get(end)),
            "proof": [item.hex() for item in hashes],
        }
        self._write(RANGE, json.dumps(proof, indent=1).encode() + b"\n")

    def _read(self, begin: int, end: int) -> Iterator[list[ReadEntry]]:
        """Yield the entries [begin, end): the one place that knows where the entries of a bundle come from."""
        view = EntryView.FULL if self._wish.personal else EntryView.EVENT
        return self._ledger.stream_entries(begin, end, view=view, allow_incomplete=True)

    def _line(self, entry: ReadEntry) -> EntryLine:
        event, event_state = _shown(entry.event_section)
        personal, personal_state = _shown(entry.personal_section)
        if not self._wish.personal:
            personal, personal_state = None, "not_asked" if entry.leaf.personal_commitment is not None else ""
        return EntryLine(entry.leaf_index, entry.leaf_bytes, event, event_state, personal, personal_state)

    def _write_receipt(self, index: int, head: Head) -> None:
        batch = next(iter(self._read(index, index + 1)))
        line = self._line(batch[0])
        proof = self._ledger.prove_inclusion(index, tree_size=head.checkpoint.tree_size)
        if proof.leaf_bytes != line.leaf:
            raise ContentMismatchError(f"the server gave two leaves for entry {index}")
        receipt = Receipt(index, proof.hashes, head.note, line.leaf, line.event, line.personal)
        self._write(receipt_name(index), make_receipt(receipt))

    def _write(self, name: str, data: bytes) -> None:
        with self._open(name) as writer:
            writer.add(data)

    @contextmanager
    def _open(self, name: str) -> Iterator[_Writer]:
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as file:
            writer = _Writer(file)
            yield writer
            file.flush()
            os.fchmod(file.fileno(), _FILE_MODE)
            os.fsync(file.fileno())
        if name != MANIFEST:
            self._files[name] = BundleFile(name, writer.size, writer.digest.hexdigest())


class _Writer:
    """A file, hashed as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)


def published_head(ledger: Ledger) -> Head:
    """Return a published head that covers everything committed at the call."""
    committed = ledger.checkpoint(allow_stale=False)
    return ledger.checkpoint(HeadKind.PUBLISHED, at_least=committed.checkpoint.tree_size)


def _shown(section: SectionContent) -> tuple[Section | None, str]:
    if section.state is SectionState.PRESENT:
        return Section(section.salt, section.content), ""
    return None, "" if section.state is SectionState.NONE else section.state.name.lower()


def _leaf_text(leaf: bytes | None) -> str | None:
    return None if leaf is None else encode_base64(leaf)


def _pack(folder: Path, target: Path, names: Sequence[str]) -> None:
    """Write the files of a directory as a zip that has its name only once it is whole and durable."""
    packed = folder / ".zip"
    members: list[ZipMember] = []
    with packed.open("xb") as out:
        members.extend(_add(out, folder / name, name) for name in names)
        end = directory(members)
        out.write(end)
        if out.tell() > MAX_ZIP_BYTES:
            raise InvalidRequestError(
                [FieldViolation("out", f"would be a zip of more than {MAX_ZIP_BYTES} bytes; name a directory")]
            )
        out.flush()
        os.fchmod(out.fileno(), _FILE_MODE)
        os.fsync(out.fileno())
    # Unlike a rename, fails where the target has come to be meanwhile.
    target.hardlink_to(packed)
    sync_directory(target.parent)


def _add(out: BinaryIO, source: Path, name: str) -> ZipMember:
    begin, size = out.tell(), source.stat().st_size
    if size > MAX_ZIP_BYTES or begin > MAX_ZIP_BYTES:
        raise InvalidRequestError([FieldViolation("out", f"{name} has too many bytes for a zip; name a directory")])
    member = ZipMember(name, DEFLATED, 0, 0, size, begin)
    for method in (DEFLATED, STORED):
        out.seek(member.data_offset)
        out.truncate()
        crc = packed = 0
        for content, piece in _packed(source, method):
            crc = zlib.crc32(content, crc)
            packed += out.write(piece)
        if method == STORED or fits_ratio(packed, size):
            member = ZipMember(name, method, crc, packed, size, begin)
            break
    out.seek(begin)
    out.write(local_header(member))
    out.seek(0, os.SEEK_END)
    return member


def _packed(source: Path, method: int) -> Iterator[tuple[bytes, bytes]]:
    deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    with source.open("rb") as file:
        while content := file.read(_CHUNK):
            yield content, content if method == STORED else deflater.compress(content)
    if method == DEFLATED:
        yield b"", deflater.flush()


@contextmanager
def _temporary_directory(target: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    directories: Iterable[Path] = [path for path in folder.iterdir() if path.is_dir()]
    for path in (*directories, folder):
        sync_directory(path)
