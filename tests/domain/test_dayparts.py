"""Dayparts: single ones, whole schedules, and their text form."""

from datetime import datetime
from itertools import pairwise, permutations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.schedules import (
    Daypart,
    Schedule,
    copy_weekday,
    dayparts_from,
    format_schedule,
    normalised,
    parse_schedule,
)
from tests.domain.facts import HOUR, QUICK, dayparts, minutes_after, moments, open_by_hand, schedules

MONDAY, TUESDAY, SATURDAY, SUNDAY = 1, 2, 6, 7


# Dayparts


@pytest.mark.parametrize("weekday", [-1, 0, 8])
def test_a_weekday_outside_1_to_7_is_refused(weekday: int) -> None:
    with pytest.raises(InvalidValue, match="between 1 \\(Monday\\) and 7") as refusal:
        Daypart(weekday, 0, 60)
    assert refusal.value.field == "weekday"


@pytest.mark.parametrize(("starts", "ends"), [(-1, 60), (60, 60), (61, 60), (0, 1441), (1440, 1441), (1440, 1440)])
def test_a_daypart_outside_its_day_or_empty_is_refused(starts: int, ends: int) -> None:
    with pytest.raises(InvalidValue, match="must end after it starts, in minutes from 0 to 1440") as refusal:
        Daypart(MONDAY, starts, ends)
    assert refusal.value.field == "daypart"


def test_a_window_within_its_day_is_one_daypart() -> None:
    assert dayparts_from(MONDAY, 540, 1020) == (Daypart(MONDAY, 540, 1020),)


def test_a_window_over_midnight_is_two_dayparts() -> None:
    assert dayparts_from(MONDAY, 1320, 360) == (Daypart(MONDAY, 1320, 1440), Daypart(TUESDAY, 0, 360))


def test_a_window_over_midnight_of_sunday_ends_on_monday() -> None:
    assert dayparts_from(SUNDAY, 1320, 360) == (Daypart(SUNDAY, 1320, 1440), Daypart(MONDAY, 0, 360))


def test_a_window_that_ends_at_midnight_is_one_daypart() -> None:
    assert dayparts_from(MONDAY, 1320, 0) == dayparts_from(MONDAY, 1320, 1440) == (Daypart(MONDAY, 1320, 1440),)


def test_window_that_ends_at_its_start_lasts_24_hours() -> None:
    assert dayparts_from(MONDAY, 360, 360) == (Daypart(MONDAY, 360, 1440), Daypart(TUESDAY, 0, 360))


def test_adjoining_or_overlapping_dayparts_are_merged() -> None:
    parts = (Daypart(MONDAY, 60, 120), Daypart(MONDAY, 120, 180), Daypart(MONDAY, 150, 170), Daypart(MONDAY, 181, 200))
    for order in permutations(parts):
        assert normalised(order) == (Daypart(MONDAY, 60, 180), Daypart(MONDAY, 181, 200))


def test_dayparts_of_two_days_are_not_merged() -> None:
    parts = (Daypart(MONDAY, 0, 1440), Daypart(TUESDAY, 0, 1440))
    assert normalised(reversed(parts)) == parts


@QUICK
@given(schedules, moments)
def test_normalised_schedule_is_open_in_the_same_minutes(schedule: Schedule, moment: tuple[str, datetime]) -> None:
    zone, at = ZoneInfo(moment[0]), moment[1]
    assert normalised(normalised(schedule)) == normalised(schedule)
    for later in minutes_after(at, 3 * HOUR):
        assert open_by_hand(normalised(schedule), later, zone) is open_by_hand(schedule, later, zone)


@QUICK
@given(schedules)
def test_normalised_dayparts_neither_overlap_nor_adjoin(schedule: Schedule) -> None:
    for one, following in pairwise(normalised(schedule)):
        assert (one.weekday, one.ends_minute) < (following.weekday, following.starts_minute)


def test_copied_weekday_replaces_the_dayparts_of_other_days() -> None:
    schedule = parse_schedule("Mon 09:00-12:00, Mon 13:00-17:00, Sat 08:00-20:00, Sun 01:00-02:00")
    expected = "Mon-Tue 09:00-12:00, Mon-Tue 13:00-17:00, Sat 09:00-12:00, Sat 13:00-17:00, Sun 01:00-02:00"
    assert copy_weekday(schedule, MONDAY, onto=[TUESDAY, SATURDAY]) == parse_schedule(expected)


def test_weekday_copied_onto_itself_does_not_change() -> None:
    schedule = parse_schedule("Mon 09:00-12:00")
    assert copy_weekday(schedule, MONDAY, onto=[MONDAY]) == schedule


@QUICK
@given(schedules, st.integers(1, 7), st.sets(st.integers(1, 7)))
def test_copied_days_equal_the_model_and_other_days_do_not_change(
    schedule: Schedule, weekday: int, onto: set[int]
) -> None:
    def minutes_of(parts: Schedule, day: int) -> list[tuple[int, int]]:
        return [(part.starts_minute, part.ends_minute) for part in parts if part.weekday == day]

    before = normalised(schedule)
    kept = {part.weekday for part in before} - (onto - {weekday})
    assume(kept or not onto - {weekday})
    after = copy_weekday(schedule, weekday, onto)
    for day in range(1, 8):
        assert minutes_of(after, day) == minutes_of(before, weekday if day in onto else day)


