"""The administrative records of a log, as the fold of its `ledger.*` entries.

A record changes only by an entry: the entry and the change are written in one transaction, and `fsck` folds the
entries again and compares. So one signed head covers the events and everything that was done to the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ledger.auth.roles import Permission, Role, permissions
from ledger.errors import CorruptionError
from ledger.events.event import Event, MetadataEntry, Target, Value

LOG_CREATED = "ledger.log.created"
LOG_RETIRED = "ledger.log.retired"
KEY_CREATED = "ledger.key.created"
KEY_ROTATED = "ledger.key.rotated"
KEY_REVOKED = "ledger.key.revoked"
ADMINISTRATOR_GRANTED = "ledger.administrator.granted"
ADMINISTRATOR_REVOKED = "ledger.administrator.revoked"
CLOCK_CONFIRMED = "ledger.clock.confirmed"

KEY_PREFIX = "key/"
CERTIFICATE_PREFIX = "certificate/"
LOG_PREFIX = "log/"
RETIRED_PREFIX = "retired/"
FOLDED_PREFIXES = (CERTIFICATE_PREFIX, KEY_PREFIX, LOG_PREFIX, RETIRED_PREFIX)
FREEZE = "freeze"

# Each call looks its credential up again, and most calls come from few.
_REMEMBERED_RECORDS = 1024

RecordReader = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential in one log: an API key, a client certificate, or the grant of a server administrator.

    Attributes:
        key_id: Public id.
        principal: 16 bytes, the same for all credentials of a principal.
        label: What it is for.
        roles: Roles in this log.
        personal: May see personal sections.
        secret_hash: SHA-256 of the secret, 32 bytes; empty for a certificate, or a grant whose secret `_system` has.
        certificate_name: Subject alternative name of the certificate; empty for an API key.
        created_at: Microseconds UTC.
        expires_at: Microseconds UTC; 0 for never.
        revoked_at: Microseconds UTC; 0 for not.
    """

    key_id: str
    principal: bytes
    label: str
    roles: frozenset[Role]
    personal: bool
    secret_hash: bytes
    certificate_name: str
    created_at: int
    expires_at: int = 0
    revoked_at: int = 0

    def is_live(self, now_us: int) -> bool:
        """Return whether it is neither revoked nor expired at that time (microseconds UTC)."""
        return not self.revoked_at and (not self.expires_at or now_us < self.expires_at)

    def allows(self, permission: Permission) -> bool:
        """Return whether its roles allow this."""
        return permission in permissions(self.roles, personal=self.personal)

    def encode(self) -> bytes:
        """Return the record's value."""
        return _encode(
            {
                "key_id": self.key_id,
                "principal": self.principal.hex(),
                "label": self.label,
                "roles": sorted(role.value for role in self.roles),
                "personal": self.personal,
                "secret_hash": self.secret_hash.hex(),
                "certificate_name": self.certificate_name,
                "created_at": self.created_at,
                "expires_at": self.expires_at,
                "revoked_at": self.revoked_at,
            }
        )

    @classmethod
    @lru_cache(maxsize=_REMEMBERED_RECORDS)
    def decode(cls, value: bytes) -> Credential:
        """Return the credential of a record's value; the same bytes are read once."""
        fields = _decode(value)
        try:
            return cls(
                key_id=fields["key_id"],
                principal=bytes.fromhex(fields["principal"]),
                label=fields["label"],
                roles=frozenset(Role(role) for role in fields["roles"]),
                personal=fields["personal"],
                secret_hash=bytes.fromhex(fields["secret_hash"]),
                certificate_name=fields["certificate_name"],
                created_at=fields["created_at"],
                expires_at=fields["expires_at"],
                revoked_at=fields["revoked_at"],
            )
        except (KeyError, ValueError, TypeError) as error:
            raise CorruptionError("a credential record does not have its form") from error


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log as `_system`, and the log itself, know it.

    Attributes:
        name: Name.
        origin: Origin.
        verifier_key: Verifier key of its checkpoints.
        continues: Signed checkpoint of the ended log that it goes on from; empty for none.
        continues_verifier_key: Verifier key of that log.
    """

    name: str
    origin: str
    verifier_key: str
    continues: str = ""
    continues_verifier_key: str = ""

    def encode(self) -> bytes:
        """Return the record's value."""
        fields = {"name": self.name, "origin": self.origin, "verifier_key": self.verifier_key}
        if self.continues:
            fields |= {"continues": self.continues, "continues_verifier_key": self.continues_verifier_key}
        return _encode(fields)

    @classmethod
    def decode(cls, value: bytes) -> LogRecord:
        """Return the log of a record's value."""
        fields = _decode(value)
        try:
            return cls(
                name=fields["name"],
                origin=fields["origin"],
                verifier_key=fields["verifier_key"],
                continues=fields.get("continues", ""),
                continues_verifier_key=fields.get("continues_verifier_key", ""),
            )
        except KeyError as error:
            raise CorruptionError("a log record does not have its form") from error


