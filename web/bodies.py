"""How large a body may be, whether its length is announced or found out while it is read."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import problems


class BodyLimit:
    """Refuses a body over `max_bytes` with problem details. FastAPI's own limit would answer in plain text."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:19]) > self.max_bytes:
            answer = problems.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            await answer(scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        await self.app(scope, bounded, send)

    @property
    def _too_large(self) -> str:
        return f"a body may have {self.max_bytes} bytes"
