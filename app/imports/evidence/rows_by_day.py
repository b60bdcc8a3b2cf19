"""Refuses files whose rows do not cover one day or a part of it, and warns of files that may have such rows."""

from collections.abc import Collection
from datetime import date
from typing import Final

from app.imports.answers import Choice, Question, ReadOptions, Refused
from app.imports.evidence.dates import Day, Moment, Numeric, Read, read_day
from app.imports.evidence.days import Days
from app.imports.evidence.gathered import Evidence
from app.imports.headings.columns import Columns, day_fix

FEW_HOURS: Final = 3
NOON: Final = 12
EVENINGS_FROM: Final = 11
"""Hour of UTC, 0 to 23, from which a row may stand for a midnight east of UTC: 11 where clocks are 13 hours ahead."""

ABOUT_EVENINGS: Final = "times of days"
SHORT_YEARS_FROM: Final = 15
SAME_WEEKDAYS: Final = 3


def check_one_day_each(evidence: Evidence, columns: Columns, days: Days, platform: str | None) -> None:
    """Raises Refused for rows that cover more than a day, or whose day is not certain.

    A day is not certain if the cell is a time other than midnight with a zone, if two of its numbers can be the year,
    or if the row has no hour among rows by hour. `platform`: its canonical name, for the advice; None: unknown.
    """
    if evidence.period is not None:
        row, period = evidence.period
        cell = row.cells[columns.day.place].strip()
        raise Refused(f"line {row.line} has {cell!r}, {period.kind}: each row must be of one day", day_fix(platform))
    _check_short_years(evidence)
    if evidence.days.hours and evidence.days.hourless is not None and columns.hour is not None:
        raise Refused(
            f"line {evidence.days.hourless} has no hour among rows of hours: it may be the sum of its day",
            "export it by day, or by hour with an hour in each row",
        )
    if evidence.days.moment is not None:
        line, cell = evidence.days.moment
        raise Refused(f"line {line} has {cell!r}, a moment and not a day", "export days in the account's own time zone")
    if columns.end is not None:
        _check_ends(evidence, columns, days, platform)


def _check_short_years(evidence: Evidence) -> None:
    """Raises Refused if all days with two-digit years begin with the same number, which can be the year too."""
    firsts = evidence.days.short_years
    if firsts and len(firsts) == 1 and next(iter(firsts)) >= SHORT_YEARS_FROM:
        line, cell = next(iter(firsts.values()))
        raise Refused(f"line {line} has {cell.strip()!r}, in which two numbers can be the year", "write years in full")


def spacing_warning(days: Collection[date]) -> str | None:
    """A warning if rows may be of weeks or months; else None.

    They may be if all days, at least three, are one weekday, or all days, at least two, are the first of a month.
    """
    if len(days) >= SAME_WEEKDAYS and len({day.weekday() for day in days}) == 1:
        return f"every day is a {min(days):%A}: if rows are of weeks, export them by day"
    if len(days) > 1 and {day.day for day in days} == {1}:
        return "every day is the first of a month: if rows are of months, export them by day"
    return None


def _check_ends(evidence: Evidence, columns: Columns, days: Days, platform: str | None) -> None:
    gaps: dict[int, tuple[int, str, str]] = {}
    starts = set()
    for (start, end), line in evidence.ends.items():
        first, last = days.read(start), days.of(read_day(end))
        if first is None or last is None:
            continue
        gap = (last - first).days
        if gap == 1 and ":" in end and _is_midnight(read_day(end)):
            gap = 0
        gaps.setdefault(gap, (line, start, end))
        starts.add(first)
    long = next((told for gap, told in sorted(gaps.items()) if gap), None)
    if long is not None and (columns.end_counts or (len(gaps) == 1 and len(starts) > 1)):
        line, start, end = long
        raise Refused(
            f"line {line} covers {start.strip()} to {end.strip()}, and each row must be of one day", day_fix(platform)
        )


def _is_midnight(read: Read) -> bool:
    if isinstance(read, Moment):
        return read.day is not None
    return isinstance(read, Day | Numeric) and read.hour is None


def check_evenings(evidence: Evidence, columns: Columns, options: ReadOptions) -> None:
    """Raises Question if all rows of each day have one late time, unless the options say what it means.

    Late is from 12:00 on, in files of several days from 11:00 on. The time may be the midnight that begins the next
    day: pipelines write midnights of zones east of UTC in UTC, with the date of the day before.
    """
    hours = _one_a_day(evidence, columns)
    first = EVENINGS_FROM if len(evidence.days.hours) > 1 else NOON
    if options.evening_times is not None or not hours or hours[0] < first:
        return
    shown = " or ".join(f"{hour:02}:00" for hour in hours)
    choices = [
        Choice("times are of the written day", {"evening_times": "same_day"}),
        Choice("times are midnights that begin the next day, in UTC", {"evening_times": "next_day"}),
    ]
    day = min(evidence.days.hours)
    raise Question(
        ABOUT_EVENINGS,
        choices,
        f"all rows of a day have one time, {shown} on {day}: an hour of the written day, or the midnight that begins "
        f"the next day in a zone east of UTC, written in UTC",
    )


def hours_warning(evidence: Evidence, columns: Columns, options: ReadOptions) -> str | None:
    """A warning if the rows name at most FEW_HOURS hours of their days, not midnight alone; else None.

    None too if each of several days has one time, the same or an hour apart: it may be a midnight written in UTC. A
    time before noon is then of a zone west of UTC, and its date is the right day; for a later time, the options say
    which day it is. A single day with one time gets no warning if the options say that it is the next day's midnight.
    """
    times = evidence.days.hours
    hours = set().union(*times.values()) if times else set()
    if not hours or len(hours) > FEW_HOURS or hours == {0}:
        return None
    if _one_a_day(evidence, columns) and (len(times) > 1 or options.evening_times == "next_day"):
        return None
    shown = ", ".join(f"{hour:02}:00" for hour in sorted(hours))
    return (
        f"the file has only the hour{'s' if len(hours) > 1 else ''} {shown} of its days, "
        "and a total must be of a whole day"
    )


def _one_a_day(evidence: Evidence, columns: Columns) -> list[int]:
    """The hours other than 0 if every day has one hour and these are equal or one apart (a clock change); else empty.

    Empty too if a column has the hours.
    """
    times = evidence.days.hours
    if columns.hour is not None or not all(len(own) == 1 for own in times.values()):
        return []
    every = set().union(*times.values()) if times else set()
    hours = sorted(every - {0})
    is_one = bool(hours) and hours[-1] - hours[0] <= 1 and (0 not in every or hours in ([1], [23]))
    return hours if is_one else []
