"""`/api/status-changes/`: every toggle of every campaign, in the order of the commits."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from db.engine import snapshot
from db.repository import listing
from domain.campaigns import EffectiveStatus
from web.api.fields import QueryId
from web.api.keys import Reader
from web.api.paging import Listed, Pages
from workers.enforcement import Cause

router = APIRouter(prefix="/api/status-changes", tags=["status changes"])


class StatusChange(BaseModel):
    """One toggle of one campaign; never edited."""

    id: int = Field(description="Higher for what was committed later", examples=[117])
    brand_id: int
    campaign_id: int
    changed_at: datetime
    from_status: EffectiveStatus
    to_status: EffectiveStatus
    holds_before: list[str]
    holds_after: Annotated[list[str], Field(examples=[["brand_daily_budget"]])]
    cause: str = Field(description=f"What made enforcement look: {', '.join(Cause)}", examples=["spend"])
    details: dict[str, Any] = Field(
        description="The brand-local day, and spent and limit in micros of each budget that holds or held",
        examples=[
            {
                "day": "2026-11-22",
                "budgets": {"brand_daily_budget": {"spent_micros": 250_000_000, "limit_micros": 250_000_000}},
            }
        ],
    )


@router.get("/", response_model=Listed[StatusChange], summary="List status changes")
def list_status_changes(
    caller: Reader, page: Pages, brand_id: QueryId = None, campaign_id: QueryId = None
) -> dict[str, Any]:
    """Oldest first. Ask again with `after` the last id you saw: ids are in commit order, so nothing is missed."""
    with snapshot() as connection:
        rows = listing.status_changes(
            connection, **page.rows, only_brand_id=caller.brand_id, brand_id=brand_id, campaign_id=campaign_id
        )
    return page.of(rows)
