"""The events that all systems store: the same facts for each, about 320 bytes of JSON, ids in order of time.

Bodies come from a pool of distinct ones, made by the product's own encoder; each event gets its own id by replacing
the placeholder, which costs nothing next to what is measured.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from ledger.events.codec import encode_sections
from ledger.events.event import Actor, ActorType, Event, MetadataEntry, Outcome, PersonalData, Target
from ledger.events.ids import new_event_id
from ledger.v1 import ledger_pb2

_PLACEHOLDER: Final = "00000000-0000-7000-8000-000000000000"
_POOL: Final = 2_000
_START_MS: Final = 1_772_000_000_000
_IDS_PER_MILLISECOND: Final = 100
_ACTIONS: Final = ("user.role.updated", "project.member.added", "invoice.export.started", "session.login.failed")
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"


@dataclass(frozen=True)
class Facts:
    """What happened, before any system has made its own form of it."""

    event_id: str
    action: str
    actor: str
    target: str
    email: str
    ip: str


class StoredEvent(NamedTuple):
    """An event as peers store it: JSON, and what they index."""

    event_id: str
    json: str
    actor: str
    action: str
    target: str


class Workload:
    """A source of events, none given twice; ids go on where the last call ended."""

    def __init__(self, seed: int) -> None:
        """Start; the same seed gives the same events."""
        self._random = random.Random(seed)
        self._count = 0

    def facts(self, count: int) -> list[Facts]:
        """Return events as plain facts."""
        pool = _pool()
        return [_facts(event_id, pool[number].facts) for event_id, number in self._ids(count)]

    def sections(self, count: int, *, personal: bool = True) -> list[ledger_pb2.EventSections]:
        """Return events as the two sections that an append carries."""
        return [
            ledger_pb2.EventSections(event=event, personal=personal_section)
            for event, personal_section in self.pairs(count, personal=personal)
        ]

    def pairs(self, count: int, *, personal: bool = True) -> list[tuple[bytes, bytes]]:
        """Return events as the bytes of their two sections."""
        pool = _pool()
        result = []
        for event_id, number in self._ids(count):
            body = pool[number]
            result.append((body.before + event_id.encode() + body.after, body.personal if personal else b""))
        return result

    def rows(self, count: int) -> list[StoredEvent]:
        """Return events as peers store them."""
        pool = _pool()
        return [
            _stored(event_id, pool[number].json.replace(_PLACEHOLDER, event_id), pool[number].facts)
            for event_id, number in self._ids(count)
        ]

    def _ids(self, count: int) -> Iterator[tuple[str, int]]:
        for number in range(self._count, self._count + count):
            tail = number.to_bytes(5, "big") + self._random.randbytes(5)
            yield new_event_id(_START_MS + number // _IDS_PER_MILLISECOND, tail), number % _POOL
        self._count += count


def encode(facts: Facts) -> ledger_pb2.EventSections:
    """Return the sections of an event, as a program that has only the facts makes them."""
    event, personal = encode_sections(
        Event(
            event_id=facts.event_id,
            action=facts.action,
            occurred_at=_START_MS * 1000,
            actor=Actor(type=ActorType.USER, id=facts.actor),
            targets=(Target("project", facts.target),),
            outcome=Outcome.SUCCESS,
            metadata=(MetadataEntry("new_role", "admin"), MetadataEntry("old_role", "member")),
        ),
        PersonalData(actor_email=facts.email, ip=facts.ip, user_agent=AGENT),
    )
    return ledger_pb2.EventSections(event=event, personal=personal)


def encode_row(facts: Facts) -> StoredEvent:
    """Return an event as peers store it, made of the facts alone."""
    return _stored(facts.event_id, encode_json(facts), facts)


def encode_json(facts: Facts) -> str:
    """Return the flat JSON of an event, as a program that has only the facts makes it for a peer."""
    return json.dumps(
        {
            "event_id": facts.event_id,
            "action": facts.action,
            "actor_id": facts.actor,
            "actor_email": facts.email,
            "target_type": "project",
            "target_id": facts.target,
            "metadata": {"old_role": "member", "new_role": "admin", "ip": facts.ip, "user_agent": AGENT},
            "timestamp": "2026-02-25T06:13:20Z",
        },
        separators=(",", ":"),
    )


@dataclass(frozen=True)
class _Body:
    facts: Facts
    before: bytes
    after: bytes
    personal: bytes
    json: str


@cache
def _pool() -> list[_Body]:
    chosen = random.Random(1)
    pool = []
    for _ in range(_POOL):
        actor = f"user_{int(chosen.paretovariate(1.2)) % 2_000}"
        facts = Facts(
            _PLACEHOLDER,
            chosen.choice(_ACTIONS),
            actor,
            f"project_{chosen.randrange(21_000)}",
            f"{actor}@customer.example",
            f"203.0.113.{chosen.randrange(256)}",
        )
        sections = encode(facts)
        before, _, after = sections.event.partition(_PLACEHOLDER.encode())
        pool.append(_Body(facts, before, after, sections.personal, encode_json(facts)))
    return pool


def _stored(event_id: str, text: str, facts: Facts) -> StoredEvent:
    return StoredEvent(event_id, text, facts.actor, facts.action, facts.target)


def _facts(event_id: str, body: Facts) -> Facts:
    return Facts(event_id, body.action, body.actor, body.target, body.email, body.ip)
