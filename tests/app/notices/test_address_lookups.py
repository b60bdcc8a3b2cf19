"""A name is looked up once for each request, every address is checked, and the connection goes to the checked one."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.notices import address_lookups, webhooks
from app.notices.address_lookups import NotSent, address_of
from db.repository.access.audit import Edit
from runtime import clock
from runtime.settings import settings
from tests.receivers.server import Receiver
from tests.world import World

PUBLIC, OTHER = "93.184.216.34", "2606:4700::1111"


def resolves(patch: pytest.MonkeyPatch, answers: Iterator[list[str]]) -> list[str]:
    """Lets the system's resolver give these answers, one a lookup; returns the list of names looked up."""
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    patch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_name_that_is_bound_again_to_a_private_address_is_not_reached(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lookup gives a public address and any later one a private one: the first is checked and used."""
    port = int(receiver.url.rpartition(":")[2])
    made, _ = webhooks.add(f"http://rebind.example:{port}/", [], "", None, Edit("test", clock.now()))
    monkeypatch.setenv("SPENDGATE_WEBHOOK_ALLOW_PRIVATE", "false")
    settings.cache_clear()
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address)
        raise OSError("unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", connect)
        asked = resolves(patch, iter([[PUBLIC], ["127.0.0.1"]]))
        first = webhooks.send_test(made)
        second = webhooks.send_test(made)
    assert asked == ["rebind.example"] * 2
    assert connected == [(PUBLIC, port)]
    assert (first.status, second.status) == (None, None)
    assert second.error == "the host has an address of a private or reserved network"
    assert receiver.received() == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], [OTHER, "::ffff:169.254.169.254"]])
def test_name_with_any_private_address_is_refused(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, iter([addresses, addresses]))
    with pytest.raises(NotSent, match="private"):
        address_of("host.example", 443, allows_private=False)
    assert address_of("host.example", 443, allows_private=True) == addresses[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "::1", "10.1.2.3"])
def test_private_address_in_the_url_is_refused(host: str) -> None:
    with pytest.raises(NotSent, match="private"):
        address_of(host, 443, allows_private=False)


def test_lookup_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = threading.Event()
    monkeypatch.setattr(address_lookups, "LOOKUP_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ends.wait(60) and [])
    with pytest.raises(NotSent, match="took longer"):
        address_of("slow.example", 443, allows_private=False)
    ends.set()


def test_lookup_without_a_thread_keeps_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", refuse)
        for _ in range(2 * address_lookups.MAX_LOOKUPS):
            with pytest.raises(NotSent, match="no thread"):
                address_of("host.example", 443, allows_private=True)
    resolves(monkeypatch, iter([["192.0.2.1"]]))
    assert address_of("host.example", 443, allows_private=True) == "192.0.2.1"