@dataclass(frozen=True, slots=True)
class Retirement:
    """That a log takes no events any more, as the log itself and `_system` know it.

    Attributes:
        reason: Why, in words.
        retired_at: Microseconds UTC.
    """

    reason: str
    retired_at: int

    def encode(self) -> bytes:
        """Return the record's value."""
        return _encode({"reason": self.reason, "retired_at": self.retired_at})

    @classmethod
    def decode(cls, value: bytes) -> Retirement:
        """Return the retirement of a record's value."""
        fields = _decode(value)
        try:
            return cls(reason=fields["reason"], retired_at=fields["retired_at"])
        except KeyError as error:
            raise CorruptionError("a record of a retirement does not have its form") from error


def read_retirement(read: RecordReader, log: str) -> Retirement | None:
    """Return the retirement of a log; None where it is not retired.

    Args:
        read: The record of a name, in the log itself or in `_system`.
        log: Name of the log.
    """
    value = read(RETIRED_PREFIX + log)
    return None if value is None else Retirement.decode(value)


def log_created(log: LogRecord) -> Event:
    """Return the event that a log was made; unsigned by time and id, which the writing step adds."""
    metadata: dict[str, Value] = {"origin": log.origin, "verifier_key": log.verifier_key}
    if log.continues:
        metadata |= {"continues": log.continues, "continues_verifier_key": log.continues_verifier_key}
    return _event(LOG_CREATED, Target(type="log", id=log.name), metadata)


def log_retired(log: str, reason: str, last_head: bytes = b"") -> Event:
    """Return the event that a log takes no events any more.

    Args:
        log: Name of the log.
        reason: Why, in words.
        last_head: In `_system`, a signed checkpoint of the log that covers its own entry; nothing in the log itself.
    """
    metadata: dict[str, Value] = {"reason": reason}
    if last_head:
        metadata["last_head"] = last_head.decode()
    return _event(LOG_RETIRED, Target(type="log", id=log), metadata)


def key_created(credential: Credential, action: str = KEY_CREATED) -> Event:
    """Return the event that a credential was made, or granted by `_system`."""
    return _event(action, Target(type="api_key", id=credential.key_id), _credential_metadata(credential))


def key_rotated(credential: Credential, replaced_key_id: str, replaced_expires_at: int) -> Event:
    """Return the event that a credential replaces another, which ends at `replaced_expires_at`."""
    metadata = _credential_metadata(credential)
    metadata["replaced_expires_at"] = replaced_expires_at
    metadata["replaced_key_id"] = replaced_key_id
    return _event(KEY_ROTATED, Target(type="api_key", id=credential.key_id), metadata)


def key_revoked(key_id: str, action: str = KEY_REVOKED) -> Event:
    """Return the event that a credential ended."""
    return _event(action, Target(type="api_key", id=key_id), {})


def clock_confirmed(now_us: int) -> Event:
    """Return the event that an administrator confirmed the wall clock."""
    return _event(CLOCK_CONFIRMED, Target(type="clock", id="wall"), {"confirmed_time": now_us})


def fold(event: Event, recorded_at: int, read: RecordReader) -> dict[str, bytes]:
    """Return the records that a `ledger.*` entry sets, by name.

    Args:
        event: The entry's event.
        recorded_at: The entry's time, microseconds UTC.
        read: The record of a name as it was before the entry.

    Raises:
        CorruptionError: The entry changes a record that does not exist, or lacks a field.
    """
    try:
        return _fold(event, recorded_at, read)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise CorruptionError(f"the entry {event.action} of event {event.event_id} does not have its form") from error


