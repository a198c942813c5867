"""What a client needs to know: where the server is, who it is itself, and which key it trusts.

The rule that must not break: an API key never travels in the clear to another machine, and never shows in a `repr`.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypedDict

from ledger.errors import FieldViolation, InvalidRequestError

DEFAULT_LOG: Final = "default"
"""Log that is used where none is named."""

DEFAULT_ADDRESS: Final = "127.0.0.1:7650"
"""Where a server listens that was not told; for commands that were not told either."""

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
"""Time that one call may take with all its retries."""

MAX_TIMEOUT_SECONDS: Final = 86_400.0
"""Longest such time, a day; far below what the clocks of the layers beneath can hold."""

_TLS_SCHEME: Final = "https://"
_PLAIN_SCHEME: Final = "http://"


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one client.

    Attributes:
        address: `HOST:PORT`, or `https://HOST:PORT` for TLS with the system's certificate authorities.
        log: Name of the log.
        api_key: Secret of an API key; None for a client certificate alone.
        verifier_key: Verifier key of the log, `name+hash+base64`; None only where the key is not pinned.
        tls_ca: File of the certificate authorities to trust, PEM; switches TLS on.
        tls_cert: File of the client certificate, PEM; switches TLS on.
        tls_key: File of the client certificate's private key, PEM.
        timeout_seconds: Time that one call may take with all its retries; above 0, at most a day.
        state: Directory of the last trusted checkpoints; None for the user's own.
        service: Name of the program that reports, for the source of events that are made here.
        instance: Name of the program's instance, for the same.
    """

    address: str
    log: str = DEFAULT_LOG
    api_key: str | None = field(default=None, repr=False)
    verifier_key: str | None = None
    tls_ca: str | Path | None = None
    tls_cert: str | Path | None = None
    tls_key: str | Path | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    state: str | Path | None = None
    service: str = ""
    instance: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot work or would give the API key away.

        Raises:
            InvalidRequestError: A setting breaks a rule; says which one and what to do.
        """
        host = self._host_or_raise()
        if not self.log:
            raise _invalid("log", "is empty", "name a log, such as default")
        check_timeout(self.timeout_seconds)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise _invalid("tls_cert", "a client certificate and its private key go together", "give both files")
        if self.tls and self.address.startswith(_PLAIN_SCHEME):
            raise _invalid("address", "says http:// while TLS files are given", "write https://, or no scheme")
        if self.api_key is not None:
            if not self.api_key.isascii() or not self.api_key.isprintable() or " " in self.api_key:
                raise _invalid("api_key", "has a space, a control character or a character beyond ASCII", "")
            if not self.tls and not _is_loopback(host):
                raise _invalid(
                    "address",
                    f"{host} is another machine, and without TLS the API key would travel in the clear",
                    "write https://HOST:PORT, or name the certificate authority with tls_ca (--tls-ca FILE)",
                )

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.address.startswith(_TLS_SCHEME) or self.tls_ca is not None or self.tls_cert is not None

    @property
    def target(self) -> str:
        """Host and port without scheme."""
        return self.address.removeprefix(_TLS_SCHEME).removeprefix(_PLAIN_SCHEME).removesuffix("/")

    @property
    def state_directory(self) -> Path:
        """Directory of the last trusted checkpoints."""
        return Path(self.state) if self.state is not None else default_state_directory(os.environ)

    def _host_or_raise(self) -> str:
        host, colon, port = self.target.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise _invalid("address", f"{self.address!r} is not HOST:PORT", "write it like 127.0.0.1:7650")
        if "/" in host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
            raise _invalid("address", f"{self.address!r} is not HOST:PORT", "write an IPv6 address in brackets")
        return host.removeprefix("[").removesuffix("]")


class MoreOptions(TypedDict, total=False):
    """The settings of `Options` beyond address, log, API key and verifier key."""

    tls_ca: str | Path | None
    tls_cert: str | Path | None
    tls_key: str | Path | None
    timeout_seconds: float
    state: str | Path | None
    service: str
    instance: str


def options_from_env(environment: Mapping[str, str] | None = None, **more: str | float | Path | None) -> Options:
    """Return the options that the environment names.

    Args:
        environment: `LOGPROOF_ADDRESS`, `LOGPROOF_API_KEY`, `LOGPROOF_LOG`, `LOGPROOF_VERIFIER_KEY`,
            `LOGPROOF_STATE`, `LOGPROOF_TLS_CA`, `LOGPROOF_TLS_CERT`, `LOGPROOF_TLS_KEY`, `LOGPROOF_SERVICE`,
            `LOGPROOF_INSTANCE`; an empty one counts as absent. None for this process's.
        more: Options that go before the environment.

    Raises:
        InvalidRequestError: There is no address, or an option breaks a rule.
    """
    environment = os.environ if environment is None else environment
    found: dict[str, object] = {}
    for name in ("address", "api_key", "log", "verifier_key", "service", "instance"):
        found[name] = environment.get(f"LOGPROOF_{name.upper()}") or None
    for name in ("state", "tls_ca", "tls_cert", "tls_key"):
        text = environment.get(f"LOGPROOF_{name.upper()}")
        found[name] = Path(text) if text else None
    found.update({name: value for name, value in more.items() if value is not None})
    if found["address"] is None:
        raise _invalid("address", "is not set", "set LOGPROOF_ADDRESS to HOST:PORT of the server, or give --address")
    return Options(**{name: value for name, value in found.items() if value is not None})  # type: ignore[arg-type]


def check_timeout(seconds: float) -> None:
    """Refuse a time that no call can be given.

    Raises:
        InvalidRequestError: It is not above 0, or longer than a day.
    """
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:  # nor is what is no number
        raise _invalid(
            "timeout_seconds", f"is {seconds:g}; it must be above 0 and at most {MAX_TIMEOUT_SECONDS:.0f}, a day", ""
        )


def default_state_directory(environment: Mapping[str, str]) -> Path:
    """Return the directory of trusted checkpoints: `LOGPROOF_STATE`, or `logproof` in the user's state directory.

    Source: XDG Base Directory Specification, `XDG_STATE_HOME`.
    """
    chosen = environment.get("LOGPROOF_STATE")
    if chosen:
        return Path(chosen)
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "logproof"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _invalid(name: str, description: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation(name, description)], hint=hint)
