"""`/api/campaigns/`: campaigns, their statuses, and the reasons why they serve or do not."""

from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app import explanations
from app.access import Caller
from app.edits import editing
from app.enforcement import edited_then
from app.platforms import seen
from db.engine import snapshot
from db.repository.catalog.idempotency import Answer
from db.repository.reading import listing
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from domain.edits.fields import CAMPAIGN_FIELDS
from domain.holds import HOLD_WORDS, Hold
from domain.platforms import canonical_or_lower
from domain.reconcile import Confirmed, Mode
from runtime import clock
from web import problems
from web.api.brands import EDITS, GONE, UNCHANGED, Enforcement
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
    Day,
    Id,
    Line,
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

router = APIRouter(prefix="/api/campaigns", tags=["campaigns"], route_class=JsonRoute)


class Campaign(BaseModel):
    """A campaign. People set its configured status; enforcement sets its effective status and holds."""

    id: int = Field(examples=[17])
    brand_id: int = Field(examples=[3])
    name: str = Field(examples=["Brand search"])
    platform: str | None = Field(
        description="The campaign's ad platform, by its canonical name", examples=["google_ads"]
    )
    external_id: str | None = Field(description="The campaign's id on the platform", examples=["9935249409"])
    account: str | None = Field(
        description="The platform's id of the campaign's account; null: the brand's default account",
        examples=["8123456"],
    )
    starts_on: date | None = Field(description="First brand-local day of its flight; null: no first day")
    ends_on: date | None = Field(description="Last brand-local day of its flight, included; null: no last day")
    configured_status: ConfiguredStatus = Field(description="The status that people set")
    effective_status: EffectiveStatus = Field(description="`active` if it has no hold")
    holds: list[Hold] = Field(description="The current reasons why it must not serve")
    next_change_at: datetime | None = Field(
        description="The next time at which its holds can change without an edit or spend; null: never"
    )
    created_at: datetime
    on_platform: "PlatformStatus | None" = Field(
        default=None, description="Its status on its ad platform; null if its account is not connected"
    )


class NewCampaign(Body):
    """The request to create a campaign."""

    brand_id: Id
    name: Annotated[Line, Field(examples=["Brand search"])]
    platform: Annotated[
        Line | None, Field(description="In any spelling; `google` is stored as `google_ads`", examples=["google_ads"])
    ] = None
    external_id: Annotated[Line | None, Field(examples=["9935249409"])] = None
    account: Annotated[Line | None, Field(description="The platform's id of an account that is bound to the brand")] = (
        None
    )
    starts_on: Day | None = None
    ends_on: Day | None = None


class CampaignChanges(Body):
    """The fields of a campaign to change; an omitted field stays as it is."""

    name: Line = Field(default_factory=str)
    platform: Line | None = None
    external_id: Line | None = None
    account: Line | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    configured_status: ConfiguredStatus = Field(default_factory=lambda: ConfiguredStatus.ENABLED)


class HoldReason(BaseModel):
    """One hold with the figures behind it."""

    hold: Hold
    because: str = Field(examples=[HOLD_WORDS[Hold.BRAND_DAILY_BUDGET]])
    lifts_at: datetime | None = Field(description="When the hold ends without an edit or spend; null if it does not")
    spent_micros: int | None = Field(description="For a budget: the spend of its current window")
    limit_micros: int | None = Field(description="For a budget: its limit")
    window_first_day: date | None = Field(description="For a budget: the first brand-local day of its window")
    window_end_day: date | None = Field(description="For a budget: the day after the window's last day")


class PlatformStatus(BaseModel):
    """The campaign on its ad platform: the status wanted there, and the one that the platform last reported."""

    platform: str
    mode: Mode = Field(description="What Spendgate may change in the campaign's account")
    desired: EffectiveStatus
    confirmed: Confirmed = Field(description="`unknown`: not read yet")
    confirmed_at: datetime | None = Field(description="When the platform first reported it")
    paused_by_us: bool = Field(description="Whether Spendgate sent the pause that is in force there")
    attempts: int = Field(description="Changes sent since the last confirmation")
    last_error: str | None
    unconfirmed_since: datetime | None = Field(description="Since when the platform differs; null: it does not")
    delay_seconds: float | None = Field(
        description="Seconds from the decision to its confirmation; null: not confirmed, or the platform had the "
        "status before"
    )


class OnPlatform(PlatformStatus):
    """The campaign on its ad platform, with a sentence for people."""

    words: str = Field(examples=["paused here at 14:03; Google Ads confirmed after 2.1 s"])


class Explanation(BaseModel):
    """Why a campaign serves or not."""

    campaign_id: int
    name: str
    brand_id: int
    at: datetime = Field(description="The time for which the explanation was computed")
    effective_status: EffectiveStatus = Field(description="The status that the rules give at that time")
    stored_status: EffectiveStatus = Field(
        description="The status that enforcement last stored; it follows `effective_status` within a minute, or, "
        "while `enforcement` is not null, once all campaigns of the brand are enforced"
    )
    serves_at: datetime | None = Field(description="When it serves again without an edit or spend; null: it does not")
    holds: list[HoldReason]
    enforcement: Enforcement | None = Field(
        description="Progress of enforcing its brand, if not all its campaigns are enforced yet"
    )
    on_platform: OnPlatform | None = Field(description="Its ad platform; null if its account is not connected")


def campaign_body(connection: Connection, campaign_id: int) -> dict[str, Any]:
    """The campaign as JSON. Raises InvalidValue if it does not exist."""
    return Campaign(**_on_platforms(connection, [listing.campaign(connection, campaign_id)])[0]).model_dump(mode="json")


