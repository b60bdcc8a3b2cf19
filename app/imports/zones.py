"""Time zones as platforms write them, compared with IANA zones."""

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

_OFFSET: Final = re.compile(r"\(?(?:GMT|UTC)\s?([+-−])\s?(\d{1,2})(?::?(\d{2}))?\)?")


@cache
def zone_names(text: str | None) -> str | None:
    """The IANA zone that a text names, `UTC` for GMT and Z; None for offsets such as GMT-8, other names, and None."""
    if text is None:
        return None
    plain = text.strip().split(" ")[0].strip("()")
    if plain.upper() in {"UTC", "GMT", "Z"} and not _OFFSET.search(text):
        return "UTC"
    return next((name for name in (text.strip(), plain) if name in available_timezones()), None)


def written_offset(text: str) -> timedelta | None:
    """The distance from UTC, without summer time, in a text such as «(GMT-08:00) Pacific Time»; None without one."""
    found = _OFFSET.search(text)
    if found is None:
        return None
    span = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return span if found[1] == "+" else -span


def zone_offset(text: str | None, at: datetime) -> timedelta:
    """The UTC offset, at the wall-clock time `at`, of the IANA zone that a text names; zero if it names none."""
    name = zone_names(text)
    return timedelta() if name is None else ZoneInfo(name).utcoffset(at) or timedelta()


def same_zone(text: str, zone: str, at: datetime) -> bool | None:
    """Whether a platform's zone has the UTC offsets of the IANA zone `zone` in the year of `at`.

    Compares the 15th of each month. If the text is an offset such as GMT-8, it must be the offset of `zone` without
    summer time. None if the text is neither a known zone nor an offset.
    """
    own = ZoneInfo(zone)
    if (name := zone_names(text)) is not None:
        year = [at.replace(month=month, day=15, tzinfo=None) for month in range(1, 13)]
        return all(ZoneInfo(name).utcoffset(moment) == own.utcoffset(moment) for moment in year)
    if (offset := written_offset(text)) is not None:
        year = [at.replace(month=month, day=15, tzinfo=own) for month in range(1, 13)]
        return offset in {(moment.utcoffset() or timedelta()) - (moment.dst() or timedelta()) for moment in year} | {
            moment.utcoffset() for moment in year if not any(one.dst() for one in year)
        }
    return None
