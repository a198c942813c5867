"""Changes to logs and credentials, each an entry of the log it concerns.

Server-wide changes are entries of `_system`. A server administrator's credential lives in `_system`; in every log it
has a grant, so that the log's own records say who may do what, and a revocation returns only when every log has it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ledger.auth.api_keys import KEY_ID_BYTES, SECRET_BYTES, is_key_id, make_api_key, parse_api_key
from ledger.auth.roles import Permission, Role, permissions
from ledger.clock import Clock
from ledger.engine.directory import ADMIN_KEY, DEFAULT_LOG, SYSTEM_LOG, check_log_name
from ledger.engine.files import write_new_file
from ledger.engine.records import (
    ADMINISTRATOR_GRANTED,
    ADMINISTRATOR_REVOKED,
    CERTIFICATE_PREFIX,
    KEY_PREFIX,
    KEY_REVOKED,
    LOG_PREFIX,
    Credential,
    LogRecord,
    Retirement,
    clock_confirmed,
    key_created,
    key_revoked,
    key_rotated,
    log_created,
    log_retired,
    read_retirement,
)
from ledger.engine.registry import LogRegistry
from ledger.engine.requests import AdminRequest, SignedHead
from ledger.engine.sequencer import SERVER_PRINCIPAL, RandomSource
from ledger.errors import (
    ApiKeyNotFoundError,
    FieldViolation,
    InvalidRequestError,
    LedgerError,
    LogExistsError,
    LogReadOnlyError,
)
from ledger.events.checks import VALUE_MAX_BYTES
from ledger.events.event import Event
from ledger.notes.checkpoint import open_checkpoint
from ledger.notes.keys import parse_verifier_key
from ledger.storage.api import ReadTransaction

_LOGGER = logging.getLogger(__name__)
DEFAULT_KEY_DAYS = 90
MAX_KEY_DAYS = 3650
MAX_OVERLAP_SECONDS = 30 * 86_400
_US_PER_SECOND = 1_000_000
_US_PER_DAY = 86_400 * _US_PER_SECOND
_MAX_LABEL = 128
_MAX_RETIREMENT_REASON = 256
_MAX_CERTIFICATE_NAME = 180
_CERTIFICATE_NAME = re.compile(r"(?=.{1,180}\Z)(?:URI|DNS|EMAIL|IP):[!-~]+")
PRINCIPAL_BYTES = 16


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: a credential, or the server itself (no key id)."""

    key_id: str
    principal: bytes


