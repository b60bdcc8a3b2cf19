"""Headroom: most spend checks no budget because enough is left of each, and still no crossing is missed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from db.engine import transaction
from db.repository.enforcement.facts import lock_brands
from tests.citus import Limit
from tests.kit import statements
from tests.world import World, eventually, moment
from workers.actors.schedule import refresh_spend

LIMIT = 1_000


def limit_searches(sent: list[tuple[str, Any]]) -> list[str]:
    """The statements that search for crossed limits."""
    return [statement for statement, _ in sent if "WITH judged" in statement]


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign of a brand with a daily limit, little of which is spent."""
    world.set_clock(noon)
    made = world.campaign(world.brand("Asia/Kathmandu", daily=LIMIT))
    world.spend(made, 1)
    return made


def test_spend_within_the_headroom_checks_no_budget(world: World, campaign: int) -> None:
    with statements() as sent:
        world.ingest([world.event(campaign, 1) for _ in range(LIMIT - 2)])
        world.spend(campaign, -5)
    assert limit_searches(sent) == []
    assert (world.is_active(campaign), world.spent(campaign)) == (True, LIMIT - 6)
    world.verify()


@pytest.mark.parametrize(("micros", "active"), [(LIMIT - 2, True), (LIMIT - 1, False), (10**15, False)])
def test_pauses_when_spend_equals_limit_and_not_before(world: World, campaign: int, micros: int, active: bool) -> None:
    world.spend(campaign, micros)
    assert world.is_active(campaign) is active
    world.verify()


def test_refund_after_a_crossing_reactivates_at_once(world: World, campaign: int) -> None:
    world.spend(campaign, LIMIT)
    world.spend(campaign, -2)
    assert world.is_active(campaign)
    world.spend(campaign, 1)
    assert not world.is_active(campaign)
    world.verify()


def test_refunds_within_a_batch_reduce_its_spend(world: World, campaign: int) -> None:
    with statements() as sent:
        for _ in range(5):
            world.ingest([world.event(campaign, 900), world.event(campaign, -900)])
    assert (limit_searches(sent), world.is_active(campaign)) == ([], True)


def test_lowered_limit_is_checked(world: World, campaign: int) -> None:
    world.limit(20, brand=world.brand_of(campaign))
    world.spend(campaign, 19)
    assert not world.is_active(campaign)


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_limit_lowered_by_sql_is_checked(world: World, campaign: int) -> None:
    world.execute("UPDATE budgets SET limit_micros = 20")
    world.spend(campaign, 19)
    assert not world.is_active(campaign)
    world.execute("UPDATE budgets SET limit_micros = 100")
    world.spend(campaign, 1)
    assert world.is_active(campaign)
    world.spend(campaign, 79)
    assert not world.is_active(campaign)


def test_clock_set_back_over_midnight_uses_the_previous_day(world: World, campaign: int, noon: datetime) -> None:
    world.spend(campaign, LIMIT - 10)
    world.set_clock(noon + timedelta(days=1))
    world.tick()
    world.spend(campaign, 1)
    world.set_clock(noon)
    world.spend(campaign, 10)
    assert not world.is_active(campaign)


def test_monthly_limit_is_checked_again_on_each_day(world: World) -> None:
    at = moment("2026-06-17T12:00:00Z")
    world.set_clock(at)
    campaign = world.campaign(world.brand(monthly=10))
    for day in range(10):
        world.set_clock(at + timedelta(days=day))
        assert world.is_active(campaign)
        world.spend(campaign, 1)
    assert not world.is_active(campaign)
    world.verify()


def test_late_spend_reduces_the_headroom_of_the_month(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=100, monthly=100))
    world.spend(campaign, 50)
    world.spend(campaign, 49, noon - timedelta(days=3))
    assert world.is_active(campaign)
    world.spend(campaign, 1)
    assert not world.is_active(campaign)
    world.verify()


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_campaign_budget_is_checked_for_any_headroom_of_its_brand(world: World, campaign: int) -> None:
    other = world.campaign(world.brand_of(campaign), daily=10)
    world.spend(other, 10)
    assert (world.is_active(other), world.is_active(campaign)) == (False, True)
    world.spend(other, -1)
    assert world.is_active(other)
    world.execute("DELETE FROM budgets WHERE campaign_id IS NOT NULL")
    assert world.one("SELECT has_campaign_budgets FROM brands") == {"has_campaign_budgets": False}


def test_refresh_corrects_headroom_after_counters_were_edited_by_sql(world: World, campaign: int) -> None:
    world.execute("UPDATE campaign_days SET spent_micros = spent_micros + 900")
    world.execute("UPDATE brand_days SET spent_micros = spent_micros + 900")
    world.execute("UPDATE brands SET headroom_micros = %s", LIMIT)
    refresh_spend()
    world.spend(campaign, 99)
    assert not world.is_active(campaign)


COUNT_AS_OLD_VERSIONS = (
    "UPDATE campaign_days SET spent_micros = spent_micros + 900",
    "UPDATE brand_days SET spent_micros = spent_micros + 900",
)
"""The counting of a version that knows no headroom: its connection does not declare that it keeps it."""


@pytest.mark.on_one_server(Limit.OLDER_VERSIONS)
def test_spend_that_an_older_version_counted_is_not_missed(world: World, campaign: int) -> None:
    for statement in COUNT_AS_OLD_VERSIONS:
        world.execute(statement)
    world.spend(campaign, 98)
    assert world.is_active(campaign)
    for statement in COUNT_AS_OLD_VERSIONS:
        world.execute(statement)
    world.spend(campaign, 1)
    assert not world.is_active(campaign)


@pytest.mark.on_one_server(Limit.OLDER_VERSIONS)
def test_spend_that_an_older_version_commits_after_a_renewal_is_not_missed(world: World, campaign: int) -> None:
    """The new version counts while the older version's transaction waits for the brand, and does not see its spend."""
    world.execute("UPDATE brands SET headroom_micros = NULL")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(world.url) as older:
        with transaction() as connection:
            lock_brands(connection, [world.brand_of(campaign)])
            older.execute(COUNT_AS_OLD_VERSIONS[0])
            waiting = pool.submit(older.execute, COUNT_AS_OLD_VERSIONS[1])
            eventually(world.waits)
            connection.execute(text("UPDATE brands SET headroom_micros = :micros"), {"micros": LIMIT - 2})
        waiting.result()
        older.commit()
    world.spend(campaign, 99)
    assert not world.is_active(campaign)


def test_connections_of_this_version_declare_that_they_keep_headroom(world: World) -> None:
    with transaction() as connection:
        declared = connection.execute(text("SELECT current_setting('spendgate.keeps_headroom')"))
        assert declared.scalar_one() == "on"
