"""The event stream of one follower: `snapshot` or `resumed`, then differences, and heartbeats."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from web.serving import encoding
from web.serving.encoding import Body, Encoded
from web.serving.feed import Feed
from web.serving.selections import Key

BEAT_SECONDS: Final = 5.0
"""Seconds between heartbeats, each with the age of the follower's data."""

CHECK_SECONDS: Final = 30.0
"""Seconds between two checks that a stream's API key is still valid."""


async def events(
    feed: Feed, key: Key, last_event_id: str | None, is_allowed: Callable[[], Awaitable[bool]]
) -> AsyncIterator[Encoded]:
    """Yields the events for a follower whose content has the id `last_event_id` (None: it has none).

    The first is `resumed` if the differences since that content are kept, else `snapshot`. A follower that reads too
    slowly for the kept differences gets a snapshot again. Ends if `is_allowed`, which is called every CHECK_SECONDS,
    returns False, or the process stops. Raises Problem (503) if the process stops before the first event.
    """
    is_over = feed.is_over
    async with feed.joined(key):
        selection = await feed.newest(key)
        step = selection.step_of(last_event_id)
        if step is not None:
            yield encoding.event("resumed", {"age_seconds": _age(feed)}, last_event_id)
        checked_at = beat_at = monotonic()
        while not is_over.is_set():
            moved = selection.moved
            missed = None if step is None else selection.since(step)
            if missed is None:
                step, content_id, body = await feed.body_of(selection)
                for part in _snapshot(content_id, body, _age(feed)):
                    yield part
                continue
            for event in missed:
                yield event
            step = None if step is None else step + len(missed)
            now = monotonic()
            if now >= checked_at + CHECK_SECONDS:
                checked_at = now
                if not await is_allowed():
                    return
            if now >= beat_at + BEAT_SECONDS:
                beat_at = now
                yield encoding.event("beat", {"age_seconds": _age(feed)})
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), beat_at + BEAT_SECONDS - now)
            newest = feed.known(key)
            if newest is not selection:
                selection, step = newest, None


def _snapshot(content_id: str, body: Body, age_seconds: float) -> list[Encoded]:
    """The event `snapshot` in three parts, to send in turn; all followers share the long one, `body.rest`."""
    head = f'event: snapshot\nid: {content_id}\ndata: {{"age_seconds":{age_seconds},'
    return [encoding.encoded(head.encode()), body.rest, encoding.encoded(b"\n\n")]


def _age(feed: Feed) -> float:
    return round(feed.age_seconds, 3)
