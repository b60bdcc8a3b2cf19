"""Calendar days and budget windows in a brand's time zone, and the UTC instants at which they begin.

Time zone rules come from the IANA database, through zoneinfo.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

FIRST_DAY: Final = date(1990, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)
"""The last day that spend, flights and windows may use; FIRST_DAY is the first."""

FIRST_INSTANT: Final = datetime(1990, 1, 2, tzinfo=UTC)
END_INSTANT: Final = datetime(2199, 12, 30, tzinfo=UTC)
"""From FIRST_INSTANT up to, excluding, END_INSTANT, every time zone shows a day from FIRST_DAY to LAST_DAY."""

ONE_DAY: Final = timedelta(days=1)
_PROBE: Final = timedelta(hours=3)
_INSTANT: Final = timedelta(microseconds=1)


class Period(StrEnum):
    """The length of one budget window."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Window:
    """One concrete period of days from `first_day` up to, excluding, `end_day`, which is None for a lifetime."""

    first_day: date
    end_day: date | None

    def __contains__(self, day: date) -> bool:
        return self.first_day <= day and (self.end_day is None or day < self.end_day)


LIFETIME: Final = Window(date.min, None)


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The calendar day that the wall clock of `zone` shows at the instant `at`."""
    return at.astimezone(zone).date()


@lru_cache(maxsize=65536)
def day_starts_at(day: date, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) of the local `day`.

    If a clock change skips midnight, the day starts after the skip. A day that the zone skipped altogether (Apia,
    30 December 2011) starts, and ends, when the next day starts.
    """
    midnight = datetime.combine(day, time.min, tzinfo=zone)
    starts_at = midnight.astimezone(UTC)
    if local_day(starts_at, zone) == day and local_day(starts_at - _INSTANT, zone) < day:
        return starts_at
    return _first_instant_on_or_after(day, zone, around=starts_at)


def _first_instant_on_or_after(day: date, zone: ZoneInfo, *, around: datetime) -> datetime:
    before, after = around - 2 * ONE_DAY, around + 2 * ONE_DAY
    while after - before > _INSTANT:
        middle = before + (after - before) / 2
        if local_day(middle, zone) < day:
            before = middle
        else:
            after = middle
    return after


@lru_cache(maxsize=4096)
def window_of(period: Period, day: date) -> Window:
    """The window of `period` that contains `day`. Weeks begin on Monday."""
    match period:
        case Period.DAILY:
            return Window(day, day + ONE_DAY)
        case Period.WEEKLY:
            monday = day - timedelta(days=day.weekday())
            return Window(monday, monday + timedelta(days=7))
        case Period.MONTHLY:
            return Window(day.replace(day=1), _next_month(day))
        case Period.YEARLY:
            return Window(date(day.year, 1, 1), date(day.year + 1, 1, 1))
        case _:
            return LIFETIME


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def windows_between(period: Period, first_day: date, end_day: date) -> list[Window]:
    """The windows of `period` that contain any day from `first_day` up to, excluding, `end_day`, in order."""
    windows = [window_of(period, first_day)]
    while (following := windows[-1].end_day) is not None and following < end_day:
        windows.append(window_of(period, following))
    return windows


def next_transition(at: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant (UTC) after `at` at which the zone's UTC offset changes.

    None if it does not change before the end of the year (UTC) after that of `at`.
    """
    at = at.astimezone(UTC)
    for year in (at.year, at.year + 1):
        transitions = _transitions(zone, year)
        position = bisect_right(transitions, at)
        if position < len(transitions):
            return transitions[position]
    return None


@lru_cache(maxsize=4096)
def _transitions(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """Every change of the zone's UTC offset in a UTC year, found by search, because zoneinfo does not list them."""
    transitions = []
    before, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    while before < end:
        after = before + _PROBE
        if _offset(before, zone) != _offset(after, zone):
            transitions.append(_change_between(before, after, zone))
        before = after
    return tuple(transitions)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    old = _offset(before, zone)
    while after - before > _INSTANT:
        middle = before + (after - before) / 2
        if _offset(middle, zone) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - an aware datetime has one
    return offset
