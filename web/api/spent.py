"""`GET /api/spend/`: spend by day, month or campaign, from the counters."""

from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app.access import Caller
from db.engine import snapshot
from db.repository.reading import listing
from domain.errors import InvalidValue
from domain.periods import Period, local_day, window_of
from domain.zones import time_zone
from runtime import clock
from web import problems
from web.api.campaigns import visible_campaign
from web.api.request.fields import Day, QueryId
from web.api.request.keys import Reader, visible_to
from web.api.request.paging import Pages

router = APIRouter(prefix="/api/spend", tags=["spend"])

MAX_DAYS: Final = 400
DEFAULT_DAYS: Final = 30


FirstDay = Annotated[Day | None, Query(alias="from", description="Brand-local; 29 days before `to` by default")]
LastDay = Annotated[Day | None, Query(alias="to", description="Brand-local, included; today by default")]


class By(StrEnum):
    """How the answer groups spend: one item for each day, month or campaign, or one item for all of it."""

    DAY = "day"
    MONTH = "month"
    CAMPAIGN = "campaign"
    TOTAL = "total"


class DaySpend(BaseModel):
    """The spend of one brand-local day."""

    day: date
    spent_micros: int


class MonthSpend(BaseModel):
    """The spend of the requested days within one month."""

    month: str = Field(examples=["2026-11"])
    spent_micros: int


class CampaignSpend(BaseModel):
    """The spend of one campaign."""

    campaign_id: int
    name: str
    spent_micros: int


class TotalSpend(BaseModel):
    """The spend of all requested days."""

    total: bool = Field(True, description="Always true")
    spent_micros: int


class Spend(BaseModel):
    """Spend of a brand or of one of its campaigns. Days and campaigns without spend are left out."""

    brand_id: int
    campaign_id: int | None
    currency: str = Field(examples=["USD"])
    first_day: date = Field(description="Brand-local, included")
    last_day: date = Field(description="Brand-local, included")
    spent_micros: int = Field(description="The spend of all these days, on every page")
    items: list[DaySpend] | list[MonthSpend] | list[CampaignSpend] | list[TotalSpend]
    next_after: int | None = Field(description="`after` of the next page, by campaign; null on the last one")


@router.get("/", response_model=Spend, summary="Read spend", responses=problems.responses(HTTPStatus.NOT_FOUND))
def read_spend(
    caller: Reader,
    page: Pages,
    brand_id: QueryId = None,
    campaign_id: QueryId = None,
    first_day: FirstDay = None,
    last_day: LastDay = None,
    by: By = By.DAY,
) -> dict[str, Any]:
    """Reads the spend of a brand or campaign on up to 400 days. Only `by=campaign` has several pages."""
    with snapshot() as connection:
        brand = _brand(connection, caller, brand_id, campaign_id)
        days = _days(first_day, last_day, local_day(clock.now(), time_zone(brand["time_zone"])))
        spent = listing.spend_by_day(connection, brand["id"], campaign_id, *days)
        if by is By.CAMPAIGN:
            rows = listing.spend_by_campaign(connection, brand["id"], campaign_id, days, **page.rows)
            listed = page.of(rows, key="campaign_id")
        else:
            listed = {"items": _items(by, spent), "next_after": None}
    return {
        "brand_id": brand["id"],
        "campaign_id": campaign_id,
        "currency": brand["currency"],
        "first_day": days[0],
        "last_day": days[1],
        "spent_micros": sum(micros for _, micros in spent),
        **listed,
    }


def _brand(connection: Connection, caller: Caller, brand_id: int | None, campaign_id: int | None) -> dict[str, Any]:
    """The row of the brand `brand_id`, or of the brand of `campaign_id`.

    Raises InvalidValue if both are None, if the campaign is another brand's, and for one that the caller may not see.
    """
    if campaign_id is not None:
        owner = int(visible_campaign(connection, caller, campaign_id)["brand_id"])
        if brand_id not in {None, owner}:
            raise InvalidValue("campaign_id", f"campaign {campaign_id} does not belong to brand {brand_id}")
        return listing.brand(connection, owner)
    if brand_id is None:
        raise InvalidValue("brand_id", "name the brand or the campaign: brand_id or campaign_id")
    return visible_to(caller, "brand", listing.brand(connection, brand_id))


def _days(first_day: date | None, last_day: date | None, today: date) -> tuple[date, date]:
    """The first and last day to read. `last_day` None: today; `first_day` None: DEFAULT_DAYS days up to the last day.

    Raises InvalidValue if they are not 1 to MAX_DAYS days.
    """
    last = today if last_day is None else last_day
    first = last - timedelta(days=DEFAULT_DAYS - 1) if first_day is None else first_day
    if not first <= last < first + timedelta(days=MAX_DAYS):
        raise InvalidValue("from", f"{first} to {last} are not 1 to {MAX_DAYS} days")
    return first, last


def _items(by: By, spent: Iterable[tuple[date, int]]) -> list[dict[str, Any]]:
    if by is By.DAY:
        return [{"day": day, "spent_micros": micros} for day, micros in spent]
    if by is By.TOTAL:
        return [{"total": True, "spent_micros": sum(micros for _, micros in spent)}]
    months: dict[str, int] = {}
    for day, micros in spent:
        month = f"{window_of(Period.MONTHLY, day).first_day:%Y-%m}"
        months[month] = months.get(month, 0) + micros
    return [{"month": month, "spent_micros": micros} for month, micros in months.items()]
