"""Spend of campaigns whose account or external id changed: each account tells the days on which it had the campaign."""

from datetime import date

import pytest

from app.ingest.ingest import count_totals
from domain.periods import ONE_DAY
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.app.platforms.test_corrected_ids import correct
from tests.world import World

TODAY = date(2026, 6, 17)
TOMORROW, YESTERDAY = TODAY + ONE_DAY, TODAY - ONE_DAY


@pytest.fixture
def other(connected: Connected, world: World) -> str:
    """Another account of the brand, which another instance reads; returns the platform's id."""
    made = world.one("INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '555') RETURNING id")
    world.execute("INSERT INTO platform_account_brands VALUES (%s, %s)", connected.brand, made["id"])
    return "555"


def count(campaign: int, day: date, micros: int) -> None:
    """Counts a total as a read of another account does."""
    at = clock.now().isoformat()
    counted = count_totals(
        [
            {
                "source": "google_ads",
                "campaign_id": campaign,
                "day": day.isoformat(),
                "total_micros": micros,
                "as_of": at,
                "currency": "USD",
            }
        ]
    )
    assert not counted.rejections


def test_account_that_a_campaign_left_sets_no_later_day_to_zero(connected: Connected, world: World, other: str) -> None:
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 7)
    connected.pull()
    correct(connected, campaign, account=other)
    world.set_clock(clock.now() + ONE_DAY)
    count(campaign, TOMORROW, 9)
    world.set_clock("2026-06-18T13:00")
    connected.fake.spend("11", TODAY, 1)
    connected.pull()
    assert [connected.spent(campaign, day) for day in (TODAY, TOMORROW)] == [8, 9]
    world.verify()


def test_account_to_which_a_campaign_came_leaves_earlier_days_as_they_are(
    connected: Connected, world: World, other: str
) -> None:
    campaign = connected.campaign("11")
    correct(connected, campaign, account=other)
    for day, micros in ((YESTERDAY, 3), (TODAY, 9)):
        count(campaign, day, micros)
    correct(connected, campaign, account=connected.fake.account_id)
    connected.fake.spend("11", TODAY, 5)
    world.set_clock("2026-06-17T12:10")
    connected.pull()
    assert [connected.spent(campaign, day) for day in (YESTERDAY, TODAY)] == [3, 9]
    told = connected.connection()["last_error"]
    assert told == f"campaign {campaign} left another account: its spend here counts from {TOMORROW}"
    world.set_clock("2026-06-18T12:10")
    connected.fake.spend("11", TOMORROW, 6)
    connected.pull()
    assert [connected.spent(campaign, day) for day in (YESTERDAY, TODAY, TOMORROW)] == [3, 9, 6]
    assert connected.connection()["last_error"] is None
    world.verify()


def test_both_ids_of_a_corrected_campaign_add_up_until_the_correction(connected: Connected, world: World) -> None:
    campaign = connected.campaign("111")
    connected.fake.add("222", "enabled")
    connected.fake.spend("111", TODAY, 7)
    connected.pull()
    correct(connected, campaign, external_id="222")
    connected.fake.spend("222", TODAY, 5)
    for at in ("2026-06-17T12:10", "2026-06-17T12:20"):
        world.set_clock(at)
        connected.pull()
        assert connected.spent(campaign, TODAY) == 12
    world.set_clock("2026-06-18T12:00")
    connected.fake.spend("111", TOMORROW, 50)
    connected.fake.spend("222", TOMORROW, 4)
    connected.pull()
    assert [connected.spent(campaign, day) for day in (TODAY, TOMORROW)] == [12, 4]
    assert world.rejected() == []
    world.verify()
