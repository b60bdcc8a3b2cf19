"""Messages that wake the actors which carry committed toggles out."""

import json
from collections.abc import Sequence
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from app import wakes
from db.repository.enforcement.changes import DecidedChange
from tests.queues import queues
from tests.world import World


def waiting(queue_name: str = "platforms") -> list[tuple[str, list[object]]]:
    """The actor and the arguments of each message on the queue."""
    messages = [json.loads(data) for data in queues().waiting(queue_name)]
    return [(message["actor_name"], message["args"]) for message in messages]


def connect(world: World, brands: Sequence[int], mode: str) -> None:
    """Binds the brands to a connected account."""
    account = world.one("INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '1') RETURNING id")
    world.execute(
        "INSERT INTO platform_connections (platform_account_id, mode, credentials) VALUES (%s, %s, 'env:LOGIN')",
        *(account["id"], mode),
    )
    for brand in brands:
        world.execute(
            "INSERT INTO platform_account_brands (brand_id, platform_account_id) VALUES (%s, %s)", brand, account["id"]
        )


def toggle(brand_id: int) -> DecidedChange:
    """The change of a campaign of the brand that is paused."""
    return DecidedChange(brand_id, [1], "active", "inactive", (), ("user_paused",), None, {})


@pytest.mark.parametrize(("mode", "wakes_it"), [("full", True), ("pause_only", True), ("shadow", True), ("off", False)])
def test_committed_toggle_wakes_the_accounts_of_its_brand(
    world: World, noon: datetime, mode: str, wakes_it: bool
) -> None:
    world.set_clock(noon)
    brand, other = world.brand(daily=100), world.brand(daily=100)
    campaign, elsewhere = world.campaign(brand), world.campaign(other)
    connect(world, [brand], mode)
    world.ingest([world.event(campaign, 50)])
    assert waiting() == []
    world.ingest([world.event(campaign, 50), world.event(elsewhere, 100)])
    assert not world.is_active(campaign)
    assert waiting() == ([("wake_platforms", [[brand]])] if wakes_it else [])


def test_many_toggles_send_one_message(world: World) -> None:
    brands = [world.brand() for _ in range(3)]
    connect(world, brands[:2], "full")
    wakes.after_toggles([toggle(brand) for brand in brands * 2])
    assert waiting() == [("wake_platforms", [brands[:2]])]


def test_without_a_connected_account_toggles_cost_no_query_while_that_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakes, "KNOWN_SECONDS", 3_600.0)
    brand = world.brand()
    wakes.after_toggles([toggle(brand)])
    world.execute("ALTER TABLE platform_account_brands RENAME TO not_to_be_read")
    with capture_logs() as lines:
        for _ in range(10):
            wakes.after_toggles([toggle(brand)])
    assert (lines, waiting()) == ([], [])
    wakes.clear_wakes()
    with capture_logs() as lines:
        wakes.after_toggles([toggle(brand)])
    assert [line["event"] for line in lines] == ["wake.failed"]


def test_decision_survives_a_queue_that_takes_no_messages(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=100)
    campaign = world.campaign(brand)
    connect(world, [brand], "full")
    with queues().refusing("platforms"):
        world.ingest([world.event(campaign, 100)])
    assert world.holds(campaign) == {"brand_daily_budget"}


def add_endpoint(world: World, message_type: str, brand: int | None) -> None:
    """Adds a webhook endpoint that gets one type of messages."""
    world.execute(
        "INSERT INTO webhook_endpoints (brand_id, url, types, secret) VALUES (%s, 'https://x.example', %s, '')",
        *(brand, [message_type]),
    )


@pytest.mark.parametrize("of_all_brands", [True, False])
def test_committed_toggles_wake_the_webhooks_of_their_brands(world: World, of_all_brands: bool) -> None:
    brand, other = world.brand(), world.brand()
    add_endpoint(world, "campaign.paused", None if of_all_brands else brand)
    wakes.after_toggles([toggle(other)])
    assert waiting("notices") == ([("deliver_webhooks", [])] if of_all_brands else [])
    wakes.after_toggles([toggle(brand), toggle(brand), toggle(other)])
    assert waiting("notices") == [("deliver_webhooks", [])]


def test_many_toggles_in_a_moment_wake_webhooks_once_more_at_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakes, "WAKE_SECONDS", 3_600.0)
    brand = world.brand()
    add_endpoint(world, "campaign.paused", None)
    for _ in range(5):
        wakes.after_toggles([toggle(brand)])
    assert waiting("notices") == [("deliver_webhooks", [])]
    assert waiting("notices.DQ") == [("deliver_webhooks", [])]


def test_toggles_wake_no_endpoint_that_gets_reports_alone(world: World) -> None:
    add_endpoint(world, "report.ready", None)
    wakes.after_toggles([toggle(world.brand())])
    assert waiting("notices") == []


def test_toggle_evaluates_alerts_once_a_moment_if_a_channel_tells_them(world: World) -> None:
    brand = world.brand()
    wakes.after_toggles([toggle(brand)])
    assert queues().waiting("notices.DQ") == []
    world.execute(
        "INSERT INTO alert_channels (name, scheme, encrypted_url, created_at, created_by)"
        " VALUES ('ops', 'mailto', '', now(), ''); INSERT INTO alert_routes (channel_id) VALUES (1)"
    )
    wakes.clear_wakes()
    for _ in range(3):
        wakes.after_toggles([toggle(brand)])
    assert [json.loads(data)["actor_name"] for data in queues().waiting("notices.DQ")] == ["send_alerts"]


@pytest.mark.parametrize("turn", [1, 2])
def test_second_test_in_a_process_finds_nothing_known_from_the_first(world: World, turn: int) -> None:
    brand = world.brand()
    add_endpoint(world, "campaign.paused", brand)
    wakes.after_toggles([toggle(brand)])
    assert waiting("notices") == [("deliver_webhooks", [])], turn
    world.execute("UPDATE webhook_endpoints SET types = '{report.ready}'")
    wakes.clear_wakes()
    wakes.after_toggles([toggle(brand)])  # learns that no endpoint gets changes, as other tests do at their end
