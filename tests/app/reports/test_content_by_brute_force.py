"""Figures of overspent windows, compared with a plain walk through every event."""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from app.reports.generate import on_demand
from domain.periods import day_starts_at, local_day
from domain.zones import time_zone
from tests.world import World, moment

ZONES = ("UTC", "America/New_York", "Asia/Kathmandu")
MAY = date(2026, 5, 1)


def spent_may(world: World, zone: str) -> int:
    """A brand whose events arrived soon, late, a day late or out of order, some of them refunds."""
    world.set_clock("2026-04-25T12:00:00Z")
    brand = world.brand(zone, daily=300, weekly=900, monthly=2_000, lifetime=2_500)
    campaigns = [world.campaign(brand, f"Campaign {number}", daily=120, monthly=900) for number in range(3)]
    at = moment("2026-04-27T00:00:00Z")
    while at < moment("2026-05-12T00:00:00Z"):
        world.set_clock(at)
        world.tick()
        world.ingest(
            [
                world.event(random.choice(campaigns), random.choice((5, 20, 40, 60, -15)), at - late())
                for _ in range(random.randrange(4))
            ]
        )
        at += timedelta(hours=random.choice((1, 3, 5)))
    world.set_clock("2026-06-02T12:00:00Z")
    return brand


def late() -> timedelta:
    return timedelta(minutes=random.choice((0, 0, 1, 50, 200, 26 * 60)), seconds=random.randrange(60))


def last_crossing(events: list[dict[str, Any]], limit: int) -> datetime | None:
    total = 0
    found: datetime | None = None
    for event in events:
        if total < limit <= total + event["amount_micros"]:
            found = event["occurred_at"]
        total += event["amount_micros"]
    return found


def by_day(events: list[dict[str, Any]], zone: str) -> Iterator[tuple[date, int]]:
    rules = time_zone(zone)
    for day in sorted({local_day(event["occurred_at"], rules) for event in events}):
        yield day, sum(event["amount_micros"] for event in events if local_day(event["occurred_at"], rules) == day)


def reached_at(events: list[dict[str, Any]], limit: int, zone: str) -> datetime | None:
    """The last crossing of the limit on the last day that began below the limit and did not end below it."""
    total, found = 0, None
    for day, micros in by_day(events, zone):
        if total < limit <= total + micros:
            ends_at = day_starts_at(day + timedelta(days=1), time_zone(zone))
            found = last_crossing([event for event in events if event["occurred_at"] < ends_at], limit)
        total += micros
    return found


@pytest.mark.parametrize(("zone", "seed"), [(zone, seed) for zone in ZONES for seed in (1, 2)])
def test_overspends_equal_a_walk_through_the_events(world: World, zone: str, seed: int) -> None:
    random.seed(seed)
    brand = spent_may(world, zone)
    events = world.rows("SELECT * FROM spend_events ORDER BY occurred_at, event_id")
    overspent = [limit for limit in on_demand(brand, MAY)["content"]["limits"] if limit["overspend_micros"]]
    assert {limit["scope"] for limit in overspent} == {"brand", "campaign"}
    assert len(overspent) > 8
    for limit in overspent:
        own = list(events_of(limit, events, zone))
        assert limit["spent_micros"] == sum(event["amount_micros"] for event in own)
        reached = reached_at(own, limit["limit_micros"], zone)
        assert limit["reached_at"] == (reached and reached.isoformat()), limit
        if limit["held_at"] is not None:
            held = moment(limit["held_at"])
            after = sum(event["amount_micros"] for event in own if event["received_at"] > held)
            assert limit["after_hold_micros"] == after, limit
            assert reached is not None
            assert limit["delay_seconds"] == max(0, (held - reached.replace(microsecond=0)).total_seconds())
        else:
            assert limit["delay_seconds"] == (known_at(own, limit) - reached).total_seconds()  # type: ignore[operator]


def events_of(limit: dict[str, Any], events: list[dict[str, Any]], zone: str) -> Iterator[dict[str, Any]]:
    first_day = date.fromisoformat(limit["first_day"] or "1990-01-01")
    end_day = min(date.fromisoformat(limit["end_day"] or "2026-06-01"), date(2026, 6, 1))
    for event in events:
        is_own = limit["campaign_id"] in {None, event["campaign_id"]}
        if is_own and first_day <= local_day(event["occurred_at"], time_zone(zone)) < end_day:
            yield event


def known_at(events: list[dict[str, Any]], limit: dict[str, Any]) -> datetime:
    """The time at which spend, in the order of receipt, last rose to the limit."""
    total, found = 0, None
    for event in sorted(events, key=lambda event: (event["received_at"], event["occurred_at"], event["event_id"])):
        if total < limit["limit_micros"] <= total + event["amount_micros"]:
            found = event["received_at"]
        total += event["amount_micros"]
    assert found is not None
    return found  # type: ignore[no-any-return]
