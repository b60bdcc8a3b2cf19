"""`/api/serving/`: which campaigns may serve now, for ad servers and bidders; once, by long poll, or as a stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from app.access import Caller
from db.engine import snapshot
from db.repository.catalog import catalog
from domain.inputs.values import MAX_TEXT
from domain.platforms import canonical_or_lower
from web import problems
from web.api.request import etags
from web.api.request.etags import IfNoneMatch
from web.api.request.fields import QueryId
from web.api.request.keys import Reader, visible_to
from web.api.request.stream_keys import is_still_valid
from web.serving import encoding
from web.serving.encoding import Body, Encoded
from web.serving.feed import serving_feed
from web.serving.selections import Key, Selection
from web.serving.streams import events

MAX_WAIT_SECONDS: Final = 60

router = APIRouter(prefix="/api/serving", tags=["serving"])


class ServingCampaign(BaseModel):
    """A campaign that may serve now."""

    campaign_id: int = Field(examples=[17])
    brand_id: int = Field(examples=[3])
    platform: str | None = Field(description="Its ad platform, by its canonical name", examples=["google_ads"])
    external_id: str | None = Field(description="Its id on the platform", examples=["9935249409"])
    account: str | None = Field(
        description="The platform's id of its account; null: the brand's default account", examples=["8123456"]
    )
    change_id: int | None = Field(description="Its newest status change; null if it has none", examples=[117])
    next_change_at: datetime | None = Field(
        description="The next time at which its holds can change without an edit or spend; null: never"
    )
    headroom_micros: int | None = Field(
        description="The least that is left of its own and its brand's budgets in their current windows; null without "
        "a budget. Read anew every few seconds, not with each spend event",
        examples=[148_750_000],
    )


class Serving(BaseModel):
    """All campaigns that may serve now, of the requested brand and platform, in order of their ids."""

    snapshot_id: str = Field(description="Names this content; also the ETag", examples=["9c1f0a7be2d45638-0b…"])
    epoch: str = Field(description="Differs after a restored backup, as in `/api/status-changes/`")
    campaigns: list[ServingCampaign]


BrandId = Annotated[QueryId, Query(description="Only campaigns of this brand")]
Platform = Annotated[
    str | None, Query(min_length=1, max_length=MAX_TEXT, description="Only campaigns on this platform, in any spelling")
]
Wait = Annotated[
    int,
    Query(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="Seconds to wait for a change while the content still has the ETag in `If-None-Match`",
    ),
]
STREAM: Final[dict[int | str, dict[str, Any]]] = {
    HTTPStatus.OK.value: {"description": "Server-sent events", "content": {"text/event-stream": {}}}
}
UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    HTTPStatus.OK.value: {"model": Serving},
    HTTPStatus.NOT_MODIFIED.value: {"description": "The content has not changed"},
}


@router.get(
    "/",
    summary="Which campaigns may serve",
    response_class=Response,
    responses={**UNCHANGED, **problems.responses(HTTPStatus.NOT_FOUND)},
)
async def read_serving(
    request: Request,
    caller: Reader,
    brand_id: BrandId = None,
    platform: Platform = None,
    wait: Wait = 0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Lists every campaign that may serve, as committed at the request or later.

    With the last `ETag` as `If-None-Match` the answer is 304 if nothing has changed. With `wait` too, the answer comes
    as soon as something changes, or is 304 after that many seconds.
    """
    key = await to_thread.run_sync(_key, caller, brand_id, platform)
    async with serving_feed().joined(key):
        selection = await serving_feed().newest(key)
        if wait:
            selection = await _changed(selection, if_none_match, wait)
        if etags.is_known(_etag(selection.id), if_none_match):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": _etag(selection.id)})
        _, content_id, body = await serving_feed().body_of(selection)
    return _answer(request, content_id, body)


async def _changed(selection: Selection, if_none_match: str | None, wait_seconds: int) -> Selection:
    """Waits until the serving campaigns of the selection differ from those that the caller's ETag names.

    Waits `wait_seconds` at most, and ends when the process stops; without an ETag does not wait. Returns the selection
    as it then is.
    """
    until = monotonic() + wait_seconds
    is_over = serving_feed().is_over
    while etags.is_known(_etag(selection.id), if_none_match) and monotonic() < until and not is_over.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(selection.moved.wait(), until - monotonic())
        selection = serving_feed().known(selection.key)
    return selection


@router.get(
    "/stream",
    summary="Follow which campaigns may serve",
    response_class=StreamingResponse,
    responses={**STREAM, **problems.responses(HTTPStatus.NOT_FOUND)},
)
async def stream_serving(
    request: Request,
    caller: Reader,
    brand_id: BrandId = None,
    platform: Platform = None,
    last_event_id: Annotated[str | None, Header(max_length=200, description="The id of the last event")] = None,
) -> StreamingResponse:
    """Streams server-sent events. The id of an event names the content that the follower has after reading it.

    - `snapshot`: the answer of `/api/serving/`; replaces all that the follower has.
    - `resumed`: first event if the follower's `Last-Event-ID` is known; its campaigns are still current.
    - `difference`: `added` and `changed` campaigns, whole, and `removed` ones as `campaign_id` and `change_id`.
    - `beat`: a heartbeat every few seconds; `age_seconds` is the age of the server's data.
    """
    key = await to_thread.run_sync(_key, caller, brand_id, platform)
    is_packed = _accepts_gzip(request)
    api_key = request.headers["authorization"].partition(" ")[2]
    found = events(serving_feed(), key, last_event_id, partial(is_still_valid, api_key, caller))
    headers = {"Vary": "Accept-Encoding", "X-Accel-Buffering": "no"}
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return StreamingResponse(_bytes(found, is_packed=is_packed), headers=headers, media_type="text/event-stream")


async def _bytes(found: AsyncIterator[Encoded], *, is_packed: bool) -> AsyncIterator[bytes]:
    if is_packed:
        yield encoding.GZIP_HEAD
    async for event in found:
        yield event.deflated if is_packed else event.plain


def _key(caller: Caller, brand_id: int | None, platform: str | None) -> Key:
    """The brand and platform that the caller asks for; a key of one brand gets only that brand.

    Raises InvalidValue for a brand that does not exist or that the caller may not see.
    """
    if brand_id is not None:
        visible_to(caller, "brand", {"id": brand_id})
        with snapshot() as connection:
            catalog.brand(connection, brand_id)
    return Key(caller.brand_id or brand_id, None if platform is None else canonical_or_lower(platform))


def _answer(request: Request, content_id: str, body: Body) -> Response:
    headers = {"ETag": _etag(content_id), "Vary": "Accept-Encoding"}
    if _accepts_gzip(request):
        headers["Content-Encoding"] = "gzip"
        return Response(body.file, headers=headers, media_type="application/json")
    return Response(body.plain, headers=headers, media_type="application/json")


def _etag(content_id: str) -> str:
    return f'"{content_id}"'


def _accepts_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")
