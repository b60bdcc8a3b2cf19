"""`/api/webhooks/`: endpoints that get status changes and notices, their deliveries and attempts."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.notices import webhooks
from app.notices.webhooks import Range
from db.engine import snapshot
from db.repository.notices import attempts, deliveries, endpoints
from domain.inputs.values import MAX_ID
from domain.notices.addresses import MAX_URL
from domain.notices.message_types import MessageType
from web import problems
from web.api.request.fields import Body, Id, Line, PathId, QueryId
from web.api.request.keys import Manager, Reader, brand_for, edit_by
from web.api.request.paging import Limit, Listed, Pages

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])

GONE = problems.responses(HTTPStatus.NOT_FOUND)
EDITS = problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)

Types = Annotated[list[MessageType], Field(max_length=len(MessageType), examples=[["campaign.paused"]])]
Url = Annotated[str, Field(min_length=1, max_length=MAX_URL, examples=["https://example.com/spendgate"])]
Before = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only rows with a smaller id")]


class Webhook(BaseModel):
    """An endpoint. Its secret is shown only once, when it is made."""

    id: int = Field(examples=[1])
    brand_id: int | None = Field(description="The only brand whose messages it gets; null: all brands")
    url: str = Field(examples=["https://example.com/spendgate"])
    types: list[str] = Field(examples=[["campaign.paused"]])
    description: str
    enabled: bool
    disabled_because: str | None = Field(examples=["it answered 410 Gone"])
    failures: int = Field(description="Messages that failed since the last success; after many, also each further try")
    failing_since: datetime | None
    wait_until: datetime | None = Field(description="It gets no request before this time")
    previous_secret_until: datetime | None = Field(description="Messages are signed with the old secret too until then")
    after_change_id: int = Field(description="The last status change that was read for it")
    created_at: datetime


class NewWebhook(Body):
    """The request to add an endpoint."""

    url: Url
    types: Types = Field(default=[], description="Empty: all types")
    brand_id: Id | None = None
    description: Line | None = None


class MadeWebhook(Webhook):
    """A new endpoint with its secret, which no later answer contains."""

    secret: str = Field(examples=["whsec_…"])


class WebhookEdit(Body):
    """The fields of an endpoint to change; omitted ones stay. After an edit, a failing endpoint is tried at once."""

    types: Annotated[list[MessageType], Field(min_length=1, max_length=len(MessageType))] | None = None
    description: Annotated[str, Field(max_length=200)] | None = None
    enabled: bool | None = None


class Secret(BaseModel):
    """A new secret, which no later answer contains."""

    id: int
    secret: str


class Attempt(BaseModel):
    """One request to the endpoint."""

    id: int
    delivery_id: int
    type: str
    campaign_id: int | None
    state: str = Field(description="The state of its delivery", examples=["delivered"])
    attempted_at: datetime
    status: int | None = Field(description="Null without an answer", examples=[200])
    duration_ms: int
    answer: str = Field(description="The first 1,024 characters of the endpoint's answer")
    error: str | None


class Delivery(BaseModel):
    """One message to the endpoint, with its last attempt."""

    id: int
    message_id: UUID
    type: str
    brand_id: int | None
    campaign_id: int | None
    status_change_id: int | None
    notice_id: int | None
    state: str = Field(description="`pending`, `delivered`, `superseded` or `failed`", examples=["pending"])
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    settled_at: datetime | None
    attempted_at: datetime | None
    status: int | None
    duration_ms: int | None
    error: str | None


class Tested(BaseModel):
    """The outcome of a test message."""

    at: datetime
    status: int | None
    duration_ms: int
    answer: str
    error: str | None = Field(description="Null: it answered 2xx")


class Resend(Body):
    """The messages to send again: a range of deliveries, or one message for each campaign toggled after a change."""

    first_delivery_id: Id | None = None
    last_delivery_id: Annotated[Id | None, Field(description="Null: only the first one")] = None
    since_change_id: Annotated[int, Field(ge=0, le=MAX_ID, strict=True)] | None = None


class Resent(BaseModel):
    """How many messages are sent again."""

    messages: int


@router.get("/", response_model=Listed[Webhook], summary="List webhook endpoints")
def list_webhooks(caller: Reader, page: Pages) -> dict[str, Any]:
    """Lists endpoints. A key of one brand lists only endpoints of that brand."""
    with snapshot() as connection:
        rows = endpoints.endpoints(connection, **page.rows, only_brand_id=caller.brand_id)
    return page.of([webhooks.listed(row) for row in rows])


@router.post(
    "/", response_model=MadeWebhook, status_code=HTTPStatus.CREATED, summary="Add a webhook endpoint", responses=EDITS
)
def add_webhook(caller: Manager, new: NewWebhook) -> Response:
    """Adds an endpoint, which gets status changes and notices from now on.

    With a key of one brand the endpoint gets messages of that brand only.
    """
    brand_id = brand_for(caller, new.brand_id)
    made, secret = webhooks.add(new.url, new.types, new.description or "", brand_id, edit_by(caller))
    body = MadeWebhook(**webhooks.shown(made), secret=secret).model_dump(mode="json")
    return JSONResponse(body, HTTPStatus.CREATED, {"Location": f"/api/webhooks/{made}/"})


@router.get("/{endpoint_id}/", response_model=Webhook, summary="Read a webhook endpoint", responses=GONE)
def read_webhook(caller: Reader, endpoint_id: PathId) -> dict[str, Any]:
    """Reads one endpoint."""
    return webhooks.shown(endpoint_id, caller.brand_id)


@router.patch("/{endpoint_id}/", response_model=Webhook, summary="Change a webhook endpoint", responses=EDITS)
def change_webhook(caller: Manager, endpoint_id: PathId, edit: WebhookEdit) -> dict[str, Any]:
    """Changes the given fields.

    An endpoint that is enabled again gets the newest status of each campaign whose changes it missed.
    """
    webhooks.change(endpoint_id, edit_by(caller), **edit.model_dump(exclude_unset=True), only_brand_id=caller.brand_id)
    return webhooks.shown(endpoint_id, caller.brand_id)


@router.delete(
    "/{endpoint_id}/", status_code=HTTPStatus.NO_CONTENT, summary="Remove a webhook endpoint", responses=GONE
)
def remove_webhook(caller: Manager, endpoint_id: PathId) -> None:
    """Removes an endpoint with its deliveries."""
    webhooks.remove(endpoint_id, edit_by(caller), caller.brand_id)


@router.post("/{endpoint_id}/rotate/", response_model=Secret, summary="Make a new secret", responses=GONE)
def rotate_secret(caller: Manager, endpoint_id: PathId) -> dict[str, Any]:
    """Makes a new secret. For 24 hours messages are signed with the old one too."""
    return {"id": endpoint_id, "secret": webhooks.rotate(endpoint_id, edit_by(caller), caller.brand_id)}


@router.post("/{endpoint_id}/test/", response_model=Tested, summary="Send a test message", responses=GONE)
def test_webhook(caller: Manager, endpoint_id: PathId) -> dict[str, Any]:
    """Sends a message of type `endpoint.test` and waits for the answer, 15 seconds at most."""
    return webhooks.send_test(endpoint_id, caller.brand_id)._asdict()


@router.post("/{endpoint_id}/resend/", response_model=Resent, summary="Send messages again", responses=EDITS)
def resend_messages(caller: Manager, endpoint_id: PathId, chosen: Resend) -> dict[str, Any]:
    """Sends one delivery or a range of them again, or the status of each campaign that changed after a status change.

    A campaign's status is sent as it is now.
    """
    wanted = Range(chosen.first_delivery_id, chosen.last_delivery_id, chosen.since_change_id)
    return {"messages": webhooks.resend(endpoint_id, wanted, caller.brand_id)}


@router.get("/{endpoint_id}/deliveries/", response_model=list[Delivery], summary="List deliveries", responses=GONE)
def list_deliveries(
    caller: Reader, endpoint_id: PathId, state: Line | None = None, before: Before = None, limit: Limit = 100
) -> list[dict[str, Any]]:
    """Lists the deliveries to an endpoint, newest first, each with its last attempt."""
    with snapshot() as connection:
        endpoints.required_endpoint(connection, endpoint_id, caller.brand_id)
        return deliveries.deliveries(connection, endpoint_id, state=state, before=before, limit=limit)


@router.get("/{endpoint_id}/attempts/", response_model=list[Attempt], summary="List attempts", responses=GONE)
def list_attempts(
    caller: Reader, endpoint_id: PathId, delivery_id: QueryId = None, before: Before = None, limit: Limit = 100
) -> list[dict[str, Any]]:
    """Lists the requests to an endpoint, newest first, with status, duration and the beginning of the answer."""
    with snapshot() as connection:
        endpoints.required_endpoint(connection, endpoint_id, caller.brand_id)
        return attempts.attempts(connection, endpoint_id, delivery_id=delivery_id, before=before, limit=limit)
