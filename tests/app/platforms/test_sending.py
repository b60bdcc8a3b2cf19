"""Requests that change statuses: their order, what follows a refusal, and decisions that come while they are sent."""

from collections.abc import Callable

import pytest

from app.platforms import statuses
from app.platforms.registry import ADAPTERS
from cli.fake_platforms.state import Received
from db.engine import transaction
from db.repository.platforms import connections
from tests.app.platforms.kit import Connected
from tests.world import World, moment

AT = moment("2026-06-17T12:00")


class Watched(list[Received]):
    """Received requests; calls `then` once with the first that `is_awaited`."""

    def __init__(self, is_awaited: Callable[[Received], bool], then: Callable[[], object]) -> None:
        super().__init__()
        self._is_awaited, self._then = is_awaited, [then]

    def append(self, one: Received) -> None:
        super().append(one)
        if self._then and self._is_awaited(one):
            self._then.pop()()


def sent(connected: Connected) -> list[tuple[str, int]]:
    """The status and the number of campaigns of each change request, in order."""
    operations = [one.body["operations"] for one in connected.fake.requests("mutate")]
    return [(some[0]["update"]["status"], len(some)) for some in operations]


def is_release(one: Received) -> bool:
    return one.kind == "mutate" and one.body["operations"][0]["update"]["status"] == "ENABLED"


@pytest.fixture
def two_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes one request change two campaigns at most, and one transaction compare two."""
    monkeypatch.setattr(ADAPTERS["google_ads"], "changes_a_request", 2, raising=False)
    monkeypatch.setattr(statuses, "CAMPAIGNS_A_PAGE", 2)


@pytest.mark.usefixtures("two_a_request")
def test_pause_decided_while_releases_are_sent_goes_next(connected: Connected, world: World) -> None:
    campaigns = [connected.campaign(str(number)) for number in range(11, 18)]
    other_brand = world.brand(zone="UTC", daily=100)
    connected.bind(other_brand)
    other = connected.campaign("99", brand=other_brand)
    world.spend(campaigns[0], 100)
    connected.reconcile()
    assert sent(connected) == [("PAUSED", 2)] * 3 + [("PAUSED", 1)]
    world.limit(1_000, brand=connected.brand)
    connected.fake.received = Watched(is_release, lambda: world.spend(other, 100))
    connected.reconcile()
    assert sent(connected) == [("ENABLED", 2), ("PAUSED", 1), ("ENABLED", 2), ("ENABLED", 2), ("ENABLED", 1)]
    assert {one.status for one in connected.fake.campaigns.values() if one.id != "99"} == {"enabled"}
    assert connected.there("99") == "paused"


@pytest.mark.usefixtures("two_a_request")
def test_refused_campaigns_do_not_keep_others_from_being_sent(connected: Connected, world: World) -> None:
    campaigns = [connected.campaign(str(number)) for number in range(11, 18)]
    connected.fake.refused |= {"11", "12", "14"}
    world.spend(campaigns[0], 100)
    connected.reconcile()
    assert sent(connected) == [("PAUSED", 2)] * 3 + [("PAUSED", 1)]
    there = {one.id: one.status for one in connected.fake.campaigns.values()}
    assert {number for number, status in there.items() if status == "enabled"} == connected.fake.refused


def test_decision_that_comes_while_another_worker_has_the_account_follows_at_once(
    connected: Connected, world: World
) -> None:
    first, second = connected.campaign("11"), connected.campaign("12")
    connected.reconcile()
    world.set_status(first, "paused")
    connected.fake.fail("mutate", "apply_then_500")

    def decide() -> None:
        world.set_status(second, "paused")
        connected.reconcile()  # as another worker, which finds the account claimed

    connected.fake.received = Watched(lambda one: one.kind == "mutate", decide)
    connected.reconcile()
    assert (connected.there("11"), connected.there("12")) == ("paused", "paused")
    assert (connected.row(first)["confirmed"], connected.row(second)["confirmed"]) == ("paused", "paused")
    assert connected.connection()["woken_at"] is None


def test_wake_refused_by_the_claim_of_a_dead_worker_makes_the_account_due(connected: Connected, world: World) -> None:
    connected.campaign("11")
    connected.reconcile()
    world.execute("UPDATE platform_connections SET claimed_until = %s", moment("2026-06-17T12:00:07"))
    connected.reconcile()
    for at, due in (("2026-06-17T12:00:06", []), ("2026-06-17T12:00:07", [connected.account])):
        with transaction() as connection:
            assert connections.due_for_changes(connection, "google_ads", moment(at)) == due


def test_worker_whose_claim_was_taken_over_sends_nothing_more(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.set_status(campaign, "paused")
    taken_until = moment("2026-06-17T12:01")
    connected.fake.received = Watched(
        lambda one: one.kind == "search",
        lambda: world.execute("UPDATE platform_connections SET claimed_until = %s", taken_until),
    )
    connected.reconcile()
    assert sent(connected) == []
    assert connected.connection()["claimed_until"] == taken_until


def test_releases_wait_for_a_read_and_pauses_do_not(connected: Connected, world: World) -> None:
    ours, other = connected.campaign("11"), connected.campaign("12")
    world.set_status(ours, "paused")
    connected.reconcile()
    world.set_status(ours, "enabled")
    world.set_status(other, "paused")
    connected.fake.fail("search", "500")
    connected.reconcile()
    assert (connected.there("11"), connected.there("12")) == ("paused", "paused")
    connected.reconcile()
    assert connected.there("11") == "enabled"


@pytest.mark.usefixtures("two_a_request")
def test_visit_without_news_writes_no_status(connected: Connected, world: World) -> None:
    campaigns = [connected.campaign(str(number)) for number in range(11, 16)]
    world.set_status(campaigns[0], "paused")
    connected.reconcile()
    versions = world.rows("SELECT campaign_id, xmin, ctid FROM platform_statuses ORDER BY 1")
    assert len(versions) == 5
    connected.reconcile()
    assert world.rows("SELECT campaign_id, xmin, ctid FROM platform_statuses ORDER BY 1") == versions
    world.set_status(campaigns[3], "paused")
    connected.reconcile()
    assert connected.there("14") == "paused"
