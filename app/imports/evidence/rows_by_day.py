"""Refuses files whose rows do not cover one day or a part of it, and warns of files that may have such rows."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Final

from app.imports.answers import Refused
from app.imports.evidence.dates import Day, Moment, Numeric, Read, read_day
from app.imports.evidence.days import Days
from app.imports.evidence.gathered import Evidence
from app.imports.headings.columns import Columns, day_fix

FEW_HOURS: Final = 3
NOON: Final = 12
SHORT_YEARS_FROM: Final = 15
SAME_WEEKDAYS: Final = 3


def check_one_day_each(evidence: Evidence, columns: Columns, days: Days, platform: str | None) -> None:
    """Raises Refused for rows that cover more than a day, or whose day is not certain.

    Such are times other than midnight with a zone, dates in which two numbers can be the year, and rows without an hour
    among rows by hour.
    """
    if evidence.period is not None:
        row, period = evidence.period
        cell = row.cells[columns.day.place].strip()
        raise Refused(f"line {row.line} has {cell!r}, {period.kind}: a total needs one day", day_fix(platform))
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
    """A warning if rows may be of weeks or months: all days are one weekday or the first of a month. Else None."""
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
            f"line {line} covers {start.strip()} to {end.strip()}, and a total needs one day", day_fix(platform)
        )


def _is_midnight(read: Read) -> bool:
    if isinstance(read, Moment):
        return read.day is not None
    return isinstance(read, Day | Numeric) and read.hour is None


def hours_warning(evidence: Evidence) -> str | None:
    """A warning if the rows name at most FEW_HOURS hours of their days; else None."""
    times = evidence.days.hours
    hours = set().union(*times.values()) if times else set()
    if not hours or len(hours) > FEW_HOURS or hours == {0} or is_midnight_elsewhere(times):
        return None
    shown = ", ".join(f"{hour:02}:00" for hour in sorted(hours))
    return (
        f"the file has only the hour{'s' if len(hours) > 1 else ''} {shown} of its days, "
        "and a total needs the whole day"
    )


def is_midnight_elsewhere(times: Mapping[str, set[int]]) -> bool:
    """Whether each of several days has one hour before noon, the same for all or one apart, as where clocks change.

    Pipelines write the midnight of zones west of UTC as such an hour in UTC. Its date is the right day.
    """
    hours = set().union(*times.values()) if times else set()
    one_each = all(len(own) == 1 for own in times.values())
    return len(times) > 1 and one_each and min(hours) > 0 and max(hours) < NOON and max(hours) - min(hours) <= 1
