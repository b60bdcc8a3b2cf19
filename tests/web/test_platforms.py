"""Ad platforms on the pages of the dashboard and in the metrics."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from cli.fake_platforms.state import FakePlatform
from db.engine import engine
from tests.app.platforms.kit import Connected
from tests.fake_platforms.fixtures import credentials_file, fake
from tests.workers.test_state_metrics import samples, scraped, value
from tests.world import World

__all__ = ["credentials_file", "fake"]


@pytest.fixture
def connected(world: World, fake: FakePlatform, credentials_file: Path, noon: datetime) -> Connected:
    """A brand of 100 micros a day in an account that is connected with mode `full`, at a stopped noon."""
    world.set_clock(noon)
    return Connected(world, fake, f"file:{credentials_file}")


def test_metrics_tell_the_highest_use_of_an_account_by_platform(
    world: World, fake: FakePlatform, credentials_file: Path, noon: datetime
) -> None:
    world.set_clock(noon)
    Connected(world, fake, f"file:{credentials_file}", platform="meta_ads")
    name = "spendgate_platform_usage_percent"
    assert not [key for key in samples(scraped()) if name in str(key)]
    world.execute("UPDATE platform_connections SET usage_percent = 71, usage_at = %s", noon - timedelta(minutes=59))
    assert value(samples(scraped()), name, platform="meta_ads") == 71
    world.set_clock(noon + timedelta(minutes=2))
    assert not [key for key in samples(scraped()) if name in str(key)]


def test_confirmed_pause_is_shown_with_its_delay(connected: Connected, open_pages: TestClient, noon: datetime) -> None:
    campaign = connected.campaign("11")
    connected.world.spend(campaign, 100)
    connected.world.set_clock(noon + timedelta(seconds=2))
    connected.reconcile()
    words = "paused here at 12:00; Google Ads confirmed after 2.0 s"
    assert words in open_pages.get(f"/campaigns/{campaign}").text
    assert words in open_pages.get(f"/brands/{connected.brand}").text
    assert "Every pause that was sent is confirmed" in open_pages.get("/").text


def test_oldest_unconfirmed_pause_is_the_figure_of_the_first_page_and_failing_accounts_are_named(
    connected: Connected, open_pages: TestClient, noon: datetime
) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.world.spend(campaign, 100)
    connected.world.set_clock(noon + timedelta(minutes=6))
    first = open_pages.get("/").text
    assert "<b>6 min</b>" in first
    assert "not confirmed by Google Ads for 6 min" in open_pages.get(f"/campaigns/{campaign}").text
    connected.fake.is_revoked, connected.fake.token = True, "another"
    connected.reconcile()
    reason = "not confirmed by Google Ads for 6 min: Google refused the login: Token has been expired or revoked."
    assert reason in open_pages.get(f"/campaigns/{campaign}").text
    for page in ("/", "/platforms", f"/brands/{connected.brand}"):
        assert "Token has been expired or revoked" in open_pages.get(page).text, page
    found = samples(scraped())
    assert value(found, "spendgate_platform_oldest_unconfirmed_pause_seconds", platform="google_ads") == 360
    assert value(found, "spendgate_platform_accounts", state="failing") == 1
    assert value(found, "spendgate_platform_accounts", state="ok") == 0
    used = connected.world.one("SELECT sum(operations)::int AS used FROM platform_operations")["used"]
    assert value(found, "spendgate_platform_quota_left", platform="google_ads") == 2_880 - used


def test_pause_of_a_person_on_the_platform_is_named(connected: Connected, open_pages: TestClient) -> None:
    campaign = connected.campaign("11", "paused")
    connected.reconcile()
    assert "someone paused it on Google Ads" in open_pages.get(f"/campaigns/{campaign}").text
    assert "Every pause that was sent is confirmed" in open_pages.get("/platforms").text


def test_pauses_of_a_shadow_account_do_not_count(connected: Connected, open_pages: TestClient) -> None:
    connected.world.execute("UPDATE platform_connections SET mode = 'shadow'")
    campaign = connected.campaign("11")
    connected.reconcile()
    connected.world.spend(campaign, 100)
    assert "Every pause that was sent is confirmed" in open_pages.get("/").text
    assert "where mode shadow changes nothing" in open_pages.get(f"/campaigns/{campaign}").text


def test_page_of_platforms_without_accounts_says_how_to_connect_one(world: World, open_pages: TestClient) -> None:
    assert "spendgate platform add" in open_pages.get("/platforms").text
    assert "no such page" in open_pages.get("/platforms", params={"number": 2}).text


def test_pages_without_accounts_show_nothing_of_platforms_for_one_more_query(
    world: World, open_pages: TestClient
) -> None:
    brand = world.brand()
    campaign = world.campaign(brand, platform="google_ads", external_id="11")
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine(), "before_cursor_execute", note)
    try:
        for page in ("/", f"/brands/{brand}", f"/campaigns/{campaign}"):
            statements.clear()
            text = open_pages.get(page).text
            assert ("Google Ads" in text, "platform_card" in text, "unconfirmed" in text) == (False, False, False)
            assert len([one for one in statements if "platform_connections" in one]) == 1, page
    finally:
        event.remove(engine(), "before_cursor_execute", note)


def test_accounts_of_the_page_are_those_that_fail_first_then_the_oldest_pause(
    world: World, open_pages: TestClient
) -> None:
    brand = world.brand()
    for number in range(1, 61):
        account = world.one(
            "INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', %s) RETURNING id", str(number)
        )["id"]
        world.execute("INSERT INTO platform_account_brands VALUES (%s, %s)", brand, account)
        world.execute(
            "INSERT INTO platform_connections (platform_account_id, mode, credentials, last_error, failed_at)"
            " VALUES (%s, 'full', 'env:X', %s, now())",
            *(account, "the token has expired" if number == 60 else None),
        )
    late = world.campaign(brand, platform="google_ads", external_id="1", account="59")
    world.set_status(late, "paused")
    first = open_pages.get("/platforms").text
    order = [first.index(f"Google Ads {number}<") for number in (60, 59, 1)]
    assert order == sorted(order)
    assert "Page 1 of 2" in first
    assert "Google Ads 58<" in open_pages.get("/platforms", params={"number": 2}).text
