"""Holds and alerts name who changed a campaign on the platform, on each platform."""

from collections import deque
from datetime import timedelta

import pytest

from db.engine import transaction
from db.repository.access.audit import Edit
from db.repository.catalog import set_holds
from domain.errors import InvalidValue
from tests.app.platforms.kit import Connected
from tests.world import World, moment

AT = moment("2026-06-17T12:00")


@pytest.fixture
def connected(on_each_platform: Connected) -> Connected:
    """A connected account on each platform, in mode `full`, whose statuses were read."""
    on_each_platform.campaign("11")
    on_each_platform.reconcile()
    on_each_platform.world.set_clock(AT + timedelta(minutes=5))
    return on_each_platform


def questions(connected: Connected) -> int:
    """The number of questions for changes."""
    found = [f"{one.path} {one.body}" for one in connected.fake.requests("search")]
    return len([text for text in found if "change_event" in text or "/activities" in text])


def changed_by(world: World) -> list[str]:
    entries = world.rows("SELECT changed_by FROM audit_entries WHERE changed_by LIKE 'platform:%%' ORDER BY id")
    return [entry["changed_by"] for entry in entries]


def test_hold_names_who_paused_and_who_enabled(connected: Connected, world: World) -> None:
    connected.fake.change("11", "paused", "anna@example.com", AT + timedelta(minutes=1))
    connected.reconcile()
    world.set_clock(AT + timedelta(minutes=10))
    connected.fake.change("11", "enabled", "ben\n\x1b[31m@example.com", AT + timedelta(minutes=6))
    connected.reconcile()
    connected.reconcile()
    named = f"platform:{connected.platform}"
    assert changed_by(world) == [f"{named}:anna@example.com", f"{named}:ben[31m@example.com"]
    assert questions(connected) == 2


def test_change_that_the_platform_does_not_tell_has_no_name(connected: Connected, world: World) -> None:
    connected.set_there("11", "paused")
    connected.reconcile()
    assert changed_by(world) == [f"platform:{connected.platform}"]


@pytest.mark.parametrize(
    ("mode", "is_refused"), [("full", True), ("pause_only", True), ("shadow", False), ("off", False)]
)
def test_hold_that_follows_the_platform_cannot_be_set_by_hand(
    connected: Connected, world: World, mode: str, is_refused: bool
) -> None:
    (campaign,) = (row["id"] for row in world.rows("SELECT id FROM campaigns"))
    world.execute("UPDATE platform_connections SET mode = %s", mode)
    edit = Edit("test", AT)
    with transaction() as connection:
        if is_refused:
            with pytest.raises(InvalidValue, match="pause the campaign in Spendgate"):
                set_holds.set_hold(connection, campaign, "platform_paused", edit)
        else:
            set_holds.set_hold(connection, campaign, "platform_paused", edit)
            set_holds.lift_hold(connection, campaign, "platform_paused", edit)


def test_failed_question_delays_no_hold(connected: Connected, world: World) -> None:
    connected.set_there("11", "paused")
    connected.fake.faults["search"] = deque(["", "500"])
    connected.reconcile()
    assert changed_by(world) == [f"platform:{connected.platform}"]
    assert connected.connection()["last_error"] is None


def test_alert_names_who_keeps_enabling_the_campaign(connected: Connected, world: World) -> None:
    campaign = connected.world.one("SELECT id FROM campaigns")["id"]
    world.spend(campaign, 100)
    for minute in range(5, 15):
        world.set_clock(AT + timedelta(minutes=minute))
        connected.reconcile()
        connected.fake.change("11", "enabled", "robot@example.com", AT + timedelta(minutes=minute, seconds=1))
    assert connected.row(campaign)["last_error"].endswith("keeps enabling it on the platform: robot@example.com")
    assert questions(connected) == 1
