"""The scrubber: recomputes a stored log over and over, a page at a time, and keeps its place.

A pass goes from the first entry to the head: sections to commitments, commitments to leaf, leaf to tree, tree to head,
and each event id to its entry; the records of administration are folded again on the way. Place and fold are kept in a
file beside the store, with a checksum, which is no part of the log: a page is only reported after it was found wrong
again from the store alone, and a record only where the tree that was computed with the fold is that of the head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.clock import Clock
from ledger.engine.files import replace_file
from ledger.engine.findings import Finding, Impossible
from ledger.engine.fsck import fold_entries, folded_records, record_faults
from ledger.engine.page_check import check_page
from ledger.engine.recovery import check_opening
from ledger.errors import CorruptionError
from ledger.merkle.compact import CompactRange
from ledger.merkle.proofs import frontier
from ledger.storage.api import HeadRecord, ReadTransaction, Store

PAGE_ENTRIES = 500
_KEEP_PAGES = 40


@dataclass(frozen=True, slots=True)
class ScrubState:
    """How far the scrubber is with a log, and what it found.

    Attributes:
        position: Entries of this pass that were checked.
        hashes: Right edge of the tree at that position, 32 bytes each.
        records: The records of administration as the entries of this pass make them, by name.
        started_at: When this pass began, microseconds UTC; 0 between passes.
        passed_at: When the last whole pass ended, microseconds UTC; 0 for none yet.
        passed_size: Entries of that pass.
        finding: The first thing that was wrong, in words; empty for none.
        wrong_index: The entry that it is about; None where it is about none.
    """

    position: int = 0
    hashes: tuple[bytes, ...] = ()
    started_at: int = 0
    passed_at: int = 0
    passed_size: int = 0
    finding: str = ""
    wrong_index: int | None = None
    records: Mapping[str, bytes] = field(default_factory=dict)


def read_state(path: Path) -> ScrubState:
    """Return the state that a file keeps; the beginning where it keeps nothing usable, since it is derived data."""
    try:
        fields: dict[str, Any] = json.loads(path.read_bytes())
        if fields.pop("sha256") != _checksum(fields):
            return ScrubState()
        state = ScrubState(
            position=int(fields["position"]),
            hashes=tuple(bytes.fromhex(text) for text in fields["hashes"]),
            started_at=int(fields["started_at"]),
            passed_at=int(fields["passed_at"]),
            passed_size=int(fields["passed_size"]),
            finding=str(fields["finding"]),
            wrong_index=None if fields["wrong_index"] is None else int(fields["wrong_index"]),
            records={name: bytes.fromhex(text) for name, text in fields["records"].items()},
        )
        CompactRange(state.position, state.hashes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ScrubState()
    return state


def write_state(path: Path, state: ScrubState) -> None:
    """Keep the state in a file, durably; a crash leaves the old one or the new one."""
    fields = {
        "position": state.position,
        "hashes": [value.hex() for value in state.hashes],
        "started_at": state.started_at,
        "passed_at": state.passed_at,
        "passed_size": state.passed_size,
        "finding": state.finding,
        "wrong_index": state.wrong_index,
        "records": {name: value.hex() for name, value in state.records.items()},
    }
    replace_file(path, f"{json.dumps({**fields, 'sha256': _checksum(fields)})}\n".encode())


def _checksum(fields: Mapping[str, object]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Looked:
    edge: CompactRange
    finding: Finding | None
    is_end: bool = False
    leaves: Sequence[bytes] = ()
    events: Sequence[bytes | None] = ()


class Scrubber:
    """Scrubs one log. For one thread; only one process keeps the state in a file."""

    def __init__(self, store: Store, clock: Clock, path: Path | None) -> None:
        """Go on from what `path` keeps; without a path begin at the first entry, and keep nothing."""
        self._store = store
        self._clock = clock
        self._path = path
        self._pages = 0
        self.state = ScrubState() if path is None else read_state(path)

    def step(self) -> int:
        """Check one page, and at the end of a pass the head; return how many entries were found good.

        Afterwards a pass has ended if `state.started_at` is 0, and something is wrong if `state.finding` is not empty.
        """
        if not self.state.started_at:
            self._begin()
        before = self.state
        with self._store.read() as snapshot:
            looked = self._look(snapshot, CompactRange(before.position, before.hashes))
            records = dict(before.records)
            fold_entries(looked.leaves, looked.events, records)
            faults: list[str] = []
            if looked.is_end and looked.finding is None:
                faults = list(record_faults(folded_records(snapshot), records))
        if looked.finding is not None:
            if self._is_found_again():
                self._end(finding=looked.finding.describe(), wrong_index=looked.finding.leaf_index)
            else:
                # The store is sound there, so the place, or that one reading, was not.
                self._begin()
            return 0
        if faults:
            self._end(finding=faults[0])
        elif looked.is_end:
            self._end(passed_at=self._clock.now_us(), passed_size=looked.edge.tree_size)
        else:
            self.state = replace(before, position=looked.edge.tree_size, hashes=looked.edge.hashes, records=records)
            self._pages += 1
            if self._pages % _KEEP_PAGES == 0:
                self.keep()
        return looked.edge.tree_size - before.position

    def look_at(self, leaf_index: int) -> None:
        """Check the page of one entry out of turn; the place of the pass stays, unless something is wrong there."""
        with self._store.read() as snapshot:
            try:
                head = snapshot.head()
                size = 0 if head is None else head.tree_size
                begin = min(leaf_index, size) // PAGE_ENTRIES * PAGE_ENTRIES
                finding = self._look(snapshot, CompactRange(begin, frontier(begin, snapshot.hashes))).finding
            except CorruptionError as error:
                finding = Finding(Impossible.HASHES_MISSING, error.message, leaf_index)
        if finding is not None:
            self._end(finding=finding.describe(), wrong_index=finding.leaf_index)

    def keep(self) -> None:
        """Keep the place, so that the next process goes on from it."""
        if self._path is not None:
            write_state(self._path, self.state)

    def _look(self, snapshot: ReadTransaction, edge: CompactRange) -> _Looked:
        """Check the page that follows on a right edge, and the head where it is the last one."""
        try:
            head = snapshot.head()
            if head is None:
                return _Looked(edge, Finding(Impossible.HEAD_MISSING, "nothing says how large the log is"))
            if edge.tree_size > head.tree_size:
                return _Looked(edge, Finding(Impossible.LEAVES_MISSING, f"the head has size {head.tree_size} only"))
            end = min(head.tree_size, edge.tree_size + PAGE_ENTRIES)
            page = check_page(snapshot, edge.tree_size, end, self._store.meta.origin, edge)
            if page.findings:
                return _Looked(edge, page.findings[0])
            after = page.tree or edge
            is_end = end == head.tree_size
            finding = self._check_head(snapshot, head, after) if is_end else None
            return _Looked(after, finding, is_end, page.leaves, page.events)
        except CorruptionError as error:
            return _Looked(edge, Finding(Impossible.HASHES_MISSING, error.message, edge.tree_size))

    def _check_head(self, snapshot: ReadTransaction, head: HeadRecord, edge: CompactRange) -> Finding | None:
        if edge.root() != head.root_hash:
            detail = f"{head.root_hash.hex()} against {edge.root().hex()} recomputed"
            return Finding(Impossible.ROOT_DIFFERS, detail)
        # Counts and right edge; the head stands in for the guard, which is the writer's to watch.
        known = (head.tree_size, head.root_hash)
        return check_opening(snapshot, self._store.meta.origin, known, rechecked=0)

    def _begin(self) -> None:
        now = self._clock.now_us()
        self.state = replace(
            self.state, position=0, hashes=(), records={}, started_at=now, finding="", wrong_index=None
        )

    def _end(self, **changes: object) -> None:
        ended = replace(self.state, position=0, hashes=(), records={}, started_at=0)
        self.state = replace(ended, **changes)  # type: ignore[arg-type]
        self.keep()

    def _is_found_again(self) -> bool:
        """Return whether a new look, at the store alone, finds that page or the head wrong as well."""
        begin = self.state.position
        with self._store.read() as snapshot:
            try:
                head = snapshot.head()
                if head is not None and begin > head.tree_size:
                    # A crash or a failed sync may take what was seen before it was durable; it is then not in the log.
                    return False
                # Not the edge that was computed on the way: what was taken so may have been written anew since.
                hashes = frontier(begin, snapshot.hashes)
            except CorruptionError:
                return True
            return self._look(snapshot, CompactRange(begin, hashes)).finding is not None
