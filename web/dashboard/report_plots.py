"""The plots of a monthly report as shapes in a square of 1000 by 1000, which the page stretches to fit.

Money stays integer micros; a coordinate is in thousandths of the square's width or height, from the top left.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import Any, Final, NamedTuple

from domain.budgets import Scope
from domain.holds import hold_in_words
from domain.periods import ONE_DAY, Period

FIELD: Final = 1000
GAP: Final = 6
TICKS: Final = 4
CAMPAIGNS_SHOWN: Final = 20
COLOURS: Final = 7
DAY_SECONDS: Final = 86_400


class Shape(NamedTuple):
    """A rectangle with its value (`amount`: micros or seconds), and `subject`, the day or reason in its title."""

    x: int
    y: int
    width: int
    height: int
    amount: int
    subject: str
    colour: int = 0


class Tick(NamedTuple):
    """A mark of an axis: its position and value."""

    at: int
    amount: int


@dataclass(frozen=True, slots=True)
class DayPlot:
    """A plot by day of the month: bars or a filled line, in micros, and the line of a limit.

    `ticks`: marks of the amounts; `days`: marks of the days. `line`, `area`, `limit`: SVG paths; empty if not drawn.
    """

    ticks: tuple[Tick, ...]
    days: tuple[Tick, ...]
    bars: tuple[Shape, ...]
    line: str
    area: str
    limit: str


class Row(NamedTuple):
    """The stacked bar of one campaign, or of the mean of several, which has no name. `campaigns`: how many."""

    name: str
    campaigns: int
    parts: tuple[Shape, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class HeldPlot:
    """Seconds held by campaign and reason.

    `reasons`: (colour, words) pairs, of which the last may stand for all other reasons. `step_seconds`: the distance
    between two ticks.
    """

    ticks: tuple[Tick, ...]
    rows: tuple[Row, ...]
    reasons: tuple[tuple[int, str], ...]
    step_seconds: int


def days_of(content: Mapping[str, Any]) -> list[date]:
    """The days of the report's month."""
    first_day, end_day = date.fromisoformat(content["first_day"]), date.fromisoformat(content["end_day"])
    return [first_day + place * ONE_DAY for place in range((end_day - first_day).days)]


def brand_limits(content: Mapping[str, Any], period: Period) -> dict[str, int]:
    """The brand's limits of one period, in micros, by the first day of each window."""
    return {
        limit["first_day"]: limit["limit_micros"]
        for limit in content["limits"]
        if limit["scope"] == Scope.BRAND and limit["period"] == period
    }


def spend_by_day(content: Mapping[str, Any]) -> DayPlot:
    """The days' spend as bars, with the daily limit as a line that steps where it was changed."""
    days = days_of(content)
    spent, limits = content["by_day"], brand_limits(content, Period.DAILY)
    low, high, step = scale([*spent.values(), *limits.values()])
    width = FIELD / len(days)
    bars = []
    for place, day in enumerate(days):
        micros = spent.get(day.isoformat(), 0)
        top, bottom = _from_top(max(micros, 0), low, high), _from_top(min(micros, 0), low, high)
        left = round(place * width) + GAP // 2
        bars.append(Shape(left, top, round(width) - GAP, bottom - top, micros, f"{day:%a} {day.day}"))
    steps = [limits.get(day.isoformat()) for day in days]
    return DayPlot(
        ticks=_ticks(low, high, step),
        days=tuple(Tick(round((place + 0.5) * width), day.day) for place, day in enumerate(days)),
        bars=tuple(bar for bar in bars if bar.amount),
        line="",
        area="",
        limit=_steps([None if limit is None else _from_top(limit, low, high) for limit in steps], width),
    )


def month_to_date(content: Mapping[str, Any], last_day: date) -> DayPlot:
    """The month's running sum of spend to the end of `last_day` as a filled line, and the monthly limit as a line."""
    days = days_of(content)
    passed = [day for day in days if day <= last_day]
    sums = list(accumulate((content["by_day"].get(day.isoformat(), 0) for day in passed), initial=0))
    limit = brand_limits(content, Period.MONTHLY).get(content["first_day"])
    low, high, step = scale([*sums, *([] if limit is None else [limit])])
    width = FIELD / len(days)
    points = [f"{round(place * width)} {_from_top(micros, low, high)}" for place, micros in enumerate(sums)]
    line, zero = f"M{' L'.join(points)}", _from_top(0, low, high)
    return DayPlot(
        ticks=_ticks(low, high, step),
        days=tuple(Tick(round((place + 0.5) * width), day.day) for place, day in enumerate(days)),
        bars=(),
        line=line,
        area=f"{line} V{zero} H0 Z",
        limit="" if limit is None else f"M0 {_from_top(limit, low, high)} H{FIELD}",
    )


