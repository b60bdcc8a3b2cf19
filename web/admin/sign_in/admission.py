"""Limits the requests that the admin works on at once.

A slow client holds no slot: its body is read before it gets one, and its response is sent after the slot is free.
"""

from http import HTTPStatus
from typing import Final

from anyio import Semaphore, fail_after
from jinja2 import Template
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import RETRY_LATER

SIGN_INS_AT_ONCE: Final = 4
"""Slots for sign-ins, apart from the slots of other requests.

Each sign-in hashes a password, which takes 64 MiB of memory for tens of milliseconds.

`app.access.HASHES_AT_ONCE` bounds the hashes of the whole process.
"""


class Admission:
    """Runs at most `at_once` requests at the same time; further ones wait for a slot, and get 503 after `seconds`.

    The session of starlette-admin holds a database connection during the whole request, and the request needs a second
    one: if as many requests ran as there are connections, each would wait for a connection of another request. Sign-ins
    have slots of their own; static files need none. `page`: the template of the 503 answer.
    """

    def __init__(self, app: ASGIApp, at_once: int, seconds: float, page: Template) -> None:
        self.app = app
        self.seconds = seconds
        self.page = page
        self._requests = Semaphore(at_once)
        self._sign_ins = Semaphore(SIGN_INS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/admin/static/"):
            await self.app(scope, receive, send)
            return
        is_sign_in = scope["method"] == "POST" and scope["path"] == "/admin/login"
        places = self._sign_ins if is_sign_in else self._requests
        try:
            with fail_after(self.seconds):
                await places.acquire()
        except TimeoutError:
            page = self.page.render(sentence="The server is busy. Nothing was changed; try again.")
            await HTMLResponse(page, HTTPStatus.SERVICE_UNAVAILABLE, RETRY_LATER)(scope, receive, send)
            return
        answer: list[Message] = []
        try:
            await self.app(scope, receive, _keeping(answer))
        finally:
            places.release()
        for message in answer:
            await send(message)


def _keeping(answer: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        answer.append(message)

    return keep
