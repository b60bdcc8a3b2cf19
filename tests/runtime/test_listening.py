"""Listening sockets work on IPv4 and IPv6, and each failure is reported in one line."""

import socket
import subprocess
import sys

import pytest

from runtime import listening
from runtime.listening import PortInUse
from runtime.settings import SettingsError
from tests.ports import free_port


def has_ipv6() -> bool:
    try:
        listening.close(listening.listening_sockets("::1", 0))
    except SettingsError:
        return False
    return True


on_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
ALL = "0.0.0.0"  # noqa: S104 - a host to test
HOSTS = ["127.0.0.1", ALL, "localhost", pytest.param("::1", marks=on_ipv6), pytest.param("::", marks=on_ipv6)]


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_listening_sockets_use_one_port_for_every_address_of_a_host(host: str) -> None:
    sockets = listening.listening_sockets(host, 0)
    try:
        (port,) = {one.getsockname()[1] for one in sockets}
        with socket.create_connection((listening.LOOPBACK_OF_WILDCARD.get(host, host), port), timeout=10):
            pass
    finally:
        listening.close(sockets)


def test_listening_sockets_refuses_a_port_in_use(host: str) -> None:
    sockets = listening.listening_sockets(host, 0)
    port = sockets[0].getsockname()[1]
    try:
        with pytest.raises(PortInUse, match=f"^PORT: {port} is in use; set another port$"):
            listening.listening_sockets(host, port)
    finally:
        listening.close(sockets)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid", "a..b", "x" * 70 + ".example"])
def test_listening_sockets_refuses_a_host_of_another_machine_and_names_the_variable(host: str) -> None:
    for variable in ("SPENDGATE_HOST", "--host"):
        with pytest.raises(SettingsError, match=f"^{variable}: .* is not an address of this machine"):
            listening.listening_sockets(host, free_port(), variable)


def test_listening_sockets_refuses_a_port_that_the_user_may_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(SettingsError, match=r"^PORT: this user may not listen on 80;"):
        listening.listening_sockets("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("host", "page"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        (ALL, "http://127.0.0.1:8000/"),
        ("192.0.2.7", "http://192.0.2.7:8000/"),
        ("spend.example.com", "http://spend.example.com:8000/"),
        ("::1", "http://[::1]:8000/"),
        ("::", "http://[::1]:8000/"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:8000/"),
    ],
)
def test_page_url_puts_brackets_around_ipv6_addresses(host: str, page: str) -> None:
    assert listening.page_url(host, 8000) == page


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), (ALL, False), ("::", False)],
)
def test_is_loopback_recognises_loopback_hosts(host: str, is_loopback: bool) -> None:
    assert listening.is_loopback(host) is is_loopback


def test_reserved_port_is_refused_to_another_process() -> None:
    port = free_udp_port()
    listening.reserve(port)
    reserves = f"from runtime import listening; listening.reserve({port})"
    other = subprocess.run([sys.executable, "-c", reserves], capture_output=True, text=True, check=False)
    assert f"PORT: {port} is in use" in other.stderr


def free_udp_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
