"""`/api/alerts/`: lists alerts, acknowledges and mutes them."""

from datetime import date, datetime
from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.access import Caller
from app.alerts import channels as work
from app.alerts.reading import shown
from db.engine import snapshot
from db.repository.alerts import mutes as stored_mutes
from db.repository.alerts import reading
from db.repository.alerts.mute_edits import Muted
from domain.alerts.kinds import AlertKind, Ending
from domain.errors import NotFound
from runtime import clock
from web import problems
from web.api.request.fields import Body, Id, Moment, PathId, QueryId
from web.api.request.following import Epoch, Followed, checked_epoch
from web.api.request.keys import Manager, Reader, edit_by, needs_all_brands
from web.api.request.paging import FollowedPages
from web.api.request.reading import JsonRoute

router = APIRouter(prefix="/api/alerts", tags=["alerts"], route_class=JsonRoute)

GONE: Final = problems.responses(HTTPStatus.NOT_FOUND)


class Alert(BaseModel):
    """An alert: raised once in its window, and open while its condition holds."""

    id: int = Field(description="In commit order", examples=[7])
    brand_id: int | None = Field(description="Null: it belongs to no single brand")
    campaign_id: int | None
    budget_id: int | None
    kind: AlertKind = Field(examples=["budget_threshold"])
    threshold: int = Field(description="Percent of the budget's limit; 0 for other kinds", examples=[80])
    window_first_day: date | None = Field(
        description="First day of the budget's window; null for a lifetime budget and for other kinds"
    )
    state: Literal["open", "resolved"]
    raised_at: datetime
    resolved_at: datetime | None
    resolved_because: Ending | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    muted_until: datetime | None = Field(description="No channel sends it until then; null: it is not muted")
    figures: dict[str, Any] = Field(
        description="The figures in its sentence; money in micros",
        examples=[{"period": "daily", "spent_micros": 80_000_000, "limit_micros": 100_000_000}],
    )
    sentence: str = Field(examples=["Hudson Shoes has spent 80 % of today's budget: $80.00 of $100.00."])
    advice: str = Field(examples=["Raise the limit if the campaigns should go on."])


class NewMute(Body):
    """The alerts to mute: all, or only those of the given alert, brand, kind and channel."""

    until: Moment = Field(examples=["2026-11-30T18:00:00Z"])
    alert_id: Id | None = None
    brand_id: Id | None = None
    kind: AlertKind | None = None
    channel_id: Id | None = None


class Mute(BaseModel):
    """A mute in force."""

    id: int
    alert_id: int | None
    brand_id: int | None
    kind: AlertKind | None
    channel_id: int | None
    until: datetime
    muted_at: datetime
    muted_by: str


class Mutes(BaseModel):
    """The mutes in force, in the order in which they end."""

    items: list[Mute]


@router.get("/", response_model=Followed[Alert], summary="List alerts", responses=problems.responses(HTTPStatus.GONE))
def list_alerts(
    caller: Reader,
    page: FollowedPages,
    epoch: Epoch = None,
    state: Literal["open", "resolved"] | None = None,
    kind: AlertKind | None = None,
    brand_id: QueryId = None,
    campaign_id: QueryId = None,
) -> dict[str, Any]:
    """Lists alerts in the order in which they were raised. A key of one brand lists only alerts of that brand.

    To follow them, repeat the request with the last id as `after` and the page's `epoch`: after a restored backup the
    answer is 410. An alert that is opened again keeps its id, so also list the alerts with `state=open`.
    """
    with snapshot() as connection:
        current = checked_epoch(connection, epoch)
        rows = reading.page(
            connection,
            clock.now(),
            after=page.after,
            limit=page.limit + 1,
            only_brand_id=caller.brand_id,
            brand_id=brand_id,
            campaign_id=campaign_id,
            kind=kind,
            state=state,
        )
    return {**page.of([shown(row).fields() for row in rows], epoch=current), "epoch": current}


@router.get("/mutes/", response_model=Mutes, summary="List mutes")
def list_mutes(caller: Reader) -> dict[str, Any]:
    """Lists the mutes in force. A key of one brand lists only mutes of that brand."""
    with snapshot() as connection:
        rows = stored_mutes.mutes(connection, clock.now())
    return {"items": [row for row in rows if caller.brand_id in {None, row["brand_id"]}]}


@router.post(
    "/mutes/",
    response_model=Mute,
    status_code=HTTPStatus.CREATED,
    summary="Mute alerts",
    responses=problems.responses(HTTPStatus.NOT_FOUND),
)
def mute(caller: Manager, new: NewMute) -> dict[str, Any]:
    """Mutes alerts until a moment: no channel gets them until then. A key of one brand mutes only its alerts."""
    muted = Muted(new.brand_id, new.kind, new.alert_id, new.channel_id)
    if new.alert_id is not None:
        brand_id = _visible(caller, new.alert_id)["brand_id"]
        muted = muted if muted.brand_id is not None else muted._replace(brand_id=brand_id)
    if muted.brand_id is None or muted.brand_id != caller.brand_id:
        needs_all_brands(caller)
    edit = edit_by(caller)
    made = work.mute(muted, new.until, edit)
    return {**muted._asdict(), "id": made, "until": new.until, "muted_at": edit.at, "muted_by": edit.by}


@router.delete(
    "/mutes/{mute_id}/",
    status_code=HTTPStatus.NO_CONTENT,
    summary="End a mute",
    responses=GONE,
    response_class=Response,
)
def unmute(caller: Manager, mute_id: PathId) -> None:
    """Ends a mute before its time."""
    with snapshot() as connection:
        known = {row["id"]: row["brand_id"] for row in stored_mutes.mutes(connection, clock.now())}
    if caller.brand_id is not None and known.get(mute_id) != caller.brand_id:
        raise NotFound("mute", f"there is no mute {mute_id}")
    work.unmute(mute_id, edit_by(caller))


@router.get("/{alert_id}/", response_model=Alert, summary="Read an alert", responses=GONE)
def read_alert(caller: Reader, alert_id: PathId) -> dict[str, Any]:
    """Returns one alert."""
    return _visible(caller, alert_id)


@router.post("/{alert_id}/acknowledge/", response_model=Alert, summary="Acknowledge an alert", responses=GONE)
def acknowledge(caller: Manager, alert_id: PathId) -> dict[str, Any]:
    """Stores that the caller takes care of the alert, so that pages list it no more. Repeating it changes nothing."""
    return _acknowledged(caller, alert_id, take_back=False)


@router.delete("/{alert_id}/acknowledge/", response_model=Alert, summary="Take an acknowledgement back", responses=GONE)
def take_back(caller: Manager, alert_id: PathId) -> dict[str, Any]:
    """Removes the acknowledgement: pages list the alert again while its condition holds."""
    return _acknowledged(caller, alert_id, take_back=True)


def _acknowledged(caller: Caller, alert_id: int, *, take_back: bool) -> dict[str, Any]:
    _visible(caller, alert_id)
    work.acknowledge([alert_id], edit_by(caller), take_back=take_back)
    return _visible(caller, alert_id)


def _visible(caller: Caller, alert_id: int) -> dict[str, Any]:
    """The alert. Raises InvalidValue if it does not exist or the caller may not see it."""
    with snapshot() as connection:
        rows = reading.page(connection, clock.now(), only_brand_id=caller.brand_id, ids=[alert_id])
    if not rows:
        raise NotFound("alert", f"there is no alert {alert_id}")
    return shown(rows[0]).fields()
