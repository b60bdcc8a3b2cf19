"""Alerts about campaigns and sources that fell silent, and about stopped campaigns that still spend."""

from datetime import datetime, timedelta

import pytest

from app.alerts.evaluate import evaluate
from tests.world import World

HOURS = 30


def spend_each_hour(
    world: World, campaigns: list[int], start: datetime, hours: int = HOURS, source: str = "adserver"
) -> datetime:
    """Spends a little of each campaign in every hour, as time passes; returns the last hour."""
    for number in range(hours):
        at = world.set_clock(start + timedelta(hours=number))
        world.ingest([world.event(campaign, 1, at, source=source) for campaign in campaigns])
    return at


def alerts(world: World) -> list[tuple[str, int | None, str]]:
    """The kind, campaign and state of each alert, in id order."""
    rows = world.rows("SELECT kind, campaign_id, state FROM alerts ORDER BY id")
    return [(row["kind"], row["campaign_id"], row["state"]) for row in rows]


@pytest.fixture
def brand(world: World, noon: datetime) -> int:
    """A brand without limits, at a stopped noon."""
    world.set_clock(noon)
    return world.brand()


def test_campaign_that_falls_silent_is_told_once_and_resolved_when_it_spends(
    world: World, brand: int, noon: datetime
) -> None:
    silent, other = world.campaign(brand, "Silent"), world.campaign(brand)
    last = spend_each_hour(world, [silent, other], noon)
    spend_each_hour(world, [other], last + timedelta(hours=1), 2)
    world.set_clock(last + timedelta(hours=3, minutes=10))
    evaluate()
    assert alerts(world) == []
    spend_each_hour(world, [other], last + timedelta(hours=3), 2)
    for minutes in (10, 20):
        world.set_clock(last + timedelta(hours=4, minutes=minutes))
        evaluate()
        assert alerts(world) == [("spend_stopped", silent, "open")]
    at = world.set_clock(last + timedelta(hours=4, minutes=30))
    world.spend(silent, 1, at)
    world.set_clock(at + timedelta(minutes=10))
    evaluate()
    assert alerts(world) == [("spend_stopped", silent, "resolved")]
    figures = world.one("SELECT figures FROM alerts")["figures"]
    assert figures == {"silent_hours": 3, "longest_hours": 0}


def test_campaign_that_was_stopped_is_not_told(world: World, brand: int, noon: datetime) -> None:
    paused, other = world.campaign(brand), world.campaign(brand)
    last = spend_each_hour(world, [paused, other], noon)
    world.set_status(paused, "paused")
    spend_each_hour(world, [other], last + timedelta(hours=1), 8)
    world.set_clock(last + timedelta(hours=8, minutes=30))
    world.set_status(paused, "enabled")
    evaluate()
    assert alerts(world) == []


def test_source_that_falls_silent_is_told_instead_of_its_campaigns(world: World, brand: int, noon: datetime) -> None:
    campaigns = [world.campaign(brand), world.campaign(brand)]
    last = spend_each_hour(world, campaigns, noon)
    world.set_clock(last + timedelta(hours=5))
    evaluate()
    assert alerts(world) == [("stale_feed", None, "open")]
    assert world.one("SELECT figures FROM alerts")["figures"]["source"] == "adserver"
    spend_each_hour(world, campaigns, last + timedelta(hours=6), 1)
    world.set_clock(last + timedelta(hours=6, minutes=10))
    evaluate()
    assert alerts(world) == [("stale_feed", None, "resolved")]


def test_source_of_the_day_of_a_move_between_accounts_is_never_stale(world: World, brand: int, noon: datetime) -> None:
    world.execute("INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '555')")
    campaigns = [world.campaign(brand), world.campaign(brand)]
    last = spend_each_hour(world, campaigns, noon, source="google_ads:555")
    world.set_clock(last + timedelta(hours=5))
    evaluate()
    assert "stale_feed" not in [kind for kind, _, _ in alerts(world)]


def test_source_of_a_brand_that_a_person_paused_is_not_stale(world: World, brand: int, noon: datetime) -> None:
    campaigns = [world.campaign(brand), world.campaign(brand)]
    last = spend_each_hour(world, campaigns, noon)
    for campaign in campaigns:
        world.set_status(campaign, "paused")
    world.set_clock(last + timedelta(hours=9))
    evaluate()
    world.set_status(campaigns[0], "enabled")
    evaluate()
    assert alerts(world) == []


def test_backfill_of_sixty_days_makes_no_history(world: World, brand: int, noon: datetime) -> None:
    campaign = world.campaign(brand)
    days = range(1, 35)
    world.ingest([world.event(campaign, 1, noon - timedelta(days=day)) for day in days])
    world.set_clock(noon + timedelta(hours=12))
    evaluate()
    assert alerts(world) == []
    assert len(world.one("SELECT hours FROM spend_hours WHERE campaign_id > 0")["hours"]) == 1


def test_stopped_campaign_that_still_spends_is_told_until_it_stops(world: World, brand: int, noon: datetime) -> None:
    campaign = world.campaign(brand)
    world.spend(campaign, 1)
    world.set_status(campaign, "paused")
    late = world.set_clock(noon + timedelta(minutes=30))
    world.spend(campaign, 1, late)
    world.set_clock(noon + timedelta(minutes=40))
    evaluate()
    assert alerts(world) == []
    leak = world.set_clock(noon + timedelta(minutes=90))
    world.spend(campaign, 1, leak)
    for minutes in (100, 110):
        world.set_clock(noon + timedelta(minutes=minutes))
        evaluate()
        assert alerts(world) == [("held_but_spending", campaign, "open")]
    world.set_clock(noon + timedelta(hours=5))
    evaluate()
    assert alerts(world) == [("held_but_spending", campaign, "resolved")]
