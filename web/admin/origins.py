"""The page from which a person came to a form, kept in its address as `_origin`, to return there after saving."""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

FORMS: Final = ("/create", "/edit", "/login", "/schedule")
"""Endings of the paths of forms: after saving, a person is not sent back to another form."""


def leading_back(request: Request) -> Response | None:
    """Returns a redirect of a form's GET to the form's own address with the previous page as `_origin`.

    Returns None if the request is no GET or has `_origin`, or if the page before is unknown, another site's or a form.
    """
    came_from = urlsplit(request.headers.get("referer", ""))
    is_ours = (came_from.scheme, came_from.netloc) == (request.url.scheme, request.url.netloc)
    is_form = came_from.path.endswith(FORMS)
    if request.method != "GET" or "_origin" in request.query_params or not is_ours or is_form:
        return None
    origin = came_from._replace(scheme="", netloc="").geturl()
    return RedirectResponse(request.url.include_query_params(_origin=origin), HTTPStatus.SEE_OTHER)


def origin_of(request: Request) -> str:
    """The address to return to after saving: `_origin` if it is a path of this site, else the form's own address."""
    origin = request.query_params.get("_origin", "")
    parts = urlsplit(origin)
    is_path = origin.startswith("/") and not (parts.scheme or parts.netloc) and "\\" not in origin
    return origin if is_path else str(request.url)
