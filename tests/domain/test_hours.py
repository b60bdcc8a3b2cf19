"""Spend by the hours of an account's zone, regrouped into the days of a brand's zone."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.hours import SharedHour, days_to_read, regrouped, span
from domain.periods import ONE_DAY, local_day

UTC_ZONE, BERLIN, NEW_YORK = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LOS_ANGELES, KOLKATA = ZoneInfo("America/Los_Angeles"), ZoneInfo("Asia/Kolkata")
JUNE = date(2026, 6, 17)


def test_hours_of_another_offset_go_to_the_brands_days() -> None:
    figures = [("a", JUNE, 21, 1), ("a", JUNE, 22, 2), ("b", JUNE - ONE_DAY, 23, 4), ("a", JUNE, 5, 8)]
    found = regrouped(figures, UTC_ZONE, BERLIN, JUNE, JUNE + ONE_DAY)
    assert found.days == {("a", JUNE): 9, ("a", JUNE + ONE_DAY): 2, ("b", JUNE): 4}
    assert found.shared == ()


def test_days_to_read_hold_the_brands_days() -> None:
    assert days_to_read(JUNE, JUNE, UTC_ZONE, BERLIN) == (JUNE - ONE_DAY, JUNE)
    assert days_to_read(JUNE, JUNE, BERLIN, NEW_YORK) == (JUNE, JUNE + ONE_DAY)
    assert days_to_read(JUNE, JUNE, BERLIN, BERLIN) == (JUNE, JUNE)


def test_day_of_25_hours_in_both_zones_keeps_each_hour_in_its_day() -> None:
    """New York repeats 01:00 to 02:00 on 1 November: two hours of spend in one figure."""
    autumn = date(2026, 11, 1)
    assert span(autumn, 1, NEW_YORK) == (moment("2026-11-01T05:00"), moment("2026-11-01T07:00"))
    figures = [("a", autumn, hour, 1) for hour in range(24)]
    found = regrouped(figures, NEW_YORK, LOS_ANGELES, autumn - ONE_DAY, autumn)
    assert found.shared == ()
    assert found.days == {("a", autumn - ONE_DAY): 2, ("a", autumn): 22}


def test_repeated_hour_in_which_the_brands_day_begins_is_shared() -> None:
    """Berlin repeats 02:00 to 03:00 from 00:00 to 02:00 UTC, and Cape Verde's day begins at 01:00 UTC."""
    autumn = date(2026, 10, 25)
    figures = [("a", autumn + number * ONE_DAY, 12, 1) for number in range(-2, 3)]
    found = regrouped(figures, BERLIN, ZoneInfo("Atlantic/Cape_Verde"), autumn - 2 * ONE_DAY, autumn + 2 * ONE_DAY)
    assert found.shared == (SharedHour(autumn, 2, autumn - ONE_DAY, autumn),)
    assert found.left_out == {autumn - ONE_DAY, autumn}
    assert {day for _, day in found.days} == {autumn - 2 * ONE_DAY, autumn + ONE_DAY, autumn + 2 * ONE_DAY}


def test_skipped_hour_spans_the_instant_at_which_it_is_skipped() -> None:
    spring = date(2026, 3, 8)
    assert span(spring, 2, NEW_YORK)[0] == moment("2026-03-08T07:00")
    assert regrouped([("a", spring, 2, 5)], NEW_YORK, LOS_ANGELES, spring - ONE_DAY, spring).days == {
        ("a", spring - ONE_DAY): 5
    }


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Adelaide", "Asia/Tehran"])
def test_offset_by_part_of_an_hour_shares_an_hour_each_midnight(zone: str) -> None:
    found = regrouped([("a", JUNE, 12, 1)], UTC_ZONE, ZoneInfo(zone), JUNE, JUNE)
    assert len(found.shared) == 2
    assert found.days == {}
    assert JUNE in found.left_out


def test_two_zones_with_the_same_part_of_an_hour_share_none() -> None:
    found = regrouped([("a", JUNE, 12, 1)], KOLKATA, ZoneInfo("Asia/Colombo"), JUNE, JUNE)
    assert (found.days, found.shared) == ({("a", JUNE): 1}, ())


def test_clock_change_of_half_an_hour_is_followed() -> None:
    """Lord Howe repeats 01:30 to 02:00 on 5 April 2026."""
    autumn = date(2026, 4, 5)
    assert span(autumn, 1, ZoneInfo("Australia/Lord_Howe")) == (moment("2026-04-04T14:00"), moment("2026-04-04T15:30"))


ZONES = st.sampled_from(
    [
        *("UTC", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Asia/Kathmandu"),
        *("Australia/Lord_Howe", "Australia/Adelaide", "America/St_Johns", "Pacific/Chatham", "Africa/Casablanca"),
        *("America/Santiago", "Asia/Beirut", "Antarctica/Troll", "Pacific/Apia", "Atlantic/Azores", "Africa/Cairo"),
    ]
).map(ZoneInfo)
SPENT = st.lists(st.tuples(st.integers(0, 14 * 24 * 60 - 1), st.integers(-5, 1_000)), max_size=40)


@given(zone=ZONES, other=ZONES, week=st.integers(0, 51), spent=SPENT)
def test_each_day_equals_the_sum_of_its_minutes(
    zone: ZoneInfo, other: ZoneInfo, week: int, spent: list[tuple[int, int]]
) -> None:
    """Minutes are counted by the account's hours, as a platform does, and by the brand's days, as Spendgate wants."""
    begin = datetime(2026, 1, 1, tzinfo=UTC) + week * timedelta(days=7)
    first, last = local_day(begin, other) + 2 * ONE_DAY, local_day(begin, other) + 11 * ONE_DAY
    by_hour: Counter[tuple[str, date, int]] = Counter()
    by_day: Counter[date] = Counter()
    for minute, micros in spent:
        at = begin + timedelta(minutes=minute)
        by_hour["a", at.astimezone(zone).date(), at.astimezone(zone).hour] += micros
        by_day[local_day(at, other)] += micros
    figures = [(*label, micros) for label, micros in by_hour.items()]
    found = regrouped(figures, zone, other, first, last)
    days = [first + number * ONE_DAY for number in range((last - first).days + 1)]
    for day in set(days) - found.left_out:
        assert found.days.get(("a", day), 0) == by_day[day]
    assert not [day for _, day in found.days if day in found.left_out]


@given(zone=ZONES, week=st.integers(0, 51))
def test_a_zone_shares_no_hour_with_itself(zone: ZoneInfo, week: int) -> None:
    first = date(2026, 1, 1) + week * timedelta(days=7)
    last = first + 7 * ONE_DAY
    figures = [("a", first + number * ONE_DAY, 12, 1) for number in range(8)]
    found = regrouped(figures, zone, zone, first, last)
    assert (found.shared, days_to_read(first, last, zone, zone)) == ((), (first, last))
    assert found.days == {("a", day): 1 for _, day, _, _ in figures}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
