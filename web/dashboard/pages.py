"""The base of all pages: templates, formats of money and time, and the page for an unknown address."""

import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from starlette_admin.security.csrf import CSRFMiddleware

from db.repository.access.access import Person
from db.repository.shared.zones import readable_zones
from domain.errors import InvalidValue
from domain.holds import NOT_BY_CLOCK, SERVES_AGAIN_IF, in_words, stays_stopped
from domain.money import format_units
from domain.schedules import format_schedule
from runtime import clock
from runtime.formats import exact_money, rounded_money
from web.csrf import masked
from web.people import sign_in_address
from web.problems import MEDIA_TYPE

HERE: Final = Path(__file__).parent.parent
STATIC: Final = HERE / "static"
MAIN: Final = b'<main id="main">'
MAIN_END: Final = b"</main>"
MAIN_TAG: Final = secrets.token_hex(16)
"""Placeholder in a template's output, replaced by the entity tag of the main part once that is rendered."""

KEPT_HEADERS: Final = {"retry-after", "allow"}


@lru_cache
def asset(name: str) -> str:
    """The address of a static file with a hash of its content, so that browsers cache it until it changes.

    `name`: the path within static/. Raises OSError if there is no such file.
    """
    return f"/static/{name}?{hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def local(moment: datetime | None, zone: str | ZoneInfo, form: str = "%a %H:%M") -> str:
    """The instant formatted in the time zone; a dash if it is None or the zone does not exist."""
    rules = zone if isinstance(zone, ZoneInfo) else readable_zones([zone]).get(zone)
    return "–" if moment is None or rules is None else moment.astimezone(rules).strftime(form)


def money(micros: int | None, currency: str) -> str:
    """An amount rounded to the currency's decimals; a dash for None."""
    return "–" if micros is None else rounded_money(micros, currency)


def sign_out_token(request: Request) -> str:
    """The masked CSRF token for the form that signs out; empty if the browser sent no cookie with it."""
    return masked(request.cookies.get(CSRFMiddleware.cookie_name, ""))


templates = Jinja2Templates(HERE / "templates")
templates.env.filters |= {
    "units": format_units,
    "money": money,
    "exact_money": exact_money,
    "reasons": in_words,
    "stays_stopped": stays_stopped,
    "local": local,
    "schedule_words": format_schedule,
}
templates.env.globals |= {
    "asset": asset,
    "sign_in_address": sign_in_address,
    "sign_out_token": sign_out_token,
    "now": clock.now,
    "not_by_clock": NOT_BY_CLOCK,
    "serves_again_if": SERVES_AGAIN_IF,
}
templates.env.trim_blocks = templates.env.lstrip_blocks = True


def page(request: Request, name: str, person: Person | None, context: dict[str, Any]) -> Response:
    """The page from the template `name`. `person`: the signed-in person; None: nobody, and the page links to the login.

    A request by the script of an open page gets the main part alone, or 304 if that has not changed: the entity tag
    covers the main part.
    """
    wants_part = "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers
    context = {"request": request, "person": person, "layout": "part.html" if wants_part else "base.html", **context}
    body = templates.get_template(name).render(context | {"main_tag": MAIN_TAG}).encode()
    tag = _tag_of_main(body)
    headers = {"ETag": f'"{tag}"', "Vary": "HX-Request"}
    if wants_part and tag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return HTMLResponse(body.replace(MAIN_TAG.encode(), f"&#34;{tag}&#34;".encode(), 1), headers=headers)


def _tag_of_main(body: bytes) -> str:
    """An entity tag of the page's main part."""
    main = body.partition(MAIN)[2].rpartition(MAIN_END)[0]
    return hashlib.sha256(main).hexdigest()[:20]


def minute_now() -> datetime:
    """The current minute. Pages show no finer time, so that unchanged figures give an unchanged page."""
    return clock.now().replace(second=0, microsecond=0)


def install(app: FastAPI) -> None:
    """Wraps each error handler of the app by `for_people`. Call it after all handlers of problems are registered."""
    for kind, handler in list(app.exception_handlers.items()):
        app.exception_handlers[kind] = for_people(handler)


def for_people(handler: Callable[..., Any]) -> Callable[..., Response]:
    """Wraps an error handler: outside /api/, its problem details become a page for a browser that accepts HTML.

    The page has the same status, but 404 for an invalid value in the address's path, such as an id that is no number.
    """

    def as_page(request: Request, error: Exception) -> Response:
        response: Response = handler(request, error)
        if response.media_type != MEDIA_TYPE or request.url.path.startswith("/api/"):
            return response
        if "text/html" not in request.headers.get("accept", ""):
            return response
        if isinstance(error, RequestValidationError) and any(fault["loc"][0] == "path" for fault in error.errors()):
            return not_found(request, "There is no such page.")
        problem = json.loads(bytes(response.body))
        context = {"title": problem["title"], "sentence": _sentence(problem["detail"].removesuffix("."))}
        headers = {name: value for name, value in response.headers.items() if name.lower() in KEPT_HEADERS}
        return templates.TemplateResponse(request, "error.html", context, response.status_code, headers)

    return as_page


def sentence(refused: InvalidValue) -> str:
    """The error's message, without the field's name, as a sentence with a capital and a full stop."""
    return _sentence(refused.message)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def not_found(request: Request, words: str) -> Response:
    """The page for an unknown address (404). `words`: its sentence."""
    context = {"title": "Not found", "sentence": words}
    return templates.TemplateResponse(request, "error.html", context, status_code=HTTPStatus.NOT_FOUND)
