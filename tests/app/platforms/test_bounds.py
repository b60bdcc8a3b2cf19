"""The bound of an account, measured from pulled spend and confirmed pauses over weeks."""

from datetime import datetime, timedelta

from app.platforms import bounds
from app.platforms.visits import stored_connection
from db.engine import snapshot
from db.repository.platforms.bounds import bound_of
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
        found = bound_of(connection, connected.account)
        words = bounds.words_of_brand(connection, connected.brand)
    assert found == Bound(pauses=24, days=23, bound_micros=7, grows_seconds=60, settles_after_days=0)
    assert words == {connected.account: "at most $0.00 above a limit with 95 % confidence, by 24 confirmed pauses"}
    world.verify()


def test_new_account_has_not_enough_data(connected: Connected) -> None:
    connected.campaign("11")
    connected.pull()
    stored = stored_connection(connected.account)
    assert stored is not None
    assert bounds.words_of(bounds.measure(stored, clock.now()), "USD").startswith("not enough data yet")
