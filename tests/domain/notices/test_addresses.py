"""Which addresses webhooks may be sent to."""

import pytest

from domain.errors import InvalidValue
from domain.notices.addresses import checked_url, is_public

PUBLIC = ("8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")
NOT_PUBLIC = (
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.1.2.3"),
    *("192.0.0.9", "192.0.2.1", "198.18.0.1", "192.88.99.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::808:808"),
    *("2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_private_reserved_and_embedded_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_https_alone_is_taken_unless_http_is_allowed() -> None:
    assert checked_url(" https://example.com:8443/a?b=c ", allows_http=False) == "https://example.com:8443/a?b=c"
    assert checked_url("http://example.com/", allows_http=True) == "http://example.com/"


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/", "example.com", "https:///path", "https://", "https://a:0/", "https://a:99999/"),
        *("https://me@example.com/", "https://me:pw@example.com/", "https://example.com/#a", "https://exa mple.com/"),
        *("https://exämple.com/", "https://example.com/\n", "file:///etc/passwd", "https://[::1/", ""),
        "https://example.com/" + "x" * 2_048,
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    if url.endswith("\n"):
        assert "\n" not in checked_url(url, allows_http=False)
        return
    with pytest.raises(InvalidValue):
        checked_url(url, allows_http=False)
