"""What the client hands out: plain values, verified where the server's word can be checked.

The rule that must not break: nothing of the generated code leaks out of the client, and neither a secret nor personal
data shows in a `repr`, which ends up in other logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from ledger.client.trust import Head
from ledger.events.event import Event, PersonalData
from ledger.events.leaf import Leaf


class AppendOutcome(IntEnum):
    """What an append found; the numbers are those of the wire."""

    APPENDED = 1
    DUPLICATE = 2
    DUPLICATE_OF_OTHER_PRINCIPAL = 3
    DUPLICATE_NOT_COMPARED = 4
    DUPLICATE_MAPPING_DIFFERS = 5

    @property
    def proves_content(self) -> bool:
        """Whether the server gives the salts, so that the leaf can be tied to the bytes that were sent."""
        return self in {AppendOutcome.APPENDED, AppendOutcome.DUPLICATE}


class EntryView(IntEnum):
    """Which parts of an entry to read; the numbers are those of the wire."""

    LEAF = 1
    EVENT = 2
    FULL = 3


class HeadKind(IntEnum):
    """Which head: durable and signed, or recomputed by another process as well; the numbers are those of the wire."""

    COMMITTED = 1
    PUBLISHED = 2


class SectionState(IntEnum):
    """What is left of a section; the numbers are those of the wire."""

    PRESENT = 1
    NONE = 2
    WITHHELD = 3
    ERASED = 4


class Role(IntEnum):
    """What a credential may do; the numbers are those of the wire."""

    WRITER = 1
    VERIFIER = 2
    READER = 3
    AUDITOR = 4
    ADMIN = 5


@dataclass(frozen=True, slots=True)
class Sections:
    """The two sections of an event as they are sent and hashed.

    Attributes:
        event: Serialised event, 1 byte to 32 KiB.
        personal: Serialised personal data, at most 60 KiB; empty for none.
    """

    event: bytes = field(repr=False)
    personal: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        """Bytes of both sections."""
        return len(self.event) + len(self.personal)


@dataclass(frozen=True, slots=True)
class SectionContent:
    """A section as the server gave it, its commitment verified where the content is present.

    Attributes:
        state: What is left of it.
        content: The bytes that the client sent; empty unless present.
        salt: Salt of the commitment, 16 bytes; empty unless present.
    """

    state: SectionState
    content: bytes = field(default=b"", repr=False)
    salt: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified entry.

    Attributes:
        leaf_index: Index of the leaf.
        leaf: The leaf.
        leaf_bytes: The leaf's bytes, which were hashed.
        leaf_hash: 32 bytes.
        event_section: Event section.
        personal_section: Personal section.
        event: The event; None where it is not present or of a newer schema.
        personal: The personal data; None where there is none, or it is not present or of a newer schema.
        head: The verified head that covers it.
        notes: What could not be checked, in words; empty where everything was.
        is_incomplete: Whether a section that was asked for is not shown, and nothing proves why; never unless that was
            allowed.
    """

    leaf_index: int
    leaf: Leaf
    leaf_bytes: bytes
    leaf_hash: bytes
    event_section: SectionContent
    personal_section: SectionContent
    event: Event | None
    personal: PersonalData | None = field(repr=False)
    head: Head
    notes: tuple[str, ...] = ()
    is_incomplete: bool = False


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A verified proof that a leaf is in the tree.

    Attributes:
        leaf_index: Index of the leaf.
        leaf_bytes: The leaf's bytes; empty where the credential may not read leaves.
        leaf_hash: 32 bytes.
        hashes: Sibling hashes from leaf to root, 32 bytes each.
        head: The verified head that it leads to.
        notes: What could not be checked, in words.
    """

    leaf_index: int
    leaf_bytes: bytes
    leaf_hash: bytes
    hashes: tuple[bytes, ...]
    head: Head
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """A verified proof that one tree is a prefix of another.

    Attributes:
        first: Verified head of the smaller tree.
        second: Verified head of the larger tree.
        hashes: Node hashes, 32 bytes each.
    """

    first: Head
    second: Head
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RangeProof:
    """A verified proof that some leaves are all the leaves of a range.

    Attributes:
        begin: First index.
        leaf_hashes: Leaf hashes, 32 bytes each, from `begin` on.
        hashes: Hashes of the largest subtrees outside the range, left to right, 32 bytes each.
        head: The verified head that it leads to.
    """

    begin: int
    leaf_hashes: tuple[bytes, ...]
    hashes: tuple[bytes, ...]
    head: Head


@dataclass(frozen=True, slots=True)
class VerificationCheck:
    """One check that the server made.

    Attributes:
        name: Name of the check.
        passed: Whether it passed.
        detail: What was compared with what.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class ServerVerdict:
    """What the server says of an entry after recomputing it: its word, for those without a verifier of their own.

    Attributes:
        verdict: `verified`, `verified_content_gone` or `failed`.
        leaf_index: Index of the leaf.
        checks: The checks in the order in which they ran.
        head: The verified head that the server checked against.
    """

    verdict: str
    leaf_index: int
    checks: tuple[VerificationCheck, ...]
    head: Head


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server says of itself.

    Attributes:
        version: Version of the server.
        schema_version: Newest section schema that it reads.
        max_event_bytes: Largest event section, bytes.
        max_personal_bytes: Largest personal section, bytes.
        max_batch_events: Most events of a batch.
        max_batch_bytes: Largest batch, bytes of both sections together.
        kernel: What does the work of a commit: `native` and its version, or `python`; empty where it does not say.
    """

    version: str
    schema_version: int
    max_event_bytes: int
    max_personal_bytes: int
    max_batch_events: int
    max_batch_bytes: int
    kernel: str


@dataclass(frozen=True, slots=True)
class LogInfo:
    """What the server says of a log.

    Attributes:
        name: Name.
        origin: Origin, as in its checkpoints.
        verifier_key: Verifier key.
        tree_size: Size of the committed head.
        root_hash: Root hash of the committed head, 32 bytes.
        published_size: Size of the published head.
        state: `active`, `read_only` or `retired`; `unknown` for one that a newer server has.
        state_reason: Why it takes no appends; empty where it does.
        guard: `strict` or `relaxed`.
        guard_separate: Whether the guard is on a volume of its own.
    """

    name: str
    origin: str
    verifier_key: str
    tree_size: int
    root_hash: bytes
    published_size: int
    state: str
    state_reason: str
    guard: str
    guard_separate: bool


@dataclass(frozen=True, slots=True)
class RetiredLog:
    """A log that was ended in good order.

    Attributes:
        log: The log, as the server states it.
        last_head: A signed checkpoint that covers the entry of its retirement.
    """

    log: LogInfo
    last_head: bytes


@dataclass(frozen=True, slots=True)
class ApiKeyInfo:
    """A credential without its secret.

    Attributes:
        key_id: Public id.
        principal: Principal, 16 bytes.
        label: What it is for, in words.
        roles: What it may do.
        personal: Whether it may see personal sections.
        created_at: Microseconds since 1970 in UTC.
        expires_at: Microseconds since 1970 in UTC; 0 for never.
        revoked_at: Microseconds since 1970 in UTC; 0 for not.
        certificate_name: Subject alternative name of the client certificate; empty for an API key.
    """

    key_id: str
    principal: bytes
    label: str
    roles: tuple[Role, ...]
    personal: bool
    created_at: int
    expires_at: int
    revoked_at: int
    certificate_name: str


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A credential with its secret, which the server shows once.

    Attributes:
        info: The credential.
        secret: The secret; empty for a certificate credential.
    """

    info: ApiKeyInfo
    secret: str = field(repr=False)


def sections_size(sections: Sequence[Sections]) -> int:
    """Return the bytes of all sections of a batch."""
    return sum(item.size for item in sections)


class TimeBucket(IntEnum):
    """How long the times are by which events are counted."""

    MINUTE = 1
    HOUR = 2
    DAY = 3
    WEEK = 4


@dataclass(frozen=True, slots=True)
class QueryPage:
    """A page of a query.

    Attributes:
        entries: Verified entries that pass the filter, in order; there may be none though more follow.
        next_page_token: Asks for the next page; empty where there is none.
        head: The verified head of the tree that was queried.
    """

    entries: list[Entry]
    next_page_token: str
    head: Head


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events share a value and a time.

    Attributes:
        value: The value; empty where not counted by one.
        begin: Beginning of the time, microseconds since 1970 in UTC; 0 where not counted by time.
        count: How many.
    """

    value: str
    begin: int
    count: int


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What the server counted: its word, unlike an entry, but for the head.

    Attributes:
        groups: The groups, the largest first; by time, in its order.
        total: Events that pass the filter.
        is_cut: Whether groups were left out, because they are more than asked for.
        head: The verified head of the tree that was counted.
    """

    groups: tuple[EventCount, ...]
    total: int
    is_cut: bool
    head: Head
