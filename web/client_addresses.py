"""The keys by which limits count client addresses: each IPv4 address, and each IPv6 /64."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from starlette.types import Scope

IPV6_PREFIX_LENGTH: Final = 64
"""Leading bits of an IPv6 address that identify a client. A provider gives each subscriber a whole /64."""


def parsed(host: str) -> IPv4Address | IPv6Address | None:
    """Parses an IP address; an IPv4-mapped IPv6 address becomes IPv4. Returns None if the text is not an address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@lru_cache(maxsize=4_096)
def counted_as(host: str) -> str:
    """The key under which a host's requests are counted: its IPv4 address, or the /64 of its IPv6 address.

    Other text, such as the name of a Unix socket, is its own key.
    """
    address = parsed(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX_LENGTH), strict=False))
    return host if address is None else str(address)


def client_of(scope: Scope) -> str:
    """The key under which the request's client is counted; empty if the address is unknown."""
    client = scope.get("client")
    return counted_as(client[0]) if client else ""
