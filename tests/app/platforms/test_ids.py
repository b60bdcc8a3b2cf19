"""Campaigns whose external id is none of the platform's: each is refused alone, and reaches no path or URL."""

import pytest

from app.platforms.credentials import credentials_at
from app.platforms.protocol import Account, Change, Refused
from app.platforms.registry import ADAPTERS
from cli.fake_platforms.state import FakePlatform
from domain.reconcile import Confirmed
from tests.app.platforms.kit import Connected
from tests.world import World, moment

ODD = (
    "11/../12",
    "11?x=1",
    "11&status=ACTIVE",
    "",
    " 11",
    "11 ",
    "1 1",
    "11\n",
    "１１",
    "+11",
    "0x11",
    "9" * 19,
    "1" * 20,
)
PAUSED = Confirmed.PAUSED


@pytest.fixture
def account(platform: str, fake: FakePlatform, logins: dict[str, str]) -> Account:
    """The account of the fake platform, on each platform."""
    return Account(1, platform, fake.account_id, credentials_at(logins[platform]))


@pytest.mark.parametrize("odd", ODD)
def test_odd_id_is_refused_and_the_other_campaigns_are_paused(account: Account, fake: FakePlatform, odd: str) -> None:
    fake.add("11"), fake.add("12")
    adapter = ADAPTERS[account.platform]
    outcomes = adapter.set_status(account, [Change("11", PAUSED), Change(odd, PAUSED), Change("12", PAUSED)])
    assert (outcomes["11"], outcomes["12"]) == (None, None)
    assert isinstance(outcomes[odd], Refused)
    assert {one.status for one in fake.campaigns.values()} == {"paused"}
    assert len(fake.requests("mutate")) == 1


@pytest.mark.parametrize("odd", ODD)
def test_odd_ids_alone_send_nothing(account: Account, fake: FakePlatform, odd: str) -> None:
    adapter = ADAPTERS[account.platform]
    assert isinstance(adapter.set_status(account, [Change(odd, PAUSED)])[odd], Refused)
    adapter.who_changed(account, [Change(odd, PAUSED)], moment("2026-06-17T12:00"))
    assert fake.requests("mutate") == []
    assert not [one for one in fake.requests("search") if "change_event" in str(one.body)]


@pytest.mark.parametrize("platform", list(ADAPTERS))
def test_campaign_whose_id_was_made_odd_stops_no_other(
    world: World, fake: FakePlatform, logins: dict[str, str], platform: str
) -> None:
    """The campaign counts as enabled there, as an older version left it, until the account can be read again."""
    world.set_clock("2026-06-17T12:00")
    connected = Connected(world, fake, logins[platform], platform=platform)
    odd, other = connected.campaign("11"), connected.campaign("12")
    connected.reconcile()
    world.execute("UPDATE campaigns SET external_id = 'eleven' WHERE id = %s", odd)
    world.execute("DELETE FROM platform_statuses WHERE brand_id = %s AND campaign_id = %s", connected.brand, odd)
    world.execute(
        "INSERT INTO platform_statuses (brand_id, campaign_id, platform_account_id, desired, confirmed)"
        " VALUES (%s, %s, %s, 'active', 'enabled')",
        *(connected.brand, odd, connected.account),
    )
    world.execute("UPDATE platform_connections SET wait_until = '2026-06-17T13:00Z'")
    world.spend(other, 100)
    connected.reconcile()
    assert (connected.there("11"), connected.there("12")) == ("enabled", "paused")
    assert "digits only" in connected.row(odd)["last_error"]
    assert connected.row(other)["confirmed"] == "paused"
