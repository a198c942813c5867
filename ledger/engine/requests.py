"""What the writing step is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, overload

from ledger.errors import LedgerError
from ledger.events.commitments import SALT_SIZE
from ledger.events.event import Event
from ledger.storage.api import ReadTransaction


class Outcome(Enum):
    """What an append found in the log."""

    APPENDED = "appended"
    DUPLICATE = "duplicate"
    DUPLICATE_OF_OTHER_PRINCIPAL = "duplicate_of_other_principal"
    DUPLICATE_NOT_COMPARED = "duplicate_not_compared"
    DUPLICATE_MAPPING_DIFFERS = "duplicate_mapping_differs"


class NewEntry(NamedTuple):
    """An event to append, already checked by `events.codec.check_sections`.

    Attributes:
        event_id: ASCII, 1 to 64 bytes.
        event: Event section.
        personal: Personal section; empty for none.
    """

    event_id: bytes
    event: bytes
    personal: bytes


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """Events of one call: all are appended, or none; or, where they are independent, each for itself.

    Attributes:
        key_id: The credential, looked up again inside the write transaction.
        principal: Who writes, 16 bytes.
        entries: At least one.
        deadline: Boot-clock microseconds after which the request is dropped, or None.
        independent: Whether a refused entry leaves the others as they are.
        size: Bytes of all sections.
    """

    key_id: str
    principal: bytes
    entries: Sequence[NewEntry]
    deadline: int | None = None
    independent: bool = False
    size: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Count the bytes once; the queue asks for them when the request comes and when it is taken."""
        object.__setattr__(self, "size", sum([len(event) + len(personal) for _, event, personal in self.entries]))


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A change by an administrator: its `ledger.*` entries, and the records that follow from them.

    Attributes:
        key_id: The administrator's credential; empty where the server itself acts.
        principal: Who acts, 16 bytes.
        events: The entries' events; the writing step fills in id, time, actor and source.
        precondition: Raises, inside the write transaction, where the change must not be made.
        deadline: Boot-clock microseconds after which the request is dropped, or None.
    """

    key_id: str
    principal: bytes
    events: Sequence[Event]
    precondition: Callable[[ReadTransaction], None] | None = None
    deadline: int | None = None


class EntryResult(NamedTuple):
    """What became of one event.

    Attributes:
        outcome: What the append found.
        leaf_index: Index of its leaf.
        leaf: The leaf's bytes.
        event_salt: 16 bytes; empty where withheld.
        personal_salt: 16 bytes; empty where there is no personal section, or withheld.
    """

    outcome: Outcome
    leaf_index: int
    leaf: bytes
    event_salt: bytes
    personal_salt: bytes


@dataclass(frozen=True, slots=True)
class AppendedEntries(Sequence[EntryResult]):
    """The results of entries that are all new and follow on each other, as columns of equal length.

    A batch is nearly always such; results by row are made only for who asks for them.

    Attributes:
        first_index: Leaf index of the first.
        leaves: Leaves.
        event_sections: Salt and event section.
        personal_sections: Salt and personal section; empty bytes for none.
    """

    first_index: int
    leaves: list[bytes]
    event_sections: list[bytes]
    personal_sections: list[bytes]

    def __len__(self) -> int:
        return len(self.leaves)

    @overload
    def __getitem__(self, place: int) -> EntryResult: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[EntryResult]: ...

    def __getitem__(self, place: int | slice) -> EntryResult | Sequence[EntryResult]:
        """Return a result, or several."""
        if isinstance(place, slice):
            return [self[position] for position in range(*place.indices(len(self)))]
        position = range(len(self))[place]
        return EntryResult(
            Outcome.APPENDED,
            self.first_index + position,
            self.leaves[position],
            self.event_sections[position][:SALT_SIZE],
            self.personal_sections[position][:SALT_SIZE],
        )


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A tree head with its checkpoint.

    Attributes:
        tree_size: Number of leaves.
        root_hash: 32 bytes.
        note: The signed note.
    """

    tree_size: int
    root_hash: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The answer to a request.

    Attributes:
        entries: One for each event that is in the log, in the order of the request.
        head: A signed head that covers them all.
        refused: Of independent events, the error of each that is not in the log, by its position in the request.
    """

    entries: Sequence[EntryResult]
    head: SignedHead
    refused: Mapping[int, LedgerError] = field(default_factory=dict)
