"""`/api/brands/`: the clients that own campaigns and budgets."""

from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app.access import Caller
from app.edits import brand_corrections, editing
from app.edits.brand_corrections import BrandCorrection
from app.enforcement import edited_then
from app.explanations import progress_fields
from db.engine import snapshot
from db.repository.catalog.idempotency import Answer
from db.repository.enforcement import passes
from db.repository.reading import listing
from domain.campaigns import ConfiguredStatus
from domain.edits.fields import BRAND_FIELDS, DEFAULT_CURRENCY, DEFAULT_ZONE, default_notice
from domain.passes import Direction
from web import problems
from web.api.request import etags
from web.api.request.dry_runs import (
    DryRun,
    EditPreview,
    NoDryRun,
    previewed,
)
from web.api.request.edits import Keyed, created, created_answer
from web.api.request.etags import IfMatch, IfNoneMatch
from web.api.request.fields import (
    Body,
    Currency,
    Line,
    PathId,
    ZoneName,
)
from web.api.request.keys import (
    Manager,
    Reader,
    edit_by,
    needs_all_brands,
    visible_to,
)
from web.api.request.paging import Listed, Pages
from web.api.request.reading import JsonRoute
from web.problems import Problem

router = APIRouter(prefix="/api/brands", tags=["brands"], route_class=JsonRoute)

GONE: Final = problems.responses(HTTPStatus.NOT_FOUND)
EDITS: Final = problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED)
UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "Unchanged: the ETag that was sent still matches"}
}


class Brand(BaseModel):
    """A brand. Its time zone and currency can no longer be edited after its first spend."""

    id: int = Field(examples=[3])
    name: str = Field(examples=["Hudson Shoes"])
    time_zone: str = Field(description="IANA zone, by which its days and months begin", examples=["America/New_York"])
    currency: str = Field(description="ISO 4217 code of every amount", examples=["USD"])
    configured_status: ConfiguredStatus = Field(
        description="The status that people set; only `enabled` lets campaigns serve"
    )
    created_at: datetime
    enforcement: "Enforcement | None" = Field(
        description="Progress of enforcing a brand with very many campaigns; null if all its campaigns are enforced"
    )


class Enforcement(BaseModel):
    """The progress of enforcing a brand with very many campaigns, part by part."""

    direction: Direction = Field(
        description="Its effect so far: campaigns were only paused (closing), only activated (opening), or both or "
        "neither (updating)"
    )
    done: int = Field(description="Campaigns enforced so far", examples=[120_000])
    total: int | None = Field(description="Campaigns in all; null until they are counted", examples=[300_000])
    words: str = Field(examples=["pausing campaigns, 120,000 of 300,000 done"])


class MadeBrand(Brand):
    """The answer to creating a brand: its fields, and a notice of the defaults used."""

    notice: str = Field(
        "", description="Defaults used for zone or currency, which the first spend fixes; absent if none"
    )


class NewBrand(Body):
    """The request to create a brand."""

    name: Annotated[Line, Field(examples=["Hudson Shoes"])]
    time_zone: Annotated[ZoneName, Field(description="IANA time zone", examples=["America/New_York"])] = DEFAULT_ZONE
    currency: Currency = DEFAULT_CURRENCY


class NewCorrection(Body):
    """The correct time zone and currency of a brand; an omitted one stays as it is."""

    time_zone: ZoneName | None = None
    currency: Currency | None = None
    dry_run: Annotated[bool, Field(description="Return the effect and change nothing")] = False


class CorrectedDay(BaseModel):
    """A day of the brand whose spend the correction changes."""

    day: date
    before_micros: int
    after_micros: int


class CorrectedBrand(BaseModel):
    """The effect of correcting a brand's time zone or currency."""

    brand_id: int
    old: dict[str, str] = Field(description="`time_zone` and `currency` before", examples=[{"time_zone": "UTC"}])
    new: dict[str, str] = Field(description="`time_zone` and `currency` after; amounts are never converted")
    days: list[CorrectedDay] = Field(description="The brand's days whose spend changes")
    campaign_days: int = Field(description="Number of days of campaigns whose spend changes")
    moved_totals: int = Field(description="Number of amounts of reported totals that moved to the corrected day")
    kept_until: date | None = Field(
        description="The last day of which the ledger no longer has every event: the spend of this day and of earlier "
        "days stays as it was. Null: the ledger has every day"
    )
    stops: list[int] = Field(description="Campaigns that stop serving")
    starts: list[int] = Field(description="Campaigns that start to serve")
    at_least: bool = Field(
        description="Whether the brand has more campaigns than were checked, so that further ones may stop or start"
    )
    dry_run: bool


class BrandChanges(Body):
    """The fields of a brand to change; an omitted field stays as it is."""

    name: Line = Field(default_factory=str)
    time_zone: ZoneName = Field(default_factory=str, examples=["Europe/Berlin"])
    currency: Currency = Field(default_factory=str)
    configured_status: ConfiguredStatus = Field(default_factory=lambda: ConfiguredStatus.ENABLED)


def _body(connection: Connection, brand_id: int) -> dict[str, Any]:
    return Brand(**_with_enforcement(connection, [listing.brand(connection, brand_id)])[0]).model_dump(mode="json")


