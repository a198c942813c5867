"""Who may call what: one rule for each method of each service.

The rule that must not break: a method that is served has a rule here, and the server does not start otherwise; what
has no rule is denied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from ledger.auth.roles import Permission
from ledger.engine.directory import SYSTEM_LOG
from ledger.v1 import ledger_pb2


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call of one method needs.

    Attributes:
        permission: What the credential must allow on the log; None for any live credential of it.
        log: Name of the log, where it is always the same; empty for the one that the request names.
        log_field: Field of the request with the name of the log; empty, where `log` is empty too, for the log that
            the credential belongs to.
        by_view: Whether the request's view may ask for more than `permission`, which is what is needed at least.
        is_open: Whether no credential is needed.
        is_light: Whether the call needs no thread where its log is open and its credential was good a moment ago: it does
            not block, and the engine checks the credential again within the change itself.
        is_slow: Whether the call waits for a change to be durable, so that it must not take a reader's thread.
    """

    permission: Permission | None = None
    log: str = ""
    log_field: str = ""
    by_view: bool = False
    is_open: bool = False
    is_light: bool = False
    is_slow: bool = False

    def log_of(self, request: Message, home: str) -> str:
        """Return the name of the log that a request is about.

        Args:
            request: The request.
            home: The log that the caller's credential belongs to.
        """
        if self.log:
            return self.log
        return str(getattr(request, self.log_field)) if self.log_field else home

    def permission_of(self, request: Message) -> Permission | None:
        """Return what this request needs."""
        if not self.by_view:
            return self.permission
        # A view that is unknown asks for the most; it is refused as invalid once the caller may know.
        asked = VIEW_PERMISSIONS.get(getattr(request, "view", -1), Permission.READ_PERSONAL)
        return self.permission if asked is Permission.READ_LEAVES else asked


VIEW_PERMISSIONS: Final[Mapping[int, Permission]] = {
    ledger_pb2.ENTRY_VIEW_UNSPECIFIED: Permission.READ_LEAVES,
    ledger_pb2.ENTRY_VIEW_LEAF: Permission.READ_LEAVES,
    ledger_pb2.ENTRY_VIEW_EVENT: Permission.READ_EVENTS,
    ledger_pb2.ENTRY_VIEW_FULL: Permission.READ_PERSONAL,
}
"""What each view of an entry needs."""

_APPEND = Rule(Permission.APPEND, log_field="log")
_ENTRIES = Rule(Permission.READ_LEAVES, log_field="log", by_view=True)
_PROVE = Rule(Permission.PROVE, log_field="log")
_ADMINISTER = Rule(Permission.ADMINISTER, log_field="log", is_slow=True)
_ANY = Rule()
_OPEN = Rule(is_open=True)

RULES: Final[Mapping[str, Rule]] = {
    "ledger.v1.LedgerService/GetServerInfo": _ANY,
    "ledger.v1.LedgerService/Append": Rule(Permission.APPEND, log_field="log", is_light=True),
    "ledger.v1.LedgerService/AppendBatch": _APPEND,
    "ledger.v1.LedgerService/AppendStream": _APPEND,
    "ledger.v1.LedgerService/GetEntry": _ENTRIES,
    "ledger.v1.LedgerService/BatchGetEntries": _ENTRIES,
    "ledger.v1.LedgerService/ReadEntries": _ENTRIES,
    "ledger.v1.LedgerService/GetCheckpoint": _PROVE,
    "ledger.v1.LedgerService/GetInclusionProof": _PROVE,
    "ledger.v1.LedgerService/BatchGetInclusionProof": _PROVE,
    "ledger.v1.LedgerService/GetRangeProof": _PROVE,
    "ledger.v1.LedgerService/GetConsistencyProof": _PROVE,
    # Its checks tell the event id and the lengths of the sections.
    "ledger.v1.LedgerService/VerifyEntry": Rule(Permission.READ_LEAVES, log_field="log"),
    "ledger.v1.QueryService/QueryEvents": Rule(Permission.READ_EVENTS, log_field="log", by_view=True),
    "ledger.v1.QueryService/CountEvents": Rule(Permission.READ_EVENTS, log_field="log"),
    "ledger.v1.AdminService/CreateLog": Rule(Permission.ADMINISTER, log=SYSTEM_LOG, is_slow=True),
    "ledger.v1.AdminService/RetireLog": Rule(Permission.ADMINISTER, log_field="name", is_slow=True),
    "ledger.v1.AdminService/ListLogs": Rule(Permission.PROVE, is_slow=True),
    "ledger.v1.AdminService/GetLog": Rule(Permission.PROVE, log_field="name"),
    "ledger.v1.AdminService/CreateApiKey": _ADMINISTER,
    "ledger.v1.AdminService/ListApiKeys": _ADMINISTER,
    "ledger.v1.AdminService/RotateApiKey": _ADMINISTER,
    "ledger.v1.AdminService/RevokeApiKey": _ADMINISTER,
    "ledger.v1.AdminService/ConfirmClock": _ADMINISTER,
    "grpc.health.v1.Health/Check": _OPEN,
    "grpc.health.v1.Health/List": _OPEN,
    "grpc.health.v1.Health/Watch": _OPEN,
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPEN,
}
"""The rule of each method, by `package.Service/Method`."""


def check_rules(services: Iterable[ServiceDescriptor]) -> None:
    """Return if each method of these services has a rule.

    Raises:
        ValueError: Methods have none.
    """
    missing = [name for service in services for name in method_names(service) if name not in RULES]
    if missing:
        raise ValueError(f"methods without a rule: {', '.join(missing)}")


def method_names(service: ServiceDescriptor) -> list[str]:
    """Return the names of a service's methods, as `RULES` has them."""
    return [f"{service.full_name}/{method.name}" for method in service.methods]
