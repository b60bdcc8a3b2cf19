"""The schedule editor: one campaign's week as a grid and as text, with a preview of the next seven days."""

from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette_admin import CustomView, flash
from starlette_admin.routing import route

from app.edits import editing
from app.edits.preview import Unconfirmed
from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from domain.edits.fields import SCHEDULE_FIELDS
from domain.errors import InvalidValue
from domain.periods import ONE_DAY, day_starts_at, local_day
from domain.schedules import WEEKDAYS, Schedule, format_schedule, open_stretches, parse_schedule
from domain.zones import time_zone
from runtime import clock
from web.admin import consent, stale
from web.admin.fields import as_id
from web.admin.origins import leading_back, origin_of
from web.admin.stale import EditedSince
from web.admin.views import may_edit, write
from web.marks import edit_mark

DAYS_AHEAD: Final = 7
MAX_TEXT: Final = 10_000
USUAL_DAY: Final = timedelta(hours=24)


class Edited(NamedTuple):
    """The campaign whose schedule the page edits, with its brand and its stored schedule."""

    campaign: dict[str, Any]
    brand: dict[str, Any]
    schedule: Schedule


class ScheduleEditor(CustomView):
    """The page that edits one campaign's schedule, and the preview that the page's script requests."""

    path = "/campaigns/{campaign_id}/schedule"
    route_name = "schedule"
    add_to_menu = False

    @route("", methods=["GET", "POST"])
    async def index(self, request: Request) -> Response:
        """Shows the editor; a post saves the schedule, once its effect is confirmed, and redirects to the page before.

        Answers 422 with the page for an invalid schedule, and if somebody edited the schedule meanwhile. Raises
        HTTPException: 403 if a viewer posts, 404 if there is no such campaign.
        """
        if (back := leading_back(request)) is not None:
            return back
        page = await run_sync(_load, request.path_params["campaign_id"])
        if request.method == "GET":
            return self._page(request, page, format_schedule(page.schedule))
        if not may_edit(request):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        text = str((await request.form()).get("schedule") or "")
        request.state.seen = seen = await stale.mark_in_form(request)
        try:
            wanted = _read(text)
            await consent.read(request)
            await write(request, partial(_save, request, page.campaign, wanted, seen))
        except InvalidValue as error:
            return self._page(
                request, page, text, f"{error.message}; nothing was saved, and the grid shows the stored schedule"
            )
        except EditedSince as error:
            request.state.stale = error.sentence
            return self._page(request, page, text)
        except Unconfirmed as error:
            request.state.unconfirmed = error.effect
            return self._page(request, page, text)
        consent.show_effect(request)
        flash(
            request, f"{page.campaign['name']} serves {format_schedule(wanted)}, in its brand's local time.", "success"
        )
        return RedirectResponse(origin_of(request), HTTPStatus.SEE_OTHER)

    @route("/preview", name="schedule-preview")
    async def preview(self, request: Request) -> Response:
        """Answers the dayparts and next seven days of the typed schedule, as JSON.

        422 with the reason if the text is not a schedule; 404 if there is no such campaign.
        """
        page = await run_sync(_load, request.path_params["campaign_id"])
        try:
            wanted = _read(request.query_params.get("schedule", ""))
        except InvalidValue as error:
            return JSONResponse({"error": error.message}, HTTPStatus.UNPROCESSABLE_ENTITY)
        return JSONResponse(previewed(wanted, clock.now(), time_zone(page.brand["time_zone"])))

    def _page(self, request: Request, page: Edited, text: str, error: str | None = None) -> Response:
        assert self._admin is not None  # noqa: S101 - set when the view is added
        sent: str | None = getattr(request.state, "seen", None)
        context = {
            "seen": edit_mark(_set_by_people(page.schedule), SCHEDULE_FIELDS) if sent is None else sent,
            "title": f"Schedule of {page.campaign['name']}",
            "campaign": page.campaign,
            "brand": page.brand,
            "text": text,
            "stored": format_schedule(page.schedule),
            "error": error,
            "weekdays": WEEKDAYS,
            "may_edit": may_edit(request),
        }
        refused = error or hasattr(request.state, "stale")
        status = HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK
        return self._admin._template_response(request, "schedule.html", context, status)


