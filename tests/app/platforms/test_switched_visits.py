"""Visits under way while somebody switches the account's mode, or the platform limits all accounts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from app.platforms import connecting, registry, spend
from app.platforms.adapters.google_ads import GoogleAds
from app.platforms.protocol import Account, Change, DaySpend, Outcomes
from db.repository.access.audit import Edit
from domain.reconcile import Confirmed
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.world import World, moment

TODAY = date(2026, 6, 17)
SWITCH = "UPDATE platform_connections SET mode = '{}'"
LIMIT = "UPDATE platform_connections SET {} = '2026-06-17T23:00Z'"


class Interrupted(GoogleAds):
    """The adapter of Google Ads; something happens elsewhere after the first request of one kind."""

    changes_a_request = 1

    def __init__(self, kind: str, happen: Callable[[], None]) -> None:
        self._kind, self._happen, self.has_happened = kind, happen, False

    def _after(self, kind: str) -> None:
        if kind == self._kind and not self.has_happened:
            self.has_happened = True
            self._happen()

    def read_statuses(self, account: Account) -> dict[str, Confirmed]:
        """The statuses, then what happens."""
        found = super().read_statuses(account)
        self._after("statuses")
        return found

    def set_status(self, account: Account, changes: Sequence[Change]) -> Outcomes:
        """Sets the statuses, then what happens."""
        outcomes: Mapping[str, Any] = super().set_status(account, changes)
        self._after("change")
        return outcomes

    def read_spend(self, account: Account, first_day: date, last_day: date) -> list[DaySpend]:
        """The spend, then what happens."""
        found = super().read_spend(account, first_day, last_day)
        self._after("spend")
        return found


@pytest.fixture
def interrupt(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Returns a function that lets a statement run after the first request of a kind."""

    def interrupted(kind: str, statement: str) -> None:
        adapter = Interrupted(kind, lambda: world.execute(statement))
        monkeypatch.setitem(registry.ADAPTERS, "google_ads", adapter)

    return interrupted


@pytest.fixture
def both(connected: Connected, world: World) -> Connected:
    """An account with two campaigns that are to be paused, as is known, and one that a person paused there."""
    for name in ("11", "12", "13"):
        connected.campaign(name)
    connected.reconcile()
    for campaign in world.rows("SELECT id FROM campaigns WHERE external_id <> '13'"):
        world.set_status(campaign["id"], "paused")
    connected.set_there("13", "paused")
    return connected


@pytest.mark.parametrize("mode", ["off", "shadow"])
@pytest.mark.parametrize(("kind", "paused"), [("statuses", 0), ("change", 1)])
def test_switched_account_is_changed_no_further(
    both: Connected, world: World, interrupt: Callable[[str, str], None], mode: str, kind: str, paused: int
) -> None:
    interrupt(kind, SWITCH.format(mode))
    both.reconcile()
    assert [both.there(name) for name in ("11", "12")].count("paused") == paused
    held = {"platform_paused"} if kind == "change" else set()
    assert world.holds(world.one("SELECT id FROM campaigns WHERE external_id = '13'")["id"]) == held
    assert both.connection()["claimed_until"] <= moment("2026-06-17T12:00")


@pytest.mark.parametrize(("column", "paused"), [("pauses_wait_until", 1), ("wait_until", 2)])
def test_limit_of_all_accounts_stops_a_visit_under_way(
    both: Connected, interrupt: Callable[[str, str], None], column: str, paused: int
) -> None:
    interrupt("change", LIMIT.format(column))
    both.reconcile()
    assert [both.there(name) for name in ("11", "12")].count("paused") == paused


@pytest.mark.parametrize("statement", [SWITCH.format("off"), LIMIT.format("wait_until")])
def test_read_under_way_ends(
    connected: Connected, monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[str, str], None], statement: str
) -> None:
    monkeypatch.setattr(spend, "ROWS_A_READ", 10)
    campaign = connected.campaign("11")
    for back in (0, 20):
        connected.fake.spend("11", TODAY - timedelta(days=back), 5)
    interrupt("spend", statement)
    connected.pull()
    assert [connected.spent(campaign, TODAY - timedelta(days=back)) for back in (0, 20)] == [5, 0]
    assert len([one for one in connected.fake.requests("search") if "BETWEEN" in one.body["query"]]) == 1


@pytest.mark.parametrize("kind", ["statuses", "change", "spend"])
def test_account_that_is_removed_during_a_visit_leaves_no_row(
    both: Connected, world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    adapter = Interrupted(kind, lambda: connecting.remove(both.account, Edit("ada", clock.now())))
    monkeypatch.setitem(registry.ADAPTERS, "google_ads", adapter)
    both.fake.spend("13", TODAY, 5)
    (both.pull if kind == "spend" else both.reconcile)()
    assert adapter.has_happened
    for table in ("platform_connections", "platform_statuses"):
        assert world.rows(f"SELECT FROM {table}") == [], table
    assert [both.there(name) for name in ("11", "12")].count("paused") == (kind == "change")
    world.verify()
