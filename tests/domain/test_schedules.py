"""Ad schedules: whether they are open, their next edges, and their open stretches."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from domain.schedules import Daypart, Schedule, is_open, next_edge, open_stretches, parse_schedule
from tests.domain.facts import (
    BRUTE_FORCE,
    DAY,
    HOUR,
    MINUTE,
    QUICK,
    TICK,
    instants,
    local,
    minutes_after,
    moments,
    open_by_hand,
    schedules,
    utc,
    zones,
)

NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
MONDAY = 1


def opens(schedule: str, at: str, zone: str = "UTC", *, fold: int = 0) -> bool:
    return is_open(parse_schedule(schedule), local(zone, at, fold=fold), ZoneInfo(zone))


def edges(schedule: str, after: datetime, count: int, zone: str = "UTC") -> list[datetime]:
    found = [after]
    for _ in range(count):
        edge = next_edge(parse_schedule(schedule), found[-1], ZoneInfo(zone))
        assert edge is not None
        found.append(edge)
    return found[1:]


# Open or closed


def test_an_empty_schedule_is_always_open() -> None:
    assert is_open((), utc("2026-11-22T03:00"), ZoneInfo("UTC"))
    assert next_edge((), utc("2026-11-22T03:00"), ZoneInfo("UTC")) is None


@pytest.mark.parametrize(
    ("at", "is_so"),
    [
        ("2026-11-23T08:59:59.999999", False),
        ("2026-11-23T09:00", True),
        ("2026-11-23T16:59:59.999999", True),
        ("2026-11-23T17:00", False),
        ("2026-11-22T12:00", False),
        ("2026-11-24T12:00", False),
    ],
)
def test_the_start_is_included_and_the_end_is_not(at: str, is_so: bool) -> None:
    assert opens("Mon 09:00-17:00", at) is is_so


def test_a_daypart_until_24_00_is_open_to_the_last_instant_of_its_day() -> None:
    assert opens("Mon 18:00-24:00", "2026-11-23T23:59:59.999999")
    assert not opens("Mon 18:00-24:00", "2026-11-24T00:00")


def test_window_across_midnight_is_open_at_00_30() -> None:
    assert opens("Mon 22:00-06:00", "2026-11-24T00:30")


def test_window_across_midnight_belongs_to_the_day_it_starts_on() -> None:
    assert not opens("Mon 22:00-06:00", "2026-11-23T00:30")
    assert opens("Mon 22:00-06:00", "2026-11-23T22:00")
    assert opens("Mon 22:00-06:00", "2026-11-24T05:59")
    assert not opens("Mon 22:00-06:00", "2026-11-24T06:00")
    assert not opens("Mon 22:00-06:00", "2026-11-24T22:00")


def test_window_across_midnight_of_sunday_runs_into_monday() -> None:
    assert opens("Sun 22:00-06:00", "2026-11-22T23:00")
    assert opens("Sun 22:00-06:00", "2026-11-23T05:59")
    assert not opens("Sun 22:00-06:00", "2026-11-22T05:59")


@pytest.mark.parametrize(
    ("zone", "opens_at"), [("Asia/Kathmandu", "03:15"), ("Pacific/Chatham", "19:15"), ("Asia/Kolkata", "03:30")]
)
def test_dayparts_follow_30_and_45_minute_offsets(zone: str, opens_at: str) -> None:
    daily = parse_schedule("daily 09:00-10:00")
    opening = utc(f"2026-11-22T{opens_at}")
    assert not is_open(daily, opening - TICK, ZoneInfo(zone))
    assert is_open(daily, opening, ZoneInfo(zone))


def test_overlapping_dayparts_are_open_in_either() -> None:
    overlapping = (Daypart(MONDAY, 0, 120), Daypart(MONDAY, 60, 180))
    monday = utc("2026-11-23T00:00")
    assert all(is_open(overlapping, monday + n * MINUTE, ZoneInfo("UTC")) for n in (0, 90, 179))
    assert next_edge(overlapping, monday, ZoneInfo("UTC")) == monday + 3 * HOUR


# Clock changes


def test_a_repeated_hour_is_open_twice() -> None:
    assert opens("Sun 01:00-02:00", "2026-11-01T01:30", NEW_YORK, fold=0)
    assert opens("Sun 01:00-02:00", "2026-11-01T01:30", NEW_YORK, fold=1)


def test_a_repeated_half_hour_has_four_edges() -> None:
    first = local(NEW_YORK, "2026-11-01T01:30", fold=0)
    expected = [first, first + 30 * MINUTE, first + HOUR, first + 90 * MINUTE]
    assert edges("Sun 01:30-02:00", first - DAY, 4, NEW_YORK) == expected


def test_a_daypart_that_fills_a_repeated_hour_stays_open_through_it() -> None:
    opening = local(NEW_YORK, "2026-11-01T01:00", fold=0)
    assert edges("Sun 01:00-02:00", opening - DAY, 2, NEW_YORK) == [opening, opening + 2 * HOUR]


def test_a_daypart_that_ends_as_the_clocks_go_back_closes_after_the_second_time() -> None:
    evening = local("America/Santiago", "2026-04-04T23:00", fold=0)
    assert edges("Sat 23:00-24:00", evening - DAY, 2, "America/Santiago") == [evening, evening + 2 * HOUR]


def test_a_skipped_hour_is_never_open() -> None:
    saturday = local(NEW_YORK, "2026-03-07T12:00")
    opening = local(NEW_YORK, "2026-03-15T02:00")
    assert edges("Sun 02:00-03:00", saturday, 1, NEW_YORK) == [opening]
    assert not any(
        is_open(parse_schedule("Sun 02:00-03:00"), at, ZoneInfo(NEW_YORK)) for at in minutes_after(saturday, 2 * DAY)
    )


def test_a_daypart_that_starts_in_a_skipped_hour_opens_when_the_skip_ends() -> None:
    saturday = local(NEW_YORK, "2026-03-07T12:00")
    skip_ends = utc("2026-03-08T07:00")
    assert edges("Sun 02:30-04:00", saturday, 2, NEW_YORK) == [skip_ends, skip_ends + HOUR]


def test_a_daypart_that_ends_in_a_skipped_hour_closes_when_the_skip_begins() -> None:
    saturday = local(NEW_YORK, "2026-03-07T12:00")
    skip_begins = utc("2026-03-08T07:00")
    assert edges("Sun 01:00-02:30", saturday, 2, NEW_YORK) == [skip_begins - HOUR, skip_begins]


def test_a_daypart_from_midnight_opens_at_one_where_midnight_is_skipped() -> None:
    friday = local("Africa/Cairo", "2026-04-24T01:00")
    assert edges("Fri 00:00-06:00", friday - DAY, 2, "Africa/Cairo") == [friday, friday + 5 * HOUR]


def test_lord_howe_repeats_half_an_hour() -> None:
    opening = local(LORD_HOWE, "2026-04-05T01:30", fold=0)
    assert edges("Sun 01:30-02:00", opening - DAY, 2, LORD_HOWE) == [opening, opening + HOUR]


def test_lord_howe_skips_half_an_hour() -> None:
    saturday = local(LORD_HOWE, "2026-10-03T12:00")
    assert edges("Sun 02:00-02:30", saturday, 1, LORD_HOWE) == [local(LORD_HOWE, "2026-10-11T02:00")]


def test_skipped_friday_is_never_open() -> None:
    thursday = local("Pacific/Apia", "2011-12-29T12:00")
    assert edges("Fri 00:00-24:00", thursday, 1, "Pacific/Apia") == [local("Pacific/Apia", "2012-01-06T00:00")]


def test_schedule_runs_from_thursday_into_saturday_over_a_skipped_friday() -> None:
    thursday, sunday = (local("Pacific/Apia", f"{day}T00:00") for day in ("2011-12-29", "2012-01-01"))
    assert edges("Thu 00:00-24:00, Sat 00:00-24:00", thursday - DAY, 2, "Pacific/Apia") == [thursday, sunday]


# Edges


def test_next_edge_is_strictly_later() -> None:
    nine, ten = utc("2026-11-22T09:00"), utc("2026-11-22T10:00")
    assert edges("daily 09:00-10:00", nine - TICK, 3) == [nine, ten, nine + DAY]


def test_next_edge_is_exact_to_the_microsecond() -> None:
    assert edges("Mon 09:00-17:00", utc("2026-11-23T08:59:59.999999"), 1) == [utc("2026-11-23T09:00")]
    assert edges("Mon 09:00-17:00", utc("2026-11-23T09:00:00.000001"), 1) == [utc("2026-11-23T17:00")]


def test_dayparts_adjoining_at_midnight_have_no_edge_between() -> None:
    friday = utc("2026-11-27T00:00")
    assert edges("Fri-Sun 00:00-24:00", friday, 2) == [friday + 3 * DAY, friday + 7 * DAY]


def test_dayparts_adjoining_at_the_end_of_the_week_have_no_edge_between() -> None:
    saturday = utc("2026-11-21T00:00")
    assert edges("Sat-Mon 00:00-24:00", saturday, 2) == [saturday + 3 * DAY, saturday + 7 * DAY]


def test_a_week_that_ends_open_closes_as_monday_begins() -> None:
    monday = utc("2026-11-23T00:00")
    assert edges("Sun 18:00-24:00", monday - HOUR, 2) == [monday, monday + 7 * DAY - 6 * HOUR]


def test_a_whole_week_has_no_edge() -> None:
    whole_week = parse_schedule("daily 00:00-24:00")
    assert is_open(whole_week, utc("2026-11-22T03:00"), ZoneInfo("UTC"))
    assert next_edge(whole_week, utc("2026-11-22T03:00"), ZoneInfo("UTC")) is None


def test_one_closed_minute_a_week_is_found() -> None:
    all_but = "Mon-Sat 00:00-24:00, Sun 00:00-12:00, Sun 12:01-24:00"
    noon = utc("2026-11-22T12:00")
    assert edges(all_but, noon, 2) == [noon + MINUTE, noon + 7 * DAY]


def test_the_same_instant_in_another_zone_has_the_same_next_edge() -> None:
    at = utc("2026-10-31T16:00")
    sunday = parse_schedule("Sun 20:00-21:00")
    seen_from_new_york = next_edge(sunday, at.astimezone(ZoneInfo(NEW_YORK)), ZoneInfo("Europe/London"))
    assert next_edge(sunday, at, ZoneInfo("Europe/London")) == seen_from_new_york == utc("2026-11-01T20:00")


# Open stretches


def stretches(schedule: str, starts_at: str, ends_at: str, zone: str = "UTC") -> list[tuple[str, str]]:
    found = open_stretches(parse_schedule(schedule), local(zone, starts_at), local(zone, ends_at), ZoneInfo(zone))
    return [(f"{starts:%d %H:%M}", f"{ends:%d %H:%M}") for starts, ends in found]


def test_stretches_are_cut_at_both_bounds() -> None:
    result = stretches("Mon-Wed 09:00-17:30", "2026-06-15 10:00", "2026-06-17 12:00")
    assert result == [("15 10:00", "15 17:30"), ("16 09:00", "16 17:30"), ("17 09:00", "17 12:00")]


def test_a_stretch_over_midnight_is_one() -> None:
    assert stretches("Sat 22:00-06:00", "2026-06-20 00:00", "2026-06-22 00:00") == [("20 22:00", "21 06:00")]


def test_an_empty_schedule_is_one_stretch() -> None:
    assert stretches("", "2026-06-15 10:00", "2026-06-17 12:00") == [("15 10:00", "17 12:00")]


def test_empty_time_range_has_no_open_stretch() -> None:
    assert stretches("", "2026-06-15 10:00", "2026-06-15 10:00") == []
    assert stretches("Mon 09:00-10:00", "2026-06-15 10:00", "2026-06-22 09:00") == []


def test_a_stretch_through_a_repeated_hour_is_an_hour_longer() -> None:
    assert stretches("Sun 00:00-06:00", "2026-11-01 00:00", "2026-11-02 00:00", NEW_YORK) == [("01 04:00", "01 11:00")]


def test_a_repeated_hour_alone_is_one_stretch_of_two_hours() -> None:
    assert stretches("Sun 01:00-02:00", "2026-11-01 00:00", "2026-11-02 00:00", NEW_YORK) == [("01 05:00", "01 07:00")]


def test_a_repeated_half_hour_is_two_stretches() -> None:
    result = stretches("Sun 01:00-01:30", "2026-11-01 00:00", "2026-11-02 00:00", NEW_YORK)
    assert result == [("01 05:00", "01 05:30"), ("01 06:00", "01 06:30")]


def test_a_skipped_hour_has_no_stretch() -> None:
    assert stretches("Sun 02:00-03:00", "2026-03-08 00:00", "2026-03-09 00:00", NEW_YORK) == []
    assert stretches("Sun 00:00-06:00", "2026-03-08 00:00", "2026-03-09 00:00", NEW_YORK) == [("08 05:00", "08 10:00")]


# By brute force


@QUICK
@given(schedules, moments)
def test_open_stretches_contain_exactly_the_open_minutes(schedule: Schedule, moment: tuple[str, datetime]) -> None:
    zone, at = ZoneInfo(moment[0]), moment[1]
    found = open_stretches(schedule, at, at + 30 * HOUR, zone)
    assert all(starts < ends for starts, ends in found)
    assert all(ends < starts for (_, ends), (starts, _) in pairwise(found))
    for later in (at, *minutes_after(at, 30 * HOUR - MINUTE)):
        inside = any(starts <= later < ends for starts, ends in found)
        assert inside is open_by_hand(schedule, later, zone)


def first_flip(schedule: Schedule, at: datetime, zone: ZoneInfo) -> datetime | None:
    now = open_by_hand(schedule, at, zone)
    later = minutes_after(at, 8 * DAY)
    return next((moment for moment in later if open_by_hand(schedule, moment, zone) != now), None)


@BRUTE_FORCE
@given(schedules, moments)
def test_next_edge_is_the_first_minute_with_another_state(schedule: Schedule, moment: tuple[str, datetime]) -> None:
    zone, at = ZoneInfo(moment[0]), moment[1]
    edge = next_edge(schedule, at, zone)
    assert (edge if edge and edge <= at + 8 * DAY else None) == first_flip(schedule, at, zone)


@QUICK
@given(schedules, moments)
def test_is_open_agrees_with_the_local_weekday_and_minute(schedule: Schedule, moment: tuple[str, datetime]) -> None:
    zone, at = ZoneInfo(moment[0]), moment[1]
    for later in (at, *minutes_after(at, 3 * HOUR)):
        assert is_open(schedule, later, zone) is open_by_hand(schedule, later, zone)


@QUICK
@given(schedules, zones, instants)
def test_edges_change_the_state_in_every_zone(schedule: Schedule, name: str, at: datetime) -> None:
    zone = ZoneInfo(name)
    edge = next_edge(schedule, at, zone)
    if edge is not None:
        assert edge > at
        assert is_open(schedule, edge, zone) is not is_open(schedule, at, zone)
        assert is_open(schedule, edge - TICK, zone) is is_open(schedule, at, zone)
