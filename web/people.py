"""The person who views a page, by the session's cookie, and the redirect to the login."""

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from app import access
from app.access import Session
from db.repository.access.access import Person
from runtime.settings import settings

COOKIE: Final = "spendgate_session"
LOGIN: Final = "/admin/login"


class SignInFirst(Exception):
    """Raised for a page that needs a signed-in person."""


def signed_in(request: Request) -> Person | None:
    """The signed-in person, by the session's cookie; None without a valid session."""
    token = request.cookies.get(COOKIE)
    return access.signed_in(token) if token else None


def viewer_of(request: Request) -> Person | None:
    """The signed-in person; without one, None if the dashboard is open, else raises SignInFirst."""
    person = signed_in(request)
    if person is None and not settings().open_dashboard:
        raise SignInFirst
    return person


Viewer = Annotated[Person | None, Depends(viewer_of)]


def sign_in_address(request: Request) -> str:
    """The login's address, with the current page to return to."""
    page = request.headers.get("HX-Current-URL") or str(request.url)
    path = page.partition("://")[2].partition("/")[2]
    return f"{LOGIN}?next={quote(f'/{path}')}"


def to_sign_in(request: Request, _error: Exception) -> Response:
    """Redirects to the login, which then leads back to the page. A script of an open page gets 401 with HX-Redirect."""
    where = sign_in_address(request)
    if request.headers.get("HX-Request"):
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": where})
    return RedirectResponse(where, HTTPStatus.SEE_OTHER)


def set_session_cookie(response: Response, session: Session, *, remember: bool, secure: bool) -> None:
    """Stores the session in the browser: until the browser closes, or with `remember` until the session expires.

    `secure`: the browser sends the cookie over https only.
    """
    response.set_cookie(
        COOKIE,
        session.token,
        expires=session.until if remember else None,
        httponly=True,
        secure=secure,
        samesite="lax",
    )


def delete_session_cookie(response: Response, *, secure: bool) -> None:
    """Deletes the session's cookie from the browser. `secure`: as it was when the cookie was set."""
    response.delete_cookie(COOKIE, httponly=True, secure=secure, samesite="lax")
