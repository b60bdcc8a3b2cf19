"""Wraps every request: gives it an id for its log lines, adds security headers, counts and logs it at its end."""

import re
import secrets
import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import metrics
from web.http import security_headers

log = structlog.get_logger()

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")
QUIET_PATHS: Final = ("/healthz", "/readyz", "/metrics", "/static/", "/admin/static/")
"""Beginnings of paths whose requests are logged only if they fail (5xx)."""


class RequestLines:
    """Gives each request an id (X-Request-ID; the caller's own if it is well-formed) and logs `http.request`.

    Answers uncaught errors by the function `failed`, so that their responses have the id and the headers too; raises
    them again if the response has begun.
    """

    def __init__(self, app: ASGIApp, failed: Callable[[Request, Exception], Response]) -> None:
        self.app = app
        self.failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _ID.fullmatch(sent) else str(uuid4())
        started, status = time.perf_counter(), 0
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["script_nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = MutableHeaders(scope=message)
                headers.update(scope.get("state", {}).get("headers", {}))
                headers["X-Request-ID"] = request_id
                security_headers.add(headers, scope["path"], nonce, is_https=scope["scheme"] == "https")
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception as error:
                if status:
                    raise
                await self.failed(Request(scope), error)(scope, receive, send_with_headers)
            finally:
                seconds = time.perf_counter() - started
                metrics.note_request(scope["method"], route_of(scope), status, seconds)
                if status >= 500 or not scope["path"].startswith(QUIET_PATHS):
                    _log_request(scope, status, seconds)


def route_of(scope: Scope) -> str | None:
    """The route's path template, such as `/brands/{brand_id}`; None if no route matched."""
    return getattr(scope.get("route"), "path", None)


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    log.info(
        "http.request",
        method=scope["method"],
        path=scope["path"],
        route=route_of(scope),
        status=status,
        milliseconds=round(seconds * 1000, 1),
        by=scope.get("state", {}).get("by"),
    )
