"""The first page: open alerts, each brand's spend today and this month, and a live list of status changes."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from app.alerts import reading
from db.replica import view
from db.repository.enforcement import passes
from db.repository.imports import spend_files
from db.repository.reading import dashboard, overview
from web.dashboard import platform_cards
from web.dashboard.brand_figures import brand_figures
from web.dashboard.held import brand_statuses
from web.dashboard.pages import STATIC, minute_now, page
from web.people import Viewer

BRANDS_A_PAGE = 50
CHANGES_SHOWN = 12
GROUPS_SHOWN = 3
FILES_SHOWN = 10
ALERTS_SHOWN = 5
MAX_PAGE = 100_000

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

Name = Annotated[str, Query(max_length=200)]
Sort = Literal["used", "today", "month", "name"]
PageNumber = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.get("/favicon.ico")
def icon() -> Response:
    """The icon for clients that request /favicon.ico without reading a page."""
    return FileResponse(STATIC / "icon.svg", headers={"Cache-Control": "public, max-age=86400"})


@router.get("/")
def brands_page(
    request: Request, person: Viewer, q: Name = "", sort: Sort = "used", number: PageNumber = 1, archived: bool = False
) -> Response:
    """The brands, one page at a time; brands nearest to their limits first, unless another order is chosen."""
    at = minute_now()
    with view() as connection:
        rows = dashboard.brands(
            connection,
            at,
            name_contains=q,
            sort=sort,
            archived=archived,
            offset=(number - 1) * BRANDS_A_PAGE,
            limit=BRANDS_A_PAGE,
        )
        statuses = brand_statuses(connection, [row["id"] for row in rows], at, GROUPS_SHOWN)
        context: dict[str, Any] = {
            "section": "brands",
            "at": at,
            "under_way": passes.progress(connection, [row["id"] for row in rows]),
            "tally": overview.tally(connection),
            "changes": dashboard.changes(connection, limit=CHANGES_SHOWN),
            "last_change": dashboard.last_change(connection),
            "platforms": platform_cards.card(connection, at),
            "not_imported": spend_files.problems(connection, FILES_SHOWN),
            "needs": reading.needs_people(connection, at, ALERTS_SHOWN),
        }
    context |= {
        "brands": brand_figures(rows, statuses, at),
        "groups": GROUPS_SHOWN,
        "matching": rows[0]["matching"] if rows else 0,
        "q": q,
        "sort": sort,
        "archived": archived,
        "number": number,
        "pages": -(-rows[0]["matching"] // BRANDS_A_PAGE) if rows else 1,
    }
    return page(request, "overview.html", person, context)
