"""The bound of an account, measured from pulled spend and confirmed pauses over weeks."""

import csv
from datetime import datetime, timedelta

from app.bound_words import words_of
from app.platforms import bounds
from app.platforms.visits import stored_connection
from app.reports.formats import as_csv
from app.reports.generate import on_demand
from db.engine import snapshot
from db.repository.platforms.bounds import bounds_of_accounts
from domain.periods import ONE_DAY
from domain.reporting.bounds import Bound
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.world import World

DAYS = 24


def live_a_day(connected: Connected, world: World, noon: datetime, served_meanwhile: int) -> None:
    """One day on which the campaign's spend passes its limit by 5, and the platform serves until it is paused."""
    world.set_clock(noon)
    world.tick()
    connected.reconcile()
    day = noon.date()
    connected.fake.spend("11", day, 105)
    connected.pull()
    world.set_clock(noon + timedelta(seconds=8))
    connected.fake.spend("11", day, served_meanwhile)
    connected.reconcile()
    world.set_clock(noon + timedelta(seconds=68))
    connected.pull()


def test_bound_of_weeks_is_the_excess_and_what_was_served_until_the_confirmation(
    connected: Connected, world: World
) -> None:
    connected.campaign("11")
    connected.reconcile()
    start = clock.now()
    for number in range(DAYS):
        live_a_day(connected, world, start + number * ONE_DAY, served_meanwhile=number % 3)
    world.set_clock(start + DAYS * ONE_DAY)
    connected.pull()
    with snapshot() as connection:
        found = bounds_of_accounts(connection, [connected.account])[connected.account]
    assert found == Bound(pauses=24, days=23, bound_micros=7, grows_seconds=60, settles_after_days=0)
    content = on_demand(connected.brand, clock.now().date())["content"]
    assert (content["bounds"][0]["bound_micros"], content["bounds"][0]["account"]) == (7, connected.fake.account_id)
    rows = [row for row in csv.DictReader(as_csv(content).splitlines()) if row["kind"] == "bound"]
    assert [(row["account"], row["bound_micros"], row["seconds"]) for row in rows] == [
        (f"Google Ads {connected.fake.account_id}", "7", "60")
    ]
    world.verify()


def test_new_account_has_not_enough_data(connected: Connected) -> None:
    connected.campaign("11")
    connected.pull()
    stored = stored_connection(connected.account)
    assert stored is not None
    assert words_of(bounds.measure(stored, clock.now()), "USD").startswith("not enough data yet")
