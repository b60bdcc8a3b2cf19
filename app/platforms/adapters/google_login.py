"""Gets access tokens from Google's login: by a refresh token, or by a service account with the extra `google`."""

import hashlib
import re
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from app.platforms import http
from app.platforms.adapters.shapes import text_in
from app.platforms.protocol import Account, Limited, LoginFailed, Unanswered
from domain.errors import InvalidValue
from runtime import clock
from runtime.settings import settings

SCOPE: Final = "https://www.googleapis.com/auth/adwords"

EARLY_SECONDS: Final = 60.0
"""Seconds before its end at which an access token is replaced."""

LIMITED_SECONDS: Final = 900.0
"""Wait after Google's login answered 429 (too many requests), since it does not say how long."""

ASSERTION_SECONDS: Final = 3_600
"""Lifetime of an assertion, the longest that Google accepts."""

JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
MESSAGE_LENGTH: Final = 300
TOKEN: Final = re.compile("[!-~]+")
SECONDS: Final = re.compile("[0-9]{1,9}")
NO_EXTRA: Final = "a service account needs the extra `google`: pip install 'spendgate[google]'"


class Tokens:
    """Access tokens of this process, by login, until shortly before they expire."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[str, float]] = {}

    def token(self, account: Account) -> str:
        """Returns a valid access token, from the cache or newly requested from Google.

        Raises LoginFailed if the login is expired or revoked, Limited or Unanswered if Google's login gives no token
        now, and InvalidValue for unusable credentials.
        """
        key = self._key(account)
        with self._lock:
            token, ends_at = self._known.get(key, ("", 0.0))
        if time.monotonic() < ends_at:
            return token
        token, seconds = _new_token(account)
        with self._lock:
            self._known[key] = token, time.monotonic() + seconds - EARLY_SECONDS
        return token

    def forget(self, account: Account) -> None:
        with self._lock:
            self._known.pop(self._key(account), None)

    @staticmethod
    def _key(account: Account) -> bytes:
        name = "private_key" if _is_service_account(account) else "refresh_token"
        return hashlib.sha256(account.credentials.required(name).encode()).digest()


tokens: Final = Tokens()


def _is_service_account(account: Account) -> bool:
    return account.credentials.get("type") == "service_account"


def _new_token(account: Account) -> tuple[str, float]:
    """Requests an access token; returns it and its lifetime in seconds.

    Raises LoginFailed, Limited, Unanswered and InvalidValue.
    """
    if _is_service_account(account):
        content = _by_service_account(account)
    else:
        names = ("client_id", "client_secret", "refresh_token")
        secrets = {name: account.credentials.required(name) for name in names}
        content = _answer(account, secrets | {"grant_type": "refresh_token"})
    token = text_in(content, "access_token")
    if not TOKEN.fullmatch(token):
        raise Unanswered("Google's login answered without a token", may_be_applied=False)
    seconds = text_in(content, "expires_in")
    return token, float(seconds) if SECONDS.fullmatch(seconds) else 0.0


def _answer(account: Account, form: Mapping[str, str]) -> dict[str, Any]:
    """Sends the form to Google's login and returns the content of its answer.

    Raises LoginFailed, Limited or Unanswered, all without a secret.
    """
    answer = http.send("POST", settings().google_token_url, {}, data=form)
    content = answer.content if isinstance(answer.content, dict) else {}
    if answer.status == 200:
        return content
    if answer.status == 429:
        raise Limited("Google's login answered 429: too many logins", LIMITED_SECONDS, for_all=False)
    if answer.status in {400, 401, 403}:
        reason = account.credentials.hide_in(str(content.get("error_description") or content.get("error") or ""))
        raise LoginFailed(f"Google refused the login: {reason[:MESSAGE_LENGTH] or 'no reason given'}")
    raise Unanswered(f"Google's login answered {answer.status}", may_be_applied=False)


def _by_service_account(account: Account) -> dict[str, Any]:
    """Sends Google's login an assertion, signed by google-auth with the service account's key; returns the answer.

    Raises InvalidValue without google-auth and for a key that cannot sign; LoginFailed, Limited or Unanswered if the
    login gives no token.
    """
    try:
        from google.auth import crypt, jwt  # noqa: PLC0415 - an extra, which few installations have
    except ImportError:
        raise InvalidValue("credentials", NO_EXTRA) from None
    mail, key = account.credentials.required("client_email"), account.credentials.required("private_key")
    issued_at = int(clock.now().timestamp())
    subject = account.credentials.get("subject")
    claims = {
        "iss": mail,
        "scope": SCOPE,
        "aud": settings().google_token_url,
        "iat": issued_at,
        "exp": issued_at + ASSERTION_SECONDS,
        **({"sub": subject} if subject else {}),
    }
    try:
        signer = crypt.RSASigner.from_string(key, account.credentials.get("private_key_id"))  # type: ignore[no-untyped-call]
        assertion = jwt.encode(signer, claims).decode()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        raise InvalidValue("credentials", f"the private key cannot be used: {type(error).__name__}") from None
    return _answer(account, {"grant_type": JWT_GRANT, "assertion": assertion})
