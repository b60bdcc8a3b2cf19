"""Where a process listens, IPv4 and IPv6 alike, and where others find it."""

import errno
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from runtime.settings import SettingsError

BACKLOG: Final = 2048
ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not listened on
NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.ENODEV})
FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})


class PortInUse(SettingsError):
    """Another process listens on the port."""


def listening(host: str, port: int, variable: str = "SPENDGATE_HOST") -> list[socket.socket]:
    """Sockets that listen on each address of `host`, all on one port; port 0 is any free one.

    Raises SettingsError, which names PORT or the variable of the host; PortInUse where another process listens there.
    """
    sockets: list[socket.socket] = []
    not_here = SettingsError(f"{variable}: {host} is no address of this machine; set one, such as 127.0.0.1 or ::1")
    try:
        for family, address in _addresses(host, port):
            with suppress(_NotHere):
                sockets.append(_listening(family, address, sockets[0].getsockname()[1] if sockets else port))
    except SettingsError:
        close(sockets)
        raise
    except (OSError, UnicodeError) as error:
        close(sockets)
        if isinstance(error, OSError) and error.errno in FORBIDDEN:
            raise SettingsError(f"PORT: this user may not listen on {port}; set one above 1023") from None
        raise not_here from None
    if not sockets:
        raise not_here
    return sockets


def close(sockets: list[socket.socket]) -> None:
    """Listens no longer."""
    for one in sockets:
        one.close()


def page(host: str, port: int) -> str:
    """The URL under which a browser on this machine finds what listens on `host`."""
    name = ANYWHERE.get(host, host)
    bracketed = f"[{name.replace('%', '%25')}]" if ":" in name else name
    return f"http://{bracketed}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _NotHere(Exception):
    """The address is not one of this machine: one of several of a name may be missing."""


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listening(family: socket.AddressFamily, address: Any, port: int) -> socket.socket:
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        raise _NotHere from None
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address[0], port, *address[2:]))
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"PORT: {port} is in use; set another") from None
        if error.errno in NOT_HERE:
            raise _NotHere from None
        raise
    return one
