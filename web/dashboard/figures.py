"""Rows turned into what the pages say of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from db.repository.zones import readable_zones
from domain.campaigns import Hold
from domain.history import stretches
from domain.pacing import Pace, pace
from domain.periods import ONE_DAY, Period, Window, day_starts_at, local_day, window_of
from domain.words import hold_in_words

LIFTED_BY_PEOPLE: Final = {Hold.USER_PAUSED, Hold.ARCHIVED, Hold.BRAND_PAUSED, Hold.FLIGHT_ENDED}


@dataclass(frozen=True, slots=True)
class Held:
    """Campaigns of one brand that share a reason; `next_change_at` is when the clock may change it (None: never)."""

    reason: str
    campaigns: int
    next_change_at: datetime | None


@dataclass(frozen=True, slots=True)
class BrandFigures:
    """One brand as the pages show it, at an instant."""

    id: int
    name: str
    zone: ZoneInfo
    currency: str
    configured_status: str
    today: Pace
    month: Pace
    active: int
    held: tuple[Held, ...]

    @property
    def campaigns(self) -> int:
        return self.active + sum(held.campaigns for held in self.held)


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a timeline in percent of its width: served, or held for reasons."""

    left: float
    width: float
    holds: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime


def brand_figures(
    rows: Iterable[Mapping[str, Any]], held: Sequence[Mapping[str, Any]], at: datetime
) -> list[BrandFigures]:
    """The brands of a page; one whose zone does not exist is left out, as enforcement leaves it alone."""
    rows = list(rows)
    zones = readable_zones({row["time_zone"] for row in rows})
    return [
        BrandFigures(
            id=row["id"],
            name=row["name"],
            zone=zones[row["time_zone"]],
            currency=row["currency"],
            configured_status=row["configured_status"],
            today=pace_of(Period.DAILY, zones[row["time_zone"]], row["today_micros"], row["daily_limit_micros"], at),
            month=pace_of(
                Period.MONTHLY, zones[row["time_zone"]], row["month_micros"], row["monthly_limit_micros"], at
            ),
            active=sum(group["campaigns"] for group in held if group["brand_id"] == row["id"] and not group["holds"]),
            held=_held(group for group in held if group["brand_id"] == row["id"] and group["holds"]),
        )
        for row in rows
        if row["time_zone"] in zones
    ]


def _held(groups: Iterable[Mapping[str, Any]]) -> tuple[Held, ...]:
    """Groups of the same holds by their first hold: the one that a person would name."""
    by_reason: dict[str, Held] = {}
    for group in groups:
        reason = hold_in_words(group["holds"][0])
        known = by_reason.get(reason, Held(reason, 0, None))
        lifts_at = None if group["holds"][0] in LIFTED_BY_PEOPLE else group["next_change_at"]
        moments = [moment for moment in (known.next_change_at, lifts_at) if moment is not None]
        by_reason[reason] = Held(reason, known.campaigns + group["campaigns"], min(moments, default=None))
    return tuple(sorted(by_reason.values(), key=lambda held: -held.campaigns))


def pace_of(period: Period, zone: ZoneInfo, spent_micros: int, limit_micros: int | None, at: datetime) -> Pace:
    """The pace of the period's current window by the zone's calendar."""
    starts_at, ends_at = instants(window_of(period, local_day(at, zone)), zone)
    return pace(spent_micros, limit_micros, starts_at, ends_at, at)


def instants(window: Window, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants between which a window with an end lies."""
    assert window.end_day is not None  # noqa: S101 - a lifetime has no pace
    return day_starts_at(window.first_day, zone), day_starts_at(window.end_day, zone)


def budget_paces(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo, at: datetime) -> Iterator[tuple[str, Pace]]:
    """Each budget's period and pace; a lifetime has spent and limit alone."""
    for row in rows:
        period = Period(row["period"])
        if period is Period.LIFETIME:
            yield period, Pace(row["spent_micros"], row["limit_micros"], None, None, None)
        else:
            yield period, pace_of(period, zone, row["spent_micros"], row["limit_micros"], at)


def bars(
    changes: Iterable[tuple[datetime, tuple[str, ...]]], starts_at: datetime, ends_at: datetime, at: datetime
) -> list[Bar]:
    """A campaign's timeline: what held from the start to now, on an axis that reaches to the end."""
    whole = (ends_at - starts_at) / timedelta(seconds=1)

    def percent(moment: datetime) -> float:
        return round((moment - starts_at) / timedelta(seconds=1) / whole * 100, 3)

    return [
        Bar(
            percent(part.starts_at),
            percent(part.ends_at) - percent(part.starts_at),
            part.holds,
            part.starts_at,
            part.ends_at,
        )
        for part in stretches(changes, starts_at, min(at, ends_at))
    ]


def timeline_span(zone: ZoneInfo, at: datetime, days: int) -> tuple[datetime, datetime]:
    """From the start of the local day `days - 1` days ago to the end of today."""
    today = local_day(at, zone)
    return day_starts_at(today - (days - 1) * ONE_DAY, zone), day_starts_at(today + ONE_DAY, zone)
