"""Spend pulled from a connected account through the actor's use case, against the fake platform."""

import re
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.edits.brand_corrections import BrandCorrection, correct
from app.platforms import spend
from app.platforms.readings import spans
from cli.fake_platforms.state import FakePlatform
from db.repository.access.audit import Edit
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.world import World, moment

TODAY, YESTERDAY = date(2026, 6, 17), date(2026, 6, 16)
OLD = TODAY - timedelta(days=28)


def test_pulled_spend_is_counted_and_pauses_the_campaign(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 60)
    connected.fake.spend("11", OLD, 7)
    connected.pull()
    assert (connected.spent(campaign, TODAY), connected.spent(campaign, OLD)) == (60, 7)
    assert world.is_active(campaign)
    connected.fake.spend("11", TODAY, 40)
    world.set_clock(moment("2026-06-17T12:05"))
    connected.pull()
    assert connected.spent(campaign, TODAY) == 100
    assert world.holds(campaign) == {"brand_daily_budget"}
    world.verify()


def test_a_day_that_vanishes_from_the_answer_becomes_zero(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 100)
    connected.fake.spend("11", YESTERDAY, 5)
    connected.pull()
    assert not world.is_active(campaign)
    world.set_clock(moment("2026-06-17T12:10"))
    del connected.fake.campaigns["11"].spend[TODAY]
    connected.pull()
    assert (connected.spent(campaign, TODAY), connected.spent(campaign, YESTERDAY)) == (0, 5)
    assert world.is_active(campaign)
    assert world.rejected() == []
    world.verify()


def test_failed_read_leaves_what_was_counted(connected: Connected, world: World) -> None:
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 60)
    connected.pull()
    for fault in ("500", "hang", "drip", "429"):
        connected.fake.faults.clear()
        connected.fake.fail("search", *[fault] * 2)  # of both days, and of the newer one alone
        world.execute("UPDATE platform_connections SET wait_until = NULL")
        connected.pull()
        assert connected.spent(campaign, TODAY) == 60
        assert connected.connection()["last_error"]


def test_history_is_read_once_a_day_and_the_last_two_days_often(connected: Connected, world: World) -> None:
    connected.campaign("11")
    for at in ("2026-06-17T12:00", "2026-06-17T12:10", "2026-06-18T00:10", "2026-06-18T00:20"):
        world.set_clock(moment(at))
        connected.pull()
    queries = [one.body["query"] for one in connected.fake.requests("search")]
    spans = [query.partition("BETWEEN ")[2] for query in queries if "BETWEEN" in query]
    assert spans == [
        "'2026-05-20' AND '2026-06-17'",
        "'2026-06-16' AND '2026-06-17'",
        "'2026-05-21' AND '2026-06-18'",
        "'2026-06-17' AND '2026-06-18'",
    ]


def test_account_is_not_read_before_it_is_due(connected: Connected, world: World, fake: FakePlatform) -> None:
    connected.pull()
    reads = len(fake.received)
    connected.pull(is_due=False)
    assert len(fake.received) == reads
    world.set_clock(moment("2026-06-17T13:00:01"))
    connected.pull(is_due=False)
    assert len(fake.received) == reads + 1


def test_interval_follows_the_time_left_until_a_limit(connected: Connected, world: World) -> None:
    connected.campaign("11")
    stopped = connected.campaign("12")
    world.limit(1, campaign=stopped)
    world.set_status(stopped, "paused")
    intervals = []
    for at, micros in (("12:00", 0), ("12:40", 40), ("13:00", 20), ("13:10", 30), ("13:20", 9), ("13:21", 1)):
        now = world.set_clock(moment(f"2026-06-17T{at}"))
        connected.fake.spend("11", TODAY, micros)
        connected.pull()
        intervals.append((connected.connection()["next_read_at"] - now).total_seconds() / 60)
    assert intervals == [1, 12, 8, 1, 1, 60]


@pytest.mark.parametrize(
    ("zone", "currency", "reason"),
    [
        ("Asia/Kolkata", "USD", r"belongs to both .* and .* in Asia/Kolkata: its spend is not read"),
        ("UTC", "EUR", r"counts in EUR, the account in USD"),
    ],
)
def test_brand_with_other_days_or_currency_is_refused_in_plain_words(
    connected: Connected, world: World, zone: str, currency: str, reason: str
) -> None:
    other = world.brand(zone=zone, currency=currency, name="Other")
    connected.bind(other)
    ours, theirs = connected.campaign("11"), connected.campaign("12", brand=other)
    for external_id in ("11", "12"):
        connected.fake.spend(external_id, TODAY, 9)
    connected.pull()
    assert (connected.spent(ours, TODAY), connected.spent(theirs, TODAY)) == (9, 0)
    error = connected.connection()["last_error"]
    assert re.search(reason, error)
    assert f"brand {other} (Other)" in error


