"""The figures of a brand's plots as JSON for static/app.js, in micros; the spend of hours and days to come is None."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

from domain.periods import ONE_DAY
from domain.reporting.pacing import Pace

HOURS = range(24)


def day_chart(
    hours: Mapping[date, Mapping[int, int]],
    today: date,
    counted_micros: int,
    limit_micros: int | None,
    at: datetime,
    zone: ZoneInfo,
) -> dict[str, Any]:
    """Today's spend by hour and as a running sum, beside running sums of the same weekday in earlier weeks.

    `even`: the running sum if every hour spent the same part of the limit; None without `limit_micros`. `usual`,
    `least`, `most`: the mean, the least and the most of the earlier weeks; None without earlier weeks. `hours`: spend
    in micros by day and local hour, rolled up every few minutes; the current hour also gets the spend since: today's
    counter `counted_micros` less today's `hours`.
    """
    now = at.astimezone(zone).hour
    spent = [hours.get(today, {}).get(hour, 0) for hour in HOURS]
    spent[now] += counted_micros - sum(spent)
    before = [
        [by_hour.get(hour, 0) for hour in HOURS] for day, by_hour in sorted(hours.items()) if day != today and by_hour
    ]
    running = [list(accumulate(day)) for day in before]
    return {
        "kind": "day",
        "hours": [spent[hour] if hour <= now else None for hour in HOURS],
        "today": [*accumulate(spent[: now + 1]), *([None] * (23 - now))],
        "even": None if limit_micros is None else [limit_micros * (hour + 1) // 24 for hour in HOURS],
        "usual": _hour_by_hour(running, lambda sums: sum(sums) // len(sums)),
        "least": _hour_by_hour(running, min),
        "most": _hour_by_hour(running, max),
        "days_before": len(before),
        "limit": limit_micros,
        "now": _wall_hours(at, zone),
    }


def _hour_by_hour(running_sums: Sequence[Sequence[int]], fold: Any) -> list[int] | None:
    """For each of the 24 hours, `fold` of the sums that the days had reached by its end, in micros; None without days.

    `running_sums`: for each day a list of its spend from midnight to the end of each hour.
    """
    return [fold(sums) for sums in zip(*running_sums, strict=True)] if running_sums else None


def month_chart(
    days: Mapping[date, int], first_day: date, end_day: date, month: Pace, at: datetime, zone: ZoneInfo
) -> dict[str, Any]:
    """The month's spend by day (`by_day`) and as a running sum (`spent`), with the limit and the projected spend.

    `even`: the running sum if every day spent the same part of the limit; None without a limit. The argument `days` has
    the spend in micros by day.
    """
    today = at.astimezone(zone).date()
    calendar = list(_days(first_day, end_day))
    passed = [day for day in calendar if day <= today]
    return {
        "kind": "month",
        "days": [day.day for day in calendar],
        "by_day": [days.get(day, 0) if day <= today else None for day in calendar],
        "spent": [*accumulate(days.get(day, 0) for day in passed), *([None] * (len(calendar) - len(passed)))],
        "even": None
        if month.limit_micros is None
        else [month.limit_micros * place // len(calendar) for place in range(1, len(calendar) + 1)],
        "limit": month.limit_micros,
        "projected": month.projected_micros,
    }


def _days(first_day: date, end_day: date) -> Iterable[date]:
    while first_day < end_day:
        yield first_day
        first_day += ONE_DAY


def _wall_hours(at: datetime, zone: ZoneInfo) -> float:
    """The time of the zone's wall clock in hours, 13.5 for 13:30; the plot's axis has hours of the wall clock too."""
    wall = at.astimezone(zone)
    return wall.hour + wall.minute / 60
