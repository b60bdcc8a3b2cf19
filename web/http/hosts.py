"""Host names under which pages without a login answer: only names of this machine, against DNS rebinding."""

import re
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from web import problems

_LOOPBACK_NAME: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]*)?", re.IGNORECASE)


class LoopbackNames:
    """Refuses (421) requests to a loopback address whose host name is not localhost, 127.0.0.1 or [::1].

    Another site could resolve its own name to this machine and then read the responses (DNS rebinding).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _came_by_loopback(scope) or _is_loopback_name(scope):
            await self.app(scope, receive, send)
            return
        detail = "while the pages need no login, this server answers only to localhost, 127.0.0.1 and [::1]"
        await problems.answer(HTTPStatus.MISDIRECTED_REQUEST, detail)(scope, receive, send)


def _came_by_loopback(scope: Scope) -> bool:
    address = (scope.get("server") or ("",))[0]
    try:
        return ip_address(address.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False


def _is_loopback_name(scope: Scope) -> bool:
    return _LOOPBACK_NAME.fullmatch(Headers(scope=scope).get("host", "")) is not None
