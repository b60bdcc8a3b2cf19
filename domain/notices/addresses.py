"""Checks the URLs and IP addresses that webhooks may be sent to."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from domain.errors import InvalidValue

MAX_URL: Final = 2_048

IPV6: Final = IPv6Network("2000::/3")
"""The range of public IPv6 addresses; all addresses outside it are special."""

NAT64: Final = IPv6Network("64:ff9b::/96")
SPECIAL_IPV4: Final = tuple(IPv4Network(name) for name in ("192.0.0.0/24", "192.88.99.0/24"))
SPECIAL_IPV6: Final = tuple(IPv6Network(name) for name in ("2001::/23", "2001:db8::/32", "3fff::/20"))
"""Ranges that some versions of Python count as global, though the IANA registries say otherwise."""


def is_public(text: str) -> bool:
    """Whether the IP address, or the IPv4 address embedded in it, is on the public internet.

    Raises ValueError for a text that is not an IP address.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        is_special = any(address in network for network in SPECIAL_IPV4)
        return address.is_global and not (is_special or address.is_multicast or address.is_reserved)
    embedded = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.ipv4_mapped or address.sixtofour
    if embedded is not None:
        return is_public(str(embedded))
    return address in IPV6 and address.is_global and not any(address in network for network in SPECIAL_IPV6)


def checked_url(url: str, *, allows_http: bool) -> str:
    """The URL of an endpoint without outer spaces. Raises InvalidValue for one that no webhook may be sent to.

    It must be `https` (or `http`, with `allows_http`), have at most MAX_URL characters, all of them ASCII, and a host,
    and no space, login or fragment. It is not checked whether the host's addresses are public.
    """
    text = url.strip()
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidValue("url", f"expected at most {MAX_URL} ASCII characters without spaces")
    schemes = ("https", "http") if allows_http else ("https",)
    expected = InvalidValue("url", f"expected {' or '.join(schemes)}://host/path")
    try:
        split = urlsplit(text)
        host, port = split.hostname, split.port
    except ValueError:
        raise expected from None
    if split.scheme not in schemes or not host or port == 0:
        raise expected
    if split.username is not None or split.password is not None:
        raise InvalidValue(
            "url", "must contain no user and no password; receivers check the signature of each message instead"
        )
    if split.fragment:
        raise InvalidValue("url", "must contain no fragment")
    return text
