"""`/api/budgets/`: limits by period, of a brand or of one campaign."""

from datetime import date, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app.access import Caller
from app.edits import editing
from app.enforcement import edited, edited_then
from db.engine import snapshot
from db.repository.catalog import catalog
from db.repository.catalog.idempotency import Answer
from db.repository.reading import listing
from domain.edits.fields import BUDGET_FIELDS
from domain.periods import Period
from runtime import clock
from web import problems
from web.api.brands import EDITS, GONE, UNCHANGED
from web.api.campaigns import visible_campaign
from web.api.request import etags
from web.api.request.dry_runs import (
    PREVIEW,
    DryRun,
    EditPreview,
    previewed,
)
from web.api.request.edits import Keyed, created, created_answer
from web.api.request.etags import IfMatch, IfNoneMatch
from web.api.request.fields import (
    Body,
    Id,
    LimitMicros,
    PathId,
    QueryId,
)
from web.api.request.keys import (
    Manager,
    Reader,
    edit_by,
    visible_to,
)
from web.api.request.paging import Listed, Pages
from web.api.request.reading import JsonRoute
from web.problems import Problem

router = APIRouter(prefix="/api/budgets", tags=["budgets"], route_class=JsonRoute)


class Budget(BaseModel):
    """A limit for one period, with the spend of the current window."""

    id: int = Field(examples=[5])
    brand_id: int = Field(examples=[3])
    campaign_id: int | None = Field(description="Null: the budget limits all campaigns of the brand together")
    period: Period = Field(description="Weeks begin on Monday; windows follow the brand's calendar")
    limit_micros: int = Field(description="Millionths of the brand's currency unit; 0 pauses campaigns at once")
    changed_at: datetime
    spent_micros: int | None = Field(
        description="Spent in the current window; null if the brand's time zone does not exist"
    )
    window_first_day: date | None = Field(description="First brand-local day of the window; null for a lifetime budget")
    window_end_day: date | None = Field(description="The day after the window's last day; null for a lifetime budget")


class NewBudget(Body):
    """The request to create a budget of a campaign, or without `campaign_id` of the brand itself."""

    brand_id: Id
    campaign_id: Id | None = None
    period: Period
    limit_micros: LimitMicros


class BudgetChanges(Body):
    """The request to change a limit. The new limit applies to the whole current window."""

    limit_micros: LimitMicros


def _body(connection: Connection, budget_id: int) -> dict[str, Any]:
    return Budget(**listing.budget(connection, budget_id, clock.now())).model_dump(mode="json")


def _visible_body(connection: Connection, caller: Caller, budget_id: int) -> dict[str, Any]:
    return visible_to(caller, "budget", _body(connection, budget_id))


def _brand_of_visible(caller: Caller, budget_id: int) -> int:
    """The id of the budget's brand; a budget keeps its brand.

    Raises InvalidValue if the budget does not exist or the caller may not see it.
    """
    with snapshot() as connection:
        return int(visible_to(caller, "budget", catalog.budget(connection, budget_id))["brand_id"])


@router.get("/", response_model=Listed[Budget], summary="List budgets")
def list_budgets(
    caller: Reader, page: Pages, brand_id: QueryId = None, campaign_id: QueryId = None, period: Period | None = None
) -> dict[str, Any]:
    """Lists budgets in id order, each with the spend of its current window."""
    with snapshot() as connection:
        rows = listing.budgets(
            connection,
            clock.now(),
            **page.rows,
            only_brand_id=caller.brand_id,
            brand_id=brand_id,
            campaign_id=campaign_id,
            period=period,
        )
    return page.of(rows)


@router.post(
    "/",
    response_model=Budget,
    status_code=HTTPStatus.CREATED,
    summary="Create a budget",
    responses={**PREVIEW, **problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)},
)
def create_budget(caller: Manager, keyed: Keyed, new: NewBudget, dry_run: DryRun = False) -> Response:
    """Creates a budget and enforces it in the same commit. 409 if the brand or campaign has a budget of this period."""
    visible_to(caller, "brand", {"id": new.brand_id})
    edit = edit_by(caller)

    def create(connection: Connection) -> int:
        visible_to(caller, "brand", listing.brand(connection, new.brand_id))
        if new.campaign_id is not None:
            visible_campaign(connection, caller, new.campaign_id)
        existing = catalog.budget_of(connection, new.brand_id, new.campaign_id, new.period)
        if existing is not None:
            detail = f"budget {existing} has this period already; change its limit"
            raise Problem(HTTPStatus.CONFLICT, detail, field="period")
        return editing.set_budget(connection, edit=edit, **new.model_dump())

    def answer(connection: Connection, budget_id: int) -> Answer:
        return created_answer(f"/api/budgets/{budget_id}/", _body(connection, budget_id), BUDGET_FIELDS)

    if dry_run:
        return previewed(create, new.brand_id)
    return created(caller, keyed, create, answer, brand_id=new.brand_id)


@router.get("/{budget_id}/", response_model=Budget, summary="Read a budget", responses={**GONE, **UNCHANGED})
def read_budget(caller: Reader, budget_id: PathId, if_none_match: IfNoneMatch = None) -> Response:
    """Returns one budget, with an ETag. Answers 304 if `If-None-Match` has this ETag."""
    with snapshot() as connection:
        body = _visible_body(connection, caller, budget_id)
    return etags.read(body, BUDGET_FIELDS, if_none_match)


@router.patch("/{budget_id}/", response_model=Budget | EditPreview, summary="Change a limit", responses=EDITS)
def edit_budget(
    caller: Manager, budget_id: PathId, changes: BudgetChanges, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response:
    """Changes the limit and enforces it in the same commit: campaigns stop or, without another hold, serve at once."""
    edit = edit_by(caller)

    def change(connection: Connection) -> int:
        old = _visible_body(connection, caller, budget_id)
        etags.check_match(if_match, etags.etag_of(old, BUDGET_FIELDS))
        owner = old["brand_id"], old["campaign_id"]
        editing.set_budget(connection, *owner, Period(old["period"]), changes.limit_micros, edit)
        return budget_id

    brand_id = _brand_of_visible(caller, budget_id)
    if dry_run:
        return previewed(change, brand_id)
    return etags.tagged(edited_then(change, brand_id, _body), BUDGET_FIELDS)


@router.delete(
    "/{budget_id}/", status_code=HTTPStatus.NO_CONTENT, summary="Remove a budget", responses={**PREVIEW, **EDITS}
)
def remove_budget(caller: Manager, budget_id: PathId, if_match: IfMatch = None, dry_run: DryRun = False) -> Response:
    """Removes the budget and lifts its hold. Its past limits stay in the history."""
    edit = edit_by(caller)

    def remove(connection: Connection) -> None:
        old = _visible_body(connection, caller, budget_id)
        etags.check_match(if_match, etags.etag_of(old, BUDGET_FIELDS))
        editing.remove_budget(connection, old["brand_id"], old["campaign_id"], Period(old["period"]), edit)

    brand_id = _brand_of_visible(caller, budget_id)
    if dry_run:
        return previewed(remove, brand_id)
    edited(remove, brand_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)
