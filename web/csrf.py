"""CSRF tokens that are masked differently in each answer.

Answers are compressed. If an answer holds a constant secret beside text from the request, its length reveals the secret
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
"""What a masked token begins with; the cookie's own, which scripts send, does not."""


def masked(token: str) -> str:
    """The token under random bytes, which go with it. Nothing for nothing."""
    if not token:
        return ""
    plain = token.encode()
    pad = secrets.token_bytes(len(plain))
    hidden = bytes(one ^ other for one, other in zip(plain, pad, strict=True))
    return MARK + base64.urlsafe_b64encode(pad + hidden).decode()


def unmasked(token: str) -> str:
    """The token that was masked; any other text as it is, for the signature to refuse."""
    if not token.startswith(MARK):
        return token
    try:
        both = base64.urlsafe_b64decode(token.removeprefix(MARK).encode())
    except (binascii.Error, ValueError):
        return ""
    pad, hidden = both[: len(both) // 2], both[len(both) // 2 :]
    return bytes(one ^ other for one, other in zip(pad, hidden, strict=False)).decode("utf-8", "replace")


class MaskedTokens(CSRFMiddleware):
    """The library's check, whose pages carry masked tokens."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Checks the token, and masks the one that pages are given."""

        async def call_with_masked(request: Request) -> Response:
            request.state.csrf_token = masked(request.state.csrf_token)
            return await call_next(request)

        return await super().dispatch(request, call_with_masked)

    async def _get_submitted_token(self, request: Request) -> str | None:
        token: str | None = await super()._get_submitted_token(request)
        return None if token is None else unmasked(token)
