"""Reports and refresh after a clock that was ahead; sums beyond a bigint."""

from datetime import date
from typing import Any

import pytest
import structlog

from app.reports.generate import on_demand, so_far
from db.engine import snapshot
from db.repository.reports import reports
from runtime import clock
from tests.kit import lines
from tests.world import World
from workers.actors.reports import generate_monthly_reports
from workers.actors.schedule import refresh_spend

MAY = date(2026, 5, 1)
MAX_BIGINT = 2**63 - 1


def listed(brand: int) -> list[tuple[int, int, int]]:
    with snapshot() as connection:
        rows = reports.listed(connection, brand, None, 10, clock.now())
    return [(row["version"], row["spent_micros"], row["restated_micros"]) for row in rows if row["month"] == MAY]


def stored(brand: int, version: int | None = None) -> dict[str, Any] | None:
    with snapshot() as connection:
        return reports.stored(connection, brand, MAY, clock.now(), version)


@pytest.fixture
def brand(world: World) -> int:
    """A brand that spent 5 micros in May, with a report made on the 30th by a clock three days ahead."""
    world.set_clock("2026-05-20T12:00:00Z")
    made = world.brand()
    world.spend(world.campaign(made), 5)
    world.set_clock("2026-06-02T12:00:00Z")
    generate_monthly_reports()
    assert listed(made) == [(1, 5, 0)]
    world.set_clock("2026-05-30T12:00:00Z")
    return made


def campaign_of(world: World, brand: int) -> int:
    return int(world.one("SELECT id FROM campaigns WHERE brand_id = %s", brand)["id"])


def test_report_made_by_a_clock_ahead_is_ignored_while_the_month_runs(world: World, brand: int) -> None:
    assert (listed(brand), stored(brand), stored(brand, 1)) == ([], None, None)
    running = so_far(brand, MAY)
    assert running is not None
    assert (running["version"], running["content"]["closed"]) == (0, None)
    generate_monthly_reports()
    assert listed(brand) == []


@pytest.mark.parametrize("later_spend", [0, 7])
def test_month_is_closed_with_the_figures_known_at_its_real_end(world: World, brand: int, later_spend: int) -> None:
    if later_spend:
        world.spend(campaign_of(world, brand), later_spend)
    world.set_clock("2026-06-01T00:30:00Z")
    generate_monthly_reports()
    assert listed(brand) == [(2, 5 + later_spend, 0)]
    world.set_clock("2026-06-05T12:00:00Z")
    world.spend(campaign_of(world, brand), 2, "2026-05-31T12:00:00Z")
    generate_monthly_reports()
    assert listed(brand) == [(3, 7 + later_spend, 2)]
    assert stored(brand, 1) is None
    last = on_demand(brand, MAY)
    assert (last["version"], last["content"]["closed"]["spent_micros"]) == (3, 5 + later_spend)
    assert last["content"]["closed"]["generated_at"] == "2026-06-01T00:30:00+00:00"


# --- sums beyond a bigint


def test_month_with_a_sum_beyond_a_bigint_is_reported_and_listed(world: World) -> None:
    world.set_clock("2026-04-20T12:00:00Z")
    brand = world.brand(monthly=10, lifetime=20)
    campaign = world.campaign(brand, monthly=10)
    world.set_clock("2026-05-03T12:00:00Z")
    events = [world.event(campaign, 10**15, f"2026-05-0{day}T10:00:00Z") for day in (1, 2, 3)]
    world.ingest(events)
    missing = MAX_BIGINT - 10**15
    world.execute("UPDATE campaign_days SET spent_micros = spent_micros + %s", missing)
    world.execute("UPDATE brand_days SET spent_micros = spent_micros + %s", missing)
    world.set_clock("2026-06-01T12:00:00Z")
    generate_monthly_reports()
    assert listed(brand) == [(1, 3 * MAX_BIGINT, 0)]
    content = on_demand(brand, MAY)["content"]
    assert content["spent_micros"] == 3 * MAX_BIGINT
    assert {limit["overspend_micros"] for limit in content["limits"]} == {3 * MAX_BIGINT - 10, 3 * MAX_BIGINT - 20}


# --- refresh


def refreshed() -> dict[str, Any]:
    with structlog.testing.capture_logs() as logged:
        refresh_spend()
    (line,) = lines(logged, "spend.refreshed")
    return line


def test_right_decisions_made_by_a_clock_ahead_are_not_counted_as_out_of_step(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    for _ in range(3):
        world.spend(world.campaign(world.brand(daily=10)), 3)
    world.set_clock("2026-05-20T18:00:00Z")
    world.spend(campaign_of(world, 1), 1)
    for limit in (20, 30):
        world.limit(limit, brand=1)
    world.set_clock("2026-05-20T13:00:00Z")
    assert refreshed() == {"brands_out_of_step": 0, "toggles": 0}
    world.execute("UPDATE campaigns SET effective_status = 'inactive', holds = '{user_paused}' WHERE brand_id = 2")
    assert refreshed() == {"brands_out_of_step": 1, "toggles": 1}
