"""Timelines of campaigns: when each served or was held, as bars over whole local days, and how long, as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.reports.formats import hours
from domain.holds import hold_in_words
from domain.periods import ONE_DAY, day_starts_at, local_day
from domain.reporting.history import Stretch, merge_short_stretches, stretches
from domain.reporting.monthly import Span, seconds_of, times_of

SIX_HOURLY_DAYS: Final = 2
FINEST: Final = 500
"""Parts of the axis: stretches shorter than one part, which is thinner than a pixel, are merged."""
MAX_BARS: Final = 120


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a timeline; `left` and `width` in percent of the axis. `holds`: empty if the campaign served."""

    left: float
    width: float
    holds: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime


def timeline(
    changes: Iterable[tuple[datetime, tuple[str, ...]]], starts_at: datetime, ends_at: datetime, at: datetime
) -> dict[str, Any]:
    """A campaign's timeline from `starts_at` to `at`, on an axis that ends at `ends_at`.

    `bars`: stretches of equal holds as shares of the axis. `words`: how long the campaign served and was held, by hold.
    """
    parts = list(stretches(changes, starts_at, min(at, ends_at)))
    return {"bars": _bars(parts, starts_at, ends_at), "words": _words(parts)}


def _bars(parts: Sequence[Stretch], starts_at: datetime, ends_at: datetime) -> list[Bar]:
    whole = ends_at - starts_at
    least = whole / FINEST
    drawn = merge_short_stretches(parts, least)
    while len(drawn) > MAX_BARS:
        least *= 2
        drawn = merge_short_stretches(parts, least)

    def percent(moment: datetime) -> float:
        return round((moment - starts_at) / whole * 100, 3)

    return [
        Bar(
            left=percent(part.starts_at),
            width=round(percent(part.ends_at) - percent(part.starts_at), 3),
            holds=part.holds,
            starts_at=part.starts_at,
            ends_at=part.ends_at,
        )
        for part in drawn
    ]


def _words(parts: Sequence[Stretch]) -> str:
    """The text of a timeline for screen readers: time served, time held, and by which holds."""
    if not parts:
        return "no history"
    times = times_of(parts)
    held = seconds_of(Span(parts[0].starts_at, parts[-1].ends_at)) - times.served_seconds
    reasons = ", ".join(f"{hold_in_words(hold)} {hours(seconds)}" for hold, seconds in times.held_seconds.items())
    return f"served {hours(times.served_seconds)}" + (f"; held {hours(held)}: {reasons}" if reasons else "")


def timeline_span(zone: ZoneInfo, at: datetime, days: int) -> tuple[datetime, datetime]:
    """The start of the local day `days - 1` days ago, and the end of today."""
    today = local_day(at, zone)
    return day_starts_at(today - (days - 1) * ONE_DAY, zone), day_starts_at(today + ONE_DAY, zone)


def ticks(starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> list[tuple[float, str]]:
    """The ticks of the axis, as (percent of its width, label).

    Up to SIX_HOURLY_DAYS days: every six hours of local time. For more days: the starts of days, at most 13 of them.
    """
    whole, hour = ends_at - starts_at, timedelta(hours=1)
    days = max(1, round(whole / timedelta(days=1)))
    each = max(1, days // 7)
    walls = [
        (place * hour / whole * 100, (starts_at + place * hour).astimezone(zone)) for place in range(whole // hour)
    ]
    if days > SIX_HOURLY_DAYS:
        day_starts: dict[date, float] = {}
        for at, wall in walls:
            day_starts.setdefault(wall.date(), at)
        return [(round(at, 2), f"{day:%a %d}") for day, at in list(day_starts.items())[::each]]
    marks = [(at, wall) for at, wall in walls if wall.hour % 6 == 0]
    return [(round(at, 2), f"{wall:%a %d}" if days > 1 and not wall.hour else f"{wall:%H:%M}") for at, wall in marks]
