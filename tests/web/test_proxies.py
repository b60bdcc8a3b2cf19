"""The client's address behind proxies."""

import pytest

from web.client_addresses import counted_as
from web.http.proxies import TrustedProxies


@pytest.mark.parametrize(
    ("proxies", "forwarded_for", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.0/8", "198.51.100.1, 203.0.113.7, 10.0.0.9", "203.0.113.7"),
        ("10.0.0.0/8", "10.0.0.8, 10.0.0.9", "10.0.0.8"),
        ("10.0.0.0/8", "198.51.100.1, unknown, 10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("*", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("*", "198.51.100.1, 10.0.0.9", "10.0.0.9"),
    ],
)
def test_client_is_the_last_address_that_is_not_a_trusted_proxy(proxies: str, forwarded_for: str, client: str) -> None:
    assert TrustedProxies(proxies).client_host("10.0.0.1", forwarded_for) == client


@pytest.mark.parametrize(
    ("listed", "host", "is_trusted"),
    [
        ("", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.0/8,::1", "10.20.30.40", True),
        ("10.0.0.0/8,::1", "::1", True),
        ("10.0.0.0/8", "2001:db8::1", False),
        ("10.0.0.0/8", "a name", False),
        ("*", "203.0.113.7", True),
    ],
)
def test_proxies_are_addresses_and_networks(listed: str, host: str, is_trusted: bool) -> None:
    assert TrustedProxies(listed).trusts(host) is is_trusted


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_ipv6_addresses_are_counted_by_their_64(host: str, name: str) -> None:
    assert counted_as(host) == name
