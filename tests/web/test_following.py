"""The example follower against a real web process: its set is the feed's, through restarts and cut networks."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from anyio import to_thread

from examples.serving_follower import GO_ON, Follower
from tests.web.conftest import Browse
from tests.world import UNIT, World, eventually
from web.api.request import stream_keys
from web.problems import Problem
from web.serving import feed, streams
from web.serving.feed import Feed
from web.serving.selections import Key


def _key(**options: int) -> str:
    from app import access  # noqa: PLC0415 - after the environment is set
    from domain.access import KeyScope  # noqa: PLC0415

    return access.create_key("bidder", [KeyScope.READ], "test", brand_id=options.get("brand"))[1]


def test_follower_has_what_may_serve_after_toggles_edits_and_spend(world: World, browse: Browse) -> None:
    brand = world.brand(daily=10 * UNIT)
    campaign = world.campaign(brand, platform="meta_ads", external_id="9")
    with browse() as client, Follower(str(client.base_url), _key(), max_stale_seconds=60) as follower:
        eventually(lambda: follower.may_serve("meta_ads", "9"))
        assert follower.headroom_micros(campaign) == 10 * UNIT
        world.spend(campaign, 4 * UNIT)
        eventually(lambda: follower.headroom_micros(campaign) == 6 * UNIT)
        world.set_status(campaign, "paused")
        eventually(lambda: not follower.may_serve("meta_ads", "9"))
        world.set_status(campaign, "enabled")
        other = world.campaign(brand)
        eventually(lambda: follower.serving().keys() == {campaign, other})
        eventually(lambda: follower.age_seconds() < 60)


def test_follower_starts_over_in_a_new_epoch(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    with browse() as client, Follower(str(client.base_url), _key()) as follower:
        eventually(lambda: follower.serving().keys() == {campaign})
        ended = str(follower._snapshot_id).partition("-")[0]
        world.execute("UPDATE feed_epoch SET epoch = gen_random_uuid()")
        eventually(lambda: not str(follower._snapshot_id).startswith(ended))
        world.set_status(campaign, "paused")
        eventually(lambda: follower.serving() == {})


def test_restarted_follower_begins_with_its_kept_copy_as_old_as_it_is(
    world: World, browse: Browse, tmp_path: Path
) -> None:
    world.campaign(world.brand(), platform="meta_ads", external_id="9")
    kept = tmp_path / "copy.json"
    with browse() as client, Follower(str(client.base_url), _key(), keep=kept) as follower:
        eventually(lambda: follower.may_serve("meta_ads", "9"))
        url = str(client.base_url)
    with Follower(url, "sg_nonsense", keep=kept, max_stale_seconds=3_600) as again:
        assert again.may_serve("meta_ads", "9")
        age_seconds = again.age_seconds()
        assert again.age_seconds() >= age_seconds > 0
    with Follower(url, "sg_nonsense", keep=kept, max_stale_seconds=0) as too_old:
        assert (too_old.is_stale(), too_old.serving()) == (True, {})
    kept.write_text(kept.read_text()[:-20])
    with Follower(url, "sg_nonsense", keep=kept, policy=GO_ON) as broken:
        assert broken.serving() == {}


def test_stream_ends_when_its_key_is_revoked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    campaign = world.campaign(world.brand())
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(streams, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(stream_keys, "SHARED_SECONDS", 0.0)
    key = _key()
    caller = access.caller(key)
    assert caller is not None

    async def names() -> list[bytes]:
        found = []
        allowed = partial(stream_keys.is_still_valid, key, caller)
        async for event in streams.events(Feed(), Key(None, None), None, allowed):
            found.append(event.plain)
            if b"event: beat" in event.plain:
                await to_thread.run_sync(access.revoke_key, caller.key_id, "test")
        return found

    with ThreadPoolExecutor(1) as thread:  # a browser's driver may keep a loop running in this one
        found = thread.submit(lambda: asyncio.run(asyncio.wait_for(names(), 120))).result()
    assert found[0].startswith(b"event: snapshot")
    assert b'"campaign_id":%d' % campaign in found[1]
    assert b"event: beat" in found[-1]


def test_request_that_waits_for_a_poll_is_answered_when_the_process_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, is_read = threading.Event(), threading.Event()

    def read(*_: object) -> object:
        begun.set()
        return is_read.wait(120)

    monkeypatch.setattr(feed, "read_all", read)

    async def ask() -> list[object]:
        made, key = Feed(), Key(None, None)
        async with made.joined(key):
            polled = asyncio.create_task(made.newest(key))
            await asyncio.sleep(0)
            await asyncio.to_thread(begun.wait, 120)
            waiting = asyncio.create_task(made.newest(key))
            await asyncio.sleep(0)
            made.end()
            later = asyncio.create_task(made.newest(key))
            found = await asyncio.wait_for(asyncio.gather(waiting, later, return_exceptions=True), 60)
            is_read.set()
            await asyncio.gather(polled, return_exceptions=True)
        return list(found)

    with ThreadPoolExecutor(1) as thread:  # a browser's driver may keep a loop running in this one
        found = thread.submit(lambda: asyncio.run(ask())).result()
    assert [one.status for one in found if isinstance(one, Problem)] == [503, 503]
