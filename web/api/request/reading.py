"""Reads JSON bodies like messages: a value that Postgres cannot store rejects its input, not the whole batch."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.routing import APIRoute

from delivery.encoding import decoded
from web.api.request.keys import bearer, caller_of

DECODED_AT_ONCE: Final = 2
"""Bodies that threads of a process decode at the same time. More would only take the processor from other requests."""

_decoders = CapacityLimiter(DECODED_AT_ONCE)


class _JsonRequest(Request):
    """A request whose JSON body is decoded as messages are, in a thread."""

    async def json(self) -> Any:
        """The decoded body. Raises json.JSONDecodeError, ValueError or RecursionError if it cannot be decoded."""
        if not hasattr(self, "_json"):
            self._json = await run_sync(decoded, await self.body(), limiter=_decoders)
        return self._json


class JsonRoute(APIRoute):
    """A route that decodes its JSON body as messages are decoded, once the caller's key is known to be valid."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            if self.body_field is not None:  # FastAPI decodes a body before it looks at the key
                await run_sync(caller_of, request, await bearer(request))
            return await handle(_JsonRequest(request.scope, request.receive))

        return read
