"""`/api/rejected-events/`: rejected inputs that wait for a replay, and the replay."""

import json
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from app.ingest.replay_rejected import replay
from db.engine import snapshot
from db.repository.ledger import rejected
from domain.errors import NotFound
from web import problems
from web.api.request.fields import Line, PathId
from web.api.request.keys import Manager, Reader, needs_all_brands
from web.api.request.paging import Listed, Pages

router = APIRouter(prefix="/api/rejected-events", tags=["rejected events"])


class RejectedEvent(BaseModel):
    """A rejected input, with its whole content."""

    id: int = Field(examples=[12])
    received_at: datetime
    kind: str = Field(
        description="`spend_event`, `reported_total` or, for a whole message, `message`", examples=["spend_event"]
    )
    source: str
    reason: str = Field(examples=["unknown_campaign"])
    detail: str = Field(description="One line for people")
    payload: Any = Field(description="The input as it was sent")
    times: int = Field(description="How many times it was received")


class Replayed(BaseModel):
    """The result of processing one rejected input again."""

    id: int
    taken: bool = Field(
        description="True: it was counted, now or before (a message: enqueued again). False: it still waits, because "
        "it was rejected again (the list has the new reason), its brand is locked, or another replay processes it"
    )


@router.get("/", response_model=Listed[RejectedEvent], summary="List rejected events")
def list_rejected_events(
    caller: Reader, page: Pages, reason: Annotated[Line | None, Query(examples=["unknown_campaign"])] = None
) -> Response:
    """Lists the inputs that wait to be replayed, in order of arrival. Needs a key for all brands."""
    needs_all_brands(caller)
    with snapshot() as connection:
        rows = rejected.waiting(connection, after=page.after, limit=page.limit + 1, reason=reason)
    body = Listed[RejectedEvent](**page.of([row._asdict() for row in rows])).model_dump(mode="json")
    ascii_alone = json.dumps(body)  # an input may have half of a surrogate pair, which UTF-8 cannot spell
    return Response(ascii_alone, media_type="application/json", headers=dict(page.response.headers))


@router.post(
    "/{rejected_id}/replay/",
    response_model=Replayed,
    summary="Replay a rejected event",
    responses=problems.responses(HTTPStatus.NOT_FOUND),
)
def replay_rejected_event(caller: Manager, rejected_id: PathId) -> dict[str, Any]:
    """Processes a rejected input again, once its cause is fixed. A repeated replay never counts it twice.

    404 if no input with the id waits. Needs a key for all brands.
    """
    needs_all_brands(caller)
    with snapshot() as connection:
        waiting = rejected.waiting(connection, ids=[rejected_id])
    if not waiting:
        raise NotFound("rejected event", f"there is no rejected event {rejected_id} that waits for a replay")
    return {"id": rejected_id, "taken": replay(waiting[0])}
