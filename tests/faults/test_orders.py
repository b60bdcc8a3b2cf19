"""Late, shuffled, repeated and malformed spend ends with the same state as prompt spend in order.

`SPENDGATE_TEST_ORDERS=1000` runs as many stories, and sends 100,000 events of which one in a hundred is malformed.
"""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection

from app.enforcement import edited, enforce_brands
from app.proof.verification import differences
from db.engine import committed, snapshot
from domain.causes import Cause
from tests.faults.model import BROKEN, DAY, Brand, Campaign, Model, broken, parts
from tests.faults.stage import add_figures, compare_ledger, empty_database, make_brand, set_limit, without_logs
from tests.world import PERIODS, World
from workers.actors.schedule import (
    apply_dayparting,
    refresh_spend,
    reset_daily_budgets,
    reset_monthly_budgets,
)

STORIES = int(os.environ.get("SPENDGATE_TEST_ORDERS", "6"))
MANY_EVENTS = 100_000 if "SPENDGATE_TEST_ORDERS" in os.environ else 5_000
BAD_SHARE = 0.01
EVENTS_A_STORY = 100
LATEST = timedelta(hours=48)
LAST_EVENT = 3 * DAY

STARTS = ("2026-10-30T12:00", "2026-12-30T03:00", "2027-02-26T18:00", "2027-03-12T09:00", "2028-02-27T22:00")
ZONES = (
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "Europe/Berlin",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
SCHEDULE = parts(range(1, 8), (60, 200), (540, 1380))
LIMITS = (0, 60, 150, 300, 600, 1_500)


@dataclass
class Twin:
    """Two brands with the same events, for one promptly, for the other late; each has two campaigns."""

    brands: list[int]
    campaigns: list[list[int]]


@dataclass
class Event:
    """An event of a campaign of both brands, and the time at which the late brand gets it."""

    twin: Twin
    place: int
    payload: dict[str, Any]
    occurred_at: datetime
    late_at: datetime

    def to(self, which: int) -> dict[str, Any]:
        return {**self.payload, "campaign_id": self.twin.campaigns[which][self.place]}


class Story:
    """Some days of two pairs of brands, drawn by a seed, with one clock."""

    def __init__(self, world: World, seed: int) -> None:
        empty_database(world)
        self.world, self.draw, self.model = world, Random(seed), Model()
        self.starts_at = self.now = world.set_clock(self.draw.choice(STARTS))
        self.twins = committed(lambda connection: [self.twin(connection, zone) for zone in self.draw.sample(ZONES, 2)])
        enforce_brands(self.model.brands, Cause.CHECK)
        self.events = sorted((self.event() for _ in range(EVENTS_A_STORY)), key=lambda event: event.occurred_at)

    def twin(self, connection: Connection, zone: str) -> Twin:
        campaigns = [Campaign(), Campaign(parts=SCHEDULE)]
        made = [make_brand(connection, self.model, self.now, zone, campaigns) for _ in range(2)]
        twin = Twin([brand for brand, _ in made], [pair for _, pair in made])
        for period in self.draw.sample(PERIODS, 3):
            place, limit = self.draw.choice((None, 0, 1)), self.draw.choice(LIMITS)
            for which in range(2):
                self.limit(twin, which, place, period, limit, connection)
        return twin

    def limit(self, twin: Twin, which: int, place: int | None, period: str, limit: int, connection: Connection) -> None:
        brand, campaign = twin.brands[which], None if place is None else twin.campaigns[which][place]
        set_limit(connection, self.model, self.now, brand, campaign, period, limit)

    def event(self) -> Event:
        occurred_at = self.starts_at + self.draw.random() * LAST_EVENT
        payload = {
            "event_id": str(UUID(int=self.draw.getrandbits(128), version=4)),
            "occurred_at": occurred_at.isoformat(),
            "amount_micros": self.draw.choice((1, 7, 20, 20, 50, -15, -40)),
        }
        late_at = occurred_at + self.draw.random() * LATEST
        return Event(self.draw.choice(self.twins), self.draw.randrange(2), payload, occurred_at, late_at)

    def run(self) -> None:
        end = self.starts_at + LAST_EVENT + LATEST
        while self.now < end:
            since = self.now
            self.now = self.world.set_clock(min(end, since + self.draw.uniform(0.5, 24) * timedelta(hours=1)))
            self.world.ingest([event.to(0) for event in self.events if since < event.occurred_at <= self.now])
            self.deliver_late([event.to(1) for event in self.events if since < event.late_at <= self.now])
            if self.draw.random() < 0.2:
                self.edit()
            self.settle()

    def deliver_late(self, events: list[dict[str, Any]]) -> None:
        for _ in range(self.draw.choice((1, 1, 1, 2, 3, 10))):
            self.draw.shuffle(events)
            self.world.ingest(events)

    def edit(self) -> None:
        twin, place = self.draw.choice(self.twins), self.draw.choice((None, 0, 1))
        period, limit = self.draw.choice(PERIODS), self.draw.choice(LIMITS)
        for which, brand in enumerate(twin.brands):
            edited(partial(self.limit, twin, which, place, period, limit), brand)

    def settle(self) -> None:
        """Runs some of the jobs, and checks that nothing differs from the rules."""
        jobs = (reset_daily_budgets, reset_monthly_budgets, refresh_spend)
        for job in (apply_dayparting, *self.draw.sample(jobs, self.draw.choice((0, 0, 1, 2)))):
            job()
        with snapshot() as connection:
            drifted = [difference.row() for difference in differences(connection, self.now)]
        assert not drifted

    def check(self) -> Counter[str]:
        """Checks both brands of each pair against a model that got every event in order."""
        for event in self.events:
            self.model.take_events([event.to(0), event.to(1)], event.occurred_at)
        rows = self.world.rows("SELECT id, effective_status, holds FROM campaigns")
        statuses = {row["id"]: (row["effective_status"], set(row["holds"])) for row in rows}
        for prompt, late in (pair for twin in self.twins for pair in zip(*twin.campaigns, strict=True)):
            assert statuses[prompt] == statuses[late]
        assert {campaign: holds for campaign, (_, holds) in statuses.items()} == {
            campaign: self.model.holds(campaign, self.now) for campaign in self.model.campaigns
        }
        of_campaigns = self.world.rows("SELECT campaign_id AS owner, day, spent_micros FROM campaign_days")
        assert by_owner(of_campaigns) == self.model.campaign_days
        assert by_owner(self.world.rows("SELECT brand_id AS owner, day, spent_micros FROM brand_days")) == (
            self.model.brand_days
        )
        assert not self.world.rejected()
        self.world.verify()
        return compare_ledger(self.model, self.world)


def by_owner(rows: list[dict[str, Any]]) -> dict[int, dict[date, int]]:
    found: dict[int, dict[date, int]] = {}
    for row in rows:
        found.setdefault(row["owner"], {})[row["day"]] = row["spent_micros"]
    return found


@pytest.mark.timeout(600 if STORIES <= 15 else 0)
def test_late_shuffled_and_repeated_spend_ends_as_prompt_spend_in_order(world: World) -> None:
    figures: Counter[str] = Counter()
    with without_logs():
        for seed in range(STORIES):
            story = Story(world, seed)
            story.run()
            figures += story.check()
            assert not figures["lost"] + figures["doubled"], seed
    add_figures("stories of spend shuffled, up to 48 h late, up to 10 times, across resets and edits", STORIES, figures)


@pytest.mark.timeout(600 if MANY_EVENTS <= 5_000 else 0)
def test_each_bad_event_among_many_is_kept_with_its_reason_and_each_good_one_counted(world: World) -> None:
    draw, model, at = Random(17), Model(), world.set_clock("2026-06-30T22:00:00Z")
    for zone in ZONES[:5]:
        brand = world.brand(zone, daily=10_000)
        model.brands[brand] = Brand(zone)
        model.limits[brand, None, "daily"] = 10_000
        model.campaigns |= {world.campaign(brand): Campaign(brand) for _ in range(4)}
    events = [mixed_event(world, draw, at) for _ in range(MANY_EVENTS)]
    with without_logs():
        for start in range(0, MANY_EVENTS, 1_000):
            batch = events[start : start + 1_000]
            for _ in range(draw.choice((1, 1, 2))):
                draw.shuffle(batch)
                world.ingest(batch)
                model.take_events(batch, at)

    kept = world.rows("SELECT reason, payload::text, times FROM rejected_events")
    assert {(row["reason"], row["payload"]): row["times"] for row in kept} == model.rejected
    figures = compare_ledger(model, world)
    assert not figures["lost"] + figures["doubled"]
    for campaign in model.campaigns:
        assert world.spent(campaign) == sum(model.campaign_days[campaign].values())
        assert world.holds(campaign) == model.holds(campaign, at)
    world.verify()
    add_figures("malformed among good events", len(kept), figures)


def mixed_event(world: World, draw: Random, at: datetime) -> Any:
    """An event of the last two days for one of the campaigns 1 to 20; one in a hundred is malformed."""
    occurred_at = at - draw.random() * LATEST
    event = world.event(draw.randint(1, 20), draw.randint(-3, 9), occurred_at)
    return broken(event, draw.choice(BROKEN)) if draw.random() < BAD_SHARE else event