SERVER = Actor("", SERVER_PRINCIPAL)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A credential that was made, with its secret.

    Attributes:
        credential: The credential.
        secret: The API key, to be shown once; empty for a certificate.
    """

    credential: Credential
    secret: str


class Administration:
    """Makes changes. Thread-safe; blocks until each is durable."""

    def __init__(self, registry: LogRegistry, clock: Clock, random: RandomSource) -> None:
        """Keep the parts."""
        self._registry = registry
        self._clock = clock
        self._random = random
        # Serialises what concerns more than one log: a new log must get the grants of every administrator.
        self._server_wide = threading.Lock()

    # Logs

    def initialise(self) -> None:
        """Make the first logs of a new server, and its first key in `admin.key`."""
        self._registry.directory.create_log(SYSTEM_LOG, self._random(32), self._clock.now_us())
        with self._registry.use(SYSTEM_LOG) as system:
            record = LogRecord(SYSTEM_LOG, system.origin, system.verifier_key)
            self._change(SYSTEM_LOG, SERVER, [log_created(record)])
        key = self._new_key(
            SYSTEM_LOG, label="first administrator", roles=frozenset(Role), personal=True, expires_at=0, name=""
        )
        self._change(SYSTEM_LOG, SERVER, [key_created(key.credential)])
        self.create_log(DEFAULT_LOG, SERVER)
        write_new_file(self._registry.directory.path / ADMIN_KEY, f"{key.secret}\n".encode())

    def reconcile(self) -> None:
        """Complete what an interrupted change left out; a log that takes no entries is left as it is."""
        with self._server_wide:
            self._in_every_log(self._complete_log)

    def create_log(self, name: str, actor: Actor, *, continues: bytes = b"", continues_verifier_key: str = "") -> None:
        """Make a log; its entry in `_system` is the commit point.

        Args:
            name: Name.
            actor: Who makes it.
            continues: Signed checkpoint of an ended log that this one goes on from; empty for none. Entry 0 names it.
            continues_verifier_key: Verifier key of that log; may be empty where it is a log of this server.

        Raises:
            InvalidRequestError: The name does not have the form, or that log did not sign the checkpoint.
            LogExistsError: There is a log of that name.
        """
        check_log_name(name)
        if continues or continues_verifier_key:
            continues_verifier_key = self._check_continuation(continues, continues_verifier_key)
        with self._server_wide:
            if self._is_named(name):
                raise LogExistsError(f"there is a log {name!r}", hint="choose another name", metadata={"log": name})
            directory = self._registry.directory
            directory.create_log(name, self._random(32), self._clock.now_us())
            record = replace(
                self._registry.describe(name),
                continues=continues.decode(),
                continues_verifier_key=continues_verifier_key,
            )
            self._change(SYSTEM_LOG, actor, [log_created(record)])
            self._registry.add(record)
            self._complete_log(name)

    def retire_log(self, name: str, actor: Actor, *, reason: str) -> SignedHead:
        """End a log in good order: it takes no events any more; return a signed head that covers the entry that says so.

        A log that is retired already stays as it is, with its first reason. The log's own entry comes first and decides;
        the entry of `_system`, which names the head, follows, and `reconcile` completes it where it was interrupted.

        Args:
            name: Name.
            actor: Who retires it.
            reason: Why, in words.

        Raises:
            InvalidRequestError: The reason does not have the form, or the log is `_system`.
            LogReadOnlyError: The log is read-only and cannot take the entry.
        """
        if name == SYSTEM_LOG:
            _refuse("name", f"is {SYSTEM_LOG}, which records what is done to the others and cannot be retired")
        if not 1 <= len(reason) <= _MAX_RETIREMENT_REASON or not reason.isprintable():
            _refuse("reason", f"must be 1 to {_MAX_RETIREMENT_REASON} printable characters")
        with self._server_wide:
            if self.retirement(name) is None:
                self._change(name, actor, [log_retired(name, reason)])
            self._complete_retirement(name)
            with self._registry.use(name) as opened:
                return opened.signed_head()

    def retirement(self, name: str) -> Retirement | None:
        """Return what the log says of its retirement; None where it takes events."""
        with self._registry.use(name) as opened:
            return read_retirement(opened.record, name)

    def confirm_clock(self, log: str, actor: Actor) -> int:
        """Trust the wall clock again; return the index of the entry that says so."""
        return self._change(log, actor, [clock_confirmed(self._clock.now_us())])

    # Credentials

    def list_keys(self, log: str) -> list[Credential]:
        """Return the credentials of a log, in the order in which they were made."""
        with self._registry.use(log) as opened:
            found = [Credential.decode(value) for _, value in opened.records(KEY_PREFIX)]
        return sorted(found, key=lambda credential: (credential.created_at, credential.key_id))

    def create_key(
        self,
        log: str,
        actor: Actor,
        *,
        label: str,
        roles: frozenset[Role],
        personal: bool,
        expires_in_days: int = 0,
        certificate_name: str = "",
    ) -> NewKey:
        """Make a credential.

        Raises:
            InvalidRequestError: A field breaks a rule.
        """
        _check_new_key(label, roles, expires_in_days, certificate_name, personal=personal)
        expires_at = self._clock.now_us() + (expires_in_days or DEFAULT_KEY_DAYS) * _US_PER_DAY
        key = self._new_key(
            log, label=label, roles=roles, personal=personal, expires_at=expires_at, name=certificate_name
        )

        now = self._clock.now_us()

        def name_is_free(transaction: ReadTransaction) -> None:
            if not certificate_name:
                return
            key_id = transaction.record(CERTIFICATE_PREFIX + certificate_name)
            value = None if key_id is None else transaction.record(KEY_PREFIX + key_id.decode())
            if value is not None and Credential.decode(value).is_live(now):
                _refuse("certificate_name", "is taken by another live credential of this log")

        with self._server_wide:
            self._change(log, actor, [key_created(key.credential)], name_is_free)
            self._extend_grants(log)
        return NewKey(self._stored(log, key.credential.key_id), key.secret)

    def rotate_key(self, log: str, actor: Actor, *, key_id: str, overlap_seconds: int) -> NewKey:
        """Give the principal of a credential a new secret; the old one ends after the overlap.

        Raises:
            ApiKeyNotFoundError: The log has no live API key of that id.
            InvalidRequestError: The overlap is too long.
        """
        if overlap_seconds > MAX_OVERLAP_SECONDS:
            _refuse("overlap_seconds", f"is {overlap_seconds}; the limit is {MAX_OVERLAP_SECONDS}")
        with self._server_wide:
            old = self._live(log, key_id)
            if not old.secret_hash:
                raise _no_key(log, key_id)
            now = self._clock.now_us()
            lifetime = 0 if not old.expires_at else max(old.expires_at - old.created_at, _US_PER_DAY)
            ends = now + overlap_seconds * _US_PER_SECOND
            key = self._new_key(
                log,
                label=old.label,
                roles=old.roles,
                personal=old.personal,
                expires_at=now + lifetime if lifetime else 0,
                name="",
                principal=old.principal,
            )
            old_ends = min(ends, old.expires_at) if old.expires_at else ends
            self._change(log, actor, [key_rotated(key.credential, key_id, old_ends)], _must_be_live(log, key_id, now))
            self._extend_grants(log)
            self._forget_first_key(key_id)
        return NewKey(self._stored(log, key.credential.key_id), key.secret)

    def revoke_key(self, log: str, actor: Actor, *, key_id: str) -> Credential:
        """End a credential everywhere; when this returns, no log takes anything from it.

        Raises:
            ApiKeyNotFoundError: The log has no live credential of that id.
        """
        with self._server_wide:
            credential = self._find(log, key_id)
            was_revoked = credential is not None and bool(credential.revoked_at)
            if not (was_revoked and log == SYSTEM_LOG):
                self._live(log, key_id)
                # From here on nothing new is admitted: a server administrator needs a live record in `_system` too.
                self._change(log, actor, [key_revoked(key_id, KEY_REVOKED)])
            if log == SYSTEM_LOG:
                # A log that takes no entries cannot have the entry, and takes nothing from the key either.
                failures = self._in_every_log(lambda name: self._revoke_grant(name, key_id))
                unfinished = [error for error in failures if not isinstance(error, LogReadOnlyError)]
                if unfinished:
                    raise unfinished[0]
                self._forget_first_key(key_id)
        return self._stored(log, key_id)

    # Parts

    def _check_continuation(self, note: bytes, verifier_key: str) -> str:
        """Return the verifier key of the log that signed a checkpoint; refuse one that it did not sign."""
        if len(note) > VALUE_MAX_BYTES:
            _refuse("continues", f"has {len(note)} bytes; the limit is {VALUE_MAX_BYTES}")
        if not verifier_key:
            origin = note.split(b"\n", 1)[0].decode(errors="replace")
            known = [record.verifier_key for record in self._registry.known() if record.origin == origin]
            if not known:
                _refuse("continues_verifier_key", f"is needed: the origin {origin[:200]!r} is no log of this server")
            verifier_key = known[0]
        try:
            open_checkpoint(note, parse_verifier_key(verifier_key))
        except LedgerError as error:
            _refuse("continues", f"is no signed checkpoint of {verifier_key[:200]}: {error.message}")
        return verifier_key

    def _change(
        self,
        log: str,
        actor: Actor,
        events: Sequence[Event],
        precondition: Callable[[ReadTransaction], None] | None = None,
    ) -> int:
        request = AdminRequest(actor.key_id, actor.principal, events, precondition)
        with self._registry.use(log) as opened:
            return opened.administer(request).entries[0].leaf_index

    def _new_key(
        self,
        log: str,
        *,
        label: str,
        roles: frozenset[Role],
        personal: bool,
        expires_at: int,
        name: str,
        principal: bytes = b"",
    ) -> NewKey:
        text = make_api_key(log, self._random(KEY_ID_BYTES + SECRET_BYTES))
        credential = Credential(
            key_id=text.key_id,
            principal=principal or self._random(PRINCIPAL_BYTES),
            label=label,
            roles=roles,
            personal=personal,
            secret_hash=b"" if name else text.secret_hash,
            certificate_name=name,
            created_at=0,
            expires_at=expires_at,
        )
        return NewKey(credential, "" if name else text.format())

    def _is_named(self, name: str) -> bool:
        """Return whether `_system` names the log; after an unknown outcome the registry may not know it yet."""
        if not self._registry.has(name):
            with self._registry.use(SYSTEM_LOG) as system:
                value = system.record(LOG_PREFIX + name)
            if value is not None:
                self._registry.add(LogRecord.decode(value))
        return self._registry.has(name)

    def _complete_log(self, name: str) -> None:
        """Append to a log what it must begin with and does not have yet."""
        with self._registry.use(name) as opened:
            has_own_record = opened.record(LOG_PREFIX + name) is not None
        if not has_own_record:
            record = next(record for record in self._registry.known() if record.name == name)
            self._change(name, SERVER, [log_created(record)])
        self._complete_retirement(name)
        self._grant_administrators(name)

    def _complete_retirement(self, name: str) -> None:
        """Tell `_system` of a retirement that the log states; a log that lacks one which `_system` states is frozen."""
        with self._registry.use(SYSTEM_LOG) as system:
            stated = read_retirement(system.record, name)
        own = self.retirement(name)
        if own is None and stated is not None:
            # `_system` is told after a head was signed that covers the log's own entry. Data without that entry is older
            # than that head, and another entry in its place would be a second root for one size.
            with self._registry.use(name) as opened:
                opened.freeze(
                    f"its data is older than its retirement, which {SYSTEM_LOG} states with the head that was signed",
                    durably=True,
                )
        elif own is not None and stated is None:
            with self._registry.use(name) as opened:
                last_head = opened.signed_head().note
            self._change(SYSTEM_LOG, SERVER, [log_retired(name, own.reason, last_head)])

    def _in_every_log(self, change: Callable[[str], None]) -> list[LedgerError]:
        """Make a change in every log; return the errors of those where it could not be made, which are logged."""
        failures = []
        for name in self._registry.names():
            try:
                change(name)
            except LedgerError as error:
                _LOGGER.warning("a log could not take an administrative entry", extra={"log": name, "why": str(error)})
                failures.append(error)
        return failures

    def _extend_grants(self, log: str) -> None:
        """After a change of `_system`'s credentials: bring it to every log that takes entries."""
        if log == SYSTEM_LOG:
            self._in_every_log(self._grant_administrators)

    def _revoke_grant(self, log: str, key_id: str) -> None:
        granted = self._find(log, key_id)
        if granted is not None and not granted.revoked_at:
            self._change(log, SERVER, [key_revoked(key_id, ADMINISTRATOR_REVOKED)])

    def _forget_first_key(self, key_id: str) -> None:
        """Remove the file of the first key once that key was replaced or has ended."""
        path = self._registry.directory.path / ADMIN_KEY
        if path.exists() and parse_api_key(path.read_text().strip()).key_id == key_id:
            path.unlink()

    def _grant_administrators(self, log: str) -> None:
        """Bring a log's grants to what `_system` says; a grant that was revoked stays so."""
        for credential in self.list_keys(SYSTEM_LOG):
            granted = self._find(log, credential.key_id)
            if credential.revoked_at:
                self._revoke_grant(log, credential.key_id)
                continue
            if granted is not None and (granted.revoked_at or granted.expires_at == credential.expires_at):
                continue
            grant = replace(credential, secret_hash=b"", certificate_name="")
            self._change(log, SERVER, [key_created(grant, ADMINISTRATOR_GRANTED)])

    def _live(self, log: str, key_id: str) -> Credential:
        credential = self._find(log, key_id)
        if credential is None or not credential.is_live(self._clock.now_us()):
            raise _no_key(log, key_id)
        return credential

    def _find(self, log: str, key_id: str) -> Credential | None:
        with self._registry.use(log) as opened:
            value = opened.record(KEY_PREFIX + key_id) if is_key_id(key_id) else None
        return None if value is None else Credential.decode(value)

    def _stored(self, log: str, key_id: str) -> Credential:
        credential = self._find(log, key_id)
        if credential is None:
            raise _no_key(log, key_id)
        return credential


