"""How a server is set up, checked before anything is touched.

The rule that must not break: without TLS a server listens on the loopback interface alone, because credentials travel
in each call.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger.engine.directory import check_origin_prefix
from ledger.engine.log import Limits
from ledger.errors import FieldViolation, InvalidRequestError
from ledger.rpc.limits import CallLimits
from ledger.storage.lmdb import DEFAULT_MAP_SIZE

DEFAULT_LISTEN: Final = "127.0.0.1:7650"
"""Where a server listens that was not told."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        host: Name or address; an IPv6 address without brackets.
        port: 0 to 65535; 0 for any free one.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files of the server's TLS identity, PEM.

    Attributes:
        certificate: The certificate chain, the server's own first.
        key: Its private key.
        client_ca: Authorities of client certificates, which every client must then have; None for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of gRPC's connections.

    Attributes:
        connections: Connections at a time; more are closed at once.
        streams: Calls at a time on one connection; a client waits with more by itself.
        handshake_seconds: How long a new connection may take to speak TLS and HTTP/2.
        idle_seconds: How long a connection may have no call.
        age_seconds: How long a connection lasts; clients connect again by themselves.
        grace_seconds: How long its calls may then go on.
        keepalive_seconds: How often the other end must show that it is there.
        keepalive_timeout_seconds: How long it may take for that.
    """

    connections: int = 2000
    streams: int = 100
    handshake_seconds: float = 5
    idle_seconds: float = 300
    age_seconds: float = 1800
    grace_seconds: float = 30
    keepalive_seconds: float = 60
    keepalive_timeout_seconds: float = 20


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of one server.

    Attributes:
        data: The data directory.
        listen: Where gRPC listens.
        http: Where HTTP listens; None for nowhere.
        guard: Directory of the high-water guards; None for one inside the data directory.
        relaxed_guard: Whether the guards are written once a second instead of before each answer.
        origin_prefix: What the origins of a new server's logs begin with; None to choose one, or for an old server.
        tls: TLS files; None for none.
        limits: Bounds of each log's queue.
        map_size: Upper limit of each log's store, bytes.
        owner_wait_seconds: How long to wait for another process to leave the data directory.
        linger_seconds: How long a server that stops still answers new calls, with when to come back.
        drain_seconds: How long calls may then still go on.
        calls: Bounds of calls.
        connections: Bounds of connections.
        reflection: Whether the schema is told to who asks for it.
        scrub_after_seconds: When the scrubber begins, after the start.
    """

    data: Path
    listen: Address
    http: Address | None = None
    guard: Path | None = None
    relaxed_guard: bool = False
    origin_prefix: str | None = None
    tls: TlsFiles | None = None
    limits: Limits = field(default_factory=Limits)
    map_size: int = DEFAULT_MAP_SIZE
    owner_wait_seconds: float = 10.0
    linger_seconds: float = 0.25
    drain_seconds: float = 10.0
    calls: CallLimits = field(default_factory=CallLimits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    reflection: bool = False
    scrub_after_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot work or would give credentials away.

        Raises:
            InvalidRequestError: A setting breaks a rule; says which one and what to do.
        """
        for name, address in (("listen", self.listen), ("http", self.http)):
            if address is not None and not address.is_loopback and self.tls is None:
                raise invalid_setting(
                    name,
                    f"{address} can be reached from other machines, and without TLS credentials would travel in the clear",
                    "listen on 127.0.0.1, or give --tls-cert and --tls-key",
                )
        if self.origin_prefix is not None:
            check_origin_prefix(self.origin_prefix)


def parse_address(text: str, setting: str) -> Address:
    """Return the address in `HOST:PORT`.

    Args:
        text: The text; an IPv6 address in brackets.
        setting: Name of the setting, for the message.

    Raises:
        InvalidRequestError: It does not have the form.
    """
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if (
        not colon
        or not host
        or (":" in host and not is_bracketed)
        or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16)
    ):
        raise invalid_setting(setting, f"{text!r} is not HOST:PORT", "write it like 127.0.0.1:7650 or [::1]:7650")
    return Address(host[1:-1] if is_bracketed else host, int(port))


def invalid_setting(name: str, description: str, hint: str) -> InvalidRequestError:
    """Return the error for a setting that cannot be used."""
    return InvalidRequestError([FieldViolation(name, description)], hint=hint)