@pytest.mark.parametrize(("zone", "currency"), [("UTC", "EUR"), ("Asia/Kolkata", "USD")])
def test_accounts_of_a_corrected_brand_are_read_at_once_with_their_history(
    connected: Connected, world: World, zone: str, currency: str
) -> None:
    other = world.brand(zone=zone, currency=currency)
    connected.bind(other)
    campaign = connected.campaign("12", brand=other)
    old = TODAY - timedelta(days=20)
    connected.fake.spend("12", old, 7)
    connected.pull()
    assert connected.connection()["last_error"]
    correct(BrandCorrection(other, "UTC", "USD"), Edit("ada", clock.now()))
    connected.pull(is_due=False)
    assert (connected.connection()["last_error"], connected.spent(campaign, old)) == (None, 7)


def test_zone_of_another_name_with_the_same_days_is_accepted(connected: Connected, world: World) -> None:
    other = world.brand(zone="Africa/Abidjan")
    connected.bind(other)
    campaign = connected.campaign("11", brand=other)
    connected.fake.spend("11", TODAY, 9)
    connected.pull()
    assert connected.spent(campaign, TODAY) == 9


def test_campaigns_unknown_to_spendgate_are_left_out(connected: Connected, world: World) -> None:
    connected.fake.add("99").spend = {TODAY: 5}
    connected.pull()
    assert world.rejected() == []


def test_quota_that_waits_eleven_hours_stops_reads_until_then(
    connected: Connected, world: World, fake: FakePlatform
) -> None:
    connected.pull()
    fake.fail("search", "429")
    world.set_clock(moment("2026-06-17T12:10"))
    connected.pull()
    reads = len(fake.received)
    world.set_clock(moment("2026-06-17T23:20"))
    connected.pull()
    assert len(fake.received) == reads
    world.set_clock(moment("2026-06-17T23:27"))
    connected.pull()
    assert len(fake.received) > reads


