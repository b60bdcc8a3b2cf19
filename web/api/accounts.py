"""`/api/platform-accounts/`, `/api/campaigns/{id}/move/`: accounts on ad platforms, and moves to another brand."""

from datetime import date, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app.access import Caller
from app.edits import moves
from app.edits.moves import Move
from db.engine import committed, snapshot
from db.repository.catalog import platform_accounts
from db.repository.catalog.idempotency import Answer
from db.repository.platforms import seen
from db.repository.platforms.bounds import bounds_of_accounts
from db.repository.reading import listing
from domain.errors import NotFound
from runtime import clock
from web import problems
from web.api.brands import EDITS, GONE, UNCHANGED
from web.api.campaigns import visible_campaign
from web.api.connection_fields import PlatformConnection, connection_body
from web.api.request import etags
from web.api.request.edits import Keyed, created, created_answer
from web.api.request.etags import IfNoneMatch
from web.api.request.fields import (
    Body,
    Day,
    Id,
    Line,
    PathId,
)
from web.api.request.keys import (
    Manager,
    Reader,
    edit_by,
    needs_all_brands,
    visible_to,
)
from web.api.request.paging import Listed, Pages

router = APIRouter(prefix="/api", tags=["platform accounts"])


class PlatformAccount(BaseModel):
    """An account on one ad platform. It may have campaigns of the brands that are bound to it."""

    id: int = Field(examples=[5])
    platform: str = Field(examples=["google_ads"])
    account_id: str | None = Field(description="The account's id on the platform; null for a brand's default account")
    name: str
    default_of_brand_id: int | None = Field(
        description="The brand whose campaigns are in this account if they name no account; null for an account that "
        "is no brand's default, and for a key of another brand"
    )
    brand_ids: list[int] = Field(description="The brands it is bound to; a key of one brand gets only that brand")
    created_at: datetime
    connection: PlatformConnection | None = Field(description="How it is read and changed; null if it is not connected")


class NewPlatformAccount(Body):
    """The request to create an account."""

    platform: Annotated[Line, Field(examples=["google_ads"])]
    account_id: Annotated[Line, Field(examples=["8123456"])]
    name: Line | None = None
    brand_ids: list[Id] = Field(default=[], max_length=1000)


class Binding(Body):
    """The request to bind a brand to an account."""

    brand_id: Id


class NewMove(Body):
    """The request to move a campaign's external id to another brand."""

    to_brand_id: Id
    from_day: Annotated[
        Day | None,
        Field(description="First day counted in the new brand; null: today, or the day after the last spend if later"),
    ] = None
    copy_budgets_and_schedule: bool = False
    dry_run: Annotated[bool, Field(description="Return the effect and change nothing")] = False


class MovedCampaign(BaseModel):
    """The effect of moving a campaign's external id to another brand."""

    campaign_id: int
    from_brand_id: int
    new_campaign_id: int = Field(description="The new campaign's id; in a dry run, an unused id")
    to_brand_id: int
    from_day: date = Field(description="First day that counts for the new campaign, by the old brand's calendar")
    old_ends_on: date | None = Field(
        description="The last day on which the old campaign may serve; null: it is archived"
    )
    copied_budgets: int
    stops: list[int] = Field(description="Campaigns that stop serving")
    starts: list[int] = Field(description="Campaigns that start to serve")
    dry_run: bool


def _body(connection: Connection, account_id: int, caller: Caller) -> dict[str, Any]:
    """The account as JSON.

    Raises InvalidValue if it does not exist, or if the caller's key is of a brand to which the account is not bound.
    """
    after = account_id - 1
    listed = platform_accounts.accounts(connection, after=after, limit=1, only_brand_id=caller.brand_id)
    if not listed or listed[0]["id"] != account_id:
        raise NotFound("platform account", f"there is no platform account {account_id}")
    return PlatformAccount(**_with_connections(connection, listed, caller)[0]).model_dump(mode="json")


def _with_connections(connection: Connection, rows: list[dict[str, Any]], caller: Caller) -> list[dict[str, Any]]:
    """The rows of accounts, each with its `connection` as the caller may see it; None if it is not connected."""
    connected = seen.accounts_by_id(connection, [row["id"] for row in rows], clock.now()) if rows else {}
    bounds = bounds_of_accounts(connection, list(connected))
    sees_all = caller.brand_id is None
    bodies = {
        account: connection_body(found, bounds.get(account), sees_all=sees_all) for account, found in connected.items()
    }
    return [{**_seen_by(caller, row), "connection": bodies.get(row["id"])} for row in rows]


