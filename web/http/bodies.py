"""Reads each request body whole, within a timeout and a size limit, before the request takes a thread."""

from collections import Counter
from http import HTTPStatus
from typing import Final

from anyio import fail_after
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import problems
from web.api.request.keys import CHALLENGE, NO_KEY
from web.client_addresses import client_of

API: Final = "/api/"
FORMS: Final = "/admin/"
UPLOADS: Final = "/admin/imports"
"""The path of the only form with a file; the form may be as large as a batch of spend."""

BATCHES: Final = ("/api/spend/", "/api/reported-totals/")
"""Routes that take thousands of inputs in one body; every other body of the API is one small object."""

MAX_API_BYTES: Final = 65_536
MAX_FORM_BYTES: Final = 1_048_576
MAX_BODIES_IN_MEMORY: Final = 16
"""Memory for all bodies in one process, in multiples of the largest allowed body."""

MAX_BODIES_OF_ADDRESS: Final = 8
"""Memory for the bodies of one client address in one process, in multiples of the largest allowed body."""

CLOSE: Final = {"Connection": "close"}


class BodyRefused(Exception):
    """Raised to refuse a body; `answer` is the response."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


class Disconnected(Exception):
    """Raised if the client disconnects before its body is complete."""


class BodyLimit:
    """Reads each body whole and passes it on as one message.

    Refuses with problem details: a length stated in two ways (400), a body for the API without a key (401; FastAPI
    would read it before the key), a body past its deadline (408) or over its limit (413), and any body while too many
    bytes are in memory, of its client address (429) or in all (503). `max_bytes`: the limit of batches, uploads and
    paths outside the API and the admin. `seconds`: the time that a body may take after the request's head.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.seconds = seconds
        self._bytes_of_address: Counter[str] = Counter()
        self._bytes_in_all = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, limit = Headers(scope=scope), self._limit(scope["path"])
        refusal = _refusal_of_head(scope, headers, limit)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif _carries_body(headers):
            await self._pass_on(scope, receive, send, limit)
        else:
            await self.app(scope, receive, send)

    def _limit(self, path: str) -> int:
        if path.startswith(FORMS) and path != UPLOADS:
            return min(MAX_FORM_BYTES, self.max_bytes)
        return MAX_API_BYTES if path.startswith(API) and path not in BATCHES else self.max_bytes

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """Reads the body and runs the application with it. Counts its bytes as in memory until the request ends."""
        address, body = client_of(scope), bytearray()
        try:
            with fail_after(self.seconds):
                await self._read(receive, body, limit, address)
        except TimeoutError:
            detail = f"the body was not complete within {self.seconds:g} seconds"
            await problems.answer(HTTPStatus.REQUEST_TIMEOUT, detail, headers=CLOSE)(scope, receive, send)
        except BodyRefused as error:
            await error.answer(scope, receive, send)
        except Disconnected:
            return
        else:
            await self.app(scope, _once(bytes(body), receive), send)
        finally:
            self._count(address, -len(body))

    async def _read(self, receive: Receive, body: bytearray, limit: int, address: str) -> None:
        """Appends the whole body to `body`, also without a Content-Length.

        Raises BodyRefused over a limit, and Disconnected if the client disconnects.
        """
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            self._count(address, len(part))
            body += part
            if len(body) > limit:
                raise BodyRefused(_too_large(limit))
            if self._bytes_in_all > MAX_BODIES_IN_MEMORY * self.max_bytes:
                detail = "the memory for request bodies is full; send it again later"
                raise BodyRefused(problems.answer(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=problems.RETRY_LATER))
            if self._bytes_of_address[address] > MAX_BODIES_OF_ADDRESS * self.max_bytes:
                detail = "your address is sending too many bytes at once; send fewer batches in parallel"
                raise BodyRefused(problems.answer(HTTPStatus.TOO_MANY_REQUESTS, detail, headers=problems.RETRY_LATER))
            more = message.get("more_body", False)

    def _count(self, address: str, more_bytes: int) -> None:
        self._bytes_in_all += more_bytes
        self._bytes_of_address[address] += more_bytes
        if not self._bytes_of_address[address]:
            del self._bytes_of_address[address]


def _refusal_of_head(scope: Scope, headers: Headers, limit: int) -> Response | None:
    """The response that refuses a request because of its headers alone; None if they are right."""
    if "transfer-encoding" in headers and ("content-length" in headers or scope["http_version"] == "1.0"):
        # A proxy in front may use the other length, and the two would disagree where the next request begins.
        detail = "the length of the body is stated in two ways: send Content-Length or Transfer-Encoding"
        return problems.answer(HTTPStatus.BAD_REQUEST, detail, headers=CLOSE)
    if scope["path"].startswith(API) and _carries_body(headers) and not _names_key(headers):
        return problems.answer(HTTPStatus.UNAUTHORIZED, NO_KEY, headers=CHALLENGE)
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:19]) > limit:
        return _too_large(limit)
    return None


def _carries_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _names_key(headers: Headers) -> bool:
    scheme, key = get_authorization_scheme_param(headers.get("authorization"))
    return scheme.lower() == "bearer" and key != ""


def _once(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the whole body first, then the connection's messages, such as a disconnect."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def received() -> Message:
        nonlocal message
        if message is None:
            return await receive()
        whole_body, message = message, None
        return whole_body

    return received


def _too_large(limit: int) -> Response:
    return problems.answer(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is too large: at most {limit} bytes are allowed here"
    )
