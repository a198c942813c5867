"""Who calls: an API key in the metadata, or the client certificate of the connection.

A call without a good key is refused before its message is read, and an address that sends bad keys is kept waiting.
The rule that must not break: only that a text is the key of a credential is remembered between calls, which never
changes; whether the credential is still live is read from the log's records for each call.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from ledger.auth.api_keys import credentials_refused
from ledger.engine.access import Caller
from ledger.errors import InvalidCredentialsError, PermissionMissingError
from ledger.rpc.open_calls import OpenCalls
from ledger.rpc.parts import Parts
from ledger.rpc.rules import RULES, Rule

AUTHORIZATION_KEY: Final = "authorization"
"""Metadata key of the credential."""

GOOD_FOR_US: Final = 1_000_000
"""How long a caller is taken for good whom the engine checks again anyway, microseconds."""

_SCHEME = "bearer"
_REMEMBERED_KEYS = 4096
# gRPC's names for the subject alternative names of a verified certificate, and how ours are written. Others, such as
# directory names, cannot be used.
_CERTIFICATE_NAMES = (("peer_uri", "URI"), ("peer_dns", "DNS"), ("peer_email", "EMAIL"), ("peer_ip", "IP"))


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """A verified client certificate; whose it is, the log of the call says.

    Attributes:
        names: Its subject alternative names, such as `URI:spiffe://acme/billing` or `DNS:billing.acme.example`.
    """

    names: tuple[str, ...]


Identity = Caller | CertificateIdentity
Q = TypeVar("Q")
R = TypeVar("R")

Context = grpc.aio.ServicerContext[bytes, bytes]


class Authenticator(grpc.aio.ServerInterceptor):
    """Finds out who calls. Lives on the event loop."""

    def __init__(self, parts: Parts, *, takes_certificates: bool) -> None:
        """Keep the parts.

        Args:
            parts: What the services share.
            takes_certificates: Whether connections have verified client certificates.
        """
        self._access = parts.access
        self._registry = parts.registry
        self._clock = parts.clock
        self._workers = parts.workers
        self._logins = parts.logins
        self._open_calls = OpenCalls(parts.limits, parts.metrics.call_refused)
        self._takes_certificates = takes_certificates
        # Callers by SHA-256 of the text of their key, least recently used first.
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        # Who was found good for which log by which rule, and when; written by any thread, each entry at once.
        self._found_good: dict[tuple[Identity, str, Rule], tuple[Caller, int]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Q, R] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Q, R] | None:
        """Refuse a method without a rule; keep calls that need no credential within their bounds."""
        handler = await continuation(handler_call_details)
        rule = RULES.get(handler_call_details.method.removeprefix("/"))
        if handler is None or rule is None:
            return None
        return self._open_calls.bounded(handler) if rule.is_open else handler

    async def identify(self, context: Context) -> Identity:
        """Return who makes a call, from its metadata or its connection; reads no message.

        Raises:
            InvalidCredentialsError: There is neither a good key nor a certificate with a name.
            TooManyLoginsError: Too many bad keys came from the caller's address, and this one is new.
        """
        values = [value for key, value in context.invocation_metadata() or () if key == AUTHORIZATION_KEY]
        if values or not self._takes_certificates:
            return await self._holder_of_key(values, context.peer())
        names = certificate_names(context.auth_context())
        if not names:
            raise credentials_refused()
        return CertificateIdentity(names)

    def authorise(self, identity: Identity, rule: Rule, request: Message) -> Caller:
        """Return the caller after checking that a request is allowed; blocks.

        Raises:
            LedgerError: It is not; see `Access.authorise`.
        """
        if isinstance(identity, CertificateIdentity):
            caller = self._holder(identity.names, rule.log_of(request, home=""))
        else:
            caller = identity
        log = rule.log_of(request, caller.home)
        try:
            self._access.authorise(caller, log, rule.permission_of(request))
        except PermissionMissingError:
            # A credential that has ended is told so, whatever it asks for.
            self._access.authorise(caller, caller.home, None)
            raise
        if rule.is_light:
            if len(self._found_good) >= _REMEMBERED_KEYS:
                self._found_good.clear()
            self._found_good[identity, log, rule] = (caller, self._clock.boottime_us())
        return caller

    def found_good(self, identity: Identity, rule: Rule, log: str) -> Caller | None:
        """Return the caller whom a light rule was good for within the last second; None to check again."""
        caller, at = self._found_good.get((identity, log, rule), (None, 0))
        return caller if caller is not None and self._clock.boottime_us() - at < GOOD_FOR_US else None

    def _holder(self, names: tuple[str, ...], log: str) -> Caller:
        """Return whose certificate this is in a log; where the call is about none, in the first that knows it."""
        for home in [log] if log else ["", *self._registry.names()]:
            try:
                return self._access.authenticate_certificate(names, home)
            except InvalidCredentialsError:
                continue
        raise credentials_refused()

    async def _holder_of_key(self, values: Sequence[str | bytes], peer: str) -> Caller:
        """Return whose API key these are. More than one is none."""
        value = values[0] if len(values) == 1 else ""
        scheme, _, text = (value if isinstance(value, str) else "").partition(" ")
        if scheme.lower() != _SCHEME:
            raise credentials_refused()
        digest = hashlib.sha256(text.encode()).digest()
        caller = self._callers.get(digest)
        if caller is None:
            caller = await self._look_up(text, peer)
            self._callers[digest] = caller
            if len(self._callers) > _REMEMBERED_KEYS:
                self._callers.popitem(last=False)
        self._callers.move_to_end(digest)
        return caller

    async def _look_up(self, text: str, peer: str) -> Caller:
        """Return whose API key this is, after what is remembered did not tell."""
        # Counted as bad until it has turned out good, so that many at the same time are no way round the limit.
        self._logins.begin(peer)
        caller = await self._workers.run(lambda: self._access.authenticate_key(text))
        self._logins.succeeded(peer)
        return caller


def certificate_names(peer: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """Return the subject alternative names of a connection's verified certificate, each with its kind."""
    return tuple(
        f"{kind}:{value.decode('utf-8', 'replace')}"
        for key, kind in _CERTIFICATE_NAMES
        for value in (peer.get(key) or ())
    )
