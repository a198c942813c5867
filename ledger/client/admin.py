"""The calls that administer logs and API keys.

What they return is the server's statement about its own records, of which a client can verify nothing; the records
are entries of the log as well, and there they can be verified. An answer about another log or key than the one that was
named is refused all the same. The rule that must not break: a secret is handed out once, in a value that does not print
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.client._caller import Caller
from ledger.client.values import ApiKeyInfo, LogInfo, NewApiKey, RetiredLog, Role, ServerInfo
from ledger.errors import ContentMismatchError, LedgerError, WrongOriginError
from ledger.events.event import TIME_MAX
from ledger.notes.checkpoint import open_checkpoint
from ledger.notes.keys import parse_verifier_key
from ledger.v1 import admin_pb2, ledger_pb2

# A state that a newer server knows is `unknown` rather than misnamed.
_LOG_STATES: Final = {
    int(admin_pb2.LOG_STATE_ACTIVE): "active",
    int(admin_pb2.LOG_STATE_READ_ONLY): "read_only",
    int(admin_pb2.LOG_STATE_RETIRED): "retired",
}


class Administration(Caller):
    """A client that administers a server; needs no verifier key."""

    def server_info(self) -> ServerInfo:
        """Return what the server says of itself.

        Raises:
            LedgerError: The server refused, or could not be reached in time.
        """
        response = self._connection.call(lambda stubs: stubs.ledger.GetServerInfo, ledger_pb2.GetServerInfoRequest())
        return ServerInfo(
            response.version,
            response.schema_version,
            response.max_event_bytes,
            response.max_personal_bytes,
            response.max_batch_events,
            response.max_batch_bytes,
            response.kernel,
        )

    def create_log(self, name: str, *, continues: bytes = b"", continues_verifier_key: str = "") -> LogInfo:
        """Make a log, and return it with its verifier key.

        Args:
            name: Name.
            continues: Signed checkpoint of an ended log that it goes on from, which its entry 0 then names.
            continues_verifier_key: Verifier key of that log; may be left out where it is a log of the same server.

        Raises:
            LogExistsError: There is one of that name.
            ContentMismatchError: The answer is about another log.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.CreateLogRequest(
            name=name, continues=continues, continues_verifier_key=continues_verifier_key
        )
        return _log_named(name, self._connection.call(lambda stubs: stubs.admin.CreateLog, request).log)

    def retire_log(self, name: str, *, reason: str) -> RetiredLog:
        """End a log in good order: it takes no events any more, for good; all else of it goes on.

        A log that is retired already stays as it is, with its first reason.

        Args:
            name: Name.
            reason: Why, in words, without personal data; it becomes part of the log.

        Raises:
            LogReadOnlyError: The log is read-only and cannot take the entry.
            WrongOriginError: The server states another verifier key than the one that is pinned for this log.
            ContentMismatchError: The answer is about another log, or about one that is not retired; or the head is none
                that this log signed.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.RetireLogRequest(name=name, reason=reason)
        response = self._connection.call(lambda stubs: stubs.admin.RetireLog, request)
        log = _log_named(name, response.log)
        if log.state != "retired":
            raise ContentMismatchError(
                f"log {name} was to be retired, and the server does not say that it is: its state is {log.state}",
                hint="`logproof log show` shows what is so; until it shows the log as retired, it may take events",
            )
        pinned = self._options.verifier_key if name == self.log else None
        if pinned is not None and log.verifier_key != pinned:
            raise WrongOriginError(
                f"the server says that log {name} has the key {log.verifier_key}; the key that is pinned is {pinned}",
                hint="check that this is the right server and log, and the right key",
            )
        try:
            open_checkpoint(response.last_head, parse_verifier_key(log.verifier_key))
        except LedgerError as error:
            raise ContentMismatchError(
                f"the server gives a last head of log {name} that the log's key did not sign: {error.message}",
                hint="take the head with `logproof head --format note`",
            ) from error
        return RetiredLog(log, response.last_head)

    def list_logs(self) -> list[LogInfo]:
        """Return the logs that the credential may use, by name, as the server states them.

        Raises:
            LedgerError: The server refused, or could not be reached in time.
        """
        response = self._connection.call(lambda stubs: stubs.admin.ListLogs, admin_pb2.ListLogsRequest())
        return [_log_info(log) for log in response.logs]

    def stated_log(self, name: str) -> LogInfo:
        """Return one log as the server states it, nothing verified.

        Raises:
            LogNotFoundError: There is no such log, and the credential may know.
            ContentMismatchError: The answer is about another log.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.GetLogRequest(name=name)
        return _log_named(name, self._connection.call(lambda stubs: stubs.admin.GetLog, request).log)

    def create_key(
        self,
        label: str,
        roles: Sequence[Role],
        *,
        personal: bool = False,
        expires_in_days: int = 0,
        certificate_name: str = "",
    ) -> NewApiKey:
        """Make a credential of the log.

        Args:
            label: What it is for, in words, without personal data.
            roles: What it may do, at least one.
            personal: Whether it may see personal sections.
            expires_in_days: Days until it ends; 0 for the server's default.
            certificate_name: For a certificate credential, the subject alternative name.

        Raises:
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.CreateApiKeyRequest(
            log=self.log,
            label=label,
            roles=[admin_pb2.Role.ValueType(role) for role in roles],
            personal=personal,
            expires_in_days=expires_in_days,
            certificate_name=certificate_name,
        )
        response = self._connection.call(lambda stubs: stubs.admin.CreateApiKey, request)
        return NewApiKey(_key_info(response.api_key), response.secret)

    def list_keys(self) -> list[ApiKeyInfo]:
        """Return the credentials of the log, in the order in which they were made.

        Raises:
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.ListApiKeysRequest(log=self.log)
        response = self._connection.call(lambda stubs: stubs.admin.ListApiKeys, request)
        return [_key_info(key) for key in response.api_keys]

    def rotate_key(self, key_id: str, *, overlap_seconds: int = 0) -> NewApiKey:
        """Give the principal of a credential a new secret.

        Args:
            key_id: Public id of the credential to replace.
            overlap_seconds: How long the old secret still works.

        Raises:
            ApiKeyNotFoundError: The log has no such credential.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.RotateApiKeyRequest(log=self.log, key_id=key_id, overlap_seconds=overlap_seconds)
        response = self._connection.call(lambda stubs: stubs.admin.RotateApiKey, request)
        return NewApiKey(_key_info(response.api_key), response.secret)

    def revoke_key(self, key_id: str) -> ApiKeyInfo:
        """End a credential; when this returns, nothing it asks for is done any more.

        Raises:
            ApiKeyNotFoundError: The log has no such credential.
            ContentMismatchError: The answer is about another credential, or about one that has not ended.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.RevokeApiKeyRequest(log=self.log, key_id=key_id)
        ended = _key_info(self._connection.call(lambda stubs: stubs.admin.RevokeApiKey, request).api_key)
        if ended.key_id != key_id or not ended.revoked_at:
            raise ContentMismatchError(
                f"key {key_id} was to be revoked, and the server does not say that it is: it names key {ended.key_id}, "
                + ("revoked" if ended.revoked_at else "not revoked"),
                hint="`logproof key list` shows what is so; until it shows the key as revoked, the key may work",
            )
        return ended

    def confirm_clock(self) -> int:
        """Confirm the server's wall clock after a jump; return the index of the entry that records it.

        Raises:
            LedgerError: The server refused, or could not be reached in time.
        """
        request = admin_pb2.ConfirmClockRequest(log=self.log)
        return self._connection.call(lambda stubs: stubs.admin.ConfirmClock, request).leaf_index


def _log_named(name: str, log: admin_pb2.Log) -> LogInfo:
    if log.name != name:
        raise ContentMismatchError(f"log {name} was asked for, and the server answers about log {log.name}")
    return _log_info(log)


def _log_info(log: admin_pb2.Log) -> LogInfo:
    return LogInfo(
        log.name,
        log.origin,
        log.verifier_key,
        log.tree_size,
        log.root_hash,
        log.published_size,
        _LOG_STATES.get(log.state, "unknown"),
        log.state_reason,
        log.guard,
        log.guard_separate,
    )


def _key_info(key: admin_pb2.ApiKey) -> ApiKeyInfo:
    if max(key.created_at, key.expires_at, key.revoked_at) > TIME_MAX:
        raise ContentMismatchError(f"the server gives key {key.key_id} a time beyond the year 9999")
    return ApiKeyInfo(
        key.key_id,
        key.principal,
        key.label,
        # A role that a newer server knows is left out rather than misnamed.
        tuple(role for role in Role if int(role) in map(int, key.roles)),
        key.personal,
        key.created_at,
        key.expires_at,
        key.revoked_at,
        key.certificate_name,
    )
