"""The URLs that alert channels may have: services with fixed addresses, and mail.

A URL's host must not lead into the network of the installation: so schemes that send to any host (`json`, `form`,
`xml`, `matrix`, `ntfy` …), to files or to the local machine are refused, and a webhook endpoint takes their place. Mail
servers may be anywhere, because most are in the own network.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from domain.errors import InvalidValue

SERVICES: Final[Mapping[str, str]] = {
    "mailto": "mail",
    "mailtos": "mail",
    "slack": "Slack",
    "workflow": "Teams",
    "workflows": "Teams",
    "msteams": "Teams",
    "pagerduty": "PagerDuty",
    "tgram": "Telegram",
    "discord": "Discord",
    "gchat": "Google Chat",
    "opsgenie": "Opsgenie",
    "pover": "Pushover",
    "webex": "Webex",
    "wxteams": "Webex",
    "zulip": "Zulip",
    "splunk": "Splunk On-Call",
    "victorops": "Splunk On-Call",
}
"""The allowed schemes, each with the name of its service."""

HOSTS: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
    ("workflow", "workflows"), (".logic.azure.com", ".api.powerplatform.com")
)
"""The allowed endings of the host, by scheme; only for the schemes whose URL names the service's host."""

PARAMETERS: Final = frozenset(
    {
        *("to", "from", "cc", "bcc", "name", "smtp", "mode", "user", "pass", "reply"),
        *("region", "priority", "thread", "topic", "class", "component", "group", "source", "format", "image"),
        *("footer", "silent", "preview", "tts", "sound", "channel", "ver", "powerautomate", "pa", "key", "token"),
    }
)
"""Allowed query parameters. Others, such as `template`, can make the sender read a file or a private address."""

MAX_URL: Final = 2_000
_URL: Final = re.compile(r"[a-z]+://[^\s,]+")


def checked_url(url: str) -> str:
    """Checks a channel's URL and returns its scheme, a key of SERVICES, in lower case.

    Raises InvalidValue, without the URL's secrets, for a URL that is not allowed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in SERVICES:
        raise InvalidValue("url", f"must begin with one of {', '.join(f'{one}://' for one in SERVICES)}")
    if len(url) > MAX_URL or not _URL.fullmatch(url):
        raise InvalidValue("url", "must be one URL with a lower-case scheme, without spaces or commas")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise InvalidValue("url", "has a host that is not valid") from None
    if scheme in HOSTS and not host.endswith(HOSTS[scheme]):
        raise InvalidValue("url", f"its host must end with one of {', '.join(HOSTS[scheme])}")
    unknown = sorted({name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - PARAMETERS)
    if unknown:
        raise InvalidValue("url", f"these parameters are not allowed: {', '.join(unknown)}")
    return scheme
