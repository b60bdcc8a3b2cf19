"""Listening sockets for IPv4 and IPv6, and the URL of a listening process."""

import errno
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from runtime.settings import SettingsError

BACKLOG: Final = 2048
LOOPBACK_OF_WILDCARD: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared only
NOT_LOCAL_ERRORS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.ENODEV})
FORBIDDEN_ERRORS: Final = frozenset({errno.EACCES, errno.EPERM})


_reservations: list[socket.socket] = []


class PortInUse(SettingsError):
    """Another process listens on the port already, or has reserved it."""


def listening_sockets(
    host: str, port: int, variable: str = "SPENDGATE_HOST", port_variable: str = "PORT"
) -> list[socket.socket]:
    """Opens one listening socket for each address of `host`, all on the same port; port 0 means any free port.

    `variable`, `port_variable`: the settings of both, for errors. Raises PortInUse if another process listens on the
    port, and SettingsError if the host is not local or the user may not use the port.
    """
    sockets: list[socket.socket] = []
    not_local = SettingsError(
        f"{variable}: {host} is not an address of this machine; set one, such as 127.0.0.1 or ::1"
    )
    try:
        for family, address in _addresses(host, port):
            with suppress(_NotLocal):
                sockets.append(_listening_socket(family, address, sockets[0].getsockname()[1] if sockets else port))
    except SettingsError:
        close(sockets)
        raise
    except (OSError, UnicodeError) as error:
        close(sockets)
        if isinstance(error, OSError) and error.errno in FORBIDDEN_ERRORS:
            raise SettingsError(f"{port_variable}: this user may not listen on {port}; set a port above 1023") from None
        raise not_local from None
    if not sockets:
        raise not_local
    return sockets


def close(sockets: list[socket.socket]) -> None:
    """Closes every socket."""
    for listener in sockets:
        listener.close()


def reserve(port: int) -> None:
    """Reserves a port for a process that this one will start. Raises PortInUse if another service has reserved it.

    The UDP port of the same number marks the reservation. It stays bound until this process ends.
    """
    mark = socket.socket(type=socket.SOCK_DGRAM)
    try:
        mark.bind(("127.0.0.1", port))
    except OSError:
        mark.close()
        raise PortInUse(f"PORT: {port} is in use; set another port") from None
    _reservations.append(mark)


def page_url(host: str, port: int) -> str:
    """Returns the URL at which a browser on this machine reaches a process that listens on `host` and `port`."""
    name = LOOPBACK_OF_WILDCARD.get(host, host)
    bracketed = f"[{name.replace('%', '%25')}]" if ":" in name else name
    return f"http://{bracketed}:{port}/"


def is_loopback(host: str) -> bool:
    """Returns whether `host` is a loopback address or localhost, which other machines cannot reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _NotLocal(Exception):
    """An address of the host does not belong to this machine; the host's other addresses may."""


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in resolved))


def _listening_socket(family: socket.AddressFamily, address: Any, port: int) -> socket.socket:
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        raise _NotLocal from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address[0], port, *address[2:]))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"PORT: {port} is in use; set another port") from None
        if error.errno in NOT_LOCAL_ERRORS:
            raise _NotLocal from None
        raise
    return listener
