"""Webhook endpoints in the admin: add, test, enable and remove them, send messages again, and see their attempts."""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from anyio.to_thread import run_sync
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin import CustomView, flash
from starlette_admin.routing import route

from app.notices import webhooks
from app.notices.webhooks import Range
from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.notices import attempts, endpoints
from domain.edits.words import counted
from domain.errors import InvalidValue
from domain.notices.message_types import MessageType
from web.admin.fields import as_id
from web.admin.pages.access import Shown
from web.admin.views import may_manage_access, write

ENDPOINTS_A_PAGE: Final = 50
ATTEMPTS_SHOWN: Final = 10
ADVICE: Final = "Copy it now: it is kept encrypted and cannot be shown again. Your program checks signatures with it."


class Webhooks(CustomView):
    """The page of endpoints, for owners. Each button posts the name of its action."""

    menu_label = "Webhooks"
    icon = "fa fa-paper-plane"
    path = "/webhooks"
    route_name = "webhooks"

    def is_accessible(self, request: Request) -> bool:
        """Whether the person is an owner."""
        return may_manage_access(request)

    @route("", methods=["GET", "POST"])
    async def index(self, request: Request) -> Response:
        """Shows the page; a post runs the action, and then shows a new secret or redirects to the page.

        If the typed values are refused, answers 422 with the page and these values. Raises HTTPException: 403 for
        people who are no owners, 404 for an unknown action.
        """
        if not self.is_accessible(request):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        assert self._admin is not None  # noqa: S101 - set when the view is added
        typed: Sent = {}
        if request.method == "POST":
            outcome = await _act(request, await request.form())
            if isinstance(outcome, Shown):
                context: dict[str, Any] = {"title": outcome.title, "shown": outcome}
                return self._admin._template_response(request, "shown_once.html", context)
            if outcome is None:
                return RedirectResponse(str(request.url.replace(scheme="", netloc="")), HTTPStatus.SEE_OTHER)
            typed = outcome
        after = as_id(request.query_params.get("after")) or 0
        figures = await run_sync(partial(_page, after))
        context = {"title": "Webhooks", "types": list(MessageType), "typed": typed, **figures}
        status = HTTPStatus.UNPROCESSABLE_ENTITY if typed else HTTPStatus.OK
        return self._admin._template_response(request, "webhooks.html", context, status)


def _page(after: int) -> dict[str, Any]:
    """The template's values: one page of the endpoints with ids above `after`, each with its last attempts (`tried`).

    `next_after`: the last id of the page; None if no further endpoints follow.
    """
    with snapshot() as connection:
        found = endpoints.endpoints(connection, after=after, limit=ENDPOINTS_A_PAGE + 1)
        shown = found[:ENDPOINTS_A_PAGE]
        tried = attempts.last_attempts(connection, [one.id for one in shown], ATTEMPTS_SHOWN)
    return {
        "endpoints": [webhooks.listed(one) | {"tried": tried.get(one.id, [])} for one in shown],
        "next_after": shown[-1].id if len(found) > len(shown) else None,
    }


Sent = Mapping[str, str]


async def _act(request: Request, form: FormData) -> Shown | Sent | None:
    """Runs the posted action; returns a new secret to show, the posted fields if they are refused, else None.

    Shows the outcome or error on the next page.
    Raises HTTPException (404) for an unknown action.
    """
    name = str(form.get("action", ""))
    if name not in ACTIONS:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such action.")
    sent = {field: str(value).strip() for field, value in form.multi_items()}
    sent["types"] = " ".join(map(str, form.getlist("type")))
    page = str(request.url_for("admin:webhooks"))
    try:
        outcome = await write(request, partial(ACTIONS[name], sent))
    except InvalidValue as error:
        flash(request, str(error), "error")
        return sent
    if isinstance(outcome, Shown):
        return outcome._replace(next_url=page)
    flash(request, outcome, "success")
    return None


def _add(sent: Sent, edit: Edit) -> Shown:
    brand_id = as_id(sent["brand"]) if sent.get("brand") else None
    if sent.get("brand") and brand_id is None:
        raise InvalidValue("brand", "is not a brand's id")
    types, description = sent["types"].split(), sent.get("description", "")
    made, secret = webhooks.add(sent.get("url", ""), types, description, brand_id, edit)
    return Shown(f"The secret of endpoint {made}", secret, ADVICE, "")


def _rotate(sent: Sent, edit: Edit) -> Shown:
    endpoint_id = _id(sent)
    secret = webhooks.rotate(endpoint_id, edit)
    advice = f"{ADVICE} For 24 hours messages are signed with the old secret too."
    return Shown(f"The new secret of endpoint {endpoint_id}", secret, advice, "")


def _test(sent: Sent, _edit: Edit) -> str:
    attempt = webhooks.send_test(_id(sent))
    if attempt.error:
        raise InvalidValue("test", attempt.error)
    return f"The test message was answered {attempt.status} after {attempt.duration_ms} ms."


def _enable(sent: Sent, edit: Edit) -> str:
    webhooks.change(_id(sent), edit, enabled=True)
    return "The endpoint is enabled. It gets the newest status of each campaign whose changes it missed."


def _disable(sent: Sent, edit: Edit) -> str:
    webhooks.change(_id(sent), edit, enabled=False)
    return "The endpoint is disabled. Its messages wait until it is enabled."


def _resend(sent: Sent, _edit: Edit) -> str:
    since, delivery = sent.get("since_change", ""), as_id(sent.get("delivery"))
    since_change = 0 if since == "0" else as_id(since)
    if since and since_change is None:
        raise InvalidValue("id of the status change", "must be a number, such as 1234; 0 for all")
    chosen = Range(since_change=since_change) if since else Range(first=delivery)
    count = webhooks.resend(_id(sent), chosen)
    return f"Sends {counted(count, 'message')} again."


def _remove(sent: Sent, edit: Edit) -> str:
    if not sent.get("agreed"):
        raise InvalidValue("remove", "tick the box to remove the endpoint and its messages")
    webhooks.remove(_id(sent), edit)
    return "The endpoint is removed."


def _id(sent: Sent) -> int:
    found = as_id(sent.get("endpoint"))
    if found is None:
        raise InvalidValue("endpoint", "is missing")
    return found


ACTIONS: Final[Mapping[str, Callable[[Sent, Edit], str | Shown]]] = {
    "add": _add,
    "rotate": _rotate,
    "test": _test,
    "enable": _enable,
    "disable": _disable,
    "resend": _resend,
    "remove": _remove,
}
"""By an action's name: the function that runs it and returns a sentence about its outcome, or a new secret.

That function raises InvalidValue for a wrong value in the form.
"""
