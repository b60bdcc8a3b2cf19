"""Compares the days of two time zones."""

from datetime import date
from zoneinfo import ZoneInfo

from domain.periods import ONE_DAY, day_starts_at


def same_days(one: ZoneInfo, other: ZoneInfo, first_day: date, last_day: date) -> bool:
    """Whether each day from `first_day` to `last_day`, included, begins and ends at the same instants in both zones."""
    day = first_day
    while day <= last_day + ONE_DAY:
        if day_starts_at(day, one) != day_starts_at(day, other):
            return False
        day += ONE_DAY
    return True
