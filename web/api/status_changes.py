"""`/api/status-changes/`: every toggle of every campaign, in commit order."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from db.engine import snapshot
from db.repository.reading import listing, status_feed
from domain.campaigns import EffectiveStatus
from domain.causes import Cause
from web import problems
from web.api.request.fields import QueryId
from web.api.request.following import FROM_THE_START, Epoch, Followed, checked_epoch
from web.api.request.keys import Reader
from web.api.request.paging import FollowedPages, Paging
from web.problems import Problem

START_OVER = f"{FROM_THE_START}, or from the current statuses in /api/campaigns/"

router = APIRouter(prefix="/api/status-changes", tags=["status changes"])


class StatusChange(BaseModel):
    """One toggle of one campaign; never edited."""

    id: int = Field(description="In commit order", examples=[117])
    brand_id: int
    campaign_id: int
    changed_at: datetime
    from_status: EffectiveStatus
    to_status: EffectiveStatus
    holds_before: list[str]
    holds_after: Annotated[list[str], Field(examples=[["brand_daily_budget"]])]
    cause: str = Field(description=f"What triggered enforcement: {', '.join(Cause)}", examples=["spend"])
    details: dict[str, Any] = Field(
        description="The brand-local day, and the spend and limit in micros of each budget that holds or held",
        examples=[
            {
                "day": "2026-11-22",
                "budgets": {"brand_daily_budget": {"spent_micros": 250_000_000, "limit_micros": 250_000_000}},
            }
        ],
    )


@router.get(
    "/",
    response_model=Followed[StatusChange],
    summary="List status changes",
    responses=problems.responses(HTTPStatus.GONE),
)
def list_status_changes(
    caller: Reader, page: FollowedPages, epoch: Epoch = None, brand_id: QueryId = None, campaign_id: QueryId = None
) -> dict[str, Any]:
    """Lists status changes, oldest first.

    To follow them, repeat the request with the last id as `after` and the page's `epoch`. Ids are in commit order, so
    no change is missed. After a restored backup ids start again in another epoch: the answer is then 410, as it is for
    an `after` that no status change has had yet.
    """
    with snapshot() as connection:
        current = checked_epoch(connection, epoch, START_OVER)
        _check_assigned(page, status_feed.last_id(connection))
        rows = listing.status_changes(
            connection, **page.rows, only_brand_id=caller.brand_id, brand_id=brand_id, campaign_id=campaign_id
        )
    return {**page.of(rows, epoch=current), "epoch": current}


def _check_assigned(page: Paging, last_id: int) -> None:
    """Raises Problem (410) if no status change has had the id `page.after` yet."""
    if page.after > last_id:
        detail = (
            f"after: no status change has had the id {page.after} yet: a backup may have been restored; {START_OVER}"
        )
        raise Problem(HTTPStatus.GONE, detail, field="after")
