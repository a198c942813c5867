"""IP addresses and networks as numbers, so that one address in two spellings is one.

The rule that must not break: an IPv4 address that travels inside IPv6 (`::ffff:10.0.0.1`) is that IPv4 address, or a
network of IPv4 would miss it; the zone of an IPv6 address is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

from ledger.events.checks import IPV4_PATTERN

Address: TypeAlias = tuple[int, int]
"""An address: 4 or 6, and its number."""

LONGEST: Final = 128
"""Longer texts are no addresses; 45 characters and a zone are the most that is seen."""

_MAPPED: Final = 0xFFFF
_BITS: Final = {4: 32, 6: 128}


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses that begin with the same bits.

    Attributes:
        version: 4 or 6.
        beginning: What the numbers of its addresses are after `shift` bits are taken off their end.
        shift: Bits that may differ.
    """

    version: int
    beginning: int
    shift: int

    def contains(self, address: Address) -> bool:
        """Return whether an address is one of them."""
        return address[0] == self.version and address[1] >> self.shift == self.beginning


def parse_address(text: str) -> Address | None:
    """Return the address that a text is; None if it is none."""
    if len(text) > LONGEST:
        return None
    if IPV4_PATTERN.fullmatch(text):
        return 4, int(IPv4Address(text))
    try:
        number = int(IPv6Address(text))
    except AddressValueError:
        return None
    return (4, number & 0xFFFF_FFFF) if number >> 32 == _MAPPED else (6, number)


def format_address(address: Address) -> str:
    """Return the one spelling of an address: RFC 5952 for IPv6, the dotted quad for IPv4."""
    version, number = address
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def parse_network(text: str) -> Network | None:
    """Return the network that a text such as `10.0.0.0/8` is; None if it is none.

    A network has its length after a slash, no bits set behind it, and is not inside the IPv4 part of IPv6.
    """
    address, slash, length = text.partition("/")
    parsed = parse_address(address) if "%" not in address else None
    # Two characters' worth of an address in IPv6 would be a network of IPv4 under another length.
    if parsed is None or not slash or (parsed[0] == 4) is (":" in address):
        return None
    version, number = parsed
    if not (length.isascii() and length.isdigit()) or length != str(int(length[:4])) or int(length) > _BITS[version]:
        return None
    shift = _BITS[version] - int(length)
    network = Network(version, number >> shift, shift)
    return network if network.beginning << shift == number else None


def format_network(network: Network) -> str:
    """Return the one spelling of a network."""
    number, length = network.beginning << network.shift, _BITS[network.version] - network.shift
    return str(IPv4Network((number, length)) if network.version == 4 else IPv6Network((number, length)))
