"""A worker that lost its claim of an account stores nothing of what it read, because another worker has read since."""

from datetime import timedelta
from typing import Any

import pytest

from app.platforms import change_authors, statuses
from db.engine import committed
from db.repository.alerts import channels
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.app.platforms.test_sending import Watched
from tests.world import World


def test_old_read_of_a_lost_claim_does_not_make_our_pause_a_persons(
    connected: Connected, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statuses, "CAMPAIGNS_A_PAGE", 2)
    campaigns = [connected.campaign(str(number)) for number in range(11, 15)]
    connected.reconcile()
    name_overriders = change_authors.name_overriders

    def take_over(*page: Any) -> None:
        """Runs after the first page, when the claim has ended: another worker pauses a campaign of the second page."""
        monkeypatch.setattr(change_authors, "name_overriders", name_overriders)
        world.execute("UPDATE platform_connections SET claimed_until = %s", clock.now() - timedelta(seconds=1))
        world.set_status(campaigns[3], "paused")
        connected.reconcile()
        assert connected.row(campaigns[3])["paused_by_us"]
        name_overriders(*page)

    monkeypatch.setattr(change_authors, "name_overriders", take_over)
    connected.reconcile()
    row = connected.row(campaigns[3])
    assert (row["confirmed"], row["paused_by_us"]) == ("paused", True)
    connected.reconcile()
    assert "platform_paused" not in world.holds(campaigns[3])
    world.set_status(campaigns[3], "enabled")
    connected.reconcile()
    assert connected.there("14") == "enabled"


@pytest.mark.parametrize("fault", ["", "429", "hang"])
def test_outcome_that_comes_after_a_lost_claim_is_not_stored(connected: Connected, world: World, fault: str) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.set_status(campaign, "paused")
    if fault:
        connected.fake.fail("mutate", fault)

    def take_over() -> None:
        world.execute("UPDATE platform_connections SET claimed_until = %s", clock.now() + timedelta(minutes=9))
        world.execute("UPDATE platform_statuses SET last_error = 'stored by another worker', may_be_applied = false")

    connected.fake.received = Watched(lambda one: one.kind == "mutate", take_over)
    connected.reconcile()
    row = connected.row(campaign)
    assert (row["last_error"], row["paused_by_us"]) == ("stored by another worker", True)


def test_channel_that_another_worker_claimed_is_not_released(world: World) -> None:
    world.execute(
        "INSERT INTO alert_channels (name, scheme, encrypted_url, claimed_until, created_by, created_at) "
        "VALUES ('ops', 'json', 'gAAAA', now(), 'ada', now())"
    )
    channel = world.one("SELECT id, claimed_until FROM alert_channels")
    earlier = channel["claimed_until"] - timedelta(seconds=1)
    committed(lambda connection: channels.end_claim(connection, channel["id"], earlier))
    assert world.one("SELECT claimed_until FROM alert_channels")["claimed_until"] == channel["claimed_until"]
    committed(lambda connection: channels.end_claim(connection, channel["id"], channel["claimed_until"]))
    assert world.one("SELECT claimed_until FROM alert_channels")["claimed_until"] is None
