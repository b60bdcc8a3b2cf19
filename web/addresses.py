"""Client addresses as limits count them."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from starlette.types import Scope

IPV6_PREFIX_LENGTH: Final = 64
"""One subscriber is given a whole IPv6 /64, and may use any address of it."""


def parsed(host: str) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 address where it was mapped into IPv6; None where the text is no address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@lru_cache(maxsize=4_096)
def counted_as(host: str) -> str:
    """The name under which a host's requests are counted: an IPv4 address, or the /64 of an IPv6 address.

    Text that is no address, such as the name of a Unix socket, is counted as it is.
    """
    address = parsed(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX_LENGTH), strict=False))
    return host if address is None else str(address)


def client_of(scope: Scope) -> str:
    """The name under which the request's client is counted."""
    client = scope.get("client")
    return counted_as(client[0]) if client else ""
