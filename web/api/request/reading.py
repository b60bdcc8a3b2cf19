"""Reads JSON bodies like messages: a value that Postgres cannot store rejects its input, not the whole batch."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from delivery.encoding import decoded


class _JsonRequest(Request):
    """A request whose JSON body is decoded as messages are."""

    async def json(self) -> Any:
        """The decoded body. Raises json.JSONDecodeError, ValueError or RecursionError if it cannot be decoded."""
        if not hasattr(self, "_json"):
            self._json = decoded(await self.body())
        return self._json


class JsonRoute(APIRoute):
    """A route that decodes its JSON body as messages are decoded."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return read
