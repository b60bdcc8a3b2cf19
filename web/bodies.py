"""What of a body is read: none of it without a key where one is needed, and never more than its limit."""

from http import HTTPStatus
from typing import Final

from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import problems
from web.api.keys import CHALLENGE, NO_KEY

API: Final = "/api/"
BATCHES: Final = ("/api/spend/", "/api/reported-totals/")
"""What takes thousands of inputs at once; every other body of the API is one small object."""

MAX_API_BYTES: Final = 65_536


class BodyLimit:
    """Refuses a body without a key, or over its limit, with problem details. FastAPI reads bodies before keys.

    `max_bytes`: the limit of batches, and of what is not the API's.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, limit = Headers(scope=scope), self._limit(scope["path"])
        if scope["path"].startswith(API) and _carries_body(headers) and not _names_key(headers):
            answer = problems.answer(HTTPStatus.UNAUTHORIZED, NO_KEY, headers=CHALLENGE)
            await answer(scope, receive, send)
            return
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:19]) > limit:
            answer = problems.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(limit))
            await answer(scope, receive, send)
            return
        await self.app(scope, _bounded(receive, limit), send)

    def _limit(self, path: str) -> int:
        return MAX_API_BYTES if path.startswith(API) and path not in BATCHES else self.max_bytes


def _carries_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _names_key(headers: Headers) -> bool:
    scheme, key = get_authorization_scheme_param(headers.get("authorization"))
    return scheme.lower() == "bearer" and key != ""


def _bounded(receive: Receive, limit: int) -> Receive:
    """Reads on until the body, whose length may not have been announced, is over its limit."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(limit))
        return message

    return bounded


def _too_large(limit: int) -> str:
    return f"a body may have {limit} bytes here"
