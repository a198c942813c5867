"""The check of a run of entries: everything that a leaf says, computed again from what is stored.

One pass in columns, because this is what `fsck`, the scrubber and every opening spend their time on. An entry whose
leaf is, byte for byte, what its sections and the leaf before it lead to is good; only where it is not are its parts
looked at one by one, to name what is wrong. The rule that must not break: the quick comparison never accepts what the
slow one would not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger.engine.findings import Finding, Impossible
from ledger.engine.kernel import installed_kernel
from ledger.errors import LedgerError, MalformedError
from ledger.events.codec import check_sections
from ledger.events.commitments import (
    EVENT_COMMIT_PREFIX,
    PERSONAL_COMMIT_PREFIX,
    SALT_SIZE,
    commit_event,
    commit_personal,
)
from ledger.events.leaf import EVENT_TAG, PERSONAL_TAG, PREVIOUS_TAG, decode_leaf, genesis_hash
from ledger.merkle.compact import CompactRange
from ledger.merkle.hashing import LEAF_PREFIX, hash_leaf
from ledger.merkle.ranges import stored_count, stored_index
from ledger.storage.api import ReadTransaction, SectionKind


@dataclass(frozen=True, slots=True)
class CheckedPage:
    """A run of entries as it was found.

    Attributes:
        leaves: Leaf bytes, in order; fewer than asked for where one is missing.
        events: Salt and event section of each, None where there is none.
        tree: The tree with these leaves, where one was given.
        findings: What is wrong, in order of the index.
    """

    leaves: Sequence[bytes]
    events: Sequence[bytes | None]
    tree: CompactRange | None
    findings: Sequence[Finding]


def check_page(
    snapshot: ReadTransaction, begin: int, end: int, origin: str, tree: CompactRange | None = None
) -> CheckedPage:
    """Check the entries [begin, end): each leaf's form, hash, chain and time, its sections' commitments and bytes, its id.

    Args:
        snapshot: The store.
        begin: Index of the first entry.
        end: Index after the last.
        origin: Origin of the log.
        tree: The tree of the leaves before `begin`; with it, every stored hash that the entries complete is compared
            as well, without it those of the leaves alone.

    Raises:
        CorruptionError: A hash is missing, or the store cannot be read there.
    """
    first = max(0, begin - 1)
    leaves = snapshot.leaves(first, end)
    if len(leaves) < end - first:
        missing = Finding(Impossible.LEAVES_MISSING, "it is not stored", first + len(leaves))
        return CheckedPage(leaves[begin - first :], [None] * max(0, len(leaves) - (begin - first)), tree, [missing])
    before = leaves[0] if begin else None
    leaves = leaves[begin - first :]
    indexes = range(begin, end)
    events = snapshot.sections(SectionKind.EVENT, indexes)
    personals = snapshot.sections(SectionKind.PERSONAL, indexes)
    page = _Page(begin, genesis_hash(origin) if before is None else hash_leaf(before), before)
    page.check(leaves, events, personals)
    found = [*page.findings, *_check_ids(snapshot, page.event_ids)]
    if tree is None:
        stored = snapshot.hashes([stored_index(0, index) for index in indexes])
        hashes = list(_differing_leaves(begin, page.leaf_hashes, stored))
    else:
        tree, completed = tree.extend(page.leaf_hashes)
        hashes = _differing_hashes(snapshot, indexes, page.leaf_hashes, completed, is_sound=not found)
    # An entry's hash comes first among what is wrong with it.
    findings = [*hashes, *found]
    findings.sort(key=_index_of)
    return CheckedPage(leaves, events, tree, findings)


class _Page:
    """The entries of a page, checked one after the other."""

    def __init__(self, begin: int, previous: bytes, before: bytes | None) -> None:
        self._begin = begin
        self._previous = previous
        self._last_time = 0
        self.leaf_hashes: list[bytes] = []
        # Index and id of each entry whose event section can be read.
        self.event_ids: list[tuple[int, bytes]] = []
        self.findings: list[Finding] = []
        if before is not None:
            try:
                self._last_time = decode_leaf(before).recorded_at
            except MalformedError as error:
                self.findings.append(Finding(Impossible.LEAF_UNREADABLE, error.message, begin - 1))

    def check(self, leaves: Sequence[bytes], events: Sequence[bytes | None], personals: Sequence[bytes | None]) -> None:
        previous, last_time = self._previous, self._last_time
        # Time of each first part of a leaf, up to the previous hash, that was read strictly; one commit shares one.
        times: dict[bytes, int] = {}
        seen_hash = self.leaf_hashes.append
        readable: list[int] = []
        contents: list[tuple[bytes, bytes]] = []
        for index, (leaf, event, personal) in enumerate(zip(leaves, events, personals, strict=True), self._begin):
            content = personal_content = b""
            tail = b""
            if event is not None:
                content = event[SALT_SIZE:]
                tail = PREVIOUS_TAG + previous + EVENT_TAG + sha256(EVENT_COMMIT_PREFIX + event).digest()
                if personal is not None:
                    personal_content = personal[SALT_SIZE:]
                    tail += PERSONAL_TAG + sha256(PERSONAL_COMMIT_PREFIX + personal).digest()
            recorded_at = times.get(leaf[: -len(tail)], -1) if tail and leaf.endswith(tail) else -1
            if recorded_at < last_time or (personal is not None and not personal_content):
                recorded_at = self._look_closer(index, leaf, event, personal, previous, last_time)
                if recorded_at >= 0 and leaf.endswith(tail):
                    times[leaf[: -len(tail)]] = recorded_at
            if event is not None:
                readable.append(index)
                contents.append((content, personal_content))
            last_time = recorded_at if recorded_at >= 0 else last_time
            previous = sha256(LEAF_PREFIX + leaf).digest()
            seen_hash(previous)
        self._check_contents(readable, contents)

    def _check_contents(self, indexes: Sequence[int], contents: list[tuple[bytes, bytes]]) -> None:
        known_ids = installed_kernel().check(contents)
        for index, known_id, (event, personal) in zip(indexes, known_ids, contents, strict=True):
            try:
                # The kernel knows no entries of the server itself.
                event_id = check_sections(event, personal, internal=True).encode() if known_id is None else known_id
                self.event_ids.append((index, event_id))
            except LedgerError as error:
                self.findings.append(Finding(Impossible.SECTION_DIFFERS, f"it is not strict: {error.message}", index))

    def _look_closer(
        self,
        index: int,
        leaf_bytes: bytes,
        event: bytes | None,
        personal: bytes | None,
        previous: bytes,
        last_time: int,
    ) -> int:
        """Look at the parts of a leaf one by one; return its time, or -1 where the leaf cannot be read."""
        try:
            leaf = decode_leaf(leaf_bytes)
        except MalformedError as error:
            self.findings.append(Finding(Impossible.LEAF_UNREADABLE, error.message, index))
            return -1
        if leaf.previous != previous:
            detail = f"it names {leaf.previous.hex()}, not {previous.hex()}"
            self.findings.append(Finding(Impossible.CHAIN_BROKEN, detail, index))
        if leaf.recorded_at < last_time:
            detail = f"{leaf.recorded_at} after {last_time}"
            self.findings.append(Finding(Impossible.TIME_DECREASES, detail, index))
        self.findings += _check_section(index, SectionKind.EVENT, event, leaf.event_commitment)
        self.findings += _check_section(index, SectionKind.PERSONAL, personal, leaf.personal_commitment)
        return leaf.recorded_at


def _check_section(index: int, kind: SectionKind, stored: bytes | None, commitment: bytes | None) -> Iterator[Finding]:
    if stored is None:
        if commitment is not None:
            yield Finding(Impossible.SECTION_MISSING, f"the {kind.value} section", index)
        return
    if commitment is None:
        yield Finding(Impossible.SECTION_UNEXPECTED, f"a {kind.value} section", index)
        return
    commit = commit_event if kind is SectionKind.EVENT else commit_personal
    # Too short for a salt and content: no commitment was ever made to it.
    if len(stored) <= SALT_SIZE or commit(stored[:SALT_SIZE], stored[SALT_SIZE:]) != commitment:
        yield Finding(Impossible.SECTION_DIFFERS, f"the {kind.value} section", index)


def _check_ids(snapshot: ReadTransaction, event_ids: Sequence[tuple[int, bytes]]) -> Iterator[Finding]:
    found = snapshot.indexes_of([event_id for _, event_id in event_ids])
    for (index, event_id), stored in zip(event_ids, found, strict=True):
        if stored != index:
            yield Finding(Impossible.EVENT_ID_MISSING, f"{event_id.decode()} leads to {stored}", index)


def _differing_leaves(begin: int, computed: Sequence[bytes], stored: Sequence[bytes]) -> Iterator[Finding]:
    for index, (mine, found) in enumerate(zip(computed, stored, strict=True), begin):
        if mine != found:
            yield Finding(Impossible.LEAF_HASH_DIFFERS, f"{found.hex()} is stored", index)


def _differing_hashes(
    snapshot: ReadTransaction,
    indexes: range,
    leaf_hashes: Sequence[bytes],
    completed: Sequence[bytes],
    *,
    is_sound: bool,
) -> list[Finding]:
    """Compare every hash that a run of leaves completes with the stored one."""
    begin = indexes.start
    first = stored_count(begin)
    stored = snapshot.hashes(range(first, first + len(completed)))
    if stored == completed:
        return []
    at_leaves = [stored[stored_index(0, index) - first] for index in indexes]
    findings = list(_differing_leaves(begin, leaf_hashes, at_leaves))
    if findings or not is_sound:
        # Where a leaf is damaged, the hashes above it differ as well, which says nothing new.
        return findings
    position = next(place for place, hashes in enumerate(zip(completed, stored, strict=True)) if hashes[0] != hashes[1])
    completed_by = bisect_right(range(indexes.stop), first + position, lo=begin, key=stored_count) - 1
    detail = f"stored hash {first + position} is {stored[position].hex()}, not {completed[position].hex()}"
    return [Finding(Impossible.LEAF_HASH_DIFFERS, detail, completed_by)]


def _index_of(finding: Finding) -> int:
    return -1 if finding.leaf_index is None else finding.leaf_index
