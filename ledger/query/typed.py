"""A filter as fields of a request, for those who do not want a language.

The rule that must not break: what is given is the same tree as its text would be, and all of it must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ledger.events.event import Value
from ledger.query.nodes import Comparison, Node, all_of, any_of, check_size
from ledger.query.operators import Operator

_SAME_NAMES: Final = (
    "actor_email",
    "category",
    "outcome",
    "request_id",
    "session_id",
    "correlation_id",
    "tenant_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedFilter:
    """What must hold of an entry; None or empty for what does not matter. Times are microseconds since 1970 in UTC.

    Attributes:
        recorded_from: Recorded at this time or later.
        recorded_before: Recorded before this time.
        occurred_from: Happened at this time or later.
        occurred_before: Happened before this time.
        actor_ids: One of these actors.
        actor_email: E-mail address of the actor.
        actions: One of these actions; one that ends in `*` stands for all that begin so.
        category: Category of the action.
        control: A control that the action belongs to.
        outcome: How it ended.
        target_type: Type of a target; with `target_id`, of the same target.
        target_id: Id of a target.
        ip: An IP address, or a network such as `10.0.0.0/8`.
        request_id: Id of the request.
        session_id: Id of the session.
        correlation_id: Correlation id.
        tenant_id: The customer's customer.
        metadata: Metadata with these values.
    """

    recorded_from: int | None = None
    recorded_before: int | None = None
    occurred_from: int | None = None
    occurred_before: int | None = None
    actor_ids: tuple[str, ...] = ()
    actor_email: str | None = None
    actions: tuple[str, ...] = ()
    category: str | None = None
    control: str | None = None
    outcome: str | None = None
    target_type: str | None = None
    target_id: str | None = None
    ip: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    correlation_id: str | None = None
    tenant_id: str | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)

    def node(self) -> Node:
        """Return the filter.

        Raises:
            InvalidFilterError: A value does not fit its field, or the filter is beyond a limit.
        """
        node = all_of(
            *_range("recorded_at", self.recorded_from, self.recorded_before),
            *_range("timestamp", self.occurred_from, self.occurred_before),
            *_one_of([_equals("actor_id", actor) for actor in self.actor_ids]),
            *_one_of([_action(action) for action in self.actions]),
            *(_equals(name, value) for name in _SAME_NAMES if (value := getattr(self, name)) is not None),
            *([] if self.control is None else [_equals("controls", self.control)]),
            *_target(self.target_type, self.target_id),
            *([] if self.ip is None else [_address(self.ip)]),
            *(_equals(f"metadata.{key}", value) for key, value in self.metadata.items()),
        )
        check_size(node)
        return node


def combine(*nodes: Node) -> Node:
    """Return the filter for what passes all of some filters, such as a typed one and one that was parsed.

    Raises:
        InvalidFilterError: Together they are beyond a limit.
    """
    node = all_of(*nodes)
    check_size(node)
    return node


def _equals(name: str, value: Value) -> Node:
    return Comparison(name, Operator.EQUALS, value)


def _range(name: str, begin: int | None, end: int | None) -> list[Node]:
    found: list[Node] = []
    if begin is not None:
        found.append(Comparison(name, Operator.GREATER_OR_EQUAL, begin))
    if end is not None:
        found.append(Comparison(name, Operator.LESS, end))
    return found


def _one_of(nodes: list[Node]) -> list[Node]:
    return [any_of(*nodes)] if nodes else []


def _action(action: str) -> Node:
    if action.endswith("*"):
        return Comparison("action", Operator.PREFIX, action[:-1])
    return _equals("action", action)


def _target(kind: str | None, identity: str | None) -> list[Node]:
    if kind is not None and identity is not None:
        return [_equals("target", f"{kind}/{identity}")]
    parts = {"target_type": kind, "target_id": identity}
    return [_equals(name, value) for name, value in parts.items() if value is not None]


def _address(text: str) -> Node:
    return Comparison("ip", Operator.CIDR if "/" in text else Operator.EQUALS, text)
