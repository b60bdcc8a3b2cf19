"""The client's address and scheme, as a proxy in SPENDGATE_TRUSTED_PROXIES reports them."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from web.client_addresses import parsed

ANY: Final = "*"
SCHEMES: Final = frozenset({"http", "https"})


class TrustedProxies:
    """The proxies whose forwarding headers are trusted: addresses and networks, or all (`*`).

    `listed`: the entries, separated by commas. Raises ValueError for an entry that is none of them.
    """

    def __init__(self, listed: str) -> None:
        names = [name.strip() for name in listed.split(",") if name.strip()]
        self.trusts_any = ANY in names
        self._networks = [ip_network(name, strict=False) for name in names if name != ANY]

    def trusts(self, host: str) -> bool:
        """Whether the host is one of the proxies; True for every host if all proxies are trusted (`*`)."""
        address = parsed(host)
        return self.trusts_any or (address is not None and any(address in network for network in self._networks))

    def client_host(self, peer: str, forwarded_for: str) -> str:
        """The client's address, as the outermost trusted proxy saw it.

        `peer`: the address connected to this process. `forwarded_for`: the addresses of X-Forwarded-For; each proxy
        appends the address that connected to it. Read from the end, the first one that is no trusted proxy is the
        client's, because the client may have forged the addresses before it. If all are trusted proxies, returns the
        first address. Stops before an entry that is no address. If `*` is trusted, the last entry is the client's.
        """
        host = peer
        for entry in reversed(forwarded_for.split(",")):
            address = parsed(_without_port(entry.strip()))
            if address is None:
                return host
            host = str(address)
            if self.trusts_any or not self.trusts(host):
                return host
        return host


class ProxyHeaders:
    """Puts the client's address and scheme into the scope of a request that a trusted proxy passes on.

    Reads `X-Forwarded-For` and `X-Forwarded-Proto`; `Forwarded` (RFC 7239) is not read.
    """

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self.app = app
        self.proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = (scope.get("client") or ("",))[0]
        if scope["type"] == "http" and self.proxies.trusts(peer):
            proto = list(_values(scope, b"x-forwarded-proto"))[-1:]
            if proto and proto[0].lower() in SCHEMES:
                scope["scheme"] = proto[0].lower()
            forwarded_for = ",".join(_values(scope, b"x-forwarded-for"))
            if forwarded_for:
                scope["client"] = (self.proxies.client_host(peer, forwarded_for), 0)
        await self.app(scope, receive, send)


def _values(scope: Scope, name: bytes) -> Iterator[str]:
    """The header's comma-separated values in the order sent, joined if the header was sent several times."""
    for sent, value in scope["headers"]:
        if sent == name:
            yield from (part.strip() for part in value.decode("latin-1").split(","))


def _without_port(entry: str) -> str:
    """The host of `203.0.113.7:1234`, `[2001:db8::1]:1234` or `[2001:db8::1]`; other text unchanged."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
