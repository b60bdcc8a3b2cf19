"""Looks up the address of a webhook's host once, within a deadline, and refuses addresses of private networks."""

import socket
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Final

from domain.notices.addresses import is_public

LOOKUP_SECONDS: Final = 5.0
MAX_LOOKUPS: Final = 64
"""Lookups of this process in progress, at most; one whose deadline has passed goes on until the resolver gives up."""

_in_progress = BoundedSemaphore(MAX_LOOKUPS)


class NotSent(Exception):
    """A request is not sent. The message is for people and names neither the URL nor an address."""


def address_of(host: str, port: int, *, allows_private: bool) -> str:
    """Looks up the IP address to connect to; an address as `host` is returned unchanged.

    Raises NotSent if the name has no address, the lookup takes over LOOKUP_SECONDS or too many are in progress and,
    unless `allows_private`, if any address is private or reserved.
    """
    addresses = [host] if _is_address(host) else _looked_up(host, port)
    if not addresses:
        raise NotSent("the host name has no address")
    if not allows_private and not all(map(is_public, addresses)):
        raise NotSent("the host has an address of a private or reserved network")
    return addresses[0]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _looked_up(host: str, port: int) -> list[str]:
    """Looks up the addresses of the name and returns them in the resolver's order.

    Raises NotSent if the name has none, if there is no answer within LOOKUP_SECONDS, if MAX_LOOKUPS are in progress, or
    if no thread can be started.
    """
    if not _in_progress.acquire(blocking=False):
        raise NotSent("too many name lookups are in progress")
    answers: SimpleQueue[list[str] | None] = SimpleQueue()
    try:
        Thread(target=_look_up, args=(host, port, answers), name="name-lookup", daemon=True).start()
    except RuntimeError:
        _in_progress.release()
        raise NotSent("no thread could be started for the name lookup") from None
    try:
        found = answers.get(timeout=LOOKUP_SECONDS)
    except Empty:
        raise NotSent(f"the name lookup took longer than {LOOKUP_SECONDS:g} s") from None
    if found is None:
        raise NotSent("the host name was not found")
    return found


def _look_up(host: str, port: int, answers: SimpleQueue[list[str] | None]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))
    except (OSError, UnicodeError):
        answers.put(None)
    finally:
        _in_progress.release()
