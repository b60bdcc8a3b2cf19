"""One brand: its budgets, plots of its day and month, and its campaigns with their holds and return times."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from app.platforms.seen import on_platforms
from db.replica import view
from db.repository.catalog import catalog
from db.repository.enforcement import passes
from db.repository.enforcement.facts import load
from db.repository.reading import dashboard
from db.repository.reading.hours import hours_of
from domain.enforcement import Explanation, explain
from domain.errors import InvalidValue
from domain.inputs.values import MAX_ID
from domain.periods import Period, local_day, window_of
from web.dashboard import platform_cards
from web.dashboard.brand_figures import BrandFigures, brand_figures, budget_paces
from web.dashboard.brand_plots import day_chart, month_chart
from web.dashboard.held import GROUPS_EXPLAINED, brand_statuses
from web.dashboard.overview import Name, PageNumber
from web.dashboard.pages import minute_now, not_found, page
from web.dashboard.timelines import ticks, timeline, timeline_span
from web.people import Viewer

CAMPAIGNS_A_PAGE: Final = 50
CHANGES_SHOWN: Final = 12
WEEKS_BEFORE: Final = 7

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

Status = Literal["", "active", "inactive"]
CampaignSort = Literal["held", "today", "name"]
TimelineDays = Annotated[int, Query(ge=1, le=31)]


@router.get("/brands/{brand_id}")
def brand_page(
    request: Request,
    person: Viewer,
    brand_id: int,
    q: Name = "",
    status: Status = "",
    sort: CampaignSort = "held",
    number: PageNumber = 1,
    days: TimelineDays = 1,
    archived: bool = False,
) -> Response:
    """The page of one brand now; the 404 page if there is none, or its time zone does not exist."""
    at = minute_now()
    with view() as connection:
        figures = _figures(connection, brand_id, at)
        if figures is None:
            return not_found(request, f"There is no brand {brand_id}.")
        rows = dashboard.campaigns(
            connection,
            brand_id,
            local_day(at, figures.zone),
            name_contains=q,
            status=status or None,
            sort=sort,
            archived=archived,
            offset=(number - 1) * CAMPAIGNS_A_PAGE,
            limit=CAMPAIGNS_A_PAGE,
        )
        context = {
            "groups": GROUPS_EXPLAINED,
            "budgets": _budgets(connection, figures, at),
            "charts": _charts(connection, figures, at),
            "changes": dashboard.changes(connection, brand_id=brand_id, limit=CHANGES_SHOWN),
            **_common(connection, rows, figures, at, days),
            **_on_platforms(connection, brand_id, rows, at),
        }
    context |= {"q": q, "status": status, "sort": sort, "number": number, "archived": archived}
    context["pages"] = -(-context["matching"] // CAMPAIGNS_A_PAGE) or 1
    return page(request, "brand.html", person, context)


@router.get("/campaigns/{campaign_id}")
def campaign_page(request: Request, person: Viewer, campaign_id: int, days: TimelineDays = 7) -> Response:
    """The page of one campaign: why it serves or not, its budgets, and its history.

    The 404 page if there is no such campaign, or its brand's time zone does not exist.
    """
    at = minute_now()
    with view() as connection:
        try:
            brand_id = catalog.brand_of(connection, campaign_id)
        except InvalidValue:
            return not_found(request, f"There is no campaign {campaign_id}.")
        figures = _figures(connection, brand_id, at, with_campaigns=False)
        if figures is None:
            return not_found(request, "The brand's time zone does not exist.")
        day = local_day(at, figures.zone)
        rows = dashboard.campaigns(connection, brand_id, day, campaign_id=campaign_id, archived=True)
        context = {
            "schedule": catalog.schedule_of(connection, campaign_id),
            "budgets": _budgets_of_campaign(connection, figures, rows[0], at),
            "changes": dashboard.changes(connection, campaign_id=campaign_id, limit=CHANGES_SHOWN),
            **_common(connection, rows, figures, at, days),
            "on_platform": on_platforms(connection, [campaign_id], at).get(campaign_id),
        }
    return page(request, "campaign.html", person, context)


def _common(
    connection: Connection, rows: list[dict[str, Any]], brand: BrandFigures, at: datetime, days: int
) -> dict[str, Any]:
    """The values that the templates of a brand and of a campaign share. `rows`: the campaigns to show."""
    return {
        "section": "brands",
        "at": at,
        "brand": brand,
        "under_way": passes.progress(connection, [brand.id]),
        "last_change": dashboard.last_change(connection),
        "days": days,
        **_campaigns(connection, rows, brand, at, days),
    }


def _on_platforms(connection: Connection, brand_id: int, rows: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    """The template's `platforms`, the brand's connected accounts, and `on_platform`, campaigns' platform status by id.

    Costs one small query if the brand has no connected account.
    """
    accounts = platform_cards.card_of_brand(connection, brand_id, at)
    ids = [row["id"] for row in rows]
    return {
        "platforms": accounts,
        "on_platform": on_platforms(connection, ids, at) if accounts else {},
    }


def _figures(
    connection: Connection, brand_id: int, at: datetime, *, with_campaigns: bool = True
) -> BrandFigures | None:
    """The brand's figures; None if there is no such brand, or its time zone does not exist.

    Without `with_campaigns` the campaigns are not counted: `active` is 0, and `held` and `limits` are empty.
    """
    if not 0 < brand_id <= MAX_ID:
        return None
    rows = dashboard.brands(connection, at, archived=True, brand_id=brand_id)
    figures = brand_figures(rows, brand_statuses(connection, [brand_id], at) if with_campaigns else {}, at)
    return figures[0] if figures else None


def _budgets(connection: Connection, brand: BrandFigures, at: datetime) -> list[Any]:
    """The period of each of the brand's own budgets, and its Pace: spend, limit and projection."""
    rows = dashboard.budgets(connection, at, brand.id, brand.zone.key)
    return list(budget_paces(rows, brand.zone, at, brand.limits, serves=not brand.is_stopped))


