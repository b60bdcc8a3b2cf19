"""Enforcement through edits, spend and its actor: holds, toggles, status changes and log lines."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy.exc import OperationalError

from app.edits import editing
from app.enforcement import edited
from db.repository.access.audit import Edit
from domain.periods import Period
from runtime import clock
from runtime.settings import settings
from tests.kit import at_once, lines
from tests.world import UNIT, World
from workers.actors.enforcement import evaluate_budgets
from workers.actors.schedule import apply_dayparting, reset_daily_budgets

TOMORROW = "2026-06-18T00:00:00Z"


def changes(world: World, campaign: int) -> list[dict[str, Any]]:
    return world.rows("SELECT * FROM status_changes WHERE campaign_id = %s ORDER BY id", campaign)


def edit_brand(world: World, brand: int, **fields: object) -> None:
    edit = Edit("test", clock.now())
    edited(partial(editing.edit_brand, brand_id=brand, changes=fields, edit=edit), brand)


def edit_campaign(world: World, campaign: int, **fields: object) -> None:
    edit = Edit("test", clock.now())
    work = partial(editing.edit_campaign, campaign_id=campaign, changes=fields, edit=edit)
    edited(work, world.brand_of(campaign))


# --- budgets


def test_brand_limit_compares_brand_spend_and_pauses_all_campaigns(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(monthly=10)
    campaigns = [world.campaign(brand) for _ in range(5)]
    stranger = world.campaign(world.brand(monthly=10))
    for campaign in campaigns:
        world.spend(campaign, 2)
    assert [world.holds(campaign) for campaign in campaigns] == [{"brand_monthly_budget"}] * 5
    assert world.is_active(stranger)
    world.verify()


def test_campaign_limit_compares_its_own_spend_and_pauses_no_sibling(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand()
    limited, sibling = world.campaign(brand, daily=10), world.campaign(brand, daily=10)
    world.spend(limited, 10)
    assert (world.is_active(limited), world.is_active(sibling)) == (False, True)


def test_exhausted_brand_budget_pauses_every_one_of_many_campaigns(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    insert = "INSERT INTO campaigns (brand_id, name) SELECT %s, 'c' FROM generate_series(1, 301)"
    world.execute(insert, brand)
    evaluate_budgets([brand])
    world.spend(world.campaign(brand), 10)
    inactive = world.one("SELECT count(*) FROM campaigns WHERE effective_status = 'inactive'")
    assert inactive["count"] == 302
    assert world.one("SELECT count(*) FROM status_changes")["count"] == 302
    world.verify()


def test_lowered_limit_pauses_at_once_and_raised_limit_reactivates_at_once(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 6)
    world.limit(6, brand=brand)
    assert world.holds(campaign) == {"brand_daily_budget"}
    world.limit(7, brand=brand)
    assert world.is_active(campaign)
    world.verify()


def test_limit_of_zero_holds_always_without_any_spend(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(), daily=0)
    assert world.holds(campaign) == {"campaign_daily_budget"}
    world.set_clock(TOMORROW)
    world.tick()
    assert world.holds(campaign) == {"campaign_daily_budget"}


def test_removed_budget_limits_nothing(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=0)
    campaign = world.campaign(brand)
    edit = Edit("test", noon)
    edited(lambda connection: editing.remove_budget(connection, brand, None, Period.DAILY, edit), brand)
    assert world.is_active(campaign)


def test_each_exhausted_budget_sets_and_lifts_its_own_hold(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10, weekly=10, monthly=10)
    campaign = world.campaign(brand, daily=10, yearly=10, lifetime=10)
    world.spend(campaign, 10)
    everything = {f"brand_{period}_budget" for period in ("daily", "weekly", "monthly")}
    everything |= {f"campaign_{period}_budget" for period in ("daily", "yearly", "lifetime")}
    assert world.holds(campaign) == everything
    world.limit(11, "monthly", brand=brand)
    assert world.holds(campaign) == everything - {"brand_monthly_budget"}
    world.set_clock(TOMORROW)
    world.tick()
    assert world.holds(campaign) == {"brand_weekly_budget", "campaign_yearly_budget", "campaign_lifetime_budget"}
    world.set_clock("2027-01-01T00:00:00Z")
    world.tick()
    assert world.holds(campaign) == {"campaign_lifetime_budget"}
    assert len(changes(world, campaign)) == 1
    world.verify()


def test_campaign_created_after_the_budget_ran_out_is_held_from_the_start(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    world.spend(world.campaign(brand), 10)
    assert world.holds(world.campaign(brand)) == {"brand_daily_budget"}
    world.verify()


# --- configured status and flights


def test_user_pause_stays_after_spend_refund_raised_limit_and_reset(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    paused, other = world.campaign(brand), world.campaign(brand)
    world.set_status(paused, "paused")
    world.spend(other, 10)
    assert world.holds(paused) == {"user_paused", "brand_daily_budget"}
    world.limit(20, brand=brand)
    assert world.holds(paused) == {"user_paused"}
    world.limit(10, brand=brand)
    world.set_clock(TOMORROW)
    reset_daily_budgets()
    apply_dayparting()
    assert (world.holds(paused), world.holds(other)) == ({"user_paused"}, set())
    world.set_status(paused, "enabled")
    assert world.is_active(paused)
    world.verify()


def test_paused_or_archived_brand_holds_its_campaigns_and_lifts_only_that_hold(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand()
    campaign, archived = world.campaign(brand), world.campaign(brand)
    world.set_status(archived, "archived")
    for status in ("paused", "archived"):
        edit_brand(world, brand, configured_status=status)
        assert world.holds(campaign) == {"brand_paused"}
    edit_brand(world, brand, configured_status="enabled")
    assert (world.holds(campaign), world.holds(archived)) == (set(), {"archived"})


def test_flight_starts_and_ends_at_the_brands_midnights(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand("Asia/Tokyo"))
    edit_campaign(world, campaign, starts_on=datetime(2026, 6, 18).date(), ends_on=datetime(2026, 6, 18).date())  # noqa: DTZ001 - a day has no zone
    seen = {}
    for at in ("06-17T14:59", "06-17T15:00", "06-18T14:59", "06-18T15:00", "06-30T00:00"):
        world.set_clock(f"2026-{at}:00Z")
        world.tick()
        seen[at] = world.holds(campaign)
    assert seen == {
        "06-17T14:59": {"flight_not_started"},
        "06-17T15:00": set(),
        "06-18T14:59": set(),
        "06-18T15:00": {"flight_ended"},
        "06-30T00:00": {"flight_ended"},
    }
    world.verify()


# --- status changes


def test_status_change_has_before_after_holds_cause_and_figures(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10 * UNIT, monthly=100 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 11 * UNIT)
    (row,) = changes(world, campaign)
    del row["id"]
    assert row == {
        "brand_id": brand,
        "campaign_id": campaign,
        "changed_at": noon,
        "from_status": "active",
        "to_status": "inactive",
        "holds_before": [],
        "holds_after": ["brand_daily_budget"],
        "cause": "spend",
        "details": {
            "day": "2026-06-17",
            "budgets": {"brand_daily_budget": {"spent_micros": 11 * UNIT, "limit_micros": 10 * UNIT}},
        },
    }


def test_each_status_change_has_its_cause(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 10)
    world.limit(20, brand=brand)
    world.limit(10, brand=brand)
    world.set_clock(TOMORROW)
    reset_daily_budgets()
    world.schedule(campaign, "Thu 00:00-06:00")
    world.set_clock("2026-06-18T06:00:00Z")
    world.tick()
    causes = [(row["to_status"], row["cause"]) for row in changes(world, campaign)]
    assert causes == [
        ("inactive", "spend"),
        ("active", "edit"),
        ("inactive", "edit"),
        ("active", "daily_reset"),
        ("inactive", "schedule"),
    ]
    world.verify()


def test_reactivation_has_the_figures_of_the_lifted_hold(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10))
    world.spend(campaign, 10)
    world.spend(campaign, -4)
    row = changes(world, campaign)[-1]
    assert (row["holds_before"], row["holds_after"]) == (["brand_daily_budget"], [])
    assert row["details"]["budgets"] == {"brand_daily_budget": {"spent_micros": 6, "limit_micros": 10}}


def test_change_of_holds_without_toggle_appends_no_status_change(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.set_status(campaign, "paused")
    world.spend(campaign, 10)
    world.set_status(campaign, "enabled")
    assert world.holds(campaign) == {"brand_daily_budget"}
    assert [row["to_status"] for row in changes(world, campaign)] == ["inactive"]
    world.verify()


def test_repeated_and_concurrent_enforcement_changes_nothing(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 10)
    before = world.rows("SELECT * FROM campaigns")
    world.set_clock(noon + timedelta(minutes=1))
    at_once(*[lambda: evaluate_budgets([brand, brand])] * 4)
    assert world.rows("SELECT * FROM campaigns") == before
    assert len(changes(world, campaign)) == 1


# --- logs


def test_log_has_each_paused_campaign_and_an_exhausted_brand_budget_once(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    first, second = world.campaign(brand), world.campaign(brand, monthly=10)
    with structlog.testing.capture_logs() as logged:
        world.spend(second, 12)
    paused = {"brand_id": brand, "cause": "spend"}
    assert lines(logged, "campaign.paused") == [
        {**paused, "campaign_id": first, "holds": ["brand_daily_budget"]},
        {**paused, "campaign_id": second, "holds": ["brand_daily_budget", "campaign_monthly_budget"]},
    ]
    figures = {"brand_id": brand, "spent_micros": 12, "limit_micros": 10}
    assert lines(logged, "budget.exhausted") == [
        {**figures, "campaign_id": None, "hold": "brand_daily_budget"},
        {**figures, "campaign_id": second, "hold": "campaign_monthly_budget"},
    ]


def test_log_of_an_activated_campaign_has_its_lifted_holds(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=0)
    campaign = world.campaign(brand)
    with structlog.testing.capture_logs() as logged:
        world.limit(5, brand=brand)
    assert lines(logged, "campaign.activated") == [
        {"brand_id": brand, "campaign_id": campaign, "holds": ["brand_daily_budget"], "cause": "edit"}
    ]
    assert lines(logged, "budget.exhausted") == []


def test_rolled_back_transaction_logs_nothing(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.execute("ALTER TABLE status_changes ADD CONSTRAINT none_today CHECK (false) NOT VALID")
    with structlog.testing.capture_logs() as logged, pytest.raises(Exception, match="none_today"):
        world.spend(campaign, 10)
    assert lines(logged, "campaign.paused") == []
    assert world.spent(campaign) == 0


# --- a failing brand affects no other brand


def test_brand_with_an_unreadable_zone_stops_no_other_brand(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    insert = "INSERT INTO brands (name, time_zone) VALUES ('Unreadable', 'PST') RETURNING id"
    unreadable = world.one(insert)["id"]
    lost = world.one("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'c') RETURNING id", unreadable)["id"]
    world.ingest([world.event(lost, 5), world.event(campaign, 10)])
    assert [row["reason"] for row in world.rejected()] == ["unknown_campaign"]
    assert not world.is_active(campaign)
    world.set_clock(TOMORROW)
    evaluate_budgets([unreadable, brand])
    assert world.is_active(campaign)


def test_locked_brand_delays_no_other_brand_and_is_logged(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "150")
    settings.cache_clear()
    world.set_clock(noon)
    brands = [world.brand(daily=0) for _ in range(3)]
    insert = "INSERT INTO campaigns (brand_id, name) VALUES (%s, 'c') RETURNING id"
    campaigns = [world.one(insert, brand)["id"] for brand in brands]
    with psycopg.connect(world.url) as connection, structlog.testing.capture_logs() as logged:
        connection.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [brands[1]])
        with pytest.raises(OperationalError):
            evaluate_budgets(brands)
    assert [world.is_active(campaign) for campaign in campaigns] == [False, True, False]
    assert [line["brand_id"] for line in lines(logged, "enforcement.postponed")] == [brands[1]]
    evaluate_budgets(brands)
    assert not world.is_active(campaigns[1])
    world.verify()
