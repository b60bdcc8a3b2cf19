"""One reader of the serving feed for all followers of this process.

It polls for toggles and edits several times a second. Besides, it reads all campaigns every few seconds, because spend
changes their headroom. Followers cost no queries: followers that ask for the same brand and platform share a
Selection.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import structlog

from app.serving import Differences, Position, differences, read_all, read_since
from db.failures import is_transient
from db.repository.reading.serving import Row
from web.polling import FIRST_BACKOFF_SECONDS, Poller
from web.problems import RETRY_LATER, Problem
from web.serving.encoding import Body
from web.serving.selections import Board, Key, Selection, Step

log = structlog.get_logger()

Result = TypeVar("Result")

POLL_SECONDS: Final = 0.2
"""Seconds between two polls for toggles and edits."""

REFRESH_SECONDS: Final = 5.0
"""Seconds between the starts of two reads of all campaigns.

More if a read takes over 1/REFRESH_DIVISOR of these seconds; less after an edit that may change several campaigns.
"""

REFRESH_DIVISOR: Final = 10
"""At most 1/REFRESH_DIVISOR of the time is spent on reads of all campaigns."""

LINGER_SECONDS: Final = 60.0
"""Seconds for which a selection without followers is kept, so that a follower that reconnects needs no snapshot."""


class _Refresh(NamedTuple):
    """The result of reading all campaigns of `brand_ids` (None: of all brands), and the seconds that it took."""

    brand_ids: frozenset[int] | None
    position: Position
    rows: dict[int, Row]
    seconds: float


class Feed:
    """The shared reader, its Board of campaigns and selections, and the requests that wait for its next poll."""

    def __init__(self) -> None:
        self._joined: Counter[Key] = Counter()
        self._used_at: dict[Key, float] = {}
        self._poller = Poller(
            self._poll_and_answer,
            is_wanted=self._is_wanted,
            pause=self._pause,
            log_fault=_log_fault,
            max_backoff_seconds=FIRST_BACKOFF_SECONDS,
        )
        self._begin()

    def _begin(self) -> None:
        self._board: Board | None = None
        self._read_at = 0.0
        self._waiting: list[asyncio.Future[None]] = []
        self._is_asked = asyncio.Event()
        self._refresh: asyncio.Task[_Refresh] | None = None
        self._refresh_after = self._refresh_soon_after = monotonic()
        self._touched: set[int] = set()
        self._bodies: dict[Key, tuple[str, asyncio.Task[Body]]] = {}
        self._is_over = asyncio.Event()

    @property
    def age_seconds(self) -> float:
        """Seconds since the start of the last poll that succeeded."""
        return monotonic() - self._read_at

    @property
    def is_reading(self) -> bool:
        """Whether the reader runs."""
        return self._poller.is_running

    @property
    def is_over(self) -> asyncio.Event:
        """The event that is set when the process shuts down."""
        return self._is_over

    def end(self) -> None:
        """Ends all streams, waiting requests and the reader, because the process shuts down."""
        self._is_over.set()
        self._is_asked.set()
        asking, self._waiting = self._waiting, []
        _answer(asking, _stopping())
        for selection in self._board.selections.values() if self._board else ():
            selection.moved.set()

    @asynccontextmanager
    async def joined(self, key: Key) -> AsyncIterator[None]:
        """Keeps the selection of the key up to date during the block. Starts the reader if it is not running."""
        self._joined[key] += 1
        if not self.is_reading:
            self._begin()
            self._poller.start()
        try:
            yield
        finally:
            self._joined[key] -= 1
            self._used_at[key] = monotonic()

    async def newest(self, key: Key) -> Selection:
        """Waits for a poll that begins after this call; returns the key's selection.

        Raises the error of that poll, and Problem (503) if the process shuts down.
        """
        if self._is_over.is_set():
            raise _stopping()
        polled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(polled)
        self._is_asked.set()
        await polled
        return self.known(key)

    def known(self, key: Key) -> Selection:
        """The key's selection as of the last poll. Call it only for a key whose selection `newest` has returned."""
        assert self._board is not None  # noqa: S101 - it exists since the first poll
        return self._board.selections[key]

    async def body_of(self, selection: Selection) -> tuple[int, str, Body]:
        """Waits until the campaigns are encoded, once for all followers; returns the selection's step, id and Body."""
        step, content_id = selection.step, selection.id
        known = self._bodies.get(selection.key)
        if known is None or known[0] != content_id:
            known = content_id, asyncio.create_task(_in_thread(selection.snapshot().body))
            self._bodies[selection.key] = known
        return step, content_id, await asyncio.shield(known[1])

    def _is_wanted(self) -> bool:
        """Whether a selection is in use; False after `end`."""
        return not self._is_over.is_set() and bool(self._keys())

    async def _poll_and_answer(self) -> None:
        """Polls, and answers the requests that wait for a poll. Raises the error of the poll."""
        self._is_asked.clear()
        asking, self._waiting = self._waiting, []
        began = monotonic()
        try:
            await self._poll(self._keys())
        except Exception as error:
            _answer(asking, error)
            raise
        self._read_at = began
        _answer(asking, None)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_asked.wait(), POLL_SECONDS)

    def _keys(self) -> list[Key]:
        """The keys of the selections in use. Removes selections that have had no follower for LINGER_SECONDS."""
        too_old = monotonic() - LINGER_SECONDS
        self._used_at = {key: at for key, at in self._used_at.items() if at > too_old}
        self._joined = +self._joined
        self._bodies = {key: body for key, body in self._bodies.items() if self._is_used(key)}
        return [*self._joined, *(self._used_at.keys() - self._joined.keys())]

    def _is_used(self, key: Key) -> bool:
        return key in self._joined or key in self._used_at

    async def _poll(self, keys: Iterable[Key]) -> None:
        """Brings the board up to date: reads the campaigns toggled or edited since the last poll, or all of them."""
        brand_ids = _brands_of(keys)
        board, changes = self._board, None
        if board is not None and _covers(board.brand_ids, brand_ids):
            changes = await _in_thread(partial(read_since, board.position, board.brand_ids))
        if board is None or changes is None:
            await self._read_all(brand_ids, keys)
            return
        self._touched |= changes.rows.keys()
        if changes.reads_all:
            self._refresh_after = self._refresh_soon_after
        rows = await self._refreshed(board, brand_ids) | changes.rows
        await self._step(board, rows, partial(board.steps, rows, changes.change_ids))
        board.position = changes.position
        await self._select(board, keys)
        self._start_refresh(brand_ids)

    async def _read_all(self, brand_ids: frozenset[int] | None, keys: Iterable[Key]) -> None:
        """Reads all campaigns of `brand_ids` (None: of all brands) and compares them with the known ones.

        Followers get the differences, or, in a new epoch (such as after a restored backup), a new snapshot.
        """
        position, rows = await _in_thread(partial(read_all, brand_ids))
        board = self._board
        self._refresh, self._touched = None, set()
        if board is None or board.position.epoch != position.epoch:
            self._board = Board(position, brand_ids, rows)
            await self._select(self._board, keys)
            for selection in board.selections.values() if board else ():
                selection.moved.set()
            return
        changed = await _in_thread(partial(differences, board.rows, rows))
        await self._step(board, changed, partial(board.steps, changed, {}))
        board.position, board.brand_ids = position, brand_ids
        await self._select(board, keys)

    async def _refreshed(self, board: Board, brand_ids: frozenset[int] | None) -> Differences:
        """Takes a finished read of all campaigns and computes when the next read is due; returns the differences found.

        They leave out campaigns that a later poll has read. Empty if no read has finished. `brand_ids`: the brands that
        followers need; None: all.
        """
        if self._refresh is None or not self._refresh.done():
            return {}
        finished, self._refresh = self._refresh, None
        found = finished.result()
        began_after = monotonic() - found.seconds
        self._refresh_soon_after = began_after + REFRESH_DIVISOR * found.seconds
        self._refresh_after = max(self._refresh_soon_after, began_after + REFRESH_SECONDS)
        if found.position.epoch != board.position.epoch or not _covers(found.brand_ids, brand_ids):
            return {}
        changed = await _in_thread(partial(differences, board.rows, found.rows))
        board.brand_ids = found.brand_ids
        return {key: row for key, row in changed.items() if key not in self._touched}

    def _start_refresh(self, brand_ids: frozenset[int] | None) -> None:
        """Starts to read all campaigns of `brand_ids` (None: all brands) in a thread, for `_refreshed`.

        Does nothing while such a read runs, and before the next one is due.
        """
        if self._refresh is None and monotonic() >= self._refresh_after:
            self._touched = set()
            self._refresh = asyncio.create_task(_in_thread(partial(_read_for_refresh, brand_ids)))

    async def _select(self, board: Board, keys: Iterable[Key]) -> None:
        if set(keys) != board.selections.keys():
            await _in_thread(partial(board.select, keys))

    async def _step(self, board: Board, rows: Differences, steps: Callable[[], list[Step]]) -> None:
        if rows:
            board.apply(rows, await _in_thread(steps))


