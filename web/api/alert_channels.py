"""`/api/alerts/channels/`, `routes/` and `thresholds/`: where and when alerts are sent, and when budgets raise them."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.access import Caller
from app.alerts import channels as work
from db.engine import snapshot
from db.repository.alerts import channels as stored
from db.repository.alerts import mutes as settings
from db.repository.catalog import catalog
from domain.alerts.channels import MAX_URL
from domain.alerts.kinds import AlertKind, Timing
from domain.alerts.thresholds import DEFAULT_THRESHOLDS, MAX_PERCENT, MAX_THRESHOLDS
from web import problems
from web.api.request.fields import Body, Id, Line, PathId
from web.api.request.keys import Manager, Reader, edit_by, needs_all_brands, visible_to
from web.api.request.paging import Limit
from web.api.request.reading import JsonRoute

router = APIRouter(prefix="/api/alerts", tags=["alerts"], route_class=JsonRoute)

GONE: Final = problems.responses(HTTPStatus.NOT_FOUND)

ChannelUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="The service's URL, as apprise writes it. It is stored encrypted, and never returned or logged",
        examples=["slack://TokenA/TokenB/TokenC/#ops"],
    ),
]
RouteBrand = Annotated[Id | None, Field(description="The only brand whose alerts the channel gets; null: all brands")]
RouteKind = Annotated[
    AlertKind | None, Field(description="The only kind of alerts that the channel gets; null: all kinds")
]
RouteTiming = Annotated[
    Timing, Field(description="`default`: urgent kinds `now`, others in the `digest` at 09:00 of the brand's clock")
]


class Channel(BaseModel):
    """A channel that alerts are sent to, without its URL."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["ops-slack"])
    scheme: str = Field(description="The service, as its URL begins", examples=["slack"])
    created_at: datetime
    created_by: str
    failing_since: datetime | None = Field(
        description="The first failed attempt after the last delivery; null: the last attempt did not fail"
    )
    last_sent_at: datetime | None
    waiting: int = Field(description="Alerts that wait to be sent: in the digest, or at the next try")


class Channels(BaseModel):
    """All channels, in order of their ids."""

    items: list[Channel]


class NewChannel(Body):
    """The request to add a channel with one route."""

    name: Line
    url: ChannelUrl
    brand_id: RouteBrand = None
    kind: RouteKind = None
    timing: RouteTiming = Timing.DEFAULT


class ChannelTest(BaseModel):
    """The outcome of sending a test text to a channel."""

    is_delivered: bool
    duration_ms: int
    detail: str = Field(description="The service's error, without any part of the URL; empty if it was delivered")


class ChannelAttempt(BaseModel):
    """One attempt to send to a channel."""

    id: int
    channel_id: int
    purpose: str = Field(description="`alerts`, `digest` or `test`", examples=["alerts"])
    attempted_at: datetime
    duration_ms: int
    alerts: int = Field(description="The number of alerts in the text that was sent")
    is_delivered: bool
    detail: str


class ChannelAttempts(BaseModel):
    """The last attempts to send to a channel, newest first, at most `limit`."""

    items: list[ChannelAttempt]


class NewRoute(Body):
    """When alerts of a brand and kind are sent to a channel. Replaces the channel's route of that brand and kind."""

    channel_id: Id
    brand_id: RouteBrand = None
    kind: RouteKind = None
    timing: RouteTiming = Timing.DEFAULT


class Route(BaseModel):
    """When alerts of a brand and kind (null: of all) are sent to a channel.

    If several routes of a channel match an alert, a route that names the brand is used before one that names the kind.
    """

    id: int
    channel_id: int
    brand_id: int | None
    kind: AlertKind | None
    timing: Timing


class Routes(BaseModel):
    """All routes, in the order of their channels' ids."""

    items: list[Route]


Percent = Annotated[int, Field(ge=1, le=MAX_PERCENT, strict=True)]


class NewThresholds(Body):
    """The percents of a limit at which a brand's budgets raise alerts; an empty list: they raise no alerts."""

    percents: list[Percent] = Field(max_length=MAX_THRESHOLDS, examples=[[50, 80, 90, 100]])


class Thresholds(BaseModel):
    """The percents of a limit at which a brand's budgets raise alerts, in rising order."""

    brand_id: int
    percents: list[int] = Field(examples=[[80, 100]])


def _of_all_brands(caller: Reader) -> Caller:
    needs_all_brands(caller)
    return caller


def _manager_of_all_brands(caller: Manager) -> Caller:
    needs_all_brands(caller)
    return caller


ReaderOfAll = Annotated[Caller, Depends(_of_all_brands)]
ManagerOfAll = Annotated[Caller, Depends(_manager_of_all_brands)]


