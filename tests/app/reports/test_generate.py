"""Monthly reports through their actor and on demand: versions, spend, time held, overspend and its cause."""

from datetime import date
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy.exc import OperationalError

from app.edits import editing
from app.enforcement import edited
from app.reports.generate import generate_due, on_demand, report_month
from db.engine import committed, engine, snapshot
from db.repository.access.audit import Edit
from db.repository.ledger import ledger
from db.repository.reports import reports
from domain.errors import InvalidValue
from domain.periods import Period
from runtime import clock
from runtime.settings import settings
from tests.kit import at_once, lines
from tests.world import UNIT, World, moment
from workers.actors.reports import generate_monthly_reports

HOUR, DAY = 3_600, 86_400
MAY, JUNE = date(2026, 5, 1), date(2026, 6, 1)


def stored(world: World, brand: int) -> list[dict[str, Any]]:
    return world.rows("SELECT * FROM monthly_reports WHERE brand_id = %s ORDER BY month, version", brand)


def versions(world: World, brand: int) -> list[tuple[str, int, int]]:
    return [(f"{row['month']:%Y-%m}", row["version"], row["content"]["spent_micros"]) for row in stored(world, brand)]


def may(brand: int) -> dict[str, Any]:
    content: dict[str, Any] = on_demand(brand, MAY)["content"]
    return content


def limit(content: dict[str, Any], period: str, first_day: str | None, campaign: int | None = None) -> dict[str, Any]:
    key = (period, first_day, campaign)
    (found,) = [row for row in content["limits"] if (row["period"], row["first_day"], row["campaign_id"]) == key]
    return dict(found)


def remove_budget(brand: int, period: Period) -> None:
    edit = Edit("test", clock.now())
    edited(lambda connection: editing.remove_budget(connection, brand, None, period, edit), brand)


# Which months are stored, and when


