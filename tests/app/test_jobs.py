"""Scheduled jobs through their actors: ticks, resets and refresh, with a clock set by the test."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import psycopg
import pytest
import structlog
from sqlalchemy.exc import OperationalError

from app.jobs import enforce_due, reset
from db.engine import committed
from db.repository.shared import watermarks
from domain.periods import Period
from runtime import clock
from runtime.settings import settings
from tests.kit import at_once, is_empty, lines, toggles, working
from tests.world import World, eventually, moment
from workers.actors.reports import generate_monthly_reports
from workers.actors.schedule import (
    apply_dayparting,
    refresh_spend,
    reset_daily_budgets,
    reset_monthly_budgets,
    roll_up_hours,
)

ROW_OF_CAMPAIGN = "SELECT FROM campaigns WHERE brand_id = %s AND id = %s FOR UPDATE"
PERIODS = (Period.DAILY, Period.MONTHLY)
JOBS = (apply_dayparting, reset_daily_budgets, refresh_spend)


def walk(world: World, starts: str, ends: str, minutes: int) -> None:
    """Runs a tick every so many minutes from one time to another, both included."""
    at = moment(starts)
    while at <= moment(ends):
        world.set_clock(at)
        world.tick()
        at += timedelta(minutes=minutes)


def tick_at(world: World, at: str) -> None:
    world.set_clock(at)
    world.tick()


# --- dayparting


def test_campaign_exhausted_within_its_daypart_returns_with_the_next_daypart(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand("America/New_York"), schedule="daily 08:00-12:00", daily=10)
    world.spend(campaign, 10)
    walk(world, "2026-06-17T12:00:00Z", "2026-06-20T12:00:00Z", 60)
    assert toggles(world, campaign) == [
        ("06-17 12:00", "inactive"),
        ("06-18 12:00", "active"),
        ("06-18 16:00", "inactive"),
        ("06-19 12:00", "active"),
        ("06-19 16:00", "inactive"),
        ("06-20 12:00", "active"),
    ]
    world.verify()


def test_tick_activates_no_exhausted_campaign_and_no_user_paused_one(world: World) -> None:
    world.set_clock("2026-06-17T07:00:00Z")
    brand = world.brand()
    spent, paused = (world.campaign(brand, schedule="daily 08:00-12:00", daily=10) for _ in range(2))
    world.spend(spent, 10)
    world.set_status(paused, "paused")
    tick_at(world, "2026-06-17T08:00:00Z")
    assert (world.holds(spent), world.holds(paused)) == ({"campaign_daily_budget"}, {"user_paused"})
    tick_at(world, "2026-06-17T12:00:00Z")
    assert world.holds(spent) == {"outside_schedule", "campaign_daily_budget"}
    assert world.holds(paused) == {"outside_schedule", "user_paused"}


def test_daypart_over_midnight_belongs_to_the_day_it_starts_on(world: World) -> None:
    world.set_clock("2026-06-14T12:00:00Z")
    campaign = world.campaign(world.brand(), schedule="Mon 22:00-06:00")
    walk(world, "2026-06-14T12:00:00Z", "2026-06-17T12:00:00Z", 60)
    assert toggles(world, campaign) == [
        ("06-14 12:00", "inactive"),
        ("06-15 22:00", "active"),
        ("06-16 06:00", "inactive"),
    ]
    world.verify()


def test_campaign_without_a_schedule_stays_active(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand("Asia/Kolkata"))
    world.schedule(campaign, "Mon 09:00-10:00")
    world.schedule(campaign, "")
    walk(world, "2026-06-17T13:00:00Z", "2026-06-19T13:00:00Z", 360)
    assert toggles(world, campaign) == [("06-17 12:00", "inactive"), ("06-17 12:00", "active")]


def test_tick_touches_only_due_campaigns(world: World) -> None:
    world.set_clock("2026-06-17T07:00:00Z")
    brand = world.brand()
    due, later = (
        world.campaign(brand, schedule="daily 08:00-12:00"),
        world.campaign(brand, schedule="daily 09:00-12:00"),
    )
    never = world.campaign(brand)
    tick_at(world, "2026-06-17T08:00:00Z")
    seen = {row["id"]: row["enforced_at"].hour for row in world.rows("SELECT * FROM campaigns")}
    assert seen == {due: 8, later: 7, never: 7}


def test_tick_enforces_campaigns_inserted_by_sql(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=0)
    campaign = world.one("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'c') RETURNING id", brand)["id"]
    world.tick()
    assert world.holds(campaign) == {"brand_daily_budget"}


def test_tick_enforces_more_campaigns_than_one_page(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    for brand in (world.brand(), world.brand()):
        world.execute("INSERT INTO campaigns (brand_id, name) SELECT %s, 'c' FROM generate_series(1, 601)", brand)
    world.execute(
        "INSERT INTO dayparts (brand_id, campaign_id, weekday, starts_minute, ends_minute)"
        " SELECT brand_id, id, 3, 0, 780 FROM campaigns"
    )
    world.tick()
    tick_at(world, "2026-06-17T13:00:00Z")
    tally = world.one("SELECT count(*), min(next_change_at) AS next FROM campaigns WHERE effective_status = 'inactive'")
    assert tally == {"count": 1_202, "next": moment("2026-06-24T00:00:00Z")}
    assert world.one("SELECT count(*) FROM status_changes")["count"] == 1_202
    world.verify()


def test_tick_enforces_every_campaign_for_any_number_of_new_ones(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.execute("INSERT INTO campaigns (brand_id, name) SELECT %s, 'c' FROM generate_series(1, 20001)", world.brand())
    world.tick()
    assert world.rows("SELECT id FROM campaigns WHERE enforced_at IS NULL") == []


def test_concurrent_ticks_toggle_once(world: World) -> None:
    world.set_clock("2026-06-16T12:00:00Z")
    brand = world.brand(daily=10)
    campaigns = [world.campaign(brand, schedule="daily 08:00-12:00") for _ in range(5)]
    for hour in (8, 12, 32, 36):
        world.set_clock(moment("2026-06-17T00:00:00Z") + timedelta(hours=hour))
        at_once(apply_dayparting, apply_dayparting, reset_daily_budgets, refresh_spend)
    for campaign in campaigns:
        assert [status for _, status in toggles(world, campaign)] == ["inactive", "active"] * 2 + ["inactive"]
    world.verify()


def test_one_bad_row_aborts_no_tick_reset_or_refresh(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    unreadable = world.one("INSERT INTO brands (name, time_zone) VALUES ('Unreadable', 'PST') RETURNING id")["id"]
    world.execute("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'c')", unreadable)
    campaign = world.campaign(world.brand(daily=10))
    for day, job in enumerate(JOBS, start=18):
        world.spend(campaign, 10)
        assert not world.is_active(campaign)
        world.set_clock(f"2026-06-{day}T00:00:00Z")
        job()
        assert world.is_active(campaign), job


def test_brand_with_a_sum_beyond_a_bigint_stops_no_job(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    large, small = world.campaign(world.brand()), world.campaign(world.brand())
    brand = world.brand_of(large)
    for day in ("2026-06-16", "2026-06-17"):
        world.execute("INSERT INTO campaign_days VALUES (%s, %s, %s, %s)", brand, large, day, 2**63 - 1)
    limit = "INSERT INTO budgets (brand_id, campaign_id, period, limit_micros) VALUES (%s, %s, 'lifetime', 0)"
    for campaign in (large, small):
        world.execute(limit, world.brand_of(campaign), campaign)
    refresh_spend()
    assert (world.is_active(large), world.is_active(small)) == (False, False)
    world.execute("DELETE FROM budgets WHERE campaign_id = %s", small)
    world.execute("UPDATE campaigns SET next_change_at = %s", noon)
    world.tick()
    assert (world.is_active(large), world.is_active(small)) == (False, True)


def test_locked_campaign_delays_no_other_brand(world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "150")
    settings.cache_clear()
    world.set_clock(noon)
    locked, free = (world.campaign(world.brand(), schedule="daily 00:00-13:00") for _ in range(2))
    world.set_clock("2026-06-17T13:00:00Z")
    with psycopg.connect(world.url) as connection, structlog.testing.capture_logs() as logged:
        connection.execute(ROW_OF_CAMPAIGN, [world.brand_of(locked), locked])
        world.tick()
        with pytest.raises(OperationalError):
            enforce_due(clock.now())
    assert [line["brand_id"] for line in lines(logged, "enforcement.postponed")] == [world.brand_of(locked)] * 2
    assert len(lines(logged, "job.held_up")) == 1
    assert (world.is_active(locked), world.is_active(free)) == (True, False)
    world.tick()
    assert not world.is_active(locked)


def test_tick_of_a_locked_brand_is_not_retried(world: World) -> None:
    """Retries would occupy threads while they wait, and leave none for spend; the next tick does the work."""
    campaign = world.campaign(world.brand())
    world.execute("UPDATE campaigns SET next_change_at = now() - interval '1 minute'")
    with psycopg.connect(world.url) as connection, working(threads=2):
        connection.execute(ROW_OF_CAMPAIGN, [world.brand_of(campaign), campaign])
        for _ in range(4):
            apply_dayparting.send()
        eventually(lambda: is_empty("schedule"), 20)


def test_brands_after_locked_ones_wait_for_a_short_timeout_only(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brands = [world.brand() for _ in range(3)]
    campaigns = [world.campaign(brand, schedule="daily 00:00-13:00") for brand in brands]
    world.set_clock("2026-06-17T13:00:00Z")
    with psycopg.connect(world.url) as connection, structlog.testing.capture_logs() as logged:
        for brand in brands[:2]:
            connection.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [brand])
        before = connection.execute("SELECT clock_timestamp()").fetchall()[0][0]
        world.tick()
        after = connection.execute("SELECT clock_timestamp()").fetchall()[0][0]
    assert not world.is_active(campaigns[-1])
    assert sorted(line["brand_id"] for line in lines(logged, "enforcement.postponed")) == brands[:2]
    assert (after - before).total_seconds() * 1_000 < settings().lock_timeout_ms


# --- clock changes


NIGHTS = [
    # 02:00 to 03:00 is skipped
    ("America/New_York", "Sun 02:00-03:00", ("2026-03-08T05:00", "2026-03-08T10:00"), []),
    (
        "America/New_York",
        "Sun 01:00-04:00",
        ("2026-03-08T05:00", "2026-03-08T10:00"),
        [("03-08 06:00", "active"), ("03-08 08:00", "inactive")],
    ),
    # 01:00 to 02:00 comes twice
    (
        "America/New_York",
        "Sun 01:00-02:00",
        ("2026-11-01T04:00", "2026-11-01T09:00"),
        [("11-01 05:00", "active"), ("11-01 07:00", "inactive")],
    ),
    (
        "America/New_York",
        "Sun 01:30-02:00",
        ("2026-11-01T04:00", "2026-11-01T09:00"),
        [
            ("11-01 05:30", "active"),
            ("11-01 06:00", "inactive"),
            ("11-01 06:30", "active"),
            ("11-01 07:00", "inactive"),
        ],
    ),
    # clocks move by half an hour, forwards and back
    (
        "Australia/Lord_Howe",
        "Sun 02:00-03:00",
        ("2026-10-03T13:00", "2026-10-03T18:00"),
        [("10-03 15:30", "active"), ("10-03 16:00", "inactive")],
    ),
    (
        "Australia/Lord_Howe",
        "Sun 01:30-02:00",
        ("2026-04-04T13:00", "2026-04-04T18:00"),
        [("04-04 14:30", "active"), ("04-04 15:30", "inactive")],
    ),
    # midnight is skipped, so Sunday starts at 01:00
    (
        "America/Santiago",
        "Sun 00:00-02:00",
        ("2026-09-06T02:00", "2026-09-06T07:00"),
        [("09-06 04:00", "active"), ("09-06 05:00", "inactive")],
    ),
]


def test_dayparts_follow_local_time_through_a_clock_change(world: World) -> None:
    seen = []
    for zone, schedule, night, _ in NIGHTS:
        world.set_clock(night[0])
        campaign = world.campaign(world.brand(zone), schedule=schedule)
        walk(world, *night, 30)
        seen.append((zone, schedule, night, toggles(world, campaign)[1:]))
    assert seen == NIGHTS


DAY_ENDS = [
    ("America/New_York", "2026-03-08T20:00Z", "2026-03-09T03:59:59Z", "2026-03-09T04:00Z"),
    ("America/Santiago", "2026-04-04T20:00Z", "2026-04-05T03:59:59Z", "2026-04-05T04:00Z"),
    ("Australia/Lord_Howe", "2026-04-05T03:00Z", "2026-04-05T13:29:59Z", "2026-04-05T13:30Z"),
    ("Africa/Cairo", "2026-04-23T12:00Z", "2026-04-23T21:59:59Z", "2026-04-23T22:00Z"),
    ("Asia/Kathmandu", "2026-06-17T12:00Z", "2026-06-17T18:14:59Z", "2026-06-17T18:15Z"),
    ("America/Santiago", "2026-09-05T20:00Z", "2026-09-06T03:59:59Z", "2026-09-06T04:00Z"),
    ("Africa/Cairo", "2026-10-29T12:00Z", "2026-10-29T21:59:59Z", "2026-10-29T22:00Z"),
    ("America/New_York", "2026-11-01T20:00Z", "2026-11-02T04:59:59Z", "2026-11-02T05:00Z"),
]


@pytest.mark.parametrize("job", [apply_dayparting, reset_daily_budgets])
def test_day_ends_at_the_brands_local_midnight(world: World, job: Callable[[], None]) -> None:
    for zone, spent_at, last_held, lifted in DAY_ENDS:
        world.set_clock(spent_at)
        campaign = world.campaign(world.brand(zone, daily=10))
        world.spend(campaign, 10)
        for at, held in ((last_held, True), (lifted, False)):
            world.set_clock(at)
            job()
            assert world.is_active(campaign) is not held, (zone, at)
    world.verify()


# --- resets


def test_brands_in_new_york_and_kathmandu_reset_at_their_own_midnights(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    york, nepal = (world.brand(zone, daily=10) for zone in ("America/New_York", "Asia/Kathmandu"))
    paused = {brand: world.campaign(brand) for brand in (york, nepal)}
    others = {brand: world.campaign(brand) for brand in (york, nepal)}
    for brand in (york, nepal):
        world.set_status(paused[brand], "paused")
        world.spend(others[brand], 10)
    reset_daily_budgets()
    for at, active in (
        ("2026-06-17T18:14:00Z", set()),
        ("2026-06-17T18:15:00Z", {nepal}),
        ("2026-06-18T03:59:00Z", {nepal}),
        ("2026-06-18T04:00:00Z", {nepal, york}),
    ):
        world.set_clock(at)
        reset_daily_budgets()
        assert {brand for brand in (york, nepal) if world.is_active(others[brand])} == active
    assert world.holds(paused[york]) == world.holds(paused[nepal]) == {"user_paused"}
    world.verify()


@pytest.mark.parametrize("job", [*JOBS, reset_monthly_budgets])
def test_first_of_the_month_lifts_daily_and_monthly_holds_of_the_30th(world: World, job: Callable[[], None]) -> None:
    world.set_clock("2026-06-30T20:00:00Z")
    campaign = world.campaign(world.brand("America/New_York", daily=10, monthly=10), daily=10, monthly=10)
    world.spend(campaign, 10)
    assert len(world.holds(campaign)) == 4
    world.set_clock("2026-07-01T03:59:59Z")
    job()
    assert len(world.holds(campaign)) == 4
    world.set_clock("2026-07-01T04:00:00Z")
    job()
    assert world.is_active(campaign)
    world.verify()


def test_monthly_hold_stays_through_daily_resets(world: World) -> None:
    world.set_clock("2028-02-27T12:00:00Z")
    campaign = world.campaign(world.brand(daily=10, monthly=10))
    world.spend(campaign, 10)
    for day in ("02-28", "02-29"):
        world.set_clock(f"2028-{day}T00:00:00Z")
        reset_daily_budgets()
        reset_monthly_budgets()
        assert world.holds(campaign) == {"brand_monthly_budget"}
    world.set_clock("2028-03-01T00:00:00Z")
    reset_monthly_budgets()
    assert world.is_active(campaign)


@pytest.mark.parametrize("again", [reset_daily_budgets, reset_monthly_budgets])
def test_repeated_reset_and_reset_at_noon_allow_no_extra_spend(
    world: World, noon: datetime, again: Callable[[], None]
) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10))
    world.spend(campaign, 6)
    again()
    again()
    world.spend(campaign, 4)
    assert world.holds(campaign) == {"brand_daily_budget"}
    again()
    for period in PERIODS:
        reset(period, everything=True)
    assert world.holds(campaign) == {"brand_daily_budget"}
    assert world.spent(campaign) == 10
    world.verify()


def test_late_reset_loses_no_spend_of_the_new_day(world: World) -> None:
    world.set_clock("2026-06-17T20:00:00Z")
    campaign = world.campaign(world.brand(daily=10))
    world.spend(campaign, 10)
    world.set_clock("2026-06-18T09:00:00Z")
    world.spend(campaign, 4)
    reset_daily_budgets()
    assert world.is_active(campaign)
    assert (world.spent(campaign, "2026-06-17"), world.spent(campaign, "2026-06-18")) == (10, 4)
    world.spend(campaign, 6)
    assert world.holds(campaign) == {"brand_daily_budget"}
    world.verify()


def test_spend_of_the_new_day_lifts_yesterdays_hold_when_the_reset_is_late(world: World) -> None:
    world.set_clock("2026-06-17T20:00:00Z")
    campaign = world.campaign(world.brand(daily=10))
    world.spend(campaign, 10)
    world.set_clock("2026-06-18T09:00:00Z")
    world.spend(campaign, 4)
    assert world.is_active(campaign)


def test_resets_during_ingest_lose_nothing_and_allow_no_extra_spend(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=60)
    campaign = world.campaign(brand)
    world.spend(campaign, 1)

    def spend() -> None:
        for _ in range(15):
            world.spend(campaign, 2)

    def reset_everything() -> None:
        for _ in range(15):
            for period in PERIODS:
                reset(period, everything=True)

    at_once(spend, spend, reset_everything)
    assert world.spent(campaign) == 61
    assert world.holds(campaign) == {"brand_daily_budget"}
    assert len(toggles(world, campaign)) == 1
    world.verify()


@pytest.mark.parametrize("job", JOBS)
def test_each_job_alone_catches_up_after_an_outage_of_days(world: World, job: Callable[[], None]) -> None:
    world.set_clock("2026-06-17T20:00:00Z")
    campaign = world.campaign(world.brand(daily=10, weekly=10), schedule="Wed-Mon 00:00-24:00")
    world.spend(campaign, 10)
    world.set_clock("2026-06-26T09:30:00Z")
    job()
    assert toggles(world, campaign) == [("06-17 20:00", "inactive"), ("06-26 09:30", "active")]
    world.verify()


def test_reset_returns_its_brands_and_handles_each_once_a_day(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.campaign(world.brand("Asia/Kathmandu"))
    reset_daily_budgets()
    with structlog.testing.capture_logs() as logged:
        for at in ("2026-06-17T18:00:00Z", "2026-06-17T18:15:00Z", "2026-06-17T18:30:00Z"):
            world.set_clock(at)
            reset_daily_budgets()
    assert lines(logged, "day.reset") == [{"brands": 1, "zones": ["Asia/Kathmandu"], "toggles": 0}]


def test_run_that_began_earlier_lowers_no_watermark(world: World, noon: datetime) -> None:
    reached = "SELECT name, reached_at FROM watermarks ORDER BY name"
    world.set_clock(noon)
    world.brand()
    reset_daily_budgets()
    reset_monthly_budgets()
    before = world.rows(reached)
    assert [row["name"] for row in before] == ["daily_reset", "monthly_reset"]
    assert {row["reached_at"] for row in before} == {noon}
    world.set_clock(noon - timedelta(seconds=50))
    reset_daily_budgets()
    reset_monthly_budgets()
    assert world.rows(reached) == before


def test_clock_set_back_over_midnight_decides_by_the_day_it_shows(world: World) -> None:
    world.set_clock("2026-06-18T00:10:00Z")
    campaign = world.campaign(world.brand(daily=10))
    reset_daily_budgets()
    tick_at(world, "2026-06-17T23:50:00Z")
    world.spend(campaign, 10)
    assert world.holds(campaign) == {"brand_daily_budget"}
    world.set_clock("2026-06-18T00:20:00Z")
    apply_dayparting()
    assert world.is_active(campaign)


# --- refresh: corrects rows after lost messages and edits by SQL


CHANGED = [
    ("UPDATE budgets SET limit_micros = 5 WHERE campaign_id IS NULL AND {brand}", {"brand_daily_budget"}),
    ("UPDATE brand_days SET spent_micros = 10 WHERE {brand}", {"brand_daily_budget"}),
    ("UPDATE campaign_days SET spent_micros = 50 WHERE {brand}", {"campaign_monthly_budget"}),
    ("UPDATE campaigns SET configured_status = 'paused' WHERE {brand}", {"user_paused"}),
    ("UPDATE campaigns SET configured_status = 'archived' WHERE {brand}", {"archived"}),
    (
        "UPDATE brands SET configured_status = 'paused' FROM campaigns WHERE brands.id = brand_id AND {brand}",
        {"brand_paused"},
    ),
    ("UPDATE campaigns SET starts_on = '2026-06-18' WHERE {brand}", {"flight_not_started"}),
    ("UPDATE campaigns SET ends_on = '2026-06-16' WHERE {brand}", {"flight_ended"}),
    (
        (
            "INSERT INTO dayparts (brand_id, campaign_id, weekday, starts_minute, ends_minute)"
            " SELECT brand_id, id, 3, 0, 720 FROM campaigns WHERE {brand}"
        ),
        {"outside_schedule"},
    ),
    ("UPDATE campaigns SET effective_status = 'inactive', holds = '{{brand_yearly_budget}}' WHERE {brand}", set()),
    ("UPDATE campaigns SET effective_status = 'inactive', holds = '{{brand_daily_budget}}' WHERE {brand}", set()),
    ("UPDATE campaigns SET effective_status = 'inactive', holds = '{{user_paused}}' WHERE {brand}", set()),
    ("UPDATE campaigns SET effective_status = 'inactive', holds = '{{outside_schedule}}' WHERE {brand}", set()),
    ("UPDATE campaigns SET effective_status = 'inactive', holds = '{{flight_ended}}' WHERE {brand}", set()),
]


def test_refresh_enforces_rows_changed_by_sql(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaigns = [world.campaign(world.brand(daily=10), monthly=50) for _ in range(len(CHANGED) + 2)]
    world.ingest([world.event(campaign, 5) for campaign in campaigns])
    for campaign, (by_hand, _) in zip(campaigns, CHANGED, strict=False):
        world.execute(by_hand.format(brand=f"brand_id = {world.brand_of(campaign)}"))
    with structlog.testing.capture_logs() as logged:
        refresh_spend()
    assert [world.holds(campaign) for campaign in campaigns] == [holds for _, holds in CHANGED] + [set(), set()]
    assert lines(logged, "spend.refreshed") == [{"brands_out_of_step": len(CHANGED), "toggles": len(CHANGED)}]


VOIDED = [
    "UPDATE budgets SET limit_micros = 11 WHERE {brand}",
    "DELETE FROM budgets WHERE {brand}",
]


def test_refresh_lifts_the_hold_of_a_budget_raised_or_deleted_by_sql(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaigns = [world.campaign(world.brand(daily=10)) for _ in range(len(VOIDED) + 1)]
    world.ingest([world.event(campaign, 10) for campaign in campaigns])
    for campaign, by_hand in zip(campaigns, VOIDED, strict=False):
        world.execute(by_hand.format(brand=f"brand_id = {world.brand_of(campaign)}"))
    refresh_spend()
    assert [world.is_active(campaign) for campaign in campaigns] == [True] * len(VOIDED) + [False]


def test_refresh_changes_nothing_when_all_rows_are_right(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("Asia/Kolkata", daily=10, lifetime=100)
    held, paused = (
        world.campaign(brand, schedule="daily 00:00-24:00"),
        world.campaign(brand, schedule="Mon 22:00-06:00"),
    )
    world.set_status(paused, "paused")
    world.spend(held, 10)
    before = world.rows("SELECT * FROM campaigns")
    with structlog.testing.capture_logs() as logged:
        refresh_spend()
    assert lines(logged, "spend.refreshed") == [{"brands_out_of_step": 0, "toggles": 0}]
    assert world.rows("SELECT * FROM campaigns") == before


# --- transient faults


def test_reset_that_met_a_locked_brand_is_repeated(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "150")
    settings.cache_clear()
    world.set_clock(noon)
    brand = world.brand(daily=5)
    campaign = world.campaign(brand)
    world.spend(campaign, 5)
    world.set_clock("2026-06-18T00:00:00Z")
    with psycopg.connect(world.url) as connection:
        connection.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [brand])
        reset_daily_budgets()
        with pytest.raises(OperationalError):
            reset(Period.DAILY)
    assert not world.is_active(campaign)
    reset_daily_budgets()
    assert world.is_active(campaign)


def test_reset_enforces_campaigns_that_were_never_enforced(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    reset_daily_budgets()
    brand = world.one("INSERT INTO brands (name) VALUES ('b') RETURNING id")["id"]
    insert = (
        "INSERT INTO campaigns (brand_id, name, effective_status, holds) VALUES (%s, 'c', 'inactive', %s) RETURNING id"
    )
    campaign = world.one(insert, brand, ["brand_daily_budget"])["id"]
    reset_daily_budgets()
    assert world.is_active(campaign)


def test_watermark_from_a_clock_ahead_prevents_no_reset(world: World, noon: datetime) -> None:
    world.set_clock("2027-01-01T00:00:00Z")
    reset_daily_budgets()
    world.set_clock(noon)
    brand = world.brand()
    world.campaign(brand)
    assert reset(Period.DAILY) == [brand]


def test_each_job_sets_back_a_watermark_from_a_clock_that_ran_ahead(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10))
    world.spend(campaign, 5)
    for name in {*watermarks.JOBS, "alerts"}:
        world.execute("INSERT INTO watermarks VALUES (%s, '2036-01-01Z')", name)
    for job in (reset_daily_budgets, reset_monthly_budgets, refresh_spend, roll_up_hours, generate_monthly_reports):
        job()
    ahead = world.rows("SELECT name FROM watermarks WHERE reached_at > %s ORDER BY name", noon)
    assert {row["name"] for row in ahead} == {"alerts", "ledger_floor"}
    committed(partial(watermarks.raise_to, name="ledger_floor", at=noon))
    assert world.one("SELECT reached_at > %s AS ahead FROM watermarks WHERE name = 'ledger_floor'", noon)["ahead"]


def test_refresh_corrects_campaigns_that_a_clock_ahead_skipped(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand(), schedule="daily 12:15-12:30")
    world.set_clock("2026-06-17T13:00:00Z")
    world.tick()
    world.set_clock("2026-06-17T12:05:00Z")
    refresh_spend()
    world.set_clock("2026-06-17T12:15:00Z")
    world.tick()
    assert world.is_active(campaign)
