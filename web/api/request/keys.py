"""The calling program: its API key, scopes, rate limit and brand."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute

from app import access
from app.access import Caller
from db.repository.access.audit import Edit
from domain.access import KeyScope
from domain.errors import NotFound
from runtime import clock
from runtime.settings import settings
from web import problems, rates
from web.api.request.wrong_keys import throttle
from web.client_addresses import client_of
from web.problems import Problem

bearer: Final = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="An API key from `spendgate create-api-key`: `Authorization: Bearer sg_…`. Its scopes are `read`, "
    "`manage` (edits, and all that `read` may), `spend-write`, and `credentials` (logins of ad platforms).",
)

REFUSALS: Final = problems.responses(
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""The error statuses that every route of the API may answer with."""

NO_KEY: Final = "send an API key that is neither expired nor revoked, as `Authorization: Bearer …`"
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
"""The header of a 401 response."""


def caller_of(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Caller:
    """The caller that the key identifies, looked up once for each request.

    Counts the request against the key's rate limit, and adds that limit's headers to the response. Raises Problem: 401
    without a valid key, 429 over the limit or after too many wrong keys from the client's address.
    """
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    owner = _owner(client_of(request.scope), credentials.credentials) if credentials else None
    if owner is None:
        raise Problem(HTTPStatus.UNAUTHORIZED, NO_KEY, headers=CHALLENGE)
    request.state.by = owner.label
    _count(request, owner)
    request.state.caller = owner
    return owner


def _count(request: Request, owner: Caller) -> None:
    """Counts the request against its key's rate limit and adds that limit's headers. Raises Problem (429) over it."""
    a_minute = settings().api_requests_per_minute
    status = rates.hit(RateLimitItemPerMinute(a_minute, 1, "api"), str(owner.key_id))
    request.state.headers = {
        "X-RateLimit-Limit": str(a_minute),
        "X-RateLimit-Remaining": str(status.remaining),
        "X-RateLimit-Reset": str(status.resets_in_seconds),
    }
    if not status.allowed:
        detail = f"this key is limited to {a_minute} requests a minute"
        wait = {"Retry-After": str(status.resets_in_seconds)}
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, headers=wait)


def _owner(address: str, key: str) -> Caller | None:
    """The program whose key this is, with the key's scopes and brand; None if the key is not valid.

    Raises Problem (429), without a lookup of the key, after too many wrong keys from the address.
    """
    wait_seconds = throttle.wait_seconds(address, key)
    owner = None if wait_seconds else access.caller(key)
    if owner is not None:
        throttle.note_good(key)
        return owner
    wait_seconds = wait_seconds or throttle.note_wrong(address, key)
    if wait_seconds:
        detail = "too many wrong API keys came from your address"
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(wait_seconds)})
    return None


AnyCaller = Annotated[Caller, Depends(caller_of)]


def needs_scope(caller: Caller, scope: KeyScope) -> None:
    """Raises Problem (403) for a key without the scope."""
    if scope not in caller.scopes:
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
        raise Problem(HTTPStatus.FORBIDDEN, f"this key lacks the scope {scope}", headers=challenge)


def _may(scope: KeyScope) -> Callable[[Caller], Caller]:
    def allowed(caller: AnyCaller) -> Caller:
        needs_scope(caller, scope)
        return caller

    return allowed


Reader = Annotated[Caller, Depends(_may(KeyScope.READ))]
Manager = Annotated[Caller, Depends(_may(KeyScope.MANAGE))]
SpendWriter = Annotated[Caller, Depends(_may(KeyScope.SPEND_WRITE))]


def edit_by(caller: Caller) -> Edit:
    """The author and time of an edit that the caller makes now."""
    return Edit(caller.label, clock.now())


def visible_to(caller: Caller, subject: str, row: dict[str, Any]) -> dict[str, Any]:
    """Returns the row. Raises InvalidValue, as for a missing row, if the caller's key is for another brand.

    `subject`: the kind of row in words, `brand` for a brand itself; other rows need `brand_id`.
    """
    if caller.brand_id not in {None, row["id"] if subject == "brand" else row["brand_id"]}:
        raise NotFound(subject, f"there is no {subject} {row['id']}")
    return row


def brand_for(caller: Caller, brand_id: int | None) -> int | None:
    """The brand of a new row: `brand_id`, or if that is None the brand of the caller's key; None: all brands.

    Raises InvalidValue if the key is for another brand than `brand_id`.
    """
    if brand_id is not None:
        visible_to(caller, "brand", {"id": brand_id})
    return caller.brand_id if brand_id is None else brand_id


def needs_all_brands(caller: Caller) -> None:
    """Raises Problem (403) for a key of one brand."""
    if caller.brand_id is not None:
        raise Problem(HTTPStatus.FORBIDDEN, "this needs a key for all brands")
