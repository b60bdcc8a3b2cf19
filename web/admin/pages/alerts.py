"""Alerts in the admin: acknowledge and mute them, set thresholds, and manage channels and routes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from anyio.to_thread import run_sync
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin import CustomView, flash
from starlette_admin.routing import route

from app.alerts import channels, reading
from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.alerts import channels as stored
from db.repository.alerts.mute_edits import Muted
from domain.alerts.channels import SERVICES
from domain.alerts.kinds import AlertKind, Timing
from domain.alerts.thresholds import DEFAULT_THRESHOLDS, OFFERED_THRESHOLDS
from domain.edits.words import counted
from domain.errors import InvalidValue
from runtime import clock
from web.admin.fields import as_id
from web.admin.views import may_edit, may_manage_access, write

ALERTS_SHOWN: Final = 100
ROWS_A_PAGE: Final = 50
"""Rows on one page of the lists of channels, routes and mutes."""

ATTEMPTS_SHOWN: Final = 5
MUTE_HOURS: Final = (1, 8, 24, 168)
WHEN: Final = {
    Timing.DEFAULT: "by urgency",
    Timing.NOW: "at once",
    Timing.DIGEST: "in the digest",
    Timing.NEVER: "never",
}

Sent = Mapping[str, str]
"""The fields of a posted form by name."""


class Alerts(CustomView):
    """The page of alerts and channels. Each button posts the name of its action."""

    menu_label = "Alerts"
    icon = "fa fa-bell"
    path = "/alerts"
    route_name = "alerts"

    @route("", methods=["GET", "POST"])
    async def index(self, request: Request) -> Response:
        """Shows the page; a post runs the action and redirects to the page, which shows the outcome.

        If the typed values are refused, answers 422 with the page and these values. Raises HTTPException: 404 for an
        unknown action, 403 if the person's role forbids the action.
        """
        typed: Sent = {}
        if request.method == "POST":
            typed = await _act(request, await request.form())
            if not typed:
                return RedirectResponse(str(request.url.replace(scheme="", netloc="")), HTTPStatus.SEE_OTHER)
        assert self._admin is not None  # noqa: S101 - set when the view is added
        context = {
            "title": "Alerts",
            "typed": typed,
            "may_edit": may_edit(request),
            "may_manage": may_manage_access(request),
            **await run_sync(partial(_figures, request.query_params)),
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if typed else HTTPStatus.OK
        return self._admin._template_response(request, "alerts.html", context, status)


class Listed(NamedTuple):
    """One page of a list: its rows, its number from 1, and the number of pages."""

    rows: Sequence[dict[str, Any]]
    number: int
    pages: int


def _listed(rows: Sequence[dict[str, Any]], number: str | None) -> Listed:
    """The page of `rows` with this number; the first page without a valid number, the last one for a larger number."""
    pages = max(1, -(-len(rows) // ROWS_A_PAGE))
    shown = min(as_id(number) or 1, pages)
    return Listed(rows[(shown - 1) * ROWS_A_PAGE : shown * ROWS_A_PAGE], shown, pages)


def _figures(query: Mapping[str, str]) -> dict[str, Any]:
    at = clock.now()
    found, routes, mutes = channels.listed()
    shown = _listed(found, query.get("channels"))
    with snapshot() as connection:
        needs = reading.needs_people(connection, at, ALERTS_SHOWN, everything=True)
        attempts = stored.last_attempts(connection, [row["id"] for row in shown.rows], ATTEMPTS_SHOWN)
    return {
        "needs": needs,
        "all_channels": found,
        "channels": shown,
        "attempts": attempts,
        "routes": _listed(routes, query.get("routes")),
        "mutes": _listed(mutes, query.get("mutes")),
        "kinds": list(AlertKind),
        "when": WHEN,
        "services": SERVICES,
        "mute_hours": MUTE_HOURS,
        "thresholds": OFFERED_THRESHOLDS,
        "default_thresholds": DEFAULT_THRESHOLDS,
    }


async def _act(request: Request, form: FormData) -> Sent:
    """Runs the posted action and shows its outcome or error on the next page.

    Returns the posted fields if they are refused, else {}. Raises HTTPException: 404 for an unknown action, 403 if the
    person's role forbids the action.
    """
    name = str(form.get("action", ""))
    if name not in ACTIONS:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such action.")
    allowed, work = ACTIONS[name]
    if not allowed(request):
        raise HTTPException(HTTPStatus.FORBIDDEN)
    sent = {field: str(value).strip() for field, value in form.multi_items()}
    sent["percents"] = " ".join(map(str, form.getlist("percent")))
    try:
        flash(request, await write(request, partial(work, sent)), "success")
    except InvalidValue as error:
        flash(request, str(error), "error")
        return sent
    return {}


def _acknowledge(sent: Sent, edit: Edit) -> str:
    channels.acknowledge([_id(sent, "alert")], edit)
    return "The alert is acknowledged."


def _mute(sent: Sent, edit: Edit) -> str:
    hours = as_id(sent.get("hours")) or MUTE_HOURS[0]
    if hours not in MUTE_HOURS:
        raise InvalidValue("hours", f"is none of {', '.join(map(str, MUTE_HOURS))}")
    muted = Muted(_brand(sent), sent.get("kind") or None, as_id(sent.get("alert")), as_id(sent.get("channel")))
    if muted == Muted():
        raise InvalidValue("mute", "choose an alert, a brand, a kind or a channel")
    channels.mute(muted, edit.at + timedelta(hours=hours), edit)
    return f"Muted for {counted(hours, 'hour')}."


def _unmute(sent: Sent, edit: Edit) -> str:
    channels.unmute(_id(sent, "mute"), edit)
    return "The mute is ended."


def _thresholds(sent: Sent, edit: Edit) -> str:
    brand_id = _brand(sent)
    if brand_id is None:
        raise InvalidValue("brand", "is missing")
    percents = [as_id(percent) for percent in sent["percents"].split()]
    if None in percents:
        raise InvalidValue("percent", "is not a whole number above 0")
    kept = channels.set_thresholds(brand_id, [percent for percent in percents if percent], edit)
    return (
        f"Brand {brand_id} has alerts at {', '.join(f'{percent} %' for percent in kept)}."
        if kept
        else f"Brand {brand_id} has no budget alerts."
    )


def _add_channel(sent: Sent, edit: Edit) -> str:
    made = channels.add(
        sent.get("name", ""),
        sent.get("url", ""),
        edit,
        brand_id=_brand(sent),
        kind=sent.get("kind") or None,
        timing=_timing(sent),
    )
    return f"Channel {made} is added. Test it now."


def _test_channel(sent: Sent, _edit: Edit) -> str:
    outcome = channels.send_test(_id(sent, "channel"))
    if not outcome.is_delivered:
        raise InvalidValue("test", f"not delivered: {outcome.detail}")
    return f"The test was delivered in {outcome.duration_ms} ms."


def _remove_channel(sent: Sent, edit: Edit) -> str:
    channels.remove(_id(sent, "channel"), edit)
    return "The channel is removed."


def _set_route(sent: Sent, edit: Edit) -> str:
    kind = sent.get("kind") or None
    channels.set_route(_id(sent, "channel"), _brand(sent), kind, _timing(sent), edit)
    return "The route is set."


def _remove_route(sent: Sent, edit: Edit) -> str:
    channels.remove_route(_id(sent, "route"), edit)
    return "The route is removed."


def _id(sent: Sent, name: str) -> int:
    found = as_id(sent.get(name))
    if found is None:
        raise InvalidValue(name, "is missing")
    return found


def _brand(sent: Sent) -> int | None:
    """The typed brand's id; None if none was typed. Raises InvalidValue for a text that is not an id."""
    if not sent.get("brand"):
        return None
    found = as_id(sent["brand"])
    if found is None:
        raise InvalidValue("brand", "is not a brand's id")
    return found


def _timing(sent: Sent) -> Timing:
    return Timing(sent["when"]) if sent.get("when") in set(Timing) else Timing.DEFAULT


ACTIONS: Final[Mapping[str, tuple[Callable[[Request], bool], Callable[[Sent, Edit], str]]]] = {
    "acknowledge": (may_edit, _acknowledge),
    "mute": (may_edit, _mute),
    "unmute": (may_edit, _unmute),
    "thresholds": (may_edit, _thresholds),
    "add_channel": (may_manage_access, _add_channel),
    "test_channel": (may_manage_access, _test_channel),
    "remove_channel": (may_manage_access, _remove_channel),
    "set_route": (may_manage_access, _set_route),
    "remove_route": (may_manage_access, _remove_route),
}
"""By an action's name: a check whether the person may run it, and the function that runs it.

That function returns a sentence about the outcome, and raises InvalidValue for a wrong value in the form.
"""