def _read_for_refresh(brand_ids: frozenset[int] | None) -> _Refresh:
    began = monotonic()
    position, rows = read_all(brand_ids)
    return _Refresh(brand_ids, position, rows, monotonic() - began)


async def _in_thread(call: Callable[[], Result]) -> Result:
    """Returns the result of the call, made in a thread of the loop's own pool, so that requests cannot occupy it."""
    return await asyncio.to_thread(call)


def _brands_of(keys: Iterable[Key]) -> frozenset[int] | None:
    """The brands that the selections need; None for all."""
    brand_ids = [key.brand_id for key in keys]
    return None if None in brand_ids else frozenset(brand_id for brand_id in brand_ids if brand_id is not None)


def _covers(brand_ids: frozenset[int] | None, wanted: frozenset[int] | None) -> bool:
    return brand_ids is None or (wanted is not None and wanted <= brand_ids)


def _stopping() -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "this server is stopping; try again", headers=RETRY_LATER)


def _answer(asking: Iterable[asyncio.Future[None]], error: Exception | None) -> None:
    for polled in asking:
        if polled.done():
            continue
        if error is None:
            polled.set_result(None)
        else:
            polled.set_exception(error)


def _log_fault(error: Exception) -> None:
    if is_transient(error):
        log.warning("serving.postgres_away", error=type(error).__name__)
    else:
        log.error("serving.failed", exc_info=error)


feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = WeakKeyDictionary()
"""The reader of each event loop of this process."""


def serving_feed() -> Feed:
    """The reader of the running event loop, which all followers in it share. A process that serves has one loop."""
    return feeds.setdefault(asyncio.get_running_loop(), Feed())
