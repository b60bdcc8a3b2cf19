"""The page of all status changes, newest first, and the stream of new ones, as server-sent events."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Annotated, Any, Final

import structlog
from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from db.engine import snapshot
from db.replica import view
from db.repository.catalog import catalog
from db.repository.reading import dashboard, status_feed
from domain.errors import InvalidValue
from domain.inputs.values import MAX_ID
from web.dashboard.pages import not_found, page, sentence, templates
from web.people import Viewer, viewer_of
from web.polling import Poller

log = structlog.get_logger()

CHANGES_A_PAGE: Final = 100
CHANGES_A_POLL: Final = 200
POLL_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 8.0

MAX_BEHIND: Final = 1_000
CHECK_SECONDS: Final = 30.0
IDLE_POLLS: Final = 20
"""Polls without a listener after which polling ends, so that a page that reloads finds the task still running."""

Change = dict[str, Any]
NOTHING: Final[Change] = {}
BEAT: Final = ServerSentEvent(raw_data=".", event="beat")
"""Heartbeat: shows an open page that its stream works."""

BEAT_SECONDS: Final = 4.0
"""Seconds without a status change after which a heartbeat is sent.

`web/static/app.js` says that the server does not answer after 9 s without an event (OLD_AFTER_MILLISECONDS).
"""

_ID: Final = re.compile(r"[0-9]{1,18}", re.ASCII)

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

Id = Annotated[int | None, Query(ge=1, le=MAX_ID)]


@router.get("/changes")
def changes_page(
    request: Request, person: Viewer, brand_id: Id = None, campaign_id: Id = None, before: Id = None
) -> Response:
    """One page of the status changes with their reasons and figures, newest first; the 404 page for an unknown id.

    `brand_id`, `campaign_id`: only changes of these; None: all. `before`: only changes with an id below it; None: all.
    """
    with view() as connection:
        try:
            _known(connection, brand_id, campaign_id)
        except InvalidValue as refused:
            return not_found(request, sentence(refused))
        rows = dashboard.changes(
            connection, brand_id=brand_id, campaign_id=campaign_id, before=before, limit=CHANGES_A_PAGE
        )
        last = dashboard.last_change(connection)
    context = {"section": "changes", "changes": rows, "last_change": last, "before": before}
    context |= {"brand_id": brand_id, "campaign_id": campaign_id, "more": len(rows) == CHANGES_A_PAGE}
    return page(request, "changes.html", person, context)


def _known(connection: Connection, brand_id: int | None, campaign_id: int | None) -> None:
    """Raises InvalidValue if the brand or the campaign does not exist. None: none is asked for."""
    if brand_id is not None:
        catalog.brand(connection, brand_id)
    if campaign_id is not None:
        catalog.brand_of(connection, campaign_id)


class Feed:
    """Polls new status changes twice a second, once for all open pages of this process.

    Ids are in commit order, so every row after the last seen id is new. In a new epoch ids may have started again, such
    as after a failover to a standby that was behind: all queues end, and the readers connect again.
    """

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Change | None]] = set()
        self._last = self._idle = 0
        self.epoch = ""
        self._poller = Poller(
            self._poll,
            is_wanted=self._is_wanted,
            pause=lambda: asyncio.sleep(POLL_SECONDS),
            log_fault=_log_fault,
            max_backoff_seconds=MAX_BACKOFF_SECONDS,
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Queue[Change | None]]:
        """Yields a queue of the status changes from now on; None is its last item. Starts polling if necessary."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue(MAX_BEHIND + 1)
        started, epoch = await to_thread.run_sync(_last_change), await to_thread.run_sync(_epoch)
        self._listeners.add(queue)
        if not self._poller.is_running:
            self._last, self.epoch = started, epoch
            self._poller.start()
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def end(self) -> None:
        """Puts None, the end, into all listeners' queues, because the process shuts down or the epoch has ended."""
        for queue in self._listeners:
            queue.put_nowait(None)
        self._listeners = set()

    def _is_wanted(self) -> bool:
        """Counts polls without a listener; returns whether a page listens, or did within the last IDLE_POLLS polls."""
        self._idle = 0 if self._listeners else self._idle + 1
        return self._idle < IDLE_POLLS

    async def _poll(self) -> None:
        changes = await to_thread.run_sync(_changes_after, self._last)
        epoch = await to_thread.run_sync(_epoch)  # read second, so that no row of a new epoch passes for one of the old
        if epoch != self.epoch:
            self._last, self.epoch = await to_thread.run_sync(_last_change), epoch
            self.end()
            return
        for change in changes:
            self._last = change["id"]
            self._hand_out(change)

    def _hand_out(self, change: Change) -> None:
        for queue in list(self._listeners):
            if queue.qsize() >= MAX_BEHIND:
                self._listeners.discard(queue)
                queue.put_nowait(None)  # reads too slowly; its page reconnects from the last id it saw
            else:
                queue.put_nowait(change)


