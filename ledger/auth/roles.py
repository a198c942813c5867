"""Roles of a credential in one log, and what each allows. Denied unless allowed."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """What a credential is for; it may have several."""

    WRITER = "writer"
    VERIFIER = "verifier"
    READER = "reader"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Permission(Enum):
    """What a call needs."""

    PROVE = "prove"
    APPEND = "append"
    READ_LEAVES = "read_leaves"
    READ_EVENTS = "read_events"
    READ_PERSONAL = "read_personal"
    EXPORT = "export"
    ADMINISTER = "administer"


_ALLOWED: dict[Role, frozenset[Permission]] = {
    Role.WRITER: frozenset({Permission.PROVE, Permission.APPEND}),
    Role.VERIFIER: frozenset({Permission.PROVE, Permission.READ_LEAVES}),
    Role.READER: frozenset({Permission.PROVE, Permission.READ_LEAVES, Permission.READ_EVENTS}),
    Role.AUDITOR: frozenset({Permission.PROVE, Permission.READ_LEAVES, Permission.READ_EVENTS, Permission.EXPORT}),
    Role.ADMIN: frozenset({Permission.PROVE, Permission.ADMINISTER}),
}


def permissions(roles: frozenset[Role], *, personal: bool) -> frozenset[Permission]:
    """Return what these roles allow together.

    Args:
        roles: Roles of the credential in the log.
        personal: Whether it has the `personal` grant; it adds personal sections to what may be read, and nothing
            where no role reads events.
    """
    allowed = frozenset[Permission]().union(*(_ALLOWED[role] for role in roles))
    if personal and Permission.READ_EVENTS in allowed:
        allowed |= {Permission.READ_PERSONAL}
    return allowed
