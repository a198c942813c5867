"""Who is calling, and what they may do on a log.

A credential belongs to one log, which its text names. A server administrator's belongs to `_system` and has a grant
in every log. What a log's record says now is what counts; nothing is remembered between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.auth.api_keys import credentials_refused, parse_api_key
from ledger.auth.roles import Permission
from ledger.clock import Clock
from ledger.engine.directory import SYSTEM_LOG
from ledger.engine.records import CERTIFICATE_PREFIX, KEY_PREFIX, Credential
from ledger.engine.registry import LogRegistry
from ledger.errors import LogNotFoundError, PermissionMissingError

_NO_SECRET = bytes(32)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a call comes from, authenticated.

    Attributes:
        home: The log that the credential belongs to.
        key_id: Public id of the credential.
        principal: 16 bytes.
    """

    home: str
    key_id: str
    principal: bytes


class Access:
    """Authentication and authorisation over the logs' records. Thread-safe; reads the store, so it may block briefly."""

    def __init__(self, registry: LogRegistry, clock: Clock) -> None:
        """Keep the parts."""
        self._registry = registry
        self._clock = clock

    def authenticate_key(self, text: str) -> Caller:
        """Return who presents this API key.

        Raises:
            InvalidCredentialsError: Malformed, unknown, expired or revoked; which one is not told.
        """
        key = parse_api_key(text)
        credential = self._credential(key.log, key.key_id)
        # An unknown id is compared as well, so that the time taken does not tell it from a wrong secret.
        key.check(credential.secret_hash if credential and credential.secret_hash else _NO_SECRET)
        if credential is None or not credential.is_live(self._clock.now_us()):
            raise credentials_refused()
        return Caller(key.log, key.key_id, credential.principal)

    def authenticate_certificate(self, names: Sequence[str], log: str) -> Caller:
        """Return who presents a verified client certificate with these subject alternative names.

        Raises:
            InvalidCredentialsError: Neither the log nor `_system` knows a live credential of one of the names.
        """
        for home in (log, SYSTEM_LOG):
            if not self._registry.has(home):
                continue
            with self._registry.use(home) as opened:
                for name in names:
                    key_id = opened.record(CERTIFICATE_PREFIX + name)
                    value = None if key_id is None else opened.record(KEY_PREFIX + key_id.decode())
                    if value is not None and (found := Credential.decode(value)).is_live(self._clock.now_us()):
                        return Caller(home, found.key_id, found.principal)
        raise credentials_refused()

    def authorise(self, caller: Caller, log: str, permission: Permission | None) -> Credential:
        """Return the caller's credential in a log, after checking that it allows what is asked.

        Args:
            caller: Who is calling.
            log: Name of the log, as the call gave it.
            permission: What is needed; None for any live credential of the log.

        Raises:
            PermissionMissingError: It does not; the same whether that log exists or not.
            LogNotFoundError: There is no such log; told to server administrators only.
            InvalidCredentialsError: The credential has ended since it was presented.
        """
        if caller.home not in {log, SYSTEM_LOG}:
            raise _denied(permission)
        if not self._registry.has(log):
            if caller.home != SYSTEM_LOG:
                raise _denied(permission)
            raise LogNotFoundError(
                f"there is no log {log[:80]!r}", hint="`logproof log list` shows the logs", metadata={"log": log[:80]}
            )
        credential = self._credential(log, caller.key_id)
        if credential is None:
            raise _denied(permission)
        if not credential.is_live(self._clock.now_us()) or not self._is_live_at_home(caller, log):
            raise credentials_refused()
        if permission is not None and not credential.allows(permission):
            raise _denied(permission)
        return credential

    def _is_live_at_home(self, caller: Caller, log: str) -> bool:
        """Return whether a server administrator's own record is live: a log that takes no entries keeps its grant."""
        if caller.home == log:
            return True
        credential = self._credential(caller.home, caller.key_id)
        return credential is not None and credential.is_live(self._clock.now_us())

    def _credential(self, log: str, key_id: str) -> Credential | None:
        if not self._registry.has(log):
            return None
        with self._registry.use(log) as opened:
            value = opened.record(KEY_PREFIX + key_id)
        return None if value is None else Credential.decode(value)


def _denied(permission: Permission | None) -> PermissionMissingError:
    what = "access" if permission is None else f"the permission '{permission.value}'"
    return PermissionMissingError(
        f"the credential lacks {what} on this log",
        hint="use a key of this log with a role that allows it; the log's administrator gives roles",
        metadata={} if permission is None else {"permission": permission.value},
    )
