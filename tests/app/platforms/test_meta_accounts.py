"""An account of Meta reconciled and read through the actors' use cases, against the fake platform."""

from datetime import date, datetime, timedelta

import pytest

from cli.fake_platforms.state import FakePlatform
from tests.app.platforms.kit import Connected
from tests.app.platforms.test_sending import Watched
from tests.world import World, moment

TODAY = date(2026, 6, 17)


@pytest.fixture
def connected(world: World, fake: FakePlatform, logins: dict[str, str], noon: datetime) -> Connected:
    """A brand of 100 micros a day in an account of Meta that is connected with mode `full`, at a stopped noon."""
    world.set_clock(noon)
    return Connected(world, fake, logins["meta_ads"], platform="meta_ads")


def test_pause_counts_as_confirmed_once_meta_has_processed_it(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.spend(campaign, 100)
    connected.fake.in_process.add("11")
    connected.reconcile()
    assert connected.there("11") == "paused"
    connected.reconcile()
    row = connected.row(campaign)
    assert (row["confirmed"], row["unconfirmed_since"] is None) == ("unknown", False)
    connected.fake.in_process.clear()
    connected.reconcile()
    row = connected.row(campaign)
    assert (row["confirmed"], row["unconfirmed_since"], row["paused_by_us"]) == ("paused", None, True)
    assert len(connected.fake.requests("mutate")) == 1
    assert world.holds(campaign) == {"brand_daily_budget"}


def test_change_of_a_batch_without_an_answer_is_read_before_it_is_sent_again(
    connected: Connected, world: World
) -> None:
    lost, done = connected.campaign("11"), connected.campaign("12")
    connected.reconcile()
    connected.fake.unanswered.add("11")
    world.spend(done, 100)
    connected.reconcile()
    row = connected.row(lost)
    assert (row["may_be_applied"], connected.row(done)["confirmed"]) == (True, "paused")
    connected.reconcile()
    row = connected.row(lost)
    assert (row["confirmed"], row["paused_by_us"], row["may_be_applied"]) == ("paused", True, False)
    assert len(connected.fake.requests("mutate")) == 1
    assert "platform_paused" not in world.holds(lost)


def test_limit_within_a_batch_stops_further_requests_for_as_long_as_meta_says(
    connected: Connected, world: World
) -> None:
    limited, done = connected.campaign("11"), connected.campaign("12")
    connected.reconcile()
    connected.fake.limited.add("11")
    world.spend(done, 100)
    connected.reconcile()
    assert (connected.there("11"), connected.there("12")) == ("enabled", "paused")
    assert connected.row(limited)["paused_by_us"] is False
    assert connected.connection()["pauses_wait_until"] == moment("2026-06-17T12:00") + timedelta(seconds=300)
    connected.reconcile()
    assert len(connected.fake.requests("mutate")) == 1


@pytest.mark.parametrize("fault", ["apply_then_hang", "apply_then_500", "hang", "500"])
def test_batch_without_an_answer_is_read_before_it_is_sent_again(
    connected: Connected, world: World, fault: str
) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.spend(campaign, 100)
    connected.fake.fail("mutate", fault)
    connected.reconcile()
    assert connected.row(campaign)["may_be_applied"]
    connected.reconcile()
    assert connected.there("11") == "paused"
    assert len(connected.fake.requests("mutate")) == (1 if fault.startswith("apply") else 2)
    assert connected.row(campaign)["paused_by_us"]


def test_spend_is_counted_and_a_day_that_vanishes_becomes_zero(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 12_340_000)
    connected.pull()
    assert connected.spent(campaign, TODAY) == 12_340_000
    assert world.holds(campaign) == {"brand_daily_budget"}
    world.set_clock(moment("2026-06-17T12:10"))
    connected.fake.campaigns["11"].spend.clear()
    connected.pull()
    assert connected.spent(campaign, TODAY) == 0
    assert world.is_active(campaign)
    world.verify()


def test_revoked_token_is_named_and_counts_nothing(connected: Connected, fake: FakePlatform) -> None:
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 5)
    fake.is_revoked = True
    connected.pull()
    connected.reconcile()
    error = connected.connection()["last_error"]
    assert "error 190" in error
    assert fake.meta_token not in error
    assert connected.spent(campaign, TODAY) == 0


def test_use_of_the_limits_that_meta_tells_is_stored_and_stops_reads(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.fake.usage_percent = 40
    connected.reconcile()
    assert connected.connection()["usage_percent"] == 40
    connected.fake.usage_percent = 95
    connected.pull()
    stored = connected.connection()
    assert (stored["usage_percent"], stored["usage_at"]) == (95, moment("2026-06-17T12:00"))
    reads = len(connected.fake.requests("search"))
    world.spend(campaign, 100)
    connected.reconcile()
    assert connected.there("11") == "paused"
    assert len(connected.fake.requests("search")) == reads


def test_answer_to_changes_tells_the_use_of_the_limits_too(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.spend(campaign, 100)
    connected.fake.received = Watched(lambda one: one.kind == "mutate", lambda: set_usage(connected.fake, 60))
    connected.reconcile()
    assert connected.connection()["usage_percent"] == 60


def set_usage(fake: FakePlatform, percent: int) -> None:
    fake.usage_percent = percent
