"""Changes that a platform refuses again and again: they are tried rarely, and not from the reserve for pauses."""

from datetime import timedelta

import pytest

from domain.periods import ONE_DAY
from domain.reconcile import LONGEST_WAIT, refused_wait
from runtime import clock
from runtime.settings import settings
from tests.app.platforms.kit import Connected
from tests.world import World

MINUTE = timedelta(minutes=1)


def booked(world: World) -> int:
    """The operations that are booked now."""
    return int(world.one("SELECT COALESCE(sum(operations), 0)::int AS used FROM platform_operations")["used"])


def test_wait_after_refusals_doubles_from_five_minutes_to_six_hours() -> None:
    waits = [refused_wait(attempts) / MINUTE for attempts in range(12)]
    assert waits == [0, 0, 0, 5, 10, 20, 40, 80, 160, 320, 360, 360]
    assert refused_wait(10_000) == LONGEST_WAIT


def test_refused_pause_is_sent_more_and_more_rarely(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.fake.refused.add("11")
    world.set_status(campaign, "paused")
    start, sent_at = clock.now(), []
    for minutes in range(0, 180, 5):
        world.set_clock(start + minutes * MINUTE)
        before = len(connected.fake.requests("mutate"))
        connected.reconcile()
        sent_at += [minutes] * (len(connected.fake.requests("mutate")) - before)
    assert sent_at == [0, 5, 10, 15, 25, 45, 85, 165]
    assert connected.row(campaign)["attempts"] == len(sent_at)


def test_new_decision_is_sent_at_once_after_refusals(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.fake.refused.add("11")
    world.set_status(campaign, "paused")
    for _ in range(5):
        connected.reconcile()
    assert len(connected.fake.requests("mutate")) == 3
    world.set_status(campaign, "enabled")
    connected.fake.refused.clear()
    world.set_status(campaign, "paused")
    connected.reconcile()
    assert connected.there("11") == "paused"


def test_retries_leave_the_reserve_to_first_pauses(
    connected: Connected, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, other = connected.campaign("11"), connected.campaign("12")
    connected.reconcile()
    connected.fake.refused.add("11")
    world.set_status(refused, "paused")
    for _ in range(4):
        connected.reconcile()
    monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY", "100")
    settings.cache_clear()
    world.execute("UPDATE platform_operations SET operations = 95")
    world.set_clock(clock.now() + ONE_DAY / 2)
    connected.reconcile()
    assert booked(world) == 95
    world.set_status(other, "paused")
    connected.reconcile()
    assert connected.there("12") == "paused"
    assert booked(world) == 96


def test_changes_that_never_reached_the_platform_are_not_booked(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.set_status(campaign, "paused")
    connected.fake.fail("search", "500")
    connected.fake.fail("token", "400")
    connected.fake.is_revoked = True
    connected.fake.token = "ya29.another-token"  # noqa: S105 - a fake one
    before = booked(world)
    connected.reconcile()
    assert booked(world) - before <= 1
    assert connected.row(campaign)["attempts"] == 0


@pytest.mark.parametrize("fault", ["500", "429"])
def test_pause_without_an_answer_waits_no_longer_than_its_account(
    connected: Connected, world: World, fault: str
) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.set_status(campaign, "paused")
    for _ in range(8):
        connected.fake.fail("mutate", fault)
        world.execute("UPDATE platform_connections SET wait_until = NULL, pauses_wait_until = NULL")
        world.set_clock(clock.now() + 5 * MINUTE)
        connected.reconcile()
    world.execute("UPDATE platform_connections SET wait_until = NULL, pauses_wait_until = NULL")
    world.set_clock(clock.now() + 5 * MINUTE)
    connected.reconcile()
    assert connected.there("11") == "paused"