@pytest.mark.parametrize("content", ["", "[]", '{"client_id": 1}', "not JSON"])
def test_bad_credentials_are_named_without_their_content(
    connected: Connected, world: World, fake: FakePlatform, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("ADS_LOGIN", content)
    world.execute("UPDATE platform_connections SET credentials = 'env:ADS_LOGIN'")
    connected.pull()
    assert "env:ADS_LOGIN is not a JSON object" in connected.connection()["last_error"]
    assert fake.received == []


@pytest.mark.parametrize("platform", ["google_ads", "meta_ads"])
def test_brand_of_another_zone_is_read_by_hours(
    world: World, fake: FakePlatform, logins: dict[str, str], noon: datetime, platform: str
) -> None:
    world.set_clock(noon)
    connected = Connected(world, fake, logins[platform], platform=platform)
    berlin, new_york = world.brand(zone="Europe/Berlin"), world.brand(zone="America/New_York")
    connected.bind(berlin)
    connected.bind(new_york)
    campaigns = [connected.campaign(str(number), brand=brand) for number, brand in enumerate((berlin, new_york))]
    for external_id in ("0", "1"):
        connected.fake.spend(external_id, YESTERDAY, 1_000_000, hour=21)
        connected.fake.spend(external_id, YESTERDAY, 2_000_000, hour=22)
        connected.fake.spend(external_id, TODAY, 4_000_000, hour=3)
        connected.fake.spend(external_id, TODAY, 8_000_000, hour=4)
    connected.pull()
    days = [[connected.spent(campaign, day) for day in (YESTERDAY, TODAY)] for campaign in campaigns]
    assert days == [[1_000_000, 14_000_000], [7_000_000, 8_000_000]]
    assert connected.connection()["last_error"] is None
    world.set_clock(moment("2026-06-17T12:10"))
    del connected.fake.campaigns["0"].hours[TODAY, 3]
    connected.pull()
    assert connected.spent(campaigns[0], TODAY) == 10_000_000
    world.verify()


def test_brand_and_account_of_one_zone_cost_one_read_beside_a_brand_of_another(
    connected: Connected, world: World
) -> None:
    connected.campaign("11")
    connected.pull()
    assert len(connected.fake.requests("search")) == 2  # the account's description, and spend by days
    other = world.brand(zone="Europe/Berlin")
    connected.bind(other)
    connected.campaign("12", brand=other)
    world.set_clock(moment("2026-06-17T12:10"))
    connected.pull()
    queries = [one.body["query"] for one in connected.fake.requests("search")[2:]]
    assert ["segments.hour" in query for query in queries] == [False, True]
    assert world.one("SELECT sum(operations)::int AS used FROM platform_operations")["used"] == 4


def test_days_that_share_an_hour_are_left_out_and_named(connected: Connected, world: World) -> None:
    """Berlin repeats the hour in which Cape Verde's 25 October begins."""
    connected.fake.time_zone = "Europe/Berlin"
    world.set_clock(moment("2026-10-26T12:00"))
    other = world.brand(zone="Atlantic/Cape_Verde", name="Praia")
    connected.bind(other)
    campaign = connected.campaign("12", brand=other)
    days = [date(2026, 10, day) for day in (24, 25, 26)]
    for day in days:
        connected.fake.spend("12", day, 5, hour=9)
    connected.pull()
    assert [connected.spent(campaign, day) for day in days] == [0, 0, 5]
    assert "belongs to both 2026-10-24 and 2026-10-25" in connected.connection()["last_error"]
    assert "its spend on 2026-10-24, 2026-10-25 is not read" in connected.connection()["last_error"]


def test_campaign_that_moved_between_brands_of_different_days_is_not_read(connected: Connected, world: World) -> None:
    other = world.brand(zone="Europe/Berlin")
    connected.bind(other)
    before, after = connected.campaign("11"), world.campaign(other)
    world.execute(
        "INSERT INTO released_external_ids (brand_id, campaign_id, platform, external_id, platform_account_id,"
        " until_day) VALUES (%s, %s, 'google_ads', '11', %s, '2026-06-01')",
        *(other, after, connected.account),
    )
    connected.fake.spend("11", TODAY, 9)
    connected.pull()
    assert connected.spent(before, TODAY) == 0
    assert "moved between brands of different days are not read: 11" in connected.connection()["last_error"]


def test_account_in_a_zone_that_is_not_known_here_says_so(connected: Connected) -> None:
    campaign = connected.campaign("11")
    connected.fake.spend("11", TODAY, 5)
    connected.fake.time_zone = "Mars/Olympus"
    connected.pull()
    stored = connected.connection()
    assert stored["last_error"] == "the account's time zone Mars/Olympus is unknown to Spendgate"
    assert stored["failures"] == 1
    assert connected.spent(campaign, TODAY) == 0


def test_account_of_many_campaigns_is_read_in_ranges_of_days(
    connected: Connected, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend, "ROWS_A_READ", 20)
    campaigns = {name: connected.campaign(name) for name in ("11", "12")}
    old, older = TODAY - timedelta(days=12), TODAY - timedelta(days=25)
    for name, day, micros in (("11", TODAY, 5), ("11", old, 6), ("12", older, 7)):
        connected.fake.spend(name, day, micros)
    connected.pull()
    ranges = [re.findall(r"'([0-9-]+)'", one.body["query"]) for one in connected.fake.requests("search")][1:]
    assert ranges == [["2026-06-08", "2026-06-17"], ["2026-05-29", "2026-06-07"], ["2026-05-20", "2026-05-28"]]
    assert world.one("SELECT sum(operations)::int AS used FROM platform_operations")["used"] == 4
    assert [connected.spent(campaigns["11"], day) for day in (TODAY, old)] == [5, 6]
    assert connected.spent(campaigns["12"], older) == 7
    connected.fake.campaigns["12"].spend.clear()
    world.set_clock(moment("2026-06-18T12:00"))
    connected.pull()
    assert connected.spent(campaigns["12"], older) == 0
    assert connected.spent(campaigns["11"], old) == 6


@given(st.integers(0, 40), st.integers(-1, 50))
def test_ranges_hold_each_day_once(more: int, most: int) -> None:
    first, last = TODAY, TODAY + timedelta(days=more)
    found = list(spans((first, last), most))
    assert all((end - begin).days < max(most, 1) for begin, end in found)
    days = sorted(begin + timedelta(days=number) for begin, end in found for number in range((end - begin).days + 1))
    assert days == [first + timedelta(days=number) for number in range(more + 1)]
