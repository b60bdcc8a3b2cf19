"""`/api/campaigns/{id}/schedule/`: the dayparts in which a campaign may serve."""

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app.edits import editing
from app.enforcement import edited_then
from db.engine import snapshot
from db.repository.catalog import catalog
from domain.edits.fields import SCHEDULE_FIELDS
from domain.errors import InvalidValue
from domain.schedules import MINUTES_PER_DAY, Daypart, format_schedule, normalised
from web.api.brands import EDITS, GONE, UNCHANGED
from web.api.campaigns import brand_of_visible, visible_campaign
from web.api.request import etags
from web.api.request.dry_runs import DryRun, EditPreview, previewed
from web.api.request.etags import IfMatch, IfNoneMatch
from web.api.request.fields import Body, PathId
from web.api.request.keys import Manager, Reader, edit_by
from web.api.request.reading import JsonRoute

router = APIRouter(prefix="/api/campaigns", tags=["campaigns"], route_class=JsonRoute)

MAX_DAYPARTS: Final = 1_000


class OpenDaypart(Body):
    """One open stretch of a weekday, by the wall clock of the brand's time zone."""

    weekday: Annotated[int, Field(ge=1, le=7, strict=True, description="1 = Monday to 7", examples=[1])]
    starts_minute: Annotated[
        int, Field(ge=0, lt=MINUTES_PER_DAY, strict=True, description="Minutes since 00:00", examples=[540])
    ]
    ends_minute: Annotated[
        int,
        Field(
            gt=0,
            le=MINUTES_PER_DAY,
            strict=True,
            description="Minutes since 00:00, exclusive; 1440 is 24:00",
            examples=[1050],
        ),
    ]


class NewSchedule(Body):
    """The dayparts that replace the current ones; an empty list means always open."""

    dayparts: Annotated[list[OpenDaypart], Field(max_length=MAX_DAYPARTS)]


class Schedule(BaseModel):
    """A schedule, its dayparts sorted and merged."""

    dayparts: list[OpenDaypart]
    text: str = Field(examples=["Mon 09:00-17:30"])


def _body(connection: Connection, campaign_id: int) -> dict[str, Any]:
    schedule = catalog.schedule_of(connection, campaign_id)
    return {"dayparts": [asdict(part) for part in schedule], "text": format_schedule(schedule)}


def _daypart(place: int, sent: OpenDaypart) -> Daypart:
    """Converts one daypart. Raises InvalidValue that names its index in the list."""
    try:
        return Daypart(**sent.model_dump())
    except InvalidValue as error:
        raise InvalidValue(f"dayparts.{place}", error.message) from None


@router.get(
    "/{campaign_id}/schedule/", response_model=Schedule, summary="Read a schedule", responses={**GONE, **UNCHANGED}
)
def read_schedule(caller: Reader, campaign_id: PathId, if_none_match: IfNoneMatch = None) -> Response:
    """Returns the campaign's dayparts, with an ETag; an empty list means always open.

    Answers 304 if `If-None-Match` has this ETag.
    """
    with snapshot() as connection:
        visible_campaign(connection, caller, campaign_id)
        body = _body(connection, campaign_id)
    return etags.read(body, SCHEDULE_FIELDS, if_none_match)


@router.put(
    "/{campaign_id}/schedule/", response_model=Schedule | EditPreview, summary="Set a schedule", responses=EDITS
)
def set_schedule(
    caller: Manager, campaign_id: PathId, new: NewSchedule, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response:
    """Replaces the campaign's dayparts and enforces them in the same commit; merges overlapping dayparts."""
    schedule = normalised(_daypart(place, part) for place, part in enumerate(new.dayparts))
    edit = edit_by(caller)

    def change(connection: Connection) -> int:
        old = _body(connection, campaign_id)
        etags.check_match(if_match, etags.etag_of(old, SCHEDULE_FIELDS))
        editing.set_schedule(connection, campaign_id, schedule, edit)
        return campaign_id

    brand_id = brand_of_visible(caller, campaign_id)
    if dry_run:
        return previewed(change, brand_id)
    return etags.tagged(edited_then(change, brand_id, _body), SCHEDULE_FIELDS)
