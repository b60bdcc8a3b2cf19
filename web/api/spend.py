"""`POST /api/spend/` and `/api/reported-totals/`: takes spend over HTTP and counts it once."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, model_validator

from app.access import Caller
from app.decisions import changes_of_campaigns
from app.ingest import http_batches
from app.ingest.count import Counted
from app.ingest.http_batches import RejectionsByPlace
from app.ingest.ingest import count_events, count_totals, log_counted
from db.repository.ledger.rejected import printable
from delivery.outgoing import send_events, send_totals
from domain.campaigns import EffectiveStatus
from domain.causes import Cause
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.values import MAX_EVENTS_PER_MESSAGE, MAX_TEXT
from web import problems
from web.api.request.fields import Body
from web.api.request.keys import SpendWriter
from web.api.request.reading import JsonRoute

router = APIRouter(prefix="/api", tags=["spend"], route_class=JsonRoute)

BATCHES: Final = problems.responses(HTTPStatus.BAD_REQUEST)

EVENT: Final = {
    "event_id": "0b0f7f1e-8f63-4b3b-9d43-0d5d4b1f3c55",
    "campaign_id": 17,
    "occurred_at": "2026-11-22T10:00:00Z",
    "amount_micros": 1_250_000,
    "currency": "USD",
    "source": "bidder",
    "sequence": 4711,
}
TOTAL: Final = {
    "source": "google_ads",
    "campaign_id": 17,
    "day": "2026-11-22",
    "total_micros": 94_500_000,
    "as_of": "2026-11-22T10:00:00Z",
}


def _bare(name: str, given: object) -> object:
    """Returns a bare list as an object with the field `name`, and any other value unchanged.

    Raises ValueError for an object with other fields: one error, however many they are.
    """
    if isinstance(given, dict) and given.keys() - {name}:
        raise ValueError(f"has other fields than {name}")
    return {name: given} if isinstance(given, list) else given


class SpendBatch(Body):
    """1 to 5,000 spend events, each accepted or rejected by itself. A bare list of events is accepted too."""

    events: Annotated[
        list[Any],
        Field(
            min_length=1,
            max_length=MAX_EVENTS_PER_MESSAGE,
            description="Each: `event_id` (a UUID of yours, the same for every retry), `campaign_id` or `platform` and "
            "`external_id` (with `account` where several accounts have it), `occurred_at` (ISO 8601 with its distance "
            "from UTC), `amount_micros`; if you like `currency`, `source` and `sequence` (the number that the source "
            "gives the event)",
            examples=[[EVENT]],
        ),
    ]

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return _bare("events", given)


class TotalsBatch(Body):
    """1 to 5,000 reported totals, each accepted or rejected by itself. A bare list of totals is accepted too."""

    totals: Annotated[
        list[Any],
        Field(
            min_length=1,
            max_length=MAX_EVENTS_PER_MESSAGE,
            description="Each: `source`, `campaign_id` or `platform` and `external_id` (with `account` "
            "where several accounts have it), `day` (brand-local), "
            "`total_micros` (all that the day has cost so far) and `as_of` (when the platform had this figure)",
            examples=[[TOTAL]],
        ),
    ]

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return _bare("totals", given)


class RejectedInput(BaseModel):
    """An input that was not counted. It is stored, and can be replayed after its cause is fixed."""

    index: int = Field(description="Index in the batch, from 0")
    event_id: str | None = Field(description="The event id that was sent, if it was a text")
    reason: Reason
    detail: str = Field(description="One line for people", examples=["there is no campaign 17"])


class Taken(BaseModel):
    """The outcome of a batch that is counted in the background."""

    accepted: int = Field(description="Number of enqueued inputs; each is counted once, usually within a second")
    rejected: int = Field(description="Number of inputs that were not counted; they are stored with their reasons")
    rejections: list[RejectedInput]


class Toggle(BaseModel):
    """A campaign that the batch paused or released."""

    campaign_id: int
    brand_id: int
    from_status: EffectiveStatus
    to_status: EffectiveStatus
    holds: list[str]


class CountedNow(BaseModel):
    """The outcome of a batch that was counted and enforced before the answer."""

    accepted: int = Field(description="Number of new inputs, which were counted")
    duplicates: int = Field(
        description="Number of inputs counted before (totals: not newer than the known one); they change nothing"
    )
    rejected: int = Field(description="Number of inputs that were not counted; they are stored with their reasons")
    rejections: list[RejectedInput]
    toggles: list[Toggle]


@dataclass(frozen=True, slots=True)
class _InputKind:
    """The functions for one kind of input, with the log event and the cause of the status changes that it triggers.

    `keep_refused`: stores the invalid inputs and returns their rejections by index in the batch. `enqueue`: sends the
    valid ones to the workers. `count`: counts and enforces the valid ones now and stores the others.
    """

    keep_refused: Callable[[Sequence[object], int | None], RejectionsByPlace]
    enqueue: Callable[[list[object], dict[str, int]], object]
    count: Callable[[Sequence[object], int | None], Counted]
    event: str
    cause: Cause


EVENTS: Final = _InputKind(
    http_batches.keep_invalid_events,
    lambda events, limit: send_events(events, **limit),
    count_events,
    "spend.ingested",
    Cause.SPEND,
)
TOTALS: Final = _InputKind(
    http_batches.keep_invalid_totals,
    lambda totals, limit: send_totals(totals, **limit),
    count_totals,
    "totals.ingested",
    Cause.REPORTED_TOTAL,
)

Wait = Annotated[bool, Query(description="Count and enforce before the answer: 200 instead of 202")]


@router.post(
    "/spend/",
    response_model=Taken,
    status_code=HTTPStatus.ACCEPTED,
    summary="Send spend events",
    responses={**BATCHES, 200: {"model": CountedNow, "description": "Counted and enforced (`wait=true`)"}},
)
def send_spend(caller: SpendWriter, batch: SpendBatch, wait: Wait = False) -> Response:
    """Enqueues valid events and stores invalid ones with their reasons. A retry of the batch never counts twice.

    With `wait`, counts and enforces the events before the answer.
    """
    return _taken(EVENTS, caller, batch.events, wait=wait)


@router.post(
    "/reported-totals/",
    response_model=Taken,
    status_code=HTTPStatus.ACCEPTED,
    summary="Send reported totals",
    responses={**BATCHES, 200: {"model": CountedNow, "description": "Counted and enforced (`wait=true`)"}},
)
def send_reported_totals(caller: SpendWriter, batch: TotalsBatch, wait: Wait = False) -> Response:
    """Enqueues cumulative totals of ad platforms; each counts as its difference to the last known total, up or down.

    With `wait`, counts and enforces them before the answer.
    """
    return _taken(TOTALS, caller, batch.totals, wait=wait)


def _taken(kind: _InputKind, caller: Caller, payloads: list[Any], *, wait: bool) -> Response:
    if wait:
        return JSONResponse(_counted(kind, caller, payloads).model_dump(mode="json"))
    return JSONResponse(_enqueued(kind, caller, payloads).model_dump(mode="json"), HTTPStatus.ACCEPTED)


def _enqueued(kind: _InputKind, caller: Caller, payloads: list[Any]) -> Taken:
    """Stores invalid inputs, then enqueues the valid ones; a retry after a failure in between counts nothing twice."""
    refused = kind.keep_refused(payloads, caller.brand_id)
    if refused:
        log_counted(kind.event, Counted(rejections=tuple(refused.values())), kind.cause)
    good = [payload for place, payload in enumerate(payloads) if place not in refused]
    if good:
        kind.enqueue(good, {} if caller.brand_id is None else {"only_brand_id": caller.brand_id})
    return Taken(accepted=len(good), rejected=len(refused), rejections=_rejections(refused))


def _counted(kind: _InputKind, caller: Caller, payloads: list[Any]) -> CountedNow:
    counted = kind.count(payloads, caller.brand_id)
    log_counted(kind.event, counted, kind.cause)
    refused = _by_place(payloads, counted.rejections)
    return CountedNow(
        accepted=counted.taken,
        duplicates=counted.known,
        rejected=len(refused),
        rejections=_rejections(refused),
        toggles=[
            Toggle(
                campaign_id=campaign_id,
                brand_id=change.brand_id,
                from_status=EffectiveStatus(change.from_status),
                to_status=EffectiveStatus(change.to_status),
                holds=list(change.holds_after),
            )
            for campaign_id, change in changes_of_campaigns(counted.changes)
            if change.is_toggle
        ],
    )


def _by_place(payloads: list[Any], rejections: Sequence[Rejection]) -> RejectionsByPlace:
    """The rejections by their input's index in the batch.

    If the same object is at several indexes, each of its rejections takes the next one.
    """
    places: dict[int, deque[int]] = {}
    for place, payload in enumerate(payloads):
        places.setdefault(id(payload), deque()).append(place)
    return {places[id(rejection.payload)].popleft(): rejection for rejection in rejections}


def _rejections(refused: RejectionsByPlace) -> list[RejectedInput]:
    return [
        RejectedInput(
            index=place,
            event_id=_event_id(rejection),
            reason=rejection.reason,
            detail=printable(rejection.detail),
        )
        for place, rejection in sorted(refused.items())
    ]


def _event_id(rejection: Rejection) -> str | None:
    sent = rejection.payload.get("event_id") if isinstance(rejection.payload, dict) else None
    return printable(sent)[:MAX_TEXT] if isinstance(sent, str) else None
