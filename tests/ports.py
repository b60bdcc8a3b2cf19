"""Ports for the servers that tests start, which nothing else takes meanwhile."""

import random
import socket
from contextlib import suppress
from pathlib import Path

FIRST = 15_000
GIVEN_BY_LINUX = Path("/proc/sys/net/ipv4/ip_local_port_range")

_chance = random.SystemRandom()  # tests seed the other
_kept: list[socket.socket] = []


def free_port() -> int:
    """A port on which nothing listens, and which no other process of these tests is given while this one lives.

    It lies below the range from which a system gives ports to connections: for a minute after such a connection has
    ended, no server can listen there. The UDP port of the same number, which the tests do not use otherwise, stays
    bound to mark the port as taken.
    """
    while True:
        port = _chance.randrange(FIRST, _beyond())
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
        else:
            _kept.append(mark)
            return port


def listens(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _beyond() -> int:
    with suppress(OSError):
        return int(GIVEN_BY_LINUX.read_text().split()[0])
    return 32_768
