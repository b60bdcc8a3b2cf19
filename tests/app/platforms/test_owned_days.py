"""Spend of campaigns whose account or external id changed: each account reports its days of the campaign."""

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


def came_from(connected: Connected, other: str, other_id: str) -> int:
    """A campaign that is `11` in the connected account, and was `other_id` in the other one until the end of today."""
    campaign = connected.campaign("11")
    correct(connected, campaign, account=other, external_id=other_id)
    for day, micros in ((YESTERDAY, 3), (TODAY, 9)):
        count(campaign, day, micros)
    correct(connected, campaign, account=connected.fake.account_id, external_id="11")
    return campaign


def pulled(connected: Connected, world: World, at: str, campaign: int) -> list[int]:
    """Reads the account's spend at `at`; returns the campaign's spend of yesterday, today and tomorrow."""
    world.set_clock(at)
    connected.pull()
    assert connected.connection()["last_error"] is None
    assert world.rejected() == []
    return [connected.spent(campaign, day) for day in (YESTERDAY, TODAY, TOMORROW)]


def test_days_of_a_move_between_accounts_have_the_spend_of_both(connected: Connected, world: World, other: str) -> None:
    campaign = came_from(connected, other, "77")
    connected.fake.spend("11", TODAY, 5)
    connected.fake.spend("11", YESTERDAY, 2)
    for at in ("2026-06-17T12:10", "2026-06-17T12:20"):
        assert pulled(connected, world, at, campaign) == [5, 14, 0]
    count(campaign, TODAY, 10)
    connected.fake.spend("11", TODAY, 1)
    assert pulled(connected, world, "2026-06-17T12:30", campaign) == [5, 16, 0]
    connected.fake.campaigns["11"].spend.clear()
    connected.fake.spend("11", TOMORROW, 4)
    assert pulled(connected, world, "2026-06-18T12:10", campaign) == [3, 10, 4]
    connected.fake.campaigns["11"].spend.clear()
    assert pulled(connected, world, "2026-06-18T12:20", campaign) == [3, 10, 0]
    world.verify()


def test_limit_holds_for_the_spend_of_both_accounts_on_the_day_of_a_move(
    connected: Connected, world: World, other: str
) -> None:
    campaign = came_from(connected, other, "77")
    connected.fake.spend("11", TODAY, 91)
    pulled(connected, world, "2026-06-17T12:10", campaign)
    assert world.holds(campaign) == {"brand_daily_budget"}


def test_account_that_tells_the_same_id_replaces_the_former_accounts_figures(
    connected: Connected, world: World, other: str
) -> None:
    """The platform knows an id in one account only, so the other's figures came from elsewhere, such as a file."""
    campaign = came_from(connected, other, "11")
    connected.fake.spend("11", TODAY, 12)
    assert pulled(connected, world, "2026-06-17T12:10", campaign) == [3, 12, 0]
    connected.fake.campaigns["11"].spend.clear()
    connected.fake.spend("11", TOMORROW, 6)
    assert pulled(connected, world, "2026-06-18T12:10", campaign) == [3, 12, 6]
    connected.fake.campaigns["11"].spend.clear()
    assert pulled(connected, world, "2026-06-18T12:20", campaign) == [3, 12, 0]
    world.verify()


def test_account_that_had_the_same_id_sets_no_day_of_the_new_account_to_zero(
    connected: Connected, world: World, other: str
) -> None:
    campaign = connected.campaign("11")
    count(campaign, YESTERDAY, 3)
    correct(connected, campaign, account=other)
    world.set_clock("2026-06-17T12:05")
    count(campaign, YESTERDAY, 4)
    assert pulled(connected, world, "2026-06-17T12:10", campaign) == [4, 0, 0]
    connected.fake.spend("11", YESTERDAY, 5)
    assert pulled(connected, world, "2026-06-17T12:20", campaign) == [5, 0, 0]


def test_account_between_two_others_adds_its_figures_to_the_first_ones(
    connected: Connected, world: World, other: str
) -> None:
    campaign = came_from(connected, other, "77")
    connected.fake.spend("11", TODAY, 5)
    connected.fake.spend("11", TOMORROW, 4)
    assert pulled(connected, world, "2026-06-18T12:10", campaign) == [3, 14, 4]
    correct(connected, campaign, account=other, external_id="78")
    connected.fake.spend("11", TODAY, 1)
    assert pulled(connected, world, "2026-06-18T12:20", campaign) == [3, 15, 4]


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
