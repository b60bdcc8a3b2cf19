"""Where a process listens: both families of addresses, and one line for each reason why it cannot."""

import socket

import pytest

from runtime import addresses
from runtime.addresses import PortInUse
from runtime.settings import SettingsError
from tests.ports import free_port


def has_ipv6() -> bool:
    try:
        addresses.close(addresses.listening("::1", 0))
    except SettingsError:
        return False
    return True


on_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
ALL = "0.0.0.0"  # noqa: S104 - a name to test
HOSTS = ["127.0.0.1", ALL, "localhost", pytest.param("::1", marks=on_ipv6), pytest.param("::", marks=on_ipv6)]


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_listens_on_every_address_of_a_host_on_one_port(host: str) -> None:
    sockets = addresses.listening(host, 0)
    try:
        (port,) = {one.getsockname()[1] for one in sockets}
        with socket.create_connection((addresses.ANYWHERE.get(host, host), port), timeout=10):
            pass
    finally:
        addresses.close(sockets)


def test_a_port_in_use_is_named(host: str) -> None:
    sockets = addresses.listening(host, 0)
    port = sockets[0].getsockname()[1]
    try:
        with pytest.raises(PortInUse, match=f"^PORT: {port} is in use; set another$"):
            addresses.listening(host, port)
    finally:
        addresses.close(sockets)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid", "a..b", "x" * 70 + ".example"])
def test_a_host_that_is_not_here_is_named_by_its_variable(host: str) -> None:
    for variable in ("SPENDGATE_HOST", "--host"):
        with pytest.raises(SettingsError, match=f"^{variable}: .* is no address of this machine"):
            addresses.listening(host, free_port(), variable)


def test_a_port_that_this_user_may_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(SettingsError, match=r"^PORT: this user may not listen on 80;"):
        addresses.listening("127.0.0.1", 80)


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
def test_the_page_of_a_host_is_a_url_with_brackets_around_ipv6(host: str, page: str) -> None:
    assert addresses.page(host, 8000) == page


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), (ALL, False), ("::", False)],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, is_loopback: bool) -> None:
    assert addresses.is_loopback(host) is is_loopback
