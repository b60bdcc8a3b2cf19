"""Reads the facts for a monthly report: counters, limits and the history of holds."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from domain.periods import Period, Window, day_starts_at, window_of
from domain.reporting.monthly import LimitChange, MonthFacts, Span, SpentBefore

LONG_PERIODS: Final = frozenset({Period.YEARLY, Period.LIFETIME})

HoldsSince = tuple[datetime, tuple[str, ...]]
"""A campaign's holds, and the instant from which on it had them."""

NAMES = text("SELECT id, name FROM campaigns WHERE brand_id = :brand_id ORDER BY id")

# The spend by day of the brand (scope 0) and of its campaigns.
DAYS = text("""
    SELECT 0 AS scope_id, day, spent_micros FROM brand_days
    WHERE brand_id = :brand_id AND day >= :days_from AND day < :end_day
    UNION ALL
    SELECT campaign_id, day, spent_micros FROM campaign_days
    WHERE brand_id = :brand_id AND day >= :days_from AND day < :end_day
    ORDER BY scope_id, day
""")

# The spend before those days: since the year began, and in total.
CARRIED = text("""
    SELECT scope_id, COALESCE(sum(spent_micros) FILTER (WHERE day >= :year_starts_on), 0) AS year_micros,
        sum(spent_micros) AS lifetime_micros
    FROM (
        SELECT 0 AS scope_id, day, spent_micros FROM brand_days WHERE brand_id = :brand_id AND day < :days_from
        UNION ALL
        SELECT campaign_id, day, spent_micros FROM campaign_days WHERE brand_id = :brand_id AND day < :days_from
    ) AS earlier
    GROUP BY scope_id
""")

LIMITS = text("""
    SELECT campaign_id, period, id, changed_at, limit_micros FROM budget_limits
    WHERE brand_id = :brand_id AND changed_at < :ends_at ORDER BY id
""")

# The hold changes since an instant, and the last one of each campaign before it.
HOLDS = text("""
    SELECT id, campaign_id, changed_at, holds FROM hold_changes
    WHERE brand_id = :brand_id AND changed_at >= :since AND changed_at < :ends_at
    UNION ALL
    SELECT last.* FROM campaigns CROSS JOIN LATERAL (
        SELECT id, campaign_id, changed_at, holds FROM hold_changes
        WHERE campaign_id = campaigns.id AND changed_at < :since
            /*citus AND hold_changes.brand_id = :brand_id */
        ORDER BY id DESC LIMIT 1
    ) AS last
    WHERE campaigns.brand_id = :brand_id
""")

# Earlier hold changes that began or ended a hold of a yearly or lifetime budget.
EARLIER_TURNS = text("""
    SELECT id, campaign_id, changed_at, holds FROM (
        SELECT *, lag(long) OVER (PARTITION BY campaign_id ORDER BY id) AS long_before FROM (
            SELECT id, campaign_id, changed_at, holds,
                ARRAY(SELECT hold FROM unnest(holds) AS hold WHERE hold ~ '_(yearly|lifetime)_budget$') AS long
            FROM hold_changes WHERE brand_id = :brand_id AND changed_at < :since
        ) AS earlier
    ) AS turns
    WHERE COALESCE(long_before, '{}') <> long
""")

STATUS_CHANGES = text("""
    SELECT to_status, count(*) AS changes FROM status_changes
    WHERE brand_id = :brand_id AND changed_at >= :starts_at AND changed_at < :ends_at GROUP BY to_status
""")


def facts_of_month(connection: Connection, brand_id: int, zone: ZoneInfo, month: Window, span: Span) -> MonthFacts:
    """The facts for a report of the month up to the span's end, except the figures about overspend."""
    monday = window_of(Period.WEEKLY, month.first_day).first_day
    parameters = {
        "brand_id": brand_id,
        "days_from": monday,
        "end_day": month.end_day,
        "year_starts_on": window_of(Period.YEARLY, month.first_day).first_day,
        "since": day_starts_at(monday, zone),
        "ends_at": span.ends_at,
    }
    limits = _limits(connection, parameters)
    return MonthFacts(
        zone=zone,
        month=month,
        span=span,
        days_from=monday,
        names={row.id: row.name for row in connection.execute(NAMES, parameters)},
        days=_days(connection, parameters),
        carried={
            row.scope_id or None: SpentBefore(int(row.year_micros), int(row.lifetime_micros))
            for row in connection.execute(CARRIED, parameters)
        },
        limits=limits,
        holds=_holds(connection, parameters, reach_back=any(period in LONG_PERIODS for _, period in limits)),
    )


def _days(connection: Connection, parameters: Mapping[str, Any]) -> Mapping[int | None, Mapping[date, int]]:
    days: defaultdict[int | None, dict[date, int]] = defaultdict(dict)
    for row in connection.execute(DAYS, parameters):
        days[row.scope_id or None][row.day] = row.spent_micros
    return days


def _limits(
    connection: Connection, parameters: Mapping[str, Any]
) -> Mapping[tuple[int | None, Period], Sequence[LimitChange]]:
    limits: defaultdict[tuple[int | None, Period], list[LimitChange]] = defaultdict(list)
    for campaign_id, period, *change in connection.execute(LIMITS, parameters):
        limits[campaign_id, Period(period)].append(LimitChange(*change))
    return limits


def _holds(
    connection: Connection, parameters: Mapping[str, Any], *, reach_back: bool
) -> Mapping[int, Sequence[HoldsSince]]:
    rows = [*connection.execute(HOLDS, parameters)]
    if reach_back:
        rows += connection.execute(EARLIER_TURNS, parameters)
    holds: defaultdict[int, list[HoldsSince]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.id):
        holds[row.campaign_id].append((row.changed_at, tuple(row.holds)))
    return holds


def status_changes(connection: Connection, brand_id: int, span: Span) -> dict[str, int]:
    """The number of status changes in the span, by the new status."""
    parameters = {"brand_id": brand_id, "starts_at": span.starts_at, "ends_at": span.ends_at}
    return {row.to_status: row.changes for row in connection.execute(STATUS_CHANGES, parameters)}
