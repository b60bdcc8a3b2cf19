"""Browsers in which a person has signed in before, known by a signed cookie.

Wrong passwords typed elsewhere do not count against a known browser, so that others cannot lock the person out there.
The cookie alone does not sign anyone in.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "spendgate_browser_"
"""The beginning of the cookie's name. A hash of the person follows, because several people may use one browser."""

KNOWN_FOR: Final = timedelta(days=180)


def known(request: Request, person: str, at: datetime, key: str) -> str | None:
    """The browser's id if the person has signed in with it during the last KNOWN_FOR, else None.

    `person`: a digest of the e-mail; `key`: the secret that signs the cookie.
    """
    browser, _, rest = request.cookies.get(_name(person, key), "").partition(".")
    until, _, signature = rest.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(person, browser, until, key).encode()):
        return None
    return browser if datetime.fromtimestamp(int(until), at.tzinfo) > at else None


def remember(response: Response, person: str, browser: str | None, at: datetime, key: str, *, secure: bool) -> None:
    """Sets the cookie that makes the browser known for the person, for KNOWN_FOR from `at` on.

    `browser`: the browser's id; None: makes a new id. `secure`: browsers send the cookie over https only.
    """
    browser, until = browser or secrets.token_urlsafe(16), at + KNOWN_FOR
    seconds = str(int(until.timestamp()))
    value = f"{browser}.{seconds}.{_signature(person, browser, seconds, key)}"
    response.set_cookie(
        _name(person, key), value, expires=until, path="/", httponly=True, secure=secure, samesite="lax"
    )


def _name(person: str, key: str) -> str:
    return COOKIE + _keyed(key, "name of a known browser", person)[:8]


def _signature(person: str, browser: str, until: str, key: str) -> str:
    return _keyed(key, "known browser", person, browser, until)


def _keyed(key: str, *parts: str) -> str:
    return hmac.new(key.encode(), "\n".join(parts).encode("utf-8", "replace"), hashlib.sha256).hexdigest()
