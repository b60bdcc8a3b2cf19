"""CSRF tokens that are masked differently in each answer.

Answers are compressed. If an answer has a constant secret beside text from the request, its length reveals the secret
byte by byte to an attacker who can trigger requests and see their lengths (BREACH).
"""

import base64
import binascii
import secrets
from typing import Final

from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.security.csrf import CSRFMiddleware

MARK: Final = "m1."
"""Prefix of a masked token. Scripts send the cookie's unmasked token, which lacks it."""


def masked(token: str) -> str:
    """Masks a token: XORs it with random bytes and prepends these. An empty token stays empty."""
    if not token:
        return ""
    plain = token.encode()
    pad = secrets.token_bytes(len(plain))
    hidden = bytes(one ^ other for one, other in zip(plain, pad, strict=True))
    return MARK + base64.urlsafe_b64encode(pad + hidden).decode()


def unmasked(token: str) -> str:
    """Unmasks a token. Returns text without MARK unchanged and a malformed masked token as empty.

    Checks nothing: the signature check, which comes later, refuses an invalid token.
    """
    if not token.startswith(MARK):
        return token
    try:
        both = base64.urlsafe_b64decode(token.removeprefix(MARK).encode())
    except (binascii.Error, ValueError):
        return ""
    pad, hidden = both[: len(both) // 2], both[len(both) // 2 :]
    return bytes(one ^ other for one, other in zip(pad, hidden, strict=False)).decode("utf-8", "replace")


class MaskedTokens(CSRFMiddleware):
    """The CSRF check of starlette-admin, with masked tokens in pages."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Checks the submitted token, and gives pages a masked one."""

        async def call_with_masked(request: Request) -> Response:
            request.state.csrf_token = masked(request.state.csrf_token)
            return await call_next(request)

        return await super().dispatch(request, call_with_masked)

    async def _get_submitted_token(self, request: Request) -> str | None:
        token: str | None = await super()._get_submitted_token(request)
        await request.close()  # closes uploaded files of the form, which the page reads again
        return None if token is None else unmasked(token)
