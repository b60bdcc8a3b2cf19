"""Days and budget windows, and the instants at which they begin."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.periods import Period, Window, day_starts_at, local_day, next_transition, window_of
from domain.zones import time_zone
from tests.domain.facts import (
    ALL_ZONES,
    APIA_SKIPS_A_DAY,
    DAY,
    HOUR,
    MINUTE,
    QUICK,
    TICK,
    ZONES_OF_NOTE,
    days,
    instants,
    local,
    minutes_after,
    moments,
    offset_changes,
    utc,
    zones,
)

recurring = st.sampled_from([period for period in Period if period is not Period.LIFETIME])


def hours_of(day: str, zone: str) -> float:
    first = date.fromisoformat(day)
    return (day_starts_at(first + DAY, ZoneInfo(zone)) - day_starts_at(first, ZoneInfo(zone))) / HOUR


# Windows of days


@pytest.mark.parametrize(
    ("period", "first", "end"),
    [
        (Period.DAILY, "2026-11-25", "2026-11-26"),
        (Period.WEEKLY, "2026-11-23", "2026-11-30"),
        (Period.MONTHLY, "2026-11-01", "2026-12-01"),
        (Period.YEARLY, "2026-01-01", "2027-01-01"),
    ],
)
def test_a_window_runs_from_its_first_day_to_the_day_after_its_last(period: Period, first: str, end: str) -> None:
    window = window_of(period, date(2026, 11, 25))
    assert window == Window(date.fromisoformat(first), date.fromisoformat(end))


@pytest.mark.parametrize(("day", "monday"), [("2026-11-23", "2026-11-23"), ("2026-11-29", "2026-11-23")])
def test_week_begins_on_monday_and_ends_on_sunday(day: str, monday: str) -> None:
    assert window_of(Period.WEEKLY, date.fromisoformat(day)).first_day == date.fromisoformat(monday)


def test_a_week_runs_over_the_end_of_the_year() -> None:
    assert window_of(Period.WEEKLY, date(2027, 1, 1)) == Window(date(2026, 12, 28), date(2027, 1, 4))


@pytest.mark.parametrize(
    ("month", "length"), [("2026-02", 28), ("2028-02", 29), ("2026-04", 30), ("2026-12", 31), ("2100-02", 28)]
)
def test_months_have_their_own_lengths(month: str, length: int) -> None:
    first = date.fromisoformat(f"{month}-01")
    window = window_of(Period.MONTHLY, first + (length - 1) * DAY)
    assert window == Window(first, first + length * DAY)


def test_december_ends_with_the_year() -> None:
    assert window_of(Period.MONTHLY, date(2026, 12, 31)).end_day == date(2027, 1, 1)


def test_29_february_is_a_day_like_any_other() -> None:
    leap_day = date(2028, 2, 29)
    assert window_of(Period.DAILY, leap_day) == Window(leap_day, date(2028, 3, 1))
    assert leap_day in window_of(Period.MONTHLY, date(2028, 2, 1))


def test_window_contains_its_first_day_but_not_its_end_day() -> None:
    november = window_of(Period.MONTHLY, date(2026, 11, 25))
    assert date(2026, 11, 1) in november
    assert date(2026, 11, 30) in november
    assert date(2026, 10, 31) not in november
    assert date(2026, 12, 1) not in november


def test_lifetime_window_contains_every_day() -> None:
    lifetime = window_of(Period.LIFETIME, date(2026, 11, 25))
    assert lifetime.end_day is None
    assert date.min in lifetime
    assert date.max in lifetime


@QUICK
@given(recurring, days)
def test_windows_of_one_period_cover_all_days_without_gap_or_overlap(period: Period, day: date) -> None:
    window = window_of(period, day)
    assert window.end_day is not None
    assert window.first_day <= day < window.end_day
    assert window_of(period, window.first_day) == window_of(period, window.end_day - DAY) == window
    assert window_of(period, window.end_day).first_day == window.end_day
    assert window_of(period, window.first_day - DAY).end_day == window.first_day


@QUICK
@given(recurring, zones, instants)
def test_windows_cover_all_instants_in_every_zone(period: Period, name: str, at: datetime) -> None:
    zone = ZoneInfo(name)
    window = window_of(period, local_day(at, zone))
    assert window.end_day is not None
    starts_at, ends_at = day_starts_at(window.first_day, zone), day_starts_at(window.end_day, zone)
    assert starts_at <= at < ends_at
    assert local_day(starts_at, zone) in window
    assert local_day(ends_at - TICK, zone) in window
    assert local_day(starts_at - TICK, zone) not in window
    assert local_day(ends_at, zone) not in window


# When days begin


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-03-08", "America/New_York", 23),
        ("2026-11-01", "America/New_York", 25),
        ("2026-11-02", "America/New_York", 24),
        ("2026-04-05", "Australia/Lord_Howe", 24.5),
        ("2026-10-04", "Australia/Lord_Howe", 23.5),
        ("2026-04-24", "Africa/Cairo", 23),
        ("2026-10-29", "Africa/Cairo", 25),
        ("2025-03-09", "America/Havana", 23),
        ("2025-11-02", "America/Havana", 25),
        ("2028-02-29", "UTC", 24),
    ],
)
def test_days_last_as_many_hours_as_the_clock_changes_leave(day: str, zone: str, hours: float) -> None:
    assert hours_of(day, zone) == hours


@pytest.mark.parametrize(
    ("day", "zone"),
    [
        ("2026-04-24", "Africa/Cairo"),
        ("2026-09-06", "America/Santiago"),
        ("2025-03-09", "America/Havana"),
        ("2026-03-29", "Asia/Beirut"),
    ],
)
def test_a_day_without_a_midnight_begins_at_one(day: str, zone: str) -> None:
    starts_at = day_starts_at(date.fromisoformat(day), ZoneInfo(zone))
    assert starts_at.astimezone(ZoneInfo(zone)).isoformat()[:16] == f"{day}T01:00"


def test_day_whose_midnight_is_skipped_begins_when_the_skip_ends() -> None:
    toronto = ZoneInfo("America/Toronto")
    starts_at = day_starts_at(date(1919, 3, 31), toronto)
    assert starts_at == local("America/Toronto", "1919-03-31T00:30")
    assert (starts_at - TICK).astimezone(toronto).isoformat()[:16] == "1919-03-30T23:29"


def test_day_with_two_midnights_begins_at_the_first() -> None:
    starts_at = day_starts_at(date(2025, 11, 2), ZoneInfo("America/Havana"))
    assert starts_at == local("America/Havana", "2025-11-02T00:00", fold=0)
    assert starts_at + HOUR == local("America/Havana", "2025-11-02T00:00", fold=1)


def test_repeated_evening_hour_does_not_begin_the_next_day() -> None:
    santiago = ZoneInfo("America/Santiago")
    second_evening = local("America/Santiago", "2026-04-04T23:30", fold=1)
    assert local_day(second_evening, santiago) == date(2026, 4, 4)
    assert day_starts_at(date(2026, 4, 5), santiago) == second_evening + 30 * MINUTE


@pytest.mark.parametrize(
    ("zone", "starts_at"),
    [
        ("UTC", "2026-11-22T00:00"),
        ("America/New_York", "2026-11-22T05:00"),
        ("Asia/Kathmandu", "2026-11-21T18:15"),
        ("Asia/Kolkata", "2026-11-21T18:30"),
        ("Pacific/Chatham", "2026-11-21T10:15"),
        ("Pacific/Kiritimati", "2026-11-21T10:00"),
        ("Pacific/Pago_Pago", "2026-11-22T11:00"),
    ],
)
def test_days_begin_by_the_utc_offset_of_each_zone(zone: str, starts_at: str) -> None:
    assert day_starts_at(date(2026, 11, 22), ZoneInfo(zone)) == utc(starts_at)


def test_skipped_day_begins_and_ends_with_the_next_day() -> None:
    apia = ZoneInfo("Pacific/Apia")
    begins = [day_starts_at(date(2011, 12, day), apia) for day in (29, 30, 31)]
    assert begins == [APIA_SKIPS_A_DAY - DAY, APIA_SKIPS_A_DAY, APIA_SKIPS_A_DAY]
    assert local_day(APIA_SKIPS_A_DAY - TICK, apia) == date(2011, 12, 29)


def test_local_day_changes_at_local_midnight() -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    midnight = utc("2026-11-21T18:15")
    assert local_day(midnight - TICK, kathmandu) == date(2026, 11, 21)
    assert local_day(midnight, kathmandu) == date(2026, 11, 22)


def begins_day(starts_at: datetime, day: date, zone: ZoneInfo) -> bool:
    return local_day(starts_at, zone) == day and local_day(starts_at - TICK, zone) == day - DAY


@pytest.mark.parametrize("year", range(2020, 2036))
def test_days_cover_a_year_without_gap_in_every_sixteenth_zone(year: int) -> None:
    year_days = [date(year, 1, 1) + n * DAY for n in range(365)]
    for zone in map(ZoneInfo, ALL_ZONES[year - 2020 :: 16]):
        assert all(begins_day(day_starts_at(day, zone), day, zone) for day in year_days), zone


@pytest.mark.parametrize("name", ZONES_OF_NOTE)
def test_days_cover_all_instants_around_every_clock_change(name: str) -> None:
    zone = ZoneInfo(name)
    around = {local_day(at, zone) + n * DAY for at in offset_changes(name, 2020, 2035) for n in (-1, 0, 1)}
    assert all(begins_day(day_starts_at(day, zone), day, zone) for day in around)


@QUICK
@given(zones, days)
def test_a_day_starts_at_its_first_instant_in_every_zone(name: str, day: date) -> None:
    assert begins_day(day_starts_at(day, ZoneInfo(name)), day, ZoneInfo(name))


@QUICK
@given(moments)
def test_every_instant_is_within_its_day_around_clock_changes(moment: tuple[str, datetime]) -> None:
    zone, at = ZoneInfo(moment[0]), moment[1]
    today = local_day(at, zone)
    assert day_starts_at(today, zone) <= at < day_starts_at(today + DAY, zone)


# Clock changes


@pytest.mark.parametrize("name", ZONES_OF_NOTE)
def test_next_transition_finds_all_clock_changes_in_order(name: str) -> None:
    zone = ZoneInfo(name)
    before = datetime(2019, 12, 31, tzinfo=UTC)
    for change in offset_changes(name, 2020, 2030):
        at = max(before, change - 365 * DAY)
        assert next_transition(at, zone) == next_transition(change - TICK, zone) == change
        before = change


def test_next_transition_is_strictly_later() -> None:
    new_york = ZoneInfo("America/New_York")
    assert next_transition(utc("2026-03-08T06:59"), new_york) == utc("2026-03-08T07:00")
    assert next_transition(utc("2026-03-08T07:00"), new_york) == utc("2026-11-01T06:00")
    assert next_transition(utc("2026-11-01T06:00"), new_york) == utc("2027-03-14T07:00")


@pytest.mark.parametrize("name", ["UTC", "Asia/Kathmandu", "America/Phoenix"])
def test_zone_with_a_fixed_offset_has_no_transition(name: str) -> None:
    assert next_transition(utc("2026-11-22T10:00"), ZoneInfo(name)) is None


@pytest.mark.parametrize(
    ("zone", "changes_at"),
    [
        ("Africa/Sao_Tome", "2019-01-01T01:00"),
        ("Pacific/Fiji", "2021-01-16T14:00"),
        ("Asia/Dhaka", "2009-12-31T17:00"),
    ],
)
def test_clock_changes_around_new_year_are_found(zone: str, changes_at: str) -> None:
    change = utc(changes_at)
    assert (
        next_transition(change - 20 * DAY, ZoneInfo(zone)) == next_transition(change - TICK, ZoneInfo(zone)) == change
    )


def test_a_skipped_day_is_a_clock_change() -> None:
    assert next_transition(APIA_SKIPS_A_DAY - DAY, ZoneInfo("Pacific/Apia")) == APIA_SKIPS_A_DAY


@QUICK
@given(zones, instants)
def test_no_clock_changes_before_the_next_one_in_any_zone(name: str, at: datetime) -> None:
    zone = ZoneInfo(name)
    last = (next_transition(at, zone) or at + 365 * DAY) - TICK
    moments_between = (at, *minutes_after(at, last - at, step=7 * HOUR), last)
    assert len({moment.astimezone(zone).utcoffset() for moment in moments_between}) == 1


@QUICK
@given(moments)
def test_the_next_clock_change_is_exact_to_the_minute(moment: tuple[str, datetime]) -> None:
    zone, at = ZoneInfo(moment[0]), moment[1]
    old = at.astimezone(zone).utcoffset()
    changed = (later for later in minutes_after(at, 2 * DAY) if later.astimezone(zone).utcoffset() != old)
    found = next_transition(at, zone)
    assert (found if found and found <= at + 2 * DAY else None) == next(changed, None)


# Names of zones


def test_a_zone_is_known_by_its_iana_name() -> None:
    assert time_zone("Asia/Kathmandu") == ZoneInfo("Asia/Kathmandu")


def test_every_iana_zone_is_accepted() -> None:
    assert [time_zone(name).key for name in ALL_ZONES] == ALL_ZONES


@pytest.mark.parametrize("name", ["localtime", "posixrules", "posix/UTC", "right/Europe/Berlin"])
def test_names_that_differ_by_machine_are_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match="on each machine"):
        time_zone(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "EST6",
        "Mars/Olympus",
        "Europe",
        "Europe/",
        "../UTC",
        "/etc/passwd",
        "a\0b",
        "\ud800",
        "UTC\n",
        "+02:00",
        "x" * 999,
    ],
)
def test_unknown_zone_is_refused_and_named(name: str) -> None:
    with pytest.raises(InvalidValue, match="is not an IANA time zone") as refusal:
        time_zone(name)
    assert refusal.value.field == "time_zone"


@QUICK
@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_text_is_a_zone_or_refused(name: str) -> None:
    try:
        assert time_zone(name).key == name
    except InvalidValue:
        assert name not in ALL_ZONES


def test_zones_have_their_utc_offsets() -> None:
    assert local("Pacific/Chatham", "2026-07-01T12:45") == utc("2026-07-01T00:00")
    assert utc("2026-11-22T00:00").astimezone(ZoneInfo("Asia/Kathmandu")).utcoffset() == timedelta(hours=5, minutes=45)
