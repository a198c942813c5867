"""AdminService: logs and credentials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from ledger.auth.roles import Permission, Role
from ledger.engine.administration import Actor
from ledger.engine.directory import SYSTEM_LOG
from ledger.engine.records import read_retirement
from ledger.errors import PermissionMissingError, StorageError
from ledger.rpc.binding import Call
from ledger.rpc.checks import RequestChecks
from ledger.rpc.convert import ROLES, api_key_message
from ledger.rpc.parts import Parts
from ledger.v1 import admin_pb2

ADMIN_SERVICE: Final[ServiceDescriptor] = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
"""Descriptor of the service."""

_KEY_ID = re.compile(r"[0-9A-Za-z]{1,64}")


def admin_behaviours(parts: Parts) -> dict[str, Callable[..., object]]:
    """Return the behaviours of AdminService, by method."""
    admin = Admin(parts)
    return {
        "CreateLog": admin.create_log,
        "RetireLog": admin.retire_log,
        "ListLogs": admin.list_logs,
        "GetLog": admin.get_log,
        "CreateApiKey": admin.create_api_key,
        "ListApiKeys": admin.list_api_keys,
        "RotateApiKey": admin.rotate_api_key,
        "RevokeApiKey": admin.revoke_api_key,
        "ConfirmClock": admin.confirm_clock,
    }


class Admin:
    """Administers logs and credentials; every change is an entry of the log it concerns."""

    def __init__(self, parts: Parts) -> None:
        """Keep the parts."""
        self._parts = parts
        self._administration = parts.administration

    # Logs

    def create_log(self, call: Call, request: admin_pb2.CreateLogRequest) -> admin_pb2.CreateLogResponse:
        """Make a log."""
        self._administration.create_log(
            request.name,
            _actor(call),
            continues=request.continues,
            continues_verifier_key=request.continues_verifier_key,
        )
        return admin_pb2.CreateLogResponse(log=self._log_message(request.name))

    def retire_log(self, call: Call, request: admin_pb2.RetireLogRequest) -> admin_pb2.RetireLogResponse:
        """End a log in good order."""
        head = self._administration.retire_log(request.name, _actor(call), reason=request.reason)
        return admin_pb2.RetireLogResponse(log=self._log_message(request.name), last_head=head.note)

    def list_logs(self, call: Call, _request: admin_pb2.ListLogsRequest) -> admin_pb2.ListLogsResponse:
        """List the logs that the credential may use."""
        home = call.caller.home
        names = [home] if home != SYSTEM_LOG else [SYSTEM_LOG, *self._parts.registry.names()]
        found = [self._listed(call, name) for name in names]
        return admin_pb2.ListLogsResponse(logs=[message for message in found if message is not None])

    def get_log(self, _call: Call, request: admin_pb2.GetLogRequest) -> admin_pb2.GetLogResponse:
        """Return one log."""
        return admin_pb2.GetLogResponse(log=self._log_message(request.name))

    # Credentials

    def create_api_key(self, call: Call, request: admin_pb2.CreateApiKeyRequest) -> admin_pb2.CreateApiKeyResponse:
        """Make a credential."""
        made = self._administration.create_key(
            request.log,
            _actor(call),
            label=request.label,
            roles=_roles(request.roles),
            personal=request.personal,
            expires_in_days=request.expires_in_days,
            certificate_name=request.certificate_name,
        )
        return admin_pb2.CreateApiKeyResponse(api_key=api_key_message(made.credential), secret=made.secret)

    def list_api_keys(self, _call: Call, request: admin_pb2.ListApiKeysRequest) -> admin_pb2.ListApiKeysResponse:
        """List the credentials of a log."""
        found = self._administration.list_keys(request.log)
        return admin_pb2.ListApiKeysResponse(api_keys=[api_key_message(credential) for credential in found])

    def rotate_api_key(self, call: Call, request: admin_pb2.RotateApiKeyRequest) -> admin_pb2.RotateApiKeyResponse:
        """Give a principal a new secret."""
        _check_key_id(request.key_id)
        made = self._administration.rotate_key(
            request.log, _actor(call), key_id=request.key_id, overlap_seconds=request.overlap_seconds
        )
        return admin_pb2.RotateApiKeyResponse(api_key=api_key_message(made.credential), secret=made.secret)

    def revoke_api_key(self, call: Call, request: admin_pb2.RevokeApiKeyRequest) -> admin_pb2.RevokeApiKeyResponse:
        """End a credential."""
        _check_key_id(request.key_id)
        ended = self._administration.revoke_key(request.log, _actor(call), key_id=request.key_id)
        return admin_pb2.RevokeApiKeyResponse(api_key=api_key_message(ended))

    def confirm_clock(self, call: Call, request: admin_pb2.ConfirmClockRequest) -> admin_pb2.ConfirmClockResponse:
        """Confirm the wall clock after a jump."""
        index = self._administration.confirm_clock(request.log, _actor(call))
        return admin_pb2.ConfirmClockResponse(leaf_index=index)

    # Parts

    def _listed(self, call: Call, name: str) -> admin_pb2.Log | None:
        """Return a log for a list; None where the credential may not use it."""
        try:
            self._parts.access.authorise(call.caller, name, Permission.PROVE)
            return self._log_message(name)
        except PermissionMissingError:
            return None
        except StorageError as error:
            # One damaged log must not hide the others; who gets here is a server administrator.
            return admin_pb2.Log(
                name=name,
                origin=self._parts.registry.directory.origin(name),
                state=admin_pb2.LOG_STATE_READ_ONLY,
                state_reason=f"it cannot be opened: {error.reason}; the server's own log says why",
            )

    def _log_message(self, name: str) -> admin_pb2.Log:
        """Return a log as it stands."""
        directory = self._parts.registry.directory
        message = admin_pb2.Log(
            name=name,
            origin=directory.origin(name),
            published_size=self._parts.published.size(name),
            guard="relaxed" if self._parts.registry.relaxed_guard else "strict",
            guard_separate=directory.guard_is_separate,
        )
        with self._parts.registry.use(name) as log:
            head, reason = log.signed_head(), log.read_only_reason
            message.verifier_key = log.verifier_key
            message.tree_size = head.tree_size
            message.root_hash = head.root_hash
            retirement = read_retirement(log.record, name)
            if reason:
                message.state, message.state_reason = admin_pb2.LOG_STATE_READ_ONLY, reason
            elif retirement is not None:
                message.state, message.state_reason = admin_pb2.LOG_STATE_RETIRED, retirement.reason
            else:
                message.state = admin_pb2.LOG_STATE_ACTIVE
        return message


def _actor(call: Call) -> Actor:
    return Actor(call.caller.key_id, call.caller.principal)


def _check_key_id(key_id: str) -> None:
    if _KEY_ID.fullmatch(key_id) is None:
        checks = RequestChecks()
        checks.refuse("key_id", "must be 1 to 64 ASCII letters and digits")
        checks.finish()


def _roles(numbers: Iterable[int]) -> frozenset[Role]:
    """Return the roles of a request.

    Raises:
        InvalidRequestError: One is not known.
    """
    checks = RequestChecks()
    for place, number in enumerate(numbers):
        checks.known(f"roles[{place}]", number, ROLES)
    checks.finish()
    return frozenset(ROLES[admin_pb2.Role.ValueType(number)] for number in numbers)
