"""Public addresses: which of a host's addresses a tool may connect to."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from stretto.shared.tools.errors import ToolForbidden, ToolUnavailable

__all__ = ["Address", "Resolve", "is_public", "public_address", "resolve"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host's name and a port to its addresses as text."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_V4_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_SPECIAL: Final = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "2001::/23", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
"""Of IANA's special-purpose registries, what `ipaddress` takes for global in some versions of Python."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the system's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet: none that is private, loopback, link-local, multicast, shared, documentation or
    reserved, and none of IPv6 that stands for such a one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return all(is_public(one) for one in inner)
        if address.scope_id is not None:
            return False
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def public_address(host: str, port: int, *, look_up: Resolve = resolve, loopback: bool = False) -> str:
    """One address of the host, to connect to instead of the name: so nobody can answer with another one when it is connected.

    Args:
        loopback: this machine's own addresses are allowed too.

    Raises:
        ToolForbidden: one of its addresses is not public. A host with both kinds is none that can be trusted.
        ToolUnavailable: it has none.
    """
    try:
        found = await look_up(host, port)
    except (OSError, UnicodeError) as error:
        raise ToolUnavailable("the host is not found") from error
    addresses = [ipaddress.ip_address(one) for one in found]
    if not addresses:
        raise ToolUnavailable("the host is not found")
    if not all(is_public(one) or (loopback and one.is_loopback) for one in addresses):
        raise ToolForbidden("the host has an address that is not public: from such, nothing is fetched")
    return str(addresses[0])


def _embedded(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...] | None:
    """The addresses of IPv4 that it stands for: mapped, compatible, NAT64, 6to4, or the server and client of Teredo."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64 or (address in _V4_COMPATIBLE and int(address) > 1):
        return (ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF),)
    return None