def _load(campaign_id: str) -> Edited:
    """The campaign with its brand and schedule. Raises HTTPException (404) if it does not exist."""
    try:
        with snapshot() as connection:
            campaign = catalog.campaign(connection, as_id(campaign_id) or 0)
            brand = catalog.brand(connection, campaign["brand_id"])
            return Edited(campaign, brand, catalog.schedule_of(connection, campaign["id"]))
    except InvalidValue:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no campaign {campaign_id}.") from None


def _read(text: str) -> Schedule:
    if len(text) > MAX_TEXT:
        raise InvalidValue("schedule", f"is over {MAX_TEXT} characters long")
    return parse_schedule(text)


def _set_by_people(schedule: Schedule) -> dict[str, Any]:
    return {"dayparts": [asdict(part) for part in schedule]}


def _save(request: Request, campaign: dict[str, Any], schedule: Schedule, seen: str, edit: Edit) -> None:
    def work(connection: Connection) -> None:
        now = _set_by_people(catalog.schedule_of(connection, campaign["id"]))
        stale.check(connection, seen, now, SCHEDULE_FIELDS, ("schedule", campaign["id"]))
        editing.set_schedule(connection, campaign["id"], schedule, edit)

    consent.make(request, work, campaign["brand_id"])


def previewed(schedule: Schedule, at: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """The schedule as JSON for static/schedule.js: its dayparts, and seven local days, the first with `at` in it.

    `parts`: [weekday, start minute, end minute] of each daypart; `days`: each day's open stretches in local time;
    `total`: the hours of all of them, as text.
    """
    today = local_day(at, zone)
    days = [today + number * ONE_DAY for number in range(DAYS_AHEAD)]
    bounds = [(day_starts_at(day, zone), day_starts_at(day + ONE_DAY, zone)) for day in days]
    opened = [open_stretches(schedule, *bound, zone) for bound in bounds]
    total = sum((ends - starts for stretches in opened for starts, ends in stretches), timedelta())
    return {
        "parts": [[part.weekday, part.starts_minute, part.ends_minute] for part in schedule],
        "time_zone": zone.key,
        "total": _hours(total),
        "days": [
            {
                "day": f"{day:%a %-d %b}",
                "note": _note(ends_at - starts_at),
                "stretches": [_stretch(*stretch, ends_at, zone) for stretch in stretches],
            }
            for day, (starts_at, ends_at), stretches in zip(days, bounds, opened, strict=True)
        ],
    }


def _stretch(starts: datetime, ends: datetime, day_ends_at: datetime, zone: ZoneInfo) -> dict[str, str]:
    """An open stretch as texts: `from` and `to` in local time, and its `hours`.

    If clocks change within the stretch, times other than an end at 24:00 have the zone's abbreviation, such as EDT.
    """
    first, last = starts.astimezone(zone), ends.astimezone(zone)
    form = "%H:%M" if first.utcoffset() == last.utcoffset() else "%H:%M %Z"
    until = "24:00" if ends == day_ends_at else last.strftime(form)
    return {"from": first.strftime(form), "to": until, "hours": _hours(ends - starts)}


def _hours(length: timedelta) -> str:
    minutes = length // timedelta(minutes=1)
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest else "") if part) or "0 h"


def _note(length: timedelta) -> str | None:
    """A remark about the length of a day, such as `clocks go back: this day has 25 h`; None for a day of 24 hours."""
    if length == USUAL_DAY:
        return None
    way = "forward" if length < USUAL_DAY else "back"
    return f"clocks go {way}: this day has {_hours(length)}"
