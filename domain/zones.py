"""Finds time zones by their IANA names, and compares the days of two zones."""

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain.errors import InvalidValue
from domain.periods import ONE_DAY, day_starts_at


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """The IANA time zone called `name`.

    Raises InvalidValue for an unknown name, and for one such as `localtime` that means another zone on each machine.
    """
    if name.lower() in {"localtime", "posixrules"} or name.lower().startswith(("posix/", "right/")):
        raise InvalidValue("time_zone", f"{name!r} means something else on each machine; name an IANA time zone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidValue("time_zone", f"{name!r} is not an IANA time zone such as America/New_York") from None


def same_days(one: ZoneInfo, other: ZoneInfo, first_day: date, last_day: date) -> bool:
    """Whether each day from `first_day` to `last_day`, included, begins and ends at the same instants in both zones."""
    day = first_day
    while day <= last_day + ONE_DAY:
        if day_starts_at(day, one) != day_starts_at(day, other):
            return False
        day += ONE_DAY
    return True
