"""Refuses unknown query parameters, so that a misspelt filter does not list everything."""

from functools import lru_cache

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError

from web.api.request.keys import AnyCaller


def _refuse_unknown(request: Request, _caller: AnyCaller) -> None:
    """Raises RequestValidationError that names each unknown query parameter, after the key was checked."""
    known = _declared(request.app, request.scope["route"].path_format, request.method.lower())
    unknown = dict.fromkeys(name for name in request.query_params if name not in known)
    if unknown:
        said = "is not a parameter here"
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": said} for name in unknown]
        )


@lru_cache(maxsize=256)
def _declared(app: FastAPI, path: str, method: str) -> frozenset[str]:
    """The query parameters that the app's OpenAPI names for the route."""
    parameters = app.openapi()["paths"][path][method].get("parameters", [])
    return frozenset(parameter["name"] for parameter in parameters if parameter["in"] == "query")


KNOWN_ALONE = Depends(_refuse_unknown)
"""The dependency that refuses unknown query parameters of a route (422)."""
