"""Sign-in with e-mail and password. Checks the rate limits of failed logins before it hashes a password."""

import hashlib
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

import structlog
from anyio.to_thread import run_sync
from limits import RateLimitItem
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates
from starlette_admin.auth import AdminUser, AuthProvider
from starlette_admin.exceptions import LoginFailed
from starlette_admin.helpers import index_url, safe_redirect_url

from app import access
from app.access import Session
from db.repository.access.access import Person
from runtime import clock
from runtime.settings import settings
from web import client_addresses, people, rates
from web.admin.sign_in import browsers

log = structlog.get_logger()

WRONG: Final = "This e-mail and password do not match."


def secret_key() -> str:
    """The key that signs the admin's CSRF tokens, messages and cookies of known browsers.

    SPENDGATE_SECRET_KEY, or, if that is not set, a hash of the database's URL, which all web processes have.
    """
    read = settings()
    derived = hashlib.sha256(f"spendgate admin\n{read.required_database_url()}".encode()).hexdigest()
    return read.secret_key or derived


Failures = tuple[RateLimitItem, str]
"""A rate limit of failed logins, and the key under which they are counted."""


class Try(NamedTuple):
    """One attempt to sign in.

    `person`: a digest of the e-mail. `address`: the client's IP address; empty if unknown. `browser`: the browser's id;
    None if the person has not signed in with the browser before.
    """

    email: str
    person: str
    address: str
    browser: str | None

    def failures(self) -> tuple[Failures, ...]:
        """The rate limits against which a failed attempt counts, each with its key."""
        if self.browser is not None:
            return ((rates.FAILURES_IN_KNOWN_BROWSER, f"{self.person} {self.browser}"),)
        counted_as = client_addresses.counted_as(self.address)
        return (
            (rates.FAILURES_AS_PERSON_FROM_ADDRESS, f"{self.person} {counted_as}"),
            (rates.FAILURES_FROM_ADDRESS, counted_as),
            (rates.FAILURES_AS_PERSON, self.person),
        )


class SignIn(AuthProvider):
    """Signs people in with the login page of starlette-admin; sessions are rows of the database."""

    async def authenticate(self, request: Request) -> AdminUser | None:
        """The signed-in person; None without a valid session, and for static files, which need none."""
        if request.url.path.startswith("/admin/static/"):
            return None
        person = await run_sync(people.signed_in, request)
        return None if person is None else _known(request, person)

    async def render_login(self, request: Request, templates: Jinja2Templates) -> Response:
        """Shows the login page; before the first login exists, with instructions to create it.

        Answers 429 with Retry-After after too many failed attempts.
        """
        request.state.is_first_use = await run_sync(access.is_first_use)
        response = await super().render_login(request, templates)
        wait_seconds = getattr(request.state, "wait_seconds", None)
        if wait_seconds is not None:
            response.status_code = HTTPStatus.TOO_MANY_REQUESTS
            response.headers["Retry-After"] = str(wait_seconds)
        return response

    async def login(self, username: str, password: str, remember_me: bool, request: Request) -> Response:
        """Signs a person in and redirects to the page wanted before, on this site only.

        Raises LoginFailed after too many failures, and for a wrong password, with the same text as for an unknown
        address; and HashingBusy if too many passwords are being hashed.
        """
        request.state.email = username  # shown again in a refused form
        try_, at = _try(request, username), clock.now()
        session = await run_sync(partial(_session, request, try_, password, remember=remember_me))
        log.info("person.signed_in", user_id=session.person.id, address=try_.address)
        fallback = index_url(request)
        wanted = safe_redirect_url(request.query_params.get("next") or fallback, request, fallback)
        response = RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
        secure = _is_secure(request)
        people.set_session_cookie(response, session, remember=remember_me, secure=secure)
        browsers.remember(response, try_.person, try_.browser, at, secret_key(), secure=secure)
        return response

    async def logout(self, request: Request) -> Response:
        """Ends the session in the database, deletes its cookie and redirects to the login."""
        token = request.cookies.get(people.COOKIE)
        if token:
            await run_sync(access.sign_out, token)
        response = RedirectResponse(str(request.url_for("admin:login")), HTTPStatus.SEE_OTHER)
        people.delete_session_cookie(response, secure=_is_secure(request))
        return response


def _try(request: Request, email: str) -> Try:
    person = hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()
    address = request.client.host if request.client else ""
    return Try(email, person, address, browsers.known(request, person, clock.now(), secret_key()))


def _known(request: Request, person: Person) -> AdminUser:
    request.state.person = person
    request.state.by = person.label
    return AdminUser(username=f"{person.email} · {person.role}")


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _session(request: Request, try_: Try, password: str, *, remember: bool) -> Session:
    """Creates a session. Raises LoginFailed for a wrong password and after too many failures, and HashingBusy.

    Counts the attempt as failed before it hashes the password, and takes that back if the password is right, so that
    parallel attempts are limited like consecutive ones.
    """
    with ExitStack() as uncounting:
        for failures in try_.failures():
            status = rates.hit(*failures)
            if not status.allowed:
                raise _throttled(request, try_, status.resets_in_seconds)
            uncounting.callback(rates.uncount, *failures)
        session = access.sign_in(try_.email, password, remember=remember)
        if session is None:
            uncounting.pop_all()
            log.warning("person.refused", address=try_.address)
            raise LoginFailed(WRONG)
    return session


def _throttled(request: Request, try_: Try, wait_seconds: int) -> LoginFailed:
    log.warning("person.throttled", address=try_.address)
    request.state.wait_seconds = wait_seconds
    return LoginFailed(f"Too many failed attempts. Try again in {_minutes(wait_seconds)}.")


def _minutes(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 120 else f"{-(-seconds // 60)} minutes"
