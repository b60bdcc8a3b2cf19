"""Alerts of budgets: raised and resolved once from the counters, in the present window alone."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from app.alerts.evaluate import evaluate
from tests.world import World

UNIT = 1_000_000


@pytest.fixture
def brand(world: World, noon: datetime) -> int:
    """A brand of 100 a day, at a stopped noon."""
    world.set_clock(noon)
    return world.brand(daily=100 * UNIT)


def alerts(world: World, kind: str = "budget_threshold") -> list[tuple[int, str]]:
    """The threshold and state of each alert of a kind, in id order."""
    rows = world.rows("SELECT threshold, state FROM alerts WHERE kind = %s ORDER BY id", kind)
    return [(row["threshold"], row["state"]) for row in rows]


def notices(world: World) -> list[str]:
    """The kinds of the notices, in id order."""
    return [row["kind"] for row in world.rows("SELECT kind FROM notices ORDER BY id")]


def restate(world: World, campaign: int, day: str, units: int, as_of: datetime) -> None:
    from workers.actors.ingest import ingest_reported_totals  # noqa: PLC0415

    total = {
        "source": "meta",
        "campaign_id": campaign,
        "day": day,
        "total_micros": units * UNIT,
        "as_of": as_of.isoformat(),
    }
    ingest_reported_totals(totals=[total])


def test_spend_over_a_threshold_raises_one_alert_and_one_notice(world: World, brand: int) -> None:
    campaign = world.campaign(brand)
    world.spend(campaign, 79 * UNIT)
    evaluate()
    assert alerts(world) == []
    world.spend(campaign, UNIT)
    evaluate()
    evaluate()
    assert alerts(world) == [(80, "open")]
    assert notices(world) == ["alert.raised"]
    body = world.one("SELECT body FROM notices")["body"]
    assert body["sentence"] == "Brand has spent 80 % of today's budget: $80.00 of $100.00."
    assert body["figures"] == {"period": "daily", "spent_micros": 80 * UNIT, "limit_micros": 100 * UNIT}


def test_restatement_up_down_and_up_raises_once_and_resolves_once(world: World, brand: int, noon: datetime) -> None:
    campaign = world.campaign(brand)
    for number, units in enumerate((105, 20, 105, 20, 105)):
        restate(world, campaign, "2026-06-17", units, noon - timedelta(minutes=10 - number))
        evaluate()
    assert alerts(world) == [(100, "open")]
    assert notices(world) == ["alert.raised", "alert.resolved"]


def test_backfill_of_sixty_days_raises_nothing(world: World, brand: int, noon: datetime) -> None:
    campaign = world.campaign(brand)
    for number in range(1, 61):
        day = noon.date() - timedelta(days=number)
        restate(world, campaign, day.isoformat(), 500, noon - timedelta(hours=1))
    evaluate()
    assert alerts(world) == alerts(world, "overspend") == []
    assert notices(world) == []


def test_window_that_ends_resolves_its_alert_and_the_next_raises_its_own(
    world: World, brand: int, noon: datetime
) -> None:
    campaign = world.campaign(brand)
    world.spend(campaign, 100 * UNIT)
    evaluate()
    tomorrow = world.set_clock(noon + timedelta(days=1))
    evaluate()
    assert alerts(world) == [(100, "resolved")]
    assert world.one("SELECT resolved_because FROM alerts")["resolved_because"] == "window_ended"
    world.spend(campaign, 100 * UNIT, tomorrow)
    evaluate()
    assert alerts(world) == [(100, "resolved"), (100, "open")]


def test_raised_limit_resolves_without_new_spend(world: World, brand: int) -> None:
    campaign = world.campaign(brand)
    world.spend(campaign, 100 * UNIT)
    evaluate()
    world.limit(1_000 * UNIT, brand=brand)
    evaluate()
    assert alerts(world) == [(100, "resolved")]


def test_spend_far_beyond_the_limit_raises_overspend_beside_the_threshold(world: World, brand: int) -> None:
    world.spend(world.campaign(brand), 110 * UNIT)
    evaluate()
    assert alerts(world) == [(100, "open")]
    assert alerts(world, "overspend") == [(110, "open")]


def test_thresholds_of_the_brand_replace_the_default_ones(world: World, brand: int) -> None:
    world.execute("INSERT INTO alert_settings VALUES (%s, '{50,90}', now())", brand)
    campaign = world.campaign(brand)
    world.spend(campaign, 50 * UNIT)
    evaluate()
    world.spend(campaign, 35 * UNIT)
    evaluate()
    assert alerts(world) == [(50, "open")]


def test_budget_of_a_campaign_names_the_campaign(world: World, brand: int) -> None:
    campaign = world.campaign(brand, "Shoes", weekly=10 * UNIT)
    world.ingest([world.event(campaign, 10 * UNIT, event_id=str(uuid4()))])
    evaluate()
    row = world.one("SELECT * FROM alerts")
    assert (row["campaign_id"], row["brand_id"], row["window_first_day"].isoformat()) == (campaign, brand, "2026-06-15")


def test_removed_budget_and_archived_campaign_end_their_alerts(world: World, brand: int) -> None:
    world.spend(world.campaign(brand), 100 * UNIT)
    own = world.campaign(brand, weekly=UNIT)
    world.spend(own, UNIT)
    evaluate()
    world.execute("DELETE FROM budgets WHERE campaign_id IS NULL")
    world.set_status(own, "archived")
    evaluate()
    endings = world.rows("SELECT DISTINCT resolved_because AS because FROM alerts")
    assert [row["because"] for row in endings] == ["gone"]
