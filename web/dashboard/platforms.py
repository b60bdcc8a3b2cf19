"""The page of connected ad platform accounts."""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from db.replica import view
from web.dashboard import platform_cards
from web.dashboard.overview import PageNumber
from web.dashboard.pages import minute_now, page
from web.people import Viewer

ACCOUNTS_A_PAGE: Final = 50

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/platforms")
def platforms_page(request: Request, person: Viewer, number: PageNumber = 1) -> Response:
    """The connected accounts, one page at a time, failing ones first."""
    at = minute_now()
    with view() as connection:
        shown = platform_cards.summary(connection, at, (number - 1) * ACCOUNTS_A_PAGE, ACCOUNTS_A_PAGE)
    pages = -(-shown["matching"] // ACCOUNTS_A_PAGE) if shown else 1
    context = {"section": "platforms", "at": at, "platforms": shown, "number": number, "pages": pages}
    return page(request, "platforms.html", person, context)
