"""Exactly once: which events of a group are new, and the leaves that they become.

An event id is in a log once. The same id with the same bytes is answered with the first acknowledgement; with other
bytes it is refused. The decision is made inside the write transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ledger.engine.kernel import Kernel
from ledger.engine.requests import AppendedEntries, AppendRequest, EntryResult, NewEntry, Outcome
from ledger.errors import (
    BatchConflictError,
    BatchProblem,
    CorruptionError,
    EventIdReusedError,
    LedgerError,
    MalformedError,
    another,
)
from ledger.events.commitments import SALT_SIZE
from ledger.events.leaf import decode_leaf, leaf_prefix
from ledger.events.wire import read_personal
from ledger.merkle.compact import CompactRange
from ledger.storage.api import EntryBatch, HeadRecord, ReadTransaction, SectionKind, WriteTransaction


class GroupSlot(NamedTuple):
    """A result that is known once the group is sealed: the entry at a position of the group."""

    position: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SealedEntries:
    """The new entries of a commit as they were stored, as columns of equal length."""

    first_index: int
    leaves: list[bytes] = field(default_factory=list)
    event_sections: list[bytes] = field(default_factory=list)
    personal_sections: list[bytes] = field(default_factory=list)

    def result(self, slot: GroupSlot) -> EntryResult:
        """Return the result of an entry; without salts where another principal wrote it."""
        position, outcome = slot
        index, leaf = self.first_index + position, self.leaves[position]
        if outcome is Outcome.DUPLICATE_OF_OTHER_PRINCIPAL:
            return EntryResult(outcome, index, leaf, b"", b"")
        return EntryResult(
            outcome,
            index,
            leaf,
            self.event_sections[position][:SALT_SIZE],
            self.personal_sections[position][:SALT_SIZE],
        )

    def appended(self, begin: int, end: int) -> AppendedEntries:
        """Return the results of the entries at positions [begin, end) of the group."""
        return AppendedEntries(
            self.first_index + begin,
            self.leaves[begin:end],
            self.event_sections[begin:end],
            self.personal_sections[begin:end],
        )


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request that the commit fulfils.

    Attributes:
        slots: For each event that is not refused, a result, or where in the group it comes from; the positions alone
            where all are new.
        refused: Of independent events, the errors of the others by position.
    """

    slots: Sequence[GroupSlot | EntryResult] | range
    refused: Mapping[int, LedgerError] = field(default_factory=dict)

    def results(self, sealed: SealedEntries) -> Sequence[EntryResult]:
        """Return the results, once the group is sealed."""
        if isinstance(self.slots, range):
            return sealed.appended(self.slots.start, self.slots.stop)
        return [slot if isinstance(slot, EntryResult) else sealed.result(slot) for slot in self.slots]


