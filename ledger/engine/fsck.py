"""A full check of a log: everything is computed again from leaves and sections.

Reads in short snapshots up to the head of the first one, so it may run beside the server. The first wrong index is
named; what follows it is still checked, because an operator wants to know how far the damage goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ledger.engine.findings import Finding, Impossible
from ledger.engine.page_check import check_page
from ledger.engine.records import FOLDED_PREFIXES, fold
from ledger.engine.recovery import check_opening
from ledger.errors import CorruptionError, LedgerError
from ledger.events.actions import is_reserved
from ledger.events.commitments import SALT_SIZE
from ledger.events.leaf import decode_leaf
from ledger.events.wire import read_event
from ledger.merkle.compact import CompactRange
from ledger.merkle.proofs import frontier
from ledger.storage.api import HeadRecord, ReadTransaction, Store

PAGE_ENTRIES = 1000
MAX_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a full check found.

    Attributes:
        tree_size: Entries checked.
        root_hash: Root computed from the leaves, 32 bytes.
        findings: What is wrong, by index; at most `MAX_FINDINGS`.
        record_faults: Administrative records that are not the fold of the log's entries.
    """

    tree_size: int
    root_hash: bytes
    findings: tuple[Finding, ...]
    record_faults: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.findings and not self.record_faults


def check_log(
    store: Store,
    guard: tuple[int, bytes] | None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> LogReport:
    """Check a whole log.

    Args:
        store: The log's store.
        guard: What its guard remembered before the store was opened; None where it is missing.
        progress: Called with entries done and entries in all.
    """
    origin = store.meta.origin
    findings: list[Finding] = []
    with store.read() as snapshot:
        opening = check_opening(snapshot, origin, guard, rechecked=0)
        head = _readable_head(snapshot)
        records = folded_records(snapshot)
    if opening is not None:
        findings.append(opening)
    if head is None:
        return LogReport(0, b"", tuple(findings), ())
    tree = CompactRange.empty()
    folded: dict[str, bytes] = {}
    for begin in range(0, head.tree_size, PAGE_ENTRIES):
        end = min(begin + PAGE_ENTRIES, head.tree_size)
        with store.read() as snapshot:
            try:
                page = check_page(snapshot, begin, end, origin, tree)
                fold_entries(page.leaves, page.events, folded)
                findings += page.findings
                # From here on the stored hashes are taken for right, so that later damage is seen for itself.
                tree = CompactRange(end, frontier(end, snapshot.hashes)) if page.findings else page.tree or tree
            except CorruptionError as error:
                findings.append(Finding(Impossible.HASHES_MISSING, error.message, begin))
        progress(end, head.tree_size)
        if len(findings) >= MAX_FINDINGS or tree.tree_size != end:
            break
    root = tree.root()
    if not findings and root != head.root_hash:
        findings.append(Finding(Impossible.ROOT_DIFFERS, f"{head.root_hash.hex()} against {root.hex()} recomputed"))
    faults = () if findings else tuple(record_faults(records, folded))
    findings.sort(key=lambda finding: -1 if finding.leaf_index is None else finding.leaf_index)
    return LogReport(tree.tree_size, root, tuple(findings[:MAX_FINDINGS]), faults)


def _readable_head(snapshot: ReadTransaction) -> HeadRecord | None:
    try:
        return snapshot.head()
    except CorruptionError:
        return None


def fold_entries(leaves: Sequence[bytes], events: Sequence[bytes | None], folded: dict[str, bytes]) -> None:
    """Bring the records up to date with what these entries say of them.

    Args:
        leaves: Leaf bytes.
        events: Salt and event section of each, None where there is none.
        folded: The records as the entries before left them, by name.
    """
    for leaf, section in zip(leaves, events, strict=True):
        if section is None or b"ledger." not in section:
            continue
        try:
            event = read_event(section[SALT_SIZE:])
            if is_reserved(event.action):
                folded.update(fold(event, decode_leaf(leaf).recorded_at, folded.get))
        except LedgerError:
            continue  # an unreadable section is a finding of its own


def folded_records(snapshot: ReadTransaction) -> dict[str, bytes]:
    """Return the stored records that are the fold of entries, by name."""
    return {name: value for prefix in FOLDED_PREFIXES for name, value in snapshot.records(prefix)}


def record_faults(stored: dict[str, bytes], folded: dict[str, bytes]) -> Iterator[str]:
    """Yield in words where the stored records differ from what all entries say of them."""
    for name in sorted(stored.keys() | folded.keys()):
        if name not in folded:
            yield f"the record {name} has no entry"
        elif name not in stored:
            yield f"the record {name} is missing"
        elif stored[name] != folded[name]:
            yield f"the record {name} is not what its entries say"
