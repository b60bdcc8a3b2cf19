"""`spendgate alerts`: the list in 80 columns and as JSON, acknowledging, muting, channels and routes."""

from collections.abc import Iterator

import pytest

from app.alerts.evaluate import evaluate
from tests.cli.conftest import Spendgate
from tests.fake_channels.mail import MailServer, mail_server
from tests.world import UNIT, World


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server."""
    with mail_server() as server:
        yield server


@pytest.fixture
def brand(world: World) -> int:
    """A brand with an open alert."""
    made = world.brand(name="Hudson", daily=100 * UNIT)
    world.spend(world.campaign(made), 80 * UNIT)
    evaluate()
    return made


def test_nothing_needs_you_without_alerts(world: World, spendgate: Spendgate) -> None:
    assert spendgate("alerts").out.strip() == "No open alerts."
    assert spendgate("alerts", "--json").data == []


def test_alerts_are_listed_acknowledged_and_taken_back(world: World, brand: int, spendgate: Spendgate) -> None:
    listed = spendgate("alerts").out
    assert "1  Hudson has spent 80 % of today's budget: $80.00 of $100.00." in listed
    assert max(map(len, listed.splitlines())) <= 80
    (row,) = spendgate("alerts", "--json").data
    assert (row["kind"], row["threshold"], row["brand_id"]) == ("budget_threshold", 80, brand)
    spendgate("alerts", "ack", "1")
    assert "No open alerts.\n1 acknowledged or muted; --all lists them" in spendgate("alerts").out
    assert "1 acknowledged or muted" in spendgate("alerts", "--brand", str(brand)).out
    assert spendgate("alerts", "--brand", str(world.brand())).out.strip() == "No open alerts."
    assert "acknowledged by cli:" in " ".join(spendgate("alerts", "--all").out.split())
    spendgate("alerts", "ack", "1", "--undo")
    assert "Hudson" in spendgate("alerts").out
    assert spendgate("alerts", "ack", "9").code == 2


def test_mute_names_its_alerts_and_its_duration(world: World, brand: int, spendgate: Spendgate) -> None:
    assert spendgate("alerts", "mute", "--for", "8h").code == 2
    assert spendgate("alerts", "mute", "--for", "8 hours", "--brand", str(brand)).code == 2
    assert "mute 1 is set" in spendgate("alerts", "mute", "--for", "8h", "--brand", str(brand)).out
    assert "No open alerts." in spendgate("alerts").out
    assert spendgate("alerts", "mutes", "--json").data[0]["brand"] == "Hudson"
    spendgate("alerts", "unmute", "1")
    assert "Hudson" in spendgate("alerts").out


def test_thresholds_of_a_brand_are_set(world: World, brand: int, spendgate: Spendgate) -> None:
    said = spendgate("alerts", "thresholds", str(brand), "90", "50").out
    assert f"brand {brand} has alerts at 50 %, 90 %" in said
    assert spendgate("alerts", "thresholds", str(brand), "0").code == 2


def test_channel_is_added_from_standard_input_tested_routed_and_removed(
    world: World, brand: int, spendgate: Spendgate, mail: MailServer
) -> None:
    added = spendgate("alerts", "channel", "add", "ops", "--url-stdin", stdin=f"{mail.url}\n")
    assert "channel 1 is added" in added.out
    assert "delivered in" in spendgate("alerts", "channel", "test", "1").out
    mail.refuses = True
    assert spendgate("alerts", "channel", "test", "1").code == 1
    listed = spendgate("alerts", "channel", "list", "--json")
    assert listed.data[0]["name"] == "ops"
    assert "ops@example.com" not in listed.out
    outcomes = [row["is_delivered"] for row in spendgate("alerts", "channel", "attempts", "1", "--json").data]
    assert outcomes == [False, True]
    spendgate("alerts", "route", "set", "1", "--kind", "overspend", "--when", "digest")
    timings = [(row["kind"], row["timing"]) for row in spendgate("alerts", "route", "list", "--json").data]
    assert timings == [(None, "default"), ("overspend", "digest")]
    spendgate("alerts", "route", "remove", "2")
    spendgate("alerts", "channel", "remove", "1")
    assert "No channel yet" in spendgate("alerts", "channel", "list").out
    assert spendgate("alerts", "channel", "test", "1").code == 2


def test_forbidden_url_is_refused_without_being_repeated(world: World, spendgate: Spendgate) -> None:
    refused = spendgate("alerts", "channel", "add", "ops", "--url-stdin", stdin="json://secret.example.com\n")
    assert refused.code == 2
    assert "secret.example.com" not in f"{refused.out}{refused.err}"
