"""`/api/status-changes/stream`: every toggle as it is committed, as server-sent events."""

import re
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any, Final, NamedTuple

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from app.access import Caller
from db.engine import snapshot
from db.repository.reading import listing, status_feed
from domain.inputs.values import MAX_ID
from web import problems
from web.api.request.fields import QueryId
from web.api.request.keys import Reader
from web.api.request.stream_keys import is_still_valid
from web.api.status_changes import START_OVER, StatusChange
from web.dashboard.changes import NOTHING, Change, feed, with_heartbeats
from web.problems import Problem

CHANGES_A_PAGE: Final = 500
BEAT: Final = b"event: beat\ndata: {}\n\n"
BEAT_SECONDS: Final = 5.0
"""Seconds without a status change after which a heartbeat is sent."""

CHECK_SECONDS: Final = 30.0
"""Seconds between two checks that a stream's API key is still valid."""

_POSITION: Final = re.compile(r"(?P<epoch>[0-9a-f]{1,64})\.(?P<id>[0-9]{1,18})", re.ASCII)

router = APIRouter(prefix="/api/status-changes", tags=["status changes"])


class Position(NamedTuple):
    """A reader's place in the feed: the epoch, and the id of the last status change that it has."""

    epoch: str
    after: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.after}"


def _position(
    _caller: Reader,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_ID, description="The last id you have; null: begin with the next change")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="The id of the last event; replaces `after`")
    ] = None,
) -> Position:
    """The position after which the stream begins; without an id, the position of the last status change.

    Raises Problem: 422 for a malformed Last-Event-ID; 410 if ids have started again since, or no status change has had
    this id yet.
    """
    read = _POSITION.fullmatch(last_event_id) if last_event_id else None
    if last_event_id and read is None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Last-Event-ID is not the id of an event of this stream")
    with snapshot() as connection:
        epoch, last_id = status_feed.epoch(connection), status_feed.last_id(connection)
    if read is not None:
        after = int(read["id"])
    if (read is not None and read["epoch"] != epoch) or (after or 0) > last_id:
        raise Problem(HTTPStatus.GONE, f"ids have started again: a backup may have been restored; {START_OVER}")
    return Position(epoch, last_id if after is None else after)


@router.get(
    "/stream",
    summary="Follow status changes",
    response_class=StreamingResponse,
    responses={
        HTTPStatus.OK.value: {"description": "Server-sent events", "content": {"text/event-stream": {}}},
        **problems.responses(HTTPStatus.GONE),
    },
)
async def stream_status_changes(
    request: Request,
    caller: Reader,
    begin: Annotated[Position, Depends(_position)],
    brand_id: QueryId = None,
    campaign_id: QueryId = None,
) -> StreamingResponse:
    """Streams server-sent events: `change`, a status change as `/api/status-changes/` lists it, and heartbeats, `beat`.

    Changes come in commit order. Send the id of the last event as `Last-Event-ID` to go on without a gap. 410: ids have
    started again, such as after a restored backup; begin with `after=0` or with the statuses in `/api/campaigns/`.
    """
    key = request.headers["authorization"].partition(" ")[2]
    wanted = _Wanted(caller.brand_id, brand_id, campaign_id)
    events = _events(begin, wanted, key, caller)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


class _Wanted(NamedTuple):
    """The filter of a stream: the key's brand, and the brand and campaign asked for; None: all."""

    only_brand_id: int | None
    brand_id: int | None
    campaign_id: int | None

    def has(self, change: Change) -> bool:
        of_brand = {self.only_brand_id, self.brand_id} - {None} <= {change["brand_id"]}
        return of_brand and self.campaign_id in {None, change["campaign_id"]}


async def _events(begin: Position, wanted: _Wanted, key: str, caller: Caller) -> AsyncIterator[bytes]:
    """Yields the wanted changes after `begin` as events: first those committed already, then new ones, and heartbeats.

    Ends when the key is no longer valid, the epoch ends or the process stops.
    """
    epoch, last = begin
    async with feed.listening() as queue:
        if feed.epoch != epoch:
            return
        while missed := await to_thread.run_sync(partial(_after, last, wanted)):
            for change in missed:
                last = change["id"]
                yield _event(epoch, change)
        checked_at = monotonic()

        def is_new(change: Change) -> bool:
            return change["id"] > last and wanted.has(change)

        async for change in with_heartbeats(queue, is_new, BEAT_SECONDS):
            yield BEAT if change is NOTHING else _event(epoch, change)
            if monotonic() >= checked_at + CHECK_SECONDS:
                checked_at = monotonic()
                if not await is_still_valid(key, caller):
                    return


def _after(last: int, wanted: _Wanted) -> list[dict[str, Any]]:
    with snapshot() as connection:
        return listing.status_changes(connection, after=last, limit=CHANGES_A_PAGE, **wanted._asdict())


def _event(epoch: str, change: Change) -> bytes:
    """One status change as a server-sent event. `from_status`, which some rows lack, is the opposite of `to_status`."""
    before = "inactive" if change["to_status"] == "active" else "active"
    content = StatusChange.model_validate({"from_status": before, **change}).model_dump_json()
    return f"event: change\nid: {Position(epoch, change['id'])}\ndata: {content}\n\n".encode()
