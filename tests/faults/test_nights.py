"""Nights of clock changes, ends of months, 29 February; and servers whose own clock is wrong for a while.

`SPENDGATE_TEST_NIGHTS=N` walks the nights minute by minute, and tests N wrong clocks.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from app.enforcement import enforce_brands
from app.ingest.replay_rejected import replay
from db.engine import committed, snapshot
from db.repository.ledger import rejected
from domain.causes import Cause
from tests.faults.model import DAY, QUARTER, Campaign, Model, parts, quarters
from tests.faults.stage import (
    add_figures,
    compare_ledger,
    empty_database,
    make_brand,
    set_limit,
    stored_holds,
    without_logs,
)
from tests.world import World
from workers.actors.schedule import refresh_spend, reset_daily_budgets, reset_monthly_budgets

IS_LONG = "SPENDGATE_TEST_NIGHTS" in os.environ
WRONG_CLOCKS = int(os.environ.get("SPENDGATE_TEST_NIGHTS", "4"))

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FROM, UNTIL = datetime(2026, 10, 20, tzinfo=UTC), datetime(2027, 10, 20, tzinfo=UTC)

CHANGING = (
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/Los_Angeles",
    "America/Miquelon",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Atlantic/Azores",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Chisinau",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Norfolk",
)
STEADY = ("America/Mexico_City", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tokyo")
TURNS = (date(2026, 12, 31), date(2027, 2, 28), date(2028, 2, 28), date(2028, 2, 29))

SMALL_HOURS = parts(range(1, 8), (0, 45), (60, 90), (105, 150), (165, 225), (1380, 1440))
QUARTERS = parts(range(1, 8), *((hour * 60 + 15, hour * 60 + 30) for hour in (0, 1, 2, 3, 23)))

WRONG_BY = (-HOUR, HOUR, -2 * MINUTE, 2 * MINUTE)


def clock_changes(zone: str) -> list[datetime]:
    """The quarter hours of the coming year at which the zone's offset changes."""
    rules, days = ZoneInfo(zone), [FROM + n * DAY for n in range((UNTIL - FROM).days + 1)]
    offsets = [day.astimezone(rules).utcoffset() for day in days]
    return [
        next(quarter for quarter in quarters(day, day + DAY) if quarter.astimezone(rules).utcoffset() != old)
        for day, old, new in zip(days, offsets, offsets[1:], strict=False)
        if old != new
    ]


class ZonedBrands:
    """A brand in each of the zones, each with the same campaigns, and the model of them."""

    def __init__(self, world: World, at: datetime, zones: Iterable[str], **brand_limits: int) -> None:
        empty_database(world)
        self.world, self.model, self.draw = world, Model(), Random(at.isoformat())
        self.now = world.set_clock(at)
        self.payloads: list[dict[str, Any]] = []
        for zone in zones:
            committed(partial(self.add_brand, zone=zone, limits=brand_limits))
        enforce_brands(self.model.brands, Cause.CHECK)
        self.flips = Counter[int]()
        self.is_active = {campaign: not self.model.holds(campaign, at) for campaign in self.model.campaigns}
        self.toggled_before = self.toggles()

    def add_brand(self, connection: Connection, zone: str, limits: dict[str, int]) -> None:
        tomorrow = self.now.astimezone(ZoneInfo(zone)).date() + DAY
        campaigns = [
            Campaign(),
            Campaign(parts=SMALL_HOURS),
            Campaign(parts=QUARTERS),
            Campaign(starts_on=tomorrow, ends_on=tomorrow),
        ]
        brand, made = make_brand(connection, self.model, self.now, zone, campaigns)
        for period, limit in limits.items():
            set_limit(connection, self.model, self.now, brand, None, period, limit)
        for campaign in made:
            set_limit(connection, self.model, self.now, brand, campaign, "daily", 40)

    def spend(self, micros: int, happened_at: datetime) -> None:
        """Sends spend of each campaign; the servers validate it by the clock they have now."""
        payloads = [
            self.world.event(campaign, micros, happened_at - self.draw.random() * 10 * MINUTE)
            for campaign in self.model.campaigns
        ]
        self.payloads += payloads
        self.world.ingest(payloads)
        self.model.take_events(payloads, self.now)

    def set_clock(self, at: datetime) -> None:
        self.now = self.world.set_clock(at)

    def note_flips(self) -> None:
        """Counts how often the rules alone would have opened or closed each campaign so far."""
        for campaign, was_active in self.is_active.items():
            self.is_active[campaign] = not self.model.holds(campaign, self.now)
            self.flips[campaign] += self.is_active[campaign] != was_active

    def assert_in_step(self) -> None:
        for campaign, holds in stored_holds().items():
            assert holds == self.model.holds(campaign, self.now), (campaign, self.now)

    def toggles(self) -> Counter[int]:
        rows = self.world.rows("SELECT campaign_id, count(*) FROM status_changes GROUP BY campaign_id")
        return Counter({row["campaign_id"]: row["count"] for row in rows})

    def check(self) -> Counter[str]:
        """Checks that no event is lost or doubled and each counts on its own day; returns the figures of the ledger."""
        self.world.verify()
        for name, days in (("campaign", self.model.campaign_days), ("brand", self.model.brand_days)):
            rows = self.world.rows(f"SELECT {name}_id AS owner, day, spent_micros FROM {name}_days")  # noqa: S608 - ours
            assert {(row["owner"], row["day"]): row["spent_micros"] for row in rows} == {
                (owner, day): micros for owner, spent in days.items() for day, micros in spent.items()
            }
        figures = compare_ledger(self.model, self.world)
        assert not figures["lost"] + figures["doubled"]
        return figures


