"""Regroups spend by the hours of one time zone into the days of another.

A platform names an hour by the wall clock of the account's zone, so an hour that a clock change repeats is one figure.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from domain.periods import ONE_DAY, day_starts_at, local_day

HOURS_A_DAY: Final = 24
ONE_HOUR: Final = timedelta(hours=1)
ONE_MINUTE: Final = timedelta(minutes=1)
_INSTANT: Final = timedelta(microseconds=1)

Key = TypeVar("Key", bound=Hashable)


class SharedHour(NamedTuple):
    """An hour of one zone, named by its day and number, in which the other zone's `first` day ends and `second` begins.

    Its figure may belong to either day.
    """

    day: date
    hour: int
    first: date
    second: date


@dataclass(frozen=True)
class Regrouped(Generic[Key]):
    """Micros by (key, day). `shared`: hours that cannot be split; both days of each are left out of `days`."""

    days: Mapping[tuple[Key, date], int]
    shared: tuple[SharedHour, ...]

    @property
    def left_out(self) -> frozenset[date]:
        """The days whose figures are unknown because they share an hour with another day."""
        return frozenset(day for hour in self.shared for day in (hour.first, hour.second))


def days_to_read(first_day: date, last_day: date, zone: ZoneInfo, other: ZoneInfo) -> tuple[date, date]:
    """The first and last day in `zone` that together cover the days `first_day` to `last_day`, included, in `other`."""
    starts_at, ends_at = day_starts_at(first_day, other), day_starts_at(last_day + ONE_DAY, other)
    return local_day(starts_at, zone), local_day(max(starts_at, ends_at - _INSTANT), zone)


def regrouped(
    figures: Iterable[tuple[Key, date, int, int]], zone: ZoneInfo, other: ZoneInfo, first_day: date, last_day: date
) -> Regrouped[Key]:
    """Sums figures (key, day, hour, micros) of `zone` into the days `first_day` to `last_day`, included, of `other`.

    Leaves out figures of other days, and both days that share an hour which cannot be split.
    """
    day_of: dict[tuple[date, int], date] = {}
    shared: list[SharedHour] = []
    for day, hour in _hours(*days_to_read(first_day, last_day, zone, other)):
        starts_at, ends_at = span(day, hour, zone)
        first, second = local_day(starts_at, other), local_day(ends_at - _INSTANT, other)
        if first == second:
            day_of[day, hour] = first
        elif first <= last_day and second >= first_day:
            shared.append(SharedHour(day, hour, first, second))
    result = Regrouped[Key]({}, tuple(shared))
    left_out, days = result.left_out, dict[tuple[Key, date], int]()
    for key, day, hour, micros in figures:
        in_day = day_of.get((day, hour))
        if in_day is not None and first_day <= in_day <= last_day and in_day not in left_out:
            days[key, in_day] = days.get((key, in_day), 0) + micros
    return Regrouped(days, result.shared)


def _hours(first_day: date, last_day: date) -> Iterator[tuple[date, int]]:
    day = first_day
    while day <= last_day:
        for hour in range(HOURS_A_DAY):
            yield day, hour
        day += ONE_DAY


@lru_cache(maxsize=65536)
def span(day: date, hour: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The first instant (UTC) at which the wall clock shows this hour, and the instant after the last.

    An hour that is repeated spans both times. One that is skipped spans one instant, at which the clock skips it.
    """
    begin = datetime(day.year, day.month, day.day, hour, tzinfo=zone)
    starts_at, ends_at = _only_instant(begin), _only_instant(begin + ONE_HOUR)
    if starts_at is not None and ends_at is not None and ends_at - starts_at == ONE_HOUR:
        return starts_at, ends_at
    minutes = [begin + number * ONE_MINUTE for number in range(60)]
    shown = [
        at
        for minute in minutes
        for at in (_instant(minute, fold) for fold in (0, 1))
        if at.astimezone(zone).replace(tzinfo=None) == minute.replace(tzinfo=None)
    ]
    if not shown:
        skipped_at = _instant(begin, 0)
        return skipped_at, skipped_at + _INSTANT
    return min(shown), max(shown) + ONE_MINUTE


def _instant(local: datetime, fold: int) -> datetime:
    return local.replace(fold=fold).astimezone(UTC)


def _only_instant(local: datetime) -> datetime | None:
    """The instant of a wall time that the clock shows once; None if it is repeated or skipped."""
    first = _instant(local, 0)
    return first if first == _instant(local, 1) else None
