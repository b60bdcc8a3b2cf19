"""The demo creates brands and sends spend for them, with real rows and real messages."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
import redis

from cli.service import demo
from cli.service.demo_brands import BRANDS, PAST_DAYS
from runtime.signals import Stop
from tests.world import UNIT, World, eventually


@pytest.fixture
def queue(database: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


def sent(queue: redis.Redis) -> list[dict[str, Any]]:
    """Returns every event in the queue."""
    messages = [dramatiq.Message.decode(body) for body in queue.hvals("dramatiq:spend.msgs") if isinstance(body, bytes)]
    return [event for message in messages for event in message.kwargs["events"]]


@contextmanager
def spending() -> Iterator[None]:
    stop = Stop()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(demo.spend_until, stop, demo.make_brands(), 0.01, hurry=2_880)
        try:
            yield
        finally:
            stop.set()
            result.result()


def named(world: World, name: str) -> int:
    return int(world.one("SELECT id FROM campaigns WHERE name = %s", name)["id"])


def test_make_brands_creates_each_brand_once(world: World) -> None:
    demo.make_brands()
    demo.make_brands()
    assert [row["name"] for row in world.rows("SELECT name FROM brands ORDER BY id")] == [
        brand.name for brand in BRANDS
    ]
    assert len(world.rows("SELECT FROM campaigns")) == sum(len(brand.campaigns) for brand in BRANDS)
    assert world.holds(named(world, "Display, paused by a person")) == {"user_paused"}
    world.verify()


@pytest.mark.parametrize("at", ["2026-06-17T12:00:00Z", "2026-10-24T23:30:00Z", "2026-03-29T00:30:00Z"])
def test_blinking_campaign_opens_now_and_closes_after_two_minutes(world: World, at: str) -> None:
    start = world.set_clock(at)
    demo.make_brands()
    campaign = named(world, "Open and shut")
    assert world.is_active(campaign)
    changes = world.one("SELECT next_change_at FROM campaigns WHERE id = %s", campaign)["next_change_at"]
    assert (changes - start).total_seconds() == 120


def test_demo_spends_for_active_campaigns_only(world: World, queue: redis.Redis) -> None:
    demo.make_brands()
    past = {event["event_id"] for event in sent(queue)}
    with spending():
        eventually(lambda: len(sent(queue)) > len(past) + 20)
    active = {row["id"] for row in world.rows("SELECT id FROM campaigns WHERE effective_status = 'active'")}
    assert {event["campaign_id"] for event in sent(queue) if event["event_id"] not in past} <= active
    assert named(world, "Display, paused by a person") not in {event["campaign_id"] for event in sent(queue)}
    world.ingest(sent(queue))
    assert world.rejected() == []


def test_demo_keeps_past_spend_within_daily_limits(world: World, queue: redis.Redis) -> None:
    demo.make_brands()
    world.ingest(sent(queue))
    assert world.rejected() == []
    days = world.rows("SELECT day, spent_micros FROM campaign_days WHERE campaign_id = %s", named(world, "Base camp"))
    assert len(days) == PAST_DAYS
    assert all(50 * UNIT < day["spent_micros"] < 170 * UNIT for day in days)
    world.verify()


def test_demo_connects_one_brand_to_the_fake_platform_and_sends_no_events_for_it(
    world: World, queue: redis.Redis
) -> None:
    assert demo.make_brands() == demo.make_brands()
    assert world.one(
        "SELECT platform, account_id, mode FROM platform_connections JOIN platform_accounts ON id = platform_account_id"
    ) == {
        "platform": "google_ads",
        "account_id": "5550100100",
        "mode": "full",
    }
    campaigns = world.rows("SELECT id, external_id FROM campaigns WHERE platform = 'google_ads' ORDER BY id")
    assert [campaign["external_id"] for campaign in campaigns] == ["1001", "1002", "1003"]
    assert not {campaign["id"] for campaign in campaigns} & {event["campaign_id"] for event in sent(queue)}


def test_demo_connects_a_brand_that_an_earlier_version_made(world: World) -> None:
    demo.make_brands()
    world.execute("DELETE FROM platform_connections")
    world.execute("UPDATE campaigns SET external_id = NULL, platform = NULL, platform_account_id = NULL")
    demo.make_brands()
    assert len(world.rows("SELECT FROM campaigns WHERE external_id IS NOT NULL")) == 3
    assert world.rows("SELECT FROM platform_connections")


def test_demo_refund_resumes_a_paused_campaign(world: World, queue: redis.Redis) -> None:
    demo.make_brands()
    base_camp = named(world, "Base camp")
    world.spend(base_camp, 150 * UNIT)
    assert world.holds(base_camp) == {"brand_daily_budget"}
    with spending():
        eventually(lambda: any(event["amount_micros"] < 0 for event in sent(queue)))
    refund = next(event for event in sent(queue) if event["amount_micros"] < 0)
    assert (refund["campaign_id"], refund["amount_micros"]) == (base_camp, -30 * UNIT)
    world.ingest([refund])
    assert world.is_active(base_camp)
    world.verify()
