"""An account reconciled through the actor's use case, against the fake platform."""

from datetime import date, datetime, timedelta

import pytest

from app.explanations import explained
from app.platforms import statuses
from cli.fake_platforms.state import FakePlatform
from db.engine import transaction
from db.repository.platforms import connections
from domain.reconcile import Action
from runtime import clock
from runtime.settings import settings
from tests.app.platforms.kit import Connected
from tests.world import World, moment

TODAY = date(2026, 6, 17)


def exhaust(connected: Connected, campaign: int) -> None:
    """Spends the brand's budget of today."""
    connected.world.spend(campaign, 100)
    assert not connected.world.is_active(campaign)


def due(connected: Connected, at: datetime) -> list[int]:
    """The accounts to reconcile at once."""
    with transaction() as connection:
        return connections.due_for_changes(connection, "google_ads", at)


def test_decisions_are_carried_out_and_confirmed(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    assert connected.row(campaign)["confirmed"] == "enabled"
    assert connected.fake.requests("mutate") == []
    exhaust(connected, campaign)
    connected.reconcile()
    assert connected.there("11") == "paused"
    row = connected.row(campaign)
    assert (row["desired"], row["confirmed"], row["paused_by_us"], row["unconfirmed_since"]) == (
        *("inactive", "paused", True),
        None,
    )
    world.limit(1_000, brand=connected.brand)
    connected.reconcile()
    assert connected.there("11") == "enabled"
    assert not connected.row(campaign)["paused_by_us"]
    assert world.holds(campaign) == set()


def test_pauses_are_sent_before_releases(connected: Connected, world: World) -> None:
    first, second = connected.campaign("11"), connected.campaign("12")
    world.set_status(first, "paused")
    connected.reconcile()
    world.set_status(first, "enabled")
    world.set_status(second, "paused")
    connected.reconcile()
    sent = [one.body["operations"][0]["update"]["status"] for one in connected.fake.requests("mutate")]
    assert sent == ["PAUSED", "PAUSED", "ENABLED"]


def test_a_campaign_that_a_person_paused_there_is_held_until_it_is_enabled_there(
    connected: Connected, world: World
) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.set_there("11", "paused")
    connected.reconcile()
    assert world.holds(campaign) == {"platform_paused"}
    exhaust(connected, campaign)
    world.limit(1_000, brand=connected.brand)
    connected.reconcile()
    assert connected.there("11") == "paused"
    assert connected.fake.requests("mutate") == []
    connected.set_there("11", "enabled")
    connected.reconcile()
    assert world.holds(campaign) == set()
    causes = [row["cause"] for row in world.rows("SELECT cause FROM status_changes ORDER BY id")]
    assert causes == ["platform", "platform"]
    world.verify()


def test_a_campaign_enabled_there_while_held_is_paused_three_times_an_hour(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    exhaust(connected, campaign)
    at = moment("2026-06-17T12:00")
    for minute in range(10):
        world.set_clock(at + timedelta(minutes=minute))
        connected.reconcile()
        if minute < 4:
            assert connected.there("11") == "paused"
        connected.set_there("11", "enabled")
    assert len(connected.fake.requests("mutate")) == 4
    assert "keeps enabling" in connected.row(campaign)["last_error"]
    assert due(connected, at + timedelta(minutes=10)) == []
    assert due(connected, at + timedelta(minutes=62)) == [connected.account]
    world.set_clock(at + timedelta(minutes=62))
    connected.reconcile()
    assert connected.there("11") == "paused"


@pytest.mark.parametrize("fault", ["apply_then_hang", "apply_then_500", "hang", "500"])
def test_a_change_without_an_answer_is_read_before_anything_is_sent_again(
    connected: Connected, world: World, fault: str
) -> None:
    campaign = connected.campaign("11")
    exhaust(connected, campaign)
    connected.fake.fail("mutate", fault)
    connected.reconcile()
    row = connected.row(campaign)
    assert (row["sent"], row["may_be_applied"], row["confirmed"]) == ("paused", True, "enabled")
    connected.reconcile()
    was_applied = fault.startswith("apply")
    assert len(connected.fake.requests("mutate")) == (1 if was_applied else 2)
    kinds = [one.kind for one in connected.fake.received if one.kind != "token"]
    assert kinds == ["search", "mutate", "search"] + ([] if was_applied else ["mutate"])
    row = connected.row(campaign)
    assert (row["confirmed"], row["paused_by_us"], row["may_be_applied"]) == ("paused", True, False)
    assert connected.there("11") == "paused"
    assert world.holds(campaign) == {"brand_daily_budget"}


def test_one_refused_campaign_stops_no_other(connected: Connected, world: World) -> None:
    bad, good = connected.campaign("11"), connected.campaign("12")
    connected.fake.refused.add("11")
    exhaust(connected, good)
    connected.reconcile()
    assert connected.there("12") == "paused"
    row = connected.row(bad)
    assert (row["confirmed"], row["paused_by_us"], row["last_error"]) == (
        *("enabled", False),
        "Google Ads refused it: Resource was not found.",
    )


@pytest.mark.parametrize(("mode", "pauses"), [("shadow", False), ("pause_only", True)])
def test_modes_limit_what_is_changed(connected: Connected, world: World, mode: str, pauses: bool) -> None:
    world.execute("UPDATE platform_connections SET mode = %s", mode)
    campaign, other = connected.campaign("11"), connected.campaign("12", status="paused")
    exhaust(connected, campaign)
    connected.reconcile()
    assert connected.there("11") == ("paused" if pauses else "enabled")
    assert ("platform_paused" in world.holds(other)) == pauses
    world.limit(1_000, brand=connected.brand)
    connected.reconcile()
    assert connected.there("11") == ("paused" if pauses else "enabled")
    assert world.is_active(campaign)


def test_plan_says_what_full_mode_would_do_and_changes_nothing(connected: Connected, world: World) -> None:
    world.execute("UPDATE platform_connections SET mode = 'shadow'")
    campaign = connected.campaign("11")
    exhaust(connected, campaign)
    (planned,) = statuses.plan(connected.account)
    assert (planned.campaign_id, planned.desired, planned.confirmed) == (campaign, "inactive", "enabled")
    assert planned.action is Action.PAUSE
    assert connected.fake.requests("mutate") == []
    assert world.rows("SELECT * FROM platform_statuses") == []


def test_pauses_go_out_of_the_reserve_when_reads_have_used_the_quota(
    connected: Connected, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    exhaust(connected, campaign)
    monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY", "10")
    settings.cache_clear()
    world.execute("UPDATE platform_operations SET operations = 9")
    connected.reconcile()
    assert connected.there("11") == "paused"
    assert world.one("SELECT sum(operations)::int AS used FROM platform_operations")["used"] == 10
    assert len(connected.fake.requests("search")) == 1


def test_pauses_are_sent_while_reads_must_wait_eleven_hours(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.fake.fail("search", "429")
    connected.reconcile()
    assert connected.connection()["wait_until"] == moment("2026-06-17T12:00") + timedelta(seconds=40_591)
    exhaust(connected, campaign)
    connected.reconcile()
    assert connected.there("11") == "paused"
    assert len(connected.fake.requests("search")) == 2


def test_expired_login_is_named_and_changes_nothing(connected: Connected, fake: FakePlatform) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    fake.is_revoked = True
    fake.token = "ya29.another-token"  # noqa: S105 - a fake one
    exhaust(connected, campaign)
    connected.reconcile()
    assert "expired or revoked" in connected.connection()["last_error"]
    assert connected.row(campaign)["unconfirmed_since"] is not None


def test_explain_says_what_the_platform_confirmed_and_how_late(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    exhaust(connected, campaign)
    world.execute("UPDATE platform_connections SET mode = 'shadow'")
    connected.reconcile()
    assert words_of(campaign) == "paused here at 12:00; still enabled on Google Ads, where mode shadow changes nothing"
    world.execute("UPDATE platform_connections SET mode = 'full'")
    world.set_clock(moment("2026-06-17T12:00:42"))
    connected.reconcile()
    assert words_of(campaign) == "paused here at 12:00; Google Ads confirmed after 42 s"


def words_of(campaign: int) -> str:
    with transaction() as connection:
        explanation = explained(connection, campaign, clock.now()).fields()
    return str(explanation["on_platform"]["words"])


def confirmations(world: World) -> list[tuple[str, int, int]]:
    """Each stored confirmation: the desired status, whether it is of the newest change, and its delay in seconds."""
    found = world.rows(
        "SELECT desired, status_change_id, extract(epoch FROM confirmed_at - decided_at)::int AS delay"
        " FROM platform_confirmations ORDER BY status_change_id"
    )
    return [(row["desired"], row["status_change_id"], row["delay"]) for row in found]


def test_each_status_change_is_confirmed_once_in_the_history(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    assert confirmations(world) == []
    exhaust(connected, campaign)
    world.set_clock(clock.now() + timedelta(seconds=7))
    connected.reconcile()
    connected.set_there("11", "enabled")
    connected.reconcile()
    assert connected.there("11") == "paused"
    world.set_clock(clock.now() + timedelta(seconds=60))
    world.limit(1_000, brand=connected.brand)
    world.set_clock(clock.now() + timedelta(seconds=3))
    connected.reconcile()
    assert [(desired, delay) for desired, _, delay in confirmations(world)] == [("inactive", 7), ("active", 3)]


def test_pause_applied_without_an_answer_is_confirmed_by_the_next_read(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    exhaust(connected, campaign)
    connected.fake.fail("mutate", "apply_then_500")
    connected.reconcile()
    assert confirmations(world) == []
    world.set_clock(clock.now() + timedelta(seconds=9))
    connected.reconcile()
    assert [(desired, delay) for desired, _, delay in confirmations(world)] == [("inactive", 9)]


def test_status_that_the_platform_had_at_the_first_read_is_no_confirmation(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11", status="paused")
    world.set_status(campaign, "paused")
    connected.reconcile()
    assert connected.row(campaign)["confirmed"] == "paused"
    assert confirmations(world) == []