class Group:
    """The new entries of one commit, in the order of their requests."""

    def __init__(self, recorded_at: int, catalogue: int, random: Callable[[int], bytes]) -> None:
        """Begin with none; all entries of the group have the same time (microseconds UTC)."""
        self.recorded_at = recorded_at
        self._catalogue = catalogue
        self._random = random
        self._entries: list[NewEntry] = []
        self._principals: list[bytes] = []
        self._positions: dict[bytes, int] = {}

    @property
    def size(self) -> int:
        """Return the number of new entries."""
        return len(self._entries)

    def admit(self, transaction: ReadTransaction, request: AppendRequest, known: dict[bytes, int]) -> AdmittedRequest:
        """Add the new events of a request to the group, and find the acknowledgements of the others.

        Args:
            transaction: The write transaction.
            request: The request.
            known: Leaf index of each event id that the store holds.

        Raises:
            EventIdReusedError: The request has one event, and its id is taken by other bytes.
            BatchConflictError: It has several that are not independent, and ids among them are.
        """
        first_new = len(self._entries)
        positions = range(first_new, first_new + len(request.entries))
        own = dict(zip([entry.event_id for entry in request.entries], positions, strict=True))
        if len(own) == len(positions) and known.keys().isdisjoint(own) and self._positions.keys().isdisjoint(own):
            # What nearly always is so: all are new.
            self._entries += request.entries
            self._principals += [request.principal] * len(positions)
            self._positions.update(own)
            return AdmittedRequest(positions)
        own.clear()
        staged: list[NewEntry] = []
        slots: list[GroupSlot | EntryResult] = []
        problems: list[BatchProblem] = []
        for place, entry in enumerate(request.entries):
            event_id = entry.event_id
            try:
                if event_id in known:
                    slots.append(_stored_duplicate(transaction, request.principal, entry, known[event_id]))
                elif event_id in self._positions:
                    slots.append(self._group_duplicate(request.principal, entry, self._positions[event_id]))
                elif event_id in own:
                    if staged[own[event_id] - first_new] != entry:
                        raise _reused(entry, None, "comes twice in the batch")
                    slots.append(GroupSlot(own[event_id], Outcome.DUPLICATE))
                else:
                    position = first_new + len(staged)
                    own[event_id] = position
                    staged.append(entry)
                    slots.append(GroupSlot(position, Outcome.APPENDED))
            except EventIdReusedError as error:
                problems.append(BatchProblem(place, error))
        if problems and not request.independent:
            raise problems[0].error if len(request.entries) == 1 else BatchConflictError(problems, len(request.entries))
        self._entries += staged
        self._principals += [request.principal] * len(staged)
        self._positions.update(own)
        return AdmittedRequest(slots, {problem.position: problem.error for problem in problems})

    def admit_known(
        self, transaction: ReadTransaction, request: AppendRequest, known: dict[bytes, int], refusal: LedgerError
    ) -> AdmittedRequest:
        """Answer the events of a request that the log holds already, and refuse the others; nothing is added.

        So who retries an append whose outcome it does not know is told that it was done.

        Args:
            transaction: The write transaction.
            request: The request.
            known: Leaf index of each event id that the store holds.
            refusal: Why nothing new is taken.

        Raises:
            LedgerError: The refusal, where all are new, or some and the events are not independent; or as `admit`.
        """
        # Known to the store, or to the group that is being written.
        places = [
            place
            for place, entry in enumerate(request.entries)
            if entry.event_id in known or entry.event_id in self._positions
        ]
        if not places or (len(places) < len(request.entries) and not request.independent):
            raise refusal
        held = replace(request, entries=[request.entries[place] for place in places])
        admitted = self.admit(transaction, held, known)
        refused = {places[place]: error for place, error in admitted.refused.items()}
        new = set(range(len(request.entries))).difference(places)
        return AdmittedRequest(admitted.slots, refused | {place: another(refusal) for place in new})

    def write(
        self, transaction: WriteTransaction, before: HeadRecord, kernel: Kernel
    ) -> tuple[HeadRecord, SealedEntries]:
        """Seal the new entries, append them, and return the head after them."""
        prefixes = {p: leaf_prefix(self.recorded_at, p, self._catalogue) for p in set(self._principals)}
        sealed = kernel.seal(
            self._entries,
            [prefixes[principal] for principal in self._principals],
            self._random(2 * SALT_SIZE * len(self._entries)),
            before.last_leaf_hash,
            CompactRange(before.tree_size, before.frontier),
        )
        after = HeadRecord(
            before.tree_size + len(self._entries),
            sealed.root_hash,
            sealed.frontier,
            sealed.last_leaf_hash,
            self.recorded_at,
        )
        transaction.append(
            EntryBatch(
                first_index=before.tree_size,
                leaves=sealed.leaves,
                event_sections=sealed.event_sections,
                personal_sections=sealed.personal_sections,
                event_ids=[entry.event_id for entry in self._entries],
                hashes=sealed.hashes,
                head=after,
            )
        )
        return after, SealedEntries(before.tree_size, sealed.leaves, sealed.event_sections, sealed.personal_sections)

    def _group_duplicate(self, principal: bytes, entry: NewEntry, position: int) -> GroupSlot:
        """Answer an id that an earlier request of the same group brought."""
        if self._entries[position] != entry:
            raise _reused(entry, None)
        own = self._principals[position] == principal
        return GroupSlot(position, Outcome.DUPLICATE if own else Outcome.DUPLICATE_OF_OTHER_PRINCIPAL)


def _stored_duplicate(transaction: ReadTransaction, principal: bytes, entry: NewEntry, index: int) -> EntryResult:
    """Answer an id that the store holds, after comparing the bytes."""
    leaf = transaction.leaves(index, index + 1)
    event = transaction.sections(SectionKind.EVENT, [index])[0]
    personal = transaction.sections(SectionKind.PERSONAL, [index])[0]
    try:
        stored = decode_leaf(leaf[0])
    except (IndexError, MalformedError) as error:
        raise CorruptionError(f"the leaf of entry {index} cannot be read", hint="run `logproof fsck`") from error
    own = stored.principal == principal
    gone = event is None or (personal is None and stored.personal_commitment is not None)
    event_differs = event is not None and event[SALT_SIZE:] != entry.event
    personal_differs = not gone and (personal or b"")[SALT_SIZE:] != entry.personal
    if event_differs or personal_differs:
        if own and personal is not None and _same_original(personal[SALT_SIZE:], entry.personal):
            return EntryResult(Outcome.DUPLICATE_MAPPING_DIFFERS, index, leaf[0], b"", b"")
        raise _reused(entry, index if own else None)
    if gone:
        return EntryResult(Outcome.DUPLICATE_NOT_COMPARED, index, leaf[0], b"", b"")
    if not own:
        return EntryResult(Outcome.DUPLICATE_OF_OTHER_PRINCIPAL, index, leaf[0], b"", b"")
    return EntryResult(Outcome.DUPLICATE, index, leaf[0], (event or b"")[:SALT_SIZE], (personal or b"")[:SALT_SIZE])


def _same_original(stored: bytes, sent: bytes) -> bool:
    """Return whether both personal sections keep the same imported record."""
    if not stored or not sent:
        return False
    mine, theirs = read_personal(stored).original, read_personal(sent).original
    if mine is None or theirs is None:
        return False
    return (mine.content, mine.sha256, mine.size) == (theirs.content, theirs.sha256, theirs.size)


def _reused(entry: NewEntry, index: int | None, where: str = "is in the log") -> EventIdReusedError:
    at = "" if index is None else f" at index {index}"
    metadata = {"eventId": entry.event_id.decode()}
    if index is not None:
        metadata["leafIndex"] = str(index)
    return EventIdReusedError(
        f"event id {entry.event_id.decode()} {where}{at} with other bytes",
        hint="retry with the bytes of the first attempt, or give a new event its own id",
        metadata=metadata,
    )
