"""Decodes JSON bodies by the function that decodes queue messages.

So a value that Postgres cannot store rejects its input, not the whole batch.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.routing import APIRoute

from delivery.encoding import decoded
from web.api.request.keys import bearer, caller_of

DECODED_AT_ONCE: Final = 2
"""Bodies that a process decodes at once. Decoding more would only take the processor from other requests."""

_decoders = ThreadPoolExecutor(DECODED_AT_ONCE, "decode")


class _JsonRequest(Request):
    """A request whose JSON body is decoded by `delivery.encoding.decoded`, as queue messages are, in a thread."""

    async def json(self) -> Any:
        """The decoded body. Raises json.JSONDecodeError, ValueError or RecursionError if it cannot be decoded."""
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = await asyncio.get_running_loop().run_in_executor(_decoders, decoded, body)
        return self._json


class JsonRoute(APIRoute):
    """A route that decodes its JSON body as queue messages are decoded, once the caller's key is known to be valid."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            if self.body_field is not None:  # FastAPI decodes a body before it looks at the key
                await run_sync(caller_of, request, await bearer(request))
            return await handle(_JsonRequest(request.scope, request.receive))

        return read