def _log_fault(error: Exception) -> None:
    if isinstance(error, SQLAlchemyError):
        log.warning("feed.postgres_away", error=type(error).__name__)
    else:
        log.error("feed.failed", exc_info=error)


feed = Feed()


def _last_change() -> int:
    with snapshot() as connection:
        return dashboard.last_change(connection)


def _epoch() -> str:
    with snapshot() as connection:
        return status_feed.epoch(connection)


def _changes_after(after: int, brand_id: int | None = None, campaign_id: int | None = None) -> list[Change]:
    """At most CHANGES_A_POLL toggles with ids above `after`, oldest first, of a brand or campaign or of all (None)."""
    with snapshot() as connection:
        return dashboard.changes_after(
            connection, after, brand_id=brand_id, campaign_id=campaign_id, limit=CHANGES_A_POLL
        )


@router.get("/changes/stream", response_class=EventSourceResponse)
async def stream(
    request: Request,
    _person: Viewer,
    brand_id: Id = None,
    campaign_id: Id = None,
    after: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Streams heartbeats, and the status changes after Last-Event-ID or `after`, each as an HTML row with its id.

    Without such an id, or with one above the newest, streams only new changes. `brand_id`, `campaign_id`: only changes
    of these; None: all.
    """
    last = int(last_event_id) if last_event_id and _ID.fullmatch(last_event_id) else after
    if last is not None and last > await to_thread.run_sync(_last_change):
        last = None  # of an earlier epoch
    async with feed.listening() as queue:
        while last is not None and (missed := await to_thread.run_sync(_changes_after, last, brand_id, campaign_id)):
            for toggle in missed:
                last = toggle["id"]
                yield _as_event(toggle)
        checked = monotonic()

        def is_wanted(change: Change) -> bool:
            mine = brand_id in {None, change["brand_id"]} and campaign_id in {None, change["campaign_id"]}
            return mine and change["id"] > (last or 0)

        async for change in with_heartbeats(queue, is_wanted, BEAT_SECONDS):
            if monotonic() - checked > CHECK_SECONDS:
                await to_thread.run_sync(viewer_of, request)  # ends the stream of a person who was signed out
                checked = monotonic()
            yield BEAT if change is NOTHING else _as_event(change)


async def with_heartbeats(
    queue: asyncio.Queue[Change | None], is_wanted: Callable[[Change], bool], seconds: float
) -> AsyncIterator[Change]:
    """Yields the wanted status changes, and NOTHING each time that none was wanted for so many seconds.

    Ends with the queue. Changes that are not wanted delay no heartbeat, however many come.
    """
    sent_at = monotonic()
    while True:
        left = sent_at + seconds - monotonic()
        if left <= 0:
            yield NOTHING
            sent_at = monotonic()
            continue
        try:
            change = await asyncio.wait_for(queue.get(), left)
        except TimeoutError:
            continue
        if change is None:
            return
        if is_wanted(change):
            yield change
            sent_at = monotonic()


def _as_event(change: dict[str, Any]) -> ServerSentEvent:
    row = templates.get_template("change_row.html").render(change=change, fresh=True)
    return ServerSentEvent(raw_data=row, event="change", id=str(change["id"]))
