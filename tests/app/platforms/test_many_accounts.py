"""Many accounts that share one quota, simulated for more than a day on a driven clock.

`make bench-platforms` does so with 1,000 accounts, and measures how soon a limit that was reached is found.
"""

import pytest

from app.platforms import registry
from benchmarks.platform_day import LIMIT, MINUTE, PlatformDay, SimulatedPlatform, most_in_a_day
from domain.periods import ONE_DAY
from tests import citus
from tests.world import World, moment
from workers.actors import platforms, schedule

ACTORS = (platforms.visit_platforms, schedule.apply_dayparting)
"""The actors that the simulation runs by name."""

ACCOUNTS = 12
OPERATIONS = 15 * ACCOUNTS
STEP_MINUTES = 10
STARTS_AT = moment("2026-06-17T00:00")


@pytest.fixture
def day(world: World, monkeypatch: pytest.MonkeyPatch) -> PlatformDay:
    """Accounts with 15 operations a day each, as 1,000 accounts have within Google's basic access."""
    platform = SimulatedPlatform(ACCOUNTS, campaigns=2, operations_a_day=OPERATIONS, seed=1)
    monkeypatch.setenv("SIMULATED_LOGIN", "{}")
    monkeypatch.setitem(registry.ADAPTERS, "google_ads", platform)
    world.set_clock(STARTS_AT)
    made = PlatformDay(platform, world.url, world.set_clock)
    made.fill()
    return made


def test_accounts_stay_within_their_quota_and_pauses_go_out_within_a_minute(day: PlatformDay, world: World) -> None:
    platform, at = day.platform, STARTS_AT
    while at < STARTS_AT + 1.2 * ONE_DAY:
        at = day.pass_time(at, 1 if day.has_lost_wake else STEP_MINUTES)
    day.pass_time(at, 1)
    assert most_in_a_day(platform.used) <= OPERATIONS
    assert most_in_a_day(platform.used_but_by_pauses) <= OPERATIONS * 9 // 10
    assert len(platform.found) > ACCOUNTS / 4
    delays = day.pause_delays()
    assert len(delays) >= 2 * len(platform.found)
    assert all(delay is not None and delay <= MINUTE for delay in delays)
    reached = "SELECT count(*)::int AS count FROM brand_days WHERE spent_micros >= %s"
    assert world.one(reached, LIMIT)["count"] >= len(platform.found)
    if not citus.is_used():  # the rows of `fill`, which are SQL by hand, have no histories there
        world.verify()
