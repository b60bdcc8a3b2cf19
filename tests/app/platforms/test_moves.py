"""Moves of connected campaigns to another brand: the platform follows the old campaign until the day of the move."""

from datetime import date, timedelta

import pytest

from app.alerts.evaluate import evaluate
from app.edits import moves
from app.edits.moves import Move
from db.engine import transaction
from db.repository.access.audit import Edit
from db.repository.platforms import connections, seen
from db.repository.reading import serving
from domain.periods import ONE_DAY
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.world import World

TODAY = date(2026, 6, 17)


def moved(connected: Connected, campaign: int, from_day: date | None = None) -> int:
    """Moves the campaign to a new brand of 1,000 micros a day; returns the successor's id."""
    brand = connected.world.brand(zone="UTC", daily=1_000, name="Other")
    return moves.move(Move(campaign, brand, from_day), Edit("ada", clock.now())).new_campaign_id


def due(connected: Connected) -> list[int]:
    """The accounts to reconcile at once."""
    with transaction() as connection:
        at = clock.now()
        return connections.due_for_changes(connection, connected.platform, at)


def unconfirmed_pauses() -> int:
    """The pauses that no platform confirmed, as people see them."""
    with transaction() as connection:
        return sum(one.unconfirmed_pauses for one in seen.tally(connection, clock.now()))


@pytest.mark.parametrize("mode", ["pause_only", "full"])
def test_campaign_that_moves_tomorrow_serves_there_until_then(connected: Connected, world: World, mode: str) -> None:
    world.execute("UPDATE platform_connections SET mode = %s", mode)
    campaign = connected.campaign("11")
    world.spend(campaign, 1)
    connected.reconcile()
    successor = moved(connected, campaign)
    assert world.holds(successor) == {"flight_not_started"}
    for hours in (0, 6, 12, 18):
        world.set_clock(clock.now() + timedelta(hours=hours))
        world.tick()
        connected.reconcile()
        evaluate()
        assert (connected.there("11"), unconfirmed_pauses(), due(connected)) == ("enabled", 0, [])
    assert connected.fake.requests("mutate") == []
    assert not world.is_active(campaign)
    assert world.is_active(successor)
    assert world.rows("SELECT FROM alerts WHERE kind = 'unconfirmed_pause'") == []


def test_old_campaign_is_paused_there_if_it_must_stop_before_the_move(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    world.spend(campaign, 1)
    connected.reconcile()
    successor = moved(connected, campaign)
    world.spend(campaign, 99)
    assert not world.is_active(campaign)
    connected.reconcile()
    assert connected.there("11") == "paused"
    assert world.holds(successor) == {"flight_not_started"}
    world.set_clock(clock.now() + ONE_DAY)
    world.tick()
    connected.reconcile()
    assert connected.there("11") == "enabled"
    assert world.is_active(successor)


def test_campaign_that_we_paused_is_enabled_for_its_new_brand(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    world.limit(0, brand=connected.brand)
    connected.reconcile()
    assert connected.there("11") == "paused"
    successor = moved(connected, campaign, TODAY)
    connected.reconcile()
    assert connected.there("11") == "enabled"
    assert world.holds(successor) == set()


def test_campaign_that_a_person_paused_stays_paused_in_its_new_brand(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.set_there("11", "paused")
    connected.reconcile()
    successor = moved(connected, campaign, TODAY + ONE_DAY)
    connected.reconcile()
    assert (connected.there("11"), world.holds(successor)) == ("paused", {"flight_not_started", "platform_paused"})
    connected.set_there("11", "enabled")
    connected.reconcile()
    assert (connected.there("11"), world.holds(successor)) == ("enabled", {"flight_not_started"})


def test_archived_campaign_of_a_move_is_never_due_and_raises_no_alert(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    moved(connected, campaign, TODAY)
    connected.reconcile()
    world.set_clock(clock.now() + timedelta(minutes=10))
    evaluate()
    assert due(connected) == []
    assert world.rows("SELECT FROM alerts WHERE kind = 'unconfirmed_pause'") == []
    assert [row["campaign_id"] for row in world.rows("SELECT campaign_id FROM platform_statuses")] != [campaign]


def test_serving_names_the_external_id_of_a_moved_campaign_until_it_moves(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    world.spend(campaign, 1)
    moved(connected, campaign)
    with transaction() as connection:
        found = [(row[0], row[3]) for row in connection.execute(serving.ACTIVE, {"readable": ["UTC"]})]
    assert found == [(campaign, "11")]
