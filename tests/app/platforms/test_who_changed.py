"""Each adapter reads from the platform's history who changed a campaign, over real HTTP."""

from datetime import timedelta

import pytest

from app.platforms.credentials import credentials_at
from app.platforms.protocol import Account, Change
from app.platforms.registry import ADAPTERS
from cli.fake_platforms.state import FakePlatform
from domain.reconcile import Confirmed
from tests.world import moment

AT = moment("2026-06-17T12:00")
PAUSED, ENABLED = Confirmed.PAUSED, Confirmed.ENABLED


@pytest.fixture
def account(platform: str, fake: FakePlatform, logins: dict[str, str]) -> Account:
    """The account of the fake platform, in a zone behind UTC, on each platform."""
    fake.time_zone = "America/New_York"
    credentials = credentials_at(logins[platform])
    return Account(1, platform, fake.account_id, credentials, time_zone=fake.time_zone)


def who_changed(account: Account, *changes: tuple[str, Confirmed]) -> dict[str, str]:
    asked = [Change(*change) for change in changes]
    told = ADAPTERS[account.platform].who_changed(account, asked, AT)
    return {name: one.by for name, one in told.items()}


def test_newest_change_to_the_status_names_who_made_it(account: Account, fake: FakePlatform) -> None:
    for name in ("11", "12", "13"):
        fake.add(name)
    fake.change("11", "paused", "anna@example.com", AT + timedelta(minutes=1))
    fake.change("11", "enabled", "carl@example.com", AT + timedelta(minutes=2))
    fake.change("11", "paused", "ben@example.com", AT + timedelta(minutes=3))
    fake.change("12", "paused", "dora@example.com", AT + timedelta(minutes=4))
    found = who_changed(account, ("11", PAUSED), ("12", ENABLED), ("13", PAUSED))
    assert found == {"11": "ben@example.com"}
    assert who_changed(account, ("11", ENABLED)) == {"11": "carl@example.com"}
    (told,) = ADAPTERS[account.platform].who_changed(account, [Change("11", PAUSED)], AT).values()
    assert told.at == AT + timedelta(minutes=3)


def test_changes_before_the_time_asked_for_are_not_told(account: Account, fake: FakePlatform) -> None:
    fake.add("11")
    fake.change("11", "paused", "anna@example.com", AT - timedelta(minutes=1))
    assert who_changed(account, ("11", PAUSED)) == {}


def test_many_campaigns_cost_one_question(account: Account, fake: FakePlatform) -> None:
    names = [str(number) for number in range(10, 14)]
    fake.rows_a_page = 500
    for name in names:
        fake.add(name)
        fake.change(name, "paused", f"{name}@example.com", AT + timedelta(minutes=1))
    assert who_changed(account, *((name, PAUSED) for name in names)) == {name: f"{name}@example.com" for name in names}
    assert len(fake.requests("search")) == 1