def _seen_by(caller: Caller, row: dict[str, Any]) -> dict[str, Any]:
    """The row; a key of one brand gets `default_of_brand_id` as None if that is another brand."""
    is_of_another = caller.brand_id is not None and row["default_of_brand_id"] != caller.brand_id
    return {**row, "default_of_brand_id": None} if is_of_another else row


@router.get("/platform-accounts/", response_model=Listed[PlatformAccount], summary="List platform accounts")
def list_accounts(
    caller: Reader,
    page: Pages,
    connected: Annotated[
        bool | None, Query(description="true: only connected accounts; false: only accounts that are not connected")
    ] = None,
) -> dict[str, Any]:
    """Lists accounts in id order. A key of one brand lists only the accounts bound to that brand."""
    with snapshot() as connection:
        rows = platform_accounts.accounts(
            connection, **page.rows, only_brand_id=caller.brand_id, is_connected=connected
        )
        return page.of(_with_connections(connection, rows, caller))


@router.get(
    "/platform-accounts/{account_id}/",
    response_model=PlatformAccount,
    summary="Read a platform account",
    responses={**GONE, **UNCHANGED},
)
def read_account(caller: Reader, account_id: PathId, if_none_match: IfNoneMatch = None) -> Response:
    """Returns one account with its connection, with an ETag. Answers 304 if `If-None-Match` has this ETag."""
    with snapshot() as connection:
        body = _body(connection, account_id, caller)
    return etags.read(body, frozenset(), if_none_match)


@router.post(
    "/platform-accounts/",
    response_model=PlatformAccount,
    status_code=HTTPStatus.CREATED,
    summary="Create a platform account",
    responses=problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
def create_account(caller: Manager, keyed: Keyed, new: NewPlatformAccount) -> Response:
    """Creates an account and binds the given brands to it. Needs a key for all brands."""
    needs_all_brands(caller)

    def create(connection: Connection) -> int:
        name, edit = new.name or "", edit_by(caller)
        return moves.add_account(connection, new.platform, new.account_id, name, new.brand_ids, edit)

    def answer(connection: Connection, made: int) -> Answer:
        return created_answer(f"/api/platform-accounts/{made}/", _body(connection, made, caller), frozenset())

    return created(caller, keyed, create, answer)


@router.post(
    "/platform-accounts/{account_id}/brands/",
    response_model=PlatformAccount,
    summary="Bind a platform account to a brand",
    responses=GONE,
)
def bind_account(caller: Manager, account_id: PathId, binding: Binding) -> dict[str, Any]:
    """Binds the brand to the account, which may then have the brand's campaigns.

    Repeating it changes nothing. Needs a key for all brands.
    """
    needs_all_brands(caller)

    def bind(connection: Connection) -> dict[str, Any]:
        moves.bind_account(connection, account_id, binding.brand_id, edit_by(caller))
        return _body(connection, account_id, caller)

    return committed(bind)


@router.post("/campaigns/{campaign_id}/move/", response_model=MovedCampaign, summary="Move a campaign", responses=EDITS)
def move_campaign(caller: Manager, campaign_id: PathId, new: NewMove) -> dict[str, Any]:
    """Moves a campaign's external id to a new campaign of another brand, from a day on.

    Earlier spend stays with the old campaign, even if it is reported again. The old campaign is archived; if the day is
    in the future and the campaign may serve until then, its flight ends the day before instead. Needs a key for all
    brands.
    """
    check = partial(_check_both, caller=caller, campaign_id=campaign_id, brand_id=new.to_brand_id)
    with snapshot() as connection:
        check(connection)
    asked = Move(campaign_id, new.to_brand_id, new.from_day, new.copy_budgets_and_schedule)
    moved = moves.move(asked, edit_by(caller), dry_run=new.dry_run, check=check)
    return MovedCampaign(**moved.fields(), dry_run=new.dry_run).model_dump(mode="json")


def _check_both(connection: Connection, caller: Any, campaign_id: int, brand_id: int) -> None:
    """Raises InvalidValue if the campaign or the brand does not exist, or the caller may not see it."""
    visible_campaign(connection, caller, campaign_id)
    visible_to(caller, "brand", listing.brand(connection, brand_id))
