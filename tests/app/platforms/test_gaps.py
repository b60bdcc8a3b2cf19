"""Gaps in the reads of an account, by a restored backup or mode `off`: what a person paused meanwhile stays paused."""

from datetime import timedelta

import pytest

from app.edits.preview import agree_to_all
from app.platforms import modes
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.reading import status_feed
from domain.periods import ONE_DAY
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.world import World, moment

AT = moment("2026-06-17T12:00")
HOUR = timedelta(hours=1)


@pytest.fixture
def connected(on_each_platform: Connected) -> Connected:
    """An account on each platform, whose two campaigns Spendgate paused at noon."""
    campaign, _ = on_each_platform.campaign("11"), on_each_platform.campaign("12")
    on_each_platform.reconcile()
    on_each_platform.world.spend(campaign, 100)
    on_each_platform.reconcile()
    on_each_platform.reconcile()
    assert {on_each_platform.there("11"), on_each_platform.there("12")} == {"paused"}
    return on_each_platform


def person_pauses(connected: Connected, after: timedelta) -> None:
    """A person enables and pauses campaign 11, while nobody reads the account."""
    connected.fake.change("11", "enabled", "anna@example.com", AT + after)
    connected.fake.change("11", "paused", "anna@example.com", AT + after + HOUR)


def released(connected: Connected, after: timedelta) -> tuple[str, str]:
    """Raises the budget and reconciles; returns the statuses there."""
    connected.world.set_clock(AT + after)
    connected.world.limit(10_000, brand=connected.brand)
    connected.world.limit(100_000, "monthly", brand=connected.brand)
    connected.world.tick()
    connected.reconcile()
    return connected.there("11"), connected.there("12")


def set_mode(connected: Connected, mode: str) -> None:
    """Changes the account's mode, as people do."""
    change = {"mode": mode}
    modes.change(connected.account, change, Edit("ada", clock.now()), agree_to_all)


def test_person_who_paused_after_the_backup_is_respected(connected: Connected, world: World) -> None:
    person_pauses(connected, HOUR)
    committed(status_feed.begin_epoch)
    assert released(connected, 3 * HOUR) == ("paused", "enabled")
    theirs = world.one("SELECT id FROM campaigns WHERE external_id = '11'")["id"]
    assert world.holds(theirs) == {"platform_paused"}
    world.verify()


def test_person_who_paused_while_the_mode_was_off_is_respected(connected: Connected) -> None:
    set_mode(connected, "off")
    person_pauses(connected, ONE_DAY)
    connected.world.set_clock(AT + 2 * ONE_DAY)
    set_mode(connected, "full")
    assert released(connected, 2 * ONE_DAY) == ("paused", "enabled")


def test_nothing_is_released_after_a_gap_until_the_platform_tells(connected: Connected) -> None:
    committed(status_feed.begin_epoch)
    for _ in range(2):
        connected.fake.fail("search", "", "500", "500", "500")
        assert released(connected, HOUR) == ("paused", "paused")
        connected.fake.faults.clear()
    assert released(connected, 2 * HOUR) == ("enabled", "enabled")


def test_gap_of_which_the_platform_tells_no_more_leaves_all_paused(connected: Connected) -> None:
    set_mode(connected, "off")
    set_mode(connected, "full")
    assert released(connected, 29 * ONE_DAY) == ("paused", "paused")


def test_same_epoch_needs_no_question(connected: Connected, world: World) -> None:
    assert world.rows("SELECT FROM platform_connections WHERE statuses_epoch IS NOT NULL")
    connected.fake.activities.clear()
    assert released(connected, 3 * HOUR) == ("enabled", "enabled")