def scale(amounts: Iterable[int], unit: int = 1) -> tuple[int, int, int]:
    """The lowest tick, the highest and the distance between two, of an axis that covers 0 and all amounts.

    The distance is a multiple of `unit`.
    """
    amounts = list(amounts)
    low, high = min(0, *amounts, 0), max(unit, *amounts, unit)
    step = _round_step(-(-(high - low) // (TICKS * unit))) * unit
    return low // step * step, -(-high // step) * step, step


def _round_step(least: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 … that is not under `least`."""
    power = int("1".ljust(len(str(least)), "0"))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least)


def _from_top(amount: int, low: int, high: int) -> int:
    """The vertical coordinate, from the top, of an amount on an axis from `low` at the bottom to `high` at the top.

    The axis is FIELD long.
    """
    return (high - amount) * FIELD // (high - low)


def _ticks(low: int, high: int, step: int) -> tuple[Tick, ...]:
    return tuple(Tick(_from_top(amount, low, high), amount) for amount in range(low, high + 1, step))


def _steps(heights: Sequence[int | None], width: float) -> str:
    """An SVG path: level within each place, vertical steps between places, with a gap where the height is None."""
    path = ""
    before: int | None = None
    for place, height in enumerate(heights):
        if height is not None:
            start = f"M{round(place * width)} {height}" if before is None else f"V{height}"
            path += f"{start} H{round((place + 1) * width)} "
        before = height
    return path.strip()


def held_by_campaign(content: Mapping[str, Any]) -> HeldPlot:
    """Time held by reason: a bar for each of the largest campaigns by spend, and one with the mean of the others."""
    coloured = _coloured(content["held_seconds"])
    groups = [(row["name"], 1, row["held_seconds"]) for row in largest(content)]
    others = others_held(content)
    if others:
        hidden = len(content["campaigns"]) - CAMPAIGNS_SHOWN
        groups.append(("", hidden, {hold: seconds // hidden for hold, seconds in others.items()}))
    longest = max((sum(held.values()) for _, _, held in groups), default=0)
    unit = DAY_SECONDS if longest > DAY_SECONDS else 3600
    _, high, step = scale([longest], unit)
    return HeldPlot(
        ticks=tuple(Tick(amount * FIELD // high, amount) for amount in range(0, high + 1, step)),
        rows=tuple(
            Row(name, campaigns, _stacked(held, coloured, high), sum(held.values()))
            for name, campaigns, held in groups
            if held
        ),
        reasons=_legend(coloured),
        step_seconds=step,
    )


def largest(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The CAMPAIGNS_SHOWN campaigns with the most spend, which a report's page lists one by one."""
    return sorted(content["campaigns"], key=lambda row: (-row["spent_micros"], row["campaign_id"]))[:CAMPAIGNS_SHOWN]


def others_held(content: Mapping[str, Any]) -> dict[str, int]:
    """Seconds by hold, summed over the campaigns that are not among the largest."""
    shown = {row["campaign_id"] for row in largest(content)}
    held: dict[str, int] = {}
    for row in content["campaigns"]:
        for hold, seconds in row["held_seconds"].items() if row["campaign_id"] not in shown else ():
            held[hold] = held.get(hold, 0) + seconds
    return held


def _coloured(held: Mapping[str, int]) -> dict[str, int]:
    """A colour's number (1 to COLOURS) for each hold, 1 for the longest; the shortest holds share the last colour."""
    by_length = sorted(held, key=lambda hold: -held[hold])
    return {hold: min(place, COLOURS) for place, hold in enumerate(by_length, start=1)}


def _legend(coloured: Mapping[str, int]) -> tuple[tuple[int, str], ...]:
    words: dict[int, str] = {}
    for hold, colour in coloured.items():
        words[colour] = "other reasons" if colour in words else hold_in_words(hold)
    return tuple(sorted(words.items()))


def _stacked(held: Mapping[str, int], coloured: Mapping[str, int], high: int) -> tuple[Shape, ...]:
    parts, before = [], 0
    for hold in sorted(held, key=coloured.__getitem__):
        left, right = before * FIELD // high, (before + held[hold]) * FIELD // high
        parts.append(Shape(left, 0, right - left, FIELD, held[hold], hold_in_words(hold), coloured[hold]))
        before += held[hold]
    return tuple(parts)
