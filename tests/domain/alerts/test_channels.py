"""URLs of channels: services with fixed addresses and mail, nothing that could reach files or inner addresses."""

import pytest

from domain.alerts.channels import checked_url
from domain.errors import InvalidValue

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("mailto://user:secret@mail.example.com:587?from=a@example.com&to=b@example.com", "mailto"),
        ("mailtos://user:secret@10.0.0.7?to=b@example.com", "mailtos"),
        (f"{SLACK}/#alerts", "slack"),
        ("workflows://prod-1.westus.logic.azure.com:443/abc/def/", "workflows"),
        ("pagerduty://A1BRTD4JD@TIiajkdnlazkcOXrIdevi7FQ", "pagerduty"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", "tgram"),
    ],
)
def test_urls_of_services_and_mail_are_allowed(url: str, scheme: str) -> None:
    assert checked_url(url) == scheme


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"{scheme}://169.254.169.254/x"
            for scheme in ("json", "jsons", "xml", "form", "forms", "apprise", "matrix", "ntfy", "gotify", "mmost")
        ),
        *("file:///etc/passwd", "syslog://", "rsyslog://10.0.0.1", "dbus://", "windows://", "macosx://", "http://x"),
        *(f"{SLACK}?template=file:///etc/passwd", f"{SLACK}?+X-Header=1", f"{SLACK}?retry=100", f"{SLACK}?pgpkey=x"),
        *("workflows://10.0.0.1/abc/def/", "workflows://logic.azure.com.example.com/abc/def"),
        *(
            f"{SLACK} json://10.0.0.1",
            f"{SLACK},json://10.0.0.1",
            f"{SLACK}\n",
            "SLACK://a/b/c",
            "slack",
            "",
            "mailto:",
        ),
        *("mailto://[::1", f"{SLACK}/{'a' * 2_000}"),
    ],
)
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        checked_url(url)
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in str(refused.value)