def test_copying_a_closed_day_over_the_only_open_one_is_refused() -> None:
    with pytest.raises(InvalidValue, match="nothing would be open"):
        copy_weekday(parse_schedule("Tue 09:00-10:00"), 1, [2])


# As people write them


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("Mon-Fri 09:00-17:30", "Mon 09:00-17:30, Tue 09:00-17:30, Wed 09:00-17:30, Thu 09:00-17:30, Fri 09:00-17:30"),
        ("monday 9:00-10:00", "Mon 09:00-10:00"),
        ("MON 09:00-10:00,tue 09:00-10:00", "Mon-Tue 09:00-10:00"),
        ("Sat-Mon 10:00-11:00", "Sat 10:00-11:00, Sun 10:00-11:00, Mon 10:00-11:00"),
        ("daily 12:00-13:00", "Mon-Sun 12:00-13:00"),
        ("everyday 12:00-13:00", "Mon-Sun 12:00-13:00"),
        ("Mon-Mon 12:00-13:00", "Mon 12:00-13:00"),
        ("Mon 22:00-00:00", "Mon 22:00-24:00"),
        ("Mon 22:00-06:00", "Mon 22:00-24:00, Tue 00:00-06:00"),
        ("Mon 09:00-10:00, Mon 10:00-11:00, Mon 09:30-10:30", "Mon 09:00-11:00"),
        (" , Mon 09:00-10:00 , ", "Mon 09:00-10:00"),
    ],
)
def test_schedules_are_read_as_people_write_them(text: str, same_as: str) -> None:
    assert parse_schedule(text) == parse_schedule(same_as)


def test_a_schedule_reads_as_its_dayparts() -> None:
    assert parse_schedule("Sat 22:00-06:00, Mon 00:00-24:00") == (
        Daypart(MONDAY, 0, 1440),
        Daypart(SATURDAY, 1320, 1440),
        Daypart(SUNDAY, 0, 360),
    )


@pytest.mark.parametrize("text", ["", "  ", ",", " , "])
def test_empty_text_is_read_as_no_dayparts(text: str) -> None:
    assert parse_schedule(text) == ()


@pytest.mark.parametrize(
    "part",
    [
        "Mon",
        "09:00-10:00",
        "Mon 09:00",
        "Mon 9-10",
        "Mon 09:00-10:00 Tue",
        "Mon 09:0-10:00",
        "Mon -1:00-10:00",
        "Mon09:00-10:00",
        "1 09:00-10:00",
        "Mon\x0009:00-10:00",
    ],
)
def test_error_quotes_the_unreadable_part(part: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        parse_schedule(f"Tue 09:00-10:00, {part}")
    assert refusal.value.field == "schedule"
    assert refusal.value.message.startswith(f"cannot read {part!r}")


@pytest.mark.parametrize("word", ["Foo", "Mo", "Day", "daily-Fri", "Fri-daily"])
def test_unknown_weekday_is_refused(word: str) -> None:
    with pytest.raises(InvalidValue, match="is not a day of the week"):
        parse_schedule(f"{word} 09:00-10:00")


@pytest.mark.parametrize("time", ["24:01", "25:00", "99:99", "12:60"])
def test_a_time_beyond_24_00_is_refused(time: str) -> None:
    with pytest.raises(InvalidValue, match="is not a time between 00:00 and 24:00"):
        parse_schedule(f"Mon 09:00-{time}")


@pytest.mark.parametrize("times", ["09:00-09:00", "00:00-00:00"])
def test_an_empty_window_is_refused_with_the_way_to_write_a_whole_day(times: str) -> None:
    with pytest.raises(InvalidValue, match="a whole day is 00:00-24:00"):
        parse_schedule(f"Mon {times}")


def test_a_window_that_starts_at_24_00_is_refused_and_quoted() -> None:
    with pytest.raises(InvalidValue) as refusal:
        parse_schedule("Mon 24:00-06:00")
    assert refusal.value.field == "schedule"
    assert "24:00" in refusal.value.message


@pytest.mark.parametrize("text", ["Mon 09:00-17:30", "Mon 00:00-24:00, Sun 22:05-24:00"])
def test_a_schedule_is_written_day_by_day(text: str) -> None:
    assert format_schedule(parse_schedule(text)) == text


def test_a_schedule_without_dayparts_is_written_and_read_as_always() -> None:
    assert format_schedule(()) == "always"
    assert parse_schedule("always") == ()


@QUICK
@given(st.lists(dayparts, min_size=1).map(normalised))
def test_formatted_schedule_is_parsed_to_the_same_dayparts(schedule: Schedule) -> None:
    assert parse_schedule(format_schedule(schedule)) == schedule


@QUICK
@given(
    st.text(max_size=30) | st.from_regex(r"(Mon|Sun|daily)(-Fri)? [0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}", fullmatch=True)
)
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        schedule = parse_schedule(text)
    except InvalidValue:
        return
    assert normalised(schedule) == schedule