def nights() -> Iterator[tuple[date, list[str], dict[str, int]]]:
    """Days of clock changes in some zones and ends of months: (day, zones, limits of the brands)."""
    changing: defaultdict[date, list[str]] = defaultdict(list)
    for zone in CHANGING:
        for change in clock_changes(zone):
            changing[change.date()].append(zone)
    for day, zones in sorted(changing.items()):
        yield day, zones, {}
    for day in TURNS:
        yield day, [*STEADY, "America/St_Johns", "Pacific/Chatham"], {"monthly": 300, "yearly": 1_000}


def moments(day: date, zones: list[str]) -> list[datetime]:
    """The times from noon before the UTC day to noon after the next: each minute in the long form.

    In the short form every fourth hour, and the quarter hours around clock changes and midnights.
    """
    first = datetime(day.year, day.month, day.day, tzinfo=UTC) - 12 * HOUR
    if IS_LONG:
        return [first + n * MINUTE for n in range(60 * 60)]
    found = {first + 4 * n * HOUR for n in range(16)}
    for rules in map(ZoneInfo, zones):
        for quarter in quarters(first, first + 60 * HOUR):
            before, after = (quarter - HOUR).astimezone(rules), (quarter + QUARTER).astimezone(rules)
            if before.utcoffset() != after.utcoffset() or before.date() != after.date():
                found.add(quarter)
    return sorted(found)


@pytest.mark.timeout(0 if IS_LONG else 600)
def test_campaigns_follow_local_time_through_each_night_of_the_year(world: World) -> None:
    figures, turns = Counter[str](), 0
    with without_logs():
        for day, zones, limits in nights():
            stage = walk(world, moments(day, zones), zones, limits)
            assert stage.toggles() - stage.toggled_before == stage.flips - Counter[int](), day
            figures += stage.check()
            turns += len(zones)
    add_figures(f"nights of clock changes in {len(CHANGING)} zones; ends of months, 29 February", turns, figures)


def walk(world: World, steps: list[datetime], zones: list[str], limits: dict[str, int]) -> ZonedBrands:
    """A stage with a tick at each time, after which nothing differs from the rules; spends every fourth hour."""
    stage = ZonedBrands(world, steps[0], zones, **limits)
    for at in steps[1:]:
        stage.set_clock(at)
        if at.hour % 4 == 0 and at.minute == 0:
            stage.spend(20, at)
        world.tick()
        if stage.draw.random() < 0.02:
            reset_daily_budgets()
            reset_monthly_budgets()
        stage.note_flips()
        stage.assert_in_step()
    return stage


@pytest.mark.timeout(0 if IS_LONG else 600)
def test_clock_that_is_wrong_for_a_while_loses_and_doubles_nothing(world: World) -> None:
    figures = Counter[str]()
    with without_logs():
        for number in range(WRONG_CLOCKS):
            figures += wrong_for_a_while(world, Random(number), WRONG_BY[number % len(WRONG_BY)])
    add_figures("servers' clock wrong by 2 minutes or by an hour, both ways", WRONG_CLOCKS, figures)


def wrong_for_a_while(world: World, draw: Random, wrong_by: timedelta) -> Counter[str]:
    """Two and a half hours around a clock change, in which the servers' clocks are wrong for a while.

    The clocks of upstream are always right.
    """
    zones = draw.sample(CHANGING, 2)
    starts_at = draw.choice(clock_changes(zones[0])) - draw.randrange(10) * QUARTER
    wrong_from = draw.randrange(20, 60)
    right_from = wrong_from + draw.randrange(10, 50)
    stage = ZonedBrands(world, starts_at, zones)
    right_and_refreshed = False
    for minute in range(1, 150, 1 if IS_LONG else 2):
        is_wrong = wrong_from <= minute < right_from
        true_time = starts_at + minute * MINUTE
        stage.set_clock(true_time + is_wrong * wrong_by)
        if draw.random() < 0.2:
            stage.spend(5, true_time)
        if not is_wrong or draw.random() < 0.8:
            world.tick()
        if minute // 2 % 3 == 0:
            refresh_spend()
            right_and_refreshed = right_and_refreshed or minute >= right_from
        if minute // 2 % 8 == 0:
            reset_daily_budgets()
        stage.note_flips()
        if right_and_refreshed:
            stage.assert_in_step()
    assert stage.toggles() - stage.toggled_before <= stage.flips
    return replay_and_check(stage)


def replay_and_check(stage: ZonedBrands) -> Counter[str]:
    """Replays events that the slow clock rejected as in the future; then all are counted."""
    with snapshot() as connection:
        waiting = rejected.waiting(connection, limit=10_000)
    assert {row.reason for row in waiting} <= {"in_future"}
    assert all(map(replay, waiting))
    stage.model.take_events(stage.payloads, stage.now)
    stage.assert_in_step()
    return stage.check()