@router.get("/channels/", response_model=Channels, summary="List channels")
def list_channels(_caller: ReaderOfAll) -> dict[str, Any]:
    """Lists the channels without their URLs. Needs a key for all brands."""
    with snapshot() as connection:
        return {"items": stored.channels(connection)}


@router.post(
    "/channels/", response_model=Channel, status_code=HTTPStatus.CREATED, summary="Add a channel", responses=GONE
)
def add_channel(caller: ManagerOfAll, new: NewChannel) -> Response:
    """Adds a channel with one route. Needs a key for all brands."""
    edit = edit_by(caller)
    made = work.add(new.name, new.url, edit, brand_id=new.brand_id, kind=new.kind, timing=new.timing)
    body = Channel(**_channel(made)).model_dump(mode="json")
    return JSONResponse(body, HTTPStatus.CREATED, {"Location": f"/api/alerts/channels/{made}/"})


@router.get("/channels/{channel_id}/", response_model=Channel, summary="Read a channel", responses=GONE)
def read_channel(_caller: ReaderOfAll, channel_id: PathId) -> dict[str, Any]:
    """Reads one channel, without its URL. Needs a key for all brands."""
    return _channel(channel_id)


@router.delete(
    "/channels/{channel_id}/",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a channel",
    responses=GONE,
    response_class=Response,
)
def remove_channel(caller: ManagerOfAll, channel_id: PathId) -> None:
    """Removes a channel with its routes and attempts; waiting alerts are not sent. Needs a key for all brands."""
    work.remove(channel_id, edit_by(caller))


@router.post("/channels/{channel_id}/test/", response_model=ChannelTest, summary="Test a channel", responses=GONE)
def try_channel(_caller: ManagerOfAll, channel_id: PathId) -> dict[str, Any]:
    """Sends a test text and waits for the service's answer, 20 seconds at most. Needs a key for all brands."""
    outcome = work.send_test(channel_id)
    return {"is_delivered": outcome.is_delivered, "duration_ms": outcome.duration_ms, "detail": outcome.detail}


@router.get("/channels/{channel_id}/attempts/", response_model=ChannelAttempts, summary="List attempts", responses=GONE)
def list_attempts(_caller: ReaderOfAll, channel_id: PathId, limit: Limit = 100) -> dict[str, Any]:
    """Lists a channel's last attempts, newest first. Needs a key for all brands."""
    with snapshot() as connection:
        stored.required(connection, channel_id)
        return {"items": stored.attempts(connection, channel_id, limit)}


@router.get("/routes/", response_model=Routes, summary="List routes")
def list_routes(_caller: ReaderOfAll) -> dict[str, Any]:
    """Lists the routes of all channels. Needs a key for all brands."""
    with snapshot() as connection:
        return {"items": stored.routes(connection)}


@router.post("/routes/", response_model=Route, summary="Set a route", responses=GONE)
def set_route(caller: ManagerOfAll, new: NewRoute) -> dict[str, Any]:
    """Sets when alerts of a brand and kind are sent to a channel. Needs a key for all brands."""
    made = work.set_route(new.channel_id, new.brand_id, new.kind, new.timing, edit_by(caller))
    return {"id": made, **new.model_dump()}


@router.delete(
    "/routes/{route_id}/",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a route",
    responses=GONE,
    response_class=Response,
)
def remove_route(caller: ManagerOfAll, route_id: PathId) -> None:
    """Removes a route. Needs a key for all brands."""
    work.remove_route(route_id, edit_by(caller))


@router.get("/thresholds/{brand_id}/", response_model=Thresholds, summary="Read thresholds", responses=GONE)
def read_thresholds(caller: Reader, brand_id: PathId) -> dict[str, Any]:
    """Reads at which percents of a limit the brand's budgets raise alerts."""
    visible_to(caller, "brand", {"id": brand_id})
    with snapshot() as connection:
        catalog.brand(connection, brand_id)
        percents = settings.thresholds(connection, brand_id)
    return {"brand_id": brand_id, "percents": DEFAULT_THRESHOLDS if percents is None else percents}


@router.put("/thresholds/{brand_id}/", response_model=Thresholds, summary="Set thresholds", responses=GONE)
def set_thresholds(caller: Manager, brand_id: PathId, new: NewThresholds) -> dict[str, Any]:
    """Sets at which percents of a limit the brand's budgets raise alerts."""
    visible_to(caller, "brand", {"id": brand_id})
    return {"brand_id": brand_id, "percents": work.set_thresholds(brand_id, new.percents, edit_by(caller))}


def _channel(channel_id: int) -> dict[str, Any]:
    """The channel. Raises InvalidValue if there is none."""
    with snapshot() as connection:
        return stored.required(connection, channel_id)