def _must_be_live(log: str, key_id: str, now_us: int) -> Callable[[ReadTransaction], None]:
    def check(transaction: ReadTransaction) -> None:
        value = transaction.record(KEY_PREFIX + key_id)
        if value is None or not Credential.decode(value).is_live(now_us):
            raise _no_key(log, key_id)

    return check


def _check_new_key(
    label: str, roles: frozenset[Role], expires_in_days: int, certificate_name: str, *, personal: bool
) -> None:
    if len(label) > _MAX_LABEL or not label.isprintable():
        _refuse("label", f"must be at most {_MAX_LABEL} printable characters")
    if not roles:
        _refuse("roles", "must name at least one role")
    if personal and Permission.READ_EVENTS not in permissions(roles, personal=False):
        _refuse("personal", "needs the role reader or auditor")
    if expires_in_days > MAX_KEY_DAYS:
        _refuse("expires_in_days", f"is {expires_in_days}; the limit is {MAX_KEY_DAYS}")
    if certificate_name and _CERTIFICATE_NAME.fullmatch(certificate_name) is None:
        _refuse(
            "certificate_name",
            f"must be URI:, DNS:, EMAIL: or IP: and a name, at most {_MAX_CERTIFICATE_NAME} printable ASCII characters "
            "without space",
        )


def _refuse(field: str, description: str) -> None:
    raise InvalidRequestError([FieldViolation(field, description)])


def _no_key(log: str, key_id: str) -> ApiKeyNotFoundError:
    return ApiKeyNotFoundError(
        f"the log {log} has no live credential {key_id[:40]!r} of that kind",
        hint="`logproof key list` shows the credentials",
        metadata={"keyId": key_id[:40]},
    )
