"""Monthly reports through their actor."""

from datetime import date
from typing import Any

import structlog

from db.engine import committed
from db.repository import catalog
from domain.periods import Period, time_zone
from tests.workers.kit import lines
from tests.world import World
from workers.reports import generate_monthly_reports, report_month


def stored(world: World, brand: int) -> list[dict[str, Any]]:
    return world.rows("SELECT * FROM monthly_reports WHERE brand_id = %s ORDER BY month, version", brand)


def test_stores_one_report_a_brand_and_month_with_its_figures(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand(daily=10, monthly=100)
    campaign, other = world.campaign(brand, "One"), world.campaign(brand, "Two", lifetime=7)
    world.spend(campaign, 4)
    world.spend(campaign, 6, "2026-05-19T12:00:00Z")
    world.spend(other, 8)
    world.spend(campaign, 99, "2026-04-30T12:00:00Z")
    world.set_clock("2026-06-01T00:00:00Z")
    world.spend(campaign, 50)
    with structlog.testing.capture_logs() as logged:
        generate_monthly_reports()
    (row,) = stored(world, brand)
    assert (row["month"], row["version"]) == (date(2026, 5, 1), 1)
    assert lines(logged, "report.stored") == [{"brand_id": brand, "month": "2026-05", "version": 1}]
    assert row["content"] == {
        "brand_id": brand,
        "month": "2026-05",
        "spent_micros": 18,
        "days": {"2026-05-19": 6, "2026-05-20": 12},
        "campaigns": [
            {"campaign_id": campaign, "name": "One", "days": {"2026-05-19": 6, "2026-05-20": 4}},
            {"campaign_id": other, "name": "Two", "days": {"2026-05-20": 8}},
        ],
        "limits": [
            {"campaign_id": None, "period": "daily", "limit_micros": 10},
            {"campaign_id": None, "period": "monthly", "limit_micros": 100},
            {"campaign_id": other, "period": "lifetime", "limit_micros": 7},
        ],
        "status_changes": {"inactive": 2},
    }


def test_a_second_run_stores_nothing(world: World) -> None:
    world.set_clock("2026-06-01T00:00:00Z")
    brand = world.brand()
    world.spend(world.campaign(brand), 5, "2026-05-31T12:00:00Z")
    generate_monthly_reports()
    generate_monthly_reports()
    world.set_clock("2026-06-03T00:00:00Z")
    generate_monthly_reports()
    world.execute("DELETE FROM watermarks")
    generate_monthly_reports()
    assert [row["version"] for row in stored(world, brand)] == [1]


def test_a_restated_month_makes_a_second_version_and_keeps_the_first(world: World) -> None:
    world.set_clock("2026-06-01T00:00:00Z")
    brand = world.brand()
    campaign = world.campaign(brand)
    world.spend(campaign, 5, "2026-05-31T12:00:00Z")
    generate_monthly_reports()
    world.spend(campaign, -2, "2026-05-31T12:00:00Z")
    month = (time_zone("UTC"), date(2026, 5, 1), date(2026, 6, 1))
    assert [report_month(brand, *month) for _ in range(2)] == [2, None]
    assert [(row["version"], row["content"]["spent_micros"]) for row in stored(world, brand)] == [(1, 5), (2, 3)]


def test_reports_a_brands_month_when_it_is_over_by_the_brands_clock(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    early, late = world.brand("Pacific/Kiritimati"), world.brand("America/Los_Angeles")
    generate_monthly_reports()
    world.execute("DELETE FROM monthly_reports")
    seen = {}
    for at in ("2026-05-31T10:00:00Z", "2026-06-01T07:00:00Z"):
        world.set_clock(at)
        generate_monthly_reports()
        seen[at] = [len(stored(world, brand)) for brand in (early, late)]
    assert list(seen.values()) == [[1, 0], [1, 1]]


def test_says_nothing_of_a_month_before_the_brand_was_there_unless_it_spent(world: World) -> None:
    world.set_clock("2026-06-01T12:00:00Z")
    new, spent = world.brand(), world.brand()
    world.spend(world.campaign(spent), 5, "2026-05-31T12:00:00Z")
    generate_monthly_reports()
    assert (len(stored(world, new)), len(stored(world, spent))) == (0, 1)


def test_reports_every_month_that_ended_during_an_outage(world: World) -> None:
    world.set_clock("2026-03-20T12:00:00Z")
    brand = world.brand()
    generate_monthly_reports()
    world.set_clock("2026-06-03T12:00:00Z")
    generate_monthly_reports()
    months = [row["month"] for row in stored(world, brand)]
    assert months == [date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)]


def test_names_the_limits_in_force_when_the_month_ended(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand(daily=10, monthly=20)
    world.set_clock("2026-05-31T23:59:59Z")
    world.limit(11, "daily", brand=brand)
    world.set_clock("2026-06-01T12:00:00Z")
    world.limit(12, "daily", brand=brand)
    generate_monthly_reports()
    limits = {limit["period"]: limit["limit_micros"] for limit in stored(world, brand)[0]["content"]["limits"]}
    assert limits == {"daily": 11, "monthly": 20}


def test_leaves_out_a_limit_that_was_removed_before_the_month_ended(world: World) -> None:
    at = world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand(daily=10, monthly=20)
    edit = catalog.Edit("test", at)
    committed(lambda connection: catalog.remove_budget(connection, brand, None, Period.DAILY, edit))
    world.set_clock("2026-06-01T12:00:00Z")
    generate_monthly_reports()
    assert [limit["period"] for limit in stored(world, brand)[0]["content"]["limits"]] == ["monthly"]