def _with_enforcement(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of brands, each with the progress of its `enforcement`; None if all its campaigns are enforced."""
    progress = passes.progress(connection, [row["id"] for row in rows])
    return [
        {
            **row,
            "enforcement": progress_fields(progress[row["id"]]) if row["id"] in progress else None,
        }
        for row in rows
    ]


def _visible_body(connection: Connection, caller: Caller, brand_id: int) -> dict[str, Any]:
    return visible_to(caller, "brand", _body(connection, brand_id))


@router.get("/", response_model=Listed[Brand], summary="List brands")
def list_brands(
    caller: Reader,
    page: Pages,
    configured_status: ConfiguredStatus | None = None,
    time_zone: Line | None = None,
    name_contains: Annotated[Line | None, Query(description="Part of the name; case is ignored")] = None,
) -> dict[str, Any]:
    """Lists brands in id order. A key of one brand lists only that brand."""
    with snapshot() as connection:
        rows = listing.brands(
            connection,
            **page.rows,
            only_brand_id=caller.brand_id,
            configured_status=configured_status,
            time_zone=time_zone,
            name_contains=name_contains,
        )
        rows = _with_enforcement(connection, rows)
    return page.of(rows)


@router.post(
    "/",
    response_model=MadeBrand,
    status_code=HTTPStatus.CREATED,
    summary="Create a brand",
    responses=problems.responses(HTTPStatus.BAD_REQUEST),
)
def create_brand(caller: Manager, keyed: Keyed, new: NewBrand, dry_run: NoDryRun = False) -> Response:
    """Creates an enabled brand.

    Needs a key for all brands. `notice` names the default zone or currency that was used.
    """
    needs_all_brands(caller)
    if dry_run:
        detail = "a new brand has no campaigns, so there is nothing to preview"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field="dry_run")
    edit = edit_by(caller)
    sent = new.model_fields_set
    notice = default_notice(zone="time_zone" not in sent, currency="currency" not in sent)

    def create(connection: Connection) -> int:
        return editing.create_brand(connection, new.name, new.time_zone, new.currency, edit)

    def answer(connection: Connection, brand_id: int) -> Answer:
        extra = {"notice": notice} if notice else {}
        return created_answer(f"/api/brands/{brand_id}/", _body(connection, brand_id), BRAND_FIELDS, extra)

    return created(caller, keyed, create, answer)


@router.get("/{brand_id}/", response_model=Brand, summary="Read a brand", responses={**GONE, **UNCHANGED})
def read_brand(caller: Reader, brand_id: PathId, if_none_match: IfNoneMatch = None) -> Response:
    """Returns one brand, with an ETag. Answers 304 if `If-None-Match` has this ETag."""
    with snapshot() as connection:
        body = _visible_body(connection, caller, brand_id)
    return etags.read(body, BRAND_FIELDS, if_none_match)


@router.patch("/{brand_id}/", response_model=Brand | EditPreview, summary="Edit a brand", responses=EDITS)
def edit_brand(
    caller: Manager, brand_id: PathId, changes: BrandChanges, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response:
    """Changes the given fields and enforces the brand's campaigns in the same commit."""
    return _edited(caller, brand_id, changes, if_match, dry_run=dry_run)


@router.delete("/{brand_id}/", response_model=Brand | EditPreview, summary="Archive a brand", responses=EDITS)
def archive_brand(caller: Manager, brand_id: PathId, if_match: IfMatch = None, dry_run: DryRun = False) -> Response:
    """Archives the brand: its campaigns stop, and all data is kept. Repeating it changes nothing."""
    archived = BrandChanges(configured_status=ConfiguredStatus.ARCHIVED)
    return _edited(caller, brand_id, archived, if_match, dry_run=dry_run)


def _edited(caller: Caller, brand_id: int, changes: BrandChanges, if_match: str | None, *, dry_run: bool) -> Response:
    visible_to(caller, "brand", {"id": brand_id})
    edit = edit_by(caller)

    def change(connection: Connection) -> int:
        old = _visible_body(connection, caller, brand_id)
        etags.check_match(if_match, etags.etag_of(old, BRAND_FIELDS))
        editing.edit_brand(connection, brand_id, changes.model_dump(exclude_unset=True), edit)
        return brand_id

    if dry_run:
        return previewed(change, brand_id)
    return etags.tagged(edited_then(change, brand_id, _body), BRAND_FIELDS)


@router.post(
    "/{brand_id}/correct/", response_model=CorrectedBrand, summary="Correct a brand's zone or currency", responses=EDITS
)
def correct_brand(caller: Manager, brand_id: PathId, new: NewCorrection) -> dict[str, Any]:
    """Corrects the zone or currency that spend has fixed, and recounts the brand's days from the ledger in one commit.

    The brand's spend waits meanwhile, also during a dry run. Needs a key for all brands.
    """
    needs_all_brands(caller)
    asked = BrandCorrection(brand_id, new.time_zone, new.currency)
    corrected = brand_corrections.correct(asked, edit_by(caller), dry_run=new.dry_run)
    return CorrectedBrand(**corrected.fields(), dry_run=new.dry_run).model_dump(mode="json")
