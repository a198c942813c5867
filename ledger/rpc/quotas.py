"""How much one credential may append, and how many bad credentials one address may present.

The rule that must not break: a quota is asked before anything is queued, so what it refuses was not appended; and the
limit of logins is asked before a credential is looked at, so what it refuses tells nothing of the credential.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Hashable
from urllib.parse import unquote

from ledger.clock import Clock
from ledger.errors import QuotaExceededError, TooManyLoginsError
from ledger.rpc.buckets import Buckets
from ledger.rpc.limits import LoginLimits, RateLimits

_LONGEST_PAUSE_SECONDS = 1.0
_V6_NETWORK_BITS = 64


class Quotas:
    """What each credential may still append. Thread-safe."""

    def __init__(self, clock: Clock, limits: RateLimits) -> None:
        """Begin with every quota unused."""
        self._limits = limits
        self._rates = {
            name: rate
            for name, rate in (("events", limits.events_per_second), ("bytes", limits.bytes_per_second))
            if rate > 0
        }
        self._buckets: dict[str, Buckets[Hashable]] = {name: Buckets(clock) for name in self._rates}

    def take(self, credential: Hashable, name: str, *, events: int, size: int) -> None:
        """Count an append against the quotas of its credential.

        Args:
            credential: Whose.
            name: What to call it in the refusal.
            events: How many events it brings.
            size: Bytes of the request.

        Raises:
            QuotaExceededError: One of them is used up; nothing is counted.
        """
        waits = {of: self._wait(of, credential) for of in self._rates}
        longest = max(waits, key=lambda of: waits[of], default="")
        if longest and waits[longest] > 0:
            raise QuotaExceededError(
                f"the credential has used up its quota of {self._rates[longest]:g} {longest} a second, "
                f"of which {self._limits.burst_seconds:g} s may come at once; nothing was appended",
                hint="send less at a time, or ask the operator for a higher quota (`logproof serve --help`)",
                metadata={"credential": name, "quota": longest, "perSecond": f"{self._rates[longest]:g}"},
                retry_seconds=waits[longest],
            )
        for of, amount in (("events", events), ("bytes", size)):
            if of in self._rates:
                rate = self._rates[of]
                self._buckets[of].take(credential, amount, per_second=rate, burst=rate * self._limits.burst_seconds)

    async def pace(self, credential: Hashable, *, events: int, size: int) -> None:
        """Count a message of a stream, once there is room for it: a stream is slowed down, not refused."""
        while True:
            try:
                return self.take(credential, "", events=events, size=size)
            except QuotaExceededError as refused:
                await asyncio.sleep(min(refused.retry_seconds or 0, _LONGEST_PAUSE_SECONDS))

    def _wait(self, of: str, credential: Hashable) -> float:
        rate = self._rates[of]
        return self._buckets[of].wait_seconds(credential, per_second=rate, burst=rate * self._limits.burst_seconds)


class FailedLogins:
    """How many bad credentials came from each address of late. Lives on the event loop."""

    def __init__(self, clock: Clock, limits: LoginLimits) -> None:
        """Begin with none."""
        self._limits = limits
        self._buckets: Buckets[str] = Buckets(clock)

    def begin(self, peer: str) -> None:
        """Count a credential that is about to be looked at, as a bad one.

        Args:
            peer: The connection's other end, as gRPC names it.

        Raises:
            TooManyLoginsError: Too many bad ones came from its address.
        """
        address, rate, burst = self._of(peer)
        wait = self._buckets.take(address, 1, per_second=rate, burst=burst)
        if wait:
            raise TooManyLoginsError(
                "too many bad credentials came from this address; new ones are not looked at for a while",
                hint="correct the API key; a client that repeats a bad one keeps all others of its address waiting",
                retry_seconds=wait,
            )

    def succeeded(self, peer: str) -> None:
        """Take back the count of a credential that turned out good."""
        address, rate, burst = self._of(peer)
        self._buckets.give_back(address, 1, per_second=rate, burst=burst)

    def _of(self, peer: str) -> tuple[str, float, float]:
        address, is_loopback = address_of(peer)
        factor = self._limits.loopback_factor if is_loopback else 1
        return address, self._limits.per_second * factor, self._limits.burst * factor


def address_of(peer: str) -> tuple[str, bool]:
    """Return the address that a peer's failures count for, and whether it is this machine.

    Of IPv6 it is the network, because one host has all the addresses of it.

    Args:
        peer: The connection's other end, as gRPC names it: `ipv4:192.0.2.1:5000` or `ipv6:%5B2001:db8::1%5D:5000`.
    """
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A Unix socket, or what a later version of gRPC names in another way: all of a kind share a bucket.
        return kind, kind == "unix"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            network = ipaddress.ip_network((address, _V6_NETWORK_BITS), strict=False)
            return str(network), address.is_loopback
        address = mapped
    return str(address), address.is_loopback
