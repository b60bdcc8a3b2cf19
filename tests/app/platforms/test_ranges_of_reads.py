"""Spend read in ranges of days: hours too, and in halves if an answer is too large or too slow."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.platforms import http, spend
from app.platforms.protocol import HourSpend
from app.platforms.readings import HourReader, Plan, Reading, halves, spans
from cli.fake_platforms.state import FakePlatform
from db.repository.platforms.spend import AccountCampaign
from tests.app.platforms.kit import Connected
from tests.world import World, moment

TODAY = date(2026, 6, 17)
AT = moment("2026-10-27T12:00")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Atlantic/Cape_Verde", "Etc/GMT+12"])
DAYS_BACK = 9


class Hours:
    """An account whose one campaign spends in every hour, each hour another amount."""

    def read_hours(self, _account: Any, first_day: date, last_day: date) -> list[HourSpend]:
        """The hours of these days, and one of a campaign that Spendgate does not know."""
        days = [first_day + timedelta(days=number) for number in range((last_day - first_day).days + 1)]
        known = [HourSpend("11", day, hour, day.toordinal() * 24 + hour) for day in days for hour in range(24)]
        return [*known, HourSpend("99", first_day, 0, 1)]


def read(account: str, brands: Sequence[str], most: int) -> dict[tuple[int, date], int]:
    """The micros by brand and day, read in ranges of `most` days; no brand has a day twice."""
    owners = [
        AccountCampaign(number, "11", number, "Brand", zone, "USD") for number, zone in enumerate(dict.fromkeys(brands))
    ]
    by_hours = {ZoneInfo(one.time_zone): [one] for one in owners}
    platform: Any = Hours()
    reader = HourReader(Plan([], by_hours, []), platform, platform, ZoneInfo(account), AT, DAYS_BACK)
    readings: list[Reading] = [found for some in spans(reader.days, most) for found in reader.read(some)]
    days = [(one.owners[0].campaign_id, day) for one in readings for day in (one.days[0], one.days[1])]
    assert len(days) == 2 * len(readings)
    for first, second in pairwise(sorted({(one.owners[0].campaign_id, *one.days) for one in readings})):
        assert first[0] != second[0] or first[2] + timedelta(days=1) == second[1]
    found = [((one.owners[0].campaign_id, row.day), row.micros) for one in readings for row in one.spend]
    assert len(dict(found)) == len(found)
    return dict(found)


@given(ZONES, st.lists(ZONES, min_size=1, max_size=3), st.integers(1, 12))
def test_hours_read_in_ranges_make_the_days_of_one_read(account: str, brands: list[str], most: int) -> None:
    assert read(account, brands, most) == read(account, brands, 100)


@given(st.integers(0, 40))
def test_halves_hold_each_day_once(more: int) -> None:
    found = halves((TODAY, TODAY + timedelta(days=more)))
    assert [end - begin for begin, end in found] == (
        [] if more == 0 else [timedelta(days=more // 2), timedelta(days=(more - 1) // 2)]
    )
    assert more == 0 or (found[1][0], found[1][1] + timedelta(days=1), found[0][1]) == (
        TODAY,
        found[0][0],
        TODAY + timedelta(days=more),
    )


def ranges(connected: Connected) -> list[int]:
    """The days of each range that was asked for, the description left out."""
    queries = [re.findall(r"'([0-9-]+)'", one.body["query"]) for one in connected.fake.requests("search")]
    return [(date.fromisoformat(days[1]) - date.fromisoformat(days[0])).days + 1 for days in queries if days]


@pytest.fixture
def elsewhere(connected: Connected, world: World) -> int:
    """A campaign of a brand in Berlin, in an account in UTC, with spend today and 20 days ago."""
    brand = world.brand(zone="Europe/Berlin")
    connected.bind(brand)
    campaign = connected.campaign("11", brand=brand)
    for day, micros in ((TODAY, 5), (TODAY - timedelta(days=20), 6)):
        connected.fake.spend("11", day, micros, hour=9)
    return campaign


def test_hours_of_many_campaigns_are_read_in_ranges_of_days(
    connected: Connected, world: World, elsewhere: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend, "ROWS_A_READ", 24 * 12)
    connected.pull()
    assert ranges(connected) == [12, 12, 6]
    assert [connected.spent(elsewhere, TODAY - timedelta(days=back)) for back in (0, 20)] == [5, 6]
    assert world.one("SELECT sum(operations)::int AS used FROM platform_operations")["used"] == 4


def test_slow_answer_is_asked_for_again_in_halves(connected: Connected, world: World, elsewhere: int) -> None:
    connected.pull()
    before = len(ranges(connected))
    world.set_clock(moment("2026-06-17T12:10"))
    connected.fake.spend("11", TODAY, 2, hour=10)
    connected.fake.fail("search", "hang")
    connected.pull()
    assert ranges(connected)[before:] == [3, 2, 1]
    assert connected.spent(elsewhere, TODAY) == 7
    assert connected.connection()["last_error"] is None


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_newest_days_count_although_older_ones_are_too_large(
    connected: Connected, world: World, fake: FakePlatform, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand = world.brand(zone=zone)
    connected.bind(brand)
    campaign = connected.campaign("11", brand=brand)
    fake.spend("11", TODAY, 5, hour=9)
    for number in range(200):
        fake.add(f"9{number}").spend = {TODAY - timedelta(days=9): 5}
        fake.campaigns[f"9{number}"].hours = {(TODAY - timedelta(days=9), 9): 5}
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 10_000)
    connected.pull()
    assert connected.spent(campaign, TODAY) == 5
    assert "larger than 10000 bytes" in connected.connection()["last_error"]