def _budgets_of_campaign(
    connection: Connection, brand: BrandFigures, campaign: Mapping[str, Any], at: datetime
) -> list[Any]:
    rows = dashboard.budgets(connection, at, brand.id, brand.zone.key, campaign["id"])
    if not rows:
        return []
    (stored,) = load(connection, [brand.id], at, [campaign["id"]])
    return list(budget_paces(rows, brand.zone, at, stored.row.campaign.budgets, serves=not campaign["holds"]))


def _charts(connection: Connection, brand: BrandFigures, at: datetime) -> list[dict[str, Any]]:
    today = local_day(at, brand.zone)
    month = window_of(Period.MONTHLY, today)
    assert month.end_day is not None  # noqa: S101 - months end
    weekdays = [today, *(today - timedelta(weeks=weeks) for weeks in range(1, WEEKS_BEFORE + 1))]
    hours = hours_of(connection, brand.id, weekdays)
    spent = dashboard.days(connection, brand.id, month.first_day, month.end_day)
    return [
        day_chart(hours, today, brand.today.spent_micros, brand.today.limit_micros, at, brand.zone),
        month_chart(spent, month.first_day, month.end_day, brand.month, at, brand.zone),
    ]


def _campaigns(
    connection: Connection, rows: list[dict[str, Any]], brand: BrandFigures, at: datetime, days: int
) -> dict[str, Any]:
    """The template's values of the page's campaigns: why each is held, when it serves again, and its timeline."""
    ids = [row["id"] for row in rows]
    starts_at, ends_at = timeline_span(brand.zone, at, days)
    history = dashboard.hold_history(connection, ids, starts_at)
    explanations = _explained(connection, brand.id, ids, at)
    return {
        "campaigns": [
            {
                **row,
                "explained": explanations.get(row["id"]),
                **timeline(history[row["id"]], starts_at, ends_at, at),
            }
            for row in rows
        ],
        "matching": rows[0]["matching"] if rows else 0,
        "timeline": {"starts_at": starts_at, "ends_at": ends_at, "ticks": ticks(starts_at, ends_at, brand.zone)},
    }


def _explained(connection: Connection, brand_id: int, ids: list[int], at: datetime) -> dict[int, Explanation]:
    loaded = load(connection, [brand_id], at, ids) if ids else []
    return {stored.campaign_id: explain(stored.row.campaign, at) for stored in loaded}
