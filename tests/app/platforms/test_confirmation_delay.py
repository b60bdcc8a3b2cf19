"""The part of an overspend that a platform served after the decision and before it confirmed the pause."""

from datetime import date, timedelta
from functools import partial
from typing import Any

from app.reports.formats import as_csv
from app.reports.generate import on_demand
from db.engine import committed, snapshot
from db.repository.platforms import confirmations
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.world import World

TODAY = date(2026, 6, 17)


def later(world: World, seconds: float) -> None:
    world.set_clock(clock.now() + timedelta(seconds=seconds))


def today_of(connected: Connected) -> dict[str, Any]:
    """The report's daily window of today."""
    content = on_demand(connected.brand, TODAY)["content"]
    return next(limit for limit in content["limits"] if limit["first_day"] == TODAY.isoformat())


def overspend(connected: Connected) -> tuple[int, int | None, str | None]:
    limit = today_of(connected)
    return limit["overspend_micros"], limit["confirmation_delay_micros"], limit["cause"]


def paused_there(connected: Connected, world: World, *, delay_seconds: float, served_meanwhile: int) -> int:
    """A campaign whose spend of 105 of 100 was pulled, and which the platform paused after the delay."""
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.fake.spend("11", TODAY, 90)
    connected.pull()
    later(world, 60)
    connected.fake.spend("11", TODAY, 15)
    connected.pull()
    assert world.holds(campaign) == {"brand_daily_budget"}
    later(world, delay_seconds)
    connected.fake.spend("11", TODAY, served_meanwhile)
    connected.reconcile()
    assert connected.there("11") == "paused"
    return campaign


def test_spend_served_until_the_confirmation_is_given_apart_and_the_sum_is_unchanged(
    connected: Connected, world: World
) -> None:
    paused_there(connected, world, delay_seconds=7, served_meanwhile=4)
    assert overspend(connected) == (5, 0, "last_event")
    later(world, 60)
    connected.pull()
    assert overspend(connected) == (9, 4, "last_event")
    assert today_of(connected)["after_hold_micros"] == 4
    with snapshot() as connection:
        assert confirmations.confirmed_pauses(connection, connected.brand) == (1, 7.0, 4)
    world.verify()


def test_spend_restated_long_after_the_confirmation_is_late_spend(connected: Connected, world: World) -> None:
    paused_there(connected, world, delay_seconds=7, served_meanwhile=4)
    later(world, 60)
    connected.pull()
    later(world, 2 * 3_600)
    connected.fake.campaigns["11"].spend[TODAY] += 10
    connected.pull()
    assert overspend(connected) == (19, 4, "late_spend")


def test_spend_after_a_release_is_no_confirmation_delay(connected: Connected, world: World) -> None:
    paused_there(connected, world, delay_seconds=7, served_meanwhile=0)
    later(world, 10)
    world.limit(110, brand=connected.brand)
    connected.reconcile()
    later(world, 10)
    connected.fake.spend("11", TODAY, 25)
    connected.pull()
    assert overspend(connected) == (20, 0, "last_event")


def test_events_of_the_delay_count_by_their_time(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.spend(campaign, 100)
    decided_at = clock.now()
    later(world, 5)
    connected.reconcile()
    later(world, 60)
    world.ingest(
        [
            world.event(campaign, 3, decided_at + timedelta(seconds=4)),
            world.event(campaign, 8, decided_at + timedelta(seconds=6)),
        ]
    )
    assert overspend(connected) == (11, 3, "late_spend")


def test_overspend_by_the_confirmation_delay_alone_has_it_as_its_cause(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.spend(campaign, 100)
    later(world, 5)
    world.ingest([world.event(campaign, 3, clock.now())])
    connected.reconcile()
    assert overspend(connected) == (3, 3, "confirmation_delay")


def test_report_that_was_stored_before_the_column_existed_becomes_a_table(connected: Connected) -> None:
    connected.campaign("11")
    content = on_demand(connected.brand, TODAY)["content"]
    for limit in content["limits"]:
        del limit["confirmation_delay_micros"]
    assert "confirmation_delay_micros" in as_csv(content).splitlines()[0]


def test_confirmations_are_forgotten_with_the_months_of_the_ledger(connected: Connected, world: World) -> None:
    paused_there(connected, world, delay_seconds=7, served_meanwhile=0)
    assert committed(partial(confirmations.forget, floor=clock.now() - timedelta(hours=1))) == 0
    assert committed(partial(confirmations.forget, floor=clock.now() + timedelta(hours=1))) == 1
