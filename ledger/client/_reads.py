"""Entries without I/O: what an entry that the server shows must prove before it is handed out.

The rule that must not break: a section is shown only if its salt and bytes give the commitment in the leaf, and the
leaf only if it is at its index of a verified head; what cannot be checked is named in words; and that a section is gone
is not taken from a server that does not prove it, unless the caller allows that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ledger.client._told import told_by_server
from ledger.client.trust import Head
from ledger.client.values import Entry, EntryView, SectionContent, SectionState
from ledger.errors import ContentMismatchError, IncompleteEvidenceError, InvalidEventError, NewerSchemaError
from ledger.events.commitments import SALT_SIZE, commit_event, commit_personal
from ledger.events.event import Event, PersonalData
from ledger.events.leaf import Leaf, decode_leaf, genesis_hash
from ledger.events.wire import read_event, read_personal
from ledger.merkle.hashing import hash_leaf
from ledger.v1 import ledger_pb2, proof_pb2

_VERDICTS: Final = {
    int(ledger_pb2.VERDICT_VERIFIED): "verified",
    int(ledger_pb2.VERDICT_VERIFIED_CONTENT_GONE): "verified_content_gone",
    int(ledger_pb2.VERDICT_FAILED): "failed",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """An entry whose sections were checked against its leaf, and whose leaf was checked against nothing yet.

    Attributes:
        leaf_index: Index that the server states.
        leaf: The leaf.
        leaf_bytes: Its bytes.
        leaf_hash: 32 bytes.
        event_section: Event section.
        personal_section: Personal section.
        event: The event, where present and of a known schema.
        personal: The personal data, where present and of a known schema.
        notes: What could not be checked, in words.
        is_incomplete: Whether a section that was asked for is not shown, and nothing proves why.
    """

    leaf_index: int
    leaf: Leaf
    leaf_bytes: bytes
    leaf_hash: bytes
    event_section: SectionContent
    personal_section: SectionContent
    event: Event | None
    personal: PersonalData | None
    notes: tuple[str, ...]
    is_incomplete: bool

    def under(self, head: Head, *more_notes: str) -> Entry:
        """Return the entry as one that was proven to be in the tree of `head`."""
        return Entry(
            self.leaf_index,
            self.leaf,
            self.leaf_bytes,
            self.leaf_hash,
            self.event_section,
            self.personal_section,
            self.event,
            self.personal,
            head,
            (*self.notes, *more_notes),
            self.is_incomplete,
        )


def read_entry(message: proof_pb2.Entry, view: EntryView, *, allow_incomplete: bool) -> ReadEntry:
    """Check an entry's sections against its leaf.

    Args:
        message: What the server gave.
        view: Which parts were asked for.
        allow_incomplete: Whether the entry will do where a section that was asked for is not shown.

    Raises:
        ContentMismatchError: A section is not what the leaf commits to, or an answer contradicts itself.
        IncompleteEvidenceError: A section that was asked for is not shown, and that is not allowed.
    """
    with told_by_server(f"leaf of entry {message.leaf_index}"):
        leaf = decode_leaf(message.leaf)
    where = f"of entry {message.leaf_index}"
    event_section = _section(message.event, leaf.event_commitment, commit_event, f"the event section {where}")
    personal_section = _section(
        message.personal, leaf.personal_commitment, commit_personal, f"the personal section {where}"
    )
    event_missing = _missing(event_section, f"the event section {where}", asked=view is not EntryView.LEAF)
    personal_missing = _missing(personal_section, f"the personal section {where}", asked=view is EntryView.FULL)
    notes = [*event_missing, *personal_missing]
    if notes and not allow_incomplete:
        raise IncompleteEvidenceError(
            notes[0],
            hint="ask the log's operator why; to have the entry without it, allow that: allow_incomplete=True, "
            "or --allow-incomplete on the command line",
            metadata={"leafIndex": str(message.leaf_index)},
        )
    is_incomplete = bool(notes)
    event = _content(event_section, read_event, f"the event section {where}", notes)
    personal = _content(personal_section, read_personal, f"the personal section {where}", notes)
    if leaf.cosigned_head is not None:
        notes.append(f"the cosigned head in the leaf {where} was not checked")
    return ReadEntry(
        message.leaf_index,
        leaf,
        message.leaf,
        hash_leaf(message.leaf),
        event_section,
        personal_section,
        event,
        personal,
        tuple(notes),
        is_incomplete,
    )


def check_event_id(entry: ReadEntry, event_id: str) -> tuple[str, ...]:
    """Check that the entry is the one of this event id; return what could not be checked.

    Raises:
        ContentMismatchError: Its event has another id.
    """
    if entry.event is None:
        return (f"that entry {entry.leaf_index} is event {event_id} is the server's word: its event is not shown",)
    if entry.event.event_id != event_id:
        raise ContentMismatchError(
            f"event {event_id} was asked for, and the server gave entry {entry.leaf_index}, "
            f"which is event {entry.event.event_id}"
        )
    return ()


def check_chain(entries: Sequence[ReadEntry], begin: int, previous: bytes | None, origin: str) -> None:
    """Check that entries follow each other without a gap and name each other's leaf hashes.

    Args:
        entries: The entries, in order.
        begin: Index that the first must have.
        previous: Leaf hash of the entry before `begin`, 32 bytes; None where it is not known.
        origin: Origin of the log, which the first leaf of all names.

    Raises:
        ContentMismatchError: An index is missing or out of order, or the chain is broken.
    """
    if begin == 0:
        previous = genesis_hash(origin)
    for expected, entry in enumerate(entries, start=begin):
        if entry.leaf_index != expected:
            raise ContentMismatchError(f"entry {expected} was expected, and the server gave entry {entry.leaf_index}")
        if previous is not None and entry.leaf.previous != previous:
            raise ContentMismatchError(f"the leaf of entry {expected} does not name the leaf hash before it")
        previous = entry.leaf_hash


def read_verdict(response: ledger_pb2.VerifyEntryResponse, leaf_index: int | None) -> str:
    """Return the name of a verdict that agrees with its checks.

    Args:
        response: What the server gave.
        leaf_index: Index that was asked for; None where another way was.

    Raises:
        ContentMismatchError: The verdict is not known, is of another entry, or is not what its checks say.
    """
    verdict = _VERDICTS.get(response.verdict)
    if verdict is None:
        raise ContentMismatchError(f"the server gives the unknown verdict {response.verdict}")
    if leaf_index is not None and response.leaf_index != leaf_index:
        raise ContentMismatchError(
            f"a verdict on entry {leaf_index} was asked for, and one on {response.leaf_index} given"
        )
    failed = [check.name for check in response.checks if not check.passed]
    has_passed = bool(response.checks) and not failed
    if has_passed is (response.verdict == ledger_pb2.VERDICT_FAILED):
        told = f"the check '{failed[0]}' failed" if failed else f"{len(response.checks)} checks passed and none failed"
        raise ContentMismatchError(f"the server's verdict is {verdict}, though {told}")
    return verdict


def _section(
    message: proof_pb2.Section, commitment: bytes | None, commit: Callable[[bytes, bytes], bytes], what: str
) -> SectionContent:
    try:
        state = SectionState(message.state)
    except ValueError:
        raise ContentMismatchError(f"{what} is in the unknown state {message.state}") from None
    if (state is SectionState.NONE) != (commitment is None):
        raise ContentMismatchError(f"{what} is said to be {state.name.lower()}, and its leaf says otherwise")
    if state is not SectionState.PRESENT:
        if message.content or message.salt:
            raise ContentMismatchError(f"{what} is said to be {state.name.lower()}, and has content")
        return SectionContent(state)
    if not message.content or len(message.salt) != SALT_SIZE:
        raise ContentMismatchError(f"{what} comes without its content or salt")
    if commit(message.salt, message.content) != commitment:
        raise ContentMismatchError(f"{what} is not what its leaf commits to")
    return SectionContent(state, message.content, message.salt)


def _missing(section: SectionContent, what: str, *, asked: bool) -> Iterator[str]:
    """Yield in words that a section was asked for and is not shown."""
    if asked and section.state is SectionState.ERASED:
        # What erases is an entry of the log; no answer of this version carries the proof of one.
        yield f"{what} is erased by the word of the server, which proves no erasure"
    elif asked and section.state is SectionState.WITHHELD:
        yield f"{what} was asked for, and the server withholds it"


def _content(section: SectionContent, read: Callable[[bytes], T], what: str, notes: list[str]) -> T | None:
    if section.state is not SectionState.PRESENT:
        return None
    try:
        return read(section.content)
    except NewerSchemaError:
        notes.append(f"{what} is verified, content of a newer schema not read")
    except InvalidEventError as error:
        # The commitment holds, so these are the bytes that were appended; an honest server would have refused them.
        raise ContentMismatchError(f"{what} breaks the rules of sections: {error.message}") from error
    return None