def check_record(name: str, value: bytes) -> None:
    """Return if a stored record can be read.

    Raises:
        CorruptionError: It cannot; the message names it.
    """
    try:
        if name.startswith(KEY_PREFIX):
            Credential.decode(value)
        elif name.startswith(LOG_PREFIX):
            LogRecord.decode(value)
        elif name.startswith(RETIRED_PREFIX):
            Retirement.decode(value)
        elif name.startswith(CERTIFICATE_PREFIX):
            value.decode("ascii")
    except (CorruptionError, UnicodeDecodeError) as error:
        raise CorruptionError(f"the record {name} cannot be read", hint="run `logproof fsck`") from error


def _fold(event: Event, recorded_at: int, read: RecordReader) -> dict[str, bytes]:
    target = event.targets[0].id
    metadata = {entry.key: entry.value for entry in event.metadata}
    if event.action == LOG_CREATED:
        log = LogRecord(
            name=target,
            origin=str(metadata["origin"]),
            verifier_key=str(metadata["verifier_key"]),
            continues=str(metadata.get("continues", "")),
            continues_verifier_key=str(metadata.get("continues_verifier_key", "")),
        )
        return {LOG_PREFIX + target: log.encode()}
    if event.action == LOG_RETIRED:
        return {RETIRED_PREFIX + target: Retirement(str(metadata["reason"]), recorded_at).encode()}
    if event.action in {KEY_CREATED, ADMINISTRATOR_GRANTED}:
        return _new_credential(target, metadata, recorded_at)
    if event.action == KEY_ROTATED:
        replaced = _credential(read, str(metadata["replaced_key_id"]))
        ended = replace(replaced, expires_at=_int(metadata["replaced_expires_at"]))
        return {KEY_PREFIX + ended.key_id: ended.encode()} | _new_credential(target, metadata, recorded_at)
    if event.action in {KEY_REVOKED, ADMINISTRATOR_REVOKED}:
        credential = _credential(read, target)
        return {KEY_PREFIX + target: replace(credential, revoked_at=recorded_at).encode()}
    return {}


def _new_credential(key_id: str, metadata: Mapping[str, Value], recorded_at: int) -> dict[str, bytes]:
    roles = str(metadata["roles"])
    credential = Credential(
        key_id=key_id,
        principal=bytes.fromhex(str(metadata["principal"])),
        label=str(metadata.get("label", "")),
        roles=frozenset(Role(role) for role in roles.split(",")),
        personal=bool(metadata["personal"]),
        secret_hash=bytes.fromhex(str(metadata.get("secret_sha256", ""))),
        certificate_name=str(metadata.get("certificate_name", "")),
        created_at=recorded_at,
        expires_at=_int(metadata["expires_at"]),
    )
    changes = {KEY_PREFIX + key_id: credential.encode()}
    if credential.certificate_name:
        changes[CERTIFICATE_PREFIX + credential.certificate_name] = key_id.encode()
    return changes


def _credential(read: RecordReader, key_id: str) -> Credential:
    value = read(KEY_PREFIX + key_id)
    if value is None:
        raise CorruptionError(f"an entry changes the credential {key_id}, which has no record")
    return Credential.decode(value)


def _credential_metadata(credential: Credential) -> dict[str, Value]:
    metadata: dict[str, Value] = {
        "expires_at": credential.expires_at,
        "personal": credential.personal,
        "principal": credential.principal.hex(),
        "roles": ",".join(sorted(role.value for role in credential.roles)),
    }
    if credential.label:
        metadata["label"] = credential.label
    if credential.secret_hash:
        metadata["secret_sha256"] = credential.secret_hash.hex()
    if credential.certificate_name:
        metadata["certificate_name"] = credential.certificate_name
    return metadata


def _event(action: str, target: Target, metadata: Mapping[str, Value]) -> Event:
    entries = tuple(MetadataEntry(key=key, value=metadata[key]) for key in sorted(metadata))
    return Event(action=action, targets=(target,), metadata=entries)


def _int(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not an integer")
    return value


def _encode(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(value: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(value)
    except ValueError as error:
        raise CorruptionError("a record is not JSON") from error
    if not isinstance(fields, dict):
        raise CorruptionError("a record is not a JSON object")
    return fields
