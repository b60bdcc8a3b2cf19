"""The page of open alerts, at most ALERTS_SHOWN, worst first; acknowledged and muted ones after the others."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from app.alerts import reading
from db.replica import view
from web.dashboard.pages import minute_now, page
from web.people import Viewer

ALERTS_SHOWN = 200

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/alerts")
def alerts_page(request: Request, person: Viewer) -> Response:
    """The page of the first ALERTS_SHOWN open alerts of all brands, worst first."""
    at = minute_now()
    with view() as connection:
        needs = reading.needs_people(connection, at, ALERTS_SHOWN, everything=True)
    return page(request, "alerts.html", person, {"section": "alerts", "needs": needs})