def test_job_stores_one_report_for_each_brand_and_month_with_its_figures(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand(name="Hudson", currency="EUR", monthly=100)
    campaign, other = world.campaign(brand, "One"), world.campaign(brand, "Two")
    world.spend(campaign, 4)
    world.spend(campaign, 6, "2026-05-19T12:00:00Z")
    world.spend(other, 8)
    world.spend(campaign, 99, "2026-04-30T12:00:00Z")
    world.set_clock("2026-06-01T00:00:00Z")
    world.spend(campaign, 50)
    with structlog.testing.capture_logs() as logged:
        generate_monthly_reports()
    april, row = stored(world, brand)
    assert (april["content"]["spent_micros"], row["month"], row["version"]) == (99, MAY, 1)
    assert [line["month"] for line in lines(logged, "report.stored")] == ["2026-05", "2026-04"]
    told = world.rows("SELECT brand_id, body FROM notices WHERE kind = 'report.ready' ORDER BY id")
    months = [{"month": month, "version": 1} for month in ("2026-05", "2026-04")]
    assert told == [{"brand_id": brand, "body": body} for body in months]
    content = row["content"]
    facts = ("brand_id", "brand", "currency", "time_zone", "month", "complete", "first_day", "end_day")
    figures = [content[name] for name in facts]
    assert figures == [brand, "Hudson", "EUR", "UTC", "2026-05", True, "2026-05-01", "2026-06-01"]
    assert (content["spent_micros"], content["by_day"]) == (18, {"2026-05-19": 6, "2026-05-20": 12})
    assert [(row["name"], row["by_day"]) for row in content["campaigns"]] == [
        ("One", {"2026-05-19": 6, "2026-05-20": 4}),
        ("Two", {"2026-05-20": 8}),
    ]
    assert limit(content, "monthly", "2026-05-01") == {
        "scope": "brand",
        "campaign_id": None,
        "campaign": None,
        "period": "monthly",
        "first_day": "2026-05-01",
        "end_day": "2026-06-01",
        "complete": True,
        "limit_micros": 100,
        "spent_micros": 18,
        "used_permille": 180,
        "overspend_micros": 0,
        "exhausted": [],
        "reached_at": None,
        "held_at": None,
        "delay_seconds": None,
        "after_hold_micros": None,
        "confirmation_delay_micros": None,
        "cause": None,
    }


def test_second_run_stores_nothing(world: World) -> None:
    world.set_clock("2026-06-01T00:00:00Z")
    brand = world.brand(daily=3)
    world.spend(world.campaign(brand), 5, "2026-05-31T12:00:00Z")
    assert [generate_due(), generate_due()] == [1, 0]
    world.set_clock("2026-06-03T00:00:00Z")
    assert generate_due() == 0
    world.execute("DELETE FROM watermarks")
    generate_monthly_reports()
    assert versions(world, brand) == [("2026-05", 1, 5)]


def test_month_ends_at_the_brands_local_midnight(world: World) -> None:
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


def test_month_before_the_brand_existed_is_reported_only_if_it_has_spend(world: World) -> None:
    world.set_clock("2026-06-01T12:00:00Z")
    new, spent = world.brand(), world.brand()
    world.spend(world.campaign(spent), 5, "2026-05-31T12:00:00Z")
    generate_monthly_reports()
    assert (len(stored(world, new)), len(stored(world, spent))) == (0, 1)


def test_job_reports_every_month_that_ended_during_an_outage(world: World) -> None:
    world.set_clock("2026-03-20T12:00:00Z")
    brand = world.brand()
    generate_monthly_reports()
    world.set_clock("2026-06-03T12:00:00Z")
    generate_monthly_reports()
    assert [row["month"] for row in stored(world, brand)] == [date(2026, 3, 1), date(2026, 4, 1), MAY]


def test_spend_moved_between_campaigns_of_a_closed_month_restates_it(world: World) -> None:
    world.set_clock("2026-05-31T12:00:00Z")
    brand = world.brand()
    one, two = world.campaign(brand, "One"), world.campaign(brand, "Two")
    world.spend(one, 5)
    world.set_clock("2026-06-01T00:00:00Z")
    generate_monthly_reports()
    world.set_clock("2026-06-01T13:00:00Z")
    world.ingest([world.event(one, -2, "2026-05-31T12:00:00Z"), world.event(two, 2, "2026-05-31T12:00:00Z")])
    world.set_clock("2026-06-02T00:00:00Z")
    assert generate_due() == 1
    closed = stored(world, brand)[-1]["content"]["closed"]
    assert (closed["restated_micros"], closed["restated_by_day"]) == (0, {})
    assert [(row["campaign_id"], row["restated_micros"]) for row in closed["restated_by_campaign"]] == [
        (one, -2),
        (two, 2),
    ]
    world.set_clock("2026-06-03T00:00:00Z")
    assert generate_due() == 0


def test_restated_month_restates_later_months_with_windows_that_contain_it(world: World) -> None:
    world.set_clock("2026-01-31T12:00:00Z")
    brand = world.brand(yearly=1000)
    campaign = world.campaign(brand)
    for day, at in (("2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z"), ("2026-02-20T12:00:00Z", "2026-03-01T00:00:00Z")):
        world.set_clock(day)
        world.spend(campaign, 70)
        world.set_clock(at)
        generate_monthly_reports()
    world.spend(campaign, 950, "2026-01-29T12:00:00Z")
    world.set_clock("2026-03-02T00:00:00Z")
    generate_monthly_reports()
    assert versions(world, brand) == [("2026-01", 1, 70), ("2026-01", 2, 1020), ("2026-02", 1, 70), ("2026-02", 2, 70)]
    (yearly,) = (limit for limit in stored(world, brand)[-1]["content"]["limits"] if limit["period"] == "yearly")
    assert (yearly["spent_micros"], yearly["overspend_micros"]) == (1090, 90)


def test_month_with_only_late_spend_is_reported(world: World) -> None:
    world.set_clock("2026-06-01T00:00:00Z")
    generate_monthly_reports()
    world.set_clock("2026-06-02T12:00:00Z")
    brand = world.brand()
    world.spend(world.campaign(brand), 5, "2026-05-31T12:00:00Z")
    generate_monthly_reports()
    world.set_clock("2026-06-03T00:00:00Z")
    generate_monthly_reports()
    assert versions(world, brand) == [("2026-05", 1, 5)]


def test_refund_after_the_month_makes_a_second_version_with_the_closed_figures(
    world: World,
) -> None:
    world.set_clock("2026-05-31T12:00:00Z")
    brand = world.brand()
    campaign, other = world.campaign(brand, "One"), world.campaign(brand, "Two")
    world.spend(campaign, 5)
    world.spend(other, 7, "2026-05-30T12:00:00Z")
    closed_at = world.set_clock("2026-06-01T00:00:00Z")
    generate_monthly_reports()
    world.spend(campaign, -2, "2026-05-31T13:00:00Z")
    generate_monthly_reports()
    assert versions(world, brand) == [("2026-05", 1, 12)]
    world.set_clock("2026-06-02T00:00:00Z")
    generate_monthly_reports()
    assert versions(world, brand) == [("2026-05", 1, 12), ("2026-05", 2, 10)]
    first, second = (row["content"]["closed"] for row in stored(world, brand))
    closed = {
        "generated_at": closed_at.isoformat(),
        "spent_micros": 12,
        "by_day": {"2026-05-30": 7, "2026-05-31": 5},
    }
    nothing = {"restated_micros": 0, "restated_by_day": {}, "restated_by_campaign": []}
    assert first == closed | nothing
    by_campaign = [{"campaign_id": campaign, "name": "One", "restated_micros": -2}]
    assert second == closed | {
        "restated_micros": -2,
        "restated_by_day": {"2026-05-31": -2},
        "restated_by_campaign": by_campaign,
    }
    world.set_clock("2026-06-03T00:00:00Z")
    assert generate_due() == 0


def test_months_are_compared_with_counters_once_a_day_for_thirteen_months(world: World) -> None:
    world.set_clock("2025-04-30T12:00:00Z")
    brand = world.brand()
    campaign = world.campaign(brand)
    for month in ("2025-04", "2025-05"):
        world.set_clock(f"{month}-20T12:00:00Z")
        world.spend(campaign, 5)
    world.set_clock("2025-06-10T12:00:00Z")
    for first_day in (date(2025, 4, 1), date(2025, 5, 1)):
        on_demand(brand, first_day)
    world.execute("UPDATE brand_days SET spent_micros = 6")
    world.execute("UPDATE campaign_days SET spent_micros = 6")
    world.execute("INSERT INTO watermarks VALUES ('monthly_reports_checked', '2026-06-10 01:00Z')")
    world.execute("INSERT INTO watermarks VALUES ('monthly_reports', '2026-06-10 01:00Z')")
    world.set_clock("2026-06-10T23:00:00Z")
    assert generate_due() == 0
    world.set_clock("2026-06-11T00:00:00Z")
    assert generate_due() == 1
    assert versions(world, brand) == [("2025-04", 1, 5), ("2025-05", 1, 5), ("2025-05", 2, 6)]


def test_failing_report_is_logged_and_delays_no_other_brand(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    bad, good = world.brand(), world.brand()
    world.execute("INSERT INTO monthly_reports VALUES (%s, '2026-05-01', 1, '2026-05-31', '{}')", bad)
    world.set_clock("2026-06-01T00:00:00Z")
    heard: list[tuple[int, int]] = []
    with structlog.testing.capture_logs() as logged:
        generate_due(lambda done, due: heard.append((done, due)))
    assert [line["brand_id"] for line in lines(logged, "report.failed")] == [bad]
    assert versions(world, good) == [("2026-05", 1, 0)]
    assert heard == [(1, 2), (2, 2)]


def test_lock_timeout_postpones_one_report_and_the_job_is_retried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    locked, free = world.brand(), world.brand()
    world.set_clock("2026-06-01T00:00:00Z")
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "150")
    settings.cache_clear()
    engine().dispose()
    engine.cache_clear()
    with psycopg.connect(world.url) as elsewhere:
        elsewhere.execute("INSERT INTO monthly_reports VALUES (%s, '2026-05-01', 1, now(), '{}')", [locked])
        with structlog.testing.capture_logs() as logged, pytest.raises(OperationalError, match="lock timeout"):
            generate_monthly_reports()
        elsewhere.rollback()
    assert [line["brand_id"] for line in lines(logged, "report.postponed")] == [locked]
    assert (versions(world, locked), versions(world, free)) == ([], [("2026-05", 1, 0)])
    generate_monthly_reports()
    assert versions(world, locked) == [("2026-05", 1, 0)]


def test_concurrent_reports_of_a_month_store_one_version(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand()
    world.set_clock("2026-06-01T00:00:00Z")
    at_once(*[lambda: report_month(brand, MAY)] * 4)
    assert versions(world, brand) == [("2026-05", 1, 0)]


# On demand


def test_running_month_is_reported_up_to_now_and_not_stored(world: World) -> None:
    world.set_clock("2026-05-18T12:00:00Z")
    brand = world.brand(daily=5)
    world.set_clock("2026-05-20T12:00:00Z")
    world.spend(world.campaign(brand), 4)
    at = world.set_clock("2026-05-20T18:00:00Z")
    report = on_demand(brand, date(2026, 5, 31))
    assert (report["month"], report["version"], report["generated_at"]) == (MAY, 0, at)
    content = report["content"]
    assert (content["complete"], content["closed"], content["served_seconds"]) == (False, None, 6 * HOUR)
    days = [(row["first_day"], row["complete"]) for row in content["limits"]]
    assert days == [("2026-05-18", True), ("2026-05-19", True), ("2026-05-20", False)]
    assert stored(world, brand) == []


def test_limit_set_at_this_instant_counts_in_the_running_month(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand()
    world.limit(7, "monthly", brand=brand)
    assert limit(may(brand), "monthly", "2026-05-01")["limit_micros"] == 7


def test_month_on_demand_is_stored_once_and_again_when_it_changed(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand()
    campaign = world.campaign(brand)
    world.set_clock("2026-06-01T12:00:00Z")
    assert [on_demand(brand, MAY)["version"] for _ in range(2)] == [1, 1]
    world.spend(campaign, 3, "2026-05-20T12:00:00Z")
    assert [on_demand(brand, MAY)["version"] for _ in range(2)] == [2, 2]
    with snapshot() as connection:
        first = reports.stored(connection, brand, MAY, clock.now(), 1)
        last = reports.stored(connection, brand, MAY, clock.now())
        assert reports.stored(connection, brand, MAY, clock.now(), 3) is None
    assert last == on_demand(brand, MAY)
    assert first is not None
    assert (first["version"], first["content"]["spent_micros"]) == (1, 0)


@pytest.mark.parametrize(
    ("month", "sentence"),
    [
        (date(2026, 6, 1), "month: 2026-06 has not begun"),
        (date(9999, 12, 31), "month: 9999-12 has not begun"),
        (date(2026, 4, 30), "month: 2026-04 ended before the brand's first data"),
        (date(1, 1, 1), "ended before the brand's first data"),
    ],
)
def test_month_that_has_not_begun_or_precedes_the_brand_is_refused(world: World, month: date, sentence: str) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand()
    with pytest.raises(InvalidValue, match=sentence):
        on_demand(brand, month)


def test_unknown_brand_is_refused(world: World) -> None:
    with pytest.raises(InvalidValue, match="brand: there is no brand 7"):
        on_demand(7, MAY)


def test_reports_are_listed_by_page_newest_month_first_with_latest_version(world: World) -> None:
    world.set_clock("2026-04-20T12:00:00Z")
    one, two = world.brand(name="One"), world.brand(name="Two")
    campaign = world.campaign(one)
    world.spend(campaign, 5)
    generate_monthly_reports()
    world.set_clock("2026-06-01T12:00:00Z")
    generate_monthly_reports()
    world.spend(campaign, 3, "2026-05-20T12:00:00Z")
    on_demand(one, MAY)
    april = date(2026, 4, 1)
    expected = [(MAY, "One", 2, 3, 3), (MAY, "Two", 1, 0, 0), (april, "One", 1, 5, 0), (april, "Two", 1, 0, 0)]
    assert pages(None, 3) == expected
    assert pages(None, 1) == expected
    assert pages(one, 1) == [row for row in expected if row[1] == "One"]
    assert pages(two + 1, 1) == []


def pages(brand: int | None, size: int) -> list[tuple[date, str, int, int, int]]:
    found: list[dict[str, Any]] = []
    while True:
        after = (found[-1]["month"], found[-1]["brand_id"]) if found else None
        with snapshot() as connection:
            some = reports.listed(connection, brand, after, size, clock.now())
        if not some:
            break
        found += some
    names = ("month", "brand", "version", "spent_micros", "restated_micros")
    return [tuple(row[name] for name in names) for row in found]


# Time served and held


def test_seconds_are_counted_for_each_hold_and_as_served_without_one(world: World) -> None:
    world.set_clock("2026-05-20T00:00:00Z")
    brand = world.brand(daily=5)
    campaign = world.campaign(brand, schedule="Mon-Sun 06:00-24:00")
    for hour, work in (
        ("06:00", world.tick),
        ("10:00", lambda: world.spend(campaign, 5)),
        ("15:00", lambda: world.set_status(campaign, "paused")),
    ):
        world.set_clock(f"2026-05-20T{hour}:00Z")
        work()
    world.set_clock("2026-05-21T00:00:00Z")
    world.tick()
    content = may(brand)
    (figures,) = content["campaigns"]
    assert figures["served_seconds"] == 4 * HOUR
    assert figures["held_seconds"] == {
        "user_paused": 9 * HOUR,
        "outside_schedule": 6 * HOUR,
        "brand_daily_budget": 14 * HOUR,
    }
    assert figures["held_by_budgets_seconds"] == 5 * HOUR
    assert figures["in_budget_permille"] == 444
    assert figures["days_exhausted"] == {}
    assert content["days_exhausted"] == {"2026-05-20": "10:00"}
    assert (content["paused"], content["activated"]) == (2, 1)


def test_campaigns_time_counts_from_its_creation(world: World) -> None:
    world.set_clock("2026-05-01T00:00:00Z")
    brand = world.brand()
    world.campaign(brand, "Old")
    world.set_clock("2026-05-30T00:00:00Z")
    world.campaign(brand, "New")
    world.set_clock("2026-06-02T00:00:00Z")
    world.campaign(brand, "Too new")
    content = may(brand)
    assert [(row["name"], row["served_seconds"]) for row in content["campaigns"]] == [
        ("Old", 31 * DAY),
        ("New", 2 * DAY),
    ]
    assert content["served_seconds"] == 33 * DAY
    assert content["in_budget_permille"] == 1000


def test_hold_from_before_the_month_counts_from_its_start(world: World) -> None:
    world.set_clock("2026-03-05T00:00:00Z")
    brand = world.brand()
    world.set_status(world.campaign(brand, "Paused"), "paused")
    world.set_status(world.campaign(brand, "Gone"), "archived")
    world.set_clock("2026-06-02T00:00:00Z")
    (figures,) = may(brand)["campaigns"]
    assert (figures["name"], figures["held_seconds"]) == ("Paused", {"user_paused": 31 * DAY})
    assert figures["in_budget_permille"] is None


@pytest.mark.parametrize(
    ("zone", "month", "seconds"),
    [
        ("America/New_York", date(2026, 3, 1), 31 * DAY - HOUR),
        ("America/New_York", date(2026, 11, 1), 30 * DAY + HOUR),
        ("Australia/Lord_Howe", date(2026, 4, 1), 30 * DAY + HOUR // 2),
        ("Australia/Lord_Howe", date(2026, 10, 1), 31 * DAY - HOUR // 2),
        ("Asia/Kathmandu", date(2026, 5, 1), 31 * DAY),
        ("UTC", date(2028, 2, 1), 29 * DAY),
    ],
)
def test_month_has_its_real_number_of_seconds_across_clock_changes(
    world: World, zone: str, month: date, seconds: int
) -> None:
    world.set_clock("2026-01-20T00:00:00Z")
    brand = world.brand(zone)
    world.campaign(brand)
    world.set_clock("2028-06-01T00:00:00Z")
    assert on_demand(brand, month)["content"]["served_seconds"] == seconds


def test_brand_without_spend_has_an_empty_report(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand()
    world.set_clock("2026-06-02T00:00:00Z")
    content = may(brand)
    assert (content["spent_micros"], content["by_day"], content["campaigns"], content["limits"]) == (0, {}, [], [])
    assert content["in_budget_permille"] is None


# Limits


def test_limit_of_a_window_is_the_last_one_set_before_its_end(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand(daily=10, monthly=20)
    world.set_clock("2026-05-31T23:59:59Z")
    world.limit(11, "daily", brand=brand)
    world.set_clock("2026-06-01T00:00:00Z")
    world.limit(12, "daily", brand=brand)
    world.limit(21, "monthly", brand=brand)
    content = may(brand)
    daily = {row["first_day"]: row["limit_micros"] for row in content["limits"] if row["period"] == "daily"}
    expected = {f"2026-05-{day}": 10 for day in range(20, 31)} | {"2026-05-31": 11}
    assert daily == expected
    assert limit(content, "monthly", "2026-05-01")["limit_micros"] == 20


def test_removed_budget_has_no_entry_in_windows_that_ended_later(world: World) -> None:
    world.set_clock("2026-05-20T12:00:00Z")
    brand = world.brand(daily=10, monthly=20)
    world.set_clock("2026-05-22T12:00:00Z")
    remove_budget(brand, Period.DAILY)
    world.set_clock("2026-06-01T12:00:00Z")
    days = [row["first_day"] for row in may(brand)["limits"]]
    assert days == ["2026-05-20", "2026-05-21", "2026-05-01"]


def test_windows_longer_than_the_month_count_all_days_up_to_its_end(world: World) -> None:
    world.set_clock("2025-12-20T12:00:00Z")
    brand = world.brand(weekly=100, yearly=200, lifetime=300)
    campaign = world.campaign(brand)
    for at, micros in (
        ("2025-12-20T12:00", 1),
        ("2026-01-05T12:00", 2),
        ("2026-04-28T12:00", 4),
        ("2026-05-02T12:00", 8),
        ("2026-05-31T12:00", 16),
        ("2026-06-01T12:00", 32),
    ):
        world.set_clock(f"{at}:00Z")
        world.spend(campaign, micros)
    figures = [
        (row["period"], row["first_day"], row["end_day"], row["complete"], row["spent_micros"])
        for row in may(brand)["limits"]
    ]
    assert figures == [
        ("weekly", "2026-04-27", "2026-05-04", True, 12),
        ("weekly", "2026-05-04", "2026-05-11", True, 0),
        ("weekly", "2026-05-11", "2026-05-18", True, 0),
        ("weekly", "2026-05-18", "2026-05-25", True, 0),
        ("weekly", "2026-05-25", "2026-06-01", True, 16),
        ("yearly", "2026-01-01", "2027-01-01", False, 30),
        ("lifetime", None, None, False, 31),
    ]
    june = on_demand(brand, JUNE)["content"]
    assert limit(june, "weekly", "2026-06-01")["complete"] is False


def test_exhausted_budget_has_start_and_end_in_each_window(world: World) -> None:
    world.set_clock("2026-04-29T10:00:00Z")
    brand = world.brand("America/New_York", daily=10, lifetime=25)
    campaign = world.campaign(brand)
    world.spend(campaign, 10)
    world.set_clock("2026-04-30T04:00:20Z")
    world.tick()
    world.set_clock("2026-05-02T16:30:00Z")
    world.spend(campaign, 10)
    world.set_clock("2026-05-02T18:00:00Z")
    world.spend(campaign, -1)
    world.set_clock("2026-05-02T20:00:00Z")
    world.spend(campaign, 6)
    world.set_clock("2026-05-03T04:00:45Z")
    world.tick()
    world.set_clock("2026-06-02T00:00:00Z")
    content = may(brand)
    assert content["days_exhausted"] == {"2026-05-02": "12:30"}
    assert limit(content, "daily", "2026-05-02")["exhausted"] == [
        {"from": "2026-05-02T16:30:00+00:00", "until": "2026-05-02T18:00:00+00:00"},
        {"from": "2026-05-02T20:00:00+00:00", "until": None},
    ]
    assert limit(content, "daily", "2026-05-03")["exhausted"] == []
    assert limit(content, "lifetime", None)["exhausted"] == [{"from": "2026-05-02T20:00:00+00:00", "until": None}]


def test_hold_of_a_long_window_is_found_for_any_age(world: World) -> None:
    world.set_clock("2025-11-20T10:00:00Z")
    brand = world.brand()
    campaign = world.campaign(brand, lifetime=10)
    world.spend(campaign, 10)
    for at, status in (("2025-12-01T00:00:00Z", "paused"), ("2026-01-07T00:00:00Z", "enabled")):
        world.set_clock(at)
        world.set_status(campaign, status)
    world.set_clock("2026-06-02T00:00:00Z")
    entry = limit(may(brand), "lifetime", None, campaign)
    assert entry["exhausted"] == [{"from": "2025-11-20T10:00:00+00:00", "until": None}]


def test_limit_of_zero_is_exhausted_on_every_day_from_its_start(world: World) -> None:
    world.set_clock("2026-05-29T10:00:00Z")
    brand = world.brand(daily=0)
    world.campaign(brand)
    world.set_clock("2026-05-31T15:00:00Z")
    world.limit(10, "daily", brand=brand)
    world.set_clock("2026-06-02T00:00:00Z")
    content = may(brand)
    assert content["days_exhausted"] == {"2026-05-29": "10:00", "2026-05-30": "00:00", "2026-05-31": "00:00"}
    assert limit(content, "daily", "2026-05-30")["used_permille"] is None


# Overspend and its cause

OVERSPEND = ("overspend_micros", "reached_at", "held_at", "delay_seconds", "after_hold_micros", "cause")


def overspend(content: dict[str, Any], period: str, first_day: str | None, campaign: int | None = None) -> list[Any]:
    entry = limit(content, period, first_day, campaign)
    return [entry[name] for name in OVERSPEND]


def test_late_events_are_the_cause_of_overspend_with_their_delay(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 6)
    world.set_clock("2026-05-20T12:00:30Z")
    world.ingest([world.event(campaign, 5, "2026-05-20T11:00:00Z"), world.event(campaign, 3, "2026-05-20T11:30:00Z")])
    world.set_clock("2026-05-20T13:00:00Z")
    world.spend(campaign, 2, "2026-05-20T11:45:00Z")
    world.set_clock("2026-06-02T00:00:00Z")
    figures = overspend(may(brand), "daily", "2026-05-20")
    at = ["2026-05-20T11:00:00+00:00", "2026-05-20T12:00:30+00:00"]
    assert figures == [6, *at, HOUR + 30, 2, "late_spend"]


def test_import_a_day_late_has_a_delay_of_a_day_and_no_hold(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand()
    campaign = world.campaign(brand, daily=10)
    world.set_clock("2026-05-21T15:00:00Z")
    world.ingest([world.event(campaign, 4, f"2026-05-20T{hour}:00:00Z") for hour in (13, 14, 15, 16)])
    world.set_clock("2026-06-02T00:00:00Z")
    figures = overspend(may(brand), "daily", "2026-05-20", campaign)
    assert figures == [6, "2026-05-20T15:00:00+00:00", None, DAY, None, "late_spend"]
    assert limit(may(brand), "daily", "2026-05-20", campaign)["exhausted"] == []


def test_limit_lowered_below_spend_is_the_cause_of_overspend_without_delay(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand(daily=100)
    campaign = world.campaign(brand)
    world.spend(campaign, 30)
    world.set_clock("2026-05-20T14:00:00Z")
    world.limit(20, "daily", brand=brand)
    world.set_clock("2026-05-20T15:00:00Z")
    world.spend(campaign, 1, "2026-05-20T13:59:00Z")
    world.set_clock("2026-06-02T00:00:00Z")
    at = ["2026-05-20T10:00:00+00:00", "2026-05-20T14:00:00+00:00"]
    assert overspend(may(brand), "daily", "2026-05-20") == [11, *at, 0, 1, "limit_lowered"]


def test_limit_raised_after_overspend_is_not_reported_as_lowered(world: World) -> None:
    world.set_clock("2026-05-19T10:00:00Z")
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.set_clock("2026-05-20T10:00:00Z")
    world.ingest([world.event(campaign, 9, f"2026-05-20T0{hour}:00:00Z") for hour in (7, 8, 9)])
    world.set_clock("2026-05-20T14:00:00Z")
    world.limit(20, "daily", brand=brand)
    world.set_clock("2026-06-02T00:00:00Z")
    at = ["2026-05-20T09:00:00+00:00", "2026-05-20T10:00:00+00:00"]
    assert overspend(may(brand), "daily", "2026-05-20") == [7, *at, HOUR, 0, "last_event"]


def test_event_larger_than_the_remaining_budget_is_the_cause_of_overspend(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand(monthly=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 8, "2026-05-19T10:00:00Z")
    world.spend(campaign, 5)
    world.set_clock("2026-06-02T00:00:00Z")
    at = ["2026-05-20T10:00:00+00:00"] * 2
    assert overspend(may(brand), "monthly", "2026-05-01") == [3, *at, 0, 0, "last_event"]


def test_limit_is_reached_at_the_last_crossing_that_no_refund_undid(world: World) -> None:
    world.set_clock("2026-05-10T10:00:00Z")
    brand = world.brand(monthly=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 10)
    world.set_clock("2026-05-12T10:00:00Z")
    world.spend(campaign, -5)
    world.set_clock("2026-05-20T10:00:00Z")
    world.spend(campaign, 4)
    world.spend(campaign, 4)
    world.set_clock("2026-06-02T00:00:00Z")
    at = ["2026-05-20T10:00:00+00:00"] * 2
    assert overspend(may(brand), "monthly", "2026-05-01") == [3, *at, 0, 0, "last_event"]


def test_spend_despite_a_limit_of_zero_is_reported_as_late(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand(daily=0)
    campaign = world.campaign(brand)
    world.set_clock("2026-05-21T10:00:00Z")
    world.spend(campaign, 4)
    world.set_clock("2026-06-02T00:00:00Z")
    at = ["2026-05-21T00:00:00+00:00"] * 2
    assert overspend(may(brand), "daily", "2026-05-21") == [4, *at, 0, 4, "late_spend"]


def test_overspend_of_every_period_and_scope_is_explained_by_its_own_events(world: World) -> None:
    world.set_clock("2026-04-30T10:00:00Z")
    brand = world.brand("Asia/Kathmandu", weekly=20)
    one, two = world.campaign(brand, "One", daily=5, monthly=14), world.campaign(brand, "Two", yearly=6, lifetime=7)
    for at, campaign, micros in (
        ("2026-04-30T18:00:00Z", one, 6),
        ("2026-04-30T19:00:00Z", two, 8),
        ("2026-05-01T19:00:00Z", one, 9),
    ):
        world.set_clock(at)
        world.tick()
        world.spend(campaign, micros)
    world.set_clock("2026-06-02T00:00:00Z")
    content = may(brand)
    over = [row for row in content["limits"] if row["overspend_micros"]]
    assert [(row["period"], row["campaign"], row["first_day"], row["overspend_micros"]) for row in over] == [
        ("weekly", None, "2026-04-27", 3),
        ("daily", "One", "2026-05-02", 4),
        ("yearly", "Two", "2026-01-01", 2),
        ("lifetime", "Two", None, 1),
    ]
    reached = [row["reached_at"] for row in over]
    assert reached == ["2026-05-01T19:00:00+00:00"] * 2 + ["2026-04-30T19:00:00+00:00"] * 2
    assert {row["cause"] for row in over} == {"last_event"}
    assert [row["held_at"] for row in over] == reached


def test_cause_is_unknown_and_figures_stay_after_retention_dropped_the_ledger(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 15)
    world.set_clock("2026-09-02T00:00:00Z")
    committed(lambda connection: ledger.drop_partitions_before(connection, moment("2026-07-01T00:00:00Z")))
    figures = overspend(may(brand), "daily", "2026-05-20")
    assert figures == [5, None, "2026-05-20T10:00:00+00:00", None, None, None]


def test_amounts_beyond_the_precision_of_a_double_are_exact(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand(monthly=10**15)
    campaign = world.campaign(brand)
    world.ingest([world.event(campaign, 10**15 - place) for place in range(12)])
    world.set_clock("2026-06-02T00:00:00Z")
    assert limit(may(brand), "monthly", "2026-05-01")["overspend_micros"] == 11 * 10**15 - 66
    assert may(brand)["spent_micros"] == 12 * 10**15 - 66


def test_brand_figures_are_the_sums_of_its_campaigns(world: World) -> None:
    world.set_clock("2026-05-20T10:00:00Z")
    brand = world.brand(daily=9 * UNIT)
    campaigns = [world.campaign(brand, f"Campaign {number}", daily=number * UNIT) for number in range(1, 6)]
    for hour in range(11, 20):
        world.set_clock(f"2026-05-20T{hour}:00:00Z")
        world.spend(campaigns[hour % 5], hour * 100_000)
    world.set_clock("2026-06-02T00:00:00Z")
    content = may(brand)
    for name in ("spent_micros", "served_seconds", "held_by_budgets_seconds"):
        assert content[name] == sum(campaign[name] for campaign in content["campaigns"])