def _on_platforms(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of campaigns, each with its status `on_platform`; None if its account is not connected."""
    found = seen.on_platforms(connection, [row["id"] for row in rows], clock.now())
    return [{**row, "on_platform": found.get(row["id"])} for row in rows]


def visible_campaign(connection: Connection, caller: Caller, campaign_id: int) -> dict[str, Any]:
    """The campaign as JSON. Raises InvalidValue if it does not exist or the caller may not see it."""
    return visible_to(caller, "campaign", campaign_body(connection, campaign_id))


def brand_of_visible(caller: Caller, campaign_id: int) -> int:
    """The id of the campaign's brand; a campaign keeps its brand.

    Raises InvalidValue if the campaign does not exist or the caller may not see it.
    """
    with snapshot() as connection:
        return int(visible_campaign(connection, caller, campaign_id)["brand_id"])


@router.get("/", response_model=Listed[Campaign], summary="List campaigns")
def list_campaigns(
    caller: Reader,
    page: Pages,
    brand_id: QueryId = None,
    configured_status: ConfiguredStatus | None = None,
    effective_status: EffectiveStatus | None = None,
    hold: Annotated[Hold | None, Query(description="Only campaigns with this hold")] = None,
    platform: Annotated[Line | None, Query(description="In any spelling")] = None,
    external_id: Line | None = None,
    name_contains: Annotated[Line | None, Query(description="Part of the name; case is ignored")] = None,
) -> dict[str, Any]:
    """Lists campaigns in id order."""
    with snapshot() as connection:
        rows = listing.campaigns(
            connection,
            **page.rows,
            only_brand_id=caller.brand_id,
            brand_id=brand_id,
            configured_status=configured_status,
            effective_status=effective_status,
            hold=hold,
            platform=None if platform is None else canonical_or_lower(platform),
            external_id=external_id,
            name_contains=name_contains,
        )
        return page.of(_on_platforms(connection, rows))


@router.post(
    "/",
    response_model=Campaign,
    status_code=HTTPStatus.CREATED,
    summary="Create a campaign",
    responses={**PREVIEW, **problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)},
)
def create_campaign(caller: Manager, keyed: Keyed, new: NewCampaign, dry_run: DryRun = False) -> Response:
    """Creates an enabled campaign, and enforces it in the same commit."""
    visible_to(caller, "brand", {"id": new.brand_id})
    edit = edit_by(caller)

    def create(connection: Connection) -> int:
        visible_to(caller, "brand", listing.brand(connection, new.brand_id))
        return editing.create_campaign(connection, edit=edit, **new.model_dump())

    def answer(connection: Connection, campaign_id: int) -> Answer:
        body = campaign_body(connection, campaign_id)
        return created_answer(f"/api/campaigns/{campaign_id}/", body, CAMPAIGN_FIELDS)

    if dry_run:
        return previewed(create, new.brand_id)
    return created(caller, keyed, create, answer, brand_id=new.brand_id)


@router.get("/{campaign_id}/", response_model=Campaign, summary="Read a campaign", responses={**GONE, **UNCHANGED})
def read_campaign(caller: Reader, campaign_id: PathId, if_none_match: IfNoneMatch = None) -> Response:
    """Returns one campaign, with an ETag. Answers 304 if `If-None-Match` has this ETag."""
    with snapshot() as connection:
        body = visible_campaign(connection, caller, campaign_id)
    return etags.read(body, CAMPAIGN_FIELDS, if_none_match)


@router.patch("/{campaign_id}/", response_model=Campaign | EditPreview, summary="Edit a campaign", responses=EDITS)
def edit_campaign(
    caller: Manager, campaign_id: PathId, changes: CampaignChanges, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response:
    """Changes the given fields and enforces the campaign in the same commit; answers the new state."""
    return _edited(caller, campaign_id, changes, if_match, dry_run=dry_run)


@router.delete("/{campaign_id}/", response_model=Campaign | EditPreview, summary="Archive a campaign", responses=EDITS)
def archive_campaign(
    caller: Manager, campaign_id: PathId, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response:
    """Archives the campaign: it stops, and all data is kept. Repeating it changes nothing."""
    archived = CampaignChanges(configured_status=ConfiguredStatus.ARCHIVED)
    return _edited(caller, campaign_id, archived, if_match, dry_run=dry_run)


def _edited(
    caller: Caller, campaign_id: int, changes: CampaignChanges, if_match: str | None, *, dry_run: bool
) -> Response:
    edit = edit_by(caller)

    def change(connection: Connection) -> int:
        old = visible_campaign(connection, caller, campaign_id)
        etags.check_match(if_match, etags.etag_of(old, CAMPAIGN_FIELDS))
        editing.edit_campaign(connection, campaign_id, changes.model_dump(exclude_unset=True), edit)
        return campaign_id

    brand_id = brand_of_visible(caller, campaign_id)
    if dry_run:
        return previewed(change, brand_id)
    return etags.tagged(edited_then(change, brand_id, campaign_body), CAMPAIGN_FIELDS)


@router.get(
    "/{campaign_id}/explain/", response_model=Explanation, summary="Why a campaign serves or not", responses=GONE
)
def explain_campaign(caller: Reader, campaign_id: PathId) -> dict[str, Any]:
    """Returns every hold in words, with its figures and when it lifts, and when the campaign can serve again."""
    with snapshot() as connection:
        visible_campaign(connection, caller, campaign_id)
        sees_all = caller.brand_id is None
        return explanations.explained(connection, campaign_id, clock.now(), shows_account=sees_all).fields()
