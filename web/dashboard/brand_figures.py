"""Turns rows of brands and budgets into the figures that pages show: spend, limit and projection of each window."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from db.repository.shared.zones import readable_zones
from domain.budgets import BudgetSpend
from domain.periods import Period, Window, day_starts_at, local_day, window_of
from domain.reporting.pacing import Pace, most_to_spend, pace
from web.dashboard.held import BrandStatus, HeldGroup


@dataclass(frozen=True, slots=True)
class BrandFigures:
    """One brand as the pages show it, at an instant.

    `today`, `month`: the pace of the day and of the month. `active`: the number of serving campaigns. `held`: the held
    campaigns, in groups of equal holds. `limits`: the brand's own budgets with their spend; may be empty if no campaign
    serves. `is_stopped`: it has campaigns and none serves. `spend_received_at`: when its newest spend was received;
    None: never.
    """

    id: int
    name: str
    zone: ZoneInfo
    currency: str
    configured_status: str
    today: Pace
    month: Pace
    active: int
    held: tuple[HeldGroup, ...]
    limits: tuple[BudgetSpend, ...]
    is_stopped: bool
    spend_received_at: datetime | None

    @property
    def campaigns(self) -> int:
        return self.active + sum(held.campaigns for held in self.held)


def brand_figures(
    rows: Iterable[Mapping[str, Any]], statuses: Mapping[int, BrandStatus], at: datetime
) -> list[BrandFigures]:
    """The figures of each brand, in the order of `rows`. `statuses`: by brand id.

    Omits a brand whose time zone does not exist; enforcement skips it too.
    """
    rows = list(rows)
    zones = readable_zones({row["time_zone"] for row in rows})
    return [
        _figures(row, zones[row["time_zone"]], statuses.get(row["id"], BrandStatus()), at)
        for row in rows
        if row["time_zone"] in zones
    ]


def _figures(row: Mapping[str, Any], zone: ZoneInfo, status: BrandStatus, at: datetime) -> BrandFigures:
    def pace(period: Period, spent_micros: int, limit_micros: int | None) -> Pace:
        return pace_of(period, zone, spent_micros, limit_micros, at, status.limits, serves=not status.is_stopped)

    return BrandFigures(
        id=row["id"],
        name=row["name"],
        zone=zone,
        currency=row["currency"],
        configured_status=row["configured_status"],
        today=pace(Period.DAILY, row["today_micros"], row["daily_limit_micros"]),
        month=pace(Period.MONTHLY, row["month_micros"], row["monthly_limit_micros"]),
        active=status.active,
        held=status.held,
        limits=status.limits,
        is_stopped=status.is_stopped,
        spend_received_at=row["spend_received_at"],
    )


def pace_of(
    period: Period,
    zone: ZoneInfo,
    spent_micros: int,
    limit_micros: int | None,
    at: datetime,
    limits: Iterable[BudgetSpend],
    *,
    serves: bool,
) -> Pace:
    """Spend, limit and projected spend of the period's window that contains `at` in the zone.

    `limits`: budgets that cap the projected spend. `serves`: whether a campaign still spends; if not, there is no
    projection. `limit_micros` None: no limit. `period` must not be `lifetime`.
    """
    today = local_day(at, zone)
    window = window_of(period, today)
    starts_at, ends_at = instants(window, zone)
    most = most_to_spend(limits, today, window.end_day)
    return pace(spent_micros, limit_micros, starts_at, ends_at, at, most_micros=most, serves=serves)


def instants(window: Window, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The window's first instant, and the first instant after it. The window must have an end."""
    assert window.end_day is not None  # noqa: S101 - a lifetime has no pace
    return day_starts_at(window.first_day, zone), day_starts_at(window.end_day, zone)


def budget_paces(
    rows: Iterable[Mapping[str, Any]],
    zone: ZoneInfo,
    at: datetime,
    limits: Sequence[BudgetSpend],
    *,
    serves: bool,
) -> Iterator[tuple[str, Pace]]:
    """Yields each budget's period and Pace: spend, limit and projected spend, which a lifetime budget lacks.

    `limits`: budgets that cap the projected spend. `serves`: whether a campaign still spends.
    """
    for row in rows:
        period, spent_micros, limit_micros = Period(row["period"]), row["spent_micros"], row["limit_micros"]
        if period is Period.LIFETIME:
            yield period, Pace(spent_micros, limit_micros, None, None, None)
        else:
            yield period, pace_of(period, zone, spent_micros, limit_micros, at, limits, serves=serves)
